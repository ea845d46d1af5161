//! The store over real files: what is there after opening again, and who is kept out.

mod damage;

use super::*;

fn open(path: &Path) -> (SqliteStore, Loaded) {
    SqliteStore::open(path, Duration::ZERO, 7).expect("opens")
}

#[test]
fn what_was_written_is_there_after_opening_again_and_a_snapshot_ends_the_journal() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("deep/er/x.db");
    let (mut store, loaded) = open(&path);
    assert_eq!((loaded.journal.len(), loaded.seed), (0, 7));
    let row = |n: u8| Transaction {
        journal: Some(vec![n]),
        escalations: vec![(1, Some(vec![n]))],
        outbox: vec![(u64::from(n), Some(vec![n]))],
        watches: vec![("a".into(), Some(vec![n]))],
        triage: vec![("k".into(), Some(vec![n]))],
    };
    store.write(&row(1)).expect("writes");
    store.snapshot(b"all before").expect("writes");
    store.write(&row(2)).expect("writes");
    store.write(&Transaction { outbox: vec![(1, None)], ..Transaction::default() }).expect("writes");
    drop(store);
    let (_, loaded) = SqliteStore::open(&path, Duration::ZERO, 99).expect("opens");
    assert_eq!(loaded.snapshot.as_deref(), Some(b"all before".as_slice()));
    assert_eq!(loaded.journal, vec![vec![2]]);
    assert_eq!(loaded.escalations, vec![(1, vec![2])]);
    assert_eq!(loaded.outbox, vec![(2, vec![2])]);
    assert_eq!(loaded.watches, vec![("a".to_owned(), vec![2])]);
    assert_eq!(loaded.triage, vec![("k".to_owned(), vec![2])]);
    assert_eq!(loaded.seed, 7, "the seed stays the one of the first start");
}

#[test]
fn a_second_opener_is_kept_out_and_told_whose_store_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.db");
    let _held = open(&path);
    let error = SqliteStore::open(&path, Duration::ZERO, 7).err().expect("locked");
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_and_the_store_begins_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.db");
    std::fs::write(&path, "not a database, but long enough to look at".repeat(40)).expect("writes");
    let (mut store, loaded) = open(&path);
    assert!(loaded.journal.is_empty());
    store.write(&Transaction { journal: Some(vec![1]), ..Transaction::default() }).expect("writes");
    assert!(dir.path().join("x.db.unsound").exists());
}

#[test]
fn a_folder_in_place_of_the_file_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = SqliteStore::open(dir.path(), Duration::ZERO, 7).err().expect("a folder");
    assert!(error.to_string().contains("is a folder"), "{error}");
}
