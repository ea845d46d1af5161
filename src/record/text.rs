//! A string as it stands in the line: raw, and how many layers of JSON escaping lie over it.
//!
//! Most strings hold no backslash, and then the raw bytes are the text at every nesting; comparing,
//! searching and parsing numbers cost nothing more. Only the others are unescaped, and only when asked.

use std::borrow::Cow;

use super::steps;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text<'a> {
    raw: &'a [u8],
    /// Where `raw` begins in its line. (Lines are of megabytes at the most; texts are copied a lot.)
    start: u32,
    /// 0: the text itself. 1: within a JSON string. 2: within a JSON string within a JSON string.
    escapes: u8,
    /// No byte of it is escaped but quotes, each by one backslash.
    only_quotes: bool,
}

impl<'a> Text<'a> {
    pub fn plain(raw: &'a [u8]) -> Self {
        Text { raw, start: 0, escapes: 0, only_quotes: false }
    }

    pub fn escaped(raw: &'a [u8], start: usize, escapes: u8) -> Self {
        Text { raw, start: start as u32, escapes, only_quotes: false }
    }

    /// The same text, whose only escape, within one JSON string, is known to be `\"`.
    pub(super) fn of_quotes(self) -> Self {
        Text { only_quotes: self.escapes == 1, ..self }
    }

    /// Bytes in which a text without quotes and backslashes stands exactly if it stands in this text; `None` where
    /// only the text itself tells.
    pub fn searchable(&self) -> Option<&'a [u8]> {
        // What is between two escapes is the same in both, and nothing that is looked for reaches over one.
        (self.only_quotes || !self.has_escapes()).then_some(self.raw)
    }

    /// A piece of this text, escaped as it is. (`start` then means nothing: no JSON is walked within it.)
    pub fn with_raw(self, raw: &'a [u8]) -> Self {
        Text { raw, ..self }
    }

    /// What follows the first `length` bytes, where these have no escapes in them.
    pub fn after(self, length: usize) -> Self {
        Text { raw: self.raw.get(length..).unwrap_or_default(), start: self.start + length as u32, ..self }
    }

    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// How many layers of escaping lie over it.
    pub fn escapes(&self) -> u8 {
        self.escapes
    }

    pub fn start(&self) -> usize {
        self.start as usize
    }

    pub fn end(&self) -> usize {
        self.start() + self.raw.len()
    }

    /// Equal to `text`, whatever its escaping.
    #[inline]
    pub fn is(&self, text: &str) -> bool {
        if self.escapes == 0 { self.raw == text.as_bytes() } else { *self.decoded() == *text.as_bytes() }
    }

    #[inline]
    fn has_escapes(&self) -> bool {
        self.escapes > 0 && memchr::memchr(b'\\', self.raw).is_some()
    }

    /// The text, unescaped; borrowed when there is nothing to unescape.
    pub fn decoded(&self) -> Cow<'a, [u8]> {
        if !self.has_escapes() {
            return Cow::Borrowed(self.raw);
        }
        let mut once = Vec::with_capacity(self.raw.len());
        unescape(self.raw, &mut once);
        if self.escapes == 1 {
            return Cow::Owned(once);
        }
        let mut twice = Vec::with_capacity(once.len());
        unescape(&once, &mut twice);
        Cow::Owned(twice)
    }

    /// The same into a reused buffer: the view that comes back is the raw text or the buffer.
    pub fn decode<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.has_escapes() {
            return self.raw;
        }
        buffer.clear();
        if self.escapes == 1 {
            unescape(self.raw, buffer);
        } else {
            *buffer = self.decoded().into_owned();
        }
        buffer
    }

    /// For people: bad UTF-8 becomes U+FFFD.
    pub fn to_string_lossy(&self) -> Cow<'a, str> {
        match self.decoded() {
            Cow::Borrowed(raw) => String::from_utf8_lossy(raw),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

/// Removes one layer of JSON escaping. A lone surrogate becomes U+FFFD; an escape that JSON does not know
/// stays as it is. (Fluent Bit 1.9 on arm64 writes U+1F600 as `\u1f600`: nobody can tell that from U+1F60
/// followed by a zero, so it reads as the latter.)
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        steps::add(at + 1);
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let taken = match escape.get(1) {
            Some(b'n') => push(out, b'\n'),
            Some(b't') => push(out, b'\t'),
            Some(b'r') => push(out, b'\r'),
            Some(b'b') => push(out, 8),
            Some(b'f') => push(out, 12),
            Some(byte @ (b'"' | b'\\' | b'/')) => push(out, *byte),
            Some(b'u') => unicode(escape, out),
            _ => {
                out.push(b'\\');
                1
            }
        };
        rest = escape.get(taken..).unwrap_or_default();
    }
    steps::add(rest.len());
    out.extend_from_slice(rest);
}

fn push(out: &mut Vec<u8>, byte: u8) -> usize {
    out.push(byte);
    2
}

/// `\uXXXX`, with its low surrogate if there is one; answers how many bytes of `escape` were taken.
fn unicode(escape: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(first) = hex4(escape.get(2..6)) else {
        out.push(b'\\');
        return 1;
    };
    let (code, taken) = match first {
        0xD800..=0xDBFF => {
            let low = escape.get(6..8).filter(|next| *next == b"\\u").and_then(|_| hex4(escape.get(8..12)));
            match low {
                Some(low @ 0xDC00..=0xDFFF) => (0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00), 12),
                _ => (0xFFFD, 6),
            }
        }
        other => (other, 6),
    };
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    taken
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |sum, byte| Some(sum << 4 | char::from(*byte).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_of_every_kind_are_undone_and_broken_ones_stay() {
        for (raw, want) in [
            (r#"plain"#, "plain"),
            (r#"a\n\t\r\"\\\/\b\fz"#, "a\n\t\r\"\\/\u{8}\u{c}z"),
            (r#"\u00e9\ud83d\ude00!"#, "é😀!"),
            (r#"\ud83d lone"#, "\u{fffd} lone"),
            (r#"\ude00 lone"#, "\u{fffd} lone"),
            (r#"\u12"#, r#"\u12"#),
            (r#"\x41 and \"#, r#"\x41 and \"#),
        ] {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn two_layers_of_escaping_come_off_as_serde_json_put_them_on(text in any::<String>()) {
            let quoted = |s: &str| {
                let quoted = serde_json::to_string(s).expect("a string");
                quoted.get(1..quoted.len() - 1).expect("between its quotes").to_owned()
            };
            let once = quoted(&text);
            let twice = quoted(&once);
            prop_assert_eq!(Text::escaped(once.as_bytes(), 0, 1).to_string_lossy(), text.as_str());
            prop_assert_eq!(Text::escaped(twice.as_bytes(), 0, 2).to_string_lossy(), text.as_str());
            prop_assert!(Text::escaped(twice.as_bytes(), 0, 2).is(&text));
        }
    }
}
