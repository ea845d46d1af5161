//! The loop's steps one by one, before a ledger whose store takes everything.

use super::*;
use crate::ledger::fixture::{self, NOW_MS, Notes};
use crate::triage::ask::BUILTIN;
use crate::triage::kinds::tests::{novels, record};
use crate::triage::model::{Patience, Provider, Target};
use crate::triage::novel::Novelties;
use crate::triage::pages::PAGE_NOTE;
use crate::watch::rule::Rule;

struct Bench {
    worker: Worker,
    stored: Notes,
    intake: Arc<Intake>,
    parts: Parts,
}

impl Bench {
    fn new() -> Bench {
        let metrics = Metrics::register().expect("metrics");
        let (ledger, stored) = fixture::ledger(vec![], &metrics);
        let (intake, inbox) = Intake::new(2);
        let (_, stopped) = watch::channel(false);
        let provider = Provider::new(Target::None, Patience::default(), reqwest::Client::builder).expect("no model");
        let mut parts = Parts {
            settings: Settings {
                batch_lines: 50,
                batch_wait_ms: 0,
                bounds: Bounds { max_kinds: 1000, max_waiting: 1000 },
                patience_ms: 150_000,
                ignore_ms: 86_400_000,
                lateness_ms: 900_000,
                naming: Arc::default(),
                seed: false,
                tune_every: Duration::ZERO,
            },
            ledger,
            intake: intake.clone(),
            inbox,
            provider: Arc::new(provider),
            limits: Limits::default(),
            seed: 7,
            notes: Vec::new(),
            metrics,
            view: Arc::default(),
            stopped,
            clock: || NOW_MS,
            passing: Passing::Real,
        };
        Bench { worker: Worker::new(&mut parts), stored, intake, parts }
    }

    /// Takes it in; the kind that it is of, unless its lines are known.
    fn take(&mut self, record: &str) -> Option<u64> {
        let novel = novels(&self.intake, &[record.to_owned()]).pop()?;
        let sketch = novel.sketch;
        self.worker.take(vec![novel]);
        self.worker.kinds.iter().find(|(_, kind)| kind.sketches().contains(&sketch)).map(|(id, _)| id)
    }

    fn waits(&self, id: u64) -> bool {
        matches!(self.worker.kinds.get(id).expect("held").state, State::Waiting { .. })
    }

    async fn propose(&mut self, id: u64, label: &str, condition: serde_json::Value) {
        let offer = self.worker.kinds.offer(id, None).expect("held");
        let action = Action {
            what: What::Watch,
            lines: vec![0],
            label: Some(label.into()),
            condition: Some(condition),
            threshold: Some(5.0),
            window_seconds: Some(60.0),
            severity: None,
            summary: None,
        };
        let said = Said { model: "some".into(), ..Said::default() };
        self.worker.propose(&action, &[&offer], &said, Origin::Triage).await;
        assert!(self.worker.ledger.watches().by_label(label).is_some(), "{:?}", self.parts.view.decisions());
    }

    fn stored(&self, prefix: &str) -> usize {
        self.stored.lock().expect("not poisoned").keys().filter(|key| key.starts_with(prefix)).count()
    }
}

#[tokio::test]
async fn a_watch_speaks_for_kinds_like_its_own_and_for_none_that_is_worse() {
    let mut bench = Bench::new();
    let own = bench.take(&record("cart", "info", "the disk is slow")).expect("new");
    bench.propose(own, "slow_disk", serde_json::json!({"contains": "disk is slow"})).await;
    let alike = bench.take(&record("mail", "info", "the disk is slow")).expect("new");
    let worse = bench.take(&record("mail", "error", "the disk is slow for ever")).expect("new");
    assert!(!bench.waits(alike));
    assert!(bench.waits(worse), "its level is higher than that of what the watch was made for");
}

#[tokio::test]
async fn a_watch_that_matches_everything_speaks_for_its_own_kind_alone() {
    let mut bench = Bench::new();
    let own = bench.take(&record("evil", "error", "count everything")).expect("new");
    bench.propose(own, "everything", serde_json::json!({"field": "level", "gte": "trace"})).await;
    let of = |n: usize| record(&format!("service{n}"), "error", "something was done");
    let kinds: Vec<u64> = (0..10).map(|n| bench.take(&of(n)).expect("new")).collect();
    assert!(bench.waits(kinds[9]), "by now it is known to be broad");
    // Those that were taken for counted before are looked at again.
    for (n, id) in kinds.iter().enumerate() {
        bench.take(&of(n));
        assert!(bench.waits(*id), "{n}");
    }
    bench.take(&record("evil", "error", "count everything"));
    assert!(!bench.waits(own), "its own is not asked about again");
}

#[tokio::test]
async fn kinds_of_a_watch_that_somebody_has_deleted_are_looked_at_again() {
    let mut bench = Bench::new();
    let line = record("cart", "info", "the disk is slow");
    let own = bench.take(&line).expect("new");
    bench.propose(own, "slow_disk", serde_json::json!({"contains": "disk is slow"})).await;
    bench.worker.sweep();
    assert_eq!(bench.take(&line), None, "known");
    bench.worker.ledger.delete_watch("slow_disk".into()).await.expect("deleted");
    bench.worker.sweep();
    assert_eq!(bench.take(&line), Some(own));
    assert!(bench.waits(own));
    assert_eq!(bench.worker.kinds.offer(own, None).map(|offer| offer.why), Some(Why::Again));
}

fn shadowed(rule: &Rule) -> Proposal {
    let provenance = Provenance { shadow: true, ..Provenance::default() };
    Proposal { rule: rule.clone(), origin: Origin::Triage, provenance, replaces: None, backlog: vec![] }
}

fn rule(label: &str, condition: &serde_json::Value) -> Rule {
    let written = serde_json::json!({"label": label, "match": condition, "threshold": 5, "window_seconds": 60});
    Rule::from_json(&written, "", &mut Vec::new()).expect("a rule")
}

#[tokio::test]
async fn a_watch_leaves_the_shadow_when_its_lines_are_seen_again_and_stands_its_trial() {
    let mut bench = Bench::new();
    for (label, text) in [("slow_disk", "disk is slow"), ("never_seen", "no line says this")] {
        let rule = rule(label, &serde_json::json!({"contains": text}));
        bench.worker.ledger.adopt(shadowed(&rule)).await.expect("taken in");
    }
    let id = bench.take(&record("cart", "info", "the disk is slow")).expect("new");
    assert!(bench.waits(id), "a watch in the shadow speaks for nobody");
    bench.worker.lift().await;
    let set = bench.worker.ledger.watches();
    let is_shadow = |label: &str| set.by_label(label).expect("held").is_shadow();
    assert_eq!((is_shadow("slow_disk"), is_shadow("never_seen")), (false, true));
    assert_eq!(bench.worker.kinds.get(id).and_then(Kind::watched_by), Some("slow_disk"));
    let total = bench.worker.ledger.shards().total(set.by_label("slow_disk").expect("held").key);
    assert_eq!(total.matched, 1, "with the line that came");
}

#[tokio::test]
async fn a_watch_whose_change_a_person_took_back_is_left_alone() {
    let mut bench = Bench::new();
    let own = bench.take(&record("cart", "info", "the disk is slow")).expect("new");
    bench.propose(own, "slow_disk", serde_json::json!({"contains": "disk is slow"})).await;
    let [held] = bench.worker.own_quiet().try_into().expect("one watch");
    let other = Rule { threshold: 50, ..held.rule.clone() };
    bench.worker.change(&held, other, "tune", &Said::builtin(), "because").await;
    let threshold = |bench: &Bench| bench.worker.ledger.watches().by_label("slow_disk").map(|w| w.rule.threshold);
    assert_eq!((threshold(&bench), bench.worker.own_quiet().len()), (Some(50), 1));
    bench.worker.ledger.roll_back("slow_disk".into()).await.expect("rolled back");
    assert_eq!((threshold(&bench), bench.worker.own_quiet().len()), (Some(5), 0));
}

#[tokio::test]
async fn after_a_question_that_nobody_could_be_asked_there_is_a_pause() {
    let mut bench = Bench::new();
    let id = bench.take(&record("cart", "info", "the disk is slow")).expect("new");
    let offer = bench.worker.kinds.offer(id, None).expect("held");
    let no = NoAnswer { words: "the model is left alone".into(), tried: false, too_much: false };
    bench.worker.stand_in(&[offer], 1, &no).await;
    for _ in 0..100 {
        bench.worker.ask().await;
        assert!(bench.worker.asking.is_none(), "not before the pause is over");
    }
    assert!(bench.worker.not_before_ms >= NOW_MS + PAUSE_LEAST_MS);
    assert!(bench.waits(id), "nobody asked: that is no try");
    bench.worker.not_before_ms = NOW_MS;
    bench.worker.ask().await;
    assert!(bench.worker.asking.is_some());
}

#[tokio::test]
async fn notes_that_nobody_will_read_are_deleted() {
    let mut bench = Bench::new();
    for n in 0..4 {
        // Two fit into the queue.
        let mut novelties = Novelties::new(bench.intake.clone());
        let line = record(&format!("service{n}"), "error", "the index is unreadable");
        crate::record::Reader::default().read(line.as_bytes(), false, crate::record::Delivery::default(), |piece| {
            if let crate::record::Piece::Record(record) = piece {
                novelties.take(record, n, NOW_MS);
            }
        });
        let notes = novelties.notes().into_iter().map(|(key, note)| (key, Some(note))).collect();
        assert!(bench.worker.ledger.note(notes).await);
        novelties.hand_over();
    }
    assert_eq!(bench.stored(LINE_NOTE), 4);
    bench.worker.tick().await;
    assert_eq!(bench.stored(LINE_NOTE), 2, "those in the queue are still to be read");
}

#[tokio::test]
async fn templates_are_stored_when_they_have_changed_and_what_is_salvaged_knows_them() {
    let mut bench = Bench::new();
    let said = ["the cache is cold", "the disk is slow", "the queue is long"];
    let ids = said.map(|text| bench.take(&record("cart", "warn", text)).expect("new"));
    bench.worker.settle(ids[0], What::Ignore, None);
    bench.propose(ids[1], "slow_disk", serde_json::json!({"contains": "disk is slow"})).await;
    bench.worker.keep_templates();
    assert!(bench.worker.flush().await);
    assert_eq!((bench.stored(PAGE_NOTE), bench.stored(KIND_NOTE)), (1, 2));
    bench.worker.keep_templates();
    assert!(bench.worker.notes.is_empty(), "nothing has changed since");
    bench.parts.notes = watched::salvage(&bench.worker);
    bench.intake.known.clear();
    bench.intake.held.clear();
    bench.worker = Worker::new(&mut bench.parts);
    let judged = ids.map(|id| bench.worker.kinds.get(id).expect("held").judged());
    assert_eq!(judged, [Some(What::Ignore), Some(What::Watch), None]);
    assert!(bench.waits(ids[2]));
    assert_eq!(bench.take(&record("cart", "warn", "the cache is cold")), None, "known again");
    assert_eq!(bench.worker.asker.judge(vec![]).await.said.model, BUILTIN);
}
