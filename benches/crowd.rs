//! What a crowd costs an honest sender: its latency alone, and beside ten thousand idle connections and a
//! thousand that drip, against the built program. `benches/README.md` has the table.
//!
//! The sender posts a body every few milliseconds over one kept connection; the two phases follow each other
//! several times, since on a shared machine only neighbours in time can be compared.
#![allow(missing_docs, reason = "a program")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a person")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark ends at the first fault")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const IDLE: usize = 10_000;
/// Half of them drip a head, half a body, a byte a second each.
const DRIPS: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(5);
const HEAD: &[u8] = b"POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n";

struct Program {
    address: SocketAddr,
    child: Child,
    _home: tempfile::TempDir,
}

impl Program {
    fn start() -> Program {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_emberwatch"))
            .current_dir(home.path())
            .env("EMBERWATCH_SERVER_LISTEN", "127.0.0.1:0")
            .env("EMBERWATCH_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut address = None;
        for line in log.by_ref().lines() {
            let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            match event["message"].as_str() {
                Some("listening") => address = event["ingest"].as_str().and_then(|a| a.parse().ok()),
                Some("ready") => break,
                _ => {}
            }
        }
        // A full pipe would stop the program.
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Program { address: address.unwrap(), child, _home: home }
    }

    fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Posts for `time`; from first byte to answer, sorted, in microseconds.
fn send(address: SocketAddr, body: &[u8], time: Duration) -> Vec<u128> {
    let mut stream = connect(address);
    let mut head = HEAD.to_vec();
    head.extend(format!("Accept: */*\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes());
    let begun = Instant::now();
    let mut taken = Vec::new();
    let mut answer = [0; 4096];
    while begun.elapsed() < time {
        let at = Instant::now();
        stream.write_all(&head).unwrap();
        stream.write_all(body).unwrap();
        let read = stream.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 204 "), "{}", String::from_utf8_lossy(&answer[..read]));
        taken.push(at.elapsed().as_micros());
        std::thread::sleep(PAUSE);
    }
    taken.sort_unstable();
    taken
}

/// Keeps a thousand connections dripping until told to stop; one that was closed is replaced.
fn drip(address: SocketAddr, stop: &AtomicBool, closed: &AtomicUsize, begun: &AtomicBool) {
    let start = |number: usize| {
        let mut stream = connect(address);
        let head: &[u8] = if number.is_multiple_of(2) { b"POST /ingest HTTP/1.1\r\nX-Drip: " } else { HEAD };
        let rest: &[u8] = if number.is_multiple_of(2) { b"" } else { b"Content-Length: 2000000\r\n\r\n" };
        drop(stream.write_all(head).and_then(|()| stream.write_all(rest)));
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let mut drips: Vec<TcpStream> = (0..DRIPS).map(start).collect();
    begun.store(true, Ordering::SeqCst);
    while !stop.load(Ordering::SeqCst) {
        let round = Instant::now();
        for (number, stream) in drips.iter_mut().enumerate() {
            // A body that drips gets its 503; a head that does is closed.
            let ended = !matches!(stream.peek(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
            if ended || stream.write_all(b"x").is_err() {
                closed.fetch_add(1, Ordering::Relaxed);
                *stream = start(number);
            }
            if stop.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        std::thread::sleep(Duration::from_secs(1).saturating_sub(round.elapsed()));
    }
}

fn at(sorted: &[u128], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize] as f64 / 1000.0
}

fn main() {
    let quick = std::env::args().any(|a| a == "--quick");
    let (rounds, seconds) = if quick { (1, 5) } else { (3, 30) };
    rlimit::increase_nofile_limit(40_000).unwrap();
    let line = "{\"date\":1.0,\"log\":\"an honest line of a service that nothing ails\",\"source\":\"stdout\"}\n";
    let body = line.repeat(20_000 / line.len());
    println!(
        "| round | sender | p50 ms | p99 ms | max ms | posts | RSS MB |\n| --- | --- | --- | --- | --- | --- | --- |"
    );
    for round in 1..=rounds {
        let program = Program::start();
        let time = Duration::from_secs(seconds);
        let report = |who: &str, taken: &[u128]| {
            let (p50, p99, max) = (at(taken, 0.5), at(taken, 0.99), at(taken, 1.0));
            let rss = program.rss_kib() as f64 * 1024.0 / 1e6;
            println!("| {round} | {who} | {p50:.2} | {p99:.2} | {max:.2} | {} | {rss:.0} |", taken.len());
        };
        report("alone", &send(program.address, body.as_bytes(), time));
        let idle: Vec<TcpStream> = (0..IDLE).map(|_| connect(program.address)).collect();
        let (stop, closed, begun) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| drip(program.address, &stop, &closed, &begun));
            while !begun.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            report("in the crowd", &send(program.address, body.as_bytes(), time));
            stop.store(true, Ordering::SeqCst);
        });
        eprintln!("{} drips were cut meanwhile", closed.load(Ordering::SeqCst));
        drop(idle);
    }
}
