//! The task and the folder together; buckets have whole-program tests.

use std::path::Path;

use super::*;

const NOW: i64 = 1_700_000_000_000;

fn state(folder: &Path) -> State {
    let settings =
        Settings { target: Target::Folder(folder.into()), every: Duration::from_secs(60), dedup_ms: 3_600_000 };
    State::new(settings, Metrics::register().expect("metrics"), || NOW).unwrap_or_else(|e| panic!("{e}"))
}

fn with_a_watch(seed: u64) -> Loaded {
    Loaded { watches: vec![("mine".into(), b"{}".to_vec())], seed, ..Loaded::default() }
}

struct Void;

impl Store for Void {
    fn write(&mut self, _: &Transaction) -> Result<(), StoreError> {
        Ok(())
    }

    fn snapshot(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Runs the task over what `loaded` says, from its start to its end.
async fn keep(folder: &Path, loaded: &Loaded) -> serde_json::Value {
    let state = state(folder);
    let view = state.view();
    let (_store, keeping) = state.keep(Box::new(Void), loaded);
    keeping.stop().await;
    view.status(NOW)
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|files| files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn what_one_store_had_is_found_by_the_next_with_its_seed() {
    let dir = tempfile::tempdir().expect("a folder");
    let shown = keep(dir.path(), &with_a_watch(7)).await;
    assert_eq!((&shown["last_written_ms"], &shown["last_error"]), (&NOW.into(), &serde_json::Value::Null));
    let mut next = state(dir.path());
    let found = next.find().await.expect("it is there");
    assert_eq!((found.seed, found.rows(NOW).watches.len()), (7, 1));
    assert_eq!(next.view().status(NOW)["at_start"], "restored");
    assert_eq!(next.metrics.state_reads.with_label_values(&["restored"]).get(), 1);
}

#[tokio::test]
async fn a_store_that_has_nothing_writes_nothing_and_equal_contents_are_written_once() {
    let dir = tempfile::tempdir().expect("a folder");
    keep(dir.path(), &Loaded { seed: 7, ..Loaded::default() }).await;
    assert_eq!(files(dir.path()), [""; 0]);
    keep(dir.path(), &with_a_watch(7)).await;
    let again = keep(dir.path(), &with_a_watch(7)).await;
    assert_eq!((&again["last_written_ms"], &again["age_seconds"]), (&serde_json::Value::Null, &0.into()));
    keep(dir.path(), &Loaded { seed: 7, ..Loaded::default() }).await;
    let found = state(dir.path()).find().await.expect("it is there");
    assert_eq!(found.rows(NOW).watches.len(), 0, "what was removed is kept no longer");
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_put_aside_and_never_written_over() {
    let dir = tempfile::tempdir().expect("a folder");
    keep(dir.path(), &with_a_watch(1)).await;
    let others = std::fs::read(dir.path().join(FILE)).expect("it is there");
    for (left, outcome) in [(others.as_slice(), "restored"), (b"not ours", "refused"), (&others[..99], "refused")] {
        std::fs::write(dir.path().join(FILE), left).expect("it is written");
        let mut at_start = state(dir.path());
        assert_eq!(at_start.find().await.is_some(), outcome == "restored");
        assert_eq!(at_start.metrics.state_reads.with_label_values(&[outcome]).get(), 1, "{outcome}");
        // A store with a seed of its own.
        keep(dir.path(), &with_a_watch(2)).await;
        let aside = files(dir.path())
            .into_iter()
            .find(|name| std::fs::read(dir.path().join(name)).ok().as_deref() == Some(left));
        assert!(aside.is_some_and(|name| name != FILE), "{outcome}");
        assert_eq!(state(dir.path()).find().await.map(|found| found.seed), Some(2));
    }
    assert_eq!(files(dir.path()).len(), 4);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_to_is_told_of_and_ends_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let shown = keep(&file.join("below"), &with_a_watch(7)).await;
    assert!(shown["last_error"].is_string() && shown["last_written_ms"].is_null(), "{shown}");
}
