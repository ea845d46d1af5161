//! What a real Fluent Bit sent (5.1.1, `tests/data/captures`, byte for byte): the same records in every form give
//! the same counts. Only the path is ours.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::story::{matched_total, metric, start};
use crate::world::http::{Connection, Request, get_json};
use crate::world::program::Program;

/// The forms that hold the 22 records of `json_lines`.
const FORMS: [&str; 27] = [
    "default_format",
    "gelf",
    "json",
    "json.gzip",
    "json_lines",
    "json_lines.basic_auth",
    "json_lines.bearer",
    "json_lines.date_epoch",
    "json_lines.date_epoch_ms",
    "json_lines.date_false",
    "json_lines.date_iso8601",
    "json_lines.date_java_sql_timestamp",
    "json_lines.date_key_collides",
    "json_lines.gzip",
    "json_lines.gzip.retry.1",
    "json_lines.gzip.retry.2",
    "json_lines.gzip.retry.3",
    "json_lines.header_tag",
    "json_lines.nokeepalive",
    "json_lines.put",
    "json_lines.raw_unicode",
    "json_lines.snappy",
    "json_lines.zstd",
    "json_stream",
    "msgpack",
    "msgpack.gzip",
    "msgpack.zstd",
];

/// Label, and the condition as TOML.
const WATCHES: [(&str, &str); 22] = [
    ("of_checkout", r#"{ field = "service", eq = "checkout" }"#),
    ("of_another_service", r#"{ not = { field = "service", eq = "checkout" } }"#),
    ("of_prod_eu", r#"{ field = "cluster", eq = "prod-eu" }"#),
    ("in_app", r#"{ field = "container", eq = "app" }"#),
    ("of_revision_12", r#"{ field = "revision", eq = "12" }"#),
    ("status_any", r#"{ field = "status", exists = true }"#),
    ("status_gte_400", r#"{ field = "status", gte = 400 }"#),
    ("status_200", r#"{ field = "status", eq = 200 }"#),
    ("status_304", r#"{ field = "status", eq = "304" }"#),
    ("status_404", r#"{ field = "status", eq = 404 }"#),
    ("status_502", r#"{ field = "status", eq = 502 }"#),
    ("level_error", r#"{ field = "level", eq = "ERROR" }"#),
    ("level_warn", r#"{ field = "level", eq = "Warn" }"#),
    ("level_info", r#"{ field = "level", eq = "info" }"#),
    ("own_warn", r#"{ field = "body.level", eq = "WARN" }"#),
    ("own_info", r#"{ field = "body.level", eq = "INFO" }"#),
    ("says_authorized", r#"{ contains = "\"authorized\"" }"#),
    ("says_tokyo", r#"{ contains = "東京 🚀 é" }"#),
    ("says_backslash", r#"{ contains = "C:\\temp\\new \"quoted\" /slash/ \t tab" }"#),
    ("says_trace", r#"{ contains = "boom\n\tat com.example" }"#),
    ("says_control", r#"{ contains = "control: \u0000 \u0001 \u001F \u007F end" }"#),
    ("nested_user", r#"{ field = "user.id", exists = true }"#),
];

fn config() -> String {
    let watch = |(label, condition): &(&str, &str)| {
        format!(
            "[[watch]]\nlabel = \"{label}\"\nmatch = {condition}\nthreshold = 1000000\nwindow_seconds = 60\n\
             on_crossing = \"log\"\n\n"
        )
    };
    WATCHES.iter().map(watch).collect()
}

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures").join(name);
    std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// The request as it was sent, but for path and host.
fn captured(name: &str) -> Request {
    let head = String::from_utf8(read(&format!("{name}.headers"))).expect("headers are ASCII");
    let mut lines = head.trim_end().split("\r\n");
    let method = lines.next().and_then(|start| start.split(' ').next()).expect("a request line");
    let headers = lines.map(|line| line.split_once(": ").expect("a header")).filter(|(key, _)| *key != "Host");
    let request = headers.fold(Request::bare(method, "/ingest"), |request, (key, value)| request.header(key, value));
    request.body(read(&format!("{name}.body")))
}

fn send(program: &Program, name: &str) {
    let answer = Connection::open(program.ingest_addr()).send(&captured(name));
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{name}: {}", answer.text());
}

/// What each watch counted.
fn counts(program: &Program) -> BTreeMap<String, u64> {
    let watches = get_json(program.control_addr(), "/watches");
    let shown = watches["watches"].as_array().expect("watches");
    let count = |watch: &Value| Some((watch["label"].as_str()?.to_owned(), watch["matched_total"].as_u64()?));
    shown.iter().map(|watch| count(watch).expect("a label and a total")).collect()
}

fn outcome(program: &Program, outcome: &str) -> u64 {
    metric(program, &format!("lines_total{{outcome=\"{outcome}\"}}"))
}

/// The records of a body that serde_json can read.
fn records(name: &str) -> Vec<Value> {
    let body = read(&format!("{name}.body"));
    let text = String::from_utf8_lossy(&body).into_owned();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What the application logged, if it is JSON.
fn app(record: &Value) -> Option<Value> {
    serde_json::from_str(record["log"].as_str()?).ok()
}

/// The status of an access line: the first word after the request.
fn status(record: &Value) -> Option<u64> {
    record["log"].as_str()?.split(" HTTP/1.1\" ").nth(1)?.split(' ').next()?.parse().ok()
}

/// What a person would search in.
fn message(record: &Value) -> String {
    let app = app(record);
    let text = app.as_ref().map_or(&record["log"], |app| &app["message"]);
    text.as_str().expect("a text").to_owned()
}

/// The counts that follow from the records alone, without a word of ours about levels of plain text.
fn truth(records: &[Value]) -> Vec<(&'static str, u64)> {
    let count = |fits: &dyn Fn(&Value) -> bool| records.iter().filter(|record| fits(record)).count() as u64;
    let is = |wanted: u64| count(&|record| status(record) == Some(wanted));
    let own = |wanted: &str| count(&|record| app(record).is_some_and(|app| app["level"] == wanted));
    let says = |wanted: &str| count(&|record| message(record).contains(wanted));
    vec![
        ("of_checkout", count(&|record| record["ecs_task_definition"] == "checkout:12")),
        ("of_another_service", count(&|record| record["ecs_task_definition"] != "checkout:12")),
        ("of_prod_eu", count(&|record| record["ecs_cluster"] == "prod-eu")),
        ("of_revision_12", count(&|record| record["ecs_task_definition"] == "checkout:12")),
        (
            "in_app",
            count(&|record| {
                record["container_name"].as_str().is_some_and(|name| name.starts_with("/ecs-checkout-12-app-"))
            }),
        ),
        ("status_any", count(&|record| status(record).is_some())),
        ("status_gte_400", count(&|record| status(record) >= Some(400))),
        ("status_200", is(200)),
        ("status_304", is(304)),
        ("status_404", is(404)),
        ("status_502", is(502)),
        ("own_warn", own("WARN")),
        ("own_info", own("INFO")),
        // An access line's level is that of its status, and a stack trace is an error.
        ("level_error", own("ERROR") + count(&|record| status(record) >= Some(500)) + says("IllegalStateException: ")),
        (
            "level_warn",
            own("WARN") + count(&|record| status(record).is_some_and(|status| (400..500).contains(&status))),
        ),
        ("says_authorized", says("\"authorized\"")),
        ("says_tokyo", says("東京 🚀 é")),
        ("says_backslash", says("C:\\temp\\new \"quoted\" /slash/ \t tab")),
        ("says_trace", says("boom\n\tat com.example")),
        ("says_control", says("control: \u{0} \u{1} \u{1f} \u{7f} end")),
        ("nested_user", count(&|record| app(record).is_some_and(|app| app["user"]["id"].is_number()))),
    ]
}

fn assert_truth(counted: &BTreeMap<String, u64>, truth: &[(&'static str, u64)], name: &str) {
    for (label, wanted) in truth {
        assert_eq!(counted.get(*label), Some(wanted), "{name}: {label}");
    }
}

#[test]
fn the_same_records_give_the_same_counts_in_every_form_that_fluent_bit_sends_them_in() {
    let truth = truth(&records("json_lines"));
    let of = |label: &str| truth.iter().find(|(l, _)| *l == label).map(|(_, count)| *count);
    assert_eq!(
        (of("of_checkout"), of("in_app"), of("status_any"), of("status_gte_400")),
        (Some(22), Some(22), Some(6), Some(4))
    );
    let mut first: Option<BTreeMap<String, u64>> = None;
    for name in FORMS {
        let program = start(&config());
        send(&program, name);
        let counted = counts(&program);
        assert_truth(&counted, &truth, name);
        // Levels of plain text are our own reading; it is the same in every form.
        assert_eq!(&counted, first.get_or_insert_with(|| counted.clone()), "{name}");
        assert_eq!((outcome(&program, "matched"), outcome(&program, "rejected")), (22, 0), "{name}");
        assert_eq!(metric(&program, "service_lines_total{cluster=\"prod-eu\",service=\"checkout\"}"), 22, "{name}");
    }
}

#[test]
fn eighty_five_records_count_the_same_plain_and_compressed() {
    let truth = truth(&records("json_lines.85_records"));
    for name in ["json_lines.85_records", "json_lines.85_records.gzip"] {
        let program = start(&config());
        send(&program, name);
        assert_truth(&counts(&program), &truth, name);
        assert_eq!((outcome(&program, "matched"), outcome(&program, "rejected")), (85, 0), "{name}");
    }
}

#[test]
fn records_with_odd_values_are_lines_like_others_and_none_is_rejected() {
    let program = start(&config());
    send(&program, "json_lines.odd_values");
    assert_eq!((outcome(&program, "matched") + outcome(&program, "unmatched"), outcome(&program, "rejected")), (5, 0));
    assert_eq!((matched_total(&program, "of_another_service"), outcome(&program, "blank")), (5, 0));
    let asked = captured("json_lines.odd_values").header("Accept", "application/json");
    let answer = Connection::open(program.ingest_addr()).send(&asked).json();
    assert_eq!(
        (&answer["lines"], answer["rejected"].as_object().map(serde_json::Map::len)),
        (&5.into(), Some(0)),
        "{answer}"
    );
}

#[test]
fn a_chunk_that_fluent_bit_sent_three_times_is_one_batch() {
    let program = start(&config());
    for attempt in 1..=3 {
        send(&program, &format!("json_lines.gzip.retry.{attempt}"));
    }
    assert_truth(&counts(&program), &truth(&records("json_lines")), "three attempts");
    assert_eq!(metric(&program, "batches_total{answer=\"counted\"}"), 1);
    assert_eq!(metric(&program, "batches_total{answer=\"repeat\"}"), 2);
    assert_eq!((outcome(&program, "matched"), outcome(&program, "repeat")), (22, 44));
}

#[test]
fn the_tag_in_a_header_names_the_container() {
    let program = start(&config());
    let names = ["json_lines.two_tags.1", "json_lines.two_tags.2"];
    for name in names {
        send(&program, name);
    }
    let tagged =
        |name: &str| String::from_utf8_lossy(&read(&format!("{name}.headers"))).contains("X-Tag: app-firelens-");
    let of_app: u64 = names.iter().filter(|name| tagged(name)).map(|name| records(name).len() as u64).sum();
    assert_eq!((matched_total(&program, "of_checkout"), of_app), (6, 3));
    assert_eq!(matched_total(&program, "in_app"), of_app);
}

#[test]
fn lines_of_a_docker_log_file_and_of_another_fluent_bit_are_their_services() {
    for (name, in_app) in [("json_lines.tail_docker_json", 0), ("json_lines.forward_chain", 12)] {
        let program = start(&config());
        send(&program, name);
        assert_eq!((outcome(&program, "matched"), outcome(&program, "rejected")), (12, 0), "{name}");
        assert_eq!((matched_total(&program, "of_checkout"), matched_total(&program, "in_app")), (12, in_app), "{name}");
    }
    // What stands in a docker log file is what was logged, and a line break.
    let program = start(&config());
    send(&program, "json_lines.tail_docker_json");
    let counted = counts(&program);
    for (label, wanted) in truth(&records("json_lines.tail_docker_json")) {
        if label != "in_app" {
            assert_eq!(counted.get(label), Some(&wanted), "{label}");
        }
    }
}

#[test]
fn what_newer_fluent_bits_add_to_a_record_is_no_part_of_it() {
    let program = start(&config());
    send(&program, "json_lines.metadata");
    assert_eq!((matched_total(&program, "of_another_service"), outcome(&program, "rejected")), (1, 0));
    assert_eq!(matched_total(&program, "level_info"), 1);
}
