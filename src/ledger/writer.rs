//! The one writer: a thread that owns the engine and the store, and commits groups of batches.
//!
//! While one group is being synced the next one gathers, so the rate of syncs adapts to the disk and never
//! to the number of requests. Failpoints stand before and after each write for the tests that kill us there.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::engine::{Draft, Engine, Now, Settings};
use super::{Command, Committed, Lease, Ledger, Staged, Unavailable};
use crate::escalation::investigation::Investigation;
use crate::failpoint::Failpoint;
use crate::metrics::Metrics;
use crate::moment::{Moment, Passing};
use crate::notify::deliver::{Leased, Settled};
use crate::store::nothing::Nothing;
use crate::store::{Loaded, Store, Transaction};
use crate::watch::Watch;

/// Most batches of one transaction: a bound on what one failed write costs, far above what gathers in a sync.
const GROUP_MAX: usize = 256;
/// A snapshot may take at most this share of the writer's time.
const SNAPSHOT_SHARE: u32 = 20;

pub struct Parts {
    pub settings: Settings,
    pub base: Vec<Watch>,
    pub store: Box<dyn Store>,
    pub loaded: Loaded,
    pub metrics: Metrics,
    /// Unix milliseconds.
    pub clock: fn() -> i64,
    /// Batches that may wait for the writer; more wait in their requests.
    pub queue: usize,
    pub snapshot_every: Duration,
    /// By which clock that is, and windows are looked after.
    pub passing: Passing,
}

struct Writer {
    engine: Engine,
    store: Box<dyn Store>,
    metrics: Metrics,
    clock: fn() -> i64,
    started: Moment,
    /// Uptime of earlier runs.
    uptime_before_ms: u64,
    snapshot_every: Duration,
    passing: Passing,
    /// When the last one was begun, and how long the next one waits.
    snapshot_last: (Moment, Duration),
    /// Something was journalled since the last snapshot.
    dirty: bool,
    /// Deliveries whose end is not stored yet: one a destination at the most.
    unsettled: Vec<(u64, Settled)>,
    /// The last write failed: said once, and once when it is over.
    failing: bool,
}

type Waiting = (Staged, oneshot::Sender<Result<Committed, Unavailable>>);

/// Starts the writer. The second value resolves when its thread has ended: after `close`, or because it
/// panicked, and then the process must not go on.
pub fn start(parts: Parts) -> std::io::Result<(Ledger, oneshot::Receiver<()>)> {
    let (clock, queue) = (parts.clock, parts.queue);
    let writer = Writer::new(parts);
    let shards = writer.engine.shards();
    let (commands, inbox) = mpsc::channel(queue);
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("ledger".into()).spawn(move || {
        // Dropped when the thread ends, however it ends.
        let _ended = ended;
        writer.run(inbox);
    })?;
    Ok((Ledger::new(commands, shards, clock), end))
}

/// A writer without a thread: it works while what is answered is polled, which ends with [`Ledger::close`]. For who has
/// a clock of his own and wants each run to be the same.
pub fn start_here(parts: Parts) -> (Ledger, impl Future<Output = ()> + Send) {
    let (clock, queue) = (parts.clock, parts.queue);
    let writer = Writer::new(parts);
    let shards = writer.engine.shards();
    let (commands, inbox) = mpsc::channel(queue);
    (Ledger::new(commands, shards, clock), writer.run_here(inbox))
}

impl Writer {
    fn new(parts: Parts) -> Writer {
        parts.metrics.store_damaged.set(i64::try_from(parts.loaded.damaged).unwrap_or(i64::MAX));
        parts.metrics.store_begun_anew.set(i64::from(parts.loaded.begun_anew));
        let (engine, uptime_before_ms) = Engine::new(parts.settings, parts.base, parts.loaded, (parts.clock)());
        let shards = engine.shards();
        for watch in shards.watches().watches() {
            parts.metrics.watch_matches.with_label_values(&[&watch.rule.label]).inc_by(shards.total(watch.key).matched);
        }
        Writer {
            engine,
            store: parts.store,
            metrics: parts.metrics,
            clock: parts.clock,
            started: parts.passing.now(),
            uptime_before_ms,
            snapshot_every: parts.snapshot_every,
            // At the first tick: counters of rules that are gone must not come back with the rule.
            snapshot_last: (parts.passing.now(), Duration::ZERO),
            passing: parts.passing,
            dirty: true,
            unsettled: Vec::new(),
            failing: false,
        }
    }

    fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.gauges();
        while let Some(first) = inbox.blocking_recv() {
            if self.turn(first, &mut inbox).is_break() {
                return;
            }
        }
    }

    /// The same without a thread.
    async fn run_here(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.gauges();
        while let Some(first) = inbox.recv().await {
            if self.turn(first, &mut inbox).is_break() {
                return;
            }
        }
    }

    /// Does one command, and those after it as long as they are batches.
    fn turn(&mut self, first: Command, inbox: &mut mpsc::Receiver<Command>) -> ControlFlow<()> {
        let mut group: Vec<Waiting> = Vec::new();
        let mut next = Some(first);
        // Batches gather; anything else is done after those that came before it.
        while let Some(command) = next.take() {
            match command {
                Command::Commit(staged, reply) => {
                    group.push((staged, reply));
                    if group.len() < GROUP_MAX {
                        next = inbox.try_recv().ok();
                    }
                }
                other => {
                    self.commit(std::mem::take(&mut group));
                    if let Command::Close(reply) = other {
                        self.snapshot();
                        // The store is closed before anybody hears that it is.
                        self.store = Box::new(Nothing);
                        // Nobody may be left to hear it.
                        reply.send(()).unwrap_or_default();
                        return ControlFlow::Break(());
                    }
                    self.other(other);
                }
            }
        }
        self.commit(group);
        ControlFlow::Continue(())
    }

    fn now(&self) -> Now {
        let up = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { ms: (self.clock)(), uptime_ms: self.uptime_before_ms.saturating_add(up) }
    }

    fn commit(&mut self, group: Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let now = self.now();
        let (batches, replies): (Vec<Staged>, Vec<_>) = group.into_iter().unzip();
        let (draft, committed) = self.engine.commit(&batches, now);
        let begun = Instant::now();
        let durable = self.write(draft, now);
        self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
        for (reply, committed) in replies.into_iter().zip(committed) {
            // A client that hung up misses its answer; what it sent is counted all the same.
            reply.send(if durable { Ok(committed) } else { Err(Unavailable) }).unwrap_or_default();
        }
    }

    fn other(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Commit(..) | Command::Close(..) => {}
            Command::Tick => self.tick(now),
            Command::PutWatch(rule, reply) => {
                let answer = self.engine.put_watch(*rule, now).and_then(|(draft, replaced)| {
                    self.write(draft, now).then_some(replaced).ok_or(super::Refused::Unavailable)
                });
                reply.send(answer).unwrap_or_default();
            }
            Command::DeleteWatch(label, reply) => {
                let answer = self
                    .engine
                    .delete_watch(&label, now)
                    .and_then(|draft| self.write(draft, now).then_some(()).ok_or(super::Refused::Unavailable));
                reply.send(answer).unwrap_or_default();
            }
            Command::Adopt(proposal, reply) => {
                let adopted = self.engine.adopt(*proposal, now);
                let answer =
                    adopted.and_then(|draft| self.write(draft, now).then_some(()).ok_or(super::Refused::Unavailable));
                reply.send(answer).unwrap_or_default();
            }
            Command::RollBack(label, reply) => {
                let back = self.engine.roll_back(&label, now);
                let answer =
                    back.and_then(|draft| self.write(draft, now).then_some(()).ok_or(super::Refused::Unavailable));
                reply.send(answer).unwrap_or_default();
            }
            Command::Raise(raised, reply) => {
                let (crossing, lines) = *raised;
                let (draft, outcome) = self.engine.raise(crossing, &lines, now);
                reply.send(self.write(draft, now).then_some(outcome)).unwrap_or_default();
            }
            Command::Note(notes, reply) => {
                let draft = self.engine.note(notes, now);
                reply.send(self.write(draft, now)).unwrap_or_default();
            }
            Command::FirstDay(report, reply) => {
                let draft = self.engine.first_day(*report, now);
                reply.send(self.write(draft, now)).unwrap_or_default();
            }
            Command::KeepService(key, row, reply) => {
                let draft = self.engine.keep_service(key, row, now);
                reply.send(self.write(draft, now)).unwrap_or_default();
            }
            Command::Escalations(most, reply) => {
                reply.send(self.engine.desk().newest(most)).unwrap_or_default();
            }
            Command::Wanted(reply) => reply.send(self.engine.desk().wanted()).unwrap_or_default(),
            Command::WithOthers(id, reply) => reply.send(self.engine.desk().with_others(id)).unwrap_or_default(),
            Command::Investigations(most, reply) => {
                reply.send(self.engine.desk().investigations(most)).unwrap_or_default();
            }
            Command::Investigated(id, became, rows, reply) => {
                let (draft, waited) = self.engine.investigated(id, became, rows, now);
                reply.send(self.write(draft, now).then_some(waited)).unwrap_or_default();
            }
            Command::KeepCase(rows, told, reply) => {
                let draft = self.engine.keep_case(rows, told.map(|told| *told), now);
                reply.send(self.write(draft, now)).unwrap_or_default();
            }
            Command::Alerts(alerts, reply) => {
                let (draft, ids) = self.engine.alerts(alerts, now);
                reply.send(self.write(draft, now).then_some(ids)).unwrap_or_default();
            }
            Command::Lease(destination, reply) => {
                let lease = self.lease(destination, now);
                reply.send(lease).unwrap_or_default();
            }
            Command::Settle(row, outcome, reply) => {
                self.unsettled.push((row, outcome));
                self.settle(now);
                reply.send(()).unwrap_or_default();
            }
            Command::DeadLetters(reply) => {
                reply.send(self.engine.outbox().dead_letters().cloned().collect()).unwrap_or_default();
            }
            Command::Resend(row, reply) => {
                let (draft, sent) = self.engine.resend(row, now);
                reply.send(self.write(draft, now).then_some(sent)).unwrap_or_default();
            }
            Command::Hurry(reply) => {
                let waiting = self.engine.hurry(now);
                self.engine.shards().outbox_changed.notify_waiters();
                reply.send(waiting).unwrap_or_default();
            }
        }
    }

    /// Stores what became of messages. While the store refuses, a row stays marked as under way, so that it is
    /// not sent twice; each tick tries again.
    fn settle(&mut self, now: Now) {
        while let Some((row, outcome)) = self.unsettled.pop() {
            let draft = self.engine.settle(row, &outcome, now);
            Failpoint::Marking.pass();
            if !self.write(draft, now) {
                self.unsettled.push((row, outcome));
                return;
            }
            Failpoint::Marked.pass();
        }
    }

    fn lease(&mut self, destination: &'static str, now: Now) -> Lease {
        match self.engine.lease(destination, now) {
            Ok((draft, leased)) => {
                Failpoint::Leasing.pass();
                if !self.write(draft, now) {
                    // Sent unmarked it might be sent twice unlabelled: wait for the store.
                    return Lease::Nothing { due_ms: Some(now.ms + 1000) };
                }
                Failpoint::Leased.pass();
                Lease::Row(Box::<Leased>::new(leased))
            }
            Err(due_ms) => Lease::Nothing { due_ms },
        }
    }

    fn tick(&mut self, now: Now) {
        self.settle(now);
        if let Some(draft) = self.engine.tick(now) {
            self.write(draft, now);
        }
        if self.snapshot_last.0.elapsed() >= self.snapshot_last.1 {
            self.engine.sweep(now);
            while let Some(label) = self.engine.expired_watch(now) {
                tracing::info!(label, "no match for its ttl_seconds: the watch leaves");
                let deleted = self.engine.delete_watch(&label, now);
                if !deleted.is_ok_and(|draft| self.write(draft, now)) {
                    break;
                }
            }
            self.snapshot();
        }
        self.gauges();
    }

    fn gauges(&self) {
        self.metrics.windows.set(self.engine.shards().windows_len() as i64);
        let (waiting, oldest_ms) = self.engine.outbox().waiting();
        self.metrics.outbox_rows.set(waiting as i64);
        let age = oldest_ms.map_or(0, |at| ((self.clock)() - at).max(0) / 1000);
        self.metrics.outbox_age.set(age);
        self.metrics.outbox_dead.set(self.engine.outbox().dead() as i64);
        let shards = self.engine.shards();
        for (counter, sum) in [
            (&self.metrics.outbox_overflowed, self.engine.outbox().overflowed),
            (&self.metrics.confirmations_dropped, shards.confirmations_dropped()),
        ] {
            counter.inc_by(sum.saturating_sub(counter.get()));
        }
        self.metrics.deliveries_unconfirmed.set(self.engine.unconfirmed() as i64);
    }

    /// Writes a draft and shows it; `false`: the store refused and nothing has changed.
    fn write(&mut self, mut draft: Draft, now: Now) -> bool {
        let transaction: Transaction = self.engine.transaction(&mut draft);
        let counts = transaction.journal.is_some();
        if counts {
            Failpoint::Committing.pass();
        }
        let written = if transaction.is_empty() { Ok(()) } else { self.store.write(&transaction) };
        if let Err(error) = written {
            self.metrics.store_failures.inc();
            if !std::mem::replace(&mut self.failing, true) {
                tracing::error!(%error, "cannot commit: batches with matches are answered 503 until the store writes again");
            }
            self.metrics.store_failing.set(1);
            self.engine.discard(draft);
            return false;
        }
        // A transaction of nothing shows nothing.
        if !transaction.is_empty() {
            if std::mem::replace(&mut self.failing, false) {
                tracing::info!("the store writes again");
            }
            self.metrics.store_failing.set(0);
        }
        self.dirty |= counts;
        if counts {
            Failpoint::Committed.pass();
        }
        for (label, count) in &draft.report.matches {
            self.metrics.watch_matches.with_label_values(&[label]).inc_by(*count);
        }
        for (label, outcome) in &draft.report.crossings {
            self.metrics.watch_crossings.with_label_values(&[label]).inc();
            if let Some(outcome) = outcome {
                self.metrics.escalations.with_label_values(&[outcome.as_str()]).inc();
            }
        }
        for (_, outcome) in &draft.report.raised {
            self.metrics.escalations.with_label_values(&[outcome.as_str()]).inc();
        }
        self.metrics.orphans.inc_by(draft.report.orphans);
        let moved = self.engine.desk().investigations_moved();
        let left_out = moved.filter(|now| *now == Investigation::LeftOut).count() as u64;
        self.metrics.investigations.with_label_values(&[Investigation::LeftOut.as_str()]).inc_by(left_out);
        self.engine.apply(draft, now);
        if counts {
            Failpoint::Applied.pass();
        }
        true
    }

    fn snapshot(&mut self) {
        let begun = Instant::now();
        if self.dirty {
            let body = self.engine.snapshot(self.now());
            Failpoint::Snapshotting.pass();
            match self.store.snapshot(&body) {
                Ok(()) => {
                    Failpoint::Snapshotted.pass();
                    self.dirty = false;
                }
                Err(error) => tracing::warn!(%error, "snapshot not written: the journal stands and grows"),
            }
        }
        let pause = self.snapshot_every.max(begun.elapsed() * SNAPSHOT_SHARE);
        self.snapshot_last = (self.passing.now(), pause);
    }
}

#[cfg(test)]
mod tests;
