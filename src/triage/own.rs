//! Looking after the watches that triage made: a few from a sample when there are few rules, and other numbers
//! when the past says so.
//!
//! The engine corrects a number wherever it knows ten windows of the past; the model is shown how its own watches
//! do and may adjust them. Neither while they fire. Every change keeps what was before, what after, and why.

use std::time::Duration;

use super::ask::{Asked, Said, Tuned};
use super::prompt::Own;
use super::trial::Scene;
use super::worker::{Answer, Worker};
use super::{Offer, What, threshold};
use crate::ledger::Proposal;
use crate::ledger::window::Phase;
use crate::redact::Redacted;
use crate::watch::provenance::Change;
use crate::watch::rule::{Rule, WINDOW_MAX_SECONDS};
use crate::watch::{Origin, Watch};

/// With so many rules of their own nobody needs to be told what could be counted.
const RULES_FEW: usize = 5;
/// A sample of fewer kinds says nothing of what a service logs.
const KINDS_LEAST: usize = 20;
/// A look at what comes, before anything is proposed.
const LOOK: Duration = Duration::from_secs(300);
/// Tries at a sample; then it is left.
const SEED_TRIES: u32 = 3;
/// Kinds in the sample, and watches in a question about numbers.
const SHOWN_MAX: usize = 50;
/// What says that the sample was taken, in the store.
pub const SEEDED_NOTE: &str = "seeded";

#[derive(Debug, Default)]
pub struct Seeding {
    pub done: bool,
    tries: u32,
}

impl Worker {
    /// A sample for the first watches, or a look at those there are.
    pub(super) async fn look_after_own(&mut self) {
        if self.asking.is_some() {
            return;
        }
        if self.settings.seed && !self.seeding.done && self.started.elapsed() >= LOOK && self.sample() {
            return;
        }
        if !self.settings.tune_every.is_zero() && self.tuned.elapsed() >= self.settings.tune_every {
            self.tuned = self.passing.now();
            self.correct().await;
            self.ask_for_numbers();
        }
    }

    /// Whether a question is on its way.
    fn sample(&mut self) -> bool {
        let set = self.ledger.watches();
        let of_people = set.watches().iter().filter(|w| matches!(w.origin, Origin::Config | Origin::Api)).count();
        if of_people >= RULES_FEW {
            self.seeding.done = true;
            return false;
        }
        // What has a watch of its own needs none.
        let mut kinds: Vec<(u64, u64)> = self
            .kinds
            .iter()
            .filter(|(_, kind)| kind.judged() == Some(What::Ignore))
            .map(|(id, kind)| (kind.count, id))
            .collect();
        if kinds.len() < KINDS_LEAST {
            return false;
        }
        kinds.sort_unstable_by(|a, b| b.cmp(a));
        let naming = self.settings.naming.clone();
        let shown = kinds.iter().take(SHOWN_MAX);
        let offers: Vec<Offer> = shown.filter_map(|(_, id)| self.kinds.offer(*id, Some(&naming))).collect();
        self.seeding.tries += 1;
        self.seeding.done = self.seeding.tries >= SEED_TRIES;
        let asker = self.asker.clone();
        self.asking = Some(tokio::spawn(async move { Answer::Seeded(asker.seed(offers).await) }));
        true
    }

    pub(super) async fn seeded(&mut self, asked: Asked) {
        let Ok(actions) = asked.answer else { return };
        self.seeding.done = true;
        self.note(SEEDED_NOTE.to_owned(), Some(Vec::new()));
        for action in actions.iter().filter(|action| action.what == What::Watch) {
            let about: Vec<&Offer> = action.lines.iter().filter_map(|place| asked.offers.get(*place)).collect();
            if !about.is_empty() {
                self.propose(action, &about, &asked.said, Origin::Seed).await;
            }
        }
    }

    /// Numbers that the past contradicts.
    async fn correct(&mut self) {
        let own = self.own_quiet();
        let pasts = self.pasts(own.iter().map(|watch| watch.rule.clone()).collect());
        for (watch, past) in own.into_iter().zip(pasts) {
            let Some(number) = threshold::from_history(&past) else { continue };
            // Near enough is good enough: a number that moves all the time is none.
            let (low, high) = (watch.rule.threshold / 4, watch.rule.threshold);
            if (low..=high).contains(&number) {
                continue;
            }
            let rule = Rule { threshold: number, ..watch.rule.clone() };
            let reason = format!("the last {} windows say so", past.len());
            self.change(&watch, rule, "engine", &Said::builtin(), &reason).await;
        }
    }

    fn ask_for_numbers(&mut self) {
        let mut watches = self.own_quiet();
        watches.truncate(SHOWN_MAX);
        let pasts = self.pasts(watches.iter().map(|watch| watch.rule.clone()).collect());
        let own: Vec<Own> = watches
            .into_iter()
            .zip(pasts)
            .map(|(watch, history)| Own {
                label: watch.rule.label.clone(),
                condition: watch.rule.match_json(),
                threshold: watch.rule.threshold,
                window_seconds: watch.rule.window_seconds,
                history,
                matched_total: self.ledger.shards().total(watch.key).matched,
                firing: false,
            })
            .collect();
        if own.is_empty() {
            return;
        }
        let asker = self.asker.clone();
        self.asking = Some(tokio::spawn(async move { Answer::Tuned(asker.tune(own).await) }));
    }

    pub(super) async fn retune(&mut self, tuned: Tuned) {
        for change in tuned.changes {
            // Looked at anew: it may have begun to fire, or be gone.
            let own = self.own_quiet();
            let Some(watch) = own.iter().find(|watch| watch.rule.label == change.label) else { continue };
            let mut rule = watch.rule.clone();
            if let Some(seconds) = change.window_seconds.filter(|s| s.is_finite()) {
                rule.window_seconds = seconds.clamp(10.0, WINDOW_MAX_SECONDS as f64) as u32;
            }
            let past = self.pasts(vec![rule.clone()]).pop().unwrap_or_default();
            rule.threshold = match threshold::from_history(&past) {
                Some(number) => number,
                None if change.threshold.is_some() => threshold::clamp(change.threshold),
                None => rule.threshold,
            };
            if rule == watch.rule {
                continue;
            }
            let reason = change.reason.unwrap_or_default();
            self.change(watch, rule, "tune", &tuned.said, &reason).await;
        }
    }

    pub(super) async fn change(&mut self, watch: &Watch, rule: Rule, by: &str, said: &Said, reason: &str) {
        let Some(held) = watch.provenance.as_deref() else { return };
        let mut provenance = held.clone();
        provenance.add(Change {
            at_ms: self.now_ms(),
            by: by.to_owned(),
            model: said.model.clone(),
            prompt: said.prompt.clone(),
            reply: said.reply.clone(),
            reason: Redacted::new(reason).one_line().cut(300),
            before: Some(watch.rule.to_json()),
            after: Some(rule.to_json()),
        });
        let label = rule.label.clone();
        let replaces = Some(watch.rule.clone());
        let proposal = Proposal { rule, origin: watch.origin, provenance, replaces, backlog: Vec::new() };
        match self.ledger.adopt(proposal).await {
            Ok(()) => tracing::info!(label, by, "a proposed watch has other numbers"),
            Err(refused) => tracing::warn!(label, by, %refused, "a proposed watch keeps its numbers"),
        }
    }

    /// Proposed watches that do not fire now.
    pub(super) fn own_quiet(&self) -> Vec<Watch> {
        let groups = self.ledger.shards().groups(self.now_ms());
        let fires = |watch: &Watch| groups.get(&watch.key).is_some_and(|g| g.iter().any(|g| g.phase == Phase::Firing));
        let set = self.ledger.watches();
        let pinned = |watch: &Watch| watch.provenance.as_ref().is_some_and(|provenance| provenance.pinned);
        set.watches().iter().filter(|w| w.origin.is_proposed() && !fires(w) && !pinned(w)).cloned().collect()
    }

    fn pasts(&self, rules: Vec<Rule>) -> Vec<Vec<u64>> {
        let watches = self.ledger.watches();
        let scene = Scene {
            kinds: &self.kinds,
            watches: &watches,
            naming: Some(&self.settings.naming),
            now_ms: self.now_ms(),
            lateness_ms: self.settings.lateness_ms,
        };
        scene.pasts(&rules)
    }
}
