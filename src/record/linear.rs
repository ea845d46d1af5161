//! Every reader of attackers' text: random bytes and texts made against it never make it panic, and twice the
//! text is twice the work, counted in steps, up to the longest line there may be by default.

use proptest::prelude::*;
use serde_json::json;

use super::trace::exception::Exception;
use super::trace::{self, State};
use super::{Delivery, Derived, Piece, Reader, access, colours, level, logfmt, stamp, steps, time, wrapped};

/// Everything that is read of a text on its own.
fn read_text(text: &[u8]) {
    if let Some(access) = access::parse(text) {
        stamp::of_access(access.time);
        access.is_health_check();
    }
    logfmt::get(text, "missing");
    stamp::of_text(text);
    time::from_text(text);
    wrapped::containerd(text);
    wrapped::syslog(text);
    level::Level::of_text(text);
    level::Level::from_name(text);
    level::is_klog(text);
    access::w3c::is_directive(text);
    colours::strip(text, &mut Vec::new());
    super::number_of(text);
    Exception::of(text);
    let mut state = State::Log;
    for line in text.split(|b| *b == b'\n') {
        trace::opening(line);
        state = state.next(line).unwrap_or(State::Thrown);
    }
}

/// Everything that a rule or a person may ask of a line.
fn read_line(line: &[u8], cut: bool) {
    let mut reader = Reader::default();
    reader.read(line, cut, Delivery::default(), |piece| {
        let Piece::Record(record) = piece else { return };
        for name in [Derived::Service, Derived::Level, Derived::Message, Derived::Time, Derived::Source, Derived::Host]
        {
            record.derived(name);
        }
        for name in ["status", "path", "agent", "exception.frame", "a.b.c.d", "req.headers.host", "kubernetes.labels.x"]
        {
            record.field(name);
        }
        record.stated_time_ms();
        record.is_continuation();
        record.is_own(record.service());
        super::format::Format::of(record);
    });
}

/// In `log`, in docker's form within it, and as a field of an object in it.
fn read_everywhere(text: &[u8]) {
    read_text(text);
    let text = String::from_utf8_lossy(text);
    read_line(json!({"log": text}).to_string().as_bytes(), false);
    let file = json!({"log": text, "stream": "stdout", "time": "2025-10-01T08:12:03Z"}).to_string();
    read_line(json!({"log": file}).to_string().as_bytes(), false);
    read_line(
        json!({"log": json!({"msg": text, "stack": text, "a": {"b": text}}).to_string()}).to_string().as_bytes(),
        false,
    );
    read_line(text.as_bytes(), false);
    read_line(text.as_bytes(), true);
}

/// What stands in front, what is repeated, what stands behind.
const TEXTS: [(&str, &str, &str); 74] = [
    ("", "\\", ""),
    ("", "\"", ""),
    ("", "\\\"", ""),
    ("", "{", ""),
    ("", "[", ""),
    ("", "{\"a\":", ""),
    ("", "[{\"a\":[\"", ""),
    ("", "{}", ""),
    ("[", "{},", "]"),
    ("", "{\"log\":\"{\\\"a\\\":[\\\"b\"}", ""),
    ("", "{\"log\":\"{1:[\\\"\"}", ""),
    ("{", "\"a\":1,", "\"b\":2}"),
    ("{\"a\":{\"b\":{\"c\":{", "\"x\":{},", "\"d\":1}}}}"),
    ("{\"kubernetes\":{\"labels\":{", "\"x\":\"\",", "\"y\":1}}}"),
    ("{\"resourceLogs\":[", "{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":1}]}]},", "7]}"),
    (
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":[",
        "{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}},",
        "7]},\"scopeLogs\":[{\"logRecords\":[{}]}]}]}",
    ),
    ("{\"resourceLogs\":[{\"scopeLogs\":[", "{\"logRecords\":[{}]},", "7]}]}"),
    (
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[",
        "{\"severityText\":\"x\"},",
        "{\"severityText\":\"error\"}]}]}]}",
    ),
    ("{\"log\":\"", "\\\\\\\"", "\",\"stream\":\"stdout\",\"time\":\"t\"}"),
    ("", "\\u00e9", ""),
    ("", " ", ""),
    ("", "\t", "x"),
    ("", "\n", ""),
    ("", "a\n", ""),
    ("", "\u{1b}", ""),
    ("", "\u{1b}[", ""),
    ("", "\u{1b}[31m", ""),
    ("\u{1b}[", "1;", ""),
    ("", "1", ""),
    ("", "2025-10-01 08:12:03 ", ""),
    ("2025-10-01 08:12:03", ".", ""),
    ("2025-10-01 08:12:03 10.0.0.5 GET ", "/a ", ""),
    ("2025-10-01 08:12:03 10.0.0.5 GET ", "\"a ", ""),
    ("2025-10-01 08:12:03 10.0.0.5 GET /a - 80 - 10.0.0.9 ", "\"", ""),
    ("2025-10-01 08:12:03 ", "1.", ""),
    ("#Fields: ", "date ", ""),
    ("10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET ", "/ ", "\" 200 5"),
    ("10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"", "\\\"", ""),
    ("10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 5 ", "\"-\" ", ""),
    ("", "- ", ""),
    ("GET ", "/", " 200 1ms"),
    ("GET /x ", "200 ", ""),
    ("GET /x 200 1", "0", " ms"),
    ("INFO: 10.0.0.1:1 - ", "\"", ""),
    ("INFO:", " ", "x"),
    ("[GIN] ", "| ", ""),
    ("[pid: ", "] (", ""),
    ("[pid: 1] 10.0.0.1 ", "() {} ", ""),
    ("[2025-10-01T08:12:04Z] \"GET / HTTP/2\" 200 ", "- ", ""),
    ("[2025-10-01T08:12:04Z] ", "\"", ""),
    ("https 2025-10-01T08:12:04Z app/a ", "x ", ""),
    ("https 2025-10-01T08:12:04Z app/a 1:1 1:1 0 0 0 200 200 0 1 \"GET ", "://", " HTTP/1.1\""),
    ("10.0.0.1:1 [06/Feb/2025:12:14:14.655] f b/s ", "1/", " 200 1"),
    ("10.0.0.1:1 [06/Feb/2025:12:14:14.655] f b/s 1/1/1/1/1 200 1 ", "{} ", ""),
    ("a=1 ", "b=2 ", ""),
    ("a=1 b=\"", "\\\"", ""),
    ("a=1 b=", "c=", ""),
    ("a=1 ", "x ", ""),
    ("<34>1 ", "- ", "["),
    ("<34>1 2025-10-01T08:12:03Z a b c d [", "] [", ""),
    ("<34>", "1", ""),
    ("Oct  1 08:12:03 ", "a ", ""),
    ("E0101 12:00:00.", "0", "] x"),
    ("Traceback (most recent call last):\n", "  File \"/a.py\", line 1, in f\n", "E: x"),
    ("Traceback (most recent call last):\n", "Traceback (most recent call last):\n", ""),
    ("a.b.FailedException: x\n", "\tat a.B.c(B.java:1)\n", ""),
    ("a.b.FailedException: x\n", "Caused by: a.b.C: ", ""),
    ("", "a::", "b"),
    ("Uncaught ", "a.", "Error: x"),
    ("thread 'main' panicked at '", "', ", "src/main.rs:4:5"),
    ("goroutine 1 [running]:\n", "main.f(0x1)\n\t/src/a.go:5 +0x1\n", ""),
    ("exception 'a' with message '", "' in ", ""),
    ("a.rb:1:in 'x': ", " (", ")"),
    ("\tfrom a.rb:1", ":in ", ""),
];

#[test]
fn twice_the_text_is_no_more_than_twice_the_work() {
    // Quotes within docker's form within `log` take eight bytes each: the longest line by default.
    const MOST: usize = 128 * 1024;
    let mut wrong = Vec::new();
    for (before, again, after) in TEXTS {
        let of = |bytes: usize| format!("{before}{}{after}", again.repeat(bytes / again.len()));
        let work = |bytes: usize| steps::of(|| read_everywhere(of(bytes).as_bytes()));
        let (half, whole) = (work(MOST / 2), work(MOST));
        // What is the same for both, and what a few bytes more or less of a window are worth.
        if whole > half * 22 / 10 + 20_000 {
            wrong.push(format!("{before:.60}({again})*{after:.20}: {half}, then {whole}"));
        }
        // Every reader and every question together, six times over.
        if whole > 80 * MOST as u64 {
            wrong.push(format!("{before:.60}({again})*{after:.20}: {} steps a byte", whole / MOST as u64));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #[test]
    fn what_was_made_against_a_reader_does_not_make_it_panic(
        place in 0..TEXTS.len(), times in 0usize..40, cut in 0usize..200,
        noise in prop::collection::vec((0usize..200, any::<u8>()), 0..6),
    ) {
        let (before, again, after) = TEXTS[place];
        let mut text = format!("{before}{}{after}", again.repeat(times)).into_bytes();
        for (at, byte) in noise {
            let length = text.len().max(1);
            if let Some(slot) = text.get_mut(at % length) { *slot = byte; }
        }
        read_everywhere(&text);
        text.truncate(cut);
        read_everywhere(&text);
    }

    #[test]
    fn random_bytes_do_not_either(text in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everywhere(&text);
    }

    #[test]
    fn words_of_all_dialects_in_any_order_do_not_either(words in prop::collection::vec(0..TEXTS.len() * 3, 0..12)) {
        let text: String = words.iter().map(|n| { let (a, b, c) = TEXTS[n / 3]; [a, b, c][n % 3] }).collect();
        read_everywhere(text.as_bytes());
    }
}
