//! Stack traces of a line each become one record.
//!
//! Held back are lines that may be the head of one: texts at warn or above, and what only an exception's
//! first line looks like. An exception's line directly below a log line belongs to it only if frames
//! follow; until then both are held, apart.

use std::collections::HashMap;

use super::line::Line;
use super::{HELD_LINES, Held, Joined, LINES_MAX, OPEN_MAX};
use crate::record::level::Level;
use crate::record::trace::{self, State};
use crate::record::{Body, Delivery, Reader, Record};

pub(super) struct Traces {
    /// By stream.
    open: HashMap<u64, Open>,
    pub held: Held,
    reader: Reader,
    cap: usize,
}

struct Open {
    line: Line,
    state: State,
    /// The log line that the trace belongs to, if it turns out to be one.
    before: Option<Line>,
    number: u64,
}

type Out<'o> = &'o mut dyn FnMut(&Record<'_>, Joined);

impl Open {
    fn lines(&self) -> u64 {
        self.line.lines + self.before.as_ref().map_or(0, |line| line.lines)
    }

    fn bytes(&self) -> usize {
        self.line.size() + self.before.as_ref().map_or(0, Line::size)
    }
}

impl Traces {
    pub(super) fn new(cap: usize) -> Traces {
        Traces { open: HashMap::new(), held: Held::default(), reader: Reader::default(), cap }
    }

    #[inline]
    pub(super) fn take(&mut self, record: &Record<'_>, joined: Joined, delivery: Delivery<'_>, out: Out<'_>) {
        let text = match record.body {
            Body::Text(text) if !record.is_cut() => Some(text),
            _ => None,
        };
        if self.open.is_empty() {
            match text.and_then(|text| opening(record, text)) {
                None => out(record, joined),
                Some(state) => self.open(record, joined, state, None, delivery, out),
            }
        } else {
            self.take_among_open(record, text, joined, delivery, out);
        }
    }

    fn take_among_open(
        &mut self,
        record: &Record<'_>,
        text: Option<&[u8]>,
        joined: Joined,
        delivery: Delivery<'_>,
        out: Out<'_>,
    ) {
        let key = record.envelope.stream_key();
        let mut before = None;
        if let Some(open) = self.open.get_mut(&key) {
            if let Some(text) = text
                && let Some(state) = open.state.next(text)
                && open.lines() < LINES_MAX
            {
                let held = (open.lines(), open.bytes());
                // Now it is a trace, and the log line is its head.
                if let Some(mut head) = open.before.take() {
                    head.trim_newline();
                    head.push_all(&open.line);
                    open.line = head;
                }
                open.line.trim_newline();
                open.line.push_line(text);
                open.line.lines += joined.lines;
                open.state = state;
                self.held.lines = self.held.lines - held.0 + open.lines();
                self.held.bytes = self.held.bytes - held.1 + open.bytes();
                return self.bound(delivery, out);
            }
            let is_thrown = text.and_then(trace::opening).is_some_and(|o| !o.headless && o.state == State::Thrown);
            let full = open.lines() >= LINES_MAX;
            if is_thrown && open.state == State::Log {
                before = self.remove(key).map(|open| open.line);
            } else {
                let lost = full && text.is_some_and(|text| open.state.next(text).is_some());
                self.close(key, lost, delivery, out);
            }
        }
        match text.and_then(|text| opening(record, text)) {
            None => out(record, joined),
            Some(state) => self.open(record, joined, state, before, delivery, out),
        }
        self.bound(delivery, out);
    }

    fn open(
        &mut self,
        record: &Record<'_>,
        joined: Joined,
        state: State,
        before: Option<Line>,
        delivery: Delivery<'_>,
        out: Out<'_>,
    ) {
        let Some(line) = Line::of(record, joined, self.cap) else {
            if let Some(before) = before {
                self.hand_on(before, delivery, out);
            }
            return out(record, joined);
        };
        let key = record.envelope.stream_key();
        let open = Open { line, state, before, number: self.held.next };
        self.held.next += 1;
        self.held.lines += open.lines();
        self.held.bytes += open.bytes();
        self.open.insert(key, open);
    }

    fn remove(&mut self, key: u64) -> Option<Open> {
        let open = self.open.remove(&key)?;
        self.held.lines -= open.lines();
        self.held.bytes -= open.bytes();
        Some(open)
    }

    fn close(&mut self, key: u64, cut: bool, delivery: Delivery<'_>, out: Out<'_>) {
        let Some(open) = self.remove(key) else { return };
        self.held.cut += u64::from(cut);
        for line in [open.before, Some(open.line)].into_iter().flatten() {
            self.hand_on(line, delivery, out);
        }
    }

    fn hand_on(&mut self, line: Line, delivery: Delivery<'_>, out: Out<'_>) {
        let read = line.read(&mut self.reader, delivery, out);
        debug_assert!(read.is_ok(), "a joined line is a line: {read:?}");
    }

    fn bound(&mut self, delivery: Delivery<'_>, out: Out<'_>) {
        while self.open.len() > OPEN_MAX || (self.held.bytes > HELD_LINES * self.cap && self.open.len() > 1) {
            self.close_oldest(true, delivery, out);
        }
    }

    fn close_oldest(&mut self, cut: bool, delivery: Delivery<'_>, out: Out<'_>) {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.number).map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.close(key, cut, delivery, out);
        }
    }

    /// The rest of a trace that is open here may come with the next request; a log line that nothing followed
    /// is most likely just that.
    pub(super) fn finish(&mut self, delivery: Delivery<'_>, out: Out<'_>) {
        while !self.open.is_empty() {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.number);
            let Some((key, cut)) = oldest.map(|(key, open)| (*key, open.line.lines > 1 && !open.state.may_end()))
            else {
                return;
            };
            self.close(key, cut, delivery, out);
        }
    }
}

/// What the record may be the head of.
fn opening(record: &Record<'_>, text: &[u8]) -> Option<State> {
    // Joined already, by the sender; whatever else may follow it opens its own.
    if memchr::memchr(b'\n', text).is_some() {
        return None;
    }
    trace::opening(text).map(|opening| opening.state).or_else(|| (record.level() >= Level::Warn).then_some(State::Log))
}
