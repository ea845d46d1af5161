//! A whole body staged: the same however the network cuts it, and whatever its bytes are.

mod alone;

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::ingest::quarantine::Bounds;
use crate::ingest::split::Split;
use crate::watch::Origin;
use crate::watch::rule::Rule;

const ARRIVAL_MS: i64 = 1_759_306_400_000;

fn settings(max_line_bytes: usize) -> Settings {
    Settings {
        intake: None,
        around: crate::investigate::around::Bounds { records: 0, record_bytes: 0 },
        max_line_bytes,
        max_groups_per_batch: 40,
        lateness_ms: 900_000,
        naming: Arc::new(Naming { own: vec!["emberwatch".into()], ..Naming::default() }),
        max_encoded_bytes: 1 << 30,
        max_decoded_bytes: 1 << 30,
        max_lines: 1 << 30,
        max_requests: 1,
        max_bytes_in_flight: 1 << 30,
        admission_wait: Duration::ZERO,
        min_body_rate: 0,
        request_time: Duration::ZERO,
        tag_header: "x-tag".into(),
        trusted_proxies: Vec::new(),
        quarantine: Bounds { max_samples: 20, max_bytes: 4096 },
    }
}

/// The built-in rules, and those that look at what is joined, at every service, and by patterns.
fn watches() -> Arc<WatchSet> {
    let more = [
        json!({"label": "all", "match": {"field": "time", "exists": true}, "group_by": ["service", "level", "container"]}),
        json!({"label": "traces", "match": {"field": "exception.type", "exists": true}, "group_by": ["exception.type", "exception.frame"]}),
        json!({"label": "deep", "match": {"contains": "Caused by: "}}),
        json!({"label": "pattern", "match": {"regex": "(a|aa)+[^ ]*$"}}),
        json!({"label": "wide", "match": {"field": "path", "regex": "^/[a-z]+(/[0-9]+)*$"}, "group_by": ["path"]}),
    ];
    let mut faults = Vec::new();
    let rules: Vec<Rule> = more
        .into_iter()
        .filter_map(|mut rule: Json| {
            (rule["threshold"], rule["window_seconds"]) = (json!(5), json!(60));
            Rule::from_json(&rule, "test", &mut faults)
        })
        .collect();
    assert_eq!((rules.len(), faults), (5, Vec::new()));
    let rules = crate::watch::builtin::rules().into_iter().chain(rules);
    WatchSet::new(rules.map(|rule| Watch::new(rule, Origin::Config)).collect())
}

/// All that is left of a body, in an order of its own.
fn staged(body: &[u8], cuts: &[usize], max_line_bytes: usize) -> (Tally, Vec<String>, Vec<String>) {
    let from =
        From { sender: 1, address: IpAddr::from([10, 0, 0, 1]), token: "t".into(), tag: Some(b"a.tag".to_vec()) };
    let mut batch = Batch::new(watches(), &settings(max_line_bytes), from, ARRIVAL_MS);
    let mut split = Split::new(max_line_bytes);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).chain([0, body.len()]).collect();
    cuts.sort_unstable();
    let mut sound = true;
    for pair in cuts.windows(2) {
        sound = sound && split.feed(&body[pair[0]..pair[1]], |line| batch.line(line));
    }
    if sound {
        split.finish(|line| batch.line(line));
    }
    let lines_read = batch.lines_read();
    let finished = batch.finish(None, 0);
    assert_eq!(finished.tally.read(), lines_read, "every line ends once");
    let mut groups: Vec<String> = finished.staged.groups.iter().map(|group| format!("{group:?}")).collect();
    groups.sort();
    let services: Vec<String> = finished.services.iter().map(|service| format!("{service:?}")).collect();
    (finished.tally, groups, services)
}

/// Of three containers, one of which has a task around it.
fn around(log: Json, container: usize) -> String {
    let mut record =
        json!({"date": 1_759_306_324.5, "container_id": container.to_string(), "source": "stderr", "log": log});
    if container == 2 {
        record["ecs_task_definition"] = json!("orders:3");
        record["ecs_cluster"] = json!("prod");
    }
    record.to_string()
}

fn part(id: u8, ordinal: u8, last: bool) -> String {
    json!({"log": format!("part {ordinal} of {id} {{\"level\":"), "container_id": "9", "partial_message": "true",
        "partial_id": format!("{id:064x}"), "partial_ordinal": ordinal.to_string(), "partial_last": last.to_string()})
    .to_string()
}

/// Heads, frames and ends of traces of eight languages, and lines of every other kind, so that random ones meet.
const LOGS: [&str; 40] = [
    "2025-10-01 08:12:03 ERROR c.e.Pay: failed",
    "Traceback (most recent call last):",
    "  File \"/app/a.py\", line 1, in f",
    "KeyError: 'id'",
    "java.lang.IllegalStateException: closed",
    "\tat com.acme.Pay.close(Pay.java:142)",
    "Caused by: a.b.C: y",
    "\t... 27 more",
    "/app/dist/a.js:64",
    "    ^",
    "TypeError: no 'sku'",
    "    at f (/app/a.js:64:11)",
    "Node.js v22.9.0",
    "panic: boom",
    "goroutine 1 [running]:",
    "main.f(0x1)",
    "\t/src/a.go:5 +0x1",
    "exit status 2",
    "thread 'main' panicked at src/main.rs:4:5:",
    "index out of bounds",
    "stack backtrace:",
    "   0: rust_begin_unwind",
    "System.InvalidOperationException: x",
    " ---> System.ArgumentException: y",
    "   at A.B() in /src/A.cs:line 3",
    "PHP Fatal error:  Uncaught RuntimeException: x in /app/a.php:3",
    "#0 /app/a.php(9): f()",
    "  thrown in /app/a.php on line 3",
    "app.rb:1:in 'x': boom (RuntimeError)",
    "\tfrom app.rb:5:in '<main>'",
    "{\"level\":\"error\",\"msg\":\"x\",\"err\":{\"stack\":\"Error: q\\n    at f (/app/b.js:3:1)\"}}",
    "{\"level\":30,\"req\":{\"method\":\"GET\",\"url\":\"/a/7\"},\"res\":{\"statusCode\":503}}",
    "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET /a HTTP/1.1\" 502 5 \"-\" \"kube-probe/1.29\"",
    "2025-10-01 08:12:03 10.0.0.5 GET /a - 80 - 10.0.0.9 curl - 500 0 0 1",
    "level=error msg=\"it failed\" status=502",
    "\u{1b}[31mERROR\u{1b}[0m coloured",
    "E0101 12:00:00.000000       1 a.go:1] boom",
    "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":21,\"body\":{\"stringValue\":\"x\"}}]}]}]}",
    "{\"log\":\"{\\\"level\\\":\\\"warn\\\"}\\n\",\"stream\":\"stdout\",\"time\":\"2025-10-01T08:12:03Z\"}",
    "all is well",
];

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..LOGS.len(), 0usize..3).prop_map(|(log, container)| around(json!(LOGS[log]), container)),
        2 => (1u8..4, 1u8..4, any::<bool>()).prop_map(|(id, ordinal, last)| part(id, ordinal, last)),
        1 => (0usize..3).prop_map(|container| {
            json!({"log": "old driver", "partial_message": "true", "container_id": container.to_string()}).to_string()
        }),
        1 => prop::sample::select(vec![
            "", "  ", "[]", "null", "42", "not json", "{\"log\":\"cut", "{\"a\":1,}", "{\"a\":{]}", "{'a':1}", "{}",
            "{\"log\":\"one\"}{\"log\":\"two\"}", "{\"log\":\"one\"} x", "[{\"log\":\"in\"},7]", "\u{feff}{\"log\":\"mark\"}",
            "{\"health\":\"check\",\"ecs_task_arn\":\"arn:aws:ecs:x:1:task/c/1\"}", "{\"container_name\":\"emberwatch\",\"log\":\"x\"}",
            "{\"log\":\"\\ud83d\\u00e9\",\"n\":nan}",
        ]).prop_map(str::to_owned),
        1 => (100usize..3_000).prop_map(|length| around(json!("y".repeat(length)), 0)),
    ]
}

proptest! {
    #[test]
    fn any_chunking_of_a_body_stages_the_same(
        lines in prop::collection::vec(any_line(), 0..60),
        cuts in prop::collection::vec(0usize..1 << 20, 0..20),
        at_end in any::<bool>(),
        max_line_bytes in prop::sample::select(vec![1_000usize, 1 << 20]),
    ) {
        let mut body = lines.join("\n");
        if at_end {
            body.push('\n');
        }
        let whole = staged(body.as_bytes(), &[], max_line_bytes);
        prop_assert_eq!(&staged(body.as_bytes(), &cuts, max_line_bytes), &whole);
        let every: Vec<usize> = (0..body.len().min(400)).collect();
        prop_assert_eq!(&staged(body.as_bytes(), &every, max_line_bytes), &whole);
    }

    #[test]
    fn any_chunking_of_an_array_stages_what_its_lines_do(
        logs in prop::collection::vec((0..LOGS.len(), 0usize..3), 1..40),
        cuts in prop::collection::vec(0usize..1 << 20, 0..20),
    ) {
        let records: Vec<String> = logs.iter().map(|(log, container)| around(json!(LOGS[*log]), *container)).collect();
        let lines = staged(records.join("\n").as_bytes(), &[], 1 << 20);
        for body in [format!("[{}]", records.join(",")), records.concat()] {
            prop_assert_eq!(&staged(body.as_bytes(), &[], 1 << 20), &lines);
            prop_assert_eq!(&staged(body.as_bytes(), &cuts, 1 << 20), &lines);
        }
    }

    #[test]
    fn no_bytes_at_all_make_a_batch_panic_or_lose_a_line(
        lines in prop::collection::vec(
            (0..LOGS.len(), prop::collection::vec((0usize..400, any::<u8>()), 0..4), 0usize..400), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut body = Vec::new();
        for (log, changes, keep) in lines {
            // Wounded inside the JSON and around it.
            let mut said = LOGS[log].as_bytes().to_vec();
            for (at, byte) in &changes {
                let at = at % said.len().max(1);
                if let Some(slot) = said.get_mut(at) { *slot = *byte; }
            }
            said.truncate(keep);
            let mut line = around(json!(String::from_utf8_lossy(&said)), 0).into_bytes();
            for (at, byte) in changes.iter().skip(2) {
                let at = at % line.len();
                line[at] = *byte;
            }
            body.extend(line);
            body.push(b'\n');
        }
        body.extend(noise);
        staged(&body, &[], 1 << 20);
        staged(&body, &[body.len() / 2], 300);
    }
}
