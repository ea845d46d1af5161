//! What nobody wrote: watches that triage proposes, escalations that it raises, notes that it keeps.
//!
//! They have places, windows, regexes and numbers of their own, so that under any proposal whatever people's
//! and built-in watches count, cross and are told of exactly as without it.

use serde_json::json;

use super::{Draft, Engine, Now};
use crate::escalation::{Crossing, Outcome};
use crate::ledger::window::{Phase, Window};
use crate::ledger::{Lane, Proposal, Refused, StagedGroup, WindowKey};
use crate::watch::matcher::Scratch;
use crate::watch::provenance::Provenance;
use crate::watch::rule::{OnCrossing, Rule};
use crate::watch::{Origin, Watch, group_values};

/// Proposed watches at the same time.
pub const PROPOSED_MAX: usize = 100;
/// Regexes in all of them.
pub(super) const PROPOSED_REGEXES_MAX: usize = 20;

impl Engine {
    /// Takes a proposed watch in, or replaces one, and counts what it has missed.
    pub fn adopt(&mut self, proposal: Proposal, now: Now) -> Result<Draft, Refused> {
        let Proposal { rule, origin, mut provenance, replaces, backlog } = proposal;
        let mut watches = self.shards.watches().watches().to_vec();
        let place = watches.iter().position(|w| w.rule.label == rule.label);
        if place.and_then(|place| watches.get(place)).is_some_and(|held| !held.origin.is_proposed()) {
            return Err(Refused::Taken);
        }
        let held = place.and_then(|place| watches.get(place));
        // Removed or changed by somebody meanwhile: that stands.
        if replaces.as_ref().is_some_and(|before| held.map(|held| &held.rule) != Some(before)) {
            return Err(Refused::Unknown);
        }
        provenance.fired |= held.and_then(|held| held.provenance.as_ref()).is_some_and(|held| held.fired);
        let set = self.shards.watches();
        let others = set.watches().iter().filter(|w| w.origin.is_proposed() && w.rule.label != rule.label);
        if others.clone().count() >= PROPOSED_MAX {
            return Err(Refused::Full(PROPOSED_MAX));
        }
        if rule.regexes() > 0 && others.map(|w| w.rule.regexes()).sum::<usize>() + rule.regexes() > PROPOSED_REGEXES_MAX
        {
            return Err(Refused::Regexes(PROPOSED_REGEXES_MAX));
        }
        let mut draft = self.draft(now);
        let watch = Watch::proposed(rule, origin, now.ms, provenance);
        draft.watch_rows.push((watch.rule.label.clone(), Some(stored(&watch))));
        match place.and_then(|place| watches.get_mut(place)) {
            Some(held) => *held = watch.clone(),
            // After all others: whoever is asked first, it is never the one that nobody wrote.
            None => watches.push(watch.clone()),
        }
        self.change_watches(&mut draft, watches);
        let mut crossings = Vec::new();
        for group in backlog.iter().filter(|group| group.watch == watch.key) {
            self.count(&mut draft, &watch, group, now, &mut crossings);
        }
        Ok(draft)
    }

    /// Undoes the last change to a proposed watch. What was changed first is that it exists.
    pub fn roll_back(&mut self, label: &str, now: Now) -> Result<Draft, Refused> {
        let set = self.shards.watches();
        let watch = set.by_label(label).ok_or(Refused::Unknown)?;
        let provenance = watch.provenance.as_deref().ok_or(Refused::NoEarlier)?;
        let last = provenance.changes.last().ok_or(Refused::NoEarlier)?;
        let Some(before) = &last.before else { return self.delete_watch(label, now) };
        let mut faults = Vec::new();
        let rule = Rule::from_json(before, "", &mut faults).ok_or(Refused::NoEarlier)?;
        let mut provenance = provenance.clone();
        let undone = provenance.changes.pop();
        provenance.pinned = true;
        let reason = undone.map(|change| change.reason).unwrap_or_default();
        tracing::info!(label, reason = reason.as_str(), "a change to a proposed watch was rolled back");
        let origin = watch.origin;
        let (mut draft, held) = (self.draft(now), Watch::proposed(rule, origin, now.ms, provenance));
        draft.watch_rows.push((label.to_owned(), Some(stored(&held))));
        let watches = set.watches().iter().map(|w| if w.rule.label == label { held.clone() } else { w.clone() });
        self.change_watches(&mut draft, watches.collect());
        Ok(draft)
    }

    /// Escalates what no watch counted. What a firing watch of people's tells already is added to that.
    pub fn raise(&mut self, crossing: Crossing, lines: &StagedGroup, now: Now) -> (Draft, (u64, Outcome)) {
        let (mut draft, label) = (self.draft(now), crossing.label.clone());
        if let Some(id) = self.covering(&draft, lines) {
            self.desk.covers(id, &label);
            draft.report.raised.push((label, Outcome::Covered));
            return (draft, (id, Outcome::Covered));
        }
        let (id, outcome, post) =
            self.desk.crossed(Crossing { proposed: true, ..crossing }, OnCrossing::Investigate, now.ms);
        self.desk.failed_at(id, || super::places(&lines.samples));
        // No window will say that it is over.
        self.desk.abandoned(id);
        if let Some(post) = post {
            self.outbox.post(&post);
        }
        draft.report.raised.push((label, outcome));
        (draft, (id, outcome))
    }

    pub fn keep_service(&self, key: String, row: Option<Vec<u8>>, now: Now) -> Draft {
        Draft { service_rows: vec![(key, row)], ..self.draft(now) }
    }

    pub fn note(&self, notes: Vec<(String, Option<Vec<u8>>)>, now: Now) -> Draft {
        Draft { notes, ..self.draft(now) }
    }

    /// The escalation of a person's or a built-in watch that fires for one of these lines' service and counts them.
    pub(super) fn covering(&self, draft: &Draft, staged: &StagedGroup) -> Option<u64> {
        let set = self.shards.watches();
        let mut scratch = Scratch::default();
        let mut found = None;
        for sample in &staged.samples {
            sample.read(Some(&self.settings.naming), |record| {
                set.matches(record, &mut scratch, |_, watch| {
                    if found.is_none() && !watch.origin.is_proposed() {
                        found = self.fires_for(draft, watch, staged);
                    }
                });
            });
        }
        found
    }

    fn fires_for(&self, draft: &Draft, watch: &Watch, staged: &StagedGroup) -> Option<u64> {
        let concerns = |key: &WindowKey| {
            if key.watch != watch.key || key.lane != Lane::Live {
                return false;
            }
            let values = group_values(&key.group);
            let is = |name: &str, wanted: &str| {
                let place = watch.rule.group_by.iter().position(|n| n == name);
                place.and_then(|place| values.get(place)).is_none_or(|value| value == wanted)
            };
            is("cluster", &staged.cluster) && is("service", &staged.service)
        };
        let firing = |window: &Window| window.escalation.filter(|_| window.phase == Phase::Firing);
        let drafted = draft.windows.iter().filter(|(key, _)| concerns(key)).find_map(|(_, window)| firing(window));
        drafted.or_else(|| {
            let active = self.active.iter().filter(|key| concerns(key) && !draft.windows.contains_key(*key));
            active.filter_map(|key| self.shards.windows.get(key)).find_map(|window| firing(&window))
        })
    }

    /// A proposed watch that crosses was worth having: it stays.
    pub(super) fn mark_fired(&self, draft: &mut Draft) {
        if draft.fired.is_empty() {
            return;
        }
        let mut watches = draft.watches.take().unwrap_or_else(|| self.shards.watches().watches().to_vec());
        for watch in watches.iter_mut().filter(|watch| draft.fired.contains(&watch.rule.label)) {
            let held = watch.provenance.as_deref().cloned().unwrap_or_default();
            watch.provenance = Some(Provenance { fired: true, ..held }.into());
            draft.watch_rows.retain(|(label, _)| *label != watch.rule.label);
            draft.watch_rows.push((watch.rule.label.clone(), Some(stored(watch))));
        }
        draft.fired.clear();
        draft.watches = Some(watches);
    }

    /// Windows that one proposed watch may have: all of them together a quarter of everybody's.
    pub(super) fn proposed_share(&self) -> usize {
        (self.settings.max_windows / 4 / PROPOSED_MAX).max(1)
    }

    pub(super) fn put_window(&mut self, key: WindowKey, window: Window) {
        let watch = key.watch;
        if self.shards.windows.insert(key, window).is_none() && self.is_proposed(watch) {
            *self.proposed_windows.entry(watch).or_default() += 1;
        }
    }

    pub(super) fn drop_window(&mut self, key: &WindowKey) {
        if self.shards.windows.remove(key).is_some()
            && let Some(held) = self.proposed_windows.get_mut(&key.watch)
        {
            *held = held.saturating_sub(1);
        }
    }

    fn is_proposed(&self, watch: crate::watch::WatchKey) -> bool {
        self.shards.watches().by_key(watch).is_some_and(|watch| watch.origin.is_proposed())
    }

    /// Counted anew: after a start and after a sweep.
    pub(super) fn count_proposed_windows(&mut self) {
        let set = self.shards.watches();
        self.proposed_windows = set.watches().iter().filter(|w| w.origin.is_proposed()).map(|w| (w.key, 0)).collect();
        for window in &self.shards.windows {
            if let Some(held) = self.proposed_windows.get_mut(&window.key().watch) {
                *held += 1;
            }
        }
    }
}

/// The row of a proposed watch.
fn stored(watch: &Watch) -> Vec<u8> {
    let row = json!({
        "set_ms": watch.set_ms,
        "origin": watch.origin,
        "rule": watch.rule.to_json(),
        "provenance": watch.provenance.as_deref(),
    });
    row.to_string().into_bytes()
}

/// A proposed watch from its row; `None` where the row is a person's, or cannot be read.
pub(super) fn restored(row: &serde_json::Value, rule: &Rule) -> Option<Watch> {
    let origin: Origin = serde_json::from_value(row.get("origin")?.clone()).ok()?;
    let provenance: Provenance = serde_json::from_value(row.get("provenance")?.clone()).ok()?;
    let set_ms = row.get("set_ms").and_then(serde_json::Value::as_i64).unwrap_or(0);
    origin.is_proposed().then(|| Watch::proposed(rule.clone(), origin, set_ms, provenance))
}
