//! The other outputs' destination: an HTTP server that takes everything and knows of every record how often it came.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http;
use crate::sender::MARK;

/// A destination that is silent this long has lost its sender.
const IDLE: Duration = Duration::from_secs(120);

/// Counts records by number. Its threads end with the process.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

/// Of a number of records sent: how many never came, and how many came too often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Sink {
    pub(crate) fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("the address of a bound listener");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let counting = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&counting);
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        Sink { address, seen }
    }

    /// Against the records numbered from 0 to `sent`.
    pub(crate) fn faults(&self, sent: u64) -> Faults {
        let seen = held(&self.seen);
        let there = seen.iter().filter(|times| **times > 0).count() as u64;
        let deliveries: u64 = seen.iter().map(|times| u64::from(*times)).sum();
        Faults { lost: sent.saturating_sub(there), doubled: deliveries - there }
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<u8>>) {
    if stream.set_read_timeout(Some(IDLE)).is_err() {
        return;
    }
    let mut connection = BufReader::with_capacity(256 * 1024, stream);
    while let Some(body) = http::request(&mut connection) {
        count(&body, &mut held(seen));
        if http::answer(&mut connection, "200 OK").is_none() {
            return;
        }
    }
}

/// Each record holds its number once, between two marks.
fn count(body: &[u8], seen: &mut Vec<u8>) {
    for record in body.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
        let number = record.split(|byte| *byte == MARK).nth(1);
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
        let number = number.expect("a record of the sender's, with its number");
        if seen.len() <= number {
            seen.resize(number + 1, 0);
        }
        seen[number] = seen[number].saturating_add(1);
    }
}

fn held(seen: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
