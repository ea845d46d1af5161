//! The ledger's decisions, with time as a parameter: what is told, when, and what a restart makes of it.

mod messages;
mod proposals;

use proptest::prelude::*;

use super::*;
use crate::escalation::investigation::Investigation;
use crate::notify::deliver::{Leased, Message, Settled};
use crate::notify::notice::{Dossier, Notice, NoticeKind};
use crate::watch::rule::Rule;
use crate::watch::{OTHER, Origin};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
/// Some day, on a full minute.
const T0: i64 = 1_790_000_000_000 / 60_000 * 60_000;

struct Bench {
    engine: Engine,
    /// Everything written so far, as a store would hold it.
    journal: Vec<Vec<u8>>,
    snapshot: Option<Vec<u8>>,
    escalations: std::collections::BTreeMap<u64, Vec<u8>>,
    outbox: std::collections::BTreeMap<u64, Vec<u8>>,
    watches: std::collections::BTreeMap<String, Vec<u8>>,
    rules: Vec<Watch>,
}

fn rule(threshold: u64) -> Rule {
    let json = serde_json::json!({
        "label": "http_5xx", "match": {"field": "status", "gte": "500"}, "threshold": threshold,
        "window_seconds": 60, "summary": "5xx responses are spiking"
    });
    let mut faults = Vec::new();
    Rule::from_json(&json, "", &mut faults).unwrap_or_else(|| panic!("{faults:?}"))
}

fn settings() -> Settings {
    Settings {
        lateness_ms: 900 * SECOND,
        max_windows: 100,
        repeat_ms: 7_200_000,
        max_digests: 1000,
        max_outbox_rows: 1000,
        pace: Pace { live: vec!["slack"], coalesce_after: 20, per_day: 50 },
        escalation: escalation::Settings {
            dedup_ms: HOUR,
            settle_ms: 2 * SECOND,
            repeat_ms: 4 * HOUR,
            proposed_per_hour: 2,
            max_wanted: 2,
        },
        destinations: vec!["slack"],
        dossiers: Dossiers { public_url: Some("https://logs.example".into()), folder: None },
        naming: Arc::default(),
    }
}

fn at(ms: i64) -> Now {
    Now { ms, uptime_ms: u64::try_from(ms - T0 + HOUR).expect("after the start") }
}

/// The notice of a message about one escalation.
fn one(leased: &Leased) -> &Notice {
    match &leased.message {
        Message::One(notice) => notice,
        Message::Many(digest) => panic!("{digest:?}"),
    }
}

impl Bench {
    fn new(threshold: u64) -> Bench {
        let rules = vec![Watch::new(rule(threshold), Origin::Config)];
        let engine = Engine::new(settings(), rules.clone(), Loaded::default(), T0 - HOUR).0;
        Bench {
            engine,
            journal: vec![],
            snapshot: None,
            escalations: Default::default(),
            outbox: Default::default(),
            watches: Default::default(),
            rules,
        }
    }

    fn write(&mut self, mut draft: Draft, now: Now) {
        let written = self.engine.transaction(&mut draft);
        self.journal.extend(written.journal);
        for (rows, held) in [(written.escalations, &mut self.escalations), (written.outbox, &mut self.outbox)] {
            for (id, body) in rows {
                match body {
                    Some(body) => held.insert(id, body),
                    None => held.remove(&id),
                };
            }
        }
        for (label, body) in written.watches {
            match body {
                Some(body) => self.watches.insert(label, body),
                None => self.watches.remove(&label),
            };
        }
        self.engine.apply(draft, now);
    }

    fn staged(&self, service: &str, lines: &[(i64, u64)], lane: Lane) -> StagedGroup {
        let mut group = Vec::new();
        for value in ["prod", service] {
            group.extend_from_slice(&(value.len() as u16).to_le_bytes());
            group.extend_from_slice(value.as_bytes());
        }
        let width = Width::of_seconds(60);
        StagedGroup {
            watch: self.rules[0].key,
            group: group.into(),
            lane,
            counts: lines.iter().map(|(time, n)| (width.bucket(*time), *n)).collect(),
            first_ms: lines.iter().map(|(time, _)| *time).min().expect("lines"),
            last_ms: lines.iter().map(|(time, _)| *time).max().expect("lines"),
            cluster: "prod".into(),
            service: service.into(),
            samples: vec![],
        }
    }

    fn count(&mut self, service: &str, lines: &[(i64, u64)], lane: Lane, now: i64) -> Vec<String> {
        let staged =
            Staged { delivery: None, began: 0, notes: vec![], groups: vec![self.staged(service, lines, lane)] };
        self.commit(&[staged], now).remove(0).crossings
    }

    fn commit(&mut self, batches: &[Staged], now: i64) -> Vec<Committed> {
        let (draft, committed) = self.engine.commit(batches, at(now));
        self.write(draft, at(now));
        committed
    }

    /// `lines` live 5xx of `checkout` at `now`.
    fn flood(&mut self, lines: u64, now: i64) {
        self.count("checkout", &[(now, lines)], Lane::Live, now);
        self.sign_of_life(now);
    }

    fn sign_of_life(&self, now: i64) {
        self.engine.shards.saw("prod", "checkout", now);
    }

    fn tick(&mut self, now: i64) {
        if let Some(draft) = self.engine.tick(at(now)) {
            self.write(draft, at(now));
        }
    }

    /// Delivers what is due: kind, number and count of each.
    fn told(&mut self, now: i64) -> Vec<(NoticeKind, u64, u64)> {
        let mut told = Vec::new();
        while let Ok((draft, leased)) = self.engine.lease("slack", at(now)) {
            self.write(draft, at(now));
            let draft = self.engine.settle(leased.row, &Settled::Done { thread: Some("1.1".into()) }, at(now));
            self.write(draft, at(now));
            let notice = one(&leased);
            told.push((notice.kind, notice.escalation, notice.count));
        }
        told
    }

    fn snapshot(&mut self, now: i64) {
        self.snapshot = Some(self.engine.snapshot(at(now)));
        self.journal.clear();
    }

    /// Dies, and starts anew from what was written.
    fn restart(&mut self, now: i64) {
        let rows =
            |held: &std::collections::BTreeMap<u64, Vec<u8>>| held.iter().map(|(id, b)| (*id, b.clone())).collect();
        let loaded = Loaded {
            journal: self.journal.clone(),
            snapshot: self.snapshot.clone(),
            escalations: rows(&self.escalations),
            outbox: rows(&self.outbox),
            watches: self.watches.iter().map(|(label, body)| (label.clone(), body.clone())).collect(),
            ..Loaded::default()
        };
        self.engine = Engine::new(settings(), self.rules.clone(), loaded, now).0;
    }
}

#[test]
fn a_flood_is_one_message_with_the_count_of_the_moment_it_leaves_and_then_its_end() {
    let mut bench = Bench::new(10);
    bench.flood(5_000, T0);
    assert_eq!(bench.told(T0 + SECOND), [], "it settles first");
    bench.flood(15_000, T0 + SECOND);
    assert_eq!(bench.told(T0 + 2 * SECOND), [(NoticeKind::Opened, 1, 20_000)]);
    // In the window until T0 + 61 s; a whole W below ends at T0 + 121 s.
    for second in [10, 61, 100, 121] {
        bench.sign_of_life(T0 + second * SECOND);
        bench.tick(T0 + second * SECOND);
        assert_eq!(bench.told(T0 + second * SECOND), [], "at {second} s");
    }
    bench.sign_of_life(T0 + 122 * SECOND);
    bench.tick(T0 + 122 * SECOND);
    assert_eq!(bench.told(T0 + 122 * SECOND), [(NoticeKind::Resolved, 1, 20_000)]);
}

#[test]
fn a_new_flood_within_the_time_adds_to_it_and_one_after_it_escalates_anew() {
    let mut bench = Bench::new(10);
    bench.flood(20, T0);
    assert_eq!(bench.told(T0 + 2 * SECOND).len(), 1);
    let again = T0 + 600 * SECOND;
    bench.sign_of_life(again - SECOND);
    bench.tick(again - SECOND);
    assert_eq!(bench.told(again - SECOND), [(NoticeKind::Resolved, 1, 20)]);
    bench.flood(30, again);
    assert_eq!(bench.told(again), [(NoticeKind::Again, 1, 50)]);
    bench.sign_of_life(again + 300 * SECOND);
    bench.tick(again + 300 * SECOND);
    assert_eq!(bench.told(again + 300 * SECOND), [(NoticeKind::Resolved, 1, 50)]);
    let later = again + 300 * SECOND + HOUR;
    bench.flood(40, later);
    assert_eq!(bench.told(later + 2 * SECOND), [(NoticeKind::Opened, 2, 40)]);
}

#[test]
fn a_service_that_falls_silent_is_never_called_resolved_until_it_is_back_for_a_whole_window() {
    let mut bench = Bench::new(10);
    bench.flood(20, T0);
    bench.told(T0 + 2 * SECOND);
    bench.tick(T0 + 200 * SECOND);
    assert_eq!(bench.told(T0 + 200 * SECOND), [(NoticeKind::NoData, 1, 20)]);
    for minute in 4..30 {
        bench.tick(T0 + minute * 60 * SECOND);
    }
    assert_eq!(bench.told(T0 + HOUR), []);
    bench.sign_of_life(T0 + HOUR);
    bench.tick(T0 + HOUR);
    assert_eq!(bench.told(T0 + HOUR), [], "it has only just come back");
    bench.sign_of_life(T0 + HOUR + 60 * SECOND);
    bench.tick(T0 + HOUR + 60 * SECOND);
    assert_eq!(bench.told(T0 + HOUR + 60 * SECOND), [(NoticeKind::Resolved, 1, 20)]);
}

#[test]
fn a_backlog_raises_one_escalation_marked_late_and_moves_no_live_window() {
    let mut bench = Bench::new(10);
    let old = T0 - 2000 * SECOND;
    for part in 0..5 {
        let lines: Vec<(i64, u64)> = (0..300).map(|s| (old + (part * 300 + s) * SECOND, 1)).collect();
        bench.count("checkout", &lines, Lane::Late, T0 + part);
    }
    assert_eq!(bench.told(T0 + 3 * SECOND), [(NoticeKind::Opened, 1, 1500)]);
    let escalation = bench.engine.desk.get(1).expect("E1").clone();
    assert!(escalation.late);
    assert_eq!((escalation.first_ms, escalation.last_ms), (old, old + 1499 * SECOND));
    assert_eq!(bench.engine.shards.groups(T0).len(), 0);
    assert_eq!(bench.engine.shards.total(bench.rules[0].key).matched, 1500);
    bench.tick(T0 + HOUR);
    assert_eq!(bench.told(T0 + HOUR), [], "a backlog has no end to tell");
}

#[test]
fn a_repeat_counts_nothing_until_it_is_confirmed_and_an_equal_batch_after_that_does() {
    let mut bench = Bench::new(10);
    let staged = Staged {
        notes: vec![],
        delivery: Some(DeliveryKey { digest: 1, sender: 1 }),
        began: u64::MAX,
        groups: vec![bench.staged("checkout", &[(T0, 3)], Lane::Live)],
    };
    let other = Staged { delivery: Some(DeliveryKey { digest: 1, sender: 2 }), ..staged.clone() };
    // Twice in one group: the second finds the first.
    let committed = bench.commit(&[staged.clone(), staged.clone(), other], T0);
    assert_eq!(committed.iter().map(|c| c.repeat).collect::<Vec<_>>(), [false, true, false]);
    assert!(bench.commit(std::slice::from_ref(&staged), T0)[0].repeat);
    bench.restart(T0);
    assert!(bench.commit(std::slice::from_ref(&staged), T0)[0].repeat, "nobody confirmed it before we died");
    bench.engine.shards.confirm(DeliveryKey { digest: 1, sender: 1 }, 1);
    assert!(!bench.commit(std::slice::from_ref(&staged), T0)[0].repeat);
    assert_eq!(bench.engine.shards.total(bench.rules[0].key).matched, 9);
    bench.restart(T0);
    assert_eq!(bench.engine.shards.total(bench.rules[0].key).matched, 9);
    assert!(bench.commit(&[staged], T0)[0].repeat, "the confirmation was of the delivery before it");
}

#[test]
fn what_a_refused_commit_changed_is_as_if_it_had_not_been() {
    let mut bench = Bench::new(10);
    bench.flood(5, T0);
    let staged = Staged {
        delivery: None,
        began: 0,
        notes: vec![],
        groups: vec![bench.staged("checkout", &[(T0, 50)], Lane::Live)],
    };
    let (draft, committed) = bench.engine.commit(std::slice::from_ref(&staged), at(T0));
    assert_eq!(committed[0].crossings, ["http_5xx"]);
    bench.engine.discard(draft);
    assert_eq!(bench.engine.shards.total(bench.rules[0].key).matched, 5);
    assert_eq!(bench.told(T0 + HOUR), []);
    assert_eq!(bench.commit(&[staged], T0)[0].crossings, ["http_5xx"], "brought again, it crosses");
}

#[test]
fn a_message_under_way_when_we_die_is_told_again_and_labelled() {
    let mut bench = Bench::new(10);
    bench.flood(50, T0);
    let (draft, leased) = bench.engine.lease("slack", at(T0 + 2 * SECOND)).expect("due");
    assert!(!one(&leased).in_doubt);
    bench.write(draft, at(T0 + 2 * SECOND));
    bench.restart(T0 + 3 * SECOND);
    let (_, leased) = bench.engine.lease("slack", at(T0 + 3 * SECOND)).expect("due");
    assert_eq!((one(&leased).kind, one(&leased).escalation), (NoticeKind::Opened, 1));
    assert!(one(&leased).in_doubt);
}

#[test]
fn beyond_the_bound_further_groups_count_together_and_a_live_window_is_never_evicted() {
    let mut bench = Bench::new(10);
    for n in 0..150 {
        bench.count(&format!("svc-{n}"), &[(T0, 1)], Lane::Live, T0);
    }
    let groups = bench.engine.shards.groups(T0).remove(&bench.rules[0].key).expect("groups");
    assert_eq!(groups.len(), 101, "a hundred of their own, and the one of all others");
    let other = groups.iter().find(|g| group_values(&g.group) == [OTHER, OTHER]).expect("~other");
    assert_eq!((other.count, other.phase), (50, Phase::Firing), "it can cross");
    assert_eq!(bench.engine.shards.total(bench.rules[0].key).matched, 150);
    // Two minutes on the old ones are expired and make room.
    bench.count("late-comer", &[(T0 + 130 * SECOND, 1)], Lane::Live, T0 + 130 * SECOND);
    let groups = bench.engine.shards.groups(T0 + 130 * SECOND).remove(&bench.rules[0].key).expect("groups");
    assert!(groups.iter().any(|g| group_values(&g.group) == ["prod", "late-comer"]));
}

#[test]
fn changing_the_threshold_keeps_the_counters_and_changing_the_match_drops_them_without_a_word() {
    let mut bench = Bench::new(10);
    bench.flood(50, T0);
    bench.told(T0 + 2 * SECOND);
    let key = bench.rules[0].key;
    let (draft, replaced) = bench.engine.put_watch(rule(1000), at(T0)).expect("taken");
    bench.write(draft, at(T0));
    assert!(replaced);
    assert_eq!(bench.engine.shards.total(key).matched, 50);
    let mut changed = rule(1000);
    changed.window_seconds = 30;
    let (draft, _) = bench.engine.put_watch(changed, at(T0)).expect("taken");
    bench.write(draft, at(T0));
    assert_eq!(bench.engine.shards.total(key).matched, 0);
    assert_eq!(bench.engine.shards.windows_len(), 0);
    bench.tick(T0 + HOUR);
    assert_eq!(bench.told(T0 + HOUR), [], "a person ended it");
    assert_eq!(bench.engine.desk.get(1).map(|e| e.firing), Some(0));
}

#[test]
fn a_watch_set_for_a_time_leaves_after_that_long_without_a_match() {
    let mut bench = Bench::new(10);
    let mut brief = rule(10);
    brief.label = "brief".into();
    brief.ttl_seconds = Some(600);
    let (draft, _) = bench.engine.put_watch(brief, at(T0)).expect("taken");
    bench.write(draft, at(T0));
    assert_eq!(bench.engine.expired_watch(at(T0 + 599 * SECOND)), None);
    let key = bench.engine.shards.watches().by_label("brief").expect("set").key;
    let staged = StagedGroup { watch: key, ..bench.staged("checkout", &[(T0 + 500 * SECOND, 1)], Lane::Live) };
    bench.commit(&[Staged { delivery: None, began: 0, notes: vec![], groups: vec![staged] }], T0 + 500 * SECOND);
    assert_eq!(bench.engine.expired_watch(at(T0 + 1099 * SECOND)), None, "a match keeps it");
    assert_eq!(bench.engine.expired_watch(at(T0 + 1100 * SECOND)).as_deref(), Some("brief"));
}

#[test]
fn a_rule_that_changed_while_we_were_down_leaves_no_escalation_firing_for_ever() {
    let mut bench = Bench::new(10);
    bench.flood(50, T0);
    let mut changed = rule(10);
    changed.window_seconds = 30;
    bench.rules = vec![Watch::new(changed, Origin::Config)];
    bench.restart(T0 + SECOND);
    assert_eq!(bench.engine.desk.get(1).map(|e| e.firing), Some(0));
}

#[test]
fn a_match_after_an_outage_of_ours_is_not_taken_for_a_recovery() {
    let mut bench = Bench::new(10);
    bench.flood(50, T0);
    bench.told(T0 + 2 * SECOND);
    bench.restart(T0 + HOUR / 2);
    bench.count("checkout", &[(T0 + HOUR / 2, 1)], Lane::Live, T0 + HOUR / 2);
    assert_eq!(bench.told(T0 + HOUR / 2), [], "nobody knows how it was in between");
    assert_eq!(bench.engine.desk.get(1).map(|e| e.firing), Some(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_restart_at_any_moment_leaves_windows_and_totals_as_they_were(
        steps in proptest::collection::vec((0i64..400, 1u64..8, 0usize..3, any::<bool>(), 0u8..4), 1..40),
    ) {
        let (mut steady, mut dying) = (Bench::new(10), Bench::new(10));
        let mut now = T0;
        for (pause, lines, service, late, then) in steps {
            now += pause * SECOND;
            let lane = if late { Lane::Late } else { Lane::Live };
            let time = if late { now - 1000 * SECOND } else { now };
            for bench in [&mut steady, &mut dying] {
                // Two batches in one group: the second may count on in a window that the first turned.
                let batches = [[(time - 20 * SECOND, 1), (time, lines)], [(time - 10 * SECOND, lines), (time, 1)]]
                    .map(|counts| Staged { notes: vec![],
                        delivery: None,
                        began: 0,
                        groups: vec![bench.staged(["a", "b", "c"][service], &counts, lane)],
                    });
                bench.commit(&batches, now);
                bench.engine.shards.saw("prod", ["a", "b", "c"][service], now);
                bench.tick(now);
            }
            if then & 2 != 0 {
                dying.snapshot(now);
            }
            if then & 1 != 0 {
                let started_ms = dying.engine.started_ms;
                let seen = dying.engine.shards.seen();
                dying.restart(now);
                // These two a restart may know less of: they only make "resolved" wait.
                dying.engine.started_ms = started_ms;
                for (cluster, service, time) in seen {
                    dying.engine.shards.saw(&cluster, &service, time);
                }
            }
        }
        prop_assert_eq!(steady.engine.shards.groups(now), dying.engine.shards.groups(now));
        prop_assert_eq!(steady.engine.shards.total(steady.rules[0].key), dying.engine.shards.total(steady.rules[0].key));
        let rows = |b: &Bench| b.engine.outbox.waiting().0;
        prop_assert_eq!(rows(&steady), rows(&dying));
        prop_assert_eq!(steady.engine.desk.iter().cloned().collect::<Vec<_>>(), dying.engine.desk.iter().cloned().collect::<Vec<_>>());
    }
}

#[test]
fn an_escalation_that_counts_on_costs_no_row_and_its_count_outlives_journal_and_snapshot() {
    let mut bench = Bench::new(10);
    bench.flood(12, T0);
    let row = bench.escalations.clone();
    let counts = |bench: &Bench| bench.engine.desk.get(1).map(|e| (e.count, e.first_ms, e.last_ms));
    for second in 1..=3 {
        bench.flood(5, T0 + second * SECOND);
    }
    assert_eq!((counts(&bench), &bench.escalations), (Some((27, T0, T0 + 3 * SECOND)), &row));
    bench.restart(T0 + 4 * SECOND);
    assert_eq!(counts(&bench), Some((27, T0, T0 + 3 * SECOND)), "from the journal");
    bench.snapshot(T0 + 4 * SECOND);
    bench.restart(T0 + 5 * SECOND);
    bench.snapshot(T0 + 5 * SECOND);
    bench.restart(T0 + 5 * SECOND);
    assert_eq!(counts(&bench), Some((27, T0, T0 + 3 * SECOND)), "from one snapshot and the next");
    bench.told(T0 + 6 * SECOND);
    bench.flood(1, T0 + 6 * SECOND);
    assert_ne!(bench.escalations, row, "its thread is a change of the row");
    bench.restart(T0 + 7 * SECOND);
    assert_eq!(counts(&bench), Some((28, T0, T0 + 6 * SECOND)));
}

/// A rule like the others' that notifies only.
fn notifying(threshold: u64) -> Rule {
    Rule { on_crossing: OnCrossing::Notify, ..rule(threshold) }
}

#[test]
fn what_is_to_be_investigated_waits_over_a_restart_until_it_is_stored_that_it_was() {
    let mut bench = Bench::new(10);
    bench.flood(12, T0);
    assert_eq!(bench.engine.desk().wanted().iter().map(|e| e.id).collect::<Vec<_>>(), [1]);
    bench.restart(T0 + SECOND);
    assert_eq!(bench.engine.desk().wanted().iter().map(|e| e.id).collect::<Vec<_>>(), [1]);
    let (draft, waited) = bench.engine.investigated(1, Investigation::Written, vec![], at(T0 + SECOND));
    bench.write(draft, at(T0 + SECOND));
    assert!(waited && bench.engine.desk().wanted().is_empty());
    bench.restart(T0 + 2 * SECOND);
    assert!(bench.engine.desk().wanted().is_empty());
    assert_eq!(bench.engine.desk().investigations(10).len(), 1);
}

#[test]
fn the_first_message_of_what_is_investigated_names_its_dossier_and_no_other_message_does() {
    let mut bench = Bench::new(10);
    bench.flood(12, T0);
    let (_, leased) = bench.engine.lease("slack", at(T0 + 2 * SECOND)).expect("due");
    assert_eq!(one(&leased).dossier, Some(Dossier::Url("https://logs.example/investigations/E1".into())));

    let mut told = Bench::new(10);
    told.rules = vec![Watch::new(notifying(10), Origin::Config)];
    told.engine = Engine::new(settings(), told.rules.clone(), Loaded::default(), T0 - HOUR).0;
    told.flood(12, T0);
    assert!(told.engine.desk().wanted().is_empty());
    let (_, leased) = told.engine.lease("slack", at(T0 + 2 * SECOND)).expect("due");
    assert_eq!(one(&leased).dossier, None);

    // Left out, since two wait already: nothing to link to.
    let mut full = Bench::new(10);
    for service in ["a", "b", "c"] {
        full.count(service, &[(T0, 12)], Lane::Live, T0);
    }
    assert_eq!(full.engine.desk().get(3).and_then(|e| e.investigation), Some(Investigation::LeftOut));
    let mut dossiers = Vec::new();
    for _ in 0..3 {
        let (draft, leased) = full.engine.lease("slack", at(T0 + 2 * SECOND)).expect("due");
        full.write(draft, at(T0 + 2 * SECOND));
        let settled = full.engine.settle(leased.row, &Settled::Done { thread: None }, at(T0));
        full.write(settled, at(T0 + 2 * SECOND));
        dossiers.push(one(&leased).dossier.is_some());
    }
    assert_eq!(dossiers, [true, true, false]);
}
