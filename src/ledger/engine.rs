//! What a commit does to windows, escalations and the outbox: decided here, written by the writer.
//!
//! Time is a parameter and nothing is sent or stored. A group of batches becomes a [`Draft`]; the writer
//! stores [`Engine::transaction`] of it and then calls [`Engine::apply`], or [`Engine::discard`] when the
//! store refused, after which all is as before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::journal::{Counted, Entry, Snapshot, Total, decode, encode, is_active};
use super::repeats::Repeats;
use super::shards::Shards;
use super::window::{Bucket, Phase, Turn, Width, Window};
use super::{Committed, DeliveryKey, Lane, Refused, Staged, StagedGroup, WindowKey};
use crate::escalation::outbox::{Outbox, Row};
use crate::escalation::{self, Crossing, Desk, Escalation};
use crate::notify::deliver::{Leased, Settled};
use crate::notify::notice::NoticeKind;
use crate::store::{Loaded, Transaction};
use crate::watch::rule::{OnCrossing, Rule};
use crate::watch::{OTHER, Origin, Watch, WatchKey, WatchSet, group_values, other_key};

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
    pub escalation: escalation::Settings,
    pub destinations: Vec<&'static str>,
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
    dropped: Vec<WindowKey>,
    confirmed: Vec<DeliveryKey>,
    pub report: Report,
}

/// What metrics want to know of a commit.
#[derive(Default)]
pub struct Report {
    pub matches: HashMap<String, u64>,
    pub crossings: Vec<(String, Option<escalation::Outcome>)>,
    /// Lines of rules that were removed or changed while their request was under way.
    pub orphans: u64,
}

// === impl Engine ===

impl Engine {
    /// `base`: the configured rules, or the built-in ones. Puts back what the store held.
    pub fn new(settings: Settings, base: Vec<Watch>, loaded: Loaded, now_ms: i64) -> (Engine, u64) {
        let mut desk = Desk::new(settings.escalation);
        let mut outbox = Outbox::new(settings.destinations.clone(), settings.max_outbox_rows);
        for (id, body) in &loaded.escalations {
            match serde_json::from_slice::<Escalation>(body) {
                Ok(escalation) => desk.restore(escalation),
                Err(error) => tracing::error!(escalation = id, %error, "stored escalation cannot be read: left out"),
            }
        }
        for (id, body) in &loaded.outbox {
            match serde_json::from_slice::<Row>(body) {
                Ok(row) => outbox.restore(row),
                Err(error) => tracing::error!(row = id, %error, "stored message cannot be read: left out"),
            }
        }
        let watches = with_stored(&base, &loaded.watches);
        let shards = Arc::new(Shards::new(WatchSet::new(watches)));
        let mut engine = Engine {
            repeats: Repeats::new(settings.repeat_ms, settings.max_digests),
            settings,
            shards,
            base,
            desk,
            outbox,
            active: HashSet::new(),
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

    fn replay(&mut self, loaded: &Loaded) -> u64 {
        let mut uptime_ms = 0;
        if let Some(body) = &loaded.snapshot {
            match decode::<Snapshot>(body) {
                Ok(snapshot) => {
                    uptime_ms = snapshot.uptime_ms;
                    for (key, window) in snapshot.windows {
                        self.shards.windows.insert(key, window);
                    }
                    for (watch, total) in snapshot.totals {
                        self.shards.totals.insert(watch, total);
                    }
                    for (delivery, at) in snapshot.unconfirmed {
                        self.repeats.insert(delivery, at);
                    }
                    for (cluster, service, time) in snapshot.seen {
                        self.shards.saw(&cluster, &service, time);
                    }
                }
                Err(error) => tracing::error!(%error, "snapshot cannot be read: counts before it are lost"),
            }
        }
        for body in &loaded.journal {
            match decode::<Entry>(body) {
                Ok(entry) => {
                    uptime_ms = uptime_ms.max(entry.uptime_ms);
                    self.replay_entry(entry);
                }
                Err(error) => tracing::error!(%error, "journal row cannot be read: what it counted is lost"),
            }
        }
        // Rules that are gone take their counters along; the rest keep theirs.
        let set = self.shards.watches();
        self.shards.windows.retain(|key, _| set.by_key(key.watch).is_some());
        self.shards.totals.retain(|watch, _| set.by_key(*watch).is_some());
        self.active = self.shards.windows.iter().filter(|w| is_active(w.phase)).map(|w| w.key().clone()).collect();
        uptime_ms
    }

    fn replay_entry(&mut self, entry: Entry) {
        for delivery in entry.confirmed {
            self.repeats.confirm(delivery);
        }
        for counted in entry.counts {
            let sum: u64 = counted.counts.iter().map(|(_, n)| n).sum();
            let mut total = self.shards.totals.entry(counted.window.watch).or_default();
            total.matched = total.matched.saturating_add(sum);
            total.last_ms = total.last_ms.max(counted.last_ms);
            let mut window = self.shards.windows.entry(counted.window).or_default();
            window.restore(&counted.counts);
            window.touched_ms = entry.at_ms;
        }
        // A window that turned is here as it was after the turn, with all its counts.
        for (key, window) in entry.turned {
            self.shards.windows.insert(key, window);
        }
        for delivery in entry.delivered {
            self.repeats.insert(delivery, entry.uptime_ms);
        }
    }

    // --- commits

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
        let confirmed: HashSet<DeliveryKey> = draft.confirmed.iter().copied().collect();
        let mut delivered: HashSet<DeliveryKey> = HashSet::new();
        let set = self.shards.watches();
        let committed = batches
            .iter()
            .map(|staged| {
                if let Some(delivery) = staged.delivery {
                    // In one group the second of two equal batches finds the first: single flight.
                    let earlier = self.repeats.is_repeat(delivery) && !confirmed.contains(&delivery);
                    if earlier || !delivered.insert(delivery) {
                        return Committed { repeat: true, crossings: Vec::new() };
                    }
                    draft.entry.delivered.push(delivery);
                }
                let mut crossings = Vec::new();
                for group in &staged.groups {
                    match set.by_key(group.watch) {
                        Some(watch) => self.count(&mut draft, watch, group, now, &mut crossings),
                        None => draft.report.orphans += group.counts.iter().map(|(_, n)| n).sum::<u64>(),
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
        let held = || self.shards.windows.get(&key).map(|w| w.clone());
        let mut window = draft.windows.remove(&key).or_else(held).unwrap_or_default();
        let keep_from = match key.lane {
            Lane::Live => width.bucket(now.ms - self.settings.lateness_ms - width.millis()),
            Lane::Late => Bucket::MIN,
        };
        let fired = window.escalation.filter(|_| window.phase == Phase::Firing);
        let turns = window.add(&staged.counts, rule.threshold, keep_from);
        window.touched_ms = now.ms;

        *draft.report.matches.entry(rule.label.clone()).or_default() += sum;
        let total = draft.totals.entry(watch.key).or_default();
        total.matched = total.matched.saturating_add(sum);
        total.last_ms = total.last_ms.max(staged.last_ms);
        draft.entry.counts.push(Counted {
            window: key.clone(),
            counts: staged.counts.clone(),
            last_ms: staged.last_ms,
        });

        if turns.is_empty()
            && let Some(id) = fired
        {
            self.desk.counted(id, sum, staged.first_ms, staged.last_ms, &staged.samples);
        }
        for (place, turn) in turns.iter().enumerate() {
            match turn {
                Turn::Rearmed => {
                    if let Some(id) = window.escalation.take()
                        && let Some(post) = self.desk.quieted(id, now.ms)
                    {
                        self.outbox.post(&post);
                    }
                }
                Turn::Crossed { at } => {
                    let next = turns.iter().skip(place + 1).find_map(|t| match t {
                        Turn::Crossed { at } => Some(*at),
                        Turn::Rearmed => None,
                    });
                    let outcome = self.cross(watch, staged, &mut window, &key, (*at, next), now);
                    crossings.push(rule.label.clone());
                    draft.report.crossings.push((rule.label.clone(), outcome));
                }
            }
        }
        if !turns.is_empty() {
            draft.entry.turned(&key, &window);
        }
        draft.windows.insert(key, window);
    }

    /// `at`: where it crossed, and where the next crossing of the same commit is, if there is one.
    fn cross(
        &mut self,
        watch: &Watch,
        staged: &StagedGroup,
        window: &mut Window,
        key: &WindowKey,
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
            samples: staged.samples.clone(),
        };
        let (id, outcome, post) = self.desk.crossed(crossing, now.ms);
        window.escalation = Some(id);
        if let Some(post) = post {
            self.outbox.post(&post);
        }
        Some(outcome)
    }

    /// The group's own window, or, when there is no room for one more, the one of all others. Expired
    /// windows make room first; a live one never does.
    fn window_key(&self, draft: &Draft, watch: &Watch, staged: &StagedGroup, width: Width, now: Now) -> WindowKey {
        let key = WindowKey { watch: watch.key, lane: staged.lane, group: staged.group.clone() };
        if draft.windows.contains_key(&key) || self.shards.windows.contains_key(&key) {
            return key;
        }
        if self.shards.windows.len() + draft.windows.len() < self.settings.max_windows {
            return key;
        }
        let at = width.bucket(now.ms);
        let expired = self
            .shards
            .windows
            .iter()
            .find(|w| w.key().watch == watch.key && w.is_expired(at) && !draft.windows.contains_key(w.key()))
            .map(|w| w.key().clone());
        if let Some(expired) = expired {
            self.shards.windows.remove(&expired);
            return key;
        }
        let mut group = Vec::new();
        other_key(watch.rule.group_by.len(), &mut group);
        WindowKey { group: group.into(), ..key }
    }

    // --- time

    /// Turns what time alone turns. `None`: nothing did.
    pub fn tick(&mut self, now: Now) -> Option<Draft> {
        self.repeats.forget(now.uptime_ms);
        let mut draft =
            Draft { entry: Entry { at_ms: now.ms, uptime_ms: now.uptime_ms, ..Entry::default() }, ..Draft::default() };
        let set = self.shards.watches();
        for key in self.active.clone() {
            let held = self.shards.windows.get(&key).map(|w| w.clone());
            let (Some(watch), Some(mut window)) = (set.by_key(key.watch), held) else {
                draft.dropped.push(key);
                continue;
            };
            if self.turn(watch, &key, &mut window, now) {
                draft.entry.turned(&key, &window);
                draft.windows.insert(key, window);
            }
        }
        let quiet = draft.windows.is_empty() && draft.dropped.is_empty();
        (!quiet).then_some(draft)
    }

    fn turn(&mut self, watch: &Watch, key: &WindowKey, window: &mut Window, now: Now) -> bool {
        let width = Width::of_seconds(watch.rule.window_seconds);
        let post = match (window.phase, key.lane) {
            (Phase::Quiet, _) => return false,
            (_, Lane::Late) => {
                if now.ms - window.touched_ms < self.settings.escalation.dedup_ms {
                    return false;
                }
                window.rearm(Phase::Quiet);
                window.escalation.take().and_then(|id| self.desk.quieted(id, now.ms))
            }
            (Phase::Firing, Lane::Live) => {
                // What is on its way from before our own start must have had its time to come.
                let up_long_enough = now.ms - self.started_ms >= width.millis();
                if !window.has_been_below(width.bucket(now.ms)) || !up_long_enough {
                    return false;
                }
                let last_seen = self.last_seen(watch, key);
                let alive = last_seen.is_some_and(|last| last >= width.start_ms(window.above_until() + 1));
                if alive {
                    window.rearm(Phase::Quiet);
                    window.escalation.take().and_then(|id| self.desk.quieted(id, now.ms))
                } else {
                    window.rearm(Phase::NoData { back_since_ms: None });
                    window.escalation.and_then(|id| self.desk.fell_silent(id, last_seen, now.ms))
                }
            }
            (Phase::NoData { back_since_ms }, Lane::Live) => match back_since_ms {
                None if self.last_seen(watch, key) >= Some(width.start_ms(window.above_until() + 1)) => {
                    window.phase = Phase::NoData { back_since_ms: Some(now.ms) };
                    None
                }
                Some(back) if now.ms - back >= width.millis() => {
                    window.phase = Phase::Quiet;
                    window.escalation.take().and_then(|id| self.desk.came_back(id, now.ms))
                }
                _ => return false,
            },
        };
        if let Some(post) = post {
            self.outbox.post(&post);
        }
        true
    }

    /// Newest live record of the services that a group stands for.
    fn last_seen(&self, watch: &Watch, key: &WindowKey) -> Option<i64> {
        let values = group_values(&key.group);
        let wanted = |name: &str| {
            let place = watch.rule.group_by.iter().position(|n| n == name)?;
            values.get(place).filter(|v| *v != OTHER)
        };
        let (cluster, service) = (wanted("cluster"), wanted("service"));
        self.shards.last_seen(|c, s| cluster.is_none_or(|w| w == c) && service.is_none_or(|w| w == s))
    }

    /// Forgets windows that hold nothing any more, and what the clock of arrivals says is over.
    pub fn sweep(&mut self, now: Now) {
        let set = self.shards.watches();
        let lateness_ms = self.settings.lateness_ms;
        let late_ms = self.settings.escalation.dedup_ms;
        self.shards.windows.retain(|key, window| {
            let Some(watch) = set.by_key(key.watch) else { return false };
            let width = Width::of_seconds(watch.rule.window_seconds);
            match key.lane {
                // A straggler may still come for as long as it would not be late.
                Lane::Live => !window.is_expired(width.bucket(now.ms - lateness_ms)),
                Lane::Late => window.phase != Phase::Quiet || now.ms - window.touched_ms < late_ms,
            }
        });
    }

    // --- rules

    pub fn put_watch(&mut self, rule: Rule, origin: Origin, now: Now) -> Result<(Draft, bool), Refused> {
        let mut watches = self.shards.watches().watches().to_vec();
        let place = watches.iter().position(|w| w.rule.label == rule.label);
        if place.is_none() && watches.len() >= WATCHES_MAX {
            return Err(Refused::Full(WATCHES_MAX));
        }
        let mut draft = self.draft(now);
        draft.watch_rows.push((rule.label.clone(), Some(rule.to_json().to_string().into_bytes())));
        let watch = Watch::new(rule, origin);
        match place.and_then(|place| watches.get_mut(place)) {
            Some(held) => *held = watch,
            None => watches.push(watch),
        }
        self.change_watches(&mut draft, watches);
        Ok((draft, place.is_some()))
    }

    pub fn delete_watch(&mut self, label: &str, now: Now) -> Result<Draft, Refused> {
        let set = self.shards.watches();
        let watch = set.by_label(label).ok_or(Refused::Unknown)?;
        if watch.origin != Origin::Api {
            return Err(Refused::Configured);
        }
        let mut draft = self.draft(now);
        draft.watch_rows.push((label.to_owned(), None));
        let base = self.base.iter().find(|w| w.rule.label == label).cloned();
        let watches = set
            .watches()
            .iter()
            .filter_map(|w| if w.rule.label == label { base.clone() } else { Some(w.clone()) })
            .collect();
        self.change_watches(&mut draft, watches);
        Ok(draft)
    }

    /// Counters whose rule is gone or counts something else now are dropped; what they escalated is over
    /// without a word, since a person ended it.
    fn change_watches(&mut self, draft: &mut Draft, watches: Vec<Watch>) {
        let kept: HashSet<WatchKey> = watches.iter().map(|w| w.key).collect();
        let gone = self.shards.windows.iter().filter(|w| !kept.contains(&w.key().watch));
        let gone: Vec<(WindowKey, Option<u64>)> = gone.map(|w| (w.key().clone(), w.escalation)).collect();
        for (key, escalation) in gone {
            if let Some(id) = escalation {
                self.desk.abandoned(id);
            }
            draft.dropped.push(key);
        }
        draft.watches = Some(watches);
    }

    // --- the outbox

    /// The next row of a destination, marked as attempted; else when to ask again.
    pub fn lease(&mut self, destination: &str, now: Now) -> Result<(Draft, Leased), Option<i64>> {
        let id = self.outbox.next(destination, now.ms)?;
        let row = self.outbox.get(id).ok_or(None)?;
        let escalation = self.desk.get(row.escalation);
        let mut notice = row.notice.clone();
        // The first message tells the count of the moment it leaves; the others, what they were posted for.
        if notice.kind == NoticeKind::Opened
            && row.attempts == 0
            && let Some(escalation) = escalation
        {
            notice = escalation.notice(NoticeKind::Opened, notice.at_ms);
        }
        // An attempt that failed clearly did not arrive; `in_doubt` stays as restored.
        let thread = escalation.and_then(|e| e.threads.get(destination).cloned());
        let row = self.outbox.lease(id, notice, now.ms).ok_or(None)?;
        let leased = Leased {
            row: id,
            attempt: row.attempts,
            first_attempt_ms: row.first_attempt_ms.unwrap_or(now.ms),
            notice: row.notice.clone(),
            thread,
        };
        Ok((Draft::default(), leased))
    }

    pub fn settle(&mut self, row: u64, outcome: &Settled) -> Draft {
        if let (Some(held), Settled::Done { thread: Some(thread) }) = (self.outbox.get(row), outcome)
            && held.notice.kind == NoticeKind::Opened
        {
            let (escalation, destination) = (held.escalation, held.destination.clone());
            self.desk.thread(escalation, &destination, thread.clone());
        }
        self.outbox.settle(row, outcome);
        Draft::default()
    }

    pub fn hurry(&mut self, now: Now) -> usize {
        self.outbox.hurry(now.ms);
        self.outbox.waiting().0
    }

    // --- durability

    /// What must be durable before anyone hears of the draft.
    pub fn transaction(&self, draft: &mut Draft) -> Transaction {
        draft.entry.confirmed = draft.confirmed.iter().copied().filter(|d| self.repeats.is_repeat(*d)).collect();
        let json = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
        Transaction {
            journal: (!draft.entry.is_empty()).then(|| encode(&draft.entry)),
            escalations: self
                .desk
                .changes()
                .iter()
                .map(|(id, e)| (*id, e.map(|e| json(serde_json::to_vec(e)))))
                .collect(),
            outbox: self.outbox.changes().iter().map(|(id, r)| (*id, r.map(|r| json(serde_json::to_vec(r))))).collect(),
            watches: draft.watch_rows.clone(),
        }
    }

    /// It is durable: show it.
    pub fn apply(&mut self, draft: Draft, now: Now) {
        self.desk.settled();
        self.outbox.settled();
        for delivery in draft.confirmed {
            self.repeats.confirm(delivery);
        }
        for delivery in draft.entry.delivered {
            self.repeats.insert(delivery, now.uptime_ms);
        }
        for (watch, more) in draft.totals {
            let mut total = self.shards.totals.entry(watch).or_default();
            total.matched = total.matched.saturating_add(more.matched);
            total.last_ms = total.last_ms.max(more.last_ms);
        }
        for (key, window) in draft.windows {
            if is_active(window.phase) {
                self.active.insert(key.clone());
            } else {
                self.active.remove(&key);
            }
            self.shards.windows.insert(key, window);
        }
        if let Some(watches) = draft.watches {
            let kept: HashSet<WatchKey> = watches.iter().map(|w| w.key).collect();
            self.shards.set_watches(WatchSet::new(watches));
            self.shards.totals.retain(|watch, _| kept.contains(watch));
        }
        for key in draft.dropped {
            self.active.remove(&key);
            self.shards.windows.remove(&key);
        }
        self.shards.outbox_changed.notify_waiters();
    }

    /// The store refused: as if nothing had been said. Confirmations were heard all the same.
    pub fn discard(&mut self, draft: Draft) {
        self.desk.take_back();
        self.outbox.take_back();
        for delivery in draft.confirmed {
            self.shards.confirm(delivery);
        }
    }

    pub fn snapshot(&self, now: Now) -> Vec<u8> {
        encode(&Snapshot {
            uptime_ms: now.uptime_ms,
            windows: self.shards.windows.iter().map(|w| (w.key().clone(), w.value().clone())).collect(),
            totals: self.shards.totals.iter().map(|t| (*t.key(), *t.value())).collect(),
            unconfirmed: self.repeats.iter().collect(),
            seen: self.shards.seen(),
        })
    }
}

/// The configured rules, and those set over the API whose label the configuration does not claim.
fn with_stored(base: &[Watch], stored: &[(String, Vec<u8>)]) -> Vec<Watch> {
    let mut watches = base.to_vec();
    for (label, body) in stored {
        if let Some(held) = watches.iter().find(|w| w.rule.label == *label && w.origin == Origin::Config) {
            tracing::warn!(label = held.rule.label, "a watch set over the API has this label: the configured one wins");
            continue;
        }
        let mut faults = Vec::new();
        let rule = serde_json::from_slice(body).ok().and_then(|json| Rule::from_json(&json, label, &mut faults));
        let Some(rule) = rule else {
            tracing::error!(label, ?faults, "stored watch cannot be read: left out");
            continue;
        };
        watches.retain(|w| w.rule.label != *label);
        watches.push(Watch::new(rule, Origin::Api));
    }
    watches
}

#[cfg(test)]
mod tests;
