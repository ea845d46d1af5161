//! `emberwatch replay`: files in, a report out, the same each time; the escalations are those of a receiver that gets
//! the same lines; and nothing that a file holds ends it or fills the memory.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::story::{LABEL, SOON, config, now, start};
use crate::world::eventually;
use crate::world::http::{get_json, post_ingest};

/// 2025-10-01T08:12:00Z.
const BEGIN: i64 = 1_759_306_320;

struct Bench {
    home: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { home: TempDir::new().expect("a folder") }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.home.path().join("logs").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        let mut input = child.stdin.take().expect("a pipe");
        let bytes = stdin.to_vec();
        let writing = std::thread::spawn(move || input.write_all(&bytes).unwrap_or_default());
        let output = child.wait_with_output().expect("it ends");
        writing.join().expect("written");
        output
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emberwatch"));
        command.arg("replay").args(arguments).current_dir(self.home.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EMBERWATCH_")) {
            command.env_remove(name);
        }
        command
    }

    /// The report of a run that ended well.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.text(&all)).expect("JSON")
    }
}

fn at(second: i64) -> String {
    let of_day = 8 * 3600 + 12 * 60 + second;
    format!("01/Oct/2025:{:02}:{:02}:{:02} +0000", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// An nginx access log: a failing half minute in the middle of a quiet quarter of an hour.
fn nginx() -> String {
    let line = |second: i64, status: u16| {
        format!(
            "10.0.0.{} - - [{}] \"GET /pay/{second} HTTP/1.1\" {status} 17 \"-\" \"curl\"\n",
            second % 200,
            at(second)
        )
    };
    (0..900).map(|second| line(second, if (300..330).contains(&second) { 502 } else { 200 })).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

fn labels(report: &Value) -> Vec<&str> {
    report["escalations"].as_array().expect("a list").iter().filter_map(|e| e["label"].as_str()).collect()
}

#[test]
fn a_plain_access_log_tells_of_its_failing_half_minute_at_its_own_time() {
    let bench = Bench::new();
    let log = bench.file("web.log", nginx());
    let report = bench.json(&[&log]);
    assert_eq!(report["lines"], 900);
    assert_eq!(labels(&report), ["http_5xx_spike"]);
    let told: Vec<(&str, i64)> = report["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| (m["kind"].as_str().unwrap_or_default(), m["at_ms"].as_i64().unwrap_or(0) / 1000 - BEGIN))
        .collect();
    // The tenth comes in second 309; the batch and the settling take three more. Quiet for a minute after its window.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].0 == "opened" && (310..316).contains(&told[0].1), "{told:?}");
    assert!(told[1].0 == "resolved" && (420..460).contains(&told[1].1), "{told:?}");
    let text = bench.text(&[&log]);
    assert!(text.contains("[E1] critical: http_5xx_spike"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn nothing_is_written_and_the_same_input_has_the_same_report() {
    let bench = Bench::new();
    let log = bench.file("web.log", nginx());
    bench.file("app.log", "2025-10-01 08:13:00,123 ERROR cannot reach the index\n".repeat(40));
    let folder = Path::new(&log).parent().expect("a folder").display().to_string();
    for form in [&[folder.as_str()][..], &[folder.as_str(), "--json"]] {
        assert_eq!(bench.text(form), bench.text(form));
    }
    let left: Vec<_> = std::fs::read_dir(bench.home.path()).expect("there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["logs"], "no store, no alerts");
}

#[test]
fn packed_files_folders_and_standard_input_say_the_same() {
    let bench = Bench::new();
    let nginx = nginx();
    let (first, second) = nginx
        .split_at(nginx.match_indices('\n').map(|(at, _)| at + 1).find(|at| *at > nginx.len() / 2).expect("a line"));
    let plain = bench.file("plain/web.log", &nginx);
    let packed = bench.file("gz/web.log.gz", gzip(nginx.as_bytes()));
    let zstd = bench.file("zst/web.log.zst", zstd::encode_all(nginx.as_bytes(), 3).expect("packed"));
    bench.file("rotated/deep/web.log", second);
    let rotated = bench.file("rotated/web.log.1.gz", gzip(first.as_bytes()));
    let rotated = Path::new(&rotated).parent().expect("a folder").display().to_string();
    let known = bench.json(&[&plain]);
    for input in [&packed, &zstd, &rotated] {
        let report = bench.json(&[input]);
        for part in ["lines", "bytes", "escalations", "services", "watches", "outcomes", "kinds", "messages"] {
            assert_eq!(report[part], known[part], "{part} of {input}");
        }
    }
    let piped = bench.run(&["-", "--service", "web", "--json"], &gzip(nginx.as_bytes()));
    let piped: Value = serde_json::from_slice(&piped.stdout).expect("JSON");
    assert_eq!((&piped["escalations"], &piped["services"]), (&known["escalations"], &known["services"]));
}

#[test]
fn the_escalations_are_those_of_a_receiver_that_gets_the_same_lines() {
    let settings = config("settle_seconds = 0", 10, 60);
    let program = start(&settings);
    let bench = Bench::new();
    // Just now, so that nothing is late for the receiver; one second of lines is one request.
    let from = (now() - 40.0).floor();
    let mut all = String::new();
    for second in 0..30 {
        let mut body = String::new();
        for (service, every, status) in [("cart", 2, 502), ("orders", 1, 500), ("search", 5, 503), ("web", 1, 200)] {
            if second % every == 0 {
                body.push_str(&crate::story::access(service, status, [from + f64::from(second) + 0.25]));
            }
        }
        assert_eq!(post_ingest(program.ingest_addr(), body.as_str()).status, 204);
        all.push_str(&body);
    }
    let rules = bench.file("rules.toml", settings.split_at(settings.find("[[watch]]").expect("a rule")).1);
    let log = bench.file("all.ndjson", &all);
    let report = bench.json(&[&log, "--rules", &rules]);
    let told = |list: &Value| {
        let mut told: Vec<Value> = list
            .as_array()
            .expect("a list")
            .iter()
            .filter(|e| e["label"] == LABEL)
            .map(|e| {
                json!([
                    e["service"],
                    e["cluster"],
                    e["count"],
                    e["threshold"],
                    e["crossings"],
                    e["first_ms"],
                    e["last_ms"]
                ])
            })
            .collect();
        told.sort_by_key(Value::to_string);
        told
    };
    let replayed = told(&report["escalations"]);
    assert_eq!(replayed.len(), 2, "{report}");
    eventually("the receiver has told of the same", SOON, || {
        let live = get_json(program.control_addr(), "/escalations");
        let keys = ["service", "count", "threshold"];
        let of = |list: &Value| -> Vec<Value> {
            let mut all: Vec<Value> = list
                .as_array()
                .into_iter()
                .flatten()
                .filter(|e| e["label"] == LABEL)
                .map(|e| keys.iter().map(|key| e[*key].clone()).collect())
                .collect();
            all.sort_by_key(Value::to_string);
            all
        };
        (of(&live["escalations"]) == of(&report["escalations"])).then_some(())
    });
}

#[test]
fn rules_are_tried_on_history_and_the_nearest_miss_is_told() {
    let bench = Bench::new();
    let log = bench.file("web.log", nginx());
    let rule = |threshold: u64| {
        format!(
            "[[watch]]\nlabel = \"pay\"\nmatch = {{ field = \"status\", gte = 500 }}\nthreshold = {threshold}\n\
             window_seconds = 60\nsummary = \"x\"\n"
        )
    };
    let low = bench.file("low.toml", rule(5));
    let high = bench.file("high.toml", rule(31));
    assert_eq!(labels(&bench.json(&[&log, "--rules", &low])), ["pay"]);
    let text = bench.text(&[&log, "--rules", &high]);
    assert!(text.contains("pay: at most 30 of 31 in 60 s (web) at 2025-10-01 08:17:29"), "{text}");
    let json = bench.file("rule.json", r#"{"action":"watch","label":"pay","match":{"field":"status","gte":"500"},"threshold":10,"window_seconds":60,"summary":"x"}"#);
    assert_eq!(labels(&bench.json(&[&log, "--rules", &json, "--builtin"])), ["http_5xx_spike", "pay"]);
    let broken = bench.file("broken.toml", "[[watch]]\nlabel = \"pay\"\n");
    let output = bench.run(&[&log, "--rules", &broken], b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("broken.toml watch[0].match"), "{said}");
}

#[test]
fn lines_outside_since_and_until_are_left_out() {
    let bench = Bench::new();
    let log = bench.file("web.log", nginx());
    let report = bench.json(&[&log, "--since", "2025-10-01T08:13:00Z", "--until", "2025-10-01T08:14:00Z"]);
    assert_eq!((&report["lines"], &report["lines_outside"]), (&json!(61), &json!(839)));
    assert_eq!(bench.run(&[&log, "--since", "soon"], b"").status.code(), Some(2));
}

#[test]
fn what_is_missing_is_named_and_what_is_empty_is_told() {
    let bench = Bench::new();
    let output = bench.run(&["none.log"], b"");
    assert_eq!(output.status.code(), Some(66));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none.log: there is no such file"));
    let empty = bench.file("empty.log", "");
    assert!(bench.text(&[&empty]).contains("Nothing to read"));
    assert_eq!(bench.json(&[&empty])["lines"], 0);
}

#[test]
fn no_bytes_end_it() {
    let bench = Bench::new();
    let nginx = nginx();
    let packed = gzip(nginx.as_bytes());
    let junk: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bench.file("all/a-truncated.gz", &packed[..packed.len() / 2]);
    bench.file("all/b-junk.bin", &junk);
    bench.file("all/c-junk.gz", [&packed[..10], &junk].concat());
    bench.file("all/d-junk.zst", [&[0x28, 0xb5, 0x2f, 0xfd], &junk[..]].concat());
    bench.file(
        "all/e-long.log",
        "2025-10-01 08:12:00 x".to_owned() + &"y".repeat(10 << 20) + "\n2025-10-01 08:12:01 z\n",
    );
    bench.file("all/f-odd.ndjson", b"{\"log\":\"a\"}\n{\"log\":\n[1,2\n{\"log\":\"\xff\xfe\"}\n\0\n{}{}\n");
    bench.file("all/g-xz.log.xz", b"\xfd7zXZ\0\0\x04rest");
    let web = bench.file("all/h-web.log", &nginx);
    let folder = Path::new(&web).parent().expect("a folder").display().to_string();
    let report = bench.json(&[&folder]);
    assert!(labels(&report).contains(&"http_5xx_spike"), "{report}");
    let passed: Vec<&str> =
        report["passed_over"].as_array().expect("a list").iter().filter_map(|p| p["why"].as_str()).collect();
    assert!(passed.iter().any(|why| why.contains("breaks off")), "{passed:?}");
    assert!(passed.iter().any(|why| why.contains("xz -dc")), "{passed:?}");
    assert!(passed.iter().any(|why| why.contains("binary")), "{passed:?}");
    assert_eq!(report["not_understood"]["cut"], 1);
}

#[test]
fn times_out_of_order_and_jumps_make_no_storm_and_no_end() {
    let bench = Bench::new();
    let line = |second: i64| format!("2025-10-01 08:{:02}:{:02} ERROR x\n", 12 + second / 60, second % 60);
    // Ten errors in 1,500 seconds, in no order; and a clock that was wrong once.
    let mut text: String = [0, 600, 120, 1_500, 900, 300, 1_200, 60, 1_320, 1_000].map(line).concat();
    text.push_str("2099-01-01 00:00:00 ERROR x\n");
    text.push_str(&line(1_501));
    let log = bench.file("app.log", text);
    let report = bench.json(&[&log]);
    assert_eq!(report["lines"], 12);
    assert!(!labels(&report).contains(&"error_burst"), "{report}");
    assert_eq!(report["odd_times"][0]["ahead"], 1, "{}", report["odd_times"]);
    assert!(report["last_ms"].as_i64().expect("a time") < (BEGIN + 2_000) * 1000);
}

#[test]
fn lines_without_any_time_are_told_of_and_cross_nothing_but_what_one_line_crosses() {
    let bench = Bench::new();
    let log = bench.file("app.log", "ERROR cannot reach the index\n".repeat(500) + "panic: out of memory\n");
    let report = bench.json(&[&log]);
    let told: Vec<&str> =
        report["messages"].as_array().expect("a list").iter().filter_map(|m| m["label"].as_str()).collect();
    assert_eq!(told, ["fatal"], "{report}");
    assert_eq!(report["not_told_for_lack_of_times"][0]["label"], "error_burst");
    let text = bench.text(&[&log]);
    assert!(text.contains("tells when it was written"), "{text}");
}

#[test]
fn docker_files_traces_and_python_logs_are_read_like_those_of_a_sender() {
    let bench = Bench::new();
    let docker = |second: i64, log: &str| {
        json!({"log": format!("{log}\n"), "stream": "stderr", "time": format!("2025-10-01T08:12:{second:02}.5Z")})
            .to_string()
            + "\n"
    };
    let id = "a".repeat(64);
    let trace = [
        "Traceback (most recent call last):",
        "  File \"/app/pay.py\", line 3, in charge",
        "    raise X()",
        "ValueError: no card",
    ];
    bench.file(
        &format!("in/{id}/{id}-json.log"),
        trace.map(|line| docker(1, line)).concat() + &docker(2, "{\"level\":\"warn\",\"msg\":\"slow\"}"),
    );
    let python = "2025-10-01 08:12:03,123 ERROR pay: failed\nTraceback (most recent call last):\n  File \"/app/pay.py\", line 3, in charge\n    raise X()\nValueError: no card\n2025-10-01 08:12:04,000 INFO pay: done\n";
    let python = bench.file("in/python.log", python);
    let report = bench.json(&[&Path::new(&python).parent().expect("a folder").display().to_string()]);
    assert_eq!(report["lines"], 11);
    assert_eq!(report["outcomes"]["joined"], 7, "{}", report["outcomes"]);
    let levels = &report["levels"];
    assert_eq!((&levels["warn"], &levels["info"]), (&json!(1), &json!(1)), "{levels}");
    let names: Vec<&str> =
        report["services"].as_array().expect("a list").iter().filter_map(|s| s["service"].as_str()).collect();
    assert_eq!(names, ["python", &"a".repeat(12)]);
    assert_eq!(report["first_ms"], (BEGIN + 1) * 1000 + 500);
}

/// Lines that tell their time, most of them errors of one second.
fn timed(second: i64) -> String {
    let line = |n: i64| format!("2025-10-01 08:12:{second:02} ERROR cannot reach shard {n}\n");
    "2025-10-01 08:12:00 INFO up\n".to_owned() + &(0..60).map(line).collect::<String>()
}

fn written_at(path: &str, second: i64) {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs((BEGIN + second).cast_unsigned());
    std::fs::File::options().append(true).open(path).and_then(|file| file.set_modified(at)).expect("written then");
}

#[test]
fn a_file_without_times_hides_no_alert_of_a_service_that_tells_its_own() {
    let bench = Bench::new();
    let real = bench.file("in/real.log", timed(30));
    let bare = bench.file("in/bare.log", "ERROR cannot reach the index\n".repeat(60));
    // Within the very second of the real one.
    written_at(&bare, 30);
    let folder = Path::new(&real).parent().expect("a folder").display().to_string();
    let report = bench.json(&[&folder]);
    let of = |list: &str| -> Vec<(String, String)> {
        let all = report[list].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.filter(|m| m["label"] == "error_burst").map(|m| (text(&m["service"]), text(&m["kind"]))).collect()
    };
    assert_eq!(of("messages"), [("real".to_owned(), "opened".to_owned())], "{report}");
    assert_eq!(of("not_told_for_lack_of_times")[0].0, "bare");
}

#[test]
fn one_line_with_a_time_makes_no_fact_of_the_storm_after_it() {
    let bench = Bench::new();
    let text = "2025-10-01 08:12:00 INFO up\n".to_owned() + &"ERROR cannot reach the index\n".repeat(5_000);
    let log = bench.file("app.log", text);
    let report = bench.json(&[&log]);
    let told = report["messages"].as_array().expect("a list").iter().filter(|m| m["label"] == "error_burst").count();
    assert_eq!((told, &report["not_told_for_lack_of_times"][0]["label"]), (0, &json!("error_burst")), "{report}");
}

#[test]
fn a_time_before_2000_makes_no_window_of_its_own() {
    let bench = Bench::new();
    let line = |date: &str| format!("{{\"date\":\"{date}\",\"level\":\"error\",\"msg\":\"x\"}}\n");
    let text = line("2025-10-01T08:12:00Z") + &line("1970-01-01T00:00:05Z").repeat(40) + &line("2025-10-01T08:12:01Z");
    let report = bench.json(&[&bench.file("app.ndjson", text)]);
    assert_eq!(report["lines"], 42);
    assert_eq!(report["first_ms"], BEGIN * 1000);
    let watches = report["watches"].as_array().expect("a list");
    let burst = watches.iter().find(|watch| watch["label"] == "error_burst").expect("it is built in");
    assert_eq!(burst["matched"], 42, "{burst}");
    assert!(burst["most_at_ms"].as_i64().expect("a time") >= BEGIN * 1000, "{burst}");
    assert_eq!(burst["most_in_a_window"], 2, "the others are late: {burst}");
}

#[test]
fn a_pipe_with_a_name_is_read_and_one_that_is_silent_ends_with_ctrl_c() {
    let bench = Bench::new();
    let log = bench.file("web.log", nginx());
    let pipe = bench.home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("running mkfifo").success());
    let pipe = pipe.display().to_string();
    let start = || bench.command(&[&pipe, "--json"]).stdin(Stdio::null()).spawn().expect("it starts");
    let reading = start();
    std::fs::write(&pipe, nginx()).expect("somebody reads it");
    let report: Value = serde_json::from_slice(&reading.wait_with_output().expect("it ends").stdout).expect("JSON");
    assert_eq!((&report["lines"], labels(&report)), (&json!(900), labels(&bench.json(&[&log]))));

    // Whoever has it open for writing and says nothing.
    let silent = start();
    let writer = std::fs::File::options().write(true).open(&pipe).expect("somebody reads it");
    assert!(Command::new("kill").args(["-INT", &silent.id().to_string()]).status().expect("kill").success());
    let output = silent.wait_with_output().expect("it ends");
    drop(writer);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["interrupted"], &report["unread"]), (&json!(true), &json!(1)), "{report}");
}

/// The most that a run had in memory, in MiB.
fn peak_mib(bench: &Bench, arguments: &[&str]) -> u64 {
    let mut child = bench.command(arguments).stdin(Stdio::null()).spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("it runs").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        peak = peak.max(kib / 1024);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    peak
}

#[test]
fn a_bomb_costs_its_time_and_no_memory() {
    let bench = Bench::new();
    // 300 MB of one line, and 300 MB of short ones, in a few hundred kilobytes.
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let block = vec![b'a'; 1 << 20];
    for _ in 0..300 {
        packed.write_all(&block).expect("packed");
    }
    let one = bench.file("one.log.gz", packed.finish().expect("packed"));
    let lines = b"2025-10-01 08:12:00 INFO all is well\n".repeat(1 << 15);
    let mut packed = zstd::stream::Encoder::new(Vec::new(), 19).expect("packed");
    for _ in 0..250 {
        packed.write_all(&lines).expect("packed");
    }
    let many = bench.file("many.log.zst", packed.finish().expect("packed"));
    // Nothing but ends of lines: each is a line to be known of, with more than the byte that it is.
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let block = vec![b'\n'; 1 << 20];
    for _ in 0..8 {
        packed.write_all(&block).expect("packed");
    }
    let blank = bench.file("blank.log.gz", packed.finish().expect("packed"));
    let mut packed = zstd::stream::Encoder::new(Vec::new(), 3).expect("packed");
    for _ in 0..4 {
        packed.write_all(&b"all is well\n".repeat(1 << 16)).expect("packed");
    }
    let timeless = bench.file("timeless.log.zst", packed.finish().expect("packed"));
    for (file, name) in [(one, "one line"), (many, "many lines"), (blank, "no line"), (timeless, "no time")] {
        let peak = peak_mib(&bench, &[&file, "--quiet"]);
        assert!((1..120).contains(&peak), "{name}: {peak} MiB");
    }
}
