//! Replies as models write them, and texts that are none.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::notify::notice::Severity;

/// A verdict in short: `ignore 0,1; watch 2 label`.
fn brief(verdict: &Verdict) -> String {
    let one = |action: &Action| {
        let lines: Vec<_> = action.lines.iter().map(usize::to_string).collect();
        let label = action.label.as_ref().map_or_else(String::new, |label| format!(" {label}"));
        format!("{} {}{label}", action.what.as_str(), lines.join(","))
    };
    let mut said: Vec<_> = verdict.actions.iter().map(one).collect();
    said.extend(verdict.dropped.iter().map(|why| format!("({})", why.as_str())));
    said.join("; ")
}

fn outcome(text: &str, lines: usize) -> String {
    match read(text, lines) {
        Ok(verdict) => brief(&verdict),
        Err(why) => format!("! {why}"),
    }
}

/// The only action of a reply.
fn only(text: &str) -> Action {
    let mut verdict = read(text, 3).expect(text);
    assert_eq!(verdict.actions.len(), 1, "{text}");
    verdict.actions.remove(0)
}

#[test]
fn every_form_of_a_reply_is_taken() {
    #[rustfmt::skip]
    let cases = [
        (r#"{"actions":[{"action":"ignore","lines":[1,3]},{"action":"investigate","lines":[2]}]}"#, "ignore 0,2; investigate 1"),
        (r#"{"actions":[]}"#, ""),
        ("[]", ""),
        (r#"{"action":"ignore","lines":[1]}"#, "ignore 0"),
        (r#"[{"action":"ignore","lines":[1]},{"action":"watch","label":"a","lines":[2]}]"#, "ignore 0; watch 1 a"),
        (r#"{"watch_rules":[{"label":"a","match":{"contains":"x"}}]}"#, "watch 0 a"),
        (r#"{"rules":{"actions":[{"action":"ignore","lines":[2]}]}}"#, "ignore 1"),
        (r#"{"reasoning":"…","decisions":[{"action":"ignore","lines":[2]}]}"#, "ignore 1"),
        (r#"{"Actions":[{"Action":"IGNORE","Lines":[2]}]}"#, "ignore 1"),
        (r#"{"actions":{"action":"ignore","lines":[2]}}"#, "ignore 1"),
        ("```json\n{\"actions\":[{\"action\":\"ignore\",\"lines\":[1]}]}\n```", "ignore 0"),
        ("Sure! Lines [1] and [2]:\n```\n[{\"action\":\"ignore\",\"lines\":[1]}]\n```\nAnything else?", "ignore 0"),
        ("I think {this} is it: {\"action\":\"watch\",\"lines\":[3]} as asked.", "watch 2"),
        ("{\"action\":\"ignore\",\"lines\":[1]}\n{\"action\":\"watch\",\"lines\":[2]}", "ignore 0; watch 1"),
        (r#""{\"actions\":[{\"action\":\"ignore\",\"lines\":[1]}]}""#, "ignore 0"),
        (r#"{"response":"{\"action\":\"ignore\",\"lines\":[1]}"}"#, "ignore 0"),
        (r#"{"actions":["{\"action\":\"ignore\",\"lines\":[1]}"]}"#, "ignore 0"),
        (r#"{"actions":[[{"action":"ignore","lines":[1]}]]}"#, "ignore 0"),
        ("\u{feff} {\"action\":\"ignore\",\"lines\":[1]}", "ignore 0"),
        ("<think>[maybe {\"a\": 1}]</think>{\"action\":\"ignore\",\"lines\":[1]}", "ignore 0"),
        (r#"{"actions":[{"action":"alert","lines":[1]},{"action":"monitor","lines":[2]}]}"#, "investigate 0; watch 1"),
    ];
    for (text, want) in cases {
        assert_eq!(outcome(text, 3), want, "{text}");
    }
}

#[test]
fn what_cannot_be_used_is_said_in_words() {
    let long = " ".repeat(REPLY_MAX_BYTES + 1);
    #[rustfmt::skip]
    let cases = [
        ("", "! the reply is empty"),
        (" \n", "! the reply is empty"),
        (long.as_str(), "! the reply is too long"),
        ("ignore all lines", "! the reply is not JSON, or its JSON is not complete"),
        (r#"{"actions":[{"action":"ignore","lines":[1"#, "! the reply is not JSON, or its JSON is not complete"),
        ("null", "! the reply has no list \"actions\""),
        ("17", "! the reply has no list \"actions\""),
        ("{}", "! the reply has no list \"actions\""),
        ("[1,2]", "! the reply has no list \"actions\""),
        (r#"{"a":1,"b":2}"#, "! the reply has no list \"actions\""),
        (r#"{"type":"object","properties":{"actions":{"type":"array"}}}"#, "! the reply repeats the schema; fill it in with your decisions"),
        (r#"{"actions":[{"action":"silence","lines":[1]}]}"#, "! \"action\" must be \"ignore\", \"watch\" or \"investigate\""),
        (r#"{"action":"drop"}"#, "! \"action\" must be \"ignore\", \"watch\" or \"investigate\""),
        (r#"{"action":"ignore","lines":[4]}"#, "! \"lines\" must be numbers from 1 to 3"),
        (r#"{"actions":["ignore"]}"#, "! the items of the list must be objects of the given form"),
        (r#"{"actions":[{"lines":[1]}]}"#, "! the items of the list must be objects of the given form"),
    ];
    for (text, want) in cases {
        assert_eq!(outcome(text, 3), want, "{text}");
    }
}

#[test]
fn lines_are_read_however_they_are_written() {
    #[rustfmt::skip]
    let cases = [
        ("[1,2]", "0,1"), ("[2,1,2]", "0,1"), ("2", "1"), ("2.0", "1"), ("\"2\"", "1"), ("[\"1\",\"3\"]", "0,2"),
        ("\"1-3\"", "0,1,2"), ("\"1 - 2\"", "0,1"), ("\"2..9\"", "1,2"), ("\"1 to 2\"", "0,1"), ("\"0-2\"", "0,1"),
        ("\"1, 3\"", "0,2"), ("\"1 3\"", "0,2"), ("\"#2\"", "1"), ("\"line 2\"", "1"), ("\"lines 1-2, 3\"", "0,1,2"),
        ("[\"1-2\",3]", "0,1,2"), ("\"all\"", "0,1,2"), ("[0,-1,4,2]", "1"), ("[1.5,2]", "1"), ("[null,{},2]", "1"),
        ("\"3-1\"", "!"), ("\"-1\"", "!"), ("\"1.5\"", "!"), ("\"0\"", "!"), ("0", "!"), ("-1", "!"), ("1e300", "!"), ("[0]", "!"), ("true", "!"),
        ("\"99999999999999999999999\"", "!"), ("\"1-99999999999999999999999\"", "0,1,2"), ("\"none\"", "!"),
        ("null", "0"), ("[]", "0"), ("\"\"", "0"),
    ];
    for (lines, want) in cases {
        let text = format!(r#"{{"action":"watch","lines":{lines}}}"#);
        let got = outcome(&text, 3);
        let got = got.strip_prefix("watch ").unwrap_or("!");
        assert_eq!(got, want, "{lines}");
    }
}

#[test]
fn without_lines_all_are_ignored_and_only_the_first_is_watched_or_investigated() {
    assert_eq!(outcome(r#"{"action":"ignore"}"#, 3), "ignore 0,1,2");
    assert_eq!(outcome(r#"{"action":"watch"}"#, 3), "watch 0");
    assert_eq!(outcome(r#"{"action":"investigate"}"#, 3), "investigate 0");
    assert_eq!(outcome(r#"{"action":"ignore"}"#, 0), "! \"lines\" must be numbers from 1 to 0");
}

#[test]
fn a_line_goes_to_the_most_severe_action_that_claims_it() {
    #[rustfmt::skip]
    let cases = [
        (r#"[{"action":"ignore"},{"action":"watch","lines":[2]},{"action":"investigate","lines":[3]}]"#, "ignore 0; watch 1; investigate 2"),
        (r#"[{"action":"investigate","lines":[1,2]},{"action":"watch","lines":[2,3]},{"action":"ignore","lines":[1,2,3]}]"#, "investigate 0,1; watch 2; (taken)"),
        (r#"[{"action":"investigate","lines":[1]},{"action":"investigate","lines":[1,2]}]"#, "investigate 0; investigate 1"),
        (r#"[{"action":"ignore","lines":[1]},{"action":"ignore","lines":[1]}]"#, "ignore 0; (taken)"),
        (r#"[{"action":"watch","label":"a"},{"action":"watch","label":"b"}]"#, "watch 0 a; watch 0 b"),
    ];
    for (text, want) in cases {
        assert_eq!(outcome(text, 3), want, "{text}");
    }
}

#[test]
fn what_is_left_out_is_counted_and_the_rest_is_used() {
    let text =
        r#"{"actions":[{"action":"silence"},7,{"action":"ignore","lines":[9]},{"action":"ignore","lines":[1]}]}"#;
    assert_eq!(outcome(text, 3), "ignore 0; (unknown_action); (no_form); (no_such_line)");
    let many = format!("[{}]", vec![r#"{"action":"watch"}"#; 60].join(","));
    let verdict = read(&many, 3).expect("a verdict");
    assert_eq!((verdict.actions.len(), verdict.dropped.len()), (ACTIONS_MAX, 10));
    assert!(verdict.dropped.iter().all(|why| *why == Dropped::TooMany));
}

#[test]
fn numbers_times_and_severities_are_read_as_meant() {
    for (threshold, want) in [
        ("10", Some(10.0)),
        ("\"10\"", Some(10.0)),
        ("\"10 per minute\"", Some(10.0)),
        ("2.5", Some(2.5)),
        ("-3", Some(-3.0)),
        ("\"many\"", None),
        ("null", None),
        ("[1]", None),
    ] {
        assert_eq!(only(&format!(r#"{{"action":"watch","threshold":{threshold}}}"#)).threshold, want, "{threshold}");
    }
    for (window, want) in [
        ("60", Some(60.0)),
        ("\"60\"", Some(60.0)),
        ("\"60s\"", Some(60.0)),
        ("\"5m\"", Some(300.0)),
        ("\"5 minutes\"", Some(300.0)),
        ("\"1.5h\"", Some(5400.0)),
        ("\"1 Day\"", Some(86400.0)),
        ("\"2 moons\"", None),
        ("\"\"", None),
    ] {
        assert_eq!(
            only(&format!(r#"{{"action":"watch","window_seconds":{window}}}"#)).window_seconds,
            want,
            "{window}"
        );
    }
    for (severity, want) in [
        ("CRITICAL", Some(Severity::Critical)),
        ("Warning", Some(Severity::Warning)),
        ("info", Some(Severity::Info)),
        ("high", Some(Severity::Critical)),
        ("purple", None),
    ] {
        assert_eq!(
            only(&format!(r#"{{"action":"investigate","severity":"{severity}"}}"#)).severity,
            want,
            "{severity}"
        );
    }
}

#[test]
fn a_condition_is_taken_in_every_form_that_means_one() {
    for (condition, want) in [
        (r#"{"field":"status","gte":"500"}"#, Some(json!({"field": "status", "gte": "500"}))),
        (r#"{"contains":"x"}"#, Some(json!({"contains": "x"}))),
        (r#""{\"field\":\"status\",\"gte\":500}""#, Some(json!({"field": "status", "gte": 500}))),
        (r#"{"field":"status","op":">=","value":500}"#, Some(json!({"field": "status", "gte": 500}))),
        (
            r#"{"field":"status","operator":"like","value":5}"#,
            Some(json!({"field": "status", "operator": "like", "value": 5})),
        ),
        (r#""timed out""#, Some(json!({"contains": "timed out"}))),
        (r#"[{"contains":"x"}]"#, Some(json!({"contains": "x"}))),
        (r#"[{"contains":"x"},{"contains":"y"}]"#, Some(json!({"all": [{"contains": "x"}, {"contains": "y"}]}))),
        ("{}", None),
        ("[]", None),
        ("\" \"", None),
        ("7", None),
        ("null", None),
    ] {
        assert_eq!(only(&format!(r#"{{"action":"watch","match":{condition}}}"#)).condition, want, "{condition}");
    }
}

#[test]
fn a_label_and_a_summary_are_any_text_and_bounded() {
    let long = "ä".repeat(5_000);
    let action = only(&format!(r#"{{"action":"watch","label":" Über 5xx! ","summary":"{long}"}}"#));
    assert_eq!(action.label.as_deref(), Some("Über 5xx!"));
    assert_eq!(action.summary.map(|summary| summary.len()), Some(2_000));
    assert_eq!(only(r#"{"action":"watch","label":503}"#).label.as_deref(), Some("503"));
    assert_eq!(only(r#"{"action":"watch","label":""}"#).label, None);
}

#[test]
fn changes_are_read_for_labels_that_were_shown() {
    let labels = ["status_401", "errors"];
    let read = |text: &str| read_changes(text, &labels);
    let got = read(r#"{"changes":[{"label":"status_401","threshold":"40","window_seconds":"2m","reason":"normal"},{"label":"mine","threshold":1}]}"#).expect("changes");
    let want = Change {
        label: "status_401".into(),
        threshold: Some(40.0),
        window_seconds: Some(120.0),
        reason: Some("normal".into()),
    };
    assert_eq!(got, Changes { changes: vec![want], dropped: vec![Dropped::UnknownLabel] });
    for text in [
        r#"[{"label":"errors","threshold":7}]"#,
        r#"{"label":"ERRORS","threshold":7}"#,
        r#"{"tuned":[{"label":"errors","threshold":7},{"label":"errors","threshold":8}]}"#,
        "```json\n{\"changes\":[{\"label\":\"errors\",\"threshold\":7}]}\n```",
    ] {
        let got = read(text).expect(text);
        assert_eq!((got.changes.len(), got.changes[0].threshold), (1, Some(7.0)), "{text}");
    }
    assert_eq!(read(r#"{"changes":[]}"#), Ok(Changes::default()));
    for (text, want) in [
        ("no", "the reply is not JSON, or its JSON is not complete"),
        (r#"{"changes":[{"label":"mine","threshold":1}]}"#, "\"label\" must be the label of a watch that was shown"),
        (r#"{"changes":[{"label":"errors"}]}"#, "the items of the list must be objects of the given form"),
    ] {
        assert_eq!(read(text).expect_err(text).to_string(), want);
    }
}

#[test]
fn hostile_nesting_and_repetition_end() {
    for piece in ["[", "{", "[[", "{\"a\":", "[\",[\",", "[],", "[1,", "\\\"", "```", "{\"actions\":[", "{}"] {
        let text = piece.repeat(REPLY_MAX_BYTES / piece.len());
        drop(read(&text, 50));
        drop(read_changes(&text, &["a"]));
    }
    let text = format!(r#"{{"action":"ignore","lines":[{}1]}}"#, "1,".repeat(30_000));
    assert_eq!(outcome(&text, 3), "ignore 0");
}

fn reply() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const BITS: &[&str] = &[
        "{", "}", "[", "]", ":", ",", "\"", "\\", "\"action\":", "\"actions\":[", "\"ignore\"", "\"watch\"", "\"investigate\"",
        "\"lines\":", "1", "-1", "\"1-3\"", "\"match\":", "{\"contains\":\"x\"}", "\"threshold\":", "\"60s\"", "null", "```json\n",
        "\n", " ", "\"label\":\"a\"", "{\"action\":\"watch\",\"lines\":[2]}", "1e999", "ü", "\u{0}",
    ];
    prop::collection::vec(
        prop_oneof![9 => prop::sample::select(BITS).prop_map(str::to_owned), 1 => any::<String>()],
        0..40,
    )
    .prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn whatever_is_said_the_actions_keep_their_promises(text in reply(), lines in 0_usize..60) {
        if let Ok(verdict) = read(&text, lines) {
            prop_assert!(verdict.actions.len() <= ACTIONS_MAX);
            let mut owners = vec![None; lines];
            for action in &verdict.actions {
                prop_assert!(!action.lines.is_empty());
                prop_assert!(action.lines.windows(2).all(|pair| pair[0] < pair[1]));
                for &line in &action.lines {
                    prop_assert!(line < lines);
                    prop_assert!(owners[line].is_none_or(|owner| owner == action.what && owner == What::Watch));
                    owners[line] = Some(action.what);
                }
            }
        }
        drop(read_changes(&text, &["a", "b"]));
    }
}
