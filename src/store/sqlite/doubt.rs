//! What a write that failed may have left behind, and how it is taken back.
//!
//! A transaction can fail at its very end and be whole on the disk all the same: its frames were written before
//! the sync that failed, or it was durable and the checkpoint after it failed. Opened anew, SQLite takes it for
//! committed. But its senders were told that nothing counts, and the ledger has forgotten it: what comes again
//! would stand in the journal twice. So a write remembers how the rows that it changes stood before it, until
//! it is known to be good; after a failure the next one puts those back first, in its own transaction, and drops
//! what the journal has beyond its last good row. (If the process dies in between, the one after it finds the
//! failed transaction whole: counted once, with its deliveries, by which what comes again is known.)

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::rows::{Key, Table, get, put};

#[derive(Default)]
pub(super) struct Doubt {
    /// As they stood when the store was last certain. Bounded as the tables are: while writes fail, the ledger
    /// tries the same numbers and labels again.
    rows: BTreeMap<(Table, Key), Option<Vec<u8>>>,
    /// A write has begun, and its end is not known to be good.
    open: bool,
}

impl Doubt {
    /// Remembers a row that is about to be replaced.
    pub(super) fn note(&mut self, connection: &Connection, table: Table, key: &Key) -> rusqlite::Result<()> {
        // A note of triage that nobody knows of is harmless: at worst its line is looked at again. And of those,
        // other ones may come with every batch that is refused.
        if table == Table::Triage || self.rows.contains_key(&(table, key.clone())) {
            return Ok(());
        }
        let before = get(connection, table, key)?;
        self.rows.insert((table, key.clone()), before);
        Ok(())
    }

    /// Begins a write: after one that failed, with what stood before it. `last`: the journal's last good row.
    pub(super) fn undo(&mut self, connection: &Connection, last: u64) -> rusqlite::Result<()> {
        if !std::mem::replace(&mut self.open, true) {
            return Ok(());
        }
        let revived = connection.execute("DELETE FROM journal WHERE seq > ?1", params![last as i64])?;
        for ((table, key), before) in &self.rows {
            put(connection, *table, key, before.as_deref())?;
        }
        if revived > 0 {
            tracing::info!(rows = revived, "a write that had failed was on the disk all the same: taken back");
        }
        Ok(())
    }

    /// All that was written is good.
    pub(super) fn end(&mut self) {
        self.rows.clear();
        self.open = false;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::SqliteStore;
    use crate::store::{Loaded, Store, Transaction};

    pub(in super::super) fn late() -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR), None)
    }

    fn row(n: u8, escalation: Option<u8>) -> Transaction {
        Transaction {
            journal: Some(vec![n]),
            escalations: vec![(7, escalation.map(|e| vec![e]))],
            outbox: vec![(u64::from(n), Some(vec![n]))],
            watches: vec![(format!("w{n}"), Some(vec![n]))],
            ..Transaction::default()
        }
    }

    struct Bench {
        folder: tempfile::TempDir,
        store: Option<SqliteStore>,
    }

    impl Bench {
        fn new() -> Bench {
            let mut bench = Bench { folder: tempfile::tempdir().expect("a folder"), store: None };
            bench.reopen();
            bench
        }

        fn reopen(&mut self) -> Loaded {
            self.store = None;
            let (store, loaded) =
                SqliteStore::open(&self.folder.path().join("x.db"), Duration::ZERO, 7).expect("opens");
            self.store = Some(store);
            loaded
        }

        fn store(&mut self) -> &mut SqliteStore {
            self.store.as_mut().expect("it is open")
        }

        /// Written whole, and said to have failed.
        fn fail(&mut self, transaction: &Transaction) {
            self.store().fails_late = true;
            self.store().write(transaction).expect_err("it fails after its commit");
        }
    }

    #[test]
    fn a_write_that_failed_and_is_on_the_disk_all_the_same_is_taken_back_by_the_next_one() {
        let mut bench = Bench::new();
        bench.store().write(&row(1, Some(1))).expect("writes");
        bench.fail(&row(2, Some(2)));
        bench.fail(&row(3, None));
        bench.store().write(&Transaction { journal: Some(vec![9]), ..Transaction::default() }).expect("writes");
        let loaded = bench.reopen();
        assert_eq!(loaded.journal, [vec![1], vec![9]], "what was refused is not in the journal");
        assert_eq!(loaded.escalations, [(7, vec![1])], "and changed nothing else");
        assert_eq!(loaded.outbox, [(1, vec![1])]);
        assert_eq!(loaded.watches, [("w1".to_owned(), vec![1])]);
        assert_eq!(loaded.damaged, 0);
    }

    #[test]
    fn a_process_that_dies_before_the_next_write_finds_the_failed_one_whole() {
        let mut bench = Bench::new();
        bench.store().write(&row(1, Some(1))).expect("writes");
        bench.fail(&row(2, Some(2)));
        let loaded = bench.reopen();
        assert_eq!((loaded.journal, loaded.escalations), (vec![vec![1], vec![2]], vec![(7, vec![2])]));
        assert_eq!(loaded.outbox, [(1, vec![1]), (2, vec![2])]);
    }

    #[test]
    fn failed_writes_and_failed_snapshots_in_any_order_leave_what_was_certain() {
        let mut bench = Bench::new();
        bench.store().write(&row(1, Some(1))).expect("writes");
        bench.fail(&row(2, Some(2)));
        bench.store().fails_late = true;
        bench.store().snapshot(b"after 1").expect_err("it fails after its commit");
        bench.fail(&row(3, Some(3)));
        bench.store().write(&row(4, Some(4))).expect("writes");
        let loaded = bench.reopen();
        // The snapshot was true when it was made, and stands in for the first row.
        assert_eq!((loaded.snapshot.as_deref(), loaded.journal), (Some(b"after 1".as_slice()), vec![vec![4]]));
        assert_eq!(loaded.escalations, [(7, vec![4])]);
        assert_eq!(loaded.outbox, [(1, vec![1]), (4, vec![4])]);
        assert_eq!(loaded.damaged, 0, "numbers go on without a gap");
    }

    #[test]
    fn a_write_that_was_never_begun_is_undone_without_harm() {
        let mut bench = Bench::new();
        bench.store().write(&row(1, None)).expect("writes");
        bench.store().doubt.open = true;
        bench.store().write(&row(2, Some(2))).expect("writes");
        assert_eq!(bench.reopen().journal, [vec![1], vec![2]]);
    }
}
