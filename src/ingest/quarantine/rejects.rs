//! What one request takes along of the lines that were rejected: a few heads, and how many look like each.
//!
//! Bounded whatever the body is; thrown away with it where it is not committed.

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use super::{Bounds, From};
use crate::ingest::decode::Encoding;

/// Entries that one batch may bring.
pub(super) const BATCH_ENTRIES_MAX: usize = 20;
/// Bytes of lines that one batch may hold for them.
pub(super) const BATCH_BYTES_MAX: usize = 128 * 1024;
/// Rejected lines of one batch that are looked at; of more only their number is told. So a body of garbage costs
/// no more than reading it.
const BATCH_LOOKED_MAX: u64 = 1_000;
/// Bytes of a line by which it is like another one.
const ALIKE_BYTES: usize = 256;

/// What could not be decoded of a body: from the fault on.
#[derive(Clone)]
pub struct Rest {
    encoding: Encoding,
    /// How many decoded bytes came before it.
    at_byte: u64,
    fault: String,
    pub(super) head: Vec<u8>,
    pub(super) bytes: u64,
    digest: Xxh3,
}

/// What one request brought.
pub struct Rejects {
    bounds: Bounds,
    pub(super) from: From,
    pub(super) count: u64,
    pub(super) held: usize,
    pub(super) samples: Vec<Sample>,
}

/// One line as it came, and how many more look like it. Copying a head is cheap; redacting it is not, and waits
/// until somebody looks.
pub(super) struct Sample {
    pub(super) reason: &'static str,
    pub(super) like: u64,
    pub(super) count: u64,
    pub(super) head: Box<[u8]>,
    pub(super) bytes: u64,
    pub(super) digest: u128,
    pub(super) cut: bool,
    pub(super) undecodable: Option<(Encoding, u64, String)>,
}

// === impl Rest ===

impl Rest {
    /// `fault`: in the words of who could not decode it, never in the sender's.
    pub fn new(encoding: Encoding, at_byte: u64, fault: impl std::fmt::Display) -> Rest {
        Rest { encoding, at_byte, fault: fault.to_string(), head: Vec::new(), bytes: 0, digest: Xxh3::new() }
    }

    /// More of what came from the fault on.
    pub fn feed(&mut self, piece: &[u8], bounds: Bounds) {
        let room = bounds.max_bytes.saturating_sub(self.head.len());
        self.head.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.bytes += piece.len() as u64;
        self.digest.update(piece);
    }
}

// === impl Rejects ===

impl Rejects {
    pub fn new(bounds: Bounds, from: From) -> Rejects {
        Rejects { bounds, from, count: 0, held: 0, samples: Vec::new() }
    }

    pub fn line(&mut self, reason: &'static str, line: &[u8], cut: bool) {
        self.count += 1;
        if self.bounds.max_samples == 0 || self.count > BATCH_LOOKED_MAX {
            return;
        }
        let like = likeness(line);
        if let Some(held) = self.samples.iter_mut().find(|s| s.reason == reason && s.like == like) {
            held.count += 1;
            return;
        }
        let head = line.get(..self.bounds.max_bytes).unwrap_or(line);
        if self.samples.len() >= BATCH_ENTRIES_MAX || self.held + head.len() > BATCH_BYTES_MAX {
            return;
        }
        self.held += head.len();
        self.samples.push(Sample {
            reason,
            like,
            count: 1,
            head: head.into(),
            bytes: line.len() as u64,
            digest: xxh3_128(line),
            cut,
            undecodable: None,
        });
    }

    /// The rest of a body counts as one line. One sender's broken bodies look alike: compressed bytes say nothing.
    pub fn rest(&mut self, reason: &'static str, rest: Rest) {
        self.count += 1;
        if self.bounds.max_samples == 0 {
            return;
        }
        self.samples.push(Sample {
            reason,
            like: xxh3_64(rest.encoding.as_str().as_bytes()),
            count: 1,
            bytes: rest.bytes,
            digest: rest.digest.digest128(),
            cut: false,
            undecodable: Some((rest.encoding, rest.at_byte, rest.fault)),
            head: rest.head.into(),
        });
    }
}

/// The head of a line with every run of digits as one: times and counters do not tell two lines apart.
fn likeness(line: &[u8]) -> u64 {
    let mut shape = [0u8; ALIKE_BYTES];
    let mut slots = shape.iter_mut();
    let mut in_digits = false;
    for byte in line.iter().take(ALIKE_BYTES) {
        let is_digit = byte.is_ascii_digit();
        if is_digit && in_digits {
            continue;
        }
        in_digits = is_digit;
        if let Some(slot) = slots.next() {
            *slot = if is_digit { b'0' } else { *byte };
        }
    }
    xxh3_64(&shape)
}
