//! What opens the gate, and the many things that do not.

use serde_json::json;

use super::super::dossier::{self, tests as facts};
use super::*;

const NOW: i64 = facts::FIRST + 5000;
const POOL: &str = "connection pool exhausted: 20 of 20 in use";

fn descriptor(remedies: serde_json::Value) -> Descriptor {
    let mut faults = Vec::new();
    let value = json!({"name": "payments", "remedies": remedies});
    Descriptor::from_json(&value, "", &mut faults).unwrap_or_else(|| panic!("{faults:?}"))
}

fn restart() -> serde_json::Value {
    json!({"name": "restart", "url": "https://ops.example/restart/0123456789abcdef", "cures": ["pool exhausted"],
           "cooldown_seconds": 900, "per_day": 2})
}

fn dossier() -> String {
    let mut facts = facts::facts();
    let line = |level: &str, message: &str| Redacted::new(&json!({"level": level, "message": message}).to_string());
    facts.escalation.samples = vec![line("error", POOL), line("info", "pool exhausted, said calmly")];
    dossier::write(&facts, 64 * 1024).as_str().to_owned()
}

/// Of the dossier.
fn quotes(quotes: &[&str]) -> Vec<Evidence> {
    let evidence = |quote: &&str| Evidence { path: None, line: None, quote: (*quote).into(), says: String::new() };
    quotes.iter().map(evidence).collect()
}

/// A dossier whose samples do not say it, and these records around it, counted or not, that do at this level.
fn beside(level: &str, counted: &[bool]) -> String {
    let mut facts = facts::facts();
    facts.around = (0..).zip(counted).map(|(n, counted)| facts::record(facts::FIRST + n, *counted, POOL)).collect();
    let said = |level: &str| json!({"level": level, "message": POOL}).to_string();
    dossier::write(&facts, 64 * 1024).as_str().replace(&said("info"), &said(level))
}

fn plan(remedy: Option<&str>) -> Plan {
    Plan {
        action: Action::RestartService,
        reason: "the pool is exhausted".into(),
        steps: vec![],
        remedy: remedy.map(str::to_owned),
        edits: vec![],
        tests: vec![],
    }
}

/// The first escalation of its own incident, E42.
struct Scene {
    plan: Plan,
    confidence: f64,
    proven: Vec<Evidence>,
    dossier: String,
    escalation: Escalation,
    remedies: serde_json::Value,
    calls: Calls,
}

fn scene() -> Scene {
    Scene {
        plan: plan(Some("restart")),
        confidence: 0.9,
        proven: quotes(&[POOL]),
        dossier: dossier(),
        escalation: facts::escalation(42, "http_5xx_spike"),
        remedies: json!([restart()]),
        calls: Calls::default(),
    }
}

/// `Ok`: the cure and the line; `Err`: the word.
fn gate(scene: &Scene) -> Result<(Option<String>, String), WhyNot> {
    let descriptor = descriptor(scene.remedies.clone());
    let asked = Asked {
        plan: &scene.plan,
        confidence: scene.confidence,
        proven: scene.proven.iter().collect(),
        dossier: &scene.dossier,
        escalation: &scene.escalation,
    };
    let granted = may_call(&asked, Some(&descriptor), &scene.calls, NOW)?;
    assert_eq!(granted.remedy.name, "restart");
    assert_eq!((granted.call.incident, granted.call.at_ms), (42, NOW));
    Ok((granted.cure.map(str::to_owned), granted.line.as_str().to_owned()))
}

fn word(change: impl FnOnce(&mut Scene)) -> &'static str {
    let mut scene = scene();
    change(&mut scene);
    gate(&scene).map_or_else(|why| why.as_str(), |_| "called")
}

#[test]
fn a_remedy_is_called_where_a_proven_line_says_what_it_cures() {
    assert_eq!(gate(&scene()), Ok((Some("pool exhausted".into()), POOL.into())));
    // Named or not, where there is but one.
    assert_eq!(word(|scene| scene.plan.remedy = None), "called");
    // A whole line of the dossier, and several at once.
    assert_eq!(
        word(|scene| scene.proven =
            quotes(&[r#"{"level":"error","message":"connection pool exhausted: 20 of 20 in use"}"#])),
        "called"
    );
}

#[test]
fn anything_that_is_missing_keeps_it_from_being_called() {
    type Change = fn(&mut Scene);
    let cases: [(&str, Change); 14] = [
        ("not_asked", |scene| scene.plan.action = Action::Escalate),
        ("no_remedies", |scene| scene.remedies = json!([])),
        ("no_such_remedy", |scene| scene.plan.remedy = Some("reboot".into())),
        ("no_such_remedy", |scene| {
            scene.plan.remedy = None;
            scene.remedies = json!([restart(), {"name": "other", "url": "https://ops.example/"}]);
        }),
        ("unsure", |scene| scene.confidence = 0.79),
        ("unsure", |scene| scene.confidence = f64::NAN),
        ("unsure", |scene| scene.confidence = f64::INFINITY),
        ("late", |scene| scene.escalation.late = true),
        ("unproven", |scene| scene.proven = vec![]),
        ("unproven", |scene| scene.proven = quotes(&["pool exhausted at midnight", "  \n", ""])),
        // It stands in the dossier, in a block that no log line is in.
        ("unproven", |scene| scene.proven = quotes(&["5xx responses are spiking", "payments"])),
        // Nobody said it at a level that anybody should act on.
        ("no_cure", |scene| scene.proven = quotes(&["pool exhausted, said calmly"])),
        ("no_cure", |scene| scene.proven = quotes(&["connection"])),
        ("no_cure", |scene| scene.remedies[0]["cures"] = json!(["error", "5xx", "OutOfMemoryError"])),
    ];
    for (wanted, change) in cases {
        assert_eq!(word(change), wanted);
    }
    let scene = scene();
    let asked = Asked {
        plan: &scene.plan,
        confidence: 1.0,
        proven: scene.proven.iter().collect(),
        dossier: &scene.dossier,
        escalation: &scene.escalation,
    };
    assert_eq!(may_call(&asked, None, &scene.calls, NOW).err(), Some(WhyNot::Unregistered));
}

#[test]
fn a_single_line_that_nothing_counted_is_no_cure() {
    for (level, counted, wanted) in [
        ("error", &[true][..], "called"),
        ("error", &[false], "no_cure"),
        ("warn", &[false, false], "called"),
        ("error", &[false, true], "called"),
        ("info", &[true, true, true], "no_cure"),
    ] {
        for cure in ["pool exhausted", "http_5xx_spike"] {
            let called = word(|scene| {
                scene.dossier = beside(level, counted);
                scene.remedies[0]["cures"] = json!([cure]);
            });
            assert_eq!(called, wanted, "{cure}: {level} {counted:?}");
        }
    }
    // The same line cited twice is one line, and so it is of an alert from outside.
    let twice = |scene: &mut Scene| {
        scene.dossier = beside("error", &[false]);
        scene.proven = quotes(&[POOL, "connection pool exhausted"]);
    };
    assert_eq!(word(twice), "no_cure");
    assert_eq!(
        word(|scene| {
            twice(scene);
            scene.escalation.alert = true;
        }),
        "no_cure"
    );
}

#[test]
fn only_a_whole_quote_of_the_log_is_cited() {
    // Proven to stand in a file: somebody's source, and no line of the log.
    assert_eq!(word(|scene| scene.proven[0].path = Some("src/pool.rs".into())), "unproven");
    // Pieces of a quote stand in many lines; the whole stands in none.
    assert_eq!(
        word(|scene| scene.proven = quotes(&["connection pool exhausted\nand the rest of it is made up"])),
        "unproven"
    );
    assert_eq!(word(|scene| scene.proven = quotes(&["e\nconnection pool exhausted"])), "unproven");
    assert_eq!(word(|scene| scene.proven = quotes(&["connection  pool\n exhausted: 20"])), "called");
}

#[test]
fn what_an_answer_claims_in_its_own_words_is_no_cure() {
    assert_eq!(
        word(|scene| {
            scene.plan.reason = "pool exhausted".into();
            scene.remedies[0]["cures"] = json!(["memory leak"]);
        }),
        "no_cure"
    );
}

#[test]
fn the_path_of_a_request_and_other_text_of_strangers_is_no_cure() {
    let lines = [
        json!({"level": "error", "status": "500", "path": "/connection/pool/exhausted", "request": "GET /pool-exhausted"}),
        json!({"level": "error", "message": "boom", "logger": "pool exhausted"}),
        json!({"level": "info", "message": "pool exhausted"}),
        json!({"message": "pool exhausted"}),
    ];
    for line in lines {
        let mut scene = scene();
        let mut facts = facts::facts();
        facts.escalation.samples = vec![Redacted::new(&line.to_string())];
        scene.dossier = dossier::write(&facts, 64 * 1024).as_str().to_owned();
        let quote: &'static str = line.to_string().leak();
        scene.proven = quotes(&[quote]);
        assert_eq!(gate(&scene).map_err(|why| why.as_str()), Err("no_cure"), "{line}");
    }
}

#[test]
fn a_cure_may_be_the_label_of_a_watch_that_a_person_set() {
    let by_label = |scene: &mut Scene| scene.remedies[0]["cures"] = json!(["http_5xx_spike"]);
    assert_eq!(word(by_label), "called");
    assert_eq!(
        word(|scene| {
            by_label(scene);
            scene.escalation.proposed = true;
        }),
        "no_cure"
    );
    assert_eq!(
        word(|scene| {
            by_label(scene);
            scene.proven = vec![];
        }),
        "unproven"
    );
}

#[test]
fn it_is_called_once_an_incident_within_its_cooldown_and_so_often_a_day() {
    let call = |incident, before_ms| Call {
        service: "payments".into(),
        cluster: String::new(),
        remedy: "restart".into(),
        incident,
        at_ms: NOW - before_ms,
    };
    let hour = 3_600_000;
    let with = |calls: Vec<Call>| {
        let mut scene = scene();
        scene.calls = Calls(calls);
        gate(&scene).err()
    };
    let already = WhyNot::AlreadyCalled { remedy: "restart".into(), at_ms: NOW - 40 * hour };
    assert_eq!(with(vec![call(42, 40 * hour)]), Some(already));
    let until_ms = NOW - 899_999 + 900_000;
    assert_eq!(with(vec![call(1, 899_999)]), Some(WhyNot::Cooling { remedy: "restart".into(), until_ms }));
    assert_eq!(with(vec![call(1, 900_000)]), None);
    let until_ms = NOW - 5 * hour + 24 * hour;
    let spent = WhyNot::Spent { remedy: "restart".into(), per_day: 2, until_ms };
    assert_eq!(with(vec![call(1, 23 * hour), call(2, 5 * hour), call(3, hour)]), Some(spent));
    assert_eq!(with(vec![call(1, 24 * hour), call(3, hour)]), None);
    // The clock was set back.
    assert!(matches!(with(vec![call(1, -hour)]), Some(WhyNot::Cooling { .. })));
    let other = |call: Call| Call { service: "cart".into(), ..call };
    assert_eq!(with(vec![other(call(1, 0)), other(call(2, 0))]), None);
    assert_eq!(with((0..ALL_PER_DAY as u64).map(|n| other(call(n + 100, 0))).collect()), Some(WhyNot::SpentByAll));
}

#[test]
fn calls_are_remembered_for_a_while_and_never_without_bound() {
    let mut calls = Calls::default();
    let call = |incident: u64, at_ms| Call {
        service: "a".into(),
        cluster: String::new(),
        remedy: "r".into(),
        incident,
        at_ms,
    };
    calls.add(call(1, 0));
    calls.add(call(2, REMEMBERED_MS));
    assert_eq!(calls.iter().map(|call| call.incident).collect::<Vec<_>>(), [2]);
    for n in 0..20_000 {
        calls.add(call(n, REMEMBERED_MS));
    }
    assert_eq!((calls.0.len(), calls.0.last().map(|call| call.incident)), (CALLS_MAX, Some(19_999)));
}

#[test]
fn a_refusal_is_a_sentence_for_a_person() {
    let remedy = || "restart".to_owned();
    for (why, words) in [
        (
            WhyNot::NoCure { remedy: remedy(), cures: vec!["pool exhausted".into(), "deadlock".into()] },
            "\"restart\" cures \"pool exhausted\", \"deadlock\"; no cited line says that.",
        ),
        (WhyNot::NoCure { remedy: remedy(), cures: vec![] }, "What \"restart\" cures is not registered (`cures`)."),
        (WhyNot::Unsure { confidence: 0.5 }, "Not sure enough: 0.50, and 0.8 is needed."),
        (
            WhyNot::Cooling { remedy: remedy(), until_ms: facts::FIRST },
            "\"restart\" was called a short while ago; not again before 2026-11-22T14:03:01.250Z.",
        ),
        (
            WhyNot::Spent { remedy: remedy(), per_day: 1, until_ms: facts::FIRST },
            "\"restart\" was called once in a day (1); not again before 2026-11-22T14:03:01.250Z.",
        ),
    ] {
        assert_eq!(why.to_string(), words);
    }
}
