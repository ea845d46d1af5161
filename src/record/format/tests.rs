//! A line of each form.

use super::super::{Delivery, Piece, Reader};
use super::*;

fn format_of(record: &serde_json::Value) -> Format {
    let mut seen = None;
    Reader::default().read(record.to_string().as_bytes(), false, Delivery::default(), |piece| {
        if let Piece::Record(record) = piece {
            seen = Some(Format::of(record));
        }
    });
    seen.unwrap_or_else(|| panic!("no record: {record}"))
}

#[test]
fn numbers_and_names_are_in_order_and_unique() {
    for (place, format) in Format::ALL.iter().enumerate() {
        assert_eq!(*format as usize, place);
        assert_eq!(Format::ALL.iter().filter(|other| other.as_str() == format.as_str()).count(), 1);
    }
}

#[test]
fn every_form_has_its_name_in_log_and_merged() {
    for (body, expected) in [
        (r#"{"level":30,"time":1759306414425,"pid":1,"hostname":"h","msg":"x"}"#, "json.pino"),
        (
            r#"{"name":"a","hostname":"h","pid":1,"level":30,"msg":"x","time":"2025-10-01T08:13:37Z","v":0}"#,
            "json.bunyan",
        ),
        (r#"{"level":"info","ts":1759306415.2,"caller":"a.go:1","msg":"x"}"#, "json.zap"),
        (r#"{"level":"info","time":"2025-10-01T08:13:37Z","message":"x"}"#, "json.zerolog"),
        (r#"{"time":"2025-10-01T08:13:37Z","level":"INFO","msg":"x"}"#, "json.slog"),
        (r#"{"level":"info","msg":"x","time":"2025-10-01T08:13:37Z"}"#, "json.logrus"),
        (
            r#"{"@timestamp":"2025-10-01T08:13:37Z","@version":"1","message":"x","logger_name":"a","level":"INFO"}"#,
            "json.logback",
        ),
        (
            r#"{"instant":{"epochSecond":1},"thread":"main","level":"INFO","loggerName":"a","message":"x"}"#,
            "json.log4j2",
        ),
        (r#"{"event":"x","level":"info","timestamp":"2025-10-01T08:13:37Z"}"#, "json.structlog"),
        (r#"{"asctime":"2025-10-01 08:13:37,1","levelname":"INFO","message":"x"}"#, "json.python"),
        (r#"{"@t":"2025-10-01T08:13:37Z","@mt":"x"}"#, "json.serilog"),
        (r#"{"@timestamp":"2025-10-01T08:13:37Z","log.level":"info","message":"x","ecs.version":"1.6.0"}"#, "json.ecs"),
        (r#"{"timestamp":"2025-10-01T08:13:37Z","severityText":"INFO","severityNumber":9,"body":"x"}"#, "json.otel"),
        (
            r#"{"timestamp":"2025-10-01T08:13:37Z","level":"INFO","fields":{"message":"x"},"target":"a"}"#,
            "json.tracing",
        ),
        (r#"{"severity":"INFO","message":"x"}"#, "json.gcp"),
        (
            r#"{"level":"info","ts":1.5,"logger":"http.log.access","msg":"handled request","request":{"method":"GET"},"status":200}"#,
            "json.caddy",
        ),
        (r#"{"t":{"$date":"2025-10-01T08:13:37Z"},"s":"I","c":"NETWORK","ctx":"a","msg":"x"}"#, "json.mongodb"),
        (r#"{"level":"info","message":"x","timestamp":"2025-10-01T08:13:37Z"}"#, "json.winston"),
    ] {
        assert_eq!(format_of(&serde_json::json!({"log": body})).as_str(), expected, "{body}");
        let merged: serde_json::Value = serde_json::from_str(body).expect("an object");
        assert_eq!(format_of(&merged).as_str(), expected, "merged: {body}");
    }
    assert_eq!(format_of(&serde_json::json!({"log": "{\"a\":1}"})), Format::Json);
    assert_eq!(format_of(&serde_json::json!({"a": 1})), Format::Merged);
    let request =
        serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]});
    assert_eq!(format_of(&request), Format::Otel);
    assert_eq!(format_of(&serde_json::json!({"log": request.to_string()})), Format::Otel);
    assert_eq!(format_of(&serde_json::json!({"date": 1})), Format::Empty);
}

#[test]
fn every_form_of_text_has_its_name() {
    for (text, expected) in [
        (r#"10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] "GET / HTTP/1.1" 200 5"#, "access.nginx"),
        ("GET /x 200 31ms", "access.morgan"),
        ("2025-10-01 08:12:03 10.0.0.5 GET /a - 80 - 10.0.0.9 curl - 200 0 0 1", "access.iis"),
        ("#Fields: date time", "text"),
        ("\x1b[0mGET /x \x1b[32m200\x1b[0m 1.234 ms - 12\x1b[0m", "access.morgan"),
        (r#"INFO:     10.0.0.1:5 - "GET / HTTP/1.1" 200 OK"#, "access.uvicorn"),
        ("level=info msg=x", "logfmt"),
        ("<34>Oct 11 22:14:15 web su: x", "syslog"),
        ("Oct 11 22:14:15 web su: x", "syslog"),
        (
            r#"<30>Oct 11 22:14:15 web nginx: 10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] "GET / HTTP/1.1" 200 5"#,
            "access.nginx",
        ),
        ("<30>1 2025-10-01T08:12:03Z web app 1 - - {\"severity\":\"INFO\",\"message\":\"x\"}", "json.gcp"),
        ("2025-10-01T08:30:02.004521871Z stdout F {\"level\":\"info\",\"ts\":1,\"msg\":\"x\"}", "json.zap"),
        ("{\"log\":\"level=info msg=x\\n\",\"stream\":\"stderr\",\"time\":\"2025-10-01T08:12:03Z\"}", "logfmt"),
        ("E0101 12:00:00.000000       1 a.go:1] boom", "klog"),
        ("just words", "text"),
        ("{broken", "text"),
        ("", "empty"),
    ] {
        assert_eq!(format_of(&serde_json::json!({"log": text})).as_str(), expected, "{text}");
    }
}

#[test]
fn the_labelled_records_have_the_form_of_their_style() {
    let labels = include_str!("../../../tests/data/records.labels.ndjson").lines();
    let mut seen = 0;
    for (record, label) in include_str!("../../../tests/data/records.ndjson").lines().zip(labels) {
        let label: serde_json::Value = serde_json::from_str(label).expect("a label");
        let Some(style) = label["style"].as_str() else { continue };
        let record: serde_json::Value = serde_json::from_str(record).expect("a record");
        assert_eq!(format_of(&record).as_str(), format!("json.{style}"), "line {}", label["line"]);
        seen += 1;
    }
    assert_eq!(seen, 44);
}
