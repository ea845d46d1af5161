//! The pass over a message: token by token, run by run.

use super::super::words;
use super::number::{self, Number};
use super::{Kind, span};

const SPACE: u8 = 1;
pub(super) const DIGIT: u8 = 2;
/// Letters; every byte of a character beyond ASCII.
pub(super) const ALPHA: u8 = 4;
pub(super) const HEX: u8 = 8;
/// May open a value, or part a key from one.
const MARK: u8 = 16;

pub(super) const WORD: u8 = DIGIT | ALPHA;

/// How much of a key's value is searched for a word that says what happened, in bytes.
const TELLING: usize = 64;

const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            0..=b' ' | 0x7f => SPACE,
            b'0'..=b'9' => DIGIT | HEX,
            b'a'..=b'f' | b'A'..=b'F' => ALPHA | HEX,
            b'g'..=b'z' | b'G'..=b'Z' | 0x80.. => ALPHA,
            b'/' | b'@' | b'"' | b'\'' | b'`' | b'=' | b'\\' => MARK,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

#[inline]
pub(super) fn class(byte: u8) -> u8 {
    CLASS.get(usize::from(byte)).copied().unwrap_or(0)
}

/// The byte at `i`; a space beyond the end.
#[inline]
pub(super) fn at(src: &[u8], i: usize) -> u8 {
    src.get(i).copied().unwrap_or(b' ')
}

/// The end of the run of bytes of these classes that begins at `i`.
#[inline]
pub(super) fn run(src: &[u8], mut i: usize, classes: u8) -> usize {
    while src.get(i).is_some_and(|b| class(*b) & classes != 0) {
        i += 1;
    }
    i
}

pub(super) struct Scan<'a> {
    src: &'a [u8],
    pos: usize,
    pub(super) out: &'a mut Vec<u8>,
    /// A quote that closes what was not masked: it opens nothing.
    closing: usize,
    /// Before these, nothing of the kind begins: looked for already. They keep the pass linear.
    no_quote_before: usize,
    no_email_before: usize,
    no_path_before: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(src: &'a [u8], out: &'a mut Vec<u8>) -> Scan<'a> {
        Scan { src, pos: 0, out, closing: usize::MAX, no_quote_before: 0, no_email_before: 0, no_path_before: 0 }
    }

    /// Moves to the next token; `false` at the end.
    pub(super) fn next_token(&mut self) -> bool {
        self.pos = run(self.src, self.pos, SPACE);
        self.pos < self.src.len()
    }

    /// Masks one token. `true`: it was part of the value before it, and what stands last is the space put before it.
    pub(super) fn token(&mut self) -> bool {
        let start = self.pos;
        let (mut end, mut seen) = (start, 0);
        while let Some(byte) = self.src.get(end) {
            let class = class(*byte);
            if class & SPACE != 0 {
                break;
            }
            seen |= class;
            end += 1;
        }
        let chunk = self.src.get(start..end).unwrap_or_default();
        if chunk.len() <= 8 && self.belongs_to_last(chunk) {
            self.pos = end;
            return true;
        }
        if seen & (DIGIT | MARK) != 0 {
            self.until(end, true);
            return false;
        }
        if chunk.len() == 3 && self.names_of_time(chunk, end) {
            return false;
        }
        self.out.extend_from_slice(chunk);
        self.pos = end;
        false
    }

    /// A unit after a number, a year or a zone after a time. Punctuation after a unit is kept.
    fn belongs_to_last(&mut self, chunk: &[u8]) -> bool {
        let Some((space, before)) = self.out.split_last() else { return false };
        if *space != b' ' {
            return false;
        }
        let last = before.last().copied().unwrap_or(0);
        if last == Kind::Number.byte() {
            let length =
                chunk.iter().position(|b| matches!(b, b',' | b')' | b';' | b'.' | b']')).unwrap_or(chunk.len());
            let (word, after) = chunk.split_at(length);
            let time = words::is_time_unit(word) && word.len() > 1;
            if !(time || words::is_unit(word)) {
                return false;
            }
            self.out.pop();
            if time {
                self.out.pop();
                self.out.push(Kind::Duration.byte());
            }
            self.out.extend_from_slice(after);
            self.out.push(b' ');
            return true;
        }
        let year = chunk.len() == 4
            && chunk.iter().all(u8::is_ascii_digit)
            && matches!(chunk, [b'1', b'9', ..] | [b'2', b'0', ..]);
        last == Kind::Time.byte() && (year || chunk == b"UTC" || chunk == b"GMT")
    }

    /// `Mon Jun 20`, `Jun 20`: a time, with the day.
    fn names_of_time(&mut self, chunk: &[u8], end: usize) -> bool {
        let mut next = run(self.src, end, SPACE);
        if words::is_day(chunk) {
            if !words::is_month(self.src.get(next..next + 3).unwrap_or_default()) {
                return false;
            }
            next = run(self.src, next + 3, SPACE);
        } else if !words::is_month(chunk) {
            return false;
        }
        let day = run(self.src, next, DIGIT);
        if day == next || day - next > 2 || class(at(self.src, day)) & SPACE == 0 {
            return false;
        }
        self.out.push(Kind::Time.byte());
        self.pos = day;
        true
    }

    /// Masks from here to `end`, or beyond it where a value with spaces began before. `keys`: values of keys are
    /// masked as such.
    fn until(&mut self, end: usize, keys: bool) {
        let start = self.pos;
        let mut end = end;
        while self.pos < end {
            let byte = at(self.src, self.pos);
            let before = if self.pos > start { at(self.src, self.pos - 1) } else { b' ' };
            match byte {
                _ if class(byte) & WORD != 0 => self.word(before, end),
                b'"' | b'\'' | b'`' if class(before) & WORD == 0 => {
                    self.quoted(byte);
                    if self.pos > end {
                        // What follows the closing quote belongs to the same token.
                        end = self
                            .src
                            .iter()
                            .skip(self.pos)
                            .position(|b| class(*b) & SPACE != 0)
                            .map_or(self.src.len(), |n| self.pos + n);
                    }
                }
                b'/' if class(before) & WORD == 0 && !matches!(before, b'/' | b'.' | b'>' | b'*') => self.path(),
                b'=' if keys && class(before) & WORD != 0 => self.value(end),
                b'-' | b'+' if class(before) & WORD == 0 && class(at(self.src, self.pos + 1)) & DIGIT != 0 => {
                    self.pos += 1
                }
                b'.' if self.src.get(self.pos..).is_some_and(|rest| rest.starts_with(b"...")) => {
                    // Dots that lead from a word to its value part them like a space.
                    let rest = self.src.get(self.pos..end).unwrap_or_default();
                    self.pos += rest.iter().position(|b| *b != b'.').unwrap_or(rest.len());
                    self.out.extend_from_slice(if self.pos < end { b"... " } else { b"..." });
                }
                _ => {
                    self.out.push(byte);
                    self.pos += 1;
                }
            }
        }
    }

    fn word(&mut self, before: u8, end: usize) {
        let (src, pos) = (self.src, self.pos);
        if before != b'_' && self.whole(pos) {
            return;
        }
        if class(at(src, pos)) & DIGIT != 0 {
            match number::read(src, pos) {
                Number::Value(kind, after) => return self.put(kind, after),
                Number::Mixed => {}
            }
        }
        let stop = run(src, pos, WORD).min(end.max(pos + 1));
        let word = src.get(pos..stop).unwrap_or_default();
        match number::mixed(word) {
            number::Mixed::Word => self.out.extend_from_slice(word),
            number::Mixed::Value(kind) => return self.put(kind, stop),
            number::Mixed::Numbered => self.numbered(word),
        }
        self.pos = stop;
    }

    /// Letters with digits at their end or front: the letters stay.
    fn numbered(&mut self, word: &[u8]) {
        let mut digits = false;
        for byte in word {
            let digit = byte.is_ascii_digit();
            if !digit {
                self.out.push(*byte);
            } else if !digits {
                self.placeholder(Kind::Number);
            }
            digits = digit;
        }
    }

    /// Values that begin like a word and hold more than one run.
    fn whole(&mut self, pos: usize) -> bool {
        let src = self.src;
        let found = span::url(src, pos)
            .map(|end| (Kind::Url, end))
            .or_else(|| number::uuid(src, pos).map(|end| (Kind::Uuid, end)))
            .or_else(|| number::colons(src, pos))
            .or_else(|| span::drive(src, pos).map(|end| (Kind::Path, end)));
        if let Some((kind, end)) = found {
            self.put(kind, end);
            return true;
        }
        if pos >= self.no_email_before {
            match span::email(src, pos) {
                Ok(end) => {
                    self.put(Kind::Email, end);
                    return true;
                }
                Err(looked) => self.no_email_before = looked,
            }
        }
        if pos >= self.no_path_before && class(at(src, pos)) & DIGIT == 0 {
            match span::relative(src, pos) {
                Ok(end) => {
                    self.put(Kind::Path, end);
                    return true;
                }
                Err(looked) => self.no_path_before = looked,
            }
        }
        false
    }

    fn path(&mut self) {
        let (src, pos) = (self.src, self.pos);
        if let Number::Value(Kind::Ip, _) = number::read(src, pos + 1) {
            self.out.push(b'/');
            self.pos += 1;
            return;
        }
        let end = span::path(src, pos);
        if end > pos + 1 {
            self.put(Kind::Path, end);
        } else {
            self.out.push(b'/');
            self.pos += 1;
        }
    }

    fn quoted(&mut self, quote: u8) {
        let (src, pos) = (self.src, self.pos);
        self.out.push(quote);
        self.pos += 1;
        if pos == self.closing || pos < self.no_quote_before {
            return;
        }
        match span::quoted(src, pos) {
            Err(looked) => self.no_quote_before = looked,
            Ok(close) => {
                let inner = src.get(pos + 1..close).unwrap_or_default();
                let name = at(src, close + 1) == b':';
                let opening = self.out.len() - 1;
                let tells = self.out.get(..opening).is_some_and(words::tells);
                if name || tells || span::telling(inner) {
                    self.closing = close;
                } else {
                    self.placeholder(Kind::Quoted);
                    self.out.push(quote);
                    self.pos = close + 1;
                }
            }
        }
    }

    /// What follows `=`: one value, whatever it is, unless it says what happened.
    fn value(&mut self, end: usize) {
        let (src, pos) = (self.src, self.pos);
        self.out.push(b'=');
        self.pos += 1;
        let stop = span::value(src, pos + 1).min(end);
        let text = src.get(pos + 1..stop).unwrap_or_default();
        if matches!(at(src, pos + 1), b'<' | b'{' | b'[' | b'(' | b'"' | b'\'' | b'`' | b'=') {
            return;
        }
        let from = self.out.len();
        if words::tells(self.out) || words::alarm(text.get(..TELLING).unwrap_or(text)).is_some() {
            return;
        }
        self.until(stop, false);
        if self.out.len() != from + 1 || !self.out.last().is_some_and(|b| super::is_placeholder(*b)) {
            self.out.truncate(from);
            self.out.push(Kind::Any.byte());
        }
    }

    fn put(&mut self, kind: Kind, after: usize) {
        self.placeholder(kind);
        self.pos = after;
    }

    /// Values with one sign between them are one value: `1445_0020`, `10-20`.
    fn placeholder(&mut self, kind: Kind) {
        if let [.., last, b'_' | b'-' | b'.' | b':' | b'/' | b'+' | b','] = self.out.as_slice()
            && super::is_placeholder(*last)
        {
            let both = if *last == kind.byte() { kind } else { Kind::Id };
            let kept = self.out.len() - 2;
            self.out.truncate(kept);
            self.out.push(both.byte());
        } else {
            self.out.push(kind.byte());
        }
    }
}
