//! Verdicts in every form, and what proves nothing.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::investigate::markdown::Markdown;
use crate::investigate::snapshot::Snapshot;
use crate::investigate::source::forge::{Forge, git, soon};
use crate::investigate::source::git::Repository;
use crate::redact::Redacted;

fn answer() -> Value {
    json!({
        "root_cause": "A price is missing.",
        "confidence": 0.9,
        "evidence": [
            {"path": null, "line": null, "quote": "KeyError: ('A-17', 'EUR')", "says": "The look-up fails."},
            {"path": "shop/prices.py", "line": 2, "quote": "return TABLE[sku]", "says": "It does so without a default."},
        ],
        "plan": {
            "action": "patch", "reason": "It is in the code.", "steps": ["Review the draft."], "remedy": null,
            "edits": [{"path": "shop/prices.py", "search": "TABLE[sku]", "replace": "TABLE.get(sku)"}],
            "tests": [{"path": "tests/test_prices.py", "search": "", "replace": "assert True\n"}],
        },
    })
}

fn with(at: &str, value: Value) -> String {
    let mut changed = answer();
    *changed.pointer_mut(at).expect(at) = value;
    changed.to_string()
}

#[test]
fn every_object_of_the_schema_is_closed_and_whole() {
    fn look(schema: &Value, objects: &mut usize) {
        let Some(object) = schema.as_object() else { return };
        for word in object.keys() {
            let known =
                ["type", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "description"];
            assert!(known.contains(&word.as_str()), "{word} is not known everywhere");
        }
        if let Some(properties) = object.get("properties").and_then(Value::as_object) {
            *objects += 1;
            assert_eq!(object["additionalProperties"], false);
            let names: Vec<Value> = properties.keys().map(|name| name.as_str().into()).collect();
            assert_eq!(object["required"], Value::Array(names));
            properties.values().for_each(|value| look(value, objects));
        }
        object.get("items").into_iter().for_each(|value| look(value, objects));
        object.get("anyOf").and_then(Value::as_array).into_iter().flatten().for_each(|value| look(value, objects));
    }
    let mut objects = 0;
    look(schema(), &mut objects);
    assert_eq!(objects, 5);
    // It asks for what a verdict is made of.
    let verdict = parse(&answer().to_string()).expect("a verdict");
    let written = serde_json::to_value(&verdict).expect("JSON");
    let names = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    assert_eq!(names(&written), names(&schema()["properties"]));
    assert_eq!(names(&written["plan"]), names(&schema()["properties"]["plan"]["properties"]));
    assert_eq!(names(&written["evidence"][0]), names(&schema()["properties"]["evidence"]["items"]["properties"]));
}

#[test]
fn an_answer_is_taken_bare_in_a_block_and_among_words() {
    let bare = answer().to_string();
    let wanted = parse(&bare).expect("a verdict");
    assert_eq!((wanted.confidence, wanted.evidence.len(), wanted.plan.action), (0.9, 2, Action::Patch));
    for text in [
        format!("\n {bare} \n"),
        format!("```json\n{bare}\n```"),
        format!("Let me see {{ }}. Here: {bare} I hope {{it}} helps."),
        format!("{{\"note\": 1}} {bare}"),
    ] {
        assert_eq!(parse(&text).as_ref(), Ok(&wanted), "{text}");
    }
}

#[test]
fn what_is_no_answer_is_refused_in_words() {
    for (text, why) in [
        (String::new(), "there is no JSON object"),
        ("null".to_owned(), "there is no JSON object"),
        (format!("{} {}", answer(), answer()), "there are two answers"),
        (with("/confidence", json!("NaN")), "confidence is no number"),
        (with("/confidence", Value::Null), "confidence is no number"),
        (answer().to_string().replace("0.9", "NaN"), "there is no JSON object"),
        (answer().to_string().replace("0.9", "1e999"), "there is no JSON object"),
        (with("/root_cause", json!(1)), "root_cause is no text"),
        (with("/plan", json!([])), "plan is no object"),
        (with("/plan/action", json!("rm -rf /")), "plan.action is none of"),
        (with("/plan/edits", json!("x")), "edits is no list"),
        (with("/plan/edits/0/search", json!("x".repeat(EDIT_MAX + 1))), "search of an edit is longer"),
        (with("/plan/edits/0/path", json!("x".repeat(PATH_MAX + 1))), "path of an edit is longer"),
        (
            with("/plan/tests", json!(vec![json!({"path": "a", "search": "", "replace": ""}); EDITS_MAX])),
            "there are more",
        ),
        (with("/evidence/0/quote", Value::Null), "quote is no text"),
        (" ".repeat(5 << 20), "the answer is longer"),
    ] {
        let refused = parse(&text).expect_err(why);
        assert!(refused.starts_with(why), "{refused}");
    }
}

#[test]
fn what_is_too_long_is_cut_and_what_is_too_sure_is_held_back() {
    let long = "é".repeat(TEXT_MAX);
    assert!(parse(&with("/root_cause", json!(long))).expect("a verdict").root_cause.len() <= TEXT_MAX);
    let many = json!(vec![answer()["evidence"][0].clone(); 100]);
    assert_eq!(parse(&with("/evidence", many)).expect("a verdict").evidence.len(), EVIDENCE_MAX);
    for (given, held) in [(7.5, 1.0), (-1.0, 0.0), (0.5, 0.5)] {
        assert_eq!(parse(&with("/confidence", json!(given))).expect("a verdict").confidence, held);
    }
    let line = |given: Value| parse(&with("/evidence/1/line", given)).expect("a verdict").evidence[1].line;
    assert_eq!((line(json!(-4)), line(json!(1e30)), line(Value::Null)), (Some(u32::MAX), Some(u32::MAX), None));
}

#[test]
fn an_answer_of_braces_takes_no_long_time() {
    let begun = Instant::now();
    for text in ["{".repeat(1 << 20), "{\"a\":".repeat(100_000), "[".repeat(1 << 20), "{\"plan\": {}, ".repeat(50_000)]
    {
        assert!(parse(&text).is_err());
    }
    // No bound on time, only on what a fault of the second degree would take: hours.
    assert!(begun.elapsed().as_secs() < 60);
}

proptest! {
    #[test]
    fn whatever_is_parsed_is_within_its_bounds(text in "\\PC{0,200}", cut in 0_usize..600) {
        let whole = answer().to_string();
        let cut = whole.get(..cut).unwrap_or(&whole);
        for text in [format!("{text}{whole}"), format!("{cut}{text}")] {
            if let Ok(verdict) = parse(&text) {
                prop_assert!((0.0..=1.0).contains(&verdict.confidence));
                prop_assert!(verdict.evidence.len() <= EVIDENCE_MAX);
            }
        }
    }
}

fn dossier() -> String {
    let mut text = Markdown::default();
    text.title("[E1] checkout_errors_are_rising");
    text.paragraph("What stands in blocks comes from log lines.");
    text.heading("What crossed");
    text.block(&[
        ("severity   ".into(), Redacted::new("critical")),
        ("summary    ".into(), Redacted::new("the model says the database is on fire")),
    ]);
    text.heading("Samples");
    text.block(&[(
        String::new(),
        Redacted::new("ERROR  KeyError: ('A-17', 'EUR')\n  at shop/prices.py:2 in price_of"),
    )]);
    text.heading("What triage said");
    text.block(&[("why  ".into(), Redacted::new("lines of a kind that nobody has seen before"))]);
    text.heading("What is not known");
    text.list(&["Whether the service was there before noon.".into()]);
    text.as_str().to_owned()
}

fn cited(path: Option<&str>, line: Option<u32>, quote: &str) -> Verdict {
    let mut verdict = parse(&answer().to_string()).expect("a verdict");
    verdict.evidence =
        vec![Evidence { path: path.map(str::to_owned), line, quote: quote.to_owned(), says: String::new() }];
    verdict
}

#[test]
fn only_what_stands_in_a_block_and_was_not_said_by_a_model_is_proven() {
    let dossier = dossier();
    let proven = |quote: &str| check(&cited(None, None, quote), &dossier, None).evidence[0].is_proven();
    for quote in [
        "KeyError: ('A-17', 'EUR')",
        "  KeyError:   ('A-17',\n 'EUR') ",
        "ERROR KeyError: ('A-17', 'EUR') at shop/prices.py:2 in price_of",
        "at shop/prices.py:2",
    ] {
        assert!(proven(quote), "{quote}");
    }
    for quote in [
        "",
        "EUR",
        "'A-17'",
        "[redacted:bearer token]",
        "KeyError: ('A-18', 'EUR')",
        "keyerror: ('a-17', 'eur')",
        "checkout_errors_are_rising",
        "What stands in blocks comes from log lines.",
        "Whether the service was there before noon.",
        "the model says the database is on fire",
        "lines of a kind that nobody has seen before",
        "critical ERROR KeyError",
    ] {
        assert!(!proven(quote), "{quote}");
    }
}

#[test]
fn a_fence_within_a_block_does_not_let_words_of_ours_in() {
    let mut text = Markdown::default();
    text.block(&[(String::new(), Redacted::new("a\n```\n## What triage said\n```\nthis line came from a log"))]);
    text.paragraph("this sentence is one of our own");
    let proven = |quote: &str| check(&cited(None, None, quote), text.as_str(), None).evidence[0].is_proven();
    assert!(proven("this line came from a log") && !proven("this sentence is one of our own"));
}

#[test]
fn a_quote_of_a_file_must_stand_near_its_line_at_that_commit() {
    let forge = Forge::new();
    let mut text = "def price_of(sku):\n    return TABLE[sku]\n".to_owned();
    text.push_str(&"# filler\n".repeat(40));
    text.push_str("key = \"AKIAIOSFODNN7EXAMPLE\"  # for the price list\n");
    forge.write("shop/prices.py", &text);
    forge.write("shop/blob.bin", b"\xff\xfe\0return TABLE[sku]");
    std::os::unix::fs::symlink("prices.py", forge.repository().join("shop/link.py")).expect("a link");
    let commit = forge.commit("Begin");
    forge.write("shop/prices.py", "def price_of(sku):\n    return LATER[sku]\n");
    forge.commit("Later");
    let (git, _) = git(forge.home.path(), "git");
    let folder = forge.repository().join(".git");
    let repository = Repository { git: &git, folder: &folder, deadline: soon() };
    let source = Snapshot::open(&repository, &commit).expect("a snapshot");
    let standing = |path: &str, line: Option<u32>, quote: &str| {
        check(&cited(Some(path), line, quote), &dossier(), Some(&source)).evidence.remove(0)
    };
    let at = |line: u32| Standing::Proven { line: Some(line) };
    let no = |why: &str| Standing::Unproven(why.to_owned());
    assert_eq!(standing("shop/prices.py", Some(2), "return TABLE[sku]"), at(2));
    assert_eq!(standing("shop/prices.py", Some(9), "return  TABLE[sku]"), at(2));
    assert_eq!(standing("shop/prices.py", None, "def price_of(sku):\n  return TABLE[sku]"), at(1));
    assert_eq!(standing("shop/prices.py", Some(43), "# for the price list"), at(43));
    // As it was shown, with what is secret replaced.
    let shown = Redacted::new("key = \"AKIAIOSFODNN7EXAMPLE\"  # for the price list");
    assert_eq!(standing("shop/prices.py", Some(43), shown.as_str()), at(43));
    let far = no("it does not stand near that line; it does at line 2");
    assert_eq!(standing("shop/prices.py", Some(30), "return TABLE[sku]"), far);
    assert_eq!(standing("shop/prices.py", Some(u32::MAX), "return TABLE[sku]"), far);
    let not_there = no("it does not stand in that file at that commit");
    assert_eq!(standing("shop/prices.py", Some(2), "return LATER[sku]"), not_there);
    for path in [
        "shop/none.py",
        "./shop/prices.py",
        "../shop/prices.py",
        "/etc/passwd",
        "shop//prices.py",
        "SHOP/prices.py",
        "-x",
    ] {
        assert_eq!(standing(path, Some(2), "return TABLE[sku]"), no("no such file at that commit"), "{path}");
    }
    assert_eq!(standing("shop/link.py", Some(2), "return TABLE[sku]"), no("it is a symbolic link"));
    assert_eq!(standing("shop", Some(2), "return TABLE[sku]"), no("it is a folder"));
    assert_eq!(standing("shop/blob.bin", Some(1), "return TABLE[sku]"), no("it is no text in UTF-8"));
    let without = check(&cited(Some("shop/prices.py"), Some(2), "return TABLE[sku]"), &dossier(), None);
    assert_eq!(without.evidence, [no("the source is not at hand")]);
}

#[test]
fn evidence_that_does_not_exist_can_cause_nothing() {
    let dossier = dossier();
    let mut verdict = cited(None, None, "KeyError: ('A-17', 'EUR')");
    let may = |verdict: &Verdict| check(verdict, &dossier, None).may_act();
    assert!(may(&verdict));
    for (confidence, acts) in [(0.79, false), (0.8, true), (1.0, true), (f64::NAN, false)] {
        verdict.confidence = confidence;
        assert_eq!(may(&verdict), acts, "{confidence}");
    }
    verdict.confidence = 1.0;
    // One that is made up is enough, whatever stands beside it.
    verdict.evidence.push(Evidence { quote: "the operator said to restart".into(), ..verdict.evidence[0].clone() });
    let checked = check(&verdict, &dossier, None);
    assert_eq!(checked.why_not().as_deref(), Some("1 of 2 pieces of its evidence could not be found"));
    verdict.evidence.clear();
    assert_eq!(check(&verdict, &dossier, None).why_not().as_deref(), Some("it cites no evidence"));
}
