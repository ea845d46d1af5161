//! What was not understood, as a person asks for it, and in which form each service's lines come.

use std::io::Write;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::control::{Scrape, serving};
use crate::world::http::{Connection, Request, Response, get, get_json, gzip, post_ingest};

/// As a Fluent Bit of this tag sends it.
fn send(ingest: SocketAddr, tag: &str, body: impl Into<Vec<u8>>) -> Response {
    let request = Request::bare("POST", "/ingest").header("X-Tag", tag).body(body);
    let answer = Connection::open(ingest).send(&request);
    assert_eq!(answer.status, 204);
    answer
}

fn samples(control: SocketAddr, query: &str) -> Vec<Value> {
    get_json(control, &format!("/quarantine{query}"))["samples"].as_array().expect("samples").clone()
}

#[test]
fn what_was_not_understood_is_shown_with_who_sent_it_and_why_and_without_secrets() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let empty = json!({"quarantined": 0, "kept": 0, "evicted": 0, "samples": []});
    assert_eq!(get_json(control, "/quarantine"), empty);

    send(ingest, "app.web", "{\"log\":\"fine\",\"container_name\":\"cart\"}\nplain 12:00:01\nplain 12:00:02\n");
    let mut broken = b"{\"password\": \"hunter2hunter2\", \x1b[2J\xff".to_vec();
    broken.extend([b'x'; 2_000]);
    send(ingest, "app.api", broken.clone());
    let shown = get_json(control, "/quarantine");
    assert_eq!((&shown["quarantined"], &shown["kept"]), (&json!(3), &json!(2)));
    let [api, web] = shown["samples"].as_array().expect("samples").as_slice() else { panic!("two: {shown}") };
    assert_eq!(
        (&web["reason"], &web["count"], &web["sample"]),
        (&json!("not_an_object"), &json!(2), &json!("plain 12:00:01"))
    );
    assert_eq!(web["from"], json!({"address": "127.0.0.1", "tag": "app.web"}));
    assert_eq!((&web["service"], &web["bytes"]), (&json!("cart"), &json!(14)));
    assert!(web["last"].as_str().is_some_and(|time| time.ends_with('Z') && time.starts_with("20")), "{web}");
    assert_eq!((&api["from"]["tag"], &api["bytes"]), (&json!("app.api"), &json!(broken.len())));
    let text = api["sample"].as_str().expect("a sample");
    assert!(text.len() <= 400 && text.contains("[redacted") && !text.contains("hunter2"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
    assert_eq!(api["digest"].as_str().map(str::len), Some(32));

    // Other times, the same garbage: the entry grows, and is the newest again.
    send(ingest, "app.web", "plain 13:30:00\n");
    let again = samples(control, "");
    assert_eq!((&again[0]["count"], &again[0]["sample"]), (&json!(3), &json!("plain 12:00:01")));
    assert_eq!(samples(control, "?limit=1").len(), 1);
    assert_eq!(samples(control, "?reason=not_an_object&limit=5").len(), 1);
    assert_eq!(samples(control, "?reason=too_deep").len(), 0);
    let scrape = Scrape::of(control);
    assert_eq!((scrape.get("quarantine_samples"), scrape.sum("rejected_lines_total")), (2, 4));
}

#[test]
fn a_question_that_makes_no_sense_is_answered_with_what_would() {
    let program = serving("");
    let control = program.control_addr();
    for (query, field, says) in [
        ("?reason=bad", "reason", "must be one of not_an_object, unterminated"),
        ("?limit=0", "limit", "from 1 to 2000"),
        ("?limit=x", "limit", "from 1 to 2000"),
        ("?since=1", "since", "reason and limit are known"),
    ] {
        let answer = get(control, &format!("/quarantine{query}"));
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["code"], &error["field"]), (400, &json!("bad_query"), &json!(field)));
        assert!(error["message"].as_str().is_some_and(|m| m.contains(says)), "{error}");
    }
    let answer = Connection::open(control).send(&Request::new("DELETE", "/quarantine"));
    assert_eq!(answer.status, 405);
}

#[test]
fn the_undecodable_rest_of_a_body_is_shown_with_its_place_and_encoding() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let send_as = |encoding: &str, body: Vec<u8>| {
        let request = Request::bare("POST", "/ingest").header("Content-Encoding", encoding).body(body);
        assert_eq!(Connection::open(ingest).send(&request).status, 204);
    };
    // Plain text that claims to be compressed: what it is can be read off the sample.
    send_as("gzip", b"{\"log\":\"not compressed at all\"}\n".to_vec());
    let entry = samples(control, "?reason=undecodable").remove(0);
    assert_eq!((&entry["encoding"], &entry["at_byte"]), (&json!("gzip"), &json!(0)));
    assert_eq!(entry["sample"], "{\"log\":\"not compressed at all\"}\n");
    assert!(entry["fault"].as_str().is_some_and(|fault| !fault.is_empty()), "{entry}");
    // Broken in the middle: the good lines count, the fault has its place in what was decoded.
    let good = "{\"log\":\"good\"}\n";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(good.as_bytes()).and_then(|()| encoder.flush()).expect("compressing");
    let mut body = encoder.get_ref().clone();
    body.extend([0xff; 500]);
    let request = Request::bare("POST", "/ingest").header("X-Tag", "b").header("Content-Encoding", "gzip").body(body);
    assert_eq!(Connection::open(ingest).send(&request).status, 204);
    let entries = samples(control, "?reason=undecodable");
    assert_eq!(
        (entries.len(), &entries[0]["at_byte"], &entries[0]["from"]["tag"]),
        (2, &json!(good.len()), &json!("b"))
    );
    // Framing that breaks is the same, without compression.
    send_as("identity", b"\x92\x01\x81\xa3log\xa1x\xc1\xc1 no msgpack".to_vec());
    let entry = samples(control, "?reason=undecodable&limit=1").remove(0);
    assert_eq!((&entry["encoding"], &entry["fault"]), (&json!("identity"), &json!("no record begins here")));
}

#[test]
fn what_does_not_count_is_not_quarantined_either() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    // A watch has to match for a batch to be one that may be a repeat.
    let body = "{\"log\":\"x\",\"status\":503}\ngarbage\n";
    for _ in 0..2 {
        send(ingest, "app", body);
    }
    assert_eq!(Scrape::of(control).lines("repeat"), 2);
    assert_eq!(get_json(control, "/quarantine")["quarantined"], 1);
    let request = Request::bare("POST", "/ingest").body("other garbage\n".repeat(10));
    Connection::open(ingest).write_partial(&request, 70);
    crate::world::eventually("the lines end as aborted", std::time::Duration::from_secs(20), || {
        (Scrape::of(control).lines("aborted") > 0).then_some(())
    });
    let shown = get_json(control, "/quarantine");
    assert_eq!((&shown["quarantined"], &shown["samples"][0]["count"]), (&json!(1), &json!(1)));
}

#[test]
fn a_body_of_garbage_brings_few_samples_and_the_oldest_go_when_it_is_full() {
    let program = serving("[quarantine]\nmax_samples = 30\nmax_bytes = 400\n");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let word = |n: u32| (0..8).map(|at| char::from(b'a' + (n >> (2 * at) & 3) as u8)).collect::<String>();
    for (tag, from) in [("first", 0), ("second", 30_000)] {
        let body: String = (from..from + 30_000).map(|n| format!("{}\n", word(n))).collect();
        send(ingest, tag, body);
    }
    let shown = get_json(control, "/quarantine");
    assert_eq!((&shown["quarantined"], &shown["kept"], &shown["evicted"]), (&json!(60_000), &json!(30), &json!(10)));
    assert_eq!(shown["samples"][0]["from"]["tag"], "second");
    let off = serving("[quarantine]\nmax_samples = 0\n");
    send(off.ingest_addr(), "app", "garbage\n");
    let shown = get_json(off.control_addr(), "/quarantine");
    assert_eq!((&shown["quarantined"], &shown["kept"]), (&json!(1), &json!(0)));
}

#[test]
fn a_service_whose_lines_come_in_a_rare_other_form_is_marked() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    assert_eq!(get_json(control, "/status")["services"], json!([]));
    let line = |service: &str, log: &str| json!({"container_name": service, "log": log}).to_string() + "\n";
    let mut body = line("cart", "{\"msg\":\"ordered\"}").repeat(40);
    body += &line("cart", "panic: a text among JSON");
    body += &line("web", "a text").repeat(5);
    assert_eq!(post_ingest(ingest, gzip(b"")).status, 204);
    assert_eq!(post_ingest(ingest, body).status, 204);
    let status = get_json(control, "/status");
    let all = status["services"].as_array().expect("services");
    let of = |name: &str| all.iter().find(|s| s["service"] == name).unwrap_or_else(|| panic!("{name}: {status}"));
    let (cart, web) = (of("cart"), of("web"));
    assert_eq!((&cart["lines"], &cart["formats"]), (&json!(41), &json!({"json": 40, "text": 1})));
    assert_eq!((&cart["mixed"], web.get("mixed")), (&json!(true), None));
    assert_eq!(web["formats"], json!({"text": 5}));
    assert_eq!(all[0], *cart, "who sends most comes first");
    assert!(cart["last_seen"].as_str().is_some_and(|time| time.ends_with('Z')), "{cart}");
}
