//! The pieces that dialects of access lines share: words, quoted texts, statuses, durations.
//!
//! All of them take from the front of a text and answer with what they took and what is left, or with nothing.

use crate::record::steps;

/// What is still to be read of a line.
#[derive(Clone, Copy)]
pub(super) struct Words<'a>(pub(super) &'a [u8]);

impl<'a> Words<'a> {
    fn skip_blanks(&mut self) {
        let before = self.0.len();
        self.0 = self.0.trim_ascii_start();
        steps::add(before - self.0.len());
    }

    /// The next word; empty at the end.
    pub(super) fn word(&mut self) -> &'a [u8] {
        self.skip_blanks();
        let end = self.0.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(self.0.len());
        steps::add(end);
        let (word, rest) = self.0.split_at_checked(end).unwrap_or((self.0, &[]));
        self.0 = rest;
        word
    }

    /// The next `"…"`, without its quotes. A word that is not quoted is left alone.
    pub(super) fn quoted(&mut self) -> Option<&'a [u8]> {
        self.skip_blanks();
        let inside = self.0.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', inside);
        steps::add(end.unwrap_or(inside.len()));
        let end = end?;
        let (text, rest) = inside.split_at_checked(end)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(text)
    }

    /// The next `open…close`, without its brackets.
    pub(super) fn bracketed(&mut self, open: u8, close: u8) -> Option<&'a [u8]> {
        self.skip_blanks();
        let inside = self.0.strip_prefix(&[open])?;
        let end = memchr::memchr(close, inside);
        steps::add(end.unwrap_or(inside.len()));
        let end = end?;
        let (text, rest) = inside.split_at_checked(end)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(text)
    }

    /// Takes `text` off the front, if it is there.
    pub(super) fn is_next(&mut self, text: &[u8]) -> bool {
        self.skip_blanks();
        match self.0.strip_prefix(text) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
}

/// A status that HTTP has.
pub(super) fn status(word: &[u8]) -> Option<u16> {
    match word {
        [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let [a, b, c] = [a, b, c].map(|d| u16::from(d - b'0'));
            Some(a * 100 + b * 10 + c)
        }
        _ => None,
    }
}

/// A count of bytes: digits, or `-` for none.
pub(super) fn is_bytes(word: &[u8]) -> bool {
    word == b"-" || (!word.is_empty() && word.iter().all(u8::is_ascii_digit))
}

/// `12.5` of a unit as microseconds; `None` for `-` and for what is no number.
pub(super) fn micros(number: &[u8], unit_us: f64) -> Option<u64> {
    let number: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    (0.0..1e12).contains(&number).then_some((number * unit_us) as u64)
}

/// `31ms`, `1.2s`, `17µs`: a number with its unit glued on.
pub(super) fn micros_with_unit(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let (number, unit) = word.split_at_checked(digits)?;
    let unit_us = match unit {
        b"s" => 1e6,
        b"ms" => 1e3,
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => 1.0,
        b"ns" => 1e-3,
        _ => return None,
    };
    micros(number, unit_us)
}

/// Method, path and protocol of `GET /x HTTP/1.1`, as it stands between quotes.
pub(super) fn request(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    match super::split_request(text) {
        (b"", _, _) => None,
        split => Some(split),
    }
}

/// Is it a method of HTTP?
pub(super) fn is_method(word: &[u8]) -> bool {
    matches!(word, b"GET" | b"POST" | b"PUT" | b"HEAD" | b"DELETE" | b"PATCH" | b"OPTIONS" | b"CONNECT" | b"TRACE")
}
