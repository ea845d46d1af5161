//! A ledger for tests of what stands above it: its store takes everything and keeps what it was given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Ledger;
use super::engine::Settings;
use super::writer::{self, Parts};
use crate::escalation;
use crate::metrics::Metrics;
use crate::moment::Passing;
use crate::notify::notice::Dossiers;
use crate::store::{Loaded, Store, StoreError, Transaction};
use crate::watch::Watch;

/// The notes of triage, as the store holds them.
pub(crate) type Notes = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct Keeping(Notes);

impl Store for Keeping {
    fn write(&mut self, transaction: &Transaction) -> Result<(), StoreError> {
        let mut held = self.0.lock().expect("not poisoned");
        for (key, note) in &transaction.triage {
            match note {
                Some(note) => held.insert(key.clone(), note.clone()),
                None => held.remove(key),
            };
        }
        Ok(())
    }

    fn snapshot(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Unix milliseconds of every clock here.
pub(crate) const NOW_MS: i64 = 1_790_000_000_000;

pub(crate) fn ledger(base: Vec<Watch>, metrics: &Metrics) -> (Ledger, Notes) {
    let notes = Notes::default();
    let parts = Parts {
        settings: Settings {
            lateness_ms: 900_000,
            max_windows: 1000,
            repeat_ms: 1000,
            max_digests: 100,
            max_outbox_rows: 100,
            pace: escalation::pace::Pace::default(),
            escalation: escalation::Settings {
                dedup_ms: 1000,
                settle_ms: 0,
                repeat_ms: 1_000_000,
                proposed_per_hour: 10,
                max_wanted: 2,
            },
            destinations: vec!["slack"],
            dossiers: Dossiers::default(),
            naming: Arc::default(),
        },
        base,
        store: Box::new(Keeping(notes.clone())),
        loaded: Loaded::default(),
        metrics: metrics.clone(),
        clock: || NOW_MS,
        queue: 8,
        snapshot_every: Duration::from_secs(3600),
        passing: Passing::Real,
    };
    (writer::start(parts).expect("starts").0, notes)
}
