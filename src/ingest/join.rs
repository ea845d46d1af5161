//! Puts together again what arrives in pieces: docker's cuts at 16 KiB, and stack traces of a line each.
//!
//! Within one request, by container and stream. A line that may have a sequel is held back; what belongs to
//! it is appended to its `log`; what ends it lets it go, as one line that is read again like any other. So
//! a joined record has its first line's time and envelope, and is counted once. A line that neither opens
//! nor continues anything passes as it is: nothing of it is copied, and while nothing is open nothing is
//! looked up for it.
//!
//! Every line taken comes out: as the head of what is handed on, or counted among its lines.

mod line;
mod partial;
mod traces;

use crate::record::{Delivery, Record};
use partial::Partials;
use traces::Traces;

/// Joins of either kind that are open at once in a request: more containers write into one rarely, and the
/// oldest, which is closed then, is the one least likely to go on.
const OPEN_MAX: usize = 256;
/// Lines of one join: as deep as a stack that overflowed prints (Java 1,024 frames, Python 1,000).
const LINES_MAX: u64 = 1_100;
/// Bytes held by open joins of either kind, in longest lines.
const HELD_LINES: usize = 2;

/// What a record handed on stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Lines read that it is made of.
    pub lines: u64,
    /// It is longer than a line may be: only its head is here.
    pub shortened: bool,
}

impl Joined {
    const ALONE: Joined = Joined { lines: 1, shortened: false };
}

/// All that is open in one request.
pub struct Joins {
    partials: Partials,
    traces: Traces,
}

/// What either kind keeps count of.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Lines held, heads included.
    lines: u64,
    bytes: usize,
    /// Joins closed before their end was seen.
    cut: u64,
    /// Number of the next join: the lowest is the oldest.
    next: u64,
}

impl Joins {
    /// `cap`: most bytes of a line that are kept.
    pub fn new(cap: usize) -> Joins {
        Joins { partials: Partials::new(cap), traces: Traces::new(cap) }
    }

    /// Takes a record; hands on whatever is complete with it, itself most often.
    #[inline]
    pub fn take(&mut self, record: &Record<'_>, delivery: Delivery<'_>, out: &mut dyn FnMut(&Record<'_>, Joined)) {
        if record.envelope.is_partial() || !self.partials.is_empty() {
            let traces = &mut self.traces;
            self.partials.take(record, delivery, &mut |record, joined| traces.take(record, joined, delivery, out));
        } else {
            self.traces.take(record, Joined::ALONE, delivery, out);
        }
    }

    /// The body has ended: hands on what is open.
    pub fn finish(&mut self, delivery: Delivery<'_>, out: &mut dyn FnMut(&Record<'_>, Joined)) {
        let traces = &mut self.traces;
        self.partials.finish(delivery, &mut |record, joined| traces.take(record, joined, delivery, out));
        self.traces.finish(delivery, out);
    }

    /// Joins closed so far before their end was seen.
    pub fn cut(&self) -> u64 {
        self.partials.held.cut + self.traces.held.cut
    }
}

#[cfg(test)]
mod tests;
