//! A line that others are appended to.
//!
//! It is the first record as it came, its `log` emptied and put at the end: of equal keys the last one
//! counts, and there it can grow, and be cut like any line that is too long.

use super::Joined;
use crate::record::json::{Malformed, Value};
use crate::record::{Delivery, Piece, Reader, Record};

pub(super) struct Line {
    bytes: Vec<u8>,
    /// Where the text begins.
    text: usize,
    pub lines: u64,
    cap: usize,
    /// No more of it is kept.
    full: bool,
    /// It came as a part of a whole line that was shortened already.
    shortened: bool,
}

impl Line {
    /// `None` where the record has no text to append to, or is itself but a head.
    pub(super) fn of(record: &Record<'_>, joined: Joined, cap: usize) -> Option<Line> {
        let Some(Value::Text(log)) = record.envelope.log else { return None };
        let raw = record.raw();
        if record.is_cut() {
            return None;
        }
        // `log` is a view into the line; within the record it begins that much later.
        let start = log.start().checked_sub(record.start())?;
        let (before, rest) = raw.split_at_checked(start)?;
        let after = rest.get(log.raw().len()..)?.strip_suffix(b"}")?;
        let key = key_before(before)?;
        let mut bytes = Vec::with_capacity(raw.len() + key.len() + 512);
        for part in [before, after, b",\"", key, b"\":\""] {
            bytes.extend_from_slice(part);
        }
        let text = bytes.len();
        bytes.extend_from_slice(log.raw());
        let Joined { lines, shortened } = joined;
        Some(Line { bytes, text, lines, cap, full: false, shortened })
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The newline that some drivers leave at the end of each line goes: one is put before the next.
    pub(super) fn trim_newline(&mut self) {
        while self.bytes.len() >= self.text + 2 && self.bytes.ends_with(b"\\n") && !self.bytes.ends_with(b"\\\\n") {
            self.bytes.truncate(self.bytes.len() - 2);
        }
    }

    /// Appends text that is escaped already.
    pub(super) fn push(&mut self, escaped: &[u8]) {
        if self.full {
            return;
        }
        let room = self.cap.saturating_sub(self.bytes.len());
        let fits = if escaped.len() <= room { escaped.len() } else { whole_escapes(escaped, room) };
        self.full = fits < escaped.len();
        self.bytes.extend_from_slice(escaped.get(..fits).unwrap_or_default());
    }

    /// Appends text as a line of its own.
    pub(super) fn push_line(&mut self, text: &[u8]) {
        self.push(b"\\n");
        let mut rest = text;
        while !self.full && !rest.is_empty() {
            let plain = rest.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')).unwrap_or(rest.len());
            let (before, after) = rest.split_at(plain);
            self.push(before);
            rest = match after.split_first() {
                Some((b'\t', rest)) => {
                    self.push(b"\\t");
                    rest
                }
                Some((byte @ (b'"' | b'\\'), rest)) => {
                    self.push(&[b'\\', *byte]);
                    rest
                }
                Some((byte, rest)) => {
                    self.push(format!("\\u{byte:04x}").as_bytes());
                    rest
                }
                None => after,
            };
        }
    }

    /// Appends all of another one, as lines of its own.
    pub(super) fn push_all(&mut self, other: &Line) {
        self.push(b"\\n");
        self.push(other.bytes.get(other.text..).unwrap_or_default());
        self.lines += other.lines;
        self.shortened |= other.shortened || other.full;
    }

    /// Reads it as the one record that it is now.
    pub(super) fn read(
        mut self,
        reader: &mut Reader,
        delivery: Delivery<'_>,
        out: &mut dyn FnMut(&Record<'_>, Joined),
    ) -> Result<(), Malformed> {
        let joined = Joined { lines: self.lines, shortened: self.full || self.shortened };
        if !self.full {
            self.bytes.extend_from_slice(b"\"}");
        }
        let mut read = Err(Malformed::Syntax);
        reader.read(&self.bytes, self.full, delivery, |piece| {
            if let (Piece::Record(record), Err(_)) = (&piece, read) {
                read = Ok(());
                out(record, joined);
            }
        });
        read
    }
}

/// The key whose value's text begins after `before`.
fn key_before(before: &[u8]) -> Option<&[u8]> {
    let before = before.strip_suffix(b"\"")?.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let before = before.strip_suffix(b"\"")?;
    before.get(memchr::memrchr(b'"', before)? + 1..)
}

/// The most of `escaped`, up to `room`, that ends between two escapes and between two characters.
fn whole_escapes(escaped: &[u8], room: usize) -> usize {
    let mut end = 0;
    while end < room {
        let rest = escaped.get(end..).unwrap_or_default();
        let step = match memchr::memchr(b'\\', rest) {
            Some(0) => {
                if rest.get(1) == Some(&b'u') {
                    6
                } else {
                    2
                }
            }
            Some(plain) => plain,
            None => rest.len(),
        };
        if end + step > room {
            let is_escape = rest.first() == Some(&b'\\');
            return if is_escape { end } else { before_character(escaped, end, room) };
        }
        end += step.max(1);
    }
    end.min(room)
}

fn before_character(text: &[u8], least: usize, mut end: usize) -> usize {
    while end > least && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    end
}
