//! Rules asked with the status settled say what they say when all is asked.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::record::{Delivery, Piece, Reader};
use crate::watch::matcher::Scratch;
use crate::watch::rule::Rule;

fn program(conditions: &[Json]) -> Program {
    let mut faults = Vec::new();
    let rules: Vec<Rule> = conditions
        .iter()
        .filter_map(|condition| {
            let json = json!({"label": "x", "match": condition, "threshold": 1, "window_seconds": 60});
            Rule::from_json(&json, "", &mut faults)
        })
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
    Program::compile(&rules)
}

/// One that settles nothing.
fn asking_all(conditions: &[Json]) -> Program {
    let program = program(conditions);
    program.given.kept.store(KEPT_MAX, Ordering::Relaxed);
    program
}

fn matched(program: &Program, line: &str) -> Vec<usize> {
    let mut places = Vec::new();
    Reader::default().read(line.as_bytes(), false, Delivery::default(), |piece| {
        if let Piece::Record(record) = piece {
            program.matches(record, program.of_service(record), &mut Scratch::default(), |place| places.push(place));
        }
    });
    places
}

/// `level`: beside `log`, as an application may put it there.
fn line(status: u16, path: &str, service: &str, level: Option<&str>) -> String {
    let log = format!(r#"10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] "GET {path} HTTP/1.1" {status} 5 "-" "curl/8.5.0""#);
    let mut line = json!({"ecs_task_definition": format!("{service}:1"), "log": log});
    if let Some(level) = level {
        line["level"] = level.into();
    }
    line.to_string()
}

fn condition() -> impl Strategy<Value = Json> {
    let number = prop_oneof![Just(200), Just(404), Just(500), Just(503)];
    let test = prop_oneof![
        (prop_oneof![Just("gte"), Just("lt"), Just("eq"), Just("ne"), Just("gt"), Just("lte")], number.clone())
            .prop_map(|(op, n)| json!({"field": "status", op: n})),
        (prop_oneof![Just("gte"), Just("lt"), Just("eq"), Just("ne")], prop_oneof![Just("warn"), Just("error")])
            .prop_map(|(op, level)| json!({"field": "level", op: level})),
        number.prop_map(|n| json!({"field": "status", "in": [n, n + 1]})),
        any::<bool>().prop_map(|yes| json!({"field": "status", "exists": yes})),
        Just(json!({"field": "body.status", "contains": "5"})),
        Just(json!({"field": "path", "starts_with": "/a"})),
        Just(json!({"field": "service", "eq": "shop"})),
        prop_oneof![Just("boom"), Just("curl")].prop_map(|text| json!({"contains": text})),
    ];
    test.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({"all": all})),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|any| json!({"any": any})),
            inner.prop_map(|not| json!({"not": not})),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_left_of_rules_holds_where_they_do(
        conditions in proptest::collection::vec(condition(), 1..6),
        lines in proptest::collection::vec((
            prop_oneof![Just(200u16), Just(204), Just(404), Just(500), Just(503), 100u16..600],
            prop_oneof![Just("/a"), Just("/boom")],
            prop_oneof![Just("shop"), Just("cart")],
            prop_oneof![Just(None), Just(None), Just(Some("error")), Just(Some("7"))],
        ), 1..8),
    ) {
        let (settling, plain) = (program(&conditions), asking_all(&conditions));
        for (status, path, service, level) in lines {
            let line = line(status, path, service, level);
            prop_assert_eq!(matched(&settling, &line), matched(&plain, &line), "{}", line);
        }
    }
}

#[test]
fn what_a_status_settles_is_kept_for_so_many_statuses_and_what_a_level_beside_it_says_is_heard() {
    let rules = [json!({"all": [{"field": "level", "eq": "error"}, {"not": {"field": "status", "gte": 500}}]})];
    let settling = program(&rules);
    assert_eq!(matched(&settling, &line(200, "/", "a", Some("error"))), [0]);
    for status in (200..300).chain(200..210) {
        assert_eq!(matched(&settling, &line(status, "/", "a", None)), [0usize; 0]);
    }
    let kept = settling.given.by_status.iter().filter(|slot| slot.get().is_some()).count();
    assert_eq!(kept, KEPT_MAX);
    assert!(settling.given(200).is_some_and(<[Left]>::is_empty));
}
