//! Where state survives: rows written in whole transactions by one writer.
//!
//! A leaf. It knows nothing of watches, windows or escalations: they hand it encoded rows. [`Store`] is the
//! seam behind which SQLite stands ([`sqlite`]).

pub mod nothing;
pub mod sqlite;

use std::path::PathBuf;

/// Everything one commit changes; all of it is written, or none.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// One row for a whole group of batches.
    pub journal: Option<Vec<u8>>,
    /// Replaces rows; `None` deletes.
    pub escalations: Vec<(u64, Option<Vec<u8>>)>,
    pub outbox: Vec<(u64, Option<Vec<u8>>)>,
    pub watches: Vec<(String, Option<Vec<u8>>)>,
    pub triage: Vec<(String, Option<Vec<u8>>)>,
    pub services: Vec<(String, Option<Vec<u8>>)>,
    pub cases: Vec<(String, Option<Vec<u8>>)>,
}

impl Transaction {
    pub fn is_empty(&self) -> bool {
        self.journal.is_none()
            && self.escalations.is_empty()
            && self.outbox.is_empty()
            && self.watches.is_empty()
            && self.triage.is_empty()
            && self.services.is_empty()
            && self.cases.is_empty()
    }
}

/// What was there at the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    pub snapshot: Option<Vec<u8>>,
    /// Journal rows after the snapshot, oldest first.
    pub journal: Vec<Vec<u8>>,
    pub escalations: Vec<(u64, Vec<u8>)>,
    pub outbox: Vec<(u64, Vec<u8>)>,
    pub watches: Vec<(String, Vec<u8>)>,
    pub triage: Vec<(String, Vec<u8>)>,
    pub services: Vec<(String, Vec<u8>)>,
    pub cases: Vec<(String, Vec<u8>)>,
    /// Made at random when the store was created: keys the digests.
    pub seed: u64,
    /// Rows that could not be read as they were written, or are not there though they should be.
    pub damaged: usize,
    /// What was there was no sound store and was moved aside.
    pub begun_anew: bool,
}

impl Loaded {
    /// The store has nothing: it was made a moment ago, or nobody has written to it since.
    pub fn is_empty(&self) -> bool {
        self.snapshot.is_none()
            && self.journal.is_empty()
            && self.escalations.is_empty()
            && self.outbox.is_empty()
            && self.watches.is_empty()
            && self.triage.is_empty()
            && self.services.is_empty()
            && self.cases.is_empty()
    }
}

/// Why the store could not be opened or written. The text names the file and the next step.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("store.path {path}: {what}")]
    Failed { path: PathBuf, what: String },
    #[error(
        "store.path {path}: held by another process for {waited} s (store.lock_wait_seconds); stop that process, or give this one a store.path of its own"
    )]
    Locked { path: PathBuf, waited: u64 },
}

pub trait Store: Send {
    /// Of a store that has nothing: it goes on as the one that had this seed.
    fn set_seed(&mut self, _seed: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Durable when it returns `Ok`; without effect when it returns an error, and usable again as soon as
    /// the place is.
    fn write(&mut self, transaction: &Transaction) -> Result<(), StoreError>;

    /// Replaces the snapshot and drops the journal rows that it covers: all that were written before.
    fn snapshot(&mut self, body: &[u8]) -> Result<(), StoreError>;
}
