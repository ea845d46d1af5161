//! The writer against a store that refuses: what its callers hear, and what remains.

mod simulation;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::escalation;
use crate::escalation::pace::Pace;
use crate::ledger::window::Width;
use crate::ledger::{DeliveryKey, Lane, StagedGroup};
use crate::store::StoreError;
use crate::watch::rule::Rule;
use crate::watch::{Origin, WatchKey};

/// Takes everything, or nothing, as the test says.
struct Moody(Arc<AtomicBool>);

impl Store for Moody {
    fn write(&mut self, _: &Transaction) -> Result<(), StoreError> {
        if self.0.load(Ordering::SeqCst) {
            return Err(StoreError::Failed { path: "moody".into(), what: "no space left".into() });
        }
        Ok(())
    }

    fn snapshot(&mut self, _: &[u8]) -> Result<(), StoreError> {
        self.write(&Transaction::default())
    }
}

fn start_on(refusing: &Arc<AtomicBool>) -> (Ledger, WatchKey, Metrics) {
    let json = serde_json::json!({"label": "any", "match": {"field": "status", "gte": 0}, "threshold": 3, "window_seconds": 60});
    let rule = Rule::from_json(&json, "", &mut Vec::new()).expect("a sound rule");
    let watch = Watch::new(rule, Origin::Config);
    let key = watch.key;
    let metrics = Metrics::register().expect("metrics");
    let store = Box::new(Moody(refusing.clone()));
    (start(parts(store, metrics.clone(), vec![watch])).expect("starts").0, key, metrics)
}

fn parts(store: Box<dyn Store>, metrics: Metrics, base: Vec<Watch>) -> Parts {
    Parts {
        settings: Settings {
            lateness_ms: 900_000,
            max_windows: 100,
            repeat_ms: 1000,
            max_digests: 100,
            max_outbox_rows: 10,
            pace: Pace::default(),
            escalation: escalation::Settings {
                dedup_ms: 1000,
                settle_ms: 0,
                repeat_ms: 1_000_000,
                proposed_per_hour: 10,
                max_wanted: 2,
            },
            destinations: vec!["slack"],
            dossiers: crate::notify::notice::Dossiers::default(),
            naming: Arc::default(),
        },
        base,
        store,
        loaded: Loaded::default(),
        metrics,
        clock: || 1_790_000_000_000,
        queue: 8,
        snapshot_every: Duration::from_secs(10),
        passing: Passing::Real,
    }
}

fn batch(watch: WatchKey) -> Staged {
    let now = 1_790_000_000_000;
    let group = StagedGroup {
        watch,
        group: Box::default(),
        lane: Lane::Live,
        counts: vec![(Width::of_seconds(60).bucket(now), 5)],
        first_ms: now,
        last_ms: now,
        cluster: String::new(),
        service: "x".into(),
        samples: vec![],
    };
    Staged { delivery: Some(DeliveryKey { digest: 7, sender: 7 }), began: 0, notes: vec![], groups: vec![group] }
}

#[tokio::test]
async fn a_store_that_refuses_is_said_to_the_caller_and_counts_nothing_and_is_left_when_it_writes_again() {
    let refusing = Arc::new(AtomicBool::new(true));
    let (ledger, watch, metrics) = start_on(&refusing);
    for _ in 0..3 {
        assert_eq!(ledger.commit(batch(watch)).await, Err(Unavailable));
    }
    assert_eq!(ledger.shards().total(watch).matched, 0);
    assert_eq!(metrics.store_failing.get(), 1);
    assert_eq!(ledger.commit(Staged::default()).await, Ok(Committed::default()), "no effect, no store");
    refusing.store(false, Ordering::SeqCst);
    let committed = ledger.commit(batch(watch)).await.expect("the store writes again");
    assert_eq!((committed.repeat, committed.crossings), (false, vec!["any".to_owned()]));
    assert_eq!(ledger.shards().total(watch).matched, 5);
    assert_eq!(metrics.store_failing.get(), 0);
    assert!(ledger.commit(batch(watch)).await.expect("taken").repeat);
    ledger.close().await;
    assert_eq!(ledger.commit(batch(watch)).await, Err(Unavailable), "closed");
}

#[tokio::test]
async fn a_commit_that_was_handed_over_counts_though_its_caller_is_gone() {
    let (ledger, watch, _) = start_on(&Arc::new(AtomicBool::new(false)));
    let (reply, answer) = oneshot::channel();
    drop(answer);
    ledger.commands.send(Command::Commit(batch(watch), reply)).await.expect("the writer lives");
    // Answered after it, since the writer keeps the order.
    assert_eq!(ledger.hurry().await, 1, "its escalation waits to be told");
    assert_eq!(ledger.shards().total(watch).matched, 5);
}
