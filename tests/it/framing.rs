//! Where one request ends and the next begins: whatever is done to make two readers disagree, no batch counts
//! that nobody sent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::control::{Scrape, counting, matched, put, serving};
use crate::world::http::{Connection, Request, get};
use crate::world::program::Program;

/// A request within a request: it must never count.
const GHOST: &str = "POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n{\"log\":\"ghost\"}\n";

fn start() -> Program {
    let program = serving("[server]\nheader_seconds = 1\n");
    for label in ["ghost", "true"] {
        put(program.control_addr(), &counting(label, &json!({"contains": label})));
    }
    program
}

/// Writes all, says that no more will come, and gives what comes back until the end, at most 64 KiB.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("connecting");
    stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a read timeout");
    // A server that has refused may have closed before all was written.
    drop(stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write)));
    let mut answer = Vec::new();
    drop(stream.take(64 * 1024).read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

fn ghosts(program: &Program) -> u64 {
    matched(program.control_addr(), "ghost")
}

fn truths(program: &Program) -> u64 {
    matched(program.control_addr(), "true")
}

#[test]
fn a_request_within_a_body_never_counts_however_its_length_is_told() {
    let program = start();
    let ingest = program.ingest_addr();
    let length = GHOST.len() + 5;
    let long = "x".repeat(20_000);
    let heads = [
        // Two lengths: the first reader stops at the empty chunk, the second one reads the ghost as a body.
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        "Transfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: identity, chunked".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding:\tchunked".to_owned(),
        "Transfer-Encoding: chunked\x0b".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding\n: chunked".to_owned(),
        "X: y\r\n Transfer-Encoding: chunked".to_owned(),
        format!("Content-Length: {length}\r\nContent-Length: 5"),
        format!("Content-Length: 5\r\nContent-Length: {length}"),
        "Content-Length: 5, 6".to_owned(),
        "Content-Length: +5".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length: 0x5".to_owned(),
        "Content-Length: 5 5".to_owned(),
        "Content-Length: 18446744073709551621".to_owned(),
        "Content-Length : 5".to_owned(),
        "Content-Length: 5\r\n\t, 7".to_owned(),
        format!("X-Long: {long}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"),
        "Content-Length: 5\0".to_owned(),
        "Content-Length:".to_owned(),
        "Content-Encoding: gzip\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 5".to_owned(),
    ];
    for head in &heads {
        for version in ["1.1", "1.0"] {
            // An empty chunk ends the body for who reads chunks; five bytes for who reads a length of five.
            let bytes = format!("POST /ingest HTTP/{version}\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n{GHOST}");
            let answer = exchange(ingest, bytes.as_bytes());
            let answers = answer.matches("HTTP/1.").count();
            assert!(answers <= 1, "{answers} answers to {head:?} in {version}: {answer}");
            assert_eq!(ghosts(&program), 0, "{head:?} in {version}: {answer}");
        }
    }
    assert_eq!(get(ingest, "/health").status, 200);
}

#[test]
fn a_malformed_chunk_counts_nothing_and_ends_the_connection() {
    let program = start();
    let ingest = program.ingest_addr();
    let line = "{\"log\":\"true\"}\n";
    for chunks in [
        "-1\r\n".to_owned() + line,
        "10000000000000000\r\n".to_owned() + line,
        "ffffffffffffffff\r\n".to_owned() + line,
        format!("f\r\n{line}0\r\n"),
        format!("f\r\n{line}XX0\r\n\r\n"),
        format!("e\r\n{line}\r\n0\r\n\r\n"),
        format!("zz\r\n{line}\r\n0\r\n\r\n"),
        format!("f;{}\r\n{line}\r\n0\r\n\r\n", "e".repeat(100_000)),
        format!("f\n{line}\r\n0\r\n\r\n{GHOST}"),
        format!("f\r\n{line}\r\n0\r\nTrailer: {}\r\n\r\n", "t".repeat(200_000)),
    ] {
        let bytes = format!("POST /ingest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{GHOST}");
        let answer = exchange(ingest, bytes.as_bytes());
        assert_eq!(ghosts(&program), 0, "{chunks:.60}: {answer}");
        assert_eq!(truths(&program), 0, "{chunks:.60}: {answer}");
    }
    let whole = Request::bare("POST", "/ingest").body(line).chunked(4);
    let mut connection = Connection::open(ingest);
    let answer = connection.send(&whole);
    assert_eq!((answer.status, answer.header("Connection")), (204, Some("close")));
    assert_eq!(truths(&program), 1);
}

#[test]
fn what_is_refused_before_its_body_was_read_leaves_no_request_in_it() {
    let program = serving(
        "[server]\nmax_encoded_bytes = 1048576\n[[server.token]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n",
    );
    put(program.control_addr(), &counting("ghost", &json!({"contains": "ghost"})));
    let good = "Authorization: Bearer 0123456789abcdef\r\n";
    let ghost = GHOST.replace("Host: a\r\n", &format!("Host: a\r\n{good}"));
    let many = ghost.repeat(10);
    let large = ghost.repeat(2 * (1 << 20) / ghost.len());
    for (path, headers, body, status) in [
        ("/ingest", "", &many, "401"),
        ("/ingest", "Authorization: Bearer wrong\r\n", &large, "401"),
        ("/elsewhere", good, &many, "404"),
        ("/ingest", &format!("{good}Content-Encoding: br\r\n"), &many, "415"),
        ("/ingest", good, &large, "413"),
        ("/status", good, &many, "405"),
        ("/health", good, &many, "200"),
    ] {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        let answer = exchange(program.ingest_addr(), format!("{head}{body}").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{path} {headers:?}: {answer}");
        assert_eq!(ghosts(&program), 0, "{path} {headers:?}");
    }
    // The ghost itself is a good request: only where it stood kept it from counting.
    assert!(exchange(program.ingest_addr(), ghost.as_bytes()).starts_with("HTTP/1.1 204 "));
    assert_eq!(ghosts(&program), 1);
}

#[test]
fn a_hundred_requests_written_at_once_are_answered_in_order_and_count_once_each() {
    let program = start();
    let mut bytes = String::new();
    for number in 0..100 {
        let body = format!("{{\"log\":\"true {number}\"}}\n");
        bytes += &format!("POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
    let answer = exchange(program.ingest_addr(), bytes.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 204 No Content\r\n").count(), 100);
    assert_eq!((truths(&program), Scrape::of(program.control_addr()).lines("repeat")), (100, 0));
}

#[test]
fn a_sender_that_closes_its_side_after_the_request_is_answered_and_counted() {
    let program = start();
    let body = "{\"log\":\"true\"}\n";
    let whole = format!("POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert!(exchange(program.ingest_addr(), whole.as_bytes()).starts_with("HTTP/1.1 204 "));
    assert_eq!(truths(&program), 1);
    // And one that closes it within the body has sent nothing.
    exchange(program.ingest_addr(), whole.trim_end().as_bytes());
    assert_eq!(truths(&program), 1);
    assert_eq!(Scrape::of(program.control_addr()).get("batches_total{answer=\"aborted\"}"), 1);
}

#[test]
fn who_expects_to_be_asked_is_asked_and_counts_once() {
    let program = start();
    let body = "{\"log\":\"true\"}\n";
    let mut connection = Connection::open(program.ingest_addr());
    let head = Request::bare("POST", "/ingest")
        .header("Content-Length", &body.len().to_string())
        .header("Expect", "100-continue")
        .head_bytes(connection.host());
    connection.write(&head).expect("a head");
    assert_eq!(connection.read().expect("an interim answer").status, 100);
    assert_eq!(truths(&program), 0);
    connection.write(body.as_bytes()).expect("a body");
    assert_eq!(connection.read().expect("an answer").status, 204);
    assert_eq!(truths(&program), 1);
    // It may also send without waiting, and expect what nobody knows.
    for expect in ["100-continue", "wonders"] {
        let request = Request::bare("POST", "/ingest").header("Expect", expect).body("{\"log\":\"true too\"}\n");
        let mut connection = Connection::open(program.ingest_addr());
        connection.write(&request.head_bytes("a")).expect("a head");
        connection.write(&request.body_bytes()).expect("a body");
        let first = connection.read().expect("an answer");
        let last = if first.status == 100 { connection.read().expect("an answer") } else { first };
        assert!([204, 417].contains(&last.status), "{expect}: {}", last.status);
    }
}

#[test]
fn nothing_that_a_request_says_becomes_a_header_of_the_answer() {
    let program = start();
    let ingest = program.ingest_addr();
    let split = "x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0aHTTP/1.1%20200%20OK";
    for bytes in [
        format!("POST /{split} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        format!("POST /ingest?{split} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        format!("POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Encoding: {split}\r\nContent-Length: 0\r\n\r\n"),
        "POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Encoding: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
        "POST /ingest HTTP/1.1\r\nHost: a\r\nX-Tag: a\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n\r\n".to_owned(),
        format!("GET /watches/{split} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        let answer = exchange(ingest, bytes.as_bytes());
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
        assert!(answer.starts_with("HTTP/1.1 ") && !head.contains("set-cookie"), "{bytes:?}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 2, "{answer}");
    }
}

#[test]
fn only_http_1_is_spoken_and_odd_forms_of_it_count_once_or_not_at_all() {
    let program = start();
    let ingest = program.ingest_addr();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    assert!(!exchange(ingest, preface).contains(" 200 "));
    let body = "{\"log\":\"true\"}\n";
    let length = body.len();
    let send = |start: &str, headers: &str| {
        let head = format!("{start}\r\n{headers}Accept: */*\r\nContent-Length: {length}\r\n\r\n");
        exchange(ingest, (head + body).as_bytes())
    };
    assert!(send("POST http://a/ingest HTTP/1.1", "Host: a\r\n").starts_with("HTTP/1.1 204 "), "absolute form");
    assert_eq!(truths(&program), 1);
    assert!(send("POST /ingest HTTP/1.0", "").contains(" 204 "), "an old client");
    assert_eq!(truths(&program), 2);
    for (start, headers) in [
        ("CONNECT a:80 HTTP/1.1", "Host: a\r\n"),
        ("POST /ingest HTTP/3.0", "Host: a\r\n"),
        ("POST /ingest", "Host: a\r\n"),
        ("POST  /ingest HTTP/1.1", "Host: a\r\n"),
        ("POST /ingest HTTP/1.1 HTTP/1.1", "Host: a\r\n"),
        ("post /ingest HTTP/1.1", "Host: a\r\n"),
        ("\0POST /ingest HTTP/1.1", "Host: a\r\n"),
        ("POST /ingest HTTP/1.1", "Bad Name: a\r\n"),
    ] {
        let answer = send(start, headers);
        assert_eq!(truths(&program), 2, "{start:?}: {answer}");
    }
}

#[test]
fn a_request_that_comes_byte_by_byte_counts_once() {
    let program = serving("");
    put(program.control_addr(), &counting("true", &json!({"contains": "true"})));
    let body = "{\"log\":\"true\"}\n";
    let bytes = format!("POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut connection = Connection::open(program.ingest_addr());
    for byte in bytes.as_bytes() {
        connection.write(&[*byte]).expect("a byte");
    }
    assert_eq!(connection.read().expect("an answer").status, 204);
    assert_eq!(truths(&program), 1);
}

#[test]
fn a_head_that_does_not_end_is_cut_and_one_that_is_too_long_is_refused() {
    let program = start();
    let mut connection = Connection::open(program.ingest_addr());
    connection.write(b"POST /ingest HTTP/1.1\r\nHost: a\r\nX-Drip: ").expect("the beginning of a head");
    assert!(connection.read().is_err(), "closed without an answer");
    let long = format!("POST /ingest HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(1 << 20));
    let answer = exchange(program.ingest_addr(), long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer:.100}");
    assert_eq!(get(program.ingest_addr(), "/health").status, 200);
}
