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
        services: vec![("s".into(), Some(vec![n]))],
        cases: vec![("c".into(), Some(vec![n]))],
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
    assert_eq!(loaded.services, vec![("s".to_owned(), vec![2])]);
    assert_eq!(loaded.cases, vec![("c".to_owned(), vec![2])]);
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

#[test]
fn a_store_that_was_made_before_rows_had_checksums_is_taken_over_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.db");
    let old = Connection::open(&path).expect("a database");
    old.execute_batch(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE journal (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
         CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL);
         CREATE TABLE escalations (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
         CREATE TABLE outbox (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
         CREATE TABLE watches (label TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
         INSERT INTO meta VALUES ('format', 1), ('seed', 42);
         INSERT INTO journal VALUES (5, x'05'), (6, x'06');
         INSERT INTO snapshot VALUES (1, x'04');
         INSERT INTO outbox VALUES (3, x'03');
         INSERT INTO watches VALUES ('a', x'0a');",
    )
    .expect("the old tables");
    drop(old);
    let (mut store, loaded) = open(&path);
    assert_eq!((loaded.snapshot, loaded.journal, loaded.seed), (Some(vec![4]), vec![vec![5], vec![6]], 42));
    assert_eq!((loaded.outbox, loaded.watches), (vec![(3, vec![3])], vec![("a".to_owned(), vec![10])]));
    assert_eq!((loaded.damaged, loaded.begun_anew), (0, false));
    store.write(&Transaction { journal: Some(vec![7]), ..Transaction::default() }).expect("writes");
    drop(store);
    let (mut store, loaded) = open(&path);
    assert_eq!((loaded.journal, loaded.damaged), (vec![vec![5], vec![6], vec![7]], 0));
    store.snapshot(b"all").expect("writes");
    store.write(&Transaction { journal: Some(vec![8]), ..Transaction::default() }).expect("writes");
    drop(store);
    let (_, loaded) = open(&path);
    assert_eq!(
        (loaded.snapshot.as_deref(), loaded.journal, loaded.damaged),
        (Some(b"all".as_slice()), vec![vec![8]], 0)
    );
}

#[test]
fn a_row_that_is_changed_or_missing_behind_our_back_is_left_out_and_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.db");
    let (mut store, _) = open(&path);
    for n in 1..=5u8 {
        let escalations = vec![(u64::from(n), Some(vec![n]))];
        store.write(&Transaction { journal: Some(vec![n]), escalations, ..Transaction::default() }).expect("writes");
    }
    drop(store);
    let change = |sql: &str| Connection::open(&path).and_then(|c| c.execute_batch(sql)).expect("a change");
    change("UPDATE escalations SET body = x'09' WHERE id = 2; UPDATE journal SET seq = 9 WHERE seq = 5");
    let (_, loaded) = open(&path);
    assert_eq!(loaded.journal, vec![vec![1], vec![2], vec![3], vec![4]], "under another number it is another row");
    assert_eq!(loaded.escalations.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert_eq!(loaded.damaged, 2);
    change("DELETE FROM journal WHERE seq IN (2, 3)");
    let (_, loaded) = open(&path);
    assert_eq!((loaded.journal.len(), loaded.damaged), (2, 1 + 2), "one unreadable row, and a gap of two");
    for covered in [-1, i64::MAX, i64::MIN] {
        change(&format!(
            "INSERT OR REPLACE INTO meta VALUES ('covered', {covered}); UPDATE journal SET seq = {covered}, sum = NULL WHERE seq = 4;"
        ));
        let (mut store, loaded) = open(&path);
        assert_eq!(loaded.journal, vec![vec![1]], "a number that cannot be is none");
        store.write(&Transaction { journal: Some(vec![4]), ..Transaction::default() }).expect("writes");
        drop(store);
        change(&format!("DELETE FROM journal WHERE seq = {covered}"));
        change("UPDATE journal SET seq = 4 WHERE seq = 2");
    }
}
