//! The bytes on the wire: what a sender writes, whole, broken, late or hostile, and what it is answered.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::control::{Scrape, counting, matched, put, serving};
use crate::world::eventually;
use crate::world::http::{Connection, Request, Response, get, gzip, post_ingest};
use crate::world::program::Program;

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// Three lines: two that the watch `hit` of [`start`] matches, one that it does not.
const SMALL: &str = "{\"log\":\"hit one\"}\n{\"log\":\"miss\"}\r\n{\"log\":\"hit \\u0032\"}\n";

fn start(config: &str) -> Program {
    let program = serving(config);
    put(program.control_addr(), &counting("hit", &json!({"contains": "hit"})));
    program
}

fn hits(program: &Program) -> u64 {
    matched(program.control_addr(), "hit")
}

/// As a person asks: with counts in the answer.
fn counts(address: SocketAddr, body: impl Into<Vec<u8>>) -> Value {
    counted(&Connection::open(address).send(&asking(body)))
}

fn asking(body: impl Into<Vec<u8>>) -> Request {
    Request::bare("POST", "/ingest").header("Accept", "application/json").body(body)
}

fn counted(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Of an answer to a person, the counts that are not zero.
fn outcomes(answer: &Value) -> BTreeMap<String, u64> {
    let simple = ["matched", "unmatched", "joined", "blank", "own"]
        .map(|name| (name.to_owned(), answer[name].as_u64().expect(name)));
    let rejected = answer["rejected"].as_object().expect("rejected");
    let rejected = rejected.iter().map(|(reason, n)| (reason.clone(), n.as_u64().expect("a count")));
    let all: BTreeMap<String, u64> = simple.into_iter().chain(rejected).filter(|(_, n)| *n > 0).collect();
    assert_eq!(all.values().sum::<u64>(), answer["lines"].as_u64().expect("lines"), "every line ends once: {answer}");
    all
}

fn of(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

// === what counts ===

#[test]
fn a_counted_batch_is_answered_204_without_a_body_in_few_bytes() {
    let program = start("");
    let ingest = program.ingest_addr();
    let mut connection = Connection::open(ingest);
    for body in ["", "\n", SMALL, "not json\n", "[]", "{\"log\":\"hit\"}"] {
        for method in ["POST", "PUT"] {
            let answer = connection.send(&Request::bare(method, "/ingest").header("Accept", "*/*").body(body));
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{method} {body:?}");
            assert!(answer.raw_len < 4096, "{} bytes for {body:?}", answer.raw_len);
            assert_eq!(answer.header("Content-Length").unwrap_or("0"), "0");
            assert_eq!(answer.header("Transfer-Encoding"), None);
            assert_ne!(answer.header("Connection"), Some("close"), "the connection is kept for the next chunk");
        }
    }
    assert_eq!(hits(&program), 2 * 3);
}

#[test]
fn who_accepts_json_gets_the_counts_of_the_batch() {
    let program = start("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut rule = counting("fires", &json!({"contains": "hit"}));
    rule["threshold"] = json!(2);
    put(control, &rule);
    let body = format!("{SMALL}\nno json\n{{\"a\":}}\n");
    let answer = Connection::open(ingest).send(&asking(body));
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(
        counted(&answer),
        json!({
            "lines": 6, "matched": 2, "unmatched": 1, "joined": 0, "blank": 1, "own": 0,
            "rejected": {"not_an_object": 1, "syntax": 1}, "repeat": false, "crossed": ["fires"],
        })
    );
    // Equal bodies of someone who accepts anything at all count every time.
    for n in 2..5 {
        assert_eq!(post_ingest(ingest, SMALL).status, 204);
        assert_eq!(hits(&program), 2 * n);
    }
}

#[test]
fn every_oddity_at_the_edges_of_a_body_is_counted_as_what_it_is() {
    let program = start("");
    let ingest = program.ingest_addr();
    let hit = "{\"log\":\"hit\"}";
    let cases: Vec<(String, BTreeMap<String, u64>)> = vec![
        (String::new(), of(&[])),
        ("\n\n\n".into(), of(&[("blank", 3)])),
        (" \t\r\n".into(), of(&[("blank", 1)])),
        ("[]".into(), of(&[("blank", 1)])),
        ("[ ]\n".into(), of(&[("blank", 1)])),
        (format!("\u{feff}{hit}\n"), of(&[("matched", 1)])),
        ("\u{feff}".into(), of(&[("blank", 1)])),
        (format!("{hit}\r\n\r\n{hit}\r\n"), of(&[("matched", 2), ("blank", 1)])),
        (hit.into(), of(&[("matched", 1)])),
        (format!("{hit}{hit}\n"), of(&[("matched", 2)])),
        (format!("{hit} {hit}"), of(&[("matched", 2)])),
        (format!("[{hit},{hit}]"), of(&[("matched", 2)])),
        (format!("[{hit},7,{hit}]\n"), of(&[("matched", 2), ("not_an_object", 1)])),
        (format!("{hit}\nrest"), of(&[("matched", 1), ("not_an_object", 1)])),
        (format!("{hit}x\n{hit}"), of(&[("matched", 2), ("not_an_object", 1)])),
        ("{}\n".into(), of(&[("unmatched", 1)])),
        ("{\"log\":\"hit\",\"n\":nan,\"m\":-inf,7:1}\n".into(), of(&[("matched", 1)])),
        ("{\"log\":\"hit\u{1} raw\ttab\"}\n".into(), of(&[("matched", 1)])),
    ];
    for (body, expected) in cases {
        assert_eq!(outcomes(&counts(ingest, body.clone())), expected, "{body:?}");
    }
    let bad_utf8 = b"{\"log\":\"hit \xff\xfe\"}\n".to_vec();
    assert_eq!(outcomes(&counts(ingest, bad_utf8)), of(&[("matched", 1)]));
}

#[test]
fn good_lines_beside_bad_ones_count_and_each_bad_one_has_its_reason() {
    let program = start("");
    let ingest = program.ingest_addr();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let bad = [
        ("plain text", "not_an_object"),
        ("42", "not_an_object"),
        ("{\"log\":\"hit", "unterminated"),
        ("{\"log\":\"hit\"", "unterminated"),
        ("{\"log\":\"hit\",}", "syntax"),
        ("{\"log\" \"hit\"}", "syntax"),
        ("{'log':'hit'}", "syntax"),
        ("[{\"log\":1},", "unterminated"),
        (deep.as_str(), "too_deep"),
    ];
    let good = "{\"log\":\"hit\"}\n";
    let mut body = good.to_owned();
    let mut expected = BTreeMap::from([("matched".to_owned(), 1)]);
    for (line, reason) in bad {
        body += &format!("{line}\n{good}");
        *expected.entry(reason.to_owned()).or_default() += 1;
        *expected.entry("matched".to_owned()).or_default() += 1;
        // The element before the fault is a record of its own.
        if line.starts_with('[') {
            *expected.entry("unmatched".to_owned()).or_default() += 1;
        }
    }
    assert_eq!(outcomes(&counts(ingest, body)), expected);
    let scrape = Scrape::of(program.control_addr());
    let by_reason: BTreeMap<String, u64> =
        expected.into_iter().filter(|(name, _)| !["matched", "unmatched"].contains(&name.as_str())).collect();
    assert_eq!(scrape.rejected(), by_reason);
    assert_eq!(scrape.lines("rejected"), bad.len() as u64);
}

/// What a line of the collection of odd ones is to become: `record` or `blank`, or the reason it is rejected for.
fn decision(label: &Value) -> BTreeMap<String, u64> {
    let name = label["decision"].as_str().expect("a decision");
    of(&[(name, label["count"].as_u64().unwrap_or(1))])
}

#[test]
fn every_odd_line_of_the_collection_becomes_what_its_label_decides_and_its_neighbours_count() {
    let program = serving("builtin_watches = true\n");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    put(control, &counting("neighbour", &json!({"contains": "a sound neighbour"})));
    let data = include_bytes!("../data/malformed.ndjson");
    let lines: Vec<&[u8]> = data.split_inclusive(|b| *b == b'\n').collect();
    let labels: Vec<Value> = include_str!("../data/malformed.labels.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a label"))
        .collect();
    assert_eq!((lines.len(), labels.len()), (53, 53));
    for (n, label) in (1..).zip(&labels) {
        assert_eq!(label["line"], json!(n), "one label a line, in order");
        assert!(["what", "why"].iter().all(|key| label[*key].as_str().is_some_and(|text| !text.is_empty())), "{label}");
    }
    let as_records = |answer: &Value| {
        let mut seen = outcomes(answer);
        let records: u64 = ["matched", "unmatched", "joined", "own"].iter().filter_map(|name| seen.remove(*name)).sum();
        if records > 0 {
            seen.insert("record".to_owned(), records);
        }
        seen
    };
    // Of the same container and stream as the odd lines that have one.
    let sound = String::from_utf8_lossy(lines[0]).replace("\"fine\"", "\"a sound neighbour\"");
    let mut wrong = Vec::new();
    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    for (label, line) in labels.iter().zip(&lines) {
        let expected = decision(label);
        let alone = as_records(&counts(ingest, *line));
        let before = matched(control, "neighbour");
        let mut among = as_records(&counts(ingest, [sound.as_bytes(), line, sound.as_bytes()].concat()));
        let neighbours = matched(control, "neighbour") - before;
        let records = among.remove("record").unwrap_or_default() - 2;
        if records > 0 {
            among.insert("record".to_owned(), records);
        }
        if alone != expected || among != expected || neighbours != 2 {
            wrong.push(format!("{label}: alone {alone:?}, among others {among:?}, {neighbours} neighbours"));
        }
        for (name, n) in expected {
            *total.entry(name).or_default() += n;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let before = Scrape::of(control);
    assert_eq!(before.all_lines(), 2 * (53 + 2) + 2 * 53);
    // All at once: no line spoils another.
    assert_eq!(as_records(&counts(ingest, data.as_slice())), total);
    let after = Scrape::of(control);
    assert_eq!(after.all_lines() - before.all_lines(), 53 + 2);
    assert_eq!(after.sum("rejected_lines_total"), after.lines("rejected"));
}

// === how a body comes ===

#[test]
fn a_body_cut_at_any_place_and_sent_byte_by_byte_counts_the_same() {
    let program = start("");
    let ingest = program.ingest_addr();
    let whole = counts(ingest, SMALL);
    assert_eq!(outcomes(&whole), of(&[("matched", 2), ("unmatched", 1)]));
    let host = ingest.to_string();
    // A body in chunks ends its connection: see `framing`.
    let exchange = |bytes: &[u8]| {
        let mut connection = Connection::open(ingest);
        connection.write(bytes).expect("sending");
        counted(&connection.read().expect("an answer"))
    };
    // Chunks become frames of their own, so each cut is really made.
    let head = asking("").header("Transfer-Encoding", "chunked").head_bytes(&host);
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    for cut in 1..SMALL.len() {
        let (first, second) = SMALL.as_bytes().split_at(cut);
        let body = [head.as_slice(), &chunk(first), &chunk(second), b"0\r\n\r\n"].concat();
        assert_eq!(exchange(&body), whole, "cut at {cut}");
    }
    for chunk_bytes in [1, 2, 7, 1000] {
        let answer = Connection::open(ingest).send(&asking(SMALL).chunked(chunk_bytes));
        assert_eq!(counted(&answer), whole, "chunks of {chunk_bytes}");
    }
    // One write for each byte, head and all.
    let mut connection = Connection::open(ingest);
    for request in [asking(SMALL), asking(SMALL).gzip()] {
        for byte in [request.head_bytes(&host), request.body_bytes()].concat() {
            connection.write(&[byte]).expect("sending a byte");
        }
        assert_eq!(counted(&connection.read().expect("an answer")), whole);
    }
    // Compressed, and cut at any place.
    let packed = gzip(SMALL.as_bytes());
    let head = asking("").header("Content-Encoding", "gzip").header("Transfer-Encoding", "chunked").head_bytes(&host);
    for cut in 1..packed.len() {
        let (first, second) = packed.split_at(cut);
        let body = [head.as_slice(), &chunk(first), &chunk(second), b"0\r\n\r\n"].concat();
        assert_eq!(exchange(&body), whole, "compressed, cut at {cut}");
    }
}

#[test]
fn a_compressed_body_of_one_member_or_of_several_counts_like_the_plain_one() {
    let program = start("");
    let ingest = program.ingest_addr();
    let whole = counts(ingest, SMALL);
    let cut = SMALL.len() / 2;
    let several = [gzip(&SMALL.as_bytes()[..cut]), gzip(b""), gzip(&SMALL.as_bytes()[cut..])].concat();
    for encoding in ["gzip", "GZIP", "x-gzip", " gzip "] {
        for body in [gzip(SMALL.as_bytes()), several.clone()] {
            let request = asking(body).header("Content-Encoding", encoding);
            assert_eq!(counted(&Connection::open(ingest).send(&request)), whole, "{encoding}");
        }
    }
    let request = asking(SMALL).header("Content-Encoding", "identity");
    assert_eq!(counted(&Connection::open(ingest).send(&request)), whole);
    let empty = asking(gzip(b"")).header("Content-Encoding", "gzip");
    assert_eq!(outcomes(&counted(&Connection::open(ingest).send(&empty))), of(&[]));
}

#[test]
fn the_bytes_decide_whatever_content_type_is_claimed_or_claimed_twice() {
    let program = start("");
    let ingest = program.ingest_addr();
    let expected = of(&[("matched", 2), ("unmatched", 1)]);
    for kind in ["application/json", "application/x-ndjson", "text/plain; charset=utf-8", "application/msgpack", ""] {
        let twice = asking(SMALL).header("Content-Type", kind).header("Content-Type", "application/json");
        assert_eq!(outcomes(&counted(&Connection::open(ingest).send(&twice))), expected, "{kind:?}");
    }
}

#[test]
fn a_line_of_three_mebibytes_is_matched_on_its_head_and_its_neighbours_are_whole() {
    let program = start("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    put(
        control,
        &counting("head", &json!({"all": [{"field": "service", "eq": "big"}, {"field": "level", "eq": "error"}]})),
    );
    put(control, &counting("tail", &json!({"contains": "TAIL"})));
    put(control, &counting("early", &json!({"contains": "EARLY"})));
    let filler = "x".repeat(3 * MIB);
    let neighbour = "{\"log\":\"hit\"}\n";
    // The cut falls into a text, into a JSON text within `log`, and into a nested object.
    let long = [
        format!("{{\"ecs_task_definition\":\"big:1\",\"log\":\"[ERROR] EARLY {filler} TAIL\"}}\n"),
        format!(
            "{{\"ecs_task_definition\":\"big:1\",\"log\":\"{{\\\"level\\\":\\\"error\\\",\\\"msg\\\":\\\"EARLY {filler} TAIL\\\"}}\"}}\n"
        ),
        format!(
            "{{\"ecs_task_definition\":\"big:1\",\"level\":\"error\",\"message\":\"EARLY\",\"o\":{{\"a\":\"{filler}\"}},\"log2\":\"TAIL\"}}\n"
        ),
    ];
    for (n, line) in (1..).zip(&long) {
        for chunked in [false, true] {
            let request = asking(format!("{neighbour}{line}{neighbour}"));
            let request = if chunked { request.chunked(100_000) } else { request };
            let answer = counted(&Connection::open(ingest).send(&request));
            assert_eq!(outcomes(&answer), of(&[("matched", 3)]), "line {n}: the head is a record like another");
        }
        assert_eq!((matched(control, "head"), matched(control, "early")), (2 * n, 2 * n), "line {n}");
    }
    assert_eq!((matched(control, "tail"), hits(&program)), (0, 2 * 2 * 3));
    let scrape = Scrape::of(control);
    assert_eq!(scrape.get("cut_lines_total"), 2 * 3);
    assert_eq!(scrape.all_lines(), 3 * 2 * 3);
}

// === what is refused ===

/// Sends all of it, whatever comes back meanwhile, and only then reads: as Fluent Bit does.
fn write_all_then_read(address: SocketAddr, request: &Request) -> Response {
    let mut connection = Connection::open(address);
    let host = connection.host().to_owned();
    connection.write(&request.head_bytes(&host)).expect("the head goes out");
    connection.write(&request.body_bytes()).expect("the body goes out, whatever becomes of it");
    connection.read().expect("the answer can be read: no reset")
}

fn error_of(answer: &Response) -> (u16, String) {
    assert!(answer.raw_len < 4096);
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn an_unknown_content_encoding_is_answered_415_after_the_body_was_taken() {
    let program = start("");
    let body = SMALL.repeat(5 * MIB / SMALL.len());
    let request = Request::bare("POST", "/ingest").header("Content-Encoding", "br\"").body(body);
    for request in [request.clone(), request.chunked(65_536)] {
        let answer = write_all_then_read(program.ingest_addr(), &request);
        assert_eq!(error_of(&answer), (415, "unknown_encoding".to_owned()));
        assert!(answer.text().contains("br"), "{}", answer.text());
    }
    let scrape = Scrape::of(program.control_addr());
    assert_eq!((hits(&program), scrape.all_lines()), (0, 0));
    assert_eq!(scrape.get("client_will_drop_total{status=\"415\"}"), 2);
    assert_eq!(scrape.get("batches_total{answer=\"unknown_encoding\"}"), 2);
    program.wait_stderr(|line| line.contains("a sender will drop a chunk") && line.contains("415"));
}

#[test]
fn a_body_over_the_encoded_limit_is_answered_413_and_nothing_of_it_counts() {
    let program = start("[server]\nmax_encoded_bytes = 1048576\n");
    let body = SMALL.repeat(5 * MIB / SMALL.len());
    let request = Request::bare("POST", "/ingest").body(body);
    for request in [request.clone(), request.chunked(65_536)] {
        let answer = write_all_then_read(program.ingest_addr(), &request);
        assert_eq!(error_of(&answer), (413, "too_large".to_owned()));
        assert!(answer.text().contains("1048576 bytes (server.max_encoded_bytes)"), "{}", answer.text());
    }
    assert_eq!(hits(&program), 0);
    let scrape = Scrape::of(program.control_addr());
    assert_eq!((scrape.lines("matched"), scrape.lines("unmatched"), scrape.lines("rejected")), (0, 0, 0));
    assert_eq!(scrape.get("client_will_drop_total{status=\"413\"}"), 2);
    // One byte less than too much is taken.
    let mut fits = SMALL.repeat(MIB / SMALL.len());
    fits.push_str(&" ".repeat(MIB - fits.len()));
    let lines = counts(program.ingest_addr(), fits.clone());
    assert_eq!(lines["matched"], 2 * (MIB / SMALL.len()));
    let over = write_all_then_read(program.ingest_addr(), &asking(format!("{fits} ")));
    assert_eq!(over.status, 413);
}

#[test]
fn the_lines_of_a_body_refused_halfway_end_as_aborted() {
    let program = start("[server]\nmax_encoded_bytes = 1048576\n");
    let body = SMALL.repeat(2 * MIB / SMALL.len());
    let answer =
        write_all_then_read(program.ingest_addr(), &Request::bare("POST", "/ingest").body(body).chunked(65_536));
    assert_eq!(answer.status, 413);
    let scrape = Scrape::of(program.control_addr());
    assert!(scrape.lines("aborted") > 0, "lines that were read end in an outcome: every line read ends in exactly one");
    assert_eq!(scrape.all_lines(), scrape.lines("aborted"));
}

/// `bytes` of `piece` over and over, compressed.
fn bomb(piece: &[u8], bytes: usize) -> Vec<u8> {
    let block = piece.repeat(MIB / piece.len());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for _ in 0..bytes.div_ceil(block.len()) {
        encoder.write_all(&block).expect("compressing into memory");
    }
    encoder.finish().expect("compressing into memory")
}

/// The most memory that the program ever held, in KiB.
fn peak_kib(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("/proc of the program");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches("kB").trim().parse().expect("KiB")
}

#[test]
fn a_bomb_is_answered_413_and_costs_no_memory() {
    let program = start("");
    let ingest = program.ingest_addr();
    // One line without end, more than the default 256 MiB.
    let endless = bomb(b"a", 300 * MIB);
    let answer =
        write_all_then_read(ingest, &Request::bare("POST", "/ingest").header("Content-Encoding", "gzip").body(endless));
    assert_eq!(error_of(&answer), (413, "too_large".to_owned()));
    assert!(answer.text().contains("268435456 bytes (server.max_decoded_bytes)"), "{}", answer.text());
    assert_eq!(hits(&program), 0);
    assert_eq!(Scrape::of(program.control_addr()).get("client_will_drop_total{status=\"413\"}"), 1);
    assert!(peak_kib(&program) < 100 * 1024, "{} KiB", peak_kib(&program));
}

#[test]
fn a_bomb_of_lines_or_of_nesting_stays_within_its_bounds_too() {
    let program = start("[server]\nmax_encoded_bytes = 1048576\nmax_decoded_bytes = 16777216\n");
    let ingest = program.ingest_addr();
    for piece in [b"\n".as_slice(), b"{\"log\":\"hit\"}\n", b"{\"a\":", b"[[[[[[[[\n", b"\"", b"\\"] {
        let request = Request::bare("POST", "/ingest").header("Content-Encoding", "gzip").body(bomb(piece, 20 * MIB));
        let answer = write_all_then_read(ingest, &request);
        assert_eq!(error_of(&answer), (413, "too_large".to_owned()), "{}", String::from_utf8_lossy(piece));
    }
    assert_eq!(hits(&program), 0);
    assert!(peak_kib(&program) < 100 * 1024, "{} KiB", peak_kib(&program));
    assert_eq!(outcomes(&counts(ingest, SMALL)), of(&[("matched", 2), ("unmatched", 1)]), "and it goes on");
}

#[test]
fn a_body_of_too_many_lines_is_413_in_every_form() {
    let program = start("[ingest]\nmax_lines = 1000\n");
    let ingest = program.ingest_addr();
    for (many, body) in [(1000, "{}\n".repeat(1000)), (1000, "{}".repeat(1000))] {
        assert_eq!(outcomes(&counts(ingest, body)), of(&[("unmatched", many)]));
    }
    for body in ["{}\n".repeat(1001), "{}".repeat(1001), format!("[{}{{}}]", "{},".repeat(1000)), "\n".repeat(1001)] {
        let answer = write_all_then_read(ingest, &asking(body));
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
}

#[test]
fn what_decoded_before_a_fault_counts_and_the_rest_is_one_rejected_line() {
    let program = start("");
    let ingest = program.ingest_addr();
    let send = |body: Vec<u8>| {
        let answer = Connection::open(ingest).send(&asking(body).header("Content-Encoding", "gzip"));
        outcomes(&counted(&answer))
    };
    // Flushed in the middle of a line: up to there everything decodes, whatever follows.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(SMALL.as_bytes()).expect("compressing");
    encoder.write_all(b"{\"log\":\"hit, but cut").expect("compressing");
    encoder.flush().expect("compressing");
    let sound = encoder.get_ref().clone();
    let half = of(&[("matched", 2), ("unmatched", 1), ("undecodable", 1)]);
    assert_eq!(send(sound.clone()), half, "it just ends");
    assert_eq!(send([sound.as_slice(), &[0xff; 64]].concat()), half, "a block of a type that does not exist");
    assert_eq!(send([sound.as_slice(), &[0xff; 300_000]].concat()), half, "a long rest is read and is one line still");
    // The checksum comes last: all lines are there, and one that says so.
    let mut wrong_sum = gzip(SMALL.as_bytes());
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 0xff;
    assert_eq!(send(wrong_sum), half);
    let all = gzip(SMALL.as_bytes());
    assert_eq!(send(all[..all.len() - 4].to_vec()), half, "the end of the trailer is missing");
    assert_eq!(send(b"no gzip at all".to_vec()), of(&[("undecodable", 1)]));
    assert_eq!(send(SMALL.as_bytes().to_vec()), of(&[("undecodable", 1)]), "gzip claimed for plain text");
    // Fluent Bit gets its 204, however broken the body is.
    let broken = Request::bare("POST", "/ingest").header("Content-Encoding", "gzip").body(sound);
    let answer = Connection::open(ingest).send(&broken);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(hits(&program), 2 * 6);
    let scrape = Scrape::of(program.control_addr());
    assert_eq!(scrape.get("rejected_lines_total{reason=\"undecodable\"}"), 8);
    program.wait_stderr(|line| line.contains("cannot be decoded"));
}

#[test]
fn a_body_that_ends_early_counts_nothing_and_comes_again_whole() {
    let program = start("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let request = Request::bare("POST", "/ingest").body(SMALL.repeat(100));
    let mut aborted = 0;
    // Cut within a line: only lines that were read whole were read.
    let cut = SMALL.len() * 50 + 5;
    let settled = |aborted: u64| {
        eventually("the lines of the lost body are counted as aborted", SOON, || {
            (Scrape::of(control).lines("aborted") == aborted).then_some(())
        });
    };
    // Closed, reset, and closed for writing only, by someone who still listens.
    Connection::open(ingest).write_partial(&request, cut);
    aborted += 150;
    settled(aborted);
    Connection::open(ingest).write_partial_and_reset(&request, cut);
    aborted += 150;
    settled(aborted);
    let mut listening = Connection::open(ingest);
    listening.write_partial(&request, cut);
    listening.stream().shutdown(Shutdown::Write).expect("shutting down");
    aborted += 150;
    settled(aborted);
    let mut said = Vec::new();
    listening.stream().read_to_end(&mut said).expect("the rest of the connection");
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 503 "), "{said}");
    // Chunked, without its last chunk.
    let chunked = Request::bare("POST", "/ingest").body(SMALL.repeat(100)).chunked(SMALL.len());
    Connection::open(ingest).write_partial(&chunked, chunked.body_bytes().len() - 5);
    aborted += 300;
    settled(aborted);
    // Compressed.
    let packed = Request::bare("POST", "/ingest").body(SMALL.repeat(100)).gzip();
    Connection::open(ingest).write_partial(&packed, 12);
    assert_eq!(hits(&program), 0);
    // Its retry is no repeat: nothing of it has counted.
    let answer = Connection::open(ingest).send(&request);
    assert_eq!((answer.status, hits(&program)), (204, 200));
    let scrape = Scrape::of(control);
    assert_eq!((scrape.lines("repeat"), scrape.lines("aborted")), (0, aborted));
    assert_eq!(scrape.all_lines(), aborted + 300);
}

#[test]
fn a_request_that_takes_too_long_is_answered_503_and_counts_nothing() {
    let program = start("[server]\nrequest_seconds = 1\nadmission_wait_seconds = 0\n");
    let mut connection = Connection::open(program.ingest_addr());
    connection.write_partial(&Request::bare("POST", "/ingest").body(SMALL.repeat(2)), SMALL.len());
    let answer = connection.read().expect("an answer, though the body never comes");
    assert_eq!(error_of(&answer), (503, "too_slow".to_owned()));
    assert!(answer.text().contains("server.request_seconds"));
    assert_eq!(hits(&program), 0);
    let scrape = Scrape::of(program.control_addr());
    assert_eq!((scrape.lines("aborted"), scrape.all_lines()), (3, 3), "what was read of it ends as aborted");
}

#[test]
fn a_wrong_path_is_404_and_a_wrong_method_405_and_both_are_alarmed() {
    let program = start("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let put = Connection::open(ingest).send(&Request::new("PUT", "/api/logs").body(SMALL));
    assert_eq!(put.status, 404);
    assert!(put.text().contains("/ingest"), "{}", put.text());
    assert_eq!(error_of(&post(ingest, "/")), (404, "not_found".to_owned()));
    assert_eq!(error_of(&post(ingest, "/ingest/")), (404, "not_found".to_owned()));
    // A person who looks around loses nothing.
    assert_eq!(get(ingest, "/nothing").status, 404);
    assert_eq!(Scrape::of(control).get("client_will_drop_total{status=\"404\"}"), 3);
    program.wait_stderr(|line| line.contains("URI /ingest") && line.contains("/api/logs"));
    assert_eq!(error_of(&get(ingest, "/ingest")), (405, "method_not_allowed".to_owned()));
    assert_eq!(Scrape::of(control).get("client_will_drop_total{status=\"405\"}"), 1);
    // A query is no other path.
    let query = Connection::open(ingest).send(&Request::new("POST", "/ingest?tag=a").body(SMALL));
    assert_eq!((query.status, hits(&program)), (204, 2));
}

fn post(address: SocketAddr, path: &str) -> Response {
    Connection::open(address).send(&Request::new("POST", path).body(SMALL))
}

#[test]
fn a_wrong_path_with_a_long_body_can_read_its_answer() {
    let program = start("");
    let request = Request::bare("POST", "/logs").body(SMALL.repeat(5 * MIB / SMALL.len()));
    assert_eq!(write_all_then_read(program.ingest_addr(), &request).status, 404);
}

// === who may send ===

const INGEST_SECRET: &str = "0123456789abcdef";
const OTHER_SECRET: &str = "fedcba9876543210";
const CONTROL_SECRET: &str = "control-0123456789";

fn guarded() -> String {
    format!(
        "[server]\ncontrol_token = \"{CONTROL_SECRET}\"\n\
         [[server.token]]\nname = \"web\"\nsecret = \"{INGEST_SECRET}\"\n\
         [[server.token]]\nname = \"jobs\"\nsecret = \"{OTHER_SECRET}\"\n"
    )
}

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{secret}")))
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

#[test]
fn a_sender_proves_a_token_by_basic_or_bearer_and_every_other_one_is_401() {
    let program = serving(&guarded());
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let send = |credentials: &str| {
        let request = Request::bare("POST", "/ingest").header("Authorization", credentials).body("{}\n");
        Connection::open(ingest).send(&request)
    };
    let good = [basic("web", INGEST_SECRET), basic("jobs", OTHER_SECRET), bearer(INGEST_SECRET), bearer(OTHER_SECRET)];
    for credentials in &good {
        assert_eq!(send(credentials).status, 204, "{credentials}");
    }
    let mut refused = 0;
    for credentials in [
        basic("web", OTHER_SECRET),
        basic("web", ""),
        basic("", INGEST_SECRET),
        basic("Web", INGEST_SECRET),
        bearer(CONTROL_SECRET),
        bearer("0123456789abcde"),
        bearer(&format!("{INGEST_SECRET}x")),
        bearer(""),
        format!("Digest {INGEST_SECRET}"),
        INGEST_SECRET.to_owned(),
        "Basic !!!".to_owned(),
        String::new(),
    ] {
        let answer = send(&credentials);
        assert_eq!(error_of(&answer), (401, "unauthorized".to_owned()), "{credentials}");
        assert_eq!(answer.header("Connection"), Some("close"), "{credentials}");
        assert!(answer.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Basic ")), "{credentials}");
        refused += 1;
    }
    let missing = Connection::open(ingest).send(&Request::bare("POST", "/ingest").body("{}\n"));
    assert_eq!(missing.status, 401);
    refused += 1;
    let page = Request::bare("GET", "/metrics").header("Authorization", &bearer(CONTROL_SECRET));
    let scrape = Scrape::parse(&Connection::open(control).send(&page).text());
    assert_eq!(scrape.get("client_will_drop_total{status=\"401\"}"), refused);
    assert_eq!(scrape.get("batches_total{answer=\"unauthorized\"}"), refused);
    assert_eq!(scrape.all_lines(), good.len() as u64, "nothing of a refused body was read");
    program.wait_stderr(|line| line.contains("credentials are missing or wrong"));
    let said = program.stderr_lines().join("\n");
    for secret in [INGEST_SECRET, OTHER_SECRET, CONTROL_SECRET] {
        assert!(!said.contains(secret), "no secret in the log");
    }
}

#[test]
fn bad_credentials_are_answered_before_the_body_is_sent() {
    let program = serving(&guarded());
    for expect in [false, true] {
        let request = Request::bare("POST", "/ingest").header("Content-Length", "50000000");
        let request = if expect { request.header("Expect", "100-continue") } else { request };
        let mut connection = Connection::open(program.ingest_addr());
        let head = request.head_bytes(connection.host());
        connection.write(&head).expect("sending a head");
        let answer = connection.read().expect("an answer to the head alone");
        assert_eq!((answer.status, answer.header("Connection")), (401, Some("close")), "no 100 Continue before it");
    }
}

#[test]
fn a_sender_with_bad_credentials_that_writes_all_of_a_long_body_can_read_its_answer() {
    let program = serving(&guarded());
    let request = Request::bare("POST", "/ingest").header("Authorization", &bearer("wrong")).body(vec![b'x'; 3 * MIB]);
    let answer = write_all_then_read(program.ingest_addr(), &request);
    assert_eq!(answer.status, 401);
}

#[test]
fn only_the_control_token_opens_control_and_health_needs_none() {
    let program = serving(&guarded());
    let control = program.control_addr();
    let ask = |method: &str, path: &str, credentials: Option<&str>| {
        let request = Request::bare(method, path);
        let request = match credentials {
            Some(credentials) => request.header("Authorization", credentials),
            None => request,
        };
        Connection::open(control).send(&request)
    };
    let wrong = [bearer(INGEST_SECRET), bearer(OTHER_SECRET), basic("web", INGEST_SECRET), bearer("x"), bearer("")];
    for (method, path) in [
        ("GET", "/watches"),
        ("GET", "/watches/fatal"),
        ("DELETE", "/watches/fatal"),
        ("POST", "/watches"),
        ("GET", "/status"),
        ("GET", "/metrics"),
    ] {
        for credentials in wrong.iter().map(|c| Some(c.as_str())).chain([None]) {
            let answer = ask(method, path, credentials);
            assert_eq!(error_of(&answer), (401, "unauthorized".to_owned()), "{method} {path} {credentials:?}");
            assert!(answer.header("WWW-Authenticate").is_some());
        }
    }
    for path in ["/watches", "/watches/fatal", "/status", "/metrics"] {
        assert_eq!(ask("GET", path, Some(&bearer(CONTROL_SECRET))).status, 200, "{path}");
        assert_eq!(ask("GET", path, Some(&basic("anyone", CONTROL_SECRET))).status, 200, "{path}");
    }
    for path in ["/health", "/ready"] {
        assert_eq!(ask("GET", path, None).status, 200, "{path}");
        assert_eq!(ask("GET", path, Some(&bearer("wrong"))).status, 200, "{path}");
    }
}

#[test]
fn a_token_that_comes_from_a_file_or_the_environment_is_the_same_token() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{INGEST_SECRET}\n")).expect("writing a secret");
    let config = format!("[[server.token]]\nname = \"web\"\nsecret_file = {file:?}\n");
    let program = Program::start_with(&config, &[("EMBERWATCH_SERVER_CONTROL_TOKEN", CONTROL_SECRET)]);
    let request = Request::bare("POST", "/ingest").header("Authorization", &basic("web", INGEST_SECRET)).body("{}\n");
    assert_eq!(Connection::open(program.ingest_addr()).send(&request).status, 204);
    assert_eq!(get(program.control_addr(), "/status").status, 401);
    let status = Request::bare("GET", "/status").header("Authorization", &bearer(CONTROL_SECRET));
    assert_eq!(Connection::open(program.control_addr()).send(&status).status, 200);
}
