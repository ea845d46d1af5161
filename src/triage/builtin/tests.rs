//! Tables of offers and verdicts; what is proposed is held against the rules and the matcher themselves.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::{Delivery, Piece, Reader};
use crate::redact::Redacted;
use crate::watch::matcher::Scratch;
use crate::watch::rule::Rule;
use crate::watch::{Origin, Watch, WatchSet};

fn offer(level: Level, message: &str, template: &str) -> Offer {
    Offer {
        kind: 0x1234_5678_9abc_def0,
        why: Why::New,
        shape: Shape::Message,
        cluster: "prod".to_owned(),
        service: "shop".to_owned(),
        level,
        template: template.to_owned(),
        message: message.to_owned(),
        shown: Redacted::new(message),
        status: None,
        method: None,
        path: None,
        exception: None,
        fields: vec!["message".to_owned()],
        count: 1,
        over_seconds: 1,
    }
}

fn access(method: &str, status: u16, path: &str, masked: &str) -> Offer {
    Offer {
        shape: Shape::Access,
        status: Some(status),
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        ..offer(Level::Info, &access_line(method, status, path), &format!("{method} {status} {masked}"))
    }
}

fn access_line(method: &str, status: u16, path: &str) -> String {
    format!(r#"10.1.2.3 - - [01/Oct/2026:08:12:04 +0000] "{method} {path} HTTP/1.1" {status} 162 "-" "curl/8" "-""#)
}

fn trace(exception: &str, text: &str, template: &str) -> Offer {
    Offer { shape: Shape::Trace, exception: Some(exception.to_owned()), ..offer(Level::Error, text, template) }
}

fn coming(count: u64, over_seconds: u64, offer: Offer) -> Offer {
    Offer { count, over_seconds, ..offer }
}

fn only(offer: &Offer) -> Action {
    let mut actions = judge(std::slice::from_ref(offer));
    assert_eq!(actions.len(), 1);
    actions.remove(0)
}

/// The action as the rule that it proposes.
fn rule(action: &Action) -> Rule {
    let json = json!({
        "label": action.label, "match": action.condition, "threshold": action.threshold,
        "window_seconds": action.window_seconds, "severity": action.severity.map(Severity::as_str), "summary": action.summary,
    });
    let mut faults = Vec::new();
    let rule = Rule::from_json(&json, "", &mut faults);
    rule.unwrap_or_else(|| panic!("{json}: {faults:?}"))
}

/// Does the rule concern this line, as FireLens sends it for `service`?
fn matches(rule: Rule, service: &str, line: &str) -> bool {
    let set = WatchSet::new(vec![Watch::new(rule, Origin::Config)]);
    let (mut found, mut records) = (false, 0);
    let envelope = json!({"date": 1.0, "container_name": service, "ecs_cluster": "prod", "log": line}).to_string();
    Reader::default().read(envelope.as_bytes(), false, Delivery::default(), |piece| {
        if let Piece::Record(record) = piece {
            records += 1;
            set.matches(record, &mut Scratch::default(), |_, _| found = true);
        }
    });
    assert_eq!(records, 1, "{envelope}");
    found
}

#[test]
fn a_message_is_judged_by_its_level_and_by_what_it_says() {
    use Level::{Debug, Error, Fatal, Info, Warn};
    use What::{Ignore, Investigate, Watch};
    #[rustfmt::skip]
    let cases = [
        (Error, "order 7 was odd", "order <num> was odd", Watch),
        (Error, "done", "done", Watch),
        (Fatal, "giving in", "giving in", Investigate),
        (Info, "listening on :8080", "listening on <*>", Ignore),
        (Warn, "cache is cold", "cache is cold", Ignore),
        (Info, "dial tcp 10.0.0.1:5432: connect: connection refused", "dial tcp <ip>:<num>: connect: connection refused", Watch),
        (Warn, "upstream timed out (110: Operation timed out)", "upstream timed out (<num>: Operation timed out)", Watch),
        (Info, "read timeout", "read timeout", Watch),
        (Info, "timeouts on shard 4", "timeouts on shard <num>", Watch),
        (Info, "context deadline exceeded", "context deadline exceeded", Watch),
        (Info, "Deadlock found when trying to get lock", "Deadlock found when trying to get lock", Watch),
        (Info, "FATAL: sorry, too many connections", "FATAL: sorry, too many connections", Watch),
        (Info, "x509: certificate has expired or is not yet valid", "x509: certificate has expired or is not yet valid", Watch),
        (Info, "open /data: permission denied", "open <path>: permission denied", Watch),
        (Info, "connection pool exhausted", "connection pool exhausted", Watch),
        (Warn, "rate limited by upstream", "rate limited by upstream", Watch),
        (Info, "failed to reserve stock for 7", "failed to reserve stock for <num>", Watch),
        (Info, "cannot open cart 7", "cannot open cart <num>", Watch),
        (Info, "could not charge card", "could not charge card", Watch),
        (Info, "errors=3 in batch 7", "errors=<num> in batch <num>", Watch),
        (Info, "error: no route to host", "error: no route to host", Watch),
        (Info, "TimeoutError while reading", "TimeoutError while reading", Watch),
        (Info, "java.net.ConnectException: nobody there", "java.net.ConnectException: nobody there", Watch),
        (Info, "worker 3: out of memory", "worker <num>: out of memory", Investigate),
        (Error, "write /data/a: no space left on device", "write <path>: no space left on device", Investigate),
        (Error, "possible data loss on partition 3", "possible data loss on partition <num>", Investigate),
        (Warn, "data corruption in block 7", "data corruption in block <num>", Investigate),
        (Error, "panic: runtime error: index out of range", "panic: runtime error: index out of range", Investigate),
        (Info, "Killed process 77 (java)", "Killed process <num> (java)", Investigate),
        (Info, "container exited with code 137", "container exited with code <num>", Investigate),
        // What names a failure and reports none.
        (Info, "done, errors=0 skipped=2", "done, errors=<num> skipped=<num>", Ignore),
        (Info, "no error", "no error", Ignore),
        (Info, "error_rate: 0", "error_rate: <num>", Ignore),
        (Info, r#"{"error":null,"failed":0}"#, r#"{"error":null,"failed":<num>}"#, Ignore),
        (Info, "connection refused, retry succeeded", "connection refused, retry succeeded", Ignore),
        (Info, "finished without errors", "finished without errors", Ignore),
        (Info, "finished without any errors", "finished without any errors", Ignore),
        (Info, "0 failed, 12 passed", "<num> failed, <num> passed", Ignore),
        (Info, "health check passed", "health check passed", Ignore),
        (Info, "GET /healthz by kube-probe/1.29 failed=false", "GET /healthz by kube-probe/<num> failed=false", Ignore),
        (Info, "using timeout=30s retries=3", "using timeout=<*> retries=<num>", Ignore),
        (Info, "with a timeout of 30 s", "with a timeout of <num> s", Ignore),
        (Info, "error handler registered", "error handler registered", Ignore),
        (Info, "GET /error.html", "GET /error.html", Ignore),
        (Info, "there was no data loss", "there was no data loss", Ignore),
        (Info, "err=nil took=3ms", "err=nil took=<*>", Ignore),
        (Debug, "failed to find a cached copy", "failed to find a cached copy", Ignore),
        // A user's words are no constant part.
        (Info, "search for connection refused", "search for <*>", Ignore),
        // One refusal is nobody's failure but the caller's.
        (Info, "authentication failed for bob", "authentication failed for <*>", Ignore),
        (Info, "", "", Ignore),
    ];
    for (level, message, template, what) in cases {
        assert_eq!(only(&offer(level, message, template)).what, what, "{}: {message}", level.as_str());
    }
}

#[test]
fn a_request_is_judged_by_its_status_and_by_how_often_it_is_refused() {
    #[rustfmt::skip]
    let cases = [
        (500, 1, 1, What::Watch), (503, 1, 1, What::Watch), (599, 1, 1, What::Watch), (200, 10_000, 60, What::Ignore), (302, 1, 1, What::Ignore),
        (404, 1, 1, What::Ignore), (404, 10_000, 29, What::Ignore), (401, 29, 30, What::Ignore), (401, 30, 30, What::Watch), (403, 600, 60, What::Watch),
        (429, u64::MAX, u64::MAX, What::Watch), (404, 0, 0, What::Ignore),
    ];
    for (status, count, over, what) in cases {
        let action = only(&coming(count, over, access("GET", status, "/orders/7", "/orders/<num>")));
        assert_eq!(action.what, what, "{status}, {count} in {over} s");
    }
    let refused = coming(300, 60, offer(Level::Info, "unauthorized: bob", "unauthorized: <*>"));
    assert_eq!(only(&refused).what, What::Watch);
}

#[test]
fn a_trace_is_watched_and_one_of_a_dying_process_investigated() {
    let text = "Traceback (most recent call last):\n  File \"pay.py\", line 3, in charge\nValueError: bad";
    assert_eq!(only(&trace("ValueError", text, "ValueError at pay.py:charge")).what, What::Watch);
    let dying = trace(
        "java.lang.OutOfMemoryError",
        "java.lang.OutOfMemoryError: Java heap space\n\tat a.B.c(B.java:1)",
        "java.lang.OutOfMemoryError at B.java:c",
    );
    assert_eq!(only(&dying).what, What::Investigate);
    let fatal = Offer { level: Level::Fatal, ..trace("ValueError", text, "ValueError at pay.py:charge") };
    assert_eq!(only(&fatal).what, What::Investigate);
}

#[test]
fn a_condition_is_of_that_kind_alone() {
    #[rustfmt::skip]
    let cases = [
        (offer(Level::Error, "[error] could not charge card 7 of bob", "[error] could not charge card <num> of <*>"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"message","contains":"[error] could not charge card"}]}"#),
        (offer(Level::Error, "[error] bad 7", "[error] bad <num>"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"message","contains":"[error] bad"}]}"#),
        (offer(Level::Error, "odd 7", "odd <num>"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"message","contains":"odd"},{"field":"level","eq":"error"}]}"#),
        (offer(Level::Error, "7", "<num>"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"level","eq":"error"}]}"#),
        // The template has its blanks otherwise than the line.
        (offer(Level::Error, "could  not charge the card", "could not charge the card"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"message","contains":"not charge the card"}]}"#),
        (access("POST", 502, "/orders/7?x=1", "/orders/<num>"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"method","eq":"POST"},{"field":"status","eq":502},{"field":"path","starts_with":"/orders/"}]}"#),
        (access("GET", 500, "/7", "/<num>"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"method","eq":"GET"},{"field":"status","eq":500}]}"#),
        (trace("ValueError", "x", "ValueError at pay.py:charge"),
         r#"{"all":[{"field":"service","eq":"shop"},{"field":"exception.type","eq":"ValueError"}]}"#),
        (Offer { service: String::new(), ..offer(Level::Error, "could not charge card", "could not charge card") },
         r#"{"field":"message","contains":"could not charge card"}"#),
    ];
    for (offer, condition) in cases {
        assert_eq!(only(&offer).condition.unwrap().to_string(), condition);
    }
}

#[test]
fn what_is_proposed_is_a_rule_that_concerns_its_own_line_and_not_another_services() {
    let python = "Traceback (most recent call last):\n  File \"pay.py\", line 3, in charge\n    raise ValueError()\nValueError: bad";
    let java = "java.net.ConnectException: refused\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)";
    #[rustfmt::skip]
    let offers = [
        offer(Level::Error, "[error] could not charge card 7", "[error] could not charge card <num>"),
        offer(Level::Error, "[error] \"odd\" \\ line\t7 with <b>tags</b>", "[error] \"odd\" \\ line\t<num> with <b>tags</b>"),
        offer(Level::Warn, "[warn] pool exhausted", "[warn] pool exhausted"),
        offer(Level::Fatal, "[fatal] bye 7", "[fatal] bye <num>"),
        offer(Level::Info, "dial tcp 10.0.0.1:5432: connect: connection refused", "dial tcp <ip>:<num>: connect: connection refused"),
        offer(Level::Info, "worker 3: out of memory", "worker <num>: out of memory"),
        access("GET", 500, "/orders/7", "/orders/<num>"), access("DELETE", 503, "/", "/"),
        coming(100, 40, access("POST", 401, "/login", "/login")),
        trace("ValueError", python, "ValueError at pay.py:charge"),
        trace("java.net.ConnectException", java, "java.net.ConnectException at B.java:c"),
    ];
    for offer in offers {
        let action = only(&offer);
        assert!(action.what != What::Ignore, "{}", offer.message);
        let rule = rule(&action);
        assert!(matches(rule.clone(), "shop", &offer.message), "{:?} and {}", action.condition, offer.message);
        assert!(!matches(rule.clone(), "cart", &offer.message), "{:?}", action.condition);
        assert!(!matches(rule, "shop", "listening on :8080"), "{:?}", action.condition);
    }
}

#[test]
fn labels_and_summaries_are_words_of_the_template() {
    #[rustfmt::skip]
    let cases = [
        (offer(Level::Error, "[error] could not charge card 7 of bob", "[error] could not charge card <num> of <*>"),
         "could_not_charge_card", "An error is logged: could not charge card; it has not been seen before."),
        (access("POST", 503, "/api/orders/7", "/api/orders/<num>"),
         "http_503_post_api_orders", "Requests fail with a server error: http 503 post api orders; it has not been seen before."),
        (Offer { why: Why::Rate, ..trace("java.net.SocketTimeoutException", "x", "java.net.SocketTimeoutException at B.java:c") },
         "socket_timeout_exception", "An exception is thrown: socket timeout exception; it comes far more often than before."),
        (offer(Level::Fatal, "7", "<num>"), "error", "A fatal error is logged: error; it has not been seen before."),
        (offer(Level::Error, "login a1b2c3 password=hunter failed", "login a1b2c3 password=hunter failed"),
         "login_password_secret_failed", "An error is logged: login password secret failed; it has not been seen before."),
        (Offer { why: Why::Again, ..trace("std::io::Error", "x", "x") }, "error", "An exception is thrown: error."),
    ];
    for (offer, label, summary) in cases {
        let action = only(&offer);
        assert_eq!((action.label.as_deref(), action.summary.as_deref()), (Some(label), Some(summary)));
    }
}

#[test]
fn two_kinds_of_the_same_words_have_two_labels() {
    let one = offer(Level::Error, "could not charge card", "could not charge card");
    let two = Offer { service: "cart".to_owned(), kind: 7, ..one.clone() };
    let labels: Vec<_> = judge(&[one, two]).into_iter().filter_map(|action| action.label).collect();
    assert_eq!(labels, ["could_not_charge_card", "could_not_charge_card_0007"]);
}

#[test]
fn a_threshold_is_above_what_is_usual_and_low_for_what_is_new() {
    let error = || offer(Level::Error, "could not charge card", "could not charge card");
    let threshold = |offer: Offer| {
        let action = only(&offer);
        (action.threshold.unwrap() as u64, action.window_seconds.unwrap() as u64)
    };
    assert_eq!(threshold(error()), (3, 300));
    assert_eq!(threshold(coming(500, 20, error())), (3, 300), "a burst is no past");
    let (steady, _) = threshold(coming(3_600, 3_600, error()));
    assert!((400..=500).contains(&steady), "{steady}");
    assert_eq!(threshold(Offer { why: Why::Rate, ..coming(1_200, 600, error()) }), (300, 300));
    assert_eq!(threshold(coming(60, 30, access("POST", 401, "/login", "/login"))), (60, 60));
    assert_eq!(threshold(offer(Level::Fatal, "bye", "bye")), (2, 300));
    assert_eq!(threshold(coming(u64::MAX, 1 << 40, error())).0, 1_000_000);
}

#[test]
fn every_place_stands_in_one_action_and_all_that_is_ignored_in_one() {
    let offers = [
        offer(Level::Info, "fine", "fine"),
        offer(Level::Error, "bad thing", "bad thing"),
        offer(Level::Info, "fine too", "fine too"),
        offer(Level::Fatal, "end", "end"),
    ];
    let told: Vec<_> = judge(&offers).into_iter().map(|action| (action.what, action.lines)).collect();
    assert_eq!(told, [(What::Watch, vec![1]), (What::Investigate, vec![3]), (What::Ignore, vec![0, 2])]);
    assert_eq!(judge(&[]), []);
}

fn any_text() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const BITS: &[&str] = &[
        "error", "errors", "no ", "=0", ": ", "timeout", "failed to ", "<*>", "<num>", "<", ">", "/", "GET 500 ", " ", "\n", "\"", "panic:",
        "é", "İ", "0", "password=hunter2", "out of memory", ",", "\t", "a.b.CException", "\u{0}",
    ];
    let bit = prop_oneof![3 => prop::sample::select(BITS).prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(bit, 0..12).prop_map(|bits| bits.concat())
}

fn any_offer() -> impl Strategy<Value = Offer> {
    let level = prop::sample::select(Level::ALL.to_vec());
    let shape = prop::sample::select(vec![Shape::Message, Shape::Access, Shape::Trace]);
    let rest = (
        prop::option::of(any::<u16>()),
        prop::option::of(any_text()),
        prop::option::of(any_text()),
        any::<u64>(),
        any::<u64>(),
    );
    (level, shape, any_text(), any_text(), rest).prop_map(
        |(level, shape, message, template, (status, path, exception, count, over_seconds))| Offer {
            shape,
            status,
            path,
            exception,
            count,
            over_seconds,
            ..offer(level, &message, &template)
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_offered_what_is_proposed_is_sound(offers in prop::collection::vec(any_offer(), 0..6)) {
        let actions = judge(&offers);
        let mut places: Vec<usize> = actions.iter().flat_map(|action| action.lines.clone()).collect();
        places.sort_unstable();
        prop_assert_eq!(places, (0..offers.len()).collect::<Vec<_>>());
        let mut labels = BTreeSet::new();
        for action in actions.iter().filter(|action| action.what != What::Ignore) {
            let rule = rule(action);
            prop_assert!(labels.insert(rule.label.clone()) && rule.threshold >= 2);
            prop_assert!(!rule.summary.contains(char::is_control), "{}", rule.summary);
        }
    }

    #[test]
    fn a_message_contains_what_is_looked_for_in_it(message in any_text(), template in any_text()) {
        let action = only(&offer(Level::Error, &message, &template));
        for test in action.condition.unwrap()["all"].as_array().unwrap() {
            if let Some(text) = test["contains"].as_str() {
                prop_assert!(message.contains(text));
            }
        }
    }
}

#[test]
fn a_long_line_is_judged_in_no_time() {
    let words = "failed to no error ".repeat(5_000);
    let blanks = "a ".repeat(50_000);
    for text in [&words, &blanks] {
        let other: String = text.chars().rev().collect();
        let _: Value = only(&offer(Level::Error, text, &other)).condition.unwrap();
    }
}
