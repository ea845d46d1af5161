//! What a store holds on the disk, looked at without touching it: its files are copied first.

use std::collections::BTreeMap;
use std::path::Path;

use emberwatch::ledger::journal::{Entry, Snapshot, decode};
use emberwatch::watch::group_values;
use rusqlite::Connection;
use serde_json::Value;

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Disk {
    /// Matched lines of all watches.
    pub(crate) lines: u64,
    /// The same by the values of their group.
    pub(crate) groups: BTreeMap<Vec<String>, u64>,
    /// Deliveries that nobody has confirmed.
    pub(crate) unconfirmed: usize,
    pub(crate) journal_rows: usize,
    pub(crate) escalations: usize,
    /// Messages that wait, and those of them that are marked as under way.
    pub(crate) messages: usize,
    pub(crate) under_way: usize,
}

impl Disk {
    /// Of the store in a program's home. Nobody may be writing.
    pub(crate) fn of(home: &Path) -> Self {
        let copy = tempfile::tempdir().expect("a folder");
        for name in ["emberwatch.db", "emberwatch.db-wal"] {
            let from = home.join(name);
            if from.exists() {
                std::fs::copy(&from, copy.path().join(name)).expect("copying the store");
            }
        }
        let store = Connection::open(copy.path().join("emberwatch.db")).expect("a database");
        let bodies = |table: &str| -> Vec<Vec<u8>> {
            // A program that died before it made its tables has none.
            let Ok(mut statement) = store.prepare(&format!("SELECT body FROM {table} ORDER BY 1")) else {
                return Vec::new();
            };
            let rows = statement.query_map([], |row| row.get(0)).expect("rows");
            rows.collect::<Result<_, _>>().expect("bodies")
        };
        let mut disk = Disk::default();
        let mut unconfirmed = std::collections::BTreeSet::new();
        for body in bodies("snapshot") {
            let snapshot: Snapshot = decode(&body).expect("a snapshot");
            disk.lines += snapshot.totals.iter().map(|(_, total)| total.matched).sum::<u64>();
            for (key, window) in snapshot.windows {
                let held = window.buckets().iter().map(|(_, n)| n).sum::<u64>();
                *disk.groups.entry(group_values(&key.group)).or_default() += held;
            }
            unconfirmed.extend(snapshot.unconfirmed.iter().map(|(delivery, _)| (delivery.digest, delivery.sender)));
        }
        for body in bodies("journal") {
            let entry: Entry = decode(&body).expect("an entry of the journal");
            for counted in entry.counts {
                let lines = counted.counts.iter().map(|(_, n)| n).sum::<u64>();
                disk.lines += lines;
                *disk.groups.entry(group_values(&counted.window.group)).or_default() += lines;
            }
            for delivery in entry.confirmed {
                unconfirmed.remove(&(delivery.digest, delivery.sender));
            }
            unconfirmed.extend(entry.delivered.iter().map(|delivery| (delivery.digest, delivery.sender)));
            disk.journal_rows += 1;
        }
        disk.unconfirmed = unconfirmed.len();
        disk.escalations = bodies("escalations").len();
        for body in bodies("outbox") {
            let row: Value = serde_json::from_slice(&body).expect("a message");
            // Beside the messages stands what was sent today.
            if row.get("id").is_none() {
                continue;
            }
            disk.messages += 1;
            disk.under_way += usize::from(row["leased"] == true);
        }
        disk
    }
}
