//! Watches that nobody wrote: what they may, and what they may not touch.

use super::*;
use crate::ledger::{Proposal, Refused};
use crate::record::{Delivery, Piece, Reader};
use crate::watch::provenance::{Change, Provenance};

fn change(before: Option<&Rule>, after: &Rule) -> Change {
    Change {
        at_ms: T0,
        by: "triage".into(),
        model: "qwen".into(),
        prompt: String::new(),
        reply: Redacted::default(),
        reason: Redacted::new("because"),
        before: before.map(Rule::to_json),
        after: Some(after.to_json()),
    }
}

fn proposed(label: &str, threshold: u64) -> Rule {
    Rule { label: label.into(), ..rule(threshold) }
}

fn sample() -> Sample {
    let line = br#"{"ecs_cluster":"prod","container_name":"checkout","log":"{\"status\":503,\"msg\":\"x\"}"}"#;
    let mut sample = None;
    Reader::default().read(line, false, Delivery::default(), |piece| {
        if let Piece::Record(record) = piece {
            sample = Some(Sample::of(record));
        }
    });
    sample.expect("a record")
}

impl Bench {
    fn propose(&mut self, rule: Rule, backlog: u64, now: i64) -> Result<(), Refused> {
        let watch = Watch::new(rule.clone(), Origin::Triage);
        let staged = StagedGroup {
            watch: watch.key,
            samples: vec![sample()],
            ..self.staged("checkout", &[(now, backlog.max(1))], Lane::Live)
        };
        let provenance = Provenance::of(change(None, &rule));
        let backlog = if backlog > 0 { vec![staged] } else { vec![] };
        let proposal = Proposal { rule, origin: Origin::Triage, provenance, replaces: None, backlog };
        let draft = self.engine.adopt(proposal, at(now))?;
        self.write(draft, at(now));
        Ok(())
    }

    fn crossing(&self, label: &str) -> Crossing {
        Crossing {
            label: label.into(),
            severity: crate::notify::notice::Severity::Warning,
            summary: String::new(),
            cluster: "prod".into(),
            service: "checkout".into(),
            group: vec![],
            threshold: 1,
            window_seconds: 1,
            late: false,
            count: 1,
            first_ms: T0,
            last_ms: T0,
            samples: vec![],
            proposed: true,
        }
    }
}

#[test]
fn a_watch_that_goes_live_counts_the_flood_that_made_it_and_its_number_moves_nobody_elses() {
    let mut bench = Bench::new(10);
    bench.propose(proposed("ai", 100), 150, T0).expect("taken in");
    assert_eq!(bench.told(T0 + 2 * SECOND), [(NoticeKind::Opened, 1_000_001, 150)]);
    bench.count("cart", &[(T0, 20)], Lane::Live, T0);
    assert_eq!(bench.told(T0 + 4 * SECOND), [(NoticeKind::Opened, 1, 20)], "as if nobody had proposed anything");
}

#[test]
fn where_a_persons_watch_tells_of_the_lines_a_proposed_one_keeps_quiet_and_is_named_there() {
    let mut bench = Bench::new(10);
    bench.flood(50, T0);
    assert_eq!(bench.told(T0 + 2 * SECOND).len(), 1);
    bench.propose(proposed("ai", 100), 150, T0 + 3 * SECOND).expect("taken in");
    assert_eq!(bench.told(T0 + 9 * SECOND), []);
    assert_eq!(bench.engine.desk.get(1).map(|e| e.also.clone()), Some(vec!["ai".to_owned()]));
    let staged = StagedGroup { samples: vec![sample()], ..bench.staged("checkout", &[(T0, 1)], Lane::Live) };
    let (draft, raised) = bench.engine.raise(bench.crossing("look"), &staged, at(T0 + 10 * SECOND));
    bench.write(draft, at(T0 + 10 * SECOND));
    assert_eq!(raised, (1, escalation::Outcome::Covered));
    // Of another service nobody tells.
    let staged = StagedGroup { cluster: "prod".into(), service: "cart".into(), ..staged };
    let (draft, raised) = bench.engine.raise(bench.crossing("look"), &staged, at(T0 + 10 * SECOND));
    bench.write(draft, at(T0 + 10 * SECOND));
    assert_eq!(raised, (1_000_001, escalation::Outcome::Opened));
}

#[test]
fn nobody_is_told_of_more_than_so_many_proposed_ones_an_hour() {
    let mut bench = Bench::new(10);
    for n in 0..4 {
        bench.propose(proposed(&format!("ai_{n}"), 100), 150, T0).expect("taken in");
    }
    assert_eq!(bench.told(T0 + 2 * SECOND).len(), 2, "settings say two");
    assert_eq!(bench.engine.desk.iter().filter(|e| e.held).count(), 2, "the others are listed");
    bench.propose(proposed("later", 100), 150, T0 + HOUR + SECOND).expect("taken in");
    assert!(
        bench.told(T0 + HOUR + 3 * SECOND).iter().any(|(kind, id, _)| *kind == NoticeKind::Opened && *id == 1_000_005)
    );
}

#[test]
fn a_persons_label_is_never_taken_and_a_persons_watch_takes_any() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.propose(proposed("http_5xx", 100), 0, T0), Err(Refused::Taken));
    bench.propose(proposed("ai", 100), 0, T0).expect("taken in");
    let (draft, replaced) = bench.engine.put_watch(proposed("ai", 7), at(T0)).expect("set");
    bench.write(draft, at(T0));
    assert!(replaced);
    assert_eq!(bench.engine.shards.watches().by_label("ai").map(|w| w.origin), Some(Origin::Api));
    assert_eq!(bench.propose(proposed("ai", 100), 0, T0), Err(Refused::Taken));
}

#[test]
fn no_more_than_a_hundred_are_taken_in() {
    let mut bench = Bench::new(10);
    for n in 0..100 {
        bench.propose(proposed(&format!("ai_{n}"), 100), 0, T0).expect("taken in");
    }
    assert_eq!(bench.propose(proposed("ai_100", 100), 0, T0), Err(Refused::Full(100)));
    bench.propose(proposed("ai_7", 200), 0, T0).expect("a change to one is no further one");
}

#[test]
fn the_last_change_rolls_back_and_the_first_removes_the_watch() {
    let mut bench = Bench::new(10);
    let (first, second) = (proposed("ai", 100), proposed("ai", 300));
    bench.propose(first.clone(), 0, T0).expect("taken in");
    let mut provenance = Provenance::of(change(None, &first));
    provenance.add(change(Some(&first), &second));
    let proposal = Proposal { rule: second, origin: Origin::Triage, provenance, replaces: None, backlog: vec![] };
    let draft = bench.engine.adopt(proposal, at(T0)).expect("taken in");
    bench.write(draft, at(T0));
    let threshold = |bench: &Bench| bench.engine.shards.watches().by_label("ai").map(|w| w.rule.threshold);
    assert_eq!(threshold(&bench), Some(300));
    for left in [Some(100), None] {
        let draft = bench.engine.roll_back("ai", at(T0)).expect("rolled back");
        bench.write(draft, at(T0));
        assert_eq!(threshold(&bench), left);
    }
    assert_eq!(bench.engine.roll_back("ai", at(T0)).err(), Some(Refused::Unknown));
    assert_eq!(bench.engine.roll_back("http_5xx", at(T0)).err(), Some(Refused::NoEarlier));
}

#[test]
fn a_proposed_watch_is_the_same_after_a_restart_and_one_that_fired_stays() {
    let mut bench = Bench::new(10);
    let brief = |label: &str| Rule { ttl_seconds: Some(600), ..proposed(label, 100) };
    bench.propose(brief("fired"), 150, T0).expect("taken in");
    bench.propose(brief("idle"), 0, T0).expect("taken in");
    bench.restart(T0 + SECOND);
    let set = bench.engine.shards.watches();
    let fired = set.by_label("fired").expect("kept");
    assert_eq!((fired.origin, fired.rule.clone()), (Origin::Triage, brief("fired")));
    assert_eq!(fired.provenance.as_ref().map(|p| (p.fired, p.changes.len())), Some((true, 1)));
    assert_eq!(bench.engine.expired_watch(at(T0 + HOUR)).as_deref(), Some("idle"));
}

#[test]
fn a_watch_in_the_shadow_counts_and_tells_nobody() {
    let mut bench = Bench::new(10);
    let rule = proposed("ai", 100);
    let provenance = Provenance { shadow: true, ..Provenance::of(change(None, &rule)) };
    let key = Watch::proposed(rule.clone(), Origin::Triage, 0, provenance.clone()).key;
    let backlog = vec![StagedGroup { watch: key, ..bench.staged("checkout", &[(T0, 150)], Lane::Live) }];
    let draft = bench
        .engine
        .adopt(Proposal { rule, origin: Origin::Triage, provenance, replaces: None, backlog }, at(T0))
        .expect("taken in");
    bench.write(draft, at(T0));
    assert_eq!(bench.told(T0 + 2 * SECOND), []);
    assert_eq!(bench.engine.shards.total(key).matched, 150);
}

#[test]
fn after_a_rollback_numbers_are_left_alone_also_after_a_restart() {
    let mut bench = Bench::new(10);
    let (first, second) = (proposed("ai", 100), proposed("ai", 300));
    bench.propose(first.clone(), 0, T0).expect("taken in");
    let mut provenance = Provenance::of(change(None, &first));
    provenance.add(change(Some(&first), &second));
    let proposal =
        Proposal { rule: second, origin: Origin::Triage, provenance, replaces: Some(first), backlog: vec![] };
    let draft = bench.engine.adopt(proposal, at(T0)).expect("taken in");
    bench.write(draft, at(T0));
    let pinned = |bench: &Bench| {
        let set = bench.engine.shards.watches();
        set.by_label("ai").and_then(|w| w.provenance.as_ref().map(|p| (p.pinned, p.changes.len())))
    };
    assert_eq!(pinned(&bench), Some((false, 2)));
    let draft = bench.engine.roll_back("ai", at(T0)).expect("rolled back");
    bench.write(draft, at(T0));
    assert_eq!(pinned(&bench), Some((true, 1)));
    bench.restart(T0 + SECOND);
    assert_eq!(pinned(&bench), Some((true, 1)));
}

#[test]
fn at_a_restart_proposed_regexes_take_no_room_from_those_of_people() {
    let mut bench = Bench::new(10);
    let with_regex = |label: &str| {
        let json = serde_json::json!({"label": label, "match": {"regex": format!("{label}[0-9]+")}, "threshold": 5,
            "window_seconds": 60});
        Rule::from_json(&json, "", &mut Vec::new()).expect("a rule")
    };
    // The store hands rows out by label: these come first.
    for n in 0..20 {
        bench.propose(with_regex(&format!("a{n}")), 0, T0).expect("taken in");
    }
    assert_eq!(bench.propose(with_regex("a20"), 0, T0), Err(Refused::Regexes(20)));
    for n in 0..100 {
        let (draft, _) = bench.engine.put_watch(with_regex(&format!("p{n}")), at(T0)).expect("set");
        bench.write(draft, at(T0));
    }
    bench.restart(T0 + SECOND);
    let set = bench.engine.shards.watches();
    let held = |origin: Origin| set.watches().iter().filter(|w| w.origin == origin).count();
    assert_eq!((held(Origin::Api), held(Origin::Triage)), (100, 20));
}

#[test]
fn a_persons_copy_of_a_proposed_watch_begins_with_nothing_and_crosses_by_itself() {
    let mut bench = Bench::new(1_000);
    bench.propose(proposed("ai", 100), 150, T0).expect("taken in");
    assert_eq!(bench.told(T0 + 2 * SECOND), [(NoticeKind::Opened, 1_000_001, 150)]);
    let (draft, replaced) = bench.engine.put_watch(proposed("ai", 100), at(T0 + 3 * SECOND)).expect("set");
    bench.write(draft, at(T0 + 3 * SECOND));
    assert!(replaced);
    let key = bench.engine.shards.watches().by_label("ai").expect("held").key;
    assert_eq!(bench.engine.shards.total(key).matched, 0);
    assert!(
        !bench.engine.shards.windows.iter().any(|window| window.key().watch == key),
        "no window that fires already"
    );
    let now = T0 + 4 * SECOND;
    let group = StagedGroup { watch: key, ..bench.staged("checkout", &[(now, 120)], Lane::Live) };
    bench.commit(&[Staged { delivery: None, began: 0, notes: vec![], groups: vec![group] }], now);
    assert_eq!(bench.told(now + 2 * SECOND), [(NoticeKind::Opened, 1, 120)], "its own message, in people's numbers");
}

#[test]
fn the_same_rule_has_other_counters_as_a_persons_as_a_proposed_one_and_in_the_shadow() {
    let rule = proposed("ai", 100);
    let shadow = Provenance { shadow: true, ..Provenance::default() };
    let keys = [
        Watch::new(rule.clone(), Origin::Config).key,
        Watch::from_api(rule.clone(), T0).key,
        Watch::proposed(rule.clone(), Origin::Triage, T0, Provenance::default()).key,
        Watch::proposed(rule.clone(), Origin::Seed, T0, Provenance::default()).key,
        Watch::proposed(rule, Origin::Triage, T0, shadow).key,
    ];
    assert_eq!((keys[0], keys[2]), (keys[1], keys[3]));
    assert!(keys[0] != keys[2] && keys[0] != keys[4] && keys[2] != keys[4]);
}

#[test]
fn whether_a_persons_watch_tells_of_a_line_is_asked_with_the_names_that_the_operator_gave() {
    use crate::record::naming::{Mapping, Names, Source};
    let json = serde_json::json!({"label": "of_team", "match": {"all": [{"field": "service", "eq": "team-a"},
        {"field": "status", "gte": 500}]}, "threshold": 1, "window_seconds": 60});
    let of_team = Rule::from_json(&json, "", &mut Vec::new()).expect("a rule");
    let map = Mapping {
        field: Source::Service,
        from: Names::Exactly("checkout".into()),
        service: "team-a".into(),
        cluster: None,
    };
    for mapped in [true, false] {
        let naming = Naming { map: if mapped { vec![map.clone()] } else { vec![] }, ..Naming::default() };
        let watch = Watch::new(of_team.clone(), Origin::Config);
        let settings = Settings { naming: Arc::new(naming), ..settings() };
        let mut bench = Bench::new(1_000);
        bench.engine = Engine::new(settings, vec![watch.clone()], Loaded::default(), T0 - HOUR).0;
        let fired = StagedGroup { watch: watch.key, ..bench.staged("team-a", &[(T0, 5)], Lane::Live) };
        bench.commit(&[Staged { delivery: None, began: 0, notes: vec![], groups: vec![fired] }], T0);
        let lines = StagedGroup { samples: vec![sample()], ..bench.staged("team-a", &[(T0, 1)], Lane::Live) };
        let crossing = Crossing { service: "team-a".into(), ..bench.crossing("look") };
        let (draft, (_, outcome)) = bench.engine.raise(crossing, &lines, at(T0 + SECOND));
        bench.write(draft, at(T0 + SECOND));
        let wanted = if mapped { escalation::Outcome::Covered } else { escalation::Outcome::Opened };
        assert_eq!(outcome, wanted, "mapped: {mapped}");
    }
}
