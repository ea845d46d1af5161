//! The loop of triage: takes in what is new, has it judged in batches, and does what was said, within bounds.
//!
//! One batch is asked about at a time, in a task of its own, so that a model that hangs holds nothing up: what
//! is severe and has waited for too long, or cannot be asked about, is judged by the built-in triager. Runs on a
//! thread of its own; all that others see of it is a bounded queue in, and the ledger's commands out.

mod act;
mod breadth;
pub mod by_hand;
mod watched;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::ask::{AT_ONCE_LEAST, Asked, Asker, AtOnce, NoAnswer, Said, Tuned};
use super::kinds::{Bounds, Judgement, Kind, Kinds, Seen, State};
use super::model::Provider;
use super::novel::{Intake, LINE_NOTE, Novel, worth_a_note as may_have_note};
use super::own::{SEEDED_NOTE, Seeding};
use super::pages::Pages;
use super::prompt::Limits;
use super::trial::{Refusal, Scene, TTL_SECONDS, shown_label};
use super::verdicts::{self, KIND_NOTE};
use super::view::{Decision, Standing, View};
use super::{Action, Offer, Shape, What, Why, builtin, floor};
use crate::escalation::{Crossing, Outcome};
use crate::failpoint::Failpoint;
use crate::ledger::engine::PROPOSED_MAX;
use crate::ledger::{Lane, Ledger, Proposal, Refused, StagedGroup};
use crate::metrics::Metrics;
use crate::moment::{Moment, Passing};
use crate::notify::notice::Severity;
use crate::record::level::Level;
use crate::record::naming::Naming;
use crate::redact::Redacted;
use crate::watch::matcher::Scratch;
use crate::watch::provenance::{Change, Provenance};
use crate::watch::rule::OnCrossing;
use crate::watch::{Origin, Watch, WatchSet, group_key};
use breadth::Made;
pub use watched::watch_over;

#[derive(Clone, Debug)]
pub struct Settings {
    pub batch_lines: usize,
    /// How long the first of a batch waits for more.
    pub batch_wait_ms: i64,
    pub bounds: Bounds,
    /// How long a severe kind waits for the model before the built-in triager judges it.
    pub patience_ms: i64,
    /// How long an `ignore` holds.
    pub ignore_ms: i64,
    pub lateness_ms: i64,
    pub naming: Arc<Naming>,
    /// Whether watches are proposed from a sample.
    pub seed: bool,
    /// How often own watches are looked after; zero: never.
    pub tune_every: Duration,
}

pub struct Parts {
    pub settings: Settings,
    pub ledger: Ledger,
    pub intake: Arc<Intake>,
    pub inbox: mpsc::Receiver<Vec<Novel>>,
    pub provider: Arc<Provider>,
    pub limits: Limits,
    /// Secret, and the same for a store's life.
    pub seed: u64,
    /// What the store held of triage.
    pub notes: Vec<(String, Vec<u8>)>,
    pub metrics: Metrics,
    pub view: Arc<View>,
    /// Set when no more requests come.
    pub stopped: watch::Receiver<bool>,
    /// Unix milliseconds.
    pub clock: fn() -> i64,
    /// By which clock sweeps and the like have their beat.
    pub passing: Passing,
}

/// How often time is let pass.
const TICK: Duration = Duration::from_secs(1);
/// How often the table of known lines is read out.
const SWEEP: Duration = Duration::from_secs(10);
/// And at most: it walks over all kinds.
const SWEEP_LEAST: Duration = Duration::from_secs(1);
/// Batches taken in before others have their turn.
const TAKE_MAX: usize = 64;
/// How often a kind that nobody could judge is asked about.
pub const TRIES_MAX: u32 = 3;
/// Kinds that may take a watch out of the shadow in one turn; others come again.
const LIFT_MAX: usize = 4;
/// Notes stored or deleted in one commit.
const NOTES_MAX: usize = 512;
/// Bytes of notes stored in one commit: pages of templates are large.
const NOTES_BYTES_MAX: usize = 1024 * 1024;
/// Commits at the end: the last pages of templates, and what was said.
const LAST_COMMITS_MAX: usize = 100;
/// How often templates that have changed are stored: so much of what was learned a crash may cost.
const PAGES_EVERY: Duration = Duration::from_secs(30);
/// Severe kinds looked at in one tick for having waited too long.
const LATE_MAX: usize = 200;
/// Between two tries where nobody answers.
const PAUSE_LEAST_MS: i64 = 1_000;
/// How long a judgement other than `ignore` is remembered: as long as a watch without a match lives.
const REMEMBERED_MS: i64 = TTL_SECONDS as i64 * 1000;

pub(super) struct Worker {
    pub(super) settings: Settings,
    pub(super) ledger: Ledger,
    intake: Arc<Intake>,
    pub(super) asker: Asker,
    metrics: Metrics,
    view: Arc<View>,
    clock: fn() -> i64,
    pub(super) kinds: Kinds,
    pub(super) asking: Option<JoinHandle<Answer>>,
    /// Kinds that are being asked about, of which nothing comes back should the question panic.
    asked_about: Vec<Offer>,
    at_once: AtOnce,
    /// Nobody could be asked, or the store refused: not tried again before.
    not_before_ms: i64,
    /// Kinds that a watch in the shadow counts.
    lift: Vec<u64>,
    pub(super) seeding: Seeding,
    pub(super) passing: Passing,
    pub(super) tuned: Moment,
    pub(super) started: Moment,
    /// Notes to be stored or deleted with the next tick.
    notes: HashMap<String, Option<Vec<u8>>>,
    swept: Moment,
    pages: Pages,
    /// What the templates were when they were last stored, and when that was.
    paged: (u64, Moment),
    /// What the proposed watches were made for, by label.
    made: HashMap<String, Made>,
    /// Those that match most of what they were not made for, of which set and how many kinds that was found.
    broad: HashSet<String>,
    broad_of: Option<(Arc<WatchSet>, usize)>,
}

/// What a question was about, with its answer.
pub(super) enum Answer {
    Judged(Asked),
    Seeded(Asked),
    Tuned(Tuned),
}

/// Runs until it is stopped, and stores what it knows before it ends. `held`: where the worker is meanwhile, so that
/// what it knew is there should it panic.
async fn run(parts: &mut Parts, held: &mut Option<Worker>) {
    let worker = held.insert(Worker::new(parts));
    let (inbox, stopped) = (&mut parts.inbox, &mut parts.stopped);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batches = Vec::new();
    loop {
        tokio::select! {
            taken = inbox.recv_many(&mut batches, TAKE_MAX) => {
                if taken == 0 {
                    break;
                }
                for batch in batches.drain(..) {
                    worker.take(batch);
                }
            }
            answer = answered(&mut worker.asking) => worker.answered(answer).await,
            _ = ticks.tick() => worker.tick().await,
            _ = stopped.changed() => break,
        }
        worker.lift().await;
        worker.ask().await;
        worker.show();
    }
    while let Ok(batch) = inbox.try_recv() {
        worker.take(batch);
    }
    worker.take_waiting();
    worker.keep_templates();
    for _ in 0..LAST_COMMITS_MAX {
        if worker.notes.is_empty() || !worker.flush().await {
            break;
        }
    }
}

/// `None`: the question panicked.
async fn answered(asking: &mut Option<JoinHandle<Answer>>) -> Option<Answer> {
    match asking {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}

impl Worker {
    /// With what the store held.
    fn new(parts: &mut Parts) -> Worker {
        let notes = std::mem::take(&mut parts.notes);
        let (pages, templates, unreadable) = Pages::read(&notes);
        let kinds = Kinds::restored(parts.settings.bounds, parts.seed, &templates);
        let mut worker = Worker {
            paged: (kinds.template_changes(), parts.passing.now()),
            kinds,
            at_once: AtOnce::new(parts.settings.batch_lines),
            settings: parts.settings.clone(),
            ledger: parts.ledger.clone(),
            intake: parts.intake.clone(),
            asker: Asker { provider: parts.provider.clone(), limits: parts.limits, metrics: parts.metrics.clone() },
            metrics: parts.metrics.clone(),
            view: parts.view.clone(),
            clock: parts.clock,
            asking: None,
            asked_about: Vec::new(),
            not_before_ms: 0,
            lift: Vec::new(),
            seeding: Seeding::default(),
            passing: parts.passing,
            tuned: parts.passing.now(),
            started: parts.passing.now(),
            notes: unreadable.into_iter().map(|key| (key, None)).collect(),
            swept: parts.passing.now(),
            pages,
            made: HashMap::new(),
            broad: HashSet::new(),
            broad_of: None,
        };
        worker.restore(&notes);
        worker
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// What was stored: verdicts hold on, and what nobody had judged waits again.
    fn restore(&mut self, notes: &[(String, Vec<u8>)]) {
        self.seeding.done = notes.iter().any(|(key, _)| key == SEEDED_NOTE);
        for (key, body) in notes {
            if key.starts_with(KIND_NOTE) {
                match verdicts::decode(body) {
                    Some((novel, template, judgement)) => {
                        let naming = Some(&*self.settings.naming);
                        self.kinds.restore(&novel, template, judgement, naming, &self.intake.known);
                    }
                    None => {
                        self.notes.insert(key.clone(), None);
                    }
                }
            }
        }
        self.made_of_kinds();
        for (key, body) in notes.iter().filter(|(key, _)| key.starts_with(LINE_NOTE)) {
            match super::novel::decode(body) {
                Some(novel) => self.take(vec![novel]),
                None => {
                    self.notes.insert(key.clone(), None);
                }
            }
        }
    }

    fn take_waiting(&mut self) {
        let waiting = self.intake.take_waiting();
        if !waiting.is_empty() {
            self.take(waiting);
        }
    }

    fn take(&mut self, batch: Vec<Novel>) {
        assert!(!Failpoint::Triage.is_last(), "a test asked for it (EMBERWATCH_FAILPOINT)");
        let now_ms = self.now_ms();
        let set = self.ledger.watches();
        for novel in batch {
            let lines = novel.lines();
            let Some((id, seen)) = self.kinds.see(&novel, Some(&self.settings.naming), &self.intake.known, now_ms)
            else {
                self.intake.held.forget(novel.sketch);
                continue;
            };
            self.intake.held.insert(novel.sketch);
            let outcome = match seen {
                Seen::Waiting => "waiting",
                Seen::Settled => "settled",
                Seen::Dropped => "dropped",
                Seen::Waits if self.kinds.get(id).is_some_and(|kind| self.in_shadow(&set, kind)) => {
                    self.lift.push(id);
                    "offered"
                }
                Seen::Waits => match self.look_at_breadth(&set).made_for(&set, id) {
                    Some(label) => {
                        self.settle(id, What::Watch, Some(label));
                        "covered"
                    }
                    None => "offered",
                },
            };
            if matches!(outcome, "settled" | "dropped" | "covered") && may_have_note(&novel) {
                self.drop_line_note(novel.sketch);
            }
            self.metrics.triage_lines.with_label_values(&[outcome]).inc_by(lines);
        }
        // What is in use is told from what is not, before the one makes room for the other.
        if self.kinds.is_crowded() && self.swept.elapsed() >= SWEEP_LEAST {
            self.sweep();
        }
        for sketch in self.kinds.take_gone() {
            // Else its lines would be known for ever, and nobody would know as what.
            self.intake.known.forget(sketch);
            self.intake.held.forget(sketch);
            self.notes.insert(format!("{KIND_NOTE}{sketch:016x}"), None);
            self.drop_line_note(sketch);
        }
    }

    pub(super) fn note(&mut self, key: String, body: Option<Vec<u8>>) {
        self.notes.insert(key, body);
    }

    fn drop_line_note(&mut self, sketch: u64) {
        self.intake.forget_note(sketch);
        self.notes.insert(format!("{LINE_NOTE}{sketch:016x}"), None);
    }

    /// Whether a watch in the shadow counts it: its own lines have come again, then.
    fn in_shadow(&self, set: &WatchSet, kind: &Kind) -> bool {
        let (mut scratch, mut found) = (Scratch::default(), false);
        if set.watches().iter().any(Watch::is_shadow) {
            kind.sample.read(Some(&self.settings.naming), |record| {
                set.matches(record, &mut scratch, |_, watch| found |= watch.is_shadow());
            });
        }
        found
    }

    /// Watches whose own lines have come again leave the shadow, with what has come since.
    async fn lift(&mut self) {
        for id in std::mem::take(&mut self.lift).into_iter().take(LIFT_MAX) {
            let set = self.ledger.watches();
            for watch in set.watches().iter().filter(|watch| watch.is_shadow()) {
                let scene = Scene {
                    kinds: &self.kinds,
                    watches: &set,
                    naming: Some(&self.settings.naming),
                    now_ms: self.now_ms(),
                    lateness_ms: self.settings.lateness_ms,
                };
                // Tried now as it would have been then.
                let Some(backlog) = scene.stands(&watch.rule, id) else { continue };
                let held = watch.provenance.as_deref().cloned().unwrap_or_default();
                let provenance = Provenance { shadow: false, ..held };
                let (rule, origin) = (watch.rule.clone(), watch.origin);
                let proposal = Proposal { replaces: Some(rule.clone()), rule, origin, provenance, backlog };
                if self.ledger.adopt(proposal).await.is_ok() {
                    self.made_watch(&watch.rule.label, [id]);
                    self.settle(id, What::Watch, Some(watch.rule.label.clone()));
                }
            }
        }
    }

    /// Whether a watch that nobody proposed, and that tells somebody, counts this kind.
    fn is_counted(&self, set: &WatchSet, id: u64) -> bool {
        let (mut scratch, mut found) = (Scratch::default(), false);
        if let Some(kind) = self.kinds.get(id) {
            kind.sample.read(Some(&self.settings.naming), |record| {
                set.matches(record, &mut scratch, |_, watch| {
                    found |= !watch.origin.is_proposed() && watch.rule.on_crossing != OnCrossing::Log;
                });
            });
        }
        found
    }

    /// What was said of what was asked. What has become worse meanwhile is asked about again.
    fn settle_offer(&mut self, offer: &Offer, what: What, label: Option<String>) {
        if self.kinds.get(offer.kind).is_some_and(|kind| kind.level > offer.level) {
            let now_ms = self.now_ms();
            self.kinds.rewait(offer.kind, now_ms);
            return;
        }
        self.settle(offer.kind, what, label);
    }

    /// What holds from now on, in memory and in the store.
    fn settle(&mut self, id: u64, what: What, label: Option<String>) {
        let now_ms = self.now_ms();
        let Some(kind) = self.kinds.get(id) else { return };
        let holds_ms = if what == What::Ignore { self.settings.ignore_ms } else { REMEMBERED_MS };
        let judgement =
            Judgement { what, at_ms: now_ms, until_ms: now_ms.saturating_add(holds_ms), level: kind.level, label };
        if let Some((key, note)) = verdicts::encode(id, kind, &judgement) {
            self.notes.insert(key, Some(note));
        }
        let sketches = kind.sketches().to_vec();
        self.kinds.settle(id, judgement, &self.intake.known);
        for sketch in sketches {
            self.drop_line_note(sketch);
        }
    }

    /// Asks about the next batch, if one is due and nothing is being asked.
    async fn ask(&mut self) {
        let now_ms = self.now_ms();
        let due = self.kinds.due_ms(self.settings.batch_lines, self.settings.batch_wait_ms);
        if self.asking.is_some() || due.is_none_or(|due| due.max(self.not_before_ms) > now_ms) {
            return;
        }
        // Made for in the meantime: not asked about.
        let set = self.ledger.watches();
        self.look_at_breadth(&set);
        let ids = self.kinds.take(self.at_once.get());
        let (covered, ids): (Vec<u64>, Vec<u64>) = ids.into_iter().partition(|id| self.made_for(&set, *id).is_some());
        for id in covered {
            let label = self.made_for(&set, id);
            self.settle(id, What::Watch, label);
        }
        let offers: Vec<Offer> =
            ids.iter().filter_map(|id| self.kinds.offer(*id, Some(&self.settings.naming))).collect();
        if offers.is_empty() {
            return;
        }
        self.asked_about.clone_from(&offers);
        let asker = self.asker.clone();
        self.asking = Some(tokio::spawn(async move { Answer::Judged(asker.judge(offers).await) }));
    }

    async fn answered(&mut self, answer: Option<Answer>) {
        self.asking = None;
        let asked_about = std::mem::take(&mut self.asked_about);
        if let Some(Answer::Judged(asked)) = &answer {
            self.at_once.learn(asked);
        }
        match answer {
            Some(Answer::Judged(asked)) => match asked.answer {
                Ok(actions) => {
                    // What did not fit into the prompt is asked about next time.
                    for offer in asked.offers.iter().skip(asked.fitted) {
                        self.kinds.postpone(offer.kind, self.now_ms());
                    }
                    let shown: Vec<Offer> = asked.offers.into_iter().take(asked.fitted).collect();
                    self.apply(actions, &shown, &asked.said).await;
                }
                Err(no) => self.stand_in(&asked.offers, asked.fitted, &no).await,
            },
            Some(Answer::Seeded(asked)) => self.seeded(asked).await,
            Some(Answer::Tuned(tuned)) => self.retune(tuned).await,
            None => {
                tracing::error!("a question to the model panicked; what it was about is judged without it");
                let no = NoAnswer { words: "the question panicked".to_owned(), tried: true, too_much: false };
                self.stand_in(&asked_about, asked_about.len(), &no).await;
            }
        }
    }

    fn pause(&mut self) {
        self.not_before_ms = self.now_ms().saturating_add(self.settings.batch_wait_ms.max(PAUSE_LEAST_MS));
    }

    /// The model has not judged these, of which it was asked about the first `fitted`. Severe ones are judged without
    /// it; the others wait again, a few times.
    async fn stand_in(&mut self, offers: &[Offer], fitted: usize, no: &NoAnswer) {
        let now_ms = self.now_ms();
        tracing::debug!(lines = offers.len(), why = no.words, "the built-in triager stands in");
        self.pause();
        if no.too_much && fitted > AT_ONCE_LEAST {
            // Fewer of them may well be answered: the next question is about half as many.
            for offer in offers {
                self.kinds.postpone(offer.kind, now_ms);
            }
            self.metrics.triage_lines.with_label_values(&["again"]).inc_by(offers.len() as u64);
            return;
        }
        let (mut severe, mut left) = (Vec::new(), 0);
        for (place, offer) in offers.iter().enumerate() {
            let tries = match no.tried && place < fitted {
                true => self.kinds.give_back(offer.kind, now_ms),
                false => self.kinds.postpone(offer.kind, now_ms),
            };
            if floor::is_severe(offer) || tries >= TRIES_MAX {
                severe.push(offer.clone());
            } else {
                left += 1;
            }
        }
        self.metrics.triage_lines.with_label_values(&["again"]).inc_by(left);
        let actions = builtin::judge(&severe);
        self.apply(actions, &severe, &Said::builtin()).await;
    }

    async fn tick(&mut self) {
        let now_ms = self.now_ms();
        self.take_waiting();
        if self.swept.elapsed() >= SWEEP {
            self.sweep();
        }
        self.metrics.triage_lines.with_label_values(&["dropped"]).inc_by(self.intake.take_dropped());
        for sketch in self.intake.take_orphans() {
            self.drop_line_note(sketch);
        }
        // Severe kinds do not wait for a model for ever.
        let waited = self.settings.patience_ms;
        let late: Vec<u64> = self
            .kinds
            .iter()
            .filter(|(_, kind)| matches!(kind.state, State::Waiting { since_ms, .. } if now_ms - since_ms >= waited))
            .filter(|(_, kind)| kind.level >= Level::Warn || kind.shape == Shape::Trace)
            .map(|(id, _)| id)
            .take(LATE_MAX)
            .collect();
        let naming = self.settings.naming.clone();
        let offers: Vec<Offer> = late.iter().filter_map(|id| self.kinds.offer(*id, Some(&naming))).collect();
        let severe: Vec<Offer> = offers.into_iter().filter(floor::is_severe).take(self.settings.batch_lines).collect();
        if !severe.is_empty() {
            let actions = builtin::judge(&severe);
            self.apply(actions, &severe, &Said::builtin()).await;
        }
        self.look_after_own().await;
        if self.paged.1.elapsed() >= PAGES_EVERY && !self.passing.is_recorded() {
            self.keep_templates();
        }
        self.flush().await;
    }

    /// Templates that have changed are stored with the next commit.
    fn keep_templates(&mut self) {
        let before = std::mem::replace(&mut self.paged, (self.kinds.template_changes(), self.passing.now()));
        if before.0 != self.paged.0 {
            self.notes.extend(self.pages.changed(&self.kinds.templates()));
        }
    }

    /// Stores what is to be remembered; while the store refuses, it is tried again with each tick. Whether it took it.
    async fn flush(&mut self) -> bool {
        if self.notes.is_empty() {
            return true;
        }
        // The ledger's writer has others to serve.
        let mut bytes = 0usize;
        let few = self.notes.iter().take(NOTES_MAX).take_while(|(_, note)| {
            let fits = bytes < NOTES_BYTES_MAX;
            bytes = bytes.saturating_add(note.as_ref().map_or(0, Vec::len));
            fits
        });
        let keys: Vec<String> = few.map(|(key, _)| key.clone()).collect();
        let notes: Vec<(String, Option<Vec<u8>>)> =
            keys.into_iter().filter_map(|k| self.notes.remove_entry(&k)).collect();
        let stored = self.ledger.note(notes.clone()).await;
        if !stored {
            for (key, note) in notes {
                self.notes.entry(key).or_insert(note);
            }
        }
        stored
    }

    /// Takes up what was counted since the last time.
    fn sweep(&mut self) {
        let seconds = self.swept.elapsed().as_secs_f64();
        self.swept = self.passing.now();
        let now_ms = self.now_ms();
        self.kinds.sweep(&self.intake.known, seconds, now_ms);
        // Somebody removed the watch that they were counted by: they are looked at again.
        let set = self.ledger.watches();
        let lost =
            self.kinds.iter().filter(|(_, kind)| kind.watched_by().is_some_and(|label| set.by_label(label).is_none()));
        for id in lost.map(|(id, _)| id).collect::<Vec<_>>() {
            self.kinds.reopen(id, &self.intake.known, now_ms);
        }
        self.made.retain(|label, _| set.by_label(label).is_some());
        self.look_at_breadth(&set);
    }

    fn show(&self) {
        self.view.beat(self.now_ms());
        let state = self.asker.provider.state();
        self.view.stand(Standing {
            provider: state.provider.to_owned(),
            model: shown(&state),
            kinds: self.kinds.len(),
            waiting: self.kinds.waiting(),
            asking: self.asked_about.len(),
        });
        self.metrics.triage_kinds.set(self.kinds.len() as i64);
        self.metrics.triage_waiting.set(self.kinds.waiting() as i64);
    }
}

fn shown(state: &super::model::State) -> serde_json::Value {
    if state.model.is_none() {
        return serde_json::Value::Null;
    }
    serde_json::json!({
        "name": state.model, "address": state.address, "condition": state.condition.as_str(),
        "since_seconds": state.since_seconds, "last_error": state.last_error, "advice": state.advice,
    })
}

fn reason(action: &Action) -> Redacted {
    Redacted::new(action.summary.as_deref().unwrap_or_default()).one_line().cut(300)
}

#[cfg(test)]
mod tests;
