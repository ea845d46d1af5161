//! What a container's log driver is to FireLens: numbered records at a fixed rate, in the forward protocol over a
//! unix socket, one message a record, without acknowledgements.
//!
//! A router that stops reading makes the sender fall behind; it keeps what it has not sent, as the driver's buffer
//! of a million records does, and catches up. A record is sent again only if its own write failed.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::TICK;

/// Stands before and after a record's number, and nowhere else in it.
pub(crate) const MARK: u8 = b'#';
/// The end of a container's tag; its name stands before it.
const TAG: &str = "-firelens-0123456789abcdef0123456789abcdef";
/// What FireLens's own filter adds to each record: the router's configuration has it.
pub(crate) const METADATA: [(&str, &str); 3] = [
    ("ecs_cluster", "outage"),
    ("ecs_task_arn", "arn:aws:ecs:eu-west-1:123456789012:task/outage/0123456789abcdef0123456789abcdef"),
    ("ecs_task_definition", "outage:1"),
];
/// So many consecutive records have one container name, by which Emberwatch groups what it counts.
pub(crate) const BLOCK: u64 = 1000;
const LOG_BYTES: usize = 1000;
const STEP: Duration = Duration::from_millis(10);

/// How far the sender is, for those who watch.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) sent: AtomicU64,
    /// Set when the sender has sent its last record.
    pub(crate) ended: AtomicBool,
    /// Connections that the router closed.
    pub(crate) broken: AtomicU64,
    /// The furthest the sender was behind its rate, in records.
    pub(crate) behind_max: AtomicU64,
}

/// What is sent, and how fast.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// As the router stores them.
    pub(crate) bytes_per_second: f64,
    /// Containers: each is a tag, and a tag is a chunk of its own at each flush.
    pub(crate) tags: u64,
}

/// Sends records for `time`, then stops. Gives up at `deadline`.
pub(crate) fn send(socket: &Path, load: Load, time: Duration, deadline: Instant, progress: &Progress) {
    let per_second = load.bytes_per_second / stored_bytes() as f64;
    let total = (per_second * time.as_secs_f64()) as u64;
    let begun = Instant::now();
    let mut connection = None;
    let mut next = 0;
    while next < total && Instant::now() < deadline {
        let due = ((per_second * begun.elapsed().as_secs_f64()) as u64).min(total);
        progress.behind_max.fetch_max(due.saturating_sub(next), Ordering::Relaxed);
        while next < due && Instant::now() < deadline {
            if write(&mut connection, socket, &message(next, load.tags), deadline) {
                next += 1;
                progress.sent.store(next, Ordering::Relaxed);
            } else if connection.take().is_some() {
                progress.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(STEP);
    }
    progress.ended.store(true, Ordering::Relaxed);
}

/// Whether all of it was written.
fn write(connection: &mut Option<UnixStream>, socket: &Path, message: &[u8], deadline: Instant) -> bool {
    if connection.is_none() {
        *connection = UnixStream::connect(socket).ok();
        if let Some(stream) = connection {
            stream.set_write_timeout(Some(TICK)).expect("a socket option");
        }
    }
    let Some(stream) = connection else {
        std::thread::sleep(STEP);
        return false;
    };
    let mut rest = message;
    while !rest.is_empty() && Instant::now() < deadline {
        match stream.write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            // The router does not read now.
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
    }
    rest.is_empty()
}

/// What a record takes in the router's memory.
pub(crate) fn stored_bytes() -> usize {
    let mut bytes = Vec::new();
    record(0, &mut bytes);
    for (key, value) in METADATA {
        text(key, &mut bytes);
        text(value, &mut bytes);
    }
    // Around it: an array of an array of time and metadata, and the record.
    bytes.len() + 13
}

/// `[tag, time, record, {}]`
fn message(number: u64, tags: u64) -> Vec<u8> {
    let mut bytes = vec![0x94];
    text(&format!("app{}{TAG}", number % tags), &mut bytes);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    // An EventTime: ext 8 of type 0, seconds and nanoseconds.
    bytes.extend_from_slice(&[0xd7, 0x00]);
    bytes.extend_from_slice(&(now.as_secs() as u32).to_be_bytes());
    bytes.extend_from_slice(&now.subsec_nanos().to_be_bytes());
    record(number, &mut bytes);
    bytes.push(0x80);
    bytes
}

fn record(number: u64, bytes: &mut Vec<u8>) {
    let mark = char::from(MARK);
    let log = format!("{mark}{number:010}{mark} GET /checkout 200 ");
    bytes.push(0x84);
    for (key, value) in [
        ("container_id", "0123456789abcdef0123456789abcdef-0123456789"),
        ("container_name", &format!("block-{:06}", number / BLOCK)),
        ("source", "stdout"),
        ("log", &format!("{log:.<LOG_BYTES$}")),
    ] {
        text(key, bytes);
        text(value, bytes);
    }
}

fn text(text: &str, bytes: &mut Vec<u8>) {
    match text.len() {
        length @ 0..32 => bytes.push(0xa0 | length as u8),
        length @ 32..256 => bytes.extend_from_slice(&[0xd9, length as u8]),
        length => {
            bytes.push(0xda);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(text.as_bytes());
}
