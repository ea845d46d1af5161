//! What was not understood: kept for a person to look at, in memory only.
//!
//! A request takes a few samples of its rejected lines along ([`Rejects`]); the store ([`Quarantine`]) takes
//! them over when the batch has been committed. It promises:
//! - lines that look alike, of one sender and reason, are one entry with a count: digits aside, the same head;
//! - both are bounded, in entries and in bytes; what is beyond a bound is counted and not kept; of entries the one
//!   that was added to longest ago goes first;
//! - text comes out as [`Redacted`], and in no other way; the digest of a line is keyed, or a short secret could be
//!   guessed from it.
//!
//! A restart empties it. The figures that last are those of `rejected_lines_total`.

mod rejects;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use rejects::Sample;
pub use rejects::{Rejects, Rest};
use ring::hmac;

use crate::redact::Redacted;

/// Longest text shown of one entry, in bytes.
pub const SHOWN_MAX: usize = 400;
/// Longest tag or name of a service shown.
const NAME_MAX: usize = 120;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries held; 0: nothing is kept, and all is counted.
    pub max_samples: usize,
    /// Bytes of a line that are held, for redaction to see more than is shown.
    pub max_bytes: usize,
}

/// Who brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    pub sender: u64,
    pub address: IpAddr,
    pub token: String,
    pub tag: Option<Vec<u8>>,
}

pub struct Quarantine {
    bounds: Bounds,
    /// Of the store's life: what digests are keyed with.
    seed: AtomicU64,
    /// A plain lock: held for a look-up, or for copying what is to be shown.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    total: u64,
    evicted: u64,
    /// Grows with each addition: tells which entry was added to longest ago.
    turn: u64,
    entries: HashMap<(&'static str, u64, u64), Entry>,
}

#[derive(Clone)]
struct Entry {
    turn: u64,
    first_ms: i64,
    last_ms: i64,
    count: u64,
    from: From,
    service: Option<String>,
    sample: Arc<Sample>,
}

/// The figures, and the entries asked for, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub quarantined: u64,
    pub kept: usize,
    pub evicted: u64,
    pub samples: Vec<ShownSample>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownSample {
    pub reason: &'static str,
    pub count: u64,
    /// Unix milliseconds, as of the arrival.
    #[serde(skip)]
    pub first_ms: i64,
    #[serde(skip)]
    pub last_ms: i64,
    pub from: ShownFrom,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Redacted>,
    pub sample: Redacted,
    pub bytes: u64,
    pub digest: String,
    /// `bytes` and `digest` are of the head that was kept of a longer line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_byte: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Redacted>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownFrom {
    pub address: String,
    #[serde(skip_serializing_if = "Redacted::is_empty")]
    pub token: Redacted,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Redacted>,
}

// === impl Quarantine ===

impl Quarantine {
    pub fn new(bounds: Bounds) -> Quarantine {
        Quarantine { bounds, seed: AtomicU64::new(0), held: Mutex::default() }
    }

    /// Before the first request is read. Secret, and the same for a store's life.
    pub fn set_seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
    }

    /// Takes over what a committed batch brought; answers how many more entries are held then. `service`: the one that
    /// all records of the batch are of.
    pub fn take(&self, rejects: Rejects, service: Option<&str>, now_ms: i64) -> usize {
        let mut held = self.held();
        let before = held.entries.len();
        held.total += rejects.count;
        for sample in rejects.samples {
            held.turn += 1;
            let turn = held.turn;
            let key = (sample.reason, rejects.from.sender, sample.like);
            if let Some(entry) = held.entries.get_mut(&key) {
                (entry.turn, entry.last_ms) = (turn, now_ms.max(entry.last_ms));
                entry.count += sample.count;
                continue;
            }
            if held.entries.len() >= self.bounds.max_samples
                && let Some(oldest) = held.entries.iter().min_by_key(|(_, e)| e.turn).map(|(key, _)| *key)
            {
                held.entries.remove(&oldest);
                held.evicted += 1;
            }
            let entry = Entry {
                turn,
                first_ms: now_ms,
                last_ms: now_ms,
                count: sample.count,
                from: rejects.from.clone(),
                service: service.map(str::to_owned),
                sample: Arc::new(sample),
            };
            held.entries.insert(key, entry);
        }
        // Of a full one as many go as come.
        held.entries.len().saturating_sub(before)
    }

    /// What a person may see of it: of one reason or of all, at most `limit` entries.
    pub fn show(&self, reason: Option<&str>, limit: usize) -> Shown {
        let held = self.held();
        let mut entries: Vec<Entry> =
            held.entries.values().filter(|e| reason.is_none_or(|r| e.sample.reason == r)).cloned().collect();
        let (quarantined, kept, evicted) = (held.total, held.entries.len(), held.evicted);
        // Redacting takes its time, and committed batches wait for nobody.
        drop(held);
        entries.sort_by_key(|e| std::cmp::Reverse(e.turn));
        entries.truncate(limit);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.seed.load(Ordering::Relaxed).to_le_bytes());
        Shown { quarantined, kept, evicted, samples: entries.iter().map(|entry| entry.shown(&key)).collect() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn shown(&self, key: &hmac::Key) -> ShownSample {
        let sample = &self.sample;
        ShownSample {
            reason: sample.reason,
            count: self.count,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            from: ShownFrom {
                address: self.from.address.to_canonical().to_string(),
                token: Redacted::new(&self.from.token).cut(NAME_MAX),
                tag: self.from.tag.as_deref().map(|tag| Redacted::from_bytes(tag).one_line().cut(NAME_MAX)),
            },
            service: self.service.as_deref().map(|service| Redacted::new(service).one_line().cut(NAME_MAX)),
            sample: Redacted::from_bytes(&sample.head).cut(SHOWN_MAX),
            bytes: sample.bytes,
            digest: keyed(key, sample.digest),
            cut: sample.cut,
            encoding: sample.undecodable.as_ref().map(|(encoding, ..)| encoding.as_str()),
            at_byte: sample.undecodable.as_ref().map(|(_, at_byte, _)| *at_byte),
            fault: sample.undecodable.as_ref().map(|(.., fault)| Redacted::new(fault).one_line().cut(SHOWN_MAX)),
        }
    }
}

/// Equal lines have equal digests, and who lacks the key can try no line.
fn keyed(key: &hmac::Key, digest: u128) -> String {
    let tag = hmac::sign(key, &digest.to_le_bytes());
    tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
