//! Which kinds wait and why, which make room, and what a restart knows of them.

use std::sync::Arc;

use super::*;
use crate::record::{Delivery, Piece, Reader};
use crate::triage::novel::{Intake, Novelties, origin_hash};
use crate::triage::pages::Pages;
use crate::triage::verdicts;

const NOW_MS: i64 = 1_790_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// What requests would hand on of these records, one of each.
pub(in crate::triage) fn novels(intake: &Arc<Intake>, records: &[String]) -> Vec<Novel> {
    let mut found = Vec::new();
    for record in records {
        let mut novelties = Novelties::new(intake.clone());
        Reader::default().read(record.as_bytes(), false, Delivery::default(), |piece| {
            if let Piece::Record(record) = piece {
                novelties.take(record, origin_hash(record, record.service()), NOW_MS);
            }
        });
        found.extend(novelties.into_novel());
    }
    found
}

pub(in crate::triage) fn record(service: &str, level: &str, message: &str) -> String {
    let log = serde_json::json!({"level": level, "msg": message}).to_string();
    serde_json::json!({"container_name": service, "ecs_cluster": "prod", "log": log}).to_string()
}

struct Bench {
    kinds: Kinds,
    intake: Arc<Intake>,
}

impl Bench {
    fn new(max_kinds: usize) -> Bench {
        Bench { kinds: Kinds::new(Bounds { max_kinds, max_waiting: 1000 }, 7), intake: Intake::new(1).0 }
    }

    /// `None`: known, or it counts only.
    fn see(&mut self, record: &str) -> Option<(u64, Seen)> {
        let novel = novels(&self.intake, &[record.to_owned()]).pop()?;
        self.kinds.see(&novel, None, &self.intake.known, NOW_MS)
    }

    fn judge(&mut self, id: u64, what: What) {
        let level = self.kinds.get(id).expect("held").level;
        let judgement = Judgement { what, at_ms: NOW_MS, until_ms: NOW_MS + DAY_MS, level, label: None };
        self.kinds.settle(id, judgement, &self.intake.known);
    }

    fn sweep(&mut self) {
        self.kinds.sweep(&self.intake.known, 10.0, NOW_MS);
    }
}

#[test]
fn what_was_judged_is_offered_again_when_its_level_rises_and_not_when_it_falls() {
    let mut bench = Bench::new(100);
    let (id, seen) = bench.see(&record("cart", "warn", "the disk is slow")).expect("new");
    assert_eq!(seen, Seen::Waits);
    bench.judge(id, What::Ignore);
    assert_eq!(bench.see(&record("cart", "warn", "the disk is slow")), None, "known");
    assert_eq!(bench.see(&record("cart", "info", "the disk is slow")), Some((id, Seen::Settled)));
    assert_eq!(bench.see(&record("cart", "error", "the disk is slow")), Some((id, Seen::Waits)));
    let offer = bench.kinds.offer(id, None).expect("held");
    assert_eq!((offer.why, offer.level), (Why::Level, Level::Error));
}

#[test]
fn what_was_ignored_is_offered_again_when_it_comes_far_more_often_and_is_told_as_a_rush() {
    let mut bench = Bench::new(100);
    let line = record("cart", "info", "a basket was saved");
    let (id, _) = bench.see(&line).expect("new");
    bench.judge(id, What::Ignore);
    let sketch = bench.kinds.get(id).expect("held").sketches()[0];
    let hits = |bench: &Bench, n: usize| (0..n).for_each(|_| assert!(bench.intake.known.hit(sketch)));
    for _ in 0..8 {
        hits(&bench, 10);
        bench.sweep();
    }
    hits(&bench, 150);
    bench.sweep();
    assert_eq!(bench.see(&line), None, "fifteen times as often is within what happens");
    // That look was a line, too.
    hits(&bench, 999);
    bench.sweep();
    assert_eq!(bench.see(&line), Some((id, Seen::Waits)));
    let offer = bench.kinds.offer(id, None).expect("held");
    assert_eq!((offer.why, offer.count, offer.over_seconds), (Why::Rate, 6_000, 60));
    // Judged at that rate, it is the usual one.
    bench.judge(id, What::Ignore);
    hits(&bench, 1_000);
    bench.sweep();
    assert_eq!(bench.see(&line), None);
}

#[test]
fn what_a_watch_was_made_for_is_not_offered_for_its_rate() {
    let mut bench = Bench::new(100);
    let line = record("cart", "info", "a basket was saved");
    let (id, _) = bench.see(&line).expect("new");
    bench.judge(id, What::Watch);
    for _ in 0..8 {
        bench.sweep();
    }
    let sketch = bench.kinds.get(id).expect("held").sketches()[0];
    (0..5_000).for_each(|_| assert!(bench.intake.known.hit(sketch)));
    bench.sweep();
    assert_eq!(bench.see(&line), None);
}

#[test]
fn a_busy_known_kind_does_not_make_room_before_idle_ones() {
    let mut bench = Bench::new(10);
    let of = |n: usize| record(&format!("service{n}"), "info", "something was done");
    // The first is known and busy, the second waits and is busy, the others are idle.
    let ids: Vec<u64> = (0..10).map(|n| bench.see(&of(n)).expect("new").0).collect();
    bench.judge(ids[0], What::Ignore);
    ids[2..].iter().for_each(|id| bench.judge(*id, What::Ignore));
    for round in 0..3 {
        let sketch = bench.kinds.get(ids[0]).expect("still there").sketches()[0];
        assert!(bench.intake.known.hit(sketch));
        bench.sweep();
        assert_eq!(bench.see(&of(1)), Some((ids[1], Seen::Waiting)));
        for n in 0..3 {
            let (id, _) = bench.see(&of(100 + round * 3 + n)).expect("new");
            bench.judge(id, What::Ignore);
        }
    }
    bench.sweep();
    let held = |id: u64| bench.kinds.get(id).is_some();
    assert!(held(ids[0]) && held(ids[1]), "those in use stay");
    assert!(!ids[2..].iter().any(|id| held(*id)), "the idle ones have made room");
}

#[test]
fn so_many_new_kinds_that_those_in_use_might_go_are_noticed() {
    let mut bench = Bench::new(80);
    for n in 0..9 {
        bench.see(&record(&format!("service{n}"), "info", "something was done")).expect("new");
    }
    assert!(!bench.kinds.is_crowded());
    bench.see(&record("service9", "info", "something was done")).expect("new");
    assert!(bench.kinds.is_crowded());
    bench.sweep();
    assert!(!bench.kinds.is_crowded());
}

/// Names that make one template of many.
fn lamps(from: usize, to: usize) -> Vec<String> {
    let name =
        |n: usize| format!("{}{}", ["an", "be", "cy", "do", "ed", "fa", "gu"][n % 7], ["na", "rt", "ll", "mi"][n / 7]);
    (from..to)
        .map(|n| record("cart", "info", &format!("the {} lamp was switched off by the night shift", name(n))))
        .collect()
}

/// Kinds after a restart: `with` the templates, or without.
fn restarted(before: &Bench, with: bool) -> Bench {
    let mut notes: Vec<(String, Vec<u8>)> = Vec::new();
    for (id, kind) in before.kinds.iter() {
        if let State::Judged(judgement) = &kind.state {
            notes.extend(verdicts::encode(id, kind, judgement));
        }
    }
    if with {
        let pages = Pages::default().changed(&before.kinds.templates());
        notes.extend(pages.into_iter().filter_map(|(key, note)| Some((key, note?))));
    }
    let (_, templates, unreadable) = Pages::read(&notes);
    assert!(unreadable.is_empty());
    let mut after = Bench::new(100);
    after.kinds = Kinds::restored(before.kinds.bounds, 7, &templates);
    for (_, note) in notes.iter().filter(|(key, _)| key.starts_with(verdicts::KIND_NOTE)) {
        let (novel, template, judgement) = verdicts::decode(note).expect("a verdict");
        after.kinds.restore(&novel, template, judgement, None, &after.intake.known);
    }
    after
}

#[test]
fn what_was_one_kind_before_a_restart_is_that_kind_after_it() {
    let mut before = Bench::new(100);
    for line in lamps(0, 20) {
        if let Some((id, Seen::Waits)) = before.see(&line) {
            before.judge(id, What::Ignore);
        }
    }
    before.sweep();
    let kinds: Vec<u64> = before.kinds.iter().map(|(id, _)| id).collect();
    assert_eq!(kinds.len(), 1, "one template by now");
    let more = lamps(20, 28);
    assert!(more.iter().all(|line| before.see(line).is_none_or(|seen| seen == (kinds[0], Seen::Settled))));
    let mut after = restarted(&before, true);
    for line in lamps(0, 28) {
        let seen = after.see(&line);
        assert!(seen.is_none_or(|(id, seen)| (id, seen) == (kinds[0], Seen::Settled)), "{line}: {seen:?}");
    }
    assert_eq!(after.kinds.waiting(), 0);
    // Else this would prove nothing.
    let mut forgetful = restarted(&before, false);
    lamps(0, 28).iter().for_each(|line| assert!(forgetful.see(line).is_none_or(|_| true)));
    assert!(forgetful.kinds.waiting() > 0);
}

#[test]
fn a_kind_whose_stored_line_lacks_a_secret_is_that_kind_all_the_same() {
    let line =
        |n: usize| record("cart", "warn", &format!("login of node {n} refused, password=hunt{n}er2hunter2 given"));
    let mut before = Bench::new(100);
    let (id, _) = before.see(&line(1)).expect("new");
    before.judge(id, What::Ignore);
    let mut after = restarted(&before, true);
    assert!(!before.kinds.get(id).expect("held").sample.to_store().redacted().as_str().contains("hunter2"));
    for n in 1..5 {
        assert!(after.see(&line(n)).is_none_or(|(seen, how)| (seen, how) == (id, Seen::Settled)), "{n}");
    }
    assert_eq!(after.kinds.len(), 1);
    // And so it is after the next restart, whatever was said meanwhile.
    after.judge(id, What::Investigate);
    let mut again = restarted(&after, true);
    assert!(again.see(&line(7)).is_none_or(|(seen, how)| (seen, how) == (id, Seen::Settled)));
    assert_eq!(again.kinds.get(id).and_then(Kind::judged), Some(What::Investigate));
}

#[test]
fn the_id_of_a_template_that_is_another_ones_by_now_is_not_believed() {
    let mut before = Bench::new(100);
    let (id, _) = before.see(&record("cart", "warn", "the disk is slow")).expect("new");
    before.judge(id, What::Ignore);
    let (_, note) = verdicts::encode(
        id,
        before.kinds.get(id).expect("held"),
        &match &before.kinds.get(id).expect("held").state {
            State::Judged(judgement) => judgement.clone(),
            other => panic!("{other:?}"),
        },
    )
    .expect("a note");
    let (novel, template, judgement) = verdicts::decode(&note).expect("a verdict");
    assert_eq!(template, 0, "its line tells");
    let mut after = Bench::new(100);
    let (other, _) = after.see(&record("mail", "warn", "a mailbox is full")).expect("new");
    after.kinds.restore(&novel, other, judgement, None, &after.intake.known);
    assert!(matches!(after.kinds.get(other).expect("held").state, State::Waiting { .. }));
    assert_eq!(after.kinds.len(), 2);
}
