//! The ledger's rows: what a commit adds, and the snapshot that ends the journal.
//!
//! One row holds a whole group of batches, so a commit costs one insert however many counters it moves.
//! A row says what was counted and which windows turned; replaying the rows after the snapshot, in order,
//! gives the windows as they were, without evaluating anything again. An escalation that only counted on is told
//! here in a few bytes; its own row is written when more of it changes.

use serde::{Deserialize, Serialize};

use super::window::{Bucket, Phase, Window};
use super::{DeliveryKey, WindowKey};
use crate::escalation::growth::Growth;
use crate::watch::WatchKey;

/// First byte of every row. Another version's rows are refused, not guessed at.
const VERSION: u8 = 2;
/// Rows of this version end before their last list.
const WITHOUT_GROWN: u8 = 1;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Clock of arrivals, unix milliseconds.
    pub at_ms: i64,
    /// How long the receiver has been up in all its runs: the clock of unconfirmed deliveries.
    pub uptime_ms: u64,
    pub counts: Vec<Counted>,
    /// Watches whose counters were dropped, before anything else of this entry.
    pub forgotten: Vec<WatchKey>,
    /// Windows whose phase changed, as they are after all of this entry.
    pub turned: Vec<(WindowKey, Window)>,
    pub delivered: Vec<DeliveryKey>,
    pub confirmed: Vec<DeliveryKey>,
    /// Escalations that counted on, as they are after all of this entry, where their rows do not say it.
    pub grown: Vec<Growth>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub window: WindowKey,
    pub counts: Vec<(Bucket, u64)>,
    pub last_ms: i64,
    /// Until where the window stands above its threshold now: it moves without a turn.
    pub above_until: Bucket,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub uptime_ms: u64,
    pub windows: Vec<(WindowKey, Window)>,
    pub totals: Vec<(WatchKey, Total)>,
    pub unconfirmed: Vec<(DeliveryKey, u64)>,
    /// Cluster and service, and the time of the newest record of each.
    pub seen: Vec<(String, String, i64)>,
    /// Escalations whose rows say less than this.
    pub grown: Vec<Growth>,
}

/// All that a watch ever matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    pub matched: u64,
    pub last_ms: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("row cannot be read: {0}")]
pub struct Unreadable(String);

pub fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    // Fails only for types that cannot know their length; ours all do.
    postcard::to_extend(row, vec![VERSION]).unwrap_or_default()
}

pub fn decode<T: for<'de> Deserialize<'de>>(row: &[u8]) -> Result<T, Unreadable> {
    match row.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|e| Unreadable(e.to_string())),
        Some((&WITHOUT_GROWN, body)) => {
            // An empty list, as it is written.
            let body = [body, &[0]].concat();
            postcard::from_bytes(&body).map_err(|e| Unreadable(e.to_string()))
        }
        Some((version, _)) => Err(Unreadable(format!("version {version}, this program writes {VERSION}"))),
        None => Err(Unreadable("it is empty".into())),
    }
}

impl Entry {
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
            && self.forgotten.is_empty()
            && self.turned.is_empty()
            && self.delivered.is_empty()
            && self.confirmed.is_empty()
            && self.grown.is_empty()
    }
}

/// Whether `phase` is one that time alone can end.
pub fn is_active(phase: Phase) -> bool {
    phase != Phase::Quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_version_before_are_read_and_others_are_refused() {
        let entry = Entry { at_ms: 7, delivered: vec![DeliveryKey { digest: 1, sender: 2 }], ..Entry::default() };
        let mut row = encode(&entry);
        assert_eq!(decode::<Entry>(&row).expect("ours"), entry);
        // The list that version 1 did not have, empty, is one byte.
        assert_eq!(row.pop(), Some(0));
        row[0] = 1;
        assert_eq!(decode::<Entry>(&row).expect("of version 1"), entry);
        row[0] = 3;
        assert!(decode::<Entry>(&row).is_err());
        assert!(decode::<Entry>(&[]).is_err());
    }
}
