//! One file as lines with their times, a bounded piece at a time.
//!
//! What is a record stands as it is: a line that is a JSON object, an element of an array, a map of msgpack. Any other
//! line becomes one as Fluent Bit's `tail` makes it, with the text in `log`. In a file of JSON a line that is none is
//! handed on all the same, for the receiver's own reader to reject.
//!
//! The time of a line is its record's; of a line without one the last that its file told; before the first the first
//! one; in a file that tells none when that was last written. A time far ahead of both its neighbours is no time, nor are
//! two in a row.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gathered::{Gathered, Seen};
use super::input::{Bytes, Found, Step, is_msgpack, no_lines};
use super::merge::Stream;
use super::stamp::{self, Surety};
use crate::ingest::lines::{Line, Lines};
use crate::ingest::split::Split;
use crate::ingest::values::Values;
use crate::record::format::Format;
use crate::record::kubernetes;
use crate::record::naming::Naming;
use crate::record::{Delivery, Piece, Reader, Record};

/// Bytes of lines, and of what is known of them, held while none has told a time.
const WAIT_MAX: usize = 1024 * 1024;
/// Bytes that are asked what the file is.
const HEAD: usize = 4096;
/// Pieces read in one go.
const STEPS_MAX: usize = 256;
/// After so many lines in a row that tell no time the last one is that of none of them: no trace is longer.
const SILENT_MAX: u64 = 256;
/// So far ahead of the line before and the line after it, a time is none. Milliseconds.
const AHEAD_MS: i64 = 900_000;
/// Logs of before 2000 are none: 2000-01-01T00:00:00Z.
const EARLIEST_MS: i64 = 946_684_800_000;
/// So far behind the line before, a file is told to be out of order. Milliseconds.
const BEHIND_MS: i64 = 900_000;

/// One line, in the source's own store.
#[derive(Clone, Copy)]
struct Item {
    start: usize,
    end: usize,
    cut: bool,
    /// `None`: it tells none.
    time_ms: Option<i64>,
    seen: Seen,
}

/// What was odd about a file's times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Lines that told no time.
    pub timeless: u64,
    /// Lines whose time was far ahead of their neighbours'.
    pub ahead: u64,
    /// How often time ran back by more than 15 minutes.
    pub backwards: u64,
    pub timed: u64,
}

impl Oddities {
    pub fn is_none(&self) -> bool {
        *self == Oddities { timed: self.timed, ..Oddities::default() }
    }
}

enum Form {
    /// Its first bytes are not here yet.
    Unknown(Vec<u8>),
    Lines(Lines),
    Values(Box<Values>),
    /// JSON objects or msgpack: whoever cuts bodies finds out.
    Split(Box<Split>),
    /// Nothing that can be read as lines.
    None,
}

/// What all sources of a run have in common.
pub struct Shared {
    pub gathered: RefCell<Gathered>,
    pub naming: Arc<Naming>,
    /// Most bytes of a line that are kept.
    pub cap: usize,
    /// Somebody has had enough: sources end where they are.
    pub stop: Arc<AtomicBool>,
}

pub struct Source {
    shared: Rc<Shared>,
    name: String,
    tag: Vec<u8>,
    bytes: Option<Bytes>,
    form: Form,
    reader: Reader,
    wrapped: Vec<u8>,
    /// The text of all items.
    store: Vec<u8>,
    items: VecDeque<Item>,
    /// Lines of JSON so far, and of text.
    json: u64,
    text: u64,
    /// Times stood where a line opens: then others within a line are not its own.
    opens: bool,
    /// The first two that lines told.
    firsts_ms: [Option<i64>; 2],
    /// Of the last line that told one.
    last_ms: Option<i64>,
    /// Lines since then.
    silent: u64,
    /// For lines of a file that tells no time, and the end of years that dates leave out.
    written_ms: i64,
    pub oddities: Oddities,
    /// Why the rest of it was not read.
    pub broken: Option<String>,
    /// Somebody had enough before it ended.
    pub stopped: bool,
    pub decoded: u64,
    /// Bytes taken from the disk.
    pub taken: u64,
}

/// A line that is next.
pub struct Next<'s> {
    pub line: Line<'s>,
    pub seen: Seen,
    pub tag: &'s [u8],
    /// No line of its file has told a time, or none for long.
    pub is_timeless: bool,
}

impl Stream for Source {
    fn time(&mut self) -> Option<i64> {
        self.next_time()
    }
}

impl Source {
    /// `now_ms`: when a pipe is said to be written.
    pub fn new(file: &Found, bytes: Bytes, tag: Vec<u8>, shared: Rc<Shared>, now_ms: i64) -> Source {
        Source {
            shared,
            name: file.name.clone(),
            tag,
            bytes: Some(bytes),
            form: Form::Unknown(Vec::new()),
            reader: Reader::of_many(),
            wrapped: Vec::new(),
            store: Vec::new(),
            items: VecDeque::new(),
            json: 0,
            text: 0,
            opens: false,
            firsts_ms: [None; 2],
            last_ms: None,
            silent: 0,
            written_ms: file.modified_ms.unwrap_or(now_ms),
            oddities: Oddities::default(),
            broken: None,
            stopped: false,
            decoded: 0,
            taken: 0,
        }
    }

    /// Bytes that are held. Blank lines have no text, but each is known of.
    fn held(&self) -> usize {
        self.store.len() + self.items.len() * size_of::<Item>()
    }

    fn next_time(&mut self) -> Option<i64> {
        if self.last_ms.is_none() {
            // The first time is that of the lines before it, too; unless the second says that it was a wrong clock's.
            while self.firsts_ms[1].is_none() && self.held() < WAIT_MAX && self.fill() {}
            self.last_ms = match self.firsts_ms {
                [Some(first), Some(second)] if first > second.saturating_add(AHEAD_MS) => Some(second),
                [first, _] => first,
            };
        }
        while self.items.is_empty() && self.fill() {}
        let item = *self.items.front()?;
        let (Some(at), Some(last)) = (item.time_ms, self.last_ms) else {
            return Some(self.last_ms.unwrap_or(self.written_ms));
        };
        if at > last.saturating_add(AHEAD_MS) && self.is_alone(at, last) {
            self.oddities.ahead += 1;
            if let Some(front) = self.items.front_mut() {
                front.time_ms = None;
            }
            return Some(last);
        }
        Some(at)
    }

    /// Whether what follows is back where it was before, at once or after one more that is far ahead.
    fn is_alone(&mut self, at: i64, last: i64) -> bool {
        let (mut place, mut one_more) = (1, false);
        loop {
            while let Some(item) = self.items.get(place) {
                place += 1;
                let Some(next) = item.time_ms else { continue };
                if next < at.saturating_sub(AHEAD_MS) {
                    return true;
                }
                if one_more || next <= last.saturating_add(AHEAD_MS) {
                    return false;
                }
                one_more = true;
            }
            if self.held() >= WAIT_MAX || !self.fill() {
                return false;
            }
        }
    }

    /// Takes the next line, of the time that [`Source::time`] has just told.
    pub fn pass<T>(&mut self, time_ms: i64, of: impl FnOnce(Next<'_>) -> T) -> Option<T> {
        let item = self.items.pop_front()?;
        match item.time_ms {
            Some(_) => {
                self.oddities.timed += 1;
                if self.last_ms.is_some_and(|last| time_ms < last - BEHIND_MS) {
                    self.oddities.backwards += 1;
                }
                (self.last_ms, self.silent) = (Some(time_ms), 0);
            }
            None => {
                self.oddities.timeless += 1;
                self.silent += 1;
            }
        }
        let bytes = self.store.get(item.start..item.end).unwrap_or_default();
        let answer = of(Next {
            line: Line { bytes, cut: item.cut },
            seen: item.seen,
            tag: &self.tag,
            is_timeless: self.last_ms.is_none() || self.silent > SILENT_MAX,
        });
        if self.items.is_empty() {
            self.store.clear();
        }
        Some(answer)
    }

    /// Reads on until there is another line, or a bounded piece has brought none. `false`: there is no more.
    fn fill(&mut self) -> bool {
        let Some(mut bytes) = self.bytes.take() else { return false };
        let before = self.items.len();
        let mut form = std::mem::replace(&mut self.form, Form::None);
        let mut ended = false;
        let mut steps = 0;
        while !ended && self.items.len() == before && steps < STEPS_MAX {
            steps += 1;
            let step = bytes.step(|plain| {
                self.decoded += plain.len() as u64;
                self.feed(&mut form, plain);
            });
            if self.shared.stop.load(Ordering::Relaxed) {
                // Half a line is none, and what breaks off here is not damaged.
                (self.stopped, self.taken) = (true, bytes.taken);
                return self.items.len() > before;
            }
            match step {
                Step::More => {}
                Step::End => ended = true,
                Step::Broken(why) => {
                    self.broken = Some(why);
                    ended = true;
                }
            }
            // Not worth reading to its end.
            ended |= matches!(form, Form::None);
        }
        self.taken = bytes.taken;
        if ended {
            self.finish(&mut form);
        } else {
            self.bytes = Some(bytes);
        }
        self.form = form;
        // What ends may have had a last line.
        !ended || self.items.len() > before
    }

    fn feed(&mut self, form: &mut Form, plain: &[u8]) {
        match form {
            Form::Unknown(head) => {
                head.extend_from_slice(plain);
                if head.len() >= HEAD {
                    self.decide(form);
                }
            }
            Form::Lines(lines) => lines.feed(plain, |line| self.take(line)),
            Form::Values(values) => values.feed(plain, |line| self.take(line)),
            Form::Split(split) => {
                if !split.feed(plain, |line| self.take(line)) {
                    self.broken = Some("no record begins where the last one ended; the rest was not read".into());
                    *form = Form::None;
                }
            }
            Form::None => {}
        }
    }

    fn finish(&mut self, form: &mut Form) {
        if matches!(form, Form::Unknown(_)) {
            self.decide(form);
        }
        match form {
            Form::Lines(lines) => lines.finish(|line| self.take(line)),
            Form::Values(values) => values.finish(|line| self.take(line)),
            Form::Split(split) => {
                if !split.finish(|line| self.take(line)) {
                    self.broken.get_or_insert_with(|| "it ends within a record".into());
                }
            }
            Form::Unknown(_) | Form::None => {}
        }
    }

    /// Finds out from the head what the file is, and goes on with it.
    fn decide(&mut self, form: &mut Form) {
        let Form::Unknown(head) = form else { return };
        let head = std::mem::take(head);
        if let Some(why) = no_lines(&head, &self.name) {
            self.broken = Some(why);
            *form = Form::None;
            return;
        }
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
        let first = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
        let inside = text.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
        let is_array = inside.is_some_and(|rest| matches!(rest.first(), Some(b'{')));
        *form = if is_msgpack(&head) {
            Form::Split(Box::new(Split::new(self.shared.cap)))
        } else if is_array || matches!(first, b"{" | b"[") {
            // Over several lines each, too.
            Form::Values(Box::new(Values::new(self.shared.cap)))
        } else if first.starts_with(b"{") && first.len() == text.trim_ascii_end().len() {
            Form::Split(Box::new(Split::new(self.shared.cap)))
        } else {
            Form::Lines(Lines::new(self.shared.cap))
        };
        self.feed(form, &head);
    }

    fn take(&mut self, line: Line<'_>) {
        let bytes = line.bytes.strip_suffix(b"\r").unwrap_or(line.bytes);
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let first = bytes.trim_ascii_start().first().copied();
        if first.is_none() {
            return self.keep(bytes, line.cut, None, Seen::blank());
        }
        if matches!(first, Some(b'{')) || (first == Some(b'[') && matches!(self.form_hint(), Hint::Json)) {
            let looked = self.look(bytes, line.cut, false);
            if let Some((time_ms, seen)) = looked {
                self.json += 1;
                return self.keep(bytes, line.cut, time_ms, seen);
            }
            if self.json > self.text {
                return self.keep(bytes, line.cut, None, Seen::blank());
            }
        }
        self.text += 1;
        let mut wrapped = std::mem::take(&mut self.wrapped);
        wrapped.clear();
        wrap(bytes, &mut wrapped);
        let (mut time_ms, seen) = self.look(&wrapped, line.cut, true).unwrap_or((None, Seen::blank()));
        match time_ms {
            Some(_) => self.opens = true,
            None => match stamp::of_line(bytes, self.written_ms) {
                Some((at, Surety::Opens)) => (time_ms, self.opens) = (Some(at), true),
                Some((at, Surety::Within)) if !self.opens => time_ms = Some(at),
                _ => {}
            },
        }
        self.keep(&wrapped, line.cut, time_ms, seen);
        self.wrapped = wrapped;
    }

    fn form_hint(&self) -> Hint {
        if self.json > self.text { Hint::Json } else { Hint::Text }
    }

    fn keep(&mut self, bytes: &[u8], cut: bool, time_ms: Option<i64>, seen: Seen) {
        // An epoch, or a date that a line is about.
        let time_ms = time_ms.filter(|at| *at >= EARLIEST_MS);
        if let Some(first) = self.firsts_ms.iter_mut().find(|first| first.is_none()) {
            *first = time_ms;
        }
        let start = self.store.len();
        self.store.extend_from_slice(bytes);
        self.items.push_back(Item { start, end: self.store.len(), cut, time_ms, seen });
    }

    /// What the line's first record says; `None`: it is none, or not all of the line is.
    fn look(&mut self, bytes: &[u8], cut: bool, is_text: bool) -> Option<(Option<i64>, Seen)> {
        let delivery = Delivery { tag: Some(&self.tag), arrival_ms: 0, naming: Some(&self.shared.naming) };
        let (mut found, mut sound) = (None, true);
        self.reader.read(bytes, cut, delivery, |piece| match piece {
            Piece::Record(record) if found.is_none() => {
                found = Some((record.stated_time_ms(), seen(record, is_text, &mut self.shared.gathered.borrow_mut())));
            }
            Piece::Malformed(_) => sound = false,
            Piece::Record(_) | Piece::Blank => {}
        });
        found.filter(|_| sound)
    }
}

enum Hint {
    Json,
    Text,
}

fn seen(record: &Record<'_>, is_text: bool, gathered: &mut Gathered) -> Seen {
    let service = gathered.service(record.cluster(), record.service());
    if is_text && record.is_continuation() {
        // The rest of a trace says nothing of its own.
        return Seen::rest(service);
    }
    Seen::of(service, record.stated_level(), Format::of(record))
}

/// A line of text as Fluent Bit's `tail` sends it.
pub fn wrap(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"log\":\"");
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')).unwrap_or(rest.len());
        let (before, after) = rest.split_at(plain);
        out.extend_from_slice(before);
        rest = match after.split_first() {
            Some((b'\t', rest)) => {
                out.extend_from_slice(b"\\t");
                rest
            }
            Some((byte @ (b'"' | b'\\'), rest)) => {
                out.extend_from_slice(&[b'\\', *byte]);
                rest
            }
            Some((byte, rest)) => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                rest
            }
            None => after,
        };
    }
    out.extend_from_slice(b"\"}");
}

/// What a file's lines are tagged with: what names their service where nothing else does. Of `access.log.2.gz` it is
/// `access`; of a container's file what Fluent Bit would make of its path.
pub fn tag_of(file: &Found) -> Vec<u8> {
    let Some(path) = &file.path else { return b"stdin".to_vec() };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let kube = name.strip_suffix(".log").is_some_and(|stem| stem.split('_').count() == 3);
    if kube && kubernetes::of_tag(format!("containers.{name}").as_bytes()).is_some() {
        return format!("kube.var.log.containers.{name}").into_bytes();
    }
    let mut stem = name.as_str();
    while let Some((head, end)) = stem.rsplit_once('.') {
        let known = ["gz", "zst", "zstd", "log", "txt", "json", "jsonl", "ndjson", "csv", "out", "err", "clef"];
        let is_number = !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if head.is_empty() || !(is_number || known.contains(&end.to_ascii_lowercase().as_str())) {
            break;
        }
        stem = head;
    }
    // Docker's own: `<64 hex>-json.log`.
    let stem = match stem.strip_suffix("-json") {
        Some(id) if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) => id.get(..12).unwrap_or(id),
        _ => stem,
    };
    stem.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Found {
        Found {
            path: Some(name.into()),
            is_regular: true,
            name: name.into(),
            bytes: 0,
            modified_ms: Some(1_790_000_000_000),
        }
    }

    fn source(reader: impl std::io::Read + 'static, stop: &Arc<AtomicBool>) -> Source {
        let shared = Shared { gathered: RefCell::default(), naming: Arc::default(), cap: 1 << 20, stop: stop.clone() };
        let bytes = Bytes::new(Box::new(reader)).expect("a decoder");
        Source::new(&found("x.log"), bytes, b"x".to_vec(), Rc::new(shared), 0)
    }

    /// Times and lines, as they come.
    fn lines(text: &'static [u8]) -> (Vec<(i64, String)>, Oddities) {
        let mut source = source(text, &Arc::default());
        let mut all = Vec::new();
        while let Some(at) = source.time() {
            source.pass(at, |next| all.push((at, String::from_utf8_lossy(next.line.bytes).into_owned())));
        }
        (all, source.oddities)
    }

    const T: i64 = 1_759_306_320_000;

    #[test]
    fn a_line_without_a_time_has_the_last_one_and_before_the_first_the_first() {
        let (all, odd) = lines(b"head\n2025-10-01 08:12:00 INFO a\n  more\n2025-10-01 08:12:05 INFO b\n");
        let times: Vec<i64> = all.iter().map(|(at, _)| at - T).collect();
        assert_eq!(times, [0, 0, 0, 5_000]);
        assert_eq!(all[0].1, r#"{"log":"head"}"#);
        assert_eq!((odd.timeless, odd.timed), (2, 2));
    }

    #[test]
    fn a_file_that_tells_no_time_has_that_of_its_writing() {
        let (all, odd) = lines(b"a\nb\n");
        assert_eq!((all[0].0, all[1].0, odd.timed), (1_790_000_000_000, 1_790_000_000_000, 0));
    }

    #[test]
    fn a_time_far_ahead_of_its_neighbours_is_none_and_a_pause_is_one() {
        let (all, odd) = lines(
            b"2025-10-01 08:12:00 a\n2099-10-01 08:12:00 b\n2025-10-01 08:12:01 c\n2025-10-02 08:12:01 d\n2025-10-01 08:12:01 e\n",
        );
        let times: Vec<i64> = all.iter().map(|(at, _)| (at - T) / 1000).collect();
        assert_eq!((times, odd.ahead, odd.backwards), (vec![0, 0, 1, 1, 1], 2, 0));
        let (all, odd) =
            lines(b"2025-10-01 08:12:00 a\n2025-10-02 08:12:00 b\n2025-10-02 08:12:01 c\n2025-10-02 08:12:02 d\n2025-10-01 08:12:00 e\n");
        assert_eq!((all[1].0 - T, odd.ahead, odd.backwards), (86_400_000, 0, 1));
    }

    #[test]
    fn a_wrong_clock_on_the_first_line_or_twice_in_a_row_sets_no_other_lines() {
        let (all, odd) = lines(b"x\n2099-10-01 08:12:00 a\n2025-10-01 08:12:00 b\n2025-10-01 08:12:01 c\n");
        let times: Vec<i64> = all.iter().map(|(at, _)| (at - T) / 1000).collect();
        assert_eq!((times, odd.ahead, odd.backwards), (vec![0, 0, 0, 1], 1, 0));
        let (all, odd) = lines(
            b"2025-10-01 08:12:00 a\n2099-10-01 08:12:00 b\n2099-10-01 08:12:01 c\n  more\n2025-10-01 08:12:01 d\n",
        );
        let times: Vec<i64> = all.iter().map(|(at, _)| (at - T) / 1000).collect();
        assert_eq!((times, odd.ahead, odd.backwards), (vec![0, 0, 0, 0, 1], 2, 0));
        // One line alone is believed.
        assert_eq!(lines(b"2099-10-01 08:12:00 a\n").0[0].0, 4_094_525_520_000);
    }

    #[test]
    fn lines_are_of_no_time_where_none_told_one_and_long_after_the_last_that_did() {
        let text = "a\n".repeat(3) + "2025-10-01 08:12:00 b\n" + &"c\n".repeat(300) + "2025-10-01 08:13:00 d\ne\n";
        let mut source = source(std::io::Cursor::new(text.into_bytes()), &Arc::default());
        let mut timeless = Vec::new();
        while let Some(at) = source.time() {
            source.pass(at, |next| timeless.push(next.is_timeless));
        }
        let expected: Vec<bool> = (0..306).map(|line| (4 + 256..304).contains(&line)).collect();
        assert_eq!(timeless, expected);
    }

    #[test]
    fn what_waits_for_a_time_is_bounded_whatever_the_lines_are() {
        for line in ["\n", "a\n", "{}\n", "  \n"] {
            let text = line.repeat(4_000_000 / line.len() / if line == "\n" { 1 } else { 8 });
            let count = text.len() / line.len();
            let mut source = source(std::io::Cursor::new(text.into_bytes()), &Arc::default());
            let (mut most, mut lines) = (0, 0);
            while let Some(at) = source.time() {
                most = most.max(source.held());
                lines += source.pass(at, |_| 1).unwrap_or(0);
            }
            assert_eq!(lines, count, "{line:?}");
            // And what one block of the file adds at once.
            assert!(most < WAIT_MAX + 128 * 1024 * (size_of::<Item>() + 16), "{line:?}: {most}");
        }
    }

    #[test]
    fn who_has_had_enough_gets_no_half_line_and_no_word_of_damage() {
        /// Sets the flag with its last bytes.
        struct Stops(Vec<u8>, Arc<AtomicBool>);
        impl std::io::Read for Stops {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let bytes = self.0.len().min(into.len());
                into[..bytes].copy_from_slice(&self.0[..bytes]);
                self.0.drain(..bytes);
                self.1.store(self.0.is_empty(), Ordering::Relaxed);
                Ok(bytes)
            }
        }
        let text = "2025-10-01 08:12:00 a\n".repeat(20_000) + "{\"half\":";
        let stop: Arc<AtomicBool> = Arc::default();
        let mut source = source(Stops(text.into_bytes(), stop.clone()), &stop);
        let mut all = Vec::new();
        while let Some(at) = source.time() {
            source.pass(at, |next| all.push(next.line.bytes.len()));
        }
        assert!(!all.is_empty() && all.iter().all(|len| *len == all[0]), "whole lines alone");
        assert!(source.stopped && source.broken.is_none() && source.taken > 0, "{:?}", source.broken);
    }

    #[test]
    fn records_stand_as_they_are_and_texts_are_wrapped_whatever_the_file() {
        for (text, expected) in [
            (&b"{\"a\":1}\n{\"b\":2}\n"[..], vec!["{\"a\":1}", "{\"b\":2}"]),
            (b"[{\"a\":1},\n {\"b\":2}]\n", vec!["{\"a\":1}", "{\"b\":2}"]),
            (b"{\"a\":1}{\"b\":2}", vec!["{\"a\":1}", "{\"b\":2}"]),
            (b"{\n \"a\": 1\n}\n{\n \"b\": 2\n}\n", vec!["{\n \"a\": 1\n}", "{\n \"b\": 2\n}"]),
            (b"[main] a\n[x] \"b\"\\\n", vec![r#"{"log":"[main] a"}"#, r#"{"log":"[x] \"b\"\\"}"#]),
            (b"{x} is no JSON\r\n\r\n", vec![r#"{"log":"{x} is no JSON"}"#, ""]),
            (b"{\"a\":1}\n{\"cut", vec!["{\"a\":1}", "{\"cut"]),
            (b"", vec![]),
        ] {
            let all: Vec<String> = lines(text).0.into_iter().map(|(_, line)| line).collect();
            assert_eq!(all, expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_file_names_its_service_by_what_is_its_own_in_its_name() {
        let id = "a".repeat(64);
        for (name, tag) in [
            ("/var/log/access.log.2.gz", "access".to_owned()),
            ("orders.ndjson.zst", "orders".into()),
            ("app-2025-10-01.log", "app-2025-10-01".into()),
            (".log", ".log".into()),
            (&format!("{id}-json.log"), "a".repeat(12)),
            ("kafka_server_2016-12-19.log", "kafka_server_2016-12-19".into()),
            (&format!("web-1_prod_app-{id}.log"), format!("kube.var.log.containers.web-1_prod_app-{id}.log")),
        ] {
            assert_eq!(String::from_utf8(tag_of(&found(name))), Ok(tag), "{name}");
        }
    }
}
