//! What is stored, once more in memory: of the rows that are worth keeping elsewhere, the last of each.
//!
//! [`Mirrored`] stands before the store and looks at what was written, after it was. The ledger's thread copies
//! the few rows that a commit changes, under a lock that nobody else holds for longer than it takes to count
//! them; what becomes of them happens in another task. Bounded: of what does not fit the rows that were changed longest ago go.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::document::MAX_BYTES;
use crate::store::{Loaded, Store, StoreError, Transaction};
use crate::triage::own::SEEDED_NOTE;
use crate::triage::verdicts::{self, KIND_NOTE};

/// Of each table, so that no table takes all of the room: more of one than a document holds is never written.
const TABLE_MAX_BYTES: usize = MAX_BYTES;

pub(super) struct Mirror {
    rows: Mutex<Rows>,
    /// Something may have changed.
    pub(super) changed: Notify,
}

/// Rows of each table. A clone copies no body.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) watches: Table<String>,
    pub(super) escalations: Table<u64>,
    pub(super) outbox: Table<u64>,
    /// Verdicts, and whether watches were proposed.
    pub(super) triage: Table<String>,
}

/// Rows in the order in which they were last changed.
#[derive(Clone)]
pub(super) struct Table<K> {
    by_age: BTreeMap<u64, (K, Arc<[u8]>)>,
    places: HashMap<K, u64>,
    bytes: usize,
    next: u64,
}

/// A store that shows the mirror what was written.
pub(super) struct Mirrored {
    pub(super) store: Box<dyn Store>,
    pub(super) mirror: Arc<Mirror>,
}

impl Store for Mirrored {
    fn set_seed(&mut self, seed: u64) -> Result<(), StoreError> {
        self.store.set_seed(seed)
    }

    fn write(&mut self, transaction: &Transaction) -> Result<(), StoreError> {
        self.store.write(transaction)?;
        self.mirror.apply(transaction);
        Ok(())
    }

    fn snapshot(&mut self, body: &[u8]) -> Result<(), StoreError> {
        self.store.snapshot(body)
    }
}

// === impl Mirror ===

impl Mirror {
    pub(super) fn new(loaded: &Loaded) -> Mirror {
        let mut rows = Rows::default();
        loaded.watches.iter().for_each(|(label, body)| rows.watches.put(label, Some(body)));
        loaded.escalations.iter().for_each(|(id, body)| rows.escalations.put(id, Some(body)));
        loaded.outbox.iter().for_each(|(id, body)| rows.outbox.put(id, Some(body)));
        // The store knows no age; the notes do.
        let mut notes: Vec<_> = loaded.triage.iter().filter(|(label, _)| is_kept(label)).collect();
        notes.sort_by_cached_key(|(_, body)| verdicts::decode(body).map_or(i64::MAX, |(_, _, judged)| judged.at_ms));
        notes.into_iter().for_each(|(label, body)| rows.triage.put(label, Some(body)));
        Mirror { rows: Mutex::new(rows), changed: Notify::new() }
    }

    fn apply(&self, written: &Transaction) {
        let notes = || written.triage.iter().filter(|(label, _)| is_kept(label));
        let quiet = written.watches.is_empty() && written.escalations.is_empty() && written.outbox.is_empty();
        if quiet && notes().next().is_none() {
            return;
        }
        let mut rows = self.lock();
        written.watches.iter().for_each(|(label, body)| rows.watches.put(label, body.as_deref()));
        written.escalations.iter().for_each(|(id, body)| rows.escalations.put(id, body.as_deref()));
        written.outbox.iter().for_each(|(id, body)| rows.outbox.put(id, body.as_deref()));
        notes().for_each(|(label, body)| rows.triage.put(label, body.as_deref()));
        drop(rows);
        self.changed.notify_one();
    }

    pub(super) fn rows(&self) -> Rows {
        self.lock().clone()
    }

    pub(super) fn outbox(&self) -> Table<u64> {
        self.lock().outbox.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines that nobody has judged yet come again by themselves.
fn is_kept(note: &str) -> bool {
    note.starts_with(KIND_NOTE) || note == SEEDED_NOTE
}

// === impl Table ===

impl<K: Clone + Eq + Hash> Table<K> {
    /// `None` removes.
    fn put<Q: Eq + Hash + ToOwned<Owned = K> + ?Sized>(&mut self, key: &Q, body: Option<impl AsRef<[u8]>>)
    where
        K: Borrow<Q>,
    {
        if let Some((_, gone)) = self.places.remove(key).and_then(|age| self.by_age.remove(&age)) {
            self.bytes -= gone.len();
        }
        let Some(body) = body else { return };
        let body: Arc<[u8]> = body.as_ref().into();
        self.bytes += body.len();
        self.places.insert(key.to_owned(), self.next);
        self.by_age.insert(self.next, (key.to_owned(), body));
        self.next += 1;
        while self.bytes > TABLE_MAX_BYTES {
            let Some((_, (key, gone))) = self.by_age.pop_first() else { break };
            self.places.remove(key.borrow());
            self.bytes -= gone.len();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Changed longest ago first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &[u8])> {
        self.by_age.values().map(|(key, body)| (key, &**body))
    }
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table { by_age: BTreeMap::new(), places: HashMap::new(), bytes: 0, next: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Stub {
        refuses: bool,
    }

    impl Store for Stub {
        fn write(&mut self, _: &Transaction) -> Result<(), StoreError> {
            if self.refuses {
                return Err(StoreError::Failed { path: "x".into(), what: "full".into() });
            }
            Ok(())
        }

        fn snapshot(&mut self, _: &[u8]) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn shown<K: Clone + Eq + Hash>(table: &Table<K>) -> Vec<(K, Vec<u8>)> {
        table.iter().map(|(key, body)| (key.clone(), body.to_vec())).collect()
    }

    #[test]
    fn the_mirror_holds_what_the_store_has_taken_and_nothing_that_it_refused() {
        let loaded = Loaded { watches: vec![("a".into(), vec![1])], ..Loaded::default() };
        let mirror = Arc::new(Mirror::new(&loaded));
        let mut store = Mirrored { store: Box::new(Stub::default()), mirror: mirror.clone() };
        let transaction = Transaction {
            watches: vec![("b".into(), Some(vec![2])), ("a".into(), None)],
            escalations: vec![(7, Some(vec![3]))],
            triage: vec![("line/1".into(), Some(vec![4])), ("kind/1".into(), Some(vec![5]))],
            ..Transaction::default()
        };
        store.write(&transaction).expect("it takes it");
        let rows = mirror.rows();
        assert_eq!(shown(&rows.watches), [("b".to_owned(), vec![2])]);
        assert_eq!(shown(&rows.escalations), [(7, vec![3])]);
        assert_eq!(shown(&rows.triage), [("kind/1".to_owned(), vec![5])], "a line waits for nobody elsewhere");
        store.store = Box::new(Stub { refuses: true });
        store.write(&Transaction { escalations: vec![(7, None)], ..Transaction::default() }).expect_err("it refuses");
        assert_eq!(shown(&mirror.rows().escalations), [(7, vec![3])]);
    }

    #[test]
    fn past_its_bound_a_table_loses_what_was_changed_longest_ago() {
        let mut table: Table<u64> = Table::default();
        let third = vec![0; TABLE_MAX_BYTES / 3];
        for id in [1, 2, 3] {
            table.put(&id, Some(&third));
        }
        table.put(&1, Some(&third));
        table.put(&4, Some(&third));
        assert_eq!(table.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 1, 4]);
        assert_eq!(table.bytes, 3 * third.len());
        table.put(&5, Some(vec![0; TABLE_MAX_BYTES + 1]));
        assert_eq!((table.len(), table.bytes, table.places.len()), (0, 0, 0), "what fits nowhere is not held");
    }
}
