//! More than there is room for: connections that say nothing, heads and bodies that drip, bodies that are
//! larger than memory. Whoever sends honestly beside them loses nothing.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::control::{Scrape, counting, matched, put, ready, serving};
use crate::world::http::{Connection, Request};
use crate::world::program::Program;
use crate::world::{Mode, Proxy, eventually};

const SOON: Duration = Duration::from_secs(30);
const LINE: &str = "{\"log\":\"hit\"}\n";
const MIB: usize = 1 << 20;

fn start(config: &str) -> Program {
    let program = serving(config);
    put(program.control_addr(), &counting("hit", &json!({"contains": "hit"})));
    program
}

fn ingest(body: impl Into<Vec<u8>>) -> Request {
    Request::bare("POST", "/ingest").header("Accept", "*/*").body(body)
}

fn answers(program: &Program, answer: &str) -> u64 {
    Scrape::of(program.control_addr()).get(&format!("batches_total{{answer=\"{answer}\"}}"))
}

#[test]
fn silent_and_dripping_connections_beyond_the_bound_keep_no_sender_out() {
    let program = start("[server]\nmax_connections = 100\n");
    let address = program.ingest_addr();
    let mut sender = Connection::open(address);
    let mut crowd = Vec::new();
    for number in 0..500 {
        let stream = TcpStream::connect(address).expect("the kernel takes it");
        if number % 2 == 0 {
            let mut dripping = &stream;
            // It may have had to go already.
            drop(std::io::Write::write_all(&mut dripping, b"POST /ingest HTTP/1.1\r\nX"));
        }
        crowd.push(stream);
        if number % 10 == 0 {
            assert_eq!(sender.send(&ingest(LINE)).status, 204, "beside {number} others");
        }
    }
    for _ in 0..20 {
        assert_eq!(Connection::open(address).send(&ingest(LINE)).status, 204, "a new one finds room");
    }
    assert_eq!(matched(program.control_addr(), "hit"), 70);
    let scrape = Scrape::of(program.control_addr());
    assert!(scrape.get("connections_closed_for_room_total") >= 400, "they made room");
    assert!(scrape.get("connections") <= 100);
    drop(crowd);
}

#[test]
fn a_connection_that_is_being_answered_never_makes_room_for_another() {
    let program = start("[server]\nmax_connections = 2\ncontrol_listen = \"127.0.0.1:0\"\n");
    let address = program.ingest_addr();
    let request = ingest(LINE.repeat(3));
    let mut busy = [Connection::open(address), Connection::open(address)];
    for connection in &mut busy {
        connection.write_partial(&request, LINE.len());
    }
    eventually("both are being read", SOON, || {
        (Scrape::of(program.control_addr()).get("ingest_in_flight") == 2).then_some(())
    });
    let mut third = TcpStream::connect(address).expect("the kernel takes it");
    std::io::Write::write_all(&mut third, b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("a request");
    for connection in &mut busy {
        connection.write(LINE.repeat(2).as_bytes()).expect("the rest");
        assert_eq!(connection.read().expect("an answer").status, 204);
    }
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut third, &mut answer).expect("an answer, once there is room");
    assert!(answer.starts_with("HTTP/1.1 200 "));
    drop(busy);
    assert_eq!(matched(program.control_addr(), "hit"), 6);
}

#[test]
fn a_body_that_drips_is_answered_503_and_its_lines_end_as_aborted() {
    let program = start("");
    let mut connection = Connection::open(program.ingest_addr());
    connection.write_partial(&ingest(LINE.repeat(10)), LINE.len() * 2);
    let answer = connection.read().expect("an answer, though the body never comes");
    assert_eq!((answer.status, answer.header("Connection")), (503, Some("close")));
    assert_eq!(answer.json()["error"]["code"], "dripped");
    assert!(answer.text().contains("server.min_body_rate"), "{}", answer.text());
    assert_eq!((answers(&program, "dripped"), matched(program.control_addr(), "hit")), (1, 0));
    assert_eq!(Scrape::of(program.control_addr()).lines("aborted"), 2);
}

#[test]
fn bodies_beyond_the_bytes_in_flight_wait_and_are_then_answered_503_while_small_ones_pass() {
    let program = start("[server]\nmax_bytes_in_flight = 1048576\nadmission_wait_seconds = 1\n");
    let address = program.ingest_addr();
    let large = ingest(LINE.repeat(MIB / LINE.len()));
    // Each holds an eighth, whatever it announces.
    let mut readers: Vec<Connection> = (0..8).map(|_| Connection::open(address)).collect();
    for reader in &mut readers {
        reader.write_partial(&large, MIB / 2);
    }
    eventually("all room is taken", SOON, || {
        // They hold their bytes as soon as they have sent more than a small body may.
        let answer = Connection::open(address).try_send(&large).ok()?;
        (answer.status == 503).then(|| assert_eq!(answer.json()["error"]["code"], "overloaded"))
    });
    // Fifty drips hold nothing, and who is small needs nothing.
    let drips: Vec<Connection> = (0..50)
        .map(|_| {
            let mut drip = Connection::open(address);
            drip.write_partial(&large, 1000);
            drip
        })
        .collect();
    assert_eq!(Connection::open(address).send(&ingest(LINE)).status, 204);
    let rest = large.body_bytes().split_off(MIB / 2);
    for reader in &mut readers {
        reader.write(&rest).expect("the rest");
        assert_eq!(reader.read().expect("an answer").status, 204);
    }
    // What they held is free again, though the drips are still there.
    assert_eq!(Connection::open(address).send(&large).status, 204);
    drop(drips);
}

#[test]
fn a_request_beyond_max_requests_waits_its_turn() {
    let program = start("[server]\nmax_requests = 1\nadmission_wait_seconds = 20\n");
    let address = program.ingest_addr();
    let large = ingest(LINE.repeat(MIB / LINE.len()));
    let lines = (MIB / LINE.len()) as u64;
    let mut first = Connection::open(address);
    first.write_partial(&large, MIB / 2);
    let second = std::thread::spawn({
        let large = large.clone();
        move || Connection::open(address).send(&large).status
    });
    let rest = large.body_bytes().split_off(MIB / 2);
    first.write(&rest).expect("the rest of the first");
    assert_eq!(first.read().expect("an answer").status, 204);
    assert_eq!(second.join().expect("a sender"), 204);
    assert_eq!(matched(program.control_addr(), "hit"), 2 * lines);
}

#[test]
fn a_line_of_a_gibibyte_is_taken_to_its_end_and_answered_413() {
    let program = start("");
    let before = peak_kib(&program);
    let mut connection = Connection::open(program.ingest_addr());
    let head = Request::bare("POST", "/ingest").header("Content-Length", &(1u64 << 30).to_string());
    connection.write(&head.head_bytes("a")).expect("a head");
    let piece = vec![b'x'; MIB];
    for _ in 0..1024 {
        connection.write(&piece).expect("it is read to its end");
    }
    let answer = connection.read().expect("an answer");
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("too_large")));
    assert!(peak_kib(&program) < before + 32 * 1024, "nothing of it is held");
    assert_eq!(Scrape::of(program.control_addr()).get("client_will_drop_total{status=\"413\"}"), 1);
}

#[test]
fn ten_million_empty_lines_are_ten_million_blank_lines() {
    let program = start("");
    let before = peak_kib(&program);
    let body = "\n".repeat(10_000_000);
    assert_eq!(Connection::open(program.ingest_addr()).send(&ingest(body)).status, 204);
    assert_eq!(Scrape::of(program.control_addr()).lines("blank"), 10_000_000);
    assert!(peak_kib(&program) < before + 32 * 1024, "nothing of it is held");
}

#[test]
fn a_few_bytes_that_become_tens_of_millions_of_records_are_refused_and_nobody_waits_for_them() {
    let program = start("[ingest]\nmax_lines = 3000000\n");
    let (address, before) = (program.ingest_addr(), peak_kib(&program));
    let bomb = zstd::bulk::compress("{}\n".repeat(20_000_000).as_bytes(), 3).expect("compressing");
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let request = ingest(bomb.clone()).header("Content-Encoding", "zstd");
            std::thread::spawn(move || Connection::open(address).send(&request))
        })
        .collect();
    // Between two pieces of it others have their turn.
    for _ in 0..10 {
        assert_eq!(Connection::open(address).send(&ingest(LINE)).status, 204);
    }
    for sender in senders {
        let answer = sender.join().expect("a sender");
        assert_eq!(answer.status, 413);
        assert!(answer.text().contains("too_many_lines") && answer.text().contains("3000000"), "{}", answer.text());
    }
    assert_eq!(matched(program.control_addr(), "hit"), 10);
    assert!(peak_kib(&program) < before + 64 * 1024, "nothing of it is held");
}

#[test]
fn a_few_bytes_of_zstd_that_ask_for_a_window_of_megabytes_wait_for_room_like_a_long_body() {
    let program = start("[server]\nmax_bytes_in_flight = 67108864\nadmission_wait_seconds = 1\n");
    let before = peak_kib(&program);
    let mut encoder = zstd::bulk::Compressor::new(3).expect("an encoder");
    encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(23)).expect("a window of 8 MiB");
    let bomb = encoder.compress(&vec![b'x'; 10 * MIB]).expect("compressing");
    assert!(bomb.len() < 2_000, "{} bytes", bomb.len());
    let request = ingest(bomb).header("Content-Encoding", "zstd").header("Content-Length", "8000");
    let held: Vec<Connection> = (0..60)
        .map(|_| {
            let mut connection = Connection::open(program.ingest_addr());
            connection.write(&request.head_bytes("a")).expect("a head");
            connection.write(&request.body_bytes()).expect("a part of a body");
            connection
        })
        .collect();
    eventually("those without room are told", SOON, || (answers(&program, "overloaded") >= 50).then_some(()));
    assert!(peak_kib(&program) < before + 150 * 1024, "{} KiB", peak_kib(&program) - before);
    drop(held);
}

#[test]
fn senders_that_were_refused_and_stay_make_room_for_others() {
    let program =
        serving("[server]\nmax_connections = 20\n[[server.token]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n");
    let address = program.ingest_addr();
    let refused: Vec<Connection> = (0..20)
        .map(|_| {
            let mut connection = Connection::open(address);
            let head = Request::bare("POST", "/ingest").header("Authorization", "Bearer wrong");
            let head = head.header("Content-Length", "1000").head_bytes("a");
            connection.write(&head).expect("a head");
            assert_eq!(connection.read().expect("an answer").status, 401);
            connection
        })
        .collect();
    let good = ingest(LINE).header("Authorization", "Bearer 0123456789abcdef");
    assert_eq!(Connection::open(address).send(&good).status, 204);
    assert!(Scrape::of(program.control_addr()).get("connections_closed_for_room_total") > 0);
    drop(refused);
}

#[test]
fn a_copy_that_its_sender_gave_up_counts_nothing_even_when_it_ends_after_its_retry_was_confirmed() {
    let program = start("");
    let address = program.ingest_addr();
    let copy = Request::bare("POST", "/ingest").body(LINE.repeat(3));
    let mut given_up = Connection::open(address);
    given_up.write_partial(&copy, LINE.len() * 3 - 1);
    eventually("it has begun", SOON, || {
        (Scrape::of(program.control_addr()).get("ingest_in_flight") == 1).then_some(())
    });
    let mut retry = Connection::open(address);
    assert_eq!(retry.send(&copy).status, 204);
    assert_eq!(retry.send(&Request::bare("POST", "/ingest").body("{\"log\":\"next\"}\n")).status, 204, "it was heard");
    given_up.write(b"\n").expect("the last byte");
    assert_eq!(given_up.read().expect("an answer").status, 204);
    assert_eq!(matched(program.control_addr(), "hit"), 3);
    assert_eq!(Scrape::of(program.control_addr()).lines("repeat"), 3);
    // And what begins from now on is news.
    assert_eq!(Connection::open(address).send(&copy).status, 204);
    assert_eq!(matched(program.control_addr(), "hit"), 6);
}

/// The most memory the program has held so far.
fn peak_kib(program: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("the program's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

#[test]
fn a_sender_behind_a_slow_line_is_answered_and_counted_once() {
    let program = start("");
    let proxy = Proxy::start(program.ingest(), |_| Mode::ThrottleRequests { bytes_a_second: 200_000 });
    let lines = 300_000 / LINE.len();
    let answer = Connection::open(proxy.address()).send(&Request::bare("POST", "/ingest").body(LINE.repeat(lines)));
    assert_eq!((answer.status, matched(program.control_addr(), "hit")), (204, lines as u64));
}

/// The sum that `docs/memory.md` gives, in KiB.
fn formula_kib(idle: u64, large: u64, groups_each: u64, windows: u64) -> u64 {
    let body = 2 * 1024 + 128 + groups_each * 800 / 1024 + 1024;
    24 * 1024 + idle * 18 + large * (160 + body) + windows * 700 / 1024
}

#[test]
fn what_is_held_at_the_worst_moment_stays_within_the_formula() {
    let program = start("");
    let rule = json!({"label": "by_key", "match": {"exists": true, "field": "key"}, "group_by": ["key"],
        "threshold": 1_000_000, "window_seconds": 3600});
    put(program.control_addr(), &rule);
    let (idle, large, groups) = (500, 16, 5_000);
    let crowd: Vec<Connection> = (0..idle)
        .map(|_| {
            let mut connection = Connection::open(program.ingest_addr());
            assert_eq!(connection.send(&Request::bare("GET", "/health")).status, 200);
            connection
        })
        .collect();
    let body: String = (0..groups).map(|key| format!("{{\"log\":\"hit\",\"key\":\"{key:036}\"}}\n")).collect();
    // The last line never ends: as much of it as a line may have is held, too.
    let request = ingest(body + "{\"log\":\"" + &"y".repeat(900_000) + "\"}\n");
    let length = request.body_bytes().len();
    let mut held: Vec<Connection> = (0..large).map(|_| Connection::open(program.ingest_addr())).collect();
    for connection in &mut held {
        connection.write_partial(&request, length - 3);
    }
    eventually("all are being read", SOON, || {
        (Scrape::of(program.control_addr()).get("ingest_in_flight") == large).then_some(())
    });
    for connection in &mut held {
        connection.write(b"\"}\n").expect("the rest");
        assert_eq!(connection.read().expect("an answer").status, 204);
    }
    assert_eq!(matched(program.control_addr(), "by_key"), large * groups);
    let (peak, bound) = (peak_kib(&program), formula_kib(idle, large, groups, groups));
    assert!(peak <= bound, "{peak} KiB were held, {bound} KiB is what the formula allows");
    drop(crowd);
}

#[test]
fn under_a_low_limit_on_open_files_connections_are_fewer_and_no_sender_is_kept_out() {
    let program = Program::start_limited("", 400);
    program.wait_stderr(|line| line.contains("leaves room for fewer connections") && line.contains("400"));
    ready(&program);
    let address = program.ingest_addr();
    let crowd: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(address).expect("the kernel takes it")).collect();
    for _ in 0..20 {
        assert_eq!(Connection::open(address).send(&ingest(LINE)).status, 204);
    }
    drop(crowd);
    assert!(!program.stderr_lines().iter().any(|line| line.contains("cannot accept")), "it never ran out of files");
}
