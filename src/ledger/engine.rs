//! What a commit does to windows, escalations and the outbox: decided here, written by the writer.
//!
//! Time is a parameter and nothing is sent or stored. A group of batches becomes a [`Draft`]; the writer
//! stores [`Engine::transaction`] of it and then calls [`Engine::apply`], or [`Engine::discard`] when the
//! store refused, after which all is as before.

pub mod alerts;
mod posts;
mod proposals;
mod replay;
mod rules;
mod time;

pub use proposals::PROPOSED_MAX;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::journal::{Counted, Entry, Total, encode, is_active};
use super::repeats::Repeats;
use super::shards::Shards;
use super::window::{Bucket, Phase, Turn, Width, Window};
use super::{Committed, DeliveryKey, Lane, Staged, StagedGroup, WindowKey};
use crate::escalation::outbox::{Outbox, Row};
use crate::escalation::pace::{self, Pace};
use crate::escalation::{self, Crossing, Desk, Escalation, SAMPLES_MAX};
use crate::notify::notice::Dossiers;
use crate::record::naming::Naming;
use crate::record::stripped::Sample;
use crate::redact::Redacted;
use crate::store::{Loaded, Transaction};
use crate::watch::rule::OnCrossing;
use crate::watch::{Watch, WatchKey, WatchSet, group_values, other_key};

/// Most watches of all origins.
pub const WATCHES_MAX: usize = 1000;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Records older than this at arrival are late.
    pub lateness_ms: i64,
    pub max_windows: usize,
    pub repeat_ms: u64,
    pub max_digests: usize,
    pub max_outbox_rows: usize,
    /// How many messages people are sent.
    pub pace: Pace,
    pub escalation: escalation::Settings,
    pub destinations: Vec<&'static str>,
    /// What messages say of where dossiers are.
    pub dossiers: Dossiers,
    /// What the operator says about names: lines are read again with it.
    pub naming: Arc<Naming>,
}

/// Both clocks, read once for a group of batches.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Unix milliseconds.
    pub ms: i64,
    /// Milliseconds that the receiver has been up, in all its runs.
    pub uptime_ms: u64,
}

pub struct Engine {
    settings: Settings,
    shards: Arc<Shards>,
    /// Rules of the configuration, or the built-in ones: what a deleted replacement gives way to.
    base: Vec<Watch>,
    desk: Desk,
    outbox: Outbox,
    repeats: Repeats,
    /// Windows that time alone can turn.
    active: HashSet<WindowKey>,
    /// Windows of each proposed watch: those have a share of their own.
    proposed_windows: HashMap<WatchKey, usize>,
    started_ms: i64,
}

/// One commit, decided and not yet durable.
#[derive(Default)]
pub struct Draft {
    windows: HashMap<WindowKey, Window>,
    totals: HashMap<WatchKey, Total>,
    entry: Entry,
    watches: Option<Vec<Watch>>,
    watch_rows: Vec<(String, Option<Vec<u8>>)>,
    notes: Vec<(String, Option<Vec<u8>>)>,
    service_rows: Vec<(String, Option<Vec<u8>>)>,
    case_rows: Vec<(String, Option<Vec<u8>>)>,
    /// Labels of proposed watches that crossed for the first time.
    fired: Vec<String>,
    /// Windows whose phase changed.
    turned: HashSet<WindowKey>,
    dropped: Vec<WindowKey>,
    /// Watches of which no window can make room for another: looked for once a commit.
    full: HashSet<WatchKey>,
    /// How many of `windows` are new.
    created: usize,
    /// With the turn of each.
    confirmed: Vec<(DeliveryKey, u64)>,
    pub report: Report,
}

/// What metrics want to know of a commit.
#[derive(Default)]
pub struct Report {
    pub matches: HashMap<String, u64>,
    pub crossings: Vec<(String, Option<escalation::Outcome>)>,
    /// Escalations that no watch made.
    pub raised: Vec<(String, escalation::Outcome)>,
    /// Lines of rules that were removed or changed while their request was under way.
    pub orphans: u64,
}

// === impl Engine ===

impl Engine {
    /// `base`: the configured rules, or the built-in ones. Puts back what the store held.
    pub fn new(settings: Settings, base: Vec<Watch>, loaded: Loaded, now_ms: i64) -> (Engine, u64) {
        let mut desk = Desk::new(settings.escalation);
        let mut outbox = Outbox::new(settings.destinations.clone(), settings.max_outbox_rows, settings.pace.clone());
        for (id, body) in &loaded.escalations {
            match serde_json::from_slice::<Escalation>(body) {
                Ok(escalation) => desk.restore(escalation),
                Err(error) => tracing::error!(escalation = id, %error, "stored escalation cannot be read: left out"),
            }
        }
        for (id, body) in &loaded.outbox {
            if *id == pace::ROW {
                if let Err(error) = outbox.paces().restore(body) {
                    tracing::error!(%error, "the count of today's messages cannot be read: it begins anew");
                }
                continue;
            }
            match serde_json::from_slice::<Row>(body) {
                Ok(row) => outbox.restore(row),
                Err(error) => tracing::error!(row = id, %error, "stored message cannot be read: left out"),
            }
        }
        let watches = rules::with_stored(&base, &loaded.watches);
        let shards = Arc::new(Shards::new(WatchSet::new(watches)));
        let mut engine = Engine {
            repeats: Repeats::new(settings.repeat_ms, settings.max_digests),
            settings,
            shards,
            base,
            desk,
            outbox,
            active: HashSet::new(),
            proposed_windows: HashMap::new(),
            started_ms: now_ms,
        };
        let uptime_ms = engine.replay(&loaded);
        (engine, uptime_ms)
    }

    pub fn shards(&self) -> Arc<Shards> {
        self.shards.clone()
    }

    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub fn unconfirmed(&self) -> usize {
        self.repeats.len()
    }

    fn draft(&self, now: Now) -> Draft {
        let confirmed = self.shards.take_confirmed();
        Draft {
            entry: Entry { at_ms: now.ms, uptime_ms: now.uptime_ms, ..Entry::default() },
            confirmed,
            ..Draft::default()
        }
    }

    /// Counts batches in order: all that each says, or, of a repeat, nothing.
    pub fn commit(&mut self, batches: &[Staged], now: Now) -> (Draft, Vec<Committed>) {
        let mut draft = self.draft(now);
        let confirmed: HashMap<DeliveryKey, u64> = draft.confirmed.iter().copied().collect();
        let mut delivered: HashSet<DeliveryKey> = HashSet::new();
        let set = self.shards.watches();
        let committed = batches
            .iter()
            .map(|staged| {
                if let Some(delivery) = staged.delivery {
                    // In one group the second of two equal batches finds the first: single flight.
                    let heard = confirmed.get(&delivery).copied();
                    let earlier = self.repeats.is_repeat(delivery, staged.began, heard);
                    if earlier || !delivered.insert(delivery) {
                        return Committed { repeat: true, crossings: Vec::new() };
                    }
                    draft.entry.delivered.push(delivery);
                }
                draft.notes.extend(staged.notes.iter().map(|(key, note)| (key.clone(), Some(note.clone()))));
                let mut crossings = Vec::new();
                // What people's watches say comes first: proposed ones are quiet about what those tell.
                for proposed in [false, true] {
                    for group in &staged.groups {
                        match set.by_key(group.watch) {
                            Some(watch) if watch.origin.is_proposed() == proposed => {
                                self.count(&mut draft, watch, group, now, &mut crossings);
                            }
                            None if !proposed => {
                                draft.report.orphans += group.counts.iter().map(|(_, n)| n).sum::<u64>()
                            }
                            _ => {}
                        }
                    }
                }
                Committed { repeat: false, crossings }
            })
            .collect();
        (draft, committed)
    }

    fn count(&mut self, draft: &mut Draft, watch: &Watch, staged: &StagedGroup, now: Now, crossings: &mut Vec<String>) {
        let rule = &watch.rule;
        let width = Width::of_seconds(rule.window_seconds);
        let key = self.window_key(draft, watch, staged, width, now);
        let sum: u64 = staged.counts.iter().map(|(_, n)| n).sum();
        let held = draft.windows.remove(&key).or_else(|| self.shards.windows.get(&key).map(|w| w.clone()));
        draft.created += usize::from(held.is_none() && !watch.origin.is_proposed());
        let mut window = held.unwrap_or_default();
        let keep_from = match key.lane {
            Lane::Live => width.bucket(now.ms - self.settings.lateness_ms - width.millis()),
            Lane::Late => Bucket::MIN,
        };
        let above_until = window.above_until();
        let fired = window.escalation.filter(|_| window.phase == Phase::Firing);
        let turns = window.add(&staged.counts, rule.threshold, keep_from);
        window.touched_ms = now.ms;

        *draft.report.matches.entry(rule.label.clone()).or_default() += sum;
        let total = draft.totals.entry(watch.key).or_default();
        total.matched = total.matched.saturating_add(sum);
        total.last_ms = total.last_ms.max(staged.last_ms);

        if turns.is_empty()
            && let Some(id) = fired
        {
            let room = self.desk.room_for_samples(id);
            self.desk.counted(id, sum, staged.first_ms, staged.last_ms, &shown(&staged.samples, room.min(1)));
            // As with samples: once there are enough of them, nothing is looked at any more.
            if room > 0 {
                self.desk.failed_at(id, || places(staged.samples.get(..1).unwrap_or_default()));
            }
        }
        for (place, turn) in turns.iter().enumerate() {
            match turn {
                Turn::Rearmed => {
                    let Some(id) = window.escalation.take() else { continue };
                    // A match that comes late shows that the flood is over, but not that anything was well in
                    // between: that is told only when the service was heard of then, and we were there.
                    let quiet_from = width.start_ms(above_until + 1);
                    let heard = self.last_seen(watch, &key).is_some_and(|last| last >= quiet_from);
                    if heard && now.ms - self.started_ms >= width.millis() {
                        if let Some(post) = self.desk.quieted(id, now.ms) {
                            self.outbox.post(&post);
                        }
                    } else {
                        self.desk.abandoned(id);
                    }
                }
                Turn::Crossed { at } => {
                    let next = turns.iter().skip(place + 1).find_map(|t| match t {
                        Turn::Crossed { at } => Some(*at),
                        Turn::Rearmed => None,
                    });
                    let outcome = self.cross(draft, watch, staged, (&mut window, &key), (*at, next), now);
                    crossings.push(rule.label.clone());
                    draft.report.crossings.push((rule.label.clone(), outcome));
                }
            }
        }
        draft.entry.counts.push(Counted {
            window: key.clone(),
            counts: staged.counts.clone(),
            last_ms: staged.last_ms,
            above_until: window.above_until(),
        });
        if !turns.is_empty() {
            draft.turned.insert(key.clone());
        }
        draft.windows.insert(key, window);
    }

    /// `at`: where it crossed, and where the next crossing of the same commit is, if there is one.
    fn cross(
        &mut self,
        draft: &mut Draft,
        watch: &Watch,
        staged: &StagedGroup,
        (window, key): (&mut Window, &WindowKey),
        at: (Bucket, Option<Bucket>),
        now: Now,
    ) -> Option<escalation::Outcome> {
        let rule = &watch.rule;
        let width = Width::of_seconds(rule.window_seconds);
        let (at, next) = at;
        let later = next.map_or(0, |next| window.count_since_window_of(next));
        let count = window.count_since_window_of(at).saturating_sub(later);
        let first_ms = window.first_since_window_of(at).map_or(staged.first_ms, |first| {
            width.start_ms(first).max(staged.first_ms.min(width.start_ms(first + 1) - 1))
        });
        window.escalation = None;
        if rule.on_crossing == OnCrossing::Log {
            tracing::info!(label = rule.label, count, threshold = rule.threshold, "watch crossed (on_crossing = log)");
            return None;
        }
        if watch.is_shadow() {
            return None;
        }
        if watch.origin.is_proposed() {
            if watch.provenance.as_ref().is_some_and(|p| !p.fired) && !draft.fired.contains(&rule.label) {
                draft.fired.push(rule.label.clone());
            }
            if let Some(id) = self.covering(draft, staged) {
                self.desk.covers(id, &rule.label);
                return Some(escalation::Outcome::Covered);
            }
        }
        let names = rule.group_by.iter();
        let group: Vec<(String, String)> = names.cloned().zip(group_values(&key.group)).collect();
        let of_group = |name: &str| group.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let crossing = Crossing {
            label: rule.label.clone(),
            severity: rule.severity,
            summary: rule.summary.clone(),
            cluster: of_group("cluster").unwrap_or_else(|| staged.cluster.clone()),
            service: of_group("service").unwrap_or_else(|| staged.service.clone()),
            group,
            threshold: rule.threshold,
            window_seconds: u64::from(rule.window_seconds),
            late: key.lane == Lane::Late,
            count,
            first_ms,
            last_ms: staged.last_ms,
            samples: shown(&staged.samples, SAMPLES_MAX),
            proposed: watch.origin.is_proposed(),
        };
        let (id, outcome, post) = self.desk.crossed(crossing, rule.on_crossing, now.ms);
        self.desk.failed_at(id, || places(&staged.samples));
        window.escalation = Some(id);
        if let Some(post) = post {
            self.outbox.post(&post);
        }
        Some(outcome)
    }

    /// The group's own window, or, when there is no room for one more, the one of all others. Expired
    /// windows make room first; a live one never does.
    fn window_key(&self, draft: &mut Draft, watch: &Watch, staged: &StagedGroup, width: Width, now: Now) -> WindowKey {
        let key = WindowKey { watch: watch.key, lane: staged.lane, group: staged.group.clone() };
        if draft.windows.contains_key(&key) || self.shards.windows.contains_key(&key) {
            return key;
        }
        if watch.origin.is_proposed() {
            let held = self.proposed_windows.get(&watch.key).copied().unwrap_or(0);
            let added = draft.windows.keys().filter(|k| k.watch == watch.key).count();
            return if held + added < self.proposed_share() { key } else { self.other_window(watch, key) };
        }
        let others: usize = self.proposed_windows.values().sum();
        if self.shards.windows.len() - others.min(self.shards.windows.len()) + draft.created
            - draft.dropped.len().min(draft.created)
            < self.settings.max_windows
        {
            return key;
        }
        let at = width.bucket(now.ms);
        if draft.full.contains(&watch.key) {
            return self.other_window(watch, key);
        }
        let expired = self
            .shards
            .windows
            .iter()
            .find(|w| {
                // A late window lies in the past by nature: the sweep ends it.
                w.key().watch == watch.key
                    && w.key().lane == Lane::Live
                    && w.is_expired(at)
                    && !draft.windows.contains_key(w.key())
                    && !draft.dropped.contains(w.key())
            })
            .map(|w| w.key().clone());
        if let Some(expired) = expired {
            draft.dropped.push(expired);
            return key;
        }
        draft.full.insert(watch.key);
        self.other_window(watch, key)
    }

    fn other_window(&self, watch: &Watch, key: WindowKey) -> WindowKey {
        let mut group = Vec::new();
        other_key(watch.rule.group_by.len(), &mut group);
        WindowKey { group: group.into(), ..key }
    }

    /// What must be durable before anyone hears of the draft.
    pub fn transaction(&self, draft: &mut Draft) -> Transaction {
        self.mark_fired(draft);
        // As they are at the end: a window may have counted on after it turned.
        let turned = draft.turned.iter().filter_map(|key| Some((key.clone(), draft.windows.get(key)?.clone())));
        draft.entry.turned = turned.collect();
        let confirmed = draft.confirmed.iter().map(|(delivery, _)| *delivery);
        draft.entry.confirmed = confirmed.filter(|d| self.repeats.is_unconfirmed(*d)).collect();
        draft.entry.grown = self.desk.grown();
        let json = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
        Transaction {
            journal: (!draft.entry.is_empty()).then(|| encode(&draft.entry)),
            escalations: self
                .desk
                .changes()
                .iter()
                .map(|(id, e)| (*id, e.map(|e| json(serde_json::to_vec(e)))))
                .collect(),
            outbox: self.outbox.rows_to_write(),
            watches: draft.watch_rows.clone(),
            triage: draft.notes.clone(),
            services: draft.service_rows.clone(),
            cases: draft.case_rows.clone(),
        }
    }

    /// It is durable: show it.
    pub fn apply(&mut self, draft: Draft, now: Now) {
        if self.desk.investigations_moved().next().is_some() {
            self.shards.investigations_changed.notify_one();
        }
        let outbox_changed = self.outbox.has_changed();
        self.desk.settled();
        self.outbox.settled();
        for (delivery, turn) in draft.confirmed {
            self.repeats.confirm(delivery, turn, now.uptime_ms);
        }
        for delivery in draft.entry.delivered {
            self.repeats.insert(delivery, now.uptime_ms);
        }
        for (watch, more) in draft.totals {
            let mut total = self.shards.totals.entry(watch).or_default();
            total.matched = total.matched.saturating_add(more.matched);
            total.last_ms = total.last_ms.max(more.last_ms);
        }
        if let Some(watches) = draft.watches {
            let kept: HashSet<WatchKey> = watches.iter().map(|w| w.key).collect();
            self.shards.set_watches(WatchSet::new(watches));
            self.shards.totals.retain(|watch, _| kept.contains(watch));
        }
        for (key, window) in draft.windows {
            if is_active(window.phase) {
                self.active.insert(key.clone());
            } else {
                self.active.remove(&key);
            }
            self.put_window(key, window);
        }
        for key in draft.dropped {
            self.active.remove(&key);
            self.drop_window(&key);
        }
        if outbox_changed {
            self.shards.outbox_changed.notify_waiters();
        }
    }

    /// The store refused: as if nothing had been said. Confirmations were heard all the same.
    pub fn discard(&mut self, draft: Draft) {
        self.desk.take_back();
        self.outbox.take_back();
        for (delivery, turn) in draft.confirmed {
            self.shards.confirm(delivery, turn);
        }
    }
}

/// As many as there is room for, in the form that people may see; equal ones once.
fn shown(samples: &[Sample], room: usize) -> Vec<Redacted> {
    let mut shown: Vec<Redacted> = Vec::new();
    for sample in samples.iter().take(room) {
        let redacted = sample.redacted();
        if !shown.contains(&redacted) {
            shown.push(redacted);
        }
    }
    shown
}

/// Where the lines' traces lead; each place once.
fn places(samples: &[Sample]) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for place in samples.iter().take(SAMPLES_MAX).flat_map(Sample::places) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests;
