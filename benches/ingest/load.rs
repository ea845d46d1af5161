//! The loader: blocking connections that send one body, wait for its answer, and send the next.
//!
//! Head and body are two writes, as Fluent Bit makes them, and the head names what Fluent Bit's does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// No answer may take longer; a server that hangs fails the run.
const PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 4096;

#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) gzip: bool,
}

pub(crate) struct Sent {
    pub(crate) wall: Duration,
}

pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
}

/// What another program wants to hear in place of ours.
static DIALECT: OnceLock<Dialect> = OnceLock::new();

#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub(crate) path: String,
    pub(crate) content_type: String,
}

/// For all requests from now on; once.
pub(crate) fn speak(dialect: Dialect) {
    DIALECT.get_or_init(|| dialect);
}

/// Sends every body `passes` times over `connections` keep-alive connections.
pub(crate) fn send(to: SocketAddr, bodies: &[Body<'_>], passes: usize, connections: usize) -> Sent {
    let next = AtomicUsize::new(0);
    let mut open: Vec<Connection> = (0..connections).map(|_| Connection::open(to)).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for connection in &mut open {
            let next = &next;
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= bodies.len() * passes {
                        return;
                    }
                    connection.deliver(bodies[place % bodies.len()]);
                }
            });
        }
    });
    Sent { wall: begun.elapsed() }
}

/// Sends all bodies at once, each on a connection of its own, `times` times; from first byte to answer.
pub(crate) fn bursts(to: SocketAddr, bodies: &[Body<'_>], times: usize) -> Vec<Duration> {
    let latencies = Mutex::new(Vec::new());
    let together = Barrier::new(bodies.len());
    std::thread::scope(|scope| {
        for body in bodies {
            let (latencies, together) = (&latencies, &together);
            scope.spawn(move || {
                let mut connection = Connection::open(to);
                for _ in 0..times {
                    together.wait();
                    let begun = Instant::now();
                    connection.deliver(*body);
                    let latency = begun.elapsed();
                    latencies.lock().expect("no sender panicked").push(latency);
                }
            });
        }
    });
    latencies.into_inner().expect("no sender panicked")
}

/// At the level that Fluent Bit compresses with.
pub(crate) fn zipped(bodies: &[&[u8]]) -> Vec<Vec<u8>> {
    let zip = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(body).and_then(|()| encoder.finish()).expect("a vector takes every byte")
    };
    bodies.iter().map(|body| zip(body)).collect()
}

/// The body of an answer that has one.
pub(crate) fn get(to: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

// === impl Connection ===

impl Connection {
    pub(crate) fn open(to: SocketAddr) -> Connection {
        let stream = TcpStream::connect(to).expect("the server takes connections");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
        let (path, kind) = match DIALECT.get() {
            Some(dialect) => (dialect.path.as_str(), dialect.content_type.as_str()),
            None => ("/ingest", "application/x-ndjson"),
        };
        let head = format!("POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: {kind}\r\nUser-Agent: Fluent-Bit\r\n");
        Connection { stream, head }
    }

    pub(crate) fn deliver(&mut self, body: Body<'_>) {
        let encoding = if body.gzip { "Content-Encoding: gzip\r\n" } else { "" };
        let head =
            format!("{}Content-Length: {}\r\n{encoding}Connection: keep-alive\r\n\r\n", self.head, body.bytes.len(),);
        self.stream.write_all(head.as_bytes()).expect("the server reads the head");
        self.stream.write_all(body.bytes).expect("the server reads the body");
        let mut answer = Vec::new();
        let mut buffer = [0; 512];
        while !answer.ends_with(b"\r\n\r\n") {
            let read = self.stream.read(&mut buffer).expect("the server answers");
            assert!(read > 0 && answer.len() < ANSWER_BYTES_MAX, "the server answers with a head only");
            answer.extend_from_slice(&buffer[..read]);
        }
        // Others say 200 where we say 204; what follows a head we do not read.
        let good: &[u8] = if DIALECT.get().is_some() { b"HTTP/1.1 20" } else { b"HTTP/1.1 204 " };
        assert!(answer.starts_with(good), "the answer is {:?}", String::from_utf8_lossy(&answer));
    }
}
