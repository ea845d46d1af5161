//! What arrives in pieces and is one thing: stack traces of a line each and lines that docker cut at 16 KiB,
//! as a watch sees them, and where their lines end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::control::{Scrape, counting, groups, matched, put, serving};
use crate::world::http::{Connection, Request, post_ingest};

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs_f64()
}

/// A line of a container's stderr, of now.
fn line(container: &str, log: &str) -> String {
    format!("{}\n", json!({"date": now(), "container_id": container, "source": "stderr", "log": log}))
}

/// What a person is told became of `body`.
fn counts(ingest: SocketAddr, body: String) -> Value {
    let request = Request::bare("POST", "/ingest").header("Accept", "application/json").body(body);
    Connection::open(ingest).send(&request).json()
}

/// Label and record of the labelled groups' lines and of what stands between them, moved to now.
fn labelled() -> Vec<(Value, String)> {
    let labels = include_str!("../data/records.labels.ndjson").lines();
    let records = include_str!("../data/records.ndjson").lines();
    labels
        .zip(records)
        .map(|(label, record)| (serde_json::from_str(label).expect("a label"), record))
        .filter(|(label, _): &(Value, _)| (138..=209).contains(&label["line"].as_u64().unwrap_or_default()))
        .map(|(label, record)| {
            let open = record.trim_end().strip_suffix('}').expect("an object");
            (label, format!("{open},\"date\":{:.6}}}\n", now()))
        })
        .collect()
}

#[test]
fn every_labelled_group_is_one_record_that_says_what_its_trace_says() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut rule = counting("read", &json!({"field": "time", "exists": true}));
    rule["group_by"] = json!(["level", "exception.type", "exception.message", "exception.frame"]);
    put(control, &rule);
    let all = labelled();
    let of_groups = all.iter().filter(|(label, _)| !label["group"].is_null());
    let groups_of = of_groups.clone().map(|(label, _)| label["group"].as_str().unwrap_or_default().to_owned());
    let names: std::collections::BTreeSet<String> = groups_of.collect();
    let (lines, alone) = (all.len(), all.len() - of_groups.count());
    let answer = counts(ingest, all.iter().map(|(_, record)| record.as_str()).collect());
    assert_eq!(answer["lines"], lines);
    assert_eq!(answer["matched"], names.len() + alone, "each group once, and the lines between: {answer}");
    assert_eq!(answer["joined"], lines - names.len() - alone);
    // A part that never gets its last one (the container stopped), and a Java trace whose last frame is the body's
    // last line of that stream: the end of neither was seen, and whether more comes nobody can tell.
    assert_eq!(Scrape::of(control).get("joins_cut_total"), 2);

    let mut seen: BTreeMap<[String; 4], u64> = BTreeMap::new();
    for (key, count) in groups(control, "read") {
        let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let key = [text("level"), text("exception.type"), text("exception.message"), text("exception.frame")];
        seen.insert(key, count);
    }
    let expected = [
        (
            "error",
            "billing.errors.ChargeFailed",
            "subscription 88213",
            "/app/billing/tasks.py:93 in charge_subscription",
        ),
        (
            "error",
            "java.lang.IllegalStateException",
            "settlement batch 8813 already closed",
            "Settlement.java:142 in com.example.payments.Settlement.close",
        ),
        (
            "error",
            "TypeError",
            "Cannot read properties of undefined (reading 'sku')",
            "/app/dist/orders/service.js:64 in OrderService.reserve",
        ),
    ];
    for (level, kind, message, frame) in expected {
        let key = [level, kind, message, frame].map(str::to_owned);
        assert_eq!(seen.get(&key), Some(&2), "line by line and joined by the sender: {key:?} in {seen:#?}");
    }
    // Its label says error, as every trace's does. A Go panic that reaches its own line ends the process, loggers
    // call that level `panic` too, and all dialects have it as fatal; so it is told as a process that dies, and once.
    let panic = ["fatal", "panic", "runtime error: invalid memory address or nil pointer dereference"];
    assert!(seen.keys().any(|key| key[..3] == panic), "{seen:#?}");
    assert_eq!(seen.keys().filter(|key| key[1] == "panic").count(), 1);
}

#[test]
fn a_rule_sees_the_whole_of_a_joined_record_and_counts_it_once() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    put(control, &counting("deep", &json!({"contains": "Caused by: b.Broken"})));
    put(control, &counting("typed", &json!({"field": "exception.type", "eq": "a.FailedException"})));
    put(control, &counting("stack", &json!({"field": "exception.frame", "contains": "b.js:3"})));
    put(control, &counting("own", &json!({"field": "exception.type", "eq": "mine"})));
    let trace =
        ["ERROR it failed", "a.FailedException: x", "\tat a.B.c(B.java:1)", "Caused by: b.Broken: y", "\t... 1 more"];
    let body: String = trace.iter().map(|log| line("1", log) + &line("2", "all is well")).collect();
    let answer = counts(ingest, body);
    assert_eq!((&answer["joined"], &answer["matched"]), (&json!(4), &json!(1)), "{answer}");
    assert_eq!(answer["lines"], 10);
    assert_eq!((matched(control, "deep"), matched(control, "typed")), (1, 1));
    // In a JSON logger's fields, where its own field of that name is not overruled.
    let pino = json!({"level": 50, "msg": "m", "err": {"stack": "Error: x\n    at f (/app/b.js:3:1)"}}).to_string();
    let mine = json!({"exception": {"type": "mine"}, "stack": "Error: x\n    at f (/app/c.js:3:1)"}).to_string();
    assert_eq!(post_ingest(ingest, line("1", &pino) + &line("1", &mine)).status, 204);
    assert_eq!((matched(control, "stack"), matched(control, "own")), (1, 1));
}

#[test]
fn every_line_ends_once_also_those_of_joins() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    put(control, &counting("errors", &json!({"field": "level", "eq": "error"})));
    // Cut by the end of the body, and going on in the next one.
    let head = line("1", "java.lang.IllegalStateException: x") + &line("1", "\tat a.B.c(B.java:1)");
    let rest = line("1", "\tat a.B.d(B.java:2)") + &line("1", "\tat a.B.e(B.java:3)") + &line("1", "well");
    let first = counts(ingest, head);
    let second = counts(ingest, rest);
    assert_eq!((&first["matched"], &first["joined"]), (&json!(1), &json!(1)));
    assert_eq!((&second["matched"], &second["unmatched"], &second["joined"]), (&json!(0), &json!(2), &json!(1)));
    let page = Scrape::of(control);
    assert_eq!((page.get("joins_cut_total"), page.lines("joined"), page.all_lines()), (1, 2, 5));
}
