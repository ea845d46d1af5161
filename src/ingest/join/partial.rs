//! Lines that docker cut at 16 KiB: the parts of one become one record again.
//!
//! Parts bear the cut line's id, their number and whether they are the last. Old drivers only say that a
//! line goes on; then the stream's next line without that mark is the last part. A part that does not
//! follow the one before closes that, as cut, and is a beginning without its head.

use std::collections::HashMap;

use super::line::Line;
use super::{HELD_LINES, Held, Joined, LINES_MAX, OPEN_MAX};
use crate::record::json::Value;
use crate::record::{Delivery, Reader, Record};

pub(super) struct Partials {
    /// By stream and the line's id.
    open: HashMap<u64, Part>,
    pub held: Held,
    reader: Reader,
    cap: usize,
}

struct Part {
    line: Line,
    /// Number of the part that comes next, where parts are numbered.
    next: Option<u64>,
    number: u64,
}

type Out<'o> = &'o mut dyn FnMut(&Record<'_>, Joined);

impl Partials {
    pub(super) fn new(cap: usize) -> Partials {
        Partials { open: HashMap::new(), held: Held::default(), reader: Reader::default(), cap }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn take(&mut self, record: &Record<'_>, delivery: Delivery<'_>, out: Out<'_>) {
        let envelope = &record.envelope;
        let stream = envelope.stream_key();
        if !envelope.is_partial() {
            // The last part as old drivers have it, if the stream has an open line without an id.
            if !self.open.contains_key(&stream) {
                return out(record, Joined::ALONE);
            }
            match envelope.log {
                Some(Value::Text(log)) if !record.is_cut() => {
                    self.append(stream, log.raw(), None);
                    self.close(stream, false, delivery, out);
                }
                _ => {
                    self.close(stream, true, delivery, out);
                    out(record, Joined::ALONE);
                }
            }
            return;
        }
        let key = envelope.partial_id().map_or(stream, |id| {
            let mut hash = xxhash_rust::xxh3::Xxh3::with_seed(stream);
            hash.update(id.raw());
            hash.digest()
        });
        let number = envelope.partial_ordinal();
        let follows = self.open.get(&key).map(|part| part.next == number && part.line.lines < LINES_MAX);
        if follows == Some(false) {
            self.close(key, true, delivery, out);
        }
        match envelope.log {
            Some(Value::Text(log)) if follows == Some(true) && !record.is_cut() => {
                self.append(key, log.raw(), number);
            }
            _ => {
                self.close(key, true, delivery, out);
                let Some(line) = Line::of(record, Joined::ALONE, self.cap) else {
                    return out(record, Joined::ALONE);
                };
                self.held.lines += 1;
                self.held.bytes += line.size();
                let part = Part { line, next: number.map(|n| n.saturating_add(1)), number: self.held.next };
                self.held.next += 1;
                self.open.insert(key, part);
            }
        }
        if envelope.is_partial_last() {
            self.close(key, false, delivery, out);
        }
        while self.open.len() > OPEN_MAX || (self.held.bytes > HELD_LINES * self.cap && self.open.len() > 1) {
            self.close_oldest(delivery, out);
        }
    }

    fn append(&mut self, key: u64, raw: &[u8], number: Option<u64>) {
        let Some(part) = self.open.get_mut(&key) else { return };
        let before = part.line.size();
        part.line.push(raw);
        part.line.lines += 1;
        part.next = number.map(|n| n.saturating_add(1));
        self.held.lines += 1;
        self.held.bytes += part.line.size() - before;
    }

    fn close(&mut self, key: u64, cut: bool, delivery: Delivery<'_>, out: Out<'_>) {
        let Some(part) = self.open.remove(&key) else { return };
        self.held.lines -= part.line.lines;
        self.held.bytes -= part.line.size();
        self.held.cut += u64::from(cut);
        let read = part.line.read(&mut self.reader, delivery, out);
        debug_assert!(read.is_ok(), "a joined line is a line: {read:?}");
    }

    fn close_oldest(&mut self, delivery: Delivery<'_>, out: Out<'_>) {
        let oldest = self.open.iter().min_by_key(|(_, part)| part.number).map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.close(key, true, delivery, out);
        }
    }

    pub(super) fn finish(&mut self, delivery: Delivery<'_>, out: Out<'_>) {
        while !self.open.is_empty() {
            self.close_oldest(delivery, out);
        }
    }
}
