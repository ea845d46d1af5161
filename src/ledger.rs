//! The ledger: what was counted, once, and still after `kill -9`.
//!
//! Request threads only stage. A [`Staged`] batch is handed to one writer, which in commit order tells
//! repeats from news, computes crossings over the committed windows plus what is not committed yet, writes
//! one transaction for a group of batches, syncs it, and only then shows the new counts and answers. Once
//! handed over, a commit is not undone by a client that hangs up.
//!
//! Nothing above this module knows where the truth is kept: [`Ledger`] is the seam.

pub mod engine;
#[cfg(test)]
pub(crate) mod fixture;
pub mod journal;
pub mod repeats;
pub mod shards;
pub mod window;
pub mod writer;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::escalation::investigation::Investigation;
use crate::escalation::outbox::Row;
use crate::escalation::{Crossing, Escalation, Outcome as Raised};
use crate::notify::deliver::{Leased, Outbox, Settled};
use crate::notify::first_day::FirstDay;
use crate::notify::notice::Told;
use crate::record::stripped::Sample;
use crate::watch::provenance::Provenance;
use crate::watch::rule::Rule;
use crate::watch::{GroupKey, Origin, WatchKey, WatchSet};
use engine::alerts::Alert;
use shards::Shards;
use window::Bucket;

/// What says, in the store, that the first look is still to be told.
pub const FIRST_DAY_NOTE: &str = "first_day";

/// What one request changes: all of it counts, or none.
#[derive(Clone, Debug, Default)]
pub struct Staged {
    /// What a repeat of this batch would be recognised by; `None`: never taken for one.
    pub delivery: Option<DeliveryKey>,
    /// The turn at which its request began: [`Ledger::turn`].
    pub began: u64,
    pub groups: Vec<StagedGroup>,
    /// What triage is to find again after a crash, by key; a later one of a key replaces it.
    pub notes: Vec<(String, Vec<u8>)>,
}

impl Staged {
    /// Nothing of it need be durable.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.notes.is_empty()
    }
}

/// The matches of one watch in one group.
#[derive(Clone, Debug)]
pub struct StagedGroup {
    pub watch: WatchKey,
    pub group: GroupKey,
    pub lane: Lane,
    /// Ascending, each bucket once.
    pub counts: Vec<(Bucket, u64)>,
    /// Record times, unix milliseconds.
    pub first_ms: i64,
    pub last_ms: i64,
    /// Of the first record: what an escalation names, also when the group is of something else.
    pub cluster: String,
    pub service: String,
    pub samples: Vec<Sample>,
}

/// Late lines have windows of their own: a backlog makes neither a false storm nor silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    Live,
    Late,
}

/// One group's window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowKey {
    pub watch: WatchKey,
    pub lane: Lane,
    pub group: GroupKey,
}

/// One delivery of one sender: a digest of the decoded body, and who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeliveryKey {
    pub digest: u128,
    pub sender: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The batch was counted before: nothing of it was counted now.
    pub repeat: bool,
    /// Labels of the watches that it made cross.
    pub crossings: Vec<String>,
}

/// The store cannot commit now. The sender is to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot commit")]
pub struct Unavailable;

/// Why a change to the watches was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the store cannot commit")]
    Unavailable,
    #[error("no watch has this label")]
    Unknown,
    #[error("the watch is set in the configuration and comes back with it; change it there")]
    Configured,
    #[error("{0} watches is the most (POST replaces a label, DELETE makes room)")]
    Full(usize),
    #[error("a person's watch has this label")]
    Taken,
    #[error("there is no earlier form of it")]
    NoEarlier,
    #[error("{0} regexes in all watches is the most (DELETE a watch that has some, or use contains)")]
    Regexes(usize),
}

/// A watch that nobody wrote, or a change to one.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub rule: Rule,
    /// [`Origin::Seed`] or [`Origin::Triage`].
    pub origin: Origin,
    pub provenance: Provenance,
    /// The rule that it takes the place of; `None`: it is new.
    pub replaces: Option<Rule>,
    /// The recent records that it matches, which it counts before anything else.
    pub backlog: Vec<StagedGroup>,
}

/// Rows by key, replaced, or with `None` deleted.
pub type Rows = Vec<(String, Option<Vec<u8>>)>;

/// What the writer is asked.
pub(crate) enum Command {
    Commit(Staged, oneshot::Sender<Result<Committed, Unavailable>>),
    /// Time has passed: what fell quiet, what is due.
    Tick,
    PutWatch(Box<Rule>, oneshot::Sender<Result<bool, Refused>>),
    DeleteWatch(String, oneshot::Sender<Result<(), Refused>>),
    Adopt(Box<Proposal>, oneshot::Sender<Result<(), Refused>>),
    RollBack(String, oneshot::Sender<Result<(), Refused>>),
    Raise(Box<(Crossing, StagedGroup)>, oneshot::Sender<Option<(u64, Raised)>>),
    Note(Vec<(String, Option<Vec<u8>>)>, oneshot::Sender<bool>),
    /// Posts the first look and takes its mark away. Answers whether it is durable.
    FirstDay(Box<FirstDay>, oneshot::Sender<bool>),
    /// A row about a registered service, or its end. Answers whether it is durable.
    KeepService(String, Option<Vec<u8>>, oneshot::Sender<bool>),
    /// The newest escalations, so many at most.
    Escalations(usize, oneshot::Sender<Vec<Escalation>>),
    /// Those that wait to be investigated.
    Wanted(oneshot::Sender<Vec<Escalation>>),
    /// One, and what else was escalated of its service around then.
    WithOthers(u64, oneshot::Sender<Option<(Escalation, Vec<Escalation>)>>),
    /// Answers whether it still waited; `None`: the store cannot commit. The rows are stored with it.
    Investigated(u64, Investigation, Rows, oneshot::Sender<Option<bool>>),
    /// Rows about an investigation, and what is told of it. Answers whether it is durable.
    KeepCase(Rows, Option<Box<(u64, Told)>>, oneshot::Sender<bool>),
    /// Answers for each which escalation tells of it. `None`: the store cannot commit.
    Alerts(Vec<Alert>, oneshot::Sender<Option<Vec<Option<u64>>>>),
    /// The newest that were to be investigated, so many at most.
    Investigations(usize, oneshot::Sender<Vec<Escalation>>),
    Lease(&'static str, oneshot::Sender<Lease>),
    Settle(u64, Settled, oneshot::Sender<()>),
    /// What was given up.
    DeadLetters(oneshot::Sender<Vec<Row>>),
    /// Sends one that was given up again, or all; answers how many. `None`: the store cannot commit.
    Resend(Option<u64>, oneshot::Sender<Option<usize>>),
    /// No settling any more: what is to be told is due now. Answers how many rows wait.
    Hurry(oneshot::Sender<usize>),
    /// Snapshot and end.
    Close(oneshot::Sender<()>),
}

/// What a destination can do now.
pub(crate) enum Lease {
    Row(Box<Leased>),
    /// Nothing is due before this time (unix milliseconds), if ever.
    Nothing {
        due_ms: Option<i64>,
    },
}

/// The handle: cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    commands: mpsc::Sender<Command>,
    shards: Arc<Shards>,
    clock: fn() -> i64,
}

impl Ledger {
    pub(crate) fn new(commands: mpsc::Sender<Command>, shards: Arc<Shards>, clock: fn() -> i64) -> Ledger {
        Ledger { commands, shards, clock }
    }

    /// Counts a batch. A batch without effect changes nothing and waits for nobody.
    pub async fn commit(&self, staged: Staged) -> Result<Committed, Unavailable> {
        if staged.is_empty() {
            return Ok(Committed::default());
        }
        self.ask(|reply| Command::Commit(staged, reply)).await.ok_or(Unavailable)?
    }

    /// The answer to this delivery was heard: an equal batch from now on is news. Never waits.
    pub fn confirm(&self, delivery: DeliveryKey) {
        self.shards.confirm(delivery, self.shards.turn());
    }

    /// For a request that begins: what is confirmed from now on was confirmed after it began.
    pub fn turn(&self) -> u64 {
        self.shards.turn()
    }

    /// The rules to match with now.
    pub fn watches(&self) -> Arc<WatchSet> {
        self.shards.watches()
    }

    /// What anyone may read, without asking the writer.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Sets a watch over the API; an existing one of that label is replaced (`true`).
    pub async fn put_watch(&self, rule: Rule) -> Result<bool, Refused> {
        self.ask(|reply| Command::PutWatch(Box::new(rule), reply)).await.ok_or(Refused::Unavailable)?
    }

    pub async fn delete_watch(&self, label: String) -> Result<(), Refused> {
        self.ask(|reply| Command::DeleteWatch(label, reply)).await.ok_or(Refused::Unavailable)?
    }

    /// Takes a proposed watch in, or a change to one, and counts its backlog, in one commit.
    pub async fn adopt(&self, proposal: Proposal) -> Result<(), Refused> {
        self.ask(|reply| Command::Adopt(Box::new(proposal), reply)).await.ok_or(Refused::Unavailable)?
    }

    /// Undoes the last change to a proposed watch; its first one removes it.
    pub async fn roll_back(&self, label: String) -> Result<(), Refused> {
        self.ask(|reply| Command::RollBack(label, reply)).await.ok_or(Refused::Unavailable)?
    }

    /// Escalates `lines` that no watch counted; answers which escalation tells of them. `None`: the store cannot
    /// commit.
    pub async fn raise(&self, crossing: Crossing, lines: StagedGroup) -> Option<(u64, Raised)> {
        self.ask(|reply| Command::Raise(Box::new((crossing, lines)), reply)).await?
    }

    /// Stores (or deletes) notes of triage. `false`: the store cannot commit.
    pub async fn note(&self, notes: Vec<(String, Option<Vec<u8>>)>) -> bool {
        self.ask(|reply| Command::Note(notes, reply)).await.unwrap_or(false)
    }

    /// Has the first look told, once: [`FIRST_DAY_NOTE`] goes with it. `false`: the store cannot commit.
    pub async fn first_day(&self, report: FirstDay) -> bool {
        self.ask(|reply| Command::FirstDay(Box::new(report), reply)).await.unwrap_or(false)
    }

    /// Stores (or deletes) what is registered of a service. `false`: the store cannot commit.
    pub async fn keep_service(&self, key: String, row: Option<Vec<u8>>) -> bool {
        self.ask(|reply| Command::KeepService(key, row, reply)).await.unwrap_or(false)
    }

    /// The newest escalations, so many at most.
    pub async fn escalations(&self, most: usize) -> Option<Vec<Escalation>> {
        self.ask(|reply| Command::Escalations(most, reply)).await
    }

    /// Those that wait to be investigated, oldest first: never more than [`crate::escalation::Settings::max_wanted`].
    pub async fn wanted(&self) -> Option<Vec<Escalation>> {
        self.ask(Command::Wanted).await
    }

    /// One escalation, and others of its service around then; `Some(None)`: it is forgotten.
    pub async fn with_others(&self, id: u64) -> Option<Option<(Escalation, Vec<Escalation>)>> {
        self.ask(|reply| Command::WithOthers(id, reply)).await
    }

    /// Records what became of a dossier, and with it `rows` about what follows: durable when it answers, with whether
    /// anybody still waited for it. `None`: the store cannot commit.
    pub async fn investigated(&self, id: u64, became: Investigation, rows: Rows) -> Option<bool> {
        self.ask(|reply| Command::Investigated(id, became, rows, reply)).await?
    }

    /// Stores how far an investigation has come, and puts what is told of it under its escalation's first message, in
    /// one commit. `false`: the store cannot commit.
    pub async fn keep_case(&self, rows: Rows, told: Option<(u64, Told)>) -> bool {
        self.ask(|reply| Command::KeepCase(rows, told.map(Box::new), reply)).await.unwrap_or(false)
    }

    /// Escalates what somebody else found, or ends it; answers for each which escalation tells of it. `None`: the store
    /// cannot commit.
    pub async fn alerts(&self, alerts: Vec<Alert>) -> Option<Vec<Option<u64>>> {
        self.ask(|reply| Command::Alerts(alerts, reply)).await?
    }

    /// The newest that were to be investigated, so many at most.
    pub async fn investigations(&self, most: usize) -> Option<Vec<Escalation>> {
        self.ask(|reply| Command::Investigations(most, reply)).await
    }

    /// Lets time pass. Skipped when the writer is behind: the next one does the same work.
    pub fn tick(&self) {
        if self.commands.try_send(Command::Tick).is_err() {
            tracing::debug!("the writer is behind, or gone: tick skipped");
        }
    }

    /// Messages that were given up, oldest first: never more than the outbox holds.
    pub async fn dead_letters(&self) -> Option<Vec<Row>> {
        self.ask(Command::DeadLetters).await
    }

    /// Sends one message that was given up again, or all of them; answers how many. `None`: the store cannot commit.
    pub async fn resend(&self, row: Option<u64>) -> Option<usize> {
        self.ask(|reply| Command::Resend(row, reply)).await?
    }

    /// Makes everything in the outbox due; answers how much there is.
    pub async fn hurry(&self) -> usize {
        self.ask(Command::Hurry).await.unwrap_or(0)
    }

    /// What a destination is to be told now, if anything: for who does not wait for it.
    pub async fn due_now(&self, destination: &'static str) -> Option<Leased> {
        match self.ask(|reply| Command::Lease(destination, reply)).await? {
            Lease::Row(leased) => Some(*leased),
            Lease::Nothing { .. } => None,
        }
    }

    /// Writes a snapshot and ends the writer.
    pub async fn close(&self) {
        self.ask(Command::Close).await.unwrap_or_default();
    }

    /// `None`: the writer is gone.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

impl Outbox for Ledger {
    async fn lease(&self, destination: &'static str) -> Option<Leased> {
        loop {
            // Before asking, so that what is put in between wakes us.
            let changed = self.shards.outbox_changed.notified();
            let due_ms = match self.ask(|reply| Command::Lease(destination, reply)).await? {
                Lease::Row(leased) => return Some(*leased),
                Lease::Nothing { due_ms } => due_ms,
            };
            let wait = due_ms.map(|due| u64::try_from(due - (self.clock)()).unwrap_or(0).max(1));
            match wait {
                Some(millis) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(std::time::Duration::from_millis(millis)) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    async fn settle(&self, row: u64, outcome: Settled) {
        self.ask(|reply| Command::Settle(row, outcome, reply)).await.unwrap_or_default();
    }
}
