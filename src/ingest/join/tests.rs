//! Joining on its own: which lines become one, and that none is lost.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Joined, Joins};
use crate::record::steps;
use crate::record::{Delivery, Piece, Reader, Record};

/// What came out: stream, lines, message, level.
type Out = (String, u64, String, &'static str);

fn run_with(cap: usize, lines: &[String]) -> (Vec<Out>, u64) {
    let mut out = Vec::new();
    let (mut joins, mut reader) = (Joins::new(cap), Reader::default());
    let delivery = Delivery::default();
    let mut see = |record: &Record<'_>, joined: Joined| {
        let text = |name: &str| match record.field(name) {
            Some(crate::record::json::Value::Text(text)) => text.to_string_lossy().into_owned(),
            _ => String::new(),
        };
        out.push((text("container_id"), joined.lines, text("message"), record.level().as_str()));
    };
    for line in lines {
        reader.read(line.as_bytes(), false, delivery, |piece| {
            if let Piece::Record(record) = piece {
                joins.take(record, delivery, &mut see);
            }
        });
    }
    joins.finish(delivery, &mut see);
    (out, joins.cut())
}

fn run(lines: &[String]) -> Vec<Out> {
    run_with(1 << 20, lines).0
}

fn of(stream: &str, log: &str) -> String {
    json!({"log": log, "container_id": stream, "source": "stderr"}).to_string()
}

fn part(id: &str, ordinal: u32, last: bool, log: &str) -> String {
    json!({"partial_id": id, "container_id": "c", "partial_message": "true", "log": log,
        "partial_ordinal": ordinal.to_string(), "partial_last": last.to_string(), "z": "\"}"})
    .to_string()
}

fn seen(stream: &str, lines: u64, message: &str, level: &'static str) -> Out {
    (stream.into(), lines, message.into(), level)
}

const TRACE: [&str; 4] = [
    "2025-10-01 ERROR x: \"quoted\" \\ failed",
    "java.lang.IllegalStateException: closed",
    "\tat a.B.c(B.java:1)",
    "Caused by: a.b.C: \u{e9}\u{1}",
];

#[test]
fn a_trace_is_one_record_however_others_come_between() {
    let mut lines: Vec<String> = Vec::new();
    for line in TRACE {
        lines.push(of("a", line));
        lines.push(of("b", "GET / fine"));
    }
    lines.push(of("a", "all is well"));
    let whole = TRACE.join("\n");
    let ordinary = || seen("b", 1, "GET / fine", "info");
    assert_eq!(
        run(&lines),
        [
            ordinary(),
            ordinary(),
            ordinary(),
            ordinary(),
            seen("a", 4, &whole, "error"),
            seen("a", 1, "all is well", "info")
        ]
    );
}

#[test]
fn an_exceptions_line_belongs_to_the_log_line_before_only_if_frames_follow() {
    let lines = [of("a", "ERROR one"), of("a", "TimeoutError: two"), of("a", "three")];
    let alone = [("ERROR one", "error"), ("TimeoutError: two", "error"), ("three", "info")];
    for (out, (message, _)) in run(&lines).iter().zip(alone) {
        assert_eq!((out.1, out.2.as_str()), (1, message));
    }
    let lines = [of("a", "ERROR one"), of("a", "TimeoutError: two"), of("a", "    at f (/a.js:1:2)")];
    assert_eq!(run(&lines), [seen("a", 3, "ERROR one\nTimeoutError: two\n    at f (/a.js:1:2)", "error")]);
}

#[test]
fn parts_become_the_line_that_was_cut() {
    for (lines, want, cut) in [
        (vec![part("1", 1, false, "a\"b"), part("1", 2, false, "c\n"), part("1", 3, true, "")], vec![(3, "a\"bc")], 0),
        // JSON again, and read as such.
        (
            vec![part("1", 1, false, "{\"msg\":\"h"), part("1", 2, true, "ello\",\"level\":\"error\"}")],
            vec![(2, "hello")],
            0,
        ),
        // Another line's parts between.
        (
            vec![part("1", 1, false, "a"), part("2", 1, false, "x"), part("1", 2, true, "b"), part("2", 2, true, "y")],
            vec![(2, "ab"), (2, "xy")],
            0,
        ),
        // No last one; a head that is missing; a hole.
        (vec![part("1", 1, false, "a")], vec![(1, "a")], 1),
        (vec![part("1", 2, false, "b"), part("1", 3, true, "c")], vec![(2, "bc")], 0),
        (vec![part("1", 1, false, "a"), part("1", 3, true, "c")], vec![(1, "a"), (1, "c")], 1),
        // With types, as a parser makes of them.
        (
            vec![
                json!({"log": "a", "partial_id": "1", "container_id": "c", "partial_message": true,
                    "partial_ordinal": 1, "partial_last": false})
                .to_string(),
                json!({"log": "b", "partial_id": "1", "container_id": "c", "partial_message": true,
                    "partial_ordinal": 2, "partial_last": true})
                .to_string(),
            ],
            vec![(2, "ab")],
            0,
        ),
        // Keys that make no sense join nothing.
        (
            vec![
                json!({"log": "a", "container_id": "c", "partial_message": "true", "partial_id": "",
                    "partial_ordinal": "-1", "partial_last": "maybe"})
                .to_string(),
                json!({"log": "b", "container_id": "c", "partial_message": "true", "partial_ordinal": "1"}).to_string(),
                json!({"log": "c", "container_id": "c"}).to_string(),
            ],
            vec![(1, "a"), (1, "b"), (1, "c")],
            0,
        ),
        // Old drivers.
        (
            vec![
                json!({"log": "a", "container_id": "c", "partial_message": "true"}).to_string(),
                json!({"log": "b", "container_id": "c", "partial_message": "true"}).to_string(),
                json!({"log": "c", "container_id": "c"}).to_string(),
                json!({"log": "d", "container_id": "c"}).to_string(),
            ],
            vec![(3, "abc"), (1, "d")],
            0,
        ),
    ] {
        let (out, lost) = run_with(1 << 20, &lines);
        let out: Vec<(u64, &str)> = out.iter().map(|(_, n, message, _)| (*n, message.as_str())).collect();
        assert_eq!((out, lost), (want, cut), "{lines:?}");
    }
}

#[test]
fn a_join_that_grows_too_long_keeps_its_head() {
    for text in ["x\"\u{e9}\u{1f600}\\", "\u{1}"] {
        for cap in 300..340 {
            let lines: Vec<String> = (1..40).map(|n| part("1", n, n == 39, &text.repeat(3))).collect();
            let (out, cut) = run_with(cap, &lines);
            let [(_, 39, message, _)] = &out[..] else { panic!("{out:?}") };
            assert!(text.repeat(200).starts_with(message.as_str()), "{message}");
            assert_eq!(cut, 0);
        }
    }
}

#[test]
fn a_joined_json_that_is_cut_is_read_as_far_as_it_goes() {
    let long = "y".repeat(400);
    let lines = [
        part("1", 1, false, "{\"level\":\"error\",\"msg\":\"first\","),
        part("1", 2, true, &format!("\"x\":\"{long}\"}}")),
    ];
    assert_eq!(run_with(400, &lines).0, [seen("c", 2, "first", "error")]);
}

#[test]
fn more_than_may_be_open_close_the_oldest_and_no_line_is_lost() {
    let mut lines: Vec<String> = (0..400).map(|n| of(&n.to_string(), "ERROR x")).collect();
    lines.extend((0..400).map(|n| of(&n.to_string(), "\tat a.B.c(B.java:1)")));
    let (out, cut) = run_with(1 << 20, &lines);
    assert_eq!(out.iter().map(|o| o.1).sum::<u64>(), 800);
    assert!(cut > 0);
    // And by bytes.
    let lines: Vec<String> = (0..40).map(|n| of(&n.to_string(), &format!("ERROR {}", "x".repeat(500)))).collect();
    assert_eq!(run_with(1024, &lines).0.len(), 40);
}

#[test]
fn a_megabyte_of_frames_takes_linear_work() {
    let lines: Vec<String> = (0..40_000).map(|_| of("a", "\tat a.B.c(B.java:1)")).collect();
    let mut out = Vec::new();
    let half = steps::of(|| out = run(lines.get(..20_000).unwrap_or_default()));
    let all = steps::of(|| out = run(&lines));
    assert_eq!(out.iter().map(|o| o.1).sum::<u64>(), 40_000);
    assert!(out.len() < 50 && half > 20_000 && all < half * 21 / 10, "{half} steps for half of it, {all} for all");
}

/// Lines of every kind, so that random ones meet.
fn any_line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "ERROR x",
        "WARN y",
        "plain",
        "",
        "Traceback (most recent call last):",
        "  File \"a.py\", line 1, in f",
        "ValueError: 1",
        "During handling of the above exception, another exception occurred:",
        "java.lang.X: y",
        "TypeError: z",
        "\tat a.B.c(B.java:1)",
        "Caused by: a.b.C: d",
        "/app/a.js:1",
        "    ^",
        "panic: x",
        "goroutine 1 [running]:",
        "main.f(0x1)",
        "{\"level\":\"error\"}",
        "exit status 2",
    ])
}

proptest! {
    #[test]
    fn streams_that_interleave_are_joined_as_each_is_alone(lines in prop::collection::vec((0usize..3, any_line()), 0..60)) {
        let names = ["a", "b", "c"];
        let all: Vec<String> = lines.iter().map(|(stream, line)| of(names[*stream], line)).collect();
        let together = run(&all);
        prop_assert_eq!(together.iter().map(|o| o.1).sum::<u64>(), lines.len() as u64);
        for (place, name) in names.iter().enumerate() {
            let own: Vec<String> = lines.iter().filter(|(s, _)| *s == place).map(|(_, line)| of(name, line)).collect();
            let mut alone = run(&own);
            let mut among: Vec<Out> = together.iter().filter(|o| o.0 == *name).cloned().collect();
            alone.sort();
            among.sort();
            prop_assert_eq!(alone, among);
        }
    }

    #[test]
    fn no_record_makes_it_panic_and_each_comes_out(
        logs in prop::collection::vec((any::<String>(), prop::option::of((0u64..4, any::<bool>()))), 0..30), cap in 200usize..2000) {
        let lines: Vec<String> = logs.iter().map(|(log, part)| {
            let mut record = json!({"log": log, "x": 1});
            if let Some((ordinal, last)) = part {
                record["partial_message"] = json!("true");
                record["partial_id"] = json!("1");
                record["partial_ordinal"] = json!(ordinal.to_string());
                record["partial_last"] = json!(last.to_string());
            }
            Value::to_string(&record)
        }).collect();
        prop_assert_eq!(run_with(cap, &lines).0.iter().map(|o| o.1).sum::<u64>(), logs.len() as u64);
    }
}
