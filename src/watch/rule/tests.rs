//! Rules good and bad, with the exact text of every fault.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(value: &Value) -> Result<Rule, Vec<String>> {
    let mut faults = Vec::new();
    let rule = Rule::from_json(value, "watch[0]", &mut faults);
    assert_eq!(rule.is_some(), faults.is_empty(), "a rule or faults, never both or neither");
    rule.ok_or_else(|| faults.iter().map(Fault::to_string).collect())
}

fn seed() -> Value {
    json!({"action": "watch", "label": "http_5xx_spike", "match": {"field": "status", "gte": "500"},
           "threshold": 10, "window_seconds": 60, "summary": "5xx responses are spiking"})
}

/// The seed with one key replaced.
fn with(key: &str, value: Value) -> Value {
    let mut rule = seed();
    rule[key] = value;
    rule
}

fn matching(condition: Value) -> Result<Expr, Vec<String>> {
    read(&with("match", condition)).map(|rule| rule.expr)
}

fn test(field: &str, op: Op) -> Expr {
    Expr::Test { field: field.to_owned(), op }
}

fn text(text: &str) -> Literal {
    Literal::Text(text.to_owned())
}

#[test]
fn the_seeds_form_is_accepted_as_it_stands() {
    let rule = Rule {
        label: "http_5xx_spike".to_owned(),
        kind: Kind::Count,
        expr: test("status", Op::Gte(text("500"))),
        threshold: 10,
        window_seconds: 60,
        group_by: vec!["cluster".to_owned(), "service".to_owned()],
        on_crossing: OnCrossing::Investigate,
        ttl_seconds: None,
        severity: Severity::Warning,
        summary: "5xx responses are spiking".to_owned(),
    };
    assert_eq!(read(&seed()), Ok(rule));
}

#[test]
fn every_key_is_read() {
    let rule = read(&json!({
        "label": "x", "kind": "count", "match": {"contains": "x"}, "threshold": "1000000000000",
        "window_seconds": 86400.0, "group_by": [], "on_crossing": "log", "ttl_seconds": 60,
        "severity": "critical", "summary": null,
    }))
    .unwrap();
    assert_eq!(rule.threshold, THRESHOLD_MAX);
    assert_eq!(rule.window_seconds, 86_400);
    assert!(rule.group_by.is_empty());
    assert_eq!((rule.on_crossing, rule.severity), (OnCrossing::Log, Severity::Critical));
    assert_eq!((rule.ttl_seconds, rule.summary.as_str()), (Some(60), ""));
}

#[test]
fn every_form_of_match_is_read() {
    let five = || Literal::Number(5.0);
    for (condition, expected) in [
        (json!({"field": "a", "eq": null}), test("a", Op::Eq(Literal::Null))),
        (json!({"field": "a", "ne": true}), test("a", Op::Ne(Literal::Bool(true)))),
        (json!({"field": "a.b", "eq": ""}), test("a.b", Op::Eq(text("")))),
        (json!({"field": "a", "gt": 5}), test("a", Op::Gt(five()))),
        (json!({"field": "a", "lte": -0.5}), test("a", Op::Lte(Literal::Number(-0.5)))),
        (json!({"field": "a", "lt": "1e3"}), test("a", Op::Lt(text("1e3")))),
        (json!({"field": "a", "in": [5, "x", null]}), test("a", Op::In(vec![five(), text("x"), Literal::Null]))),
        (json!({"field": "a", "exists": false}), test("a", Op::Exists(false))),
        (json!({"field": "level", "gte": "ERROR"}), test("level", Op::Gte(text("error")))),
        (json!({"field": "level", "in": ["warn", null]}), test("level", Op::In(vec![text("warn"), Literal::Null]))),
        (json!({"contains": "x"}), test("message", Op::Contains("x".to_owned()))),
        (json!({"starts_with": "x"}), test("message", Op::StartsWith("x".to_owned()))),
        (json!({"ends_with": "x"}), test("message", Op::EndsWith("x".to_owned()))),
        (json!({"regex": "^x+$"}), test("message", Op::Regex(Pattern::new("^x+$").unwrap()))),
        (json!({"field": "a", "regex": "(?i)x"}), test("a", Op::Regex(Pattern::new("(?i)x").unwrap()))),
        (
            json!({"field": "status", "lt": 600, "gte": 500}),
            Expr::All(vec![
                test("status", Op::Gte(Literal::Number(500.0))),
                test("status", Op::Lt(Literal::Number(600.0))),
            ]),
        ),
        (
            json!({"any": [{"not": {"contains": "a"}}, {"all": [{"contains": "b"}]}]}),
            Expr::Any(vec![
                Expr::Not(Box::new(test("message", Op::Contains("a".to_owned())))),
                Expr::All(vec![test("message", Op::Contains("b".to_owned()))]),
            ]),
        ),
    ] {
        assert_eq!(matching(condition.clone()), Ok(expected), "{condition}");
    }
}

/// A case of the file is `key = JSON`, then the one fault of the seed with that key, after `> `.
#[test]
fn each_bad_key_is_one_fault_that_names_value_and_bound() {
    for case in include_str!("tests/bad_keys.txt").split("\n\n") {
        let (key, rest) = case.split_once(" = ").unwrap();
        let (value, fault) = rest.split_once("\n> ").unwrap();
        let rule = with(key, serde_json::from_str(value).unwrap());
        assert_eq!(read(&rule), Err(vec![fault.trim_end().to_owned()]), "{key} = {value}");
    }
}

/// A case of the file is a condition, then the one fault it has, after `> `.
#[test]
fn each_bad_match_is_one_fault_with_its_path() {
    for case in include_str!("tests/bad_matches.txt").split("\n\n") {
        let (condition, fault) = case.split_once("\n> ").unwrap();
        let found = matching(serde_json::from_str(condition).unwrap());
        assert_eq!(found, Err(vec![fault.trim_end().to_owned()]), "{condition}");
    }
}

#[test]
fn what_is_just_beyond_a_bound_is_one_fault_that_tells_the_bound() {
    let deep = (0..16).fold(json!({"contains": "x"}), |inner, _| json!({"not": inner}));
    let many = vec![json!({"field": "a", "gt": 1, "lt": 2}); 101];
    for (key, value, fault) in [
        (
            "label",
            json!("a".repeat(49)),
            format!(
                ".label: must be 1 to 48 of a-z, 0-9 and _, got \"{}\"; \"{}\" would do",
                "a".repeat(49),
                "a".repeat(48)
            ),
        ),
        ("summary", json!("é".repeat(501)), ".summary: must be at most 500 characters, got 501".to_owned()),
        ("group_by", json!(["f".repeat(201)]), ".group_by[0]: must be 1 to 200 characters, got 201".to_owned()),
        (
            "match",
            json!({"field": "f".repeat(201), "eq": 5}),
            ".match.field: must be 1 to 200 characters, got 201".to_owned(),
        ),
        (
            "match",
            json!({"field": "a", "eq": "s".repeat(1001)}),
            ".match.eq: must be at most 1000 characters, got 1001".to_owned(),
        ),
        (
            "match",
            json!({"contains": "s".repeat(1001)}),
            ".match.contains: must be 1 to 1000 characters, got 1001".to_owned(),
        ),
        (
            "match",
            json!({"field": "a", "in": vec![0; 1001]}),
            ".match.in: must be a list of 1 to 1000 values, got a list of 1001".to_owned(),
        ),
        ("match", deep, format!(".match{}: is nested more than 16 deep", ".not".repeat(16))),
        ("match", json!({"any": many}), ".match: has more than 200 tests".to_owned()),
        (
            "match",
            json!({"regex": "s".repeat(1001)}),
            ".match.regex: must be 1 to 1000 characters, got 1001".to_owned(),
        ),
        ("match", json!({"any": vec![json!({"regex": "x"}); 101]}), ".match: has more than 100 regexes".to_owned()),
    ] {
        assert_eq!(read(&with(key, value)), Err(vec![format!("watch[0]{fault}")]));
    }
}

#[test]
fn what_is_just_within_the_bounds_is_accepted() {
    let deep = (0..15).fold(json!({"contains": "x"}), |inner, _| json!({"not": inner}));
    assert!(matching(deep).is_ok());
    assert!(matching(json!({"any": vec![json!({"field": "a", "gt": 1, "lt": 2}); 100]})).is_ok());
    assert!(matching(json!({"field": "f".repeat(200), "in": vec!["x".repeat(1000); 1000]})).is_ok());
    assert!(matching(json!({"any": vec![json!({"regex": "x".repeat(1000)}); 100]})).is_ok());
    assert!(read(&with("label", json!("a".repeat(48)))).is_ok());
    assert!(read(&with("summary", json!("é".repeat(500)))).is_ok());
}

#[test]
fn something_that_is_no_rule_says_what_one_is() {
    let mut faults = Vec::new();
    assert!(Rule::from_json(&json!([]), "", &mut faults).is_none());
    assert!(Rule::from_json(&json!({}), "", &mut faults).is_none());
    let lines: Vec<_> = faults.iter().map(Fault::to_string).collect();
    assert_eq!(
        lines,
        [
            "must be an object with label, match, threshold and window_seconds, got an empty list",
            "label: is missing; it must be 1 to 48 of a-z, 0-9 and _",
            "match: is missing; it must be an object such as {\"field\": \"status\", \"gte\": 500}",
            "threshold: is missing; it must be a whole number from 1 to 1000000000000",
            "window_seconds: is missing; it must be a whole number from 1 to 86400",
        ]
    );
}

#[test]
fn all_faults_of_a_rule_are_told_at_once() {
    let faults = read(&json!({
        "label": "A", "match": {"any": [{"field": "a", "eqq": 1}, {"contains": ""}], "not": {"gt": {}}},
        "threshold": 0, "windw_seconds": 5,
    }))
    .unwrap_err();
    assert_eq!(
        faults.join("\n"),
        r#"watch[0].windw_seconds: unknown key; did you mean window_seconds?
watch[0].label: must be 1 to 48 of a-z, 0-9 and _, got "A"; "a" would do
watch[0].match: holds any and not in one object; put each into an object of its own in {"all": […]}
watch[0].match.any[0].eqq: unknown key; did you mean eq?
watch[0].match.any[1].contains: must not be empty
watch[0].match.not.field: is missing; gt needs one, only contains, starts_with, ends_with, regex are about the message without it
watch[0].match.not.gt: must be a number, got an object
watch[0].threshold: must be a whole number from 1 to 1000000000000, got 0
watch[0].window_seconds: is missing; it must be a whole number from 1 to 86400"#
    );
}

#[test]
fn the_canonical_match_names_the_field_and_keeps_values_as_written() {
    for (written, canonical) in [
        (json!({"contains": "x"}), json!({"field": "message", "contains": "x"})),
        (json!({"field": "status", "gte": "500"}), json!({"field": "status", "gte": "500"})),
        (json!({"field": "status", "gte": 500.0}), json!({"field": "status", "gte": 500})),
        (json!({"field": "a", "eq": 0.1}), json!({"field": "a", "eq": 0.1})),
        (json!({"field": "a", "lt": 2, "gt": 1}), json!({"all": [{"field": "a", "gt": 1}, {"field": "a", "lt": 2}]})),
    ] {
        assert_eq!(read(&with("match", written)).unwrap().match_json(), canonical);
    }
}

#[test]
fn only_what_changes_the_counting_changes_the_definition_key() {
    let key = |rule: &Value| read(rule).unwrap().definition_key();
    let seed_key = key(&seed());
    for (name, value) in [
        ("threshold", json!(11)),
        ("summary", json!("other")),
        ("severity", json!("critical")),
        ("on_crossing", json!("log")),
        ("ttl_seconds", json!(3600)),
        ("group_by", json!(["cluster", "service"])),
        ("kind", json!("count")),
    ] {
        assert_eq!(key(&with(name, value)), seed_key, "{name}");
    }
    for (name, value) in [
        ("label", json!("other")),
        ("match", json!({"field": "status", "gte": "501"})),
        ("match", json!({"field": "status", "gte": 500})),
        ("window_seconds", json!(61)),
        ("group_by", json!(["service", "cluster"])),
        ("group_by", json!([])),
    ] {
        assert_ne!(key(&with(name, value)), seed_key, "{name}");
    }
}

/// Stored windows are found by it: were it to change, an upgrade would empty every window.
#[test]
fn the_definition_key_is_the_same_in_every_release() {
    let rule = with("match", json!({"any": [{"field": "a", "gt": 0.5, "in": [1, null]}, {"not": {"contains": "é"}}]}));
    assert_eq!(read(&rule).unwrap().definition_key(), 3_325_847_697_914_726_326);
}

#[test]
fn labels_are_cleaned() {
    for (text, label) in
        [("HTTP 5xx!", Some("http_5xx")), ("__a--b__", Some("a_b")), ("ok", Some("ok")), ("…", None), ("", None)]
    {
        assert_eq!(clean_label(text).as_deref(), label, "{text}");
    }
    assert_eq!(clean_label(&format!("{} b", "a".repeat(47))), Some("a".repeat(47)));
}

fn any_literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        ".{0,20}".prop_map(Literal::Text),
        any::<i64>().prop_map(|number| Literal::Number(number as f64)),
        (-1e300..1e300).prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Bool),
        Just(Literal::Null),
    ]
}

fn any_test() -> impl Strategy<Value = Expr> {
    let ordered = || prop_oneof![(-1e9..1e9).prop_map(Literal::Number), "-?[0-9]{1,9}".prop_map(Literal::Text)];
    let phrase = ".{1,20}";
    let op = prop_oneof![
        any_literal().prop_map(Op::Eq),
        any_literal().prop_map(Op::Ne),
        ordered().prop_map(Op::Gt),
        ordered().prop_map(Op::Gte),
        ordered().prop_map(Op::Lt),
        ordered().prop_map(Op::Lte),
        prop::collection::vec(any_literal(), 1..4).prop_map(Op::In),
        phrase.prop_map(Op::Contains),
        phrase.prop_map(Op::StartsWith),
        phrase.prop_map(Op::EndsWith),
        "[a-z.+^$]{1,9}".prop_filter_map("a pattern", |text| Pattern::new(&text).ok().map(Op::Regex)),
        any::<bool>().prop_map(Op::Exists),
    ];
    let on_any_field = ("[a-z][a-z.]{0,9}[0-9]", op).prop_map(|(field, op)| Expr::Test { field, op });
    let on_level = prop::sample::select(LEVELS.to_vec()).prop_map(|level| test(LEVEL_FIELD, Op::Lt(text(level))));
    prop_oneof![4 => on_any_field, 1 => on_level]
}

fn any_expr() -> impl Strategy<Value = Expr> {
    any_test().prop_recursive(5, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::Any),
            inner.prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (
        "[a-z0-9_]{1,48}",
        any_expr(),
        1..=THRESHOLD_MAX,
        1..=86_400_u32,
        prop::collection::btree_set("[a-z]{1,9}", 0..=GROUP_BY_MAX),
        prop::sample::select(vec![OnCrossing::Log, OnCrossing::Notify, OnCrossing::Investigate]),
        prop::option::of(TTL_MIN_SECONDS..=TTL_MAX_SECONDS),
        prop::sample::select(vec![Severity::Info, Severity::Warning, Severity::Critical]),
        ".{0,60}",
    )
        .prop_map(
            |(label, expr, threshold, window_seconds, groups, on_crossing, ttl_seconds, severity, summary)| Rule {
                label,
                kind: Kind::Count,
                expr,
                threshold,
                window_seconds,
                group_by: groups.into_iter().collect(),
                on_crossing,
                ttl_seconds,
                severity,
                summary,
            },
        )
}

/// JSON that is nearly a rule: any shape, with the words that rules are made of.
fn any_json() -> impl Strategy<Value = Value> {
    let words = || {
        prop::sample::select(vec![
            "label",
            "match",
            "threshold",
            "field",
            "all",
            "any",
            "not",
            "gte",
            "in",
            "regex",
            "level",
            "eq",
            "contains",
            "group_by",
            "x",
        ])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        words().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(words().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn a_rule_written_and_read_again_is_the_same_rule(rule in any_rule()) {
        let again = read(&rule.to_json());
        prop_assert_eq!(again.as_ref(), Ok(&rule));
        prop_assert_eq!(again.unwrap().definition_key(), rule.definition_key());
    }

    #[test]
    fn no_json_whatever_is_both_a_rule_and_a_fault(value in any_json(), condition in any_json()) {
        let _either = read(&value);
        let _either = read(&with("match", condition));
    }

    #[test]
    fn a_cleaned_label_is_a_valid_label(text in ".{0,80}") {
        if let Some(label) = clean_label(&text) {
            prop_assert!(read(&with("label", json!(label))).is_ok());
        }
    }
}
