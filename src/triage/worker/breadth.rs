//! Which kinds a proposed watch speaks for: those it was made for, and others like them that it counts as well.
//!
//! A kind that is counted already need not be judged. But whoever can have one watch made that matches everything
//! would have no new kind judged any more. So a watch speaks for no kind that is worse than those it was made for, and
//! one that matches most of what it was not made for speaks for those alone.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::kinds::Kind;
use super::super::trial::Scene;
use super::Worker;
use crate::record::level::Level;
use crate::watch::WatchSet;
use crate::watch::matcher::Scratch;
use crate::watch::rule::Rule;

/// What a proposed watch was made for.
#[derive(Debug, Default)]
pub(super) struct Made {
    kinds: HashSet<u64>,
    /// The worst of them.
    level: Option<Level>,
}

impl Worker {
    /// A proposed watch of this label was taken in for these kinds.
    pub(super) fn made_watch(&mut self, label: &str, kinds: impl IntoIterator<Item = u64>) {
        let made = self.made.entry(label.to_owned()).or_default();
        for id in kinds {
            made.level = made.level.max(self.kinds.get(id).map(|kind| kind.level));
            made.kinds.insert(id);
        }
    }

    /// As far as the kinds remember.
    pub(super) fn made_of_kinds(&mut self) {
        let told = |(id, kind): (u64, &Kind)| kind.watched_by().map(|label| (label.to_owned(), id));
        for (label, id) in self.kinds.iter().filter_map(told).collect::<Vec<_>>() {
            self.made_watch(&label, [id]);
        }
    }

    /// The label of the proposed watch that speaks for this kind.
    pub(super) fn made_for(&self, set: &WatchSet, id: u64) -> Option<String> {
        let kind = self.kinds.get(id)?;
        let (mut scratch, mut label) = (Scratch::default(), None);
        kind.sample.read(Some(&self.settings.naming), |record| {
            set.matches(record, &mut scratch, |_, watch| {
                if watch.origin.is_proposed() && !watch.is_shadow() && self.speaks_for(&watch.rule.label, id, kind) {
                    label.get_or_insert_with(|| watch.rule.label.clone());
                }
            });
        });
        label
    }

    fn speaks_for(&self, label: &str, id: u64, kind: &Kind) -> bool {
        let Some(made) = self.made.get(label) else { return false };
        made.level >= Some(kind.level) && (made.kinds.contains(&id) || !self.broad.contains(label))
    }

    /// Finds out which watches are broad, when there are others or many more kinds than at the last look.
    pub(super) fn look_at_breadth(&mut self, set: &Arc<WatchSet>) -> &mut Worker {
        let kinds = self.kinds.len();
        let is_news = self
            .broad_of
            .as_ref()
            .is_none_or(|(before, then)| !Arc::ptr_eq(before, set) || kinds > then + then / 4 + 3 || kinds < then / 2);
        if !is_news {
            return self;
        }
        self.broad_of = Some((set.clone(), kinds));
        let rules: Vec<Rule> =
            set.watches().iter().filter(|watch| watch.origin.is_proposed()).map(|watch| watch.rule.clone()).collect();
        if rules.is_empty() {
            self.broad.clear();
            return self;
        }
        let now_ms = self.now_ms();
        let scene = Scene {
            kinds: &self.kinds,
            watches: set,
            naming: Some(&self.settings.naming),
            now_ms,
            lateness_ms: self.settings.lateness_ms,
        };
        let own = |place: usize, id: u64| {
            let made = rules.get(place).and_then(|rule: &Rule| self.made.get(&rule.label));
            made.is_some_and(|made| made.kinds.contains(&id))
        };
        let broad = scene.are_broad(&rules, own);
        let broad: HashSet<String> =
            rules.iter().zip(broad).filter(|(_, broad)| *broad).map(|(rule, _)| rule.label.clone()).collect();
        for label in broad.difference(&self.broad) {
            tracing::info!(
                label,
                "a proposed watch matches most of what it was not made for: others are judged all the same"
            );
        }
        let newly: Vec<&String> = broad.difference(&self.broad).collect();
        // They were taken to be spoken for.
        let hidden = self.kinds.iter().filter(|(id, kind)| {
            let label = kind.watched_by().and_then(|label| newly.iter().find(|newly| newly.as_str() == label));
            label.is_some_and(|label| self.made.get(*label).is_none_or(|made| !made.kinds.contains(id)))
        });
        for id in hidden.map(|(id, _)| id).collect::<Vec<_>>() {
            self.kinds.reopen(id, &self.intake.known, now_ms);
        }
        self.broad = broad;
        self
    }
}
