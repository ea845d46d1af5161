//! A reader that remembers reads every line as one does that has never read any.

use proptest::prelude::*;

use super::super::{Body, Delivery, Piece, Reader, Record};
use super::*;
use crate::record::format::Format;

const NAMES: [&str; 24] = [
    "cluster",
    "service",
    "container",
    "task",
    "host",
    "source",
    "level",
    "message",
    "time",
    "revision",
    "status",
    "method",
    "path",
    "agent",
    "bytes",
    "log",
    "date",
    "stream",
    "container_id",
    "env",
    "n.m",
    "a",
    "b",
    "exception.type",
];

/// Everything that anybody asks of a record.
fn said(record: &Record<'_>) -> String {
    let fields: Vec<_> = NAMES.iter().map(|name| (name, record.field(name).map(shown))).collect();
    let body = match &record.body {
        Body::Access(access, text) => format!("{access:?} {:?}", text.to_string_lossy()),
        other => format!("{other:?}"),
    };
    let of = (record.stated_time_ms(), record.stated_level(), Format::of(record), record.is_own(record.service()));
    let envelope = (record.envelope.stream_key(), record.envelope.is_partial(), record.envelope.is_of_task_alone());
    let own: Vec<_> = record.own.iter().map(|f| (f.key.to_string_lossy().into_owned(), shown(f.value))).collect();
    let place = (record.start(), String::from_utf8_lossy(record.raw()).into_owned());
    let log = match record.envelope.log {
        Some(Value::Text(log)) => Some((log.start(), log.end(), log.escapes())),
        _ => None,
    };
    format!("{fields:?} {body} {of:?} {envelope:?} {own:?} {place:?} {log:?}")
}

fn shown(value: Value<'_>) -> String {
    match value {
        Value::Text(text) => format!("{:?}", text.to_string_lossy()),
        other => format!("{other:?}"),
    }
}

/// What the line holds, and how many of its records had a known shape.
fn read(reader: &mut Reader, line: &[u8], cut: bool) -> (Vec<String>, usize) {
    let (mut out, mut known) = (Vec::new(), 0);
    let delivery = Delivery { tag: Some(b"web-firelens-1"), arrival_ms: 7, naming: None };
    reader.read(line, cut, delivery, |piece| match piece {
        Piece::Blank => out.push("blank".to_owned()),
        Piece::Record(record) => {
            out.push(said(record));
            known += usize::from(record.shape.is_some());
        }
        Piece::Malformed(reason) => out.push(reason.as_str().to_owned()),
    });
    (out, known)
}

/// Reads all of them with one reader, each twice, and each with a reader of its own.
fn check(lines: &[Vec<u8>], cut: bool) -> usize {
    let mut remembering = Reader::of_many();
    let mut known = 0;
    for line in lines.iter().chain(lines) {
        let (got, seen) = read(&mut remembering, line, cut);
        let (want, none) = read(&mut Reader::default(), line, cut);
        assert_eq!(got, want, "{}", String::from_utf8_lossy(line));
        assert_eq!(none, 0);
        known += seen;
    }
    known
}

const CONTAINER: &str = r#""container_id":"0011223344556677889900112233445566778899001122334455667788990011""#;

#[test]
fn lines_of_one_container_are_known_whatever_their_date_and_their_log() {
    let logs = [
        r#"hello"#,
        "",
        r#"a \"b\" \\"#,
        r#"{\"level\":\"error\",\"n\":{\"m\":1}}"#,
        r#"2025-10-01T08:30:01Z stderr F x"#,
    ];
    for (before, behind) in [
        (format!("{{\"date\":1759306324.5,{CONTAINER},\"source\":\"stdout\",\"log\":\""), "\"}".to_owned()),
        ("{\"date\":1759306324,\"log\":\"".to_owned(), format!("\",{CONTAINER},\"env\":5,\"a\":null,\"b\":true}} ")),
        (
            format!(" {{ {CONTAINER} , \"container_name\":\"/\\u0061-b\", \"log\" : \""),
            "\" , \"date\" : 1.5e9 }".to_owned(),
        ),
        (
            format!("{{\"date\":1.0,\"log\":\"first\",{CONTAINER},\"env\":\"x\\\"y\",\"log\":\""),
            "\",\"date\":2}".to_owned(),
        ),
    ] {
        let lines: Vec<Vec<u8>> = logs.iter().map(|log| format!("{before}{log}{behind}").into_bytes()).collect();
        assert_eq!(check(&lines, false), 2 * logs.len() - 1, "all but the first: {before}");
        assert_eq!(check(&lines, true), 0, "of a line's head nothing is known");
    }
    let line = |date: &str| format!("{{\"date\":{date},{CONTAINER},\"log\":\"x\"}}").into_bytes();
    let dates = ["1759306324.698", "1", "1759306324698", "0.", "1.2.3", "1e3", "-1", "01", "\"2025\""];
    check(&dates.map(line), false);
}

#[test]
fn a_log_that_seems_to_end_elsewhere_is_read_anew() {
    let line = |log: &str| format!("{{{CONTAINER},\"log\":\"{log}\"}}").into_bytes();
    let logs = ["x", "x\",\"log\":\"y", "x\\", "x\"", "\"", "x\\\\", "x\",\"ecs_cluster\":\"c", "\"}{\"log\":\"z"];
    check(&logs.map(line), false);
}

#[test]
fn two_objects_on_a_line_are_two_records_however_often_they_come() {
    let one = |log: &str| format!("{{\"date\":1759306324.5,{CONTAINER},\"log\":\"{log}\"}}");
    let lines = [one("a"), one("a") + &one("a"), one("a") + " " + &one("b"), one("b")];
    check(&lines.map(String::into_bytes), false);
    let twice = (one("a") + &one("a")).into_bytes();
    let mut reader = Reader::of_many();
    assert_eq!([1, 2, 3].map(|_| read(&mut reader, &twice, false).0.len()), [2, 2, 2]);
}

#[test]
fn more_shapes_than_there_is_room_for_are_all_read() {
    let lines: Vec<Vec<u8>> = (0..3 * SHAPES_MAX)
        .map(|n| format!("{{\"date\":1.5,\"container_id\":\"{n:04}{:060}\",\"log\":\"x\"}}", 0).into_bytes())
        .collect();
    check(&lines, false);
    let mut reader = Reader::of_many();
    for line in &lines {
        read(&mut reader, line, false);
    }
    let kept: Vec<u32> = reader.shapes.places.iter().flatten().map(|shape| shape.number).collect();
    assert!(kept.len() <= SHAPES_MAX && kept.len() > SHAPES_MAX / 2, "{}", kept.len());
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(CONTAINER.to_owned()),
        Just("\"container_name\":\"web\"".to_owned()),
        Just("\"source\":\"stderr\"".to_owned()),
        Just("\"ecs_cluster\":\"c\",\"ecs_task_definition\":\"shop:7\"".to_owned()),
        Just("\"ecs_task_arn\":\"arn:aws:ecs:eu:1:task/c/0123456789012345678901234567890123456789\"".to_owned()),
        Just("\"env\":{\"n\":1}".to_owned()),
        Just("\"partial_message\":\"true\"".to_owned()),
        Just("\"kubernetes\":{\"pod_name\":\"p\"}".to_owned()),
        Just("\"a\":[1]".to_owned()),
        Just("\"b\":\"\\\\\"".to_owned()),
        "\"[a-c\\\\\"]\":[0-9\"\\\\ntl.]{1,6}",
    ]
}

proptest! {
    #[test]
    fn what_was_read_before_changes_nothing(
        envelopes in proptest::collection::vec((any::<bool>(), proptest::collection::vec(key(), 0..4), proptest::collection::vec(key(), 0..3)), 1..4),
        lines in proptest::collection::vec((any::<prop::sample::Index>(), "[0-9]{1,10}(\\.[0-9]{0,9})?", prop_oneof![
            "[ -~]{0,20}",
            "[\\\\\"{}:,a]{0,12}",
            Just("10.1.2.3 - - [01/Oct/2025:08:12:04 +0000] \\\"GET /a HTTP/1.1\\\" 500 7 \\\"-\\\" \\\"curl\\\"".to_owned()),
            Just("{\\\"level\\\":\\\"error\\\",\\\"message\\\":\\\"m\\\"}".to_owned()),
            Just("ERROR it \\u001b[31m broke\\n".to_owned()),
        ]), 1..12),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[\"\\\\{}, 1]"), 0..3),
    ) {
        let mut lines: Vec<Vec<u8>> = lines.iter().map(|(which, date, log)| {
            let (is_dated, before, behind) = &envelopes[which.index(envelopes.len())];
            let mut fields = before.clone();
            fields.push(format!("\"log\":\"{log}\""));
            fields.extend(behind.iter().cloned());
            if *is_dated { fields.insert(0, format!("\"date\":{date}")); }
            format!("{{{}}}", fields.join(",")).into_bytes()
        }).collect();
        for (which, at, byte) in &flips {
            let which = which.index(lines.len());
            let mut flipped = lines[which].clone();
            let at = at.index(flipped.len());
            flipped[at] = byte.as_bytes()[0];
            lines.push(flipped);
        }
        check(&lines, false);
    }
}

/// The digits of a date, looked at one by one.
fn dated_plainly(line: &[u8]) -> Option<(&[u8], usize)> {
    let rest = line.strip_prefix(DATED)?;
    let run = |from: usize| rest.iter().skip(from).take(20).take_while(|b| b.is_ascii_digit()).count();
    let whole = run(0);
    let length = if rest.get(whole) == Some(&b'.') { whole + 1 + run(whole + 1) } else { whole };
    (whole > 0 && rest.get(length) == Some(&b',')).then(|| (&rest[..length], DATED.len() + length))
}

proptest! {
    #[test]
    fn a_date_is_found_as_by_looking_at_each_byte(
        whole in "[0-9]{0,22}", decimals in "(\\.[0-9]{0,24})?", rest in "[,.:/0-9x]{0,30}", cut in 0usize..80,
    ) {
        for end in [",", ""] {
            let line = format!("{{\"date\":{whole}{decimals}{end}{rest}");
            prop_assert_eq!(dated(line.as_bytes()), dated_plainly(line.as_bytes()), "{}", line);
            let head = &line.as_bytes()[..cut.min(line.len())];
            prop_assert_eq!(dated(head), dated_plainly(head));
        }
    }
}
