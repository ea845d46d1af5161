//! Walks the fields of one JSON object over the masks of [`super::index`], at the line's own nesting or
//! inside one of its strings, without unescaping and without allocating.
//!
//! It is as lenient as an honest Fluent Bit needs: `nan`, `inf`, integer keys, raw control bytes and bad
//! UTF-8 pass. It is strict about shape: a trailing comma, a missing colon, an unclosed string or bracket
//! is malformed, with the reason. What stands inside nested objects and arrays is skipped by its brackets;
//! it is read only when a rule asks for it.

use super::index::{Depth, Index, parity};
use super::steps;
use super::text::Text;

/// Objects and arrays deeper than this are refused, as serde_json refuses them; one bit each.
const DEPTH_MAX: u32 = 128;

/// Why a line is no record. A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Malformed {
    /// Does not begin with `{`.
    NotAnObject,
    /// Ends inside a string, object or array.
    Unterminated,
    /// A comma, colon, key or value is missing or out of place.
    Syntax,
    /// Nested deeper than 128.
    TooDeep,
}

impl Malformed {
    pub const ALL: [Malformed; 4] = [Self::NotAnObject, Self::Unterminated, Self::Syntax, Self::TooDeep];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Unterminated => "unterminated",
            Self::Syntax => "syntax",
            Self::TooDeep => "too_deep",
        }
    }
}

/// One value, as a view into the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Text(Text<'a>),
    Number(&'a [u8]),
    /// A number that was read off a text (an access line's status), not off JSON.
    Int(u64),
    Bool(bool),
    Null,
    /// From `{` to `}`.
    Object(Span<'a>),
    /// From `[` to `]`.
    Array(Span<'a>),
}

/// A nested value: where it stands in the line, and at which nesting its quotes are to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span<'a> {
    start: u32,
    pub depth: Depth,
    /// The bytes themselves, for those who show them.
    pub raw: &'a [u8],
}

impl Span<'_> {
    pub fn start(&self) -> usize {
        self.start as usize
    }

    pub fn end(&self) -> usize {
        self.start() + self.raw.len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    pub key: Text<'a>,
    pub value: Value<'a>,
}

/// One JSON text within an indexed line.
#[derive(Clone, Copy)]
pub struct Walker<'a> {
    line: &'a [u8],
    index: &'a Index,
    depth: Depth,
    /// One past the last byte of this JSON.
    end: usize,
    /// The text was cut at its end: what is open there is closed there, and is no fault.
    cut: bool,
}

impl<'a> Walker<'a> {
    /// The line's own JSON.
    pub fn of_line(line: &'a [u8], index: &'a Index) -> Self {
        Walker { line, index, depth: Depth::Line, end: line.len(), cut: false }
    }

    /// The JSON of a nested value, or of a string's content, which ends before `end`.
    pub fn within(line: &'a [u8], index: &'a Index, end: usize, depth: Depth) -> Self {
        Walker { line, index, depth, end, cut: false }
    }

    /// The same for a text of which only the head is here.
    pub fn cut(self, cut: bool) -> Self {
        Walker { cut, ..self }
    }

    /// The fields of the object at `at`, in order; answers where it ends.
    pub fn object(&self, at: usize, field: impl FnMut(Field<'a>)) -> Result<usize, Malformed> {
        match self.fields(at, field) {
            Err(Malformed::Unterminated) if self.cut => Ok(self.end),
            other => other,
        }
    }

    /// Where the value at `at` ends: for those who only pass it by.
    pub fn past(&self, at: usize) -> Result<usize, Malformed> {
        self.value(at).map(|(_, after)| after)
    }

    fn fields(&self, at: usize, mut field: impl FnMut(Field<'a>)) -> Result<usize, Malformed> {
        let mut at = self.blanks(at);
        if self.byte(at)? != b'{' {
            return Err(Malformed::NotAnObject);
        }
        at = self.blanks(at + 1);
        if self.byte(at)? == b'}' {
            return Ok(at + 1);
        }
        loop {
            let (key, after) = self.key(at)?;
            at = self.blanks(after);
            if self.byte(at)? != b':' {
                return Err(Malformed::Syntax);
            }
            let (value, after) = self.value(self.blanks(at + 1))?;
            steps::add(1);
            field(Field { key, value });
            at = self.blanks(after);
            match self.byte(at)? {
                b',' => at = self.blanks(at + 1),
                b'}' => return Ok(at + 1),
                _ => return Err(Malformed::Syntax),
            }
        }
    }

    /// First position at or after `at` that is no blank; inside a string a blank may itself be escaped.
    pub fn blanks(&self, mut at: usize) -> usize {
        loop {
            match self.line.get(at..self.end) {
                Some([b' ' | b'\t' | b'\r' | b'\n', ..]) => at += 1,
                Some([b'\\', b'n' | b't' | b'r', ..]) if self.depth == Depth::Inner => at += 2,
                _ => return at,
            }
        }
    }

    #[inline]
    fn byte(&self, at: usize) -> Result<u8, Malformed> {
        if at < self.end {
            self.line.get(at).copied().ok_or(Malformed::Unterminated)
        } else {
            Err(Malformed::Unterminated)
        }
    }

    /// A quoted key, or a bare integer as Fluent Bit writes one for an integer map key.
    fn key(&self, at: usize) -> Result<(Text<'a>, usize), Malformed> {
        if let Some(opened) = self.quote(at) {
            let (key, after) = self.string(opened)?;
            // Looked for once here, so that comparing keys need not.
            let plain = !key.raw().contains(&b'\\');
            return Ok((if plain { Text::escaped(key.raw(), key.start(), 0) } else { key }, after));
        }
        let digits = self.run(at, |b| b.is_ascii_digit() || b == b'-');
        if digits.is_empty() {
            self.byte(at)?;
            return Err(Malformed::Syntax);
        }
        Ok((Text::plain(digits), at + digits.len()))
    }

    pub(super) fn value(&self, at: usize) -> Result<(Value<'a>, usize), Malformed> {
        if let Some(opened) = self.quote(at) {
            let (text, after) = self.string(opened)?;
            return Ok((Value::Text(text), after));
        }
        match self.byte(at)? {
            open @ (b'{' | b'[') => {
                let end = self.skip(at)?;
                let raw = self.line.get(at..end).unwrap_or_default();
                let span = Span { start: at as u32, depth: self.depth, raw };
                Ok((if open == b'{' { Value::Object(span) } else { Value::Array(span) }, end))
            }
            _ => {
                let word = self.run(at, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'));
                let value = match word {
                    b"true" => Value::Bool(true),
                    b"false" => Value::Bool(false),
                    b"null" => Value::Null,
                    // What Fluent Bit and Python write for floats that JSON has no word for.
                    b"nan" | b"-nan" | b"inf" | b"-inf" | b"NaN" | b"Infinity" | b"-Infinity" => Value::Null,
                    [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] if is_number(word) => Value::Number(word),
                    _ => return Err(Malformed::Syntax),
                };
                Ok((value, at + word.len()))
            }
        }
    }

    fn run(&self, at: usize, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.line.get(at..self.end).unwrap_or_default();
        let len = rest.iter().position(|b| !keep(*b)).unwrap_or(rest.len());
        steps::add(len);
        rest.get(..len).unwrap_or_default()
    }

    /// Where the quote byte of a string that begins at `at` stands: there, or one further inside a string.
    #[inline]
    fn quote(&self, at: usize) -> Option<usize> {
        let quote = match (self.depth, self.line.get(at..self.end)) {
            (Depth::Line, Some([b'"', ..])) => at,
            (Depth::Inner, Some([b'\\', b'"', ..])) => at + 1,
            _ => return None,
        };
        let mask = self.index.quotes(self.depth, quote / 64).unwrap_or_default();
        (mask >> (quote % 64) & 1 == 1).then_some(quote)
    }

    /// The string whose opening quote byte is at `opened`, and the position after it.
    fn string(&self, opened: usize) -> Result<(Text<'a>, usize), Malformed> {
        let Some(closing) = self.next_quote(opened + 1) else {
            return self.unclosed(opened + 1);
        };
        let (content_end, levels) = match self.depth {
            Depth::Line => (closing, 1),
            Depth::Inner => (closing - 1, 2),
        };
        let raw = self.line.get(opened + 1..content_end).unwrap_or_default();
        Ok((Text::escaped(raw, opened + 1, levels), closing + 1))
    }

    /// A string without its closing quote: the head of one when the text was cut there.
    #[cold]
    fn unclosed(&self, start: usize) -> Result<(Text<'a>, usize), Malformed> {
        if !self.cut {
            return Err(Malformed::Unterminated);
        }
        let raw = self.line.get(start..self.end).unwrap_or_default();
        Ok((Text::escaped(raw, start, if self.depth == Depth::Line { 1 } else { 2 }), self.end))
    }

    #[inline]
    fn next_quote(&self, from: usize) -> Option<usize> {
        self.index.next_quote(self.depth, from).filter(|at| *at < self.end)
    }

    /// The position after the object or array that opens at `at`. Strings are masked out a word at a time
    /// (a running parity of the quotes), so only brackets that count are visited.
    fn skip(&self, at: usize) -> Result<usize, Malformed> {
        let mut open: u128 = 0; // one bit a level: 1 for an object
        let mut depth = 0u32;
        let mut in_string = 0u64; // all ones while a string crosses the word border
        let mut from = u64::MAX << (at % 64);
        for (word, marks) in self.index.words().iter().enumerate().skip(at / 64) {
            let quote = marks.of(self.depth) & from;
            let inside = parity(quote) ^ in_string;
            in_string = ((inside as i64) >> 63) as u64;
            let mut bits = marks.brackets & from & !inside;
            steps::add(1 + bits.count_ones() as usize);
            from = u64::MAX;
            while bits != 0 {
                let place = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let byte = self.byte(place)?;
                if matches!(byte, b'{' | b'[') {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(Malformed::TooDeep);
                    }
                    open = open << 1 | u128::from(byte == b'{');
                    continue;
                }
                if (open & 1 == 1) != (byte == b'}') {
                    return Err(Malformed::Syntax);
                }
                open >>= 1;
                depth -= 1;
                if depth == 0 {
                    return Ok(place + 1);
                }
            }
        }
        Err(Malformed::Unterminated)
    }
}

/// Digits with at most one point and one exponent; leading zeros pass.
fn is_number(word: &[u8]) -> bool {
    let (mut point, mut exponent, mut digit) = (false, false, false);
    for (i, byte) in word.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digit = true,
            b'.' if !point && !exponent => point = true,
            b'e' | b'E' if !exponent && digit => (exponent, digit) = (true, false),
            b'-' | b'+' if i == 0 || matches!(word.get(i - 1), Some(b'e' | b'E')) => {}
            _ => return false,
        }
    }
    digit
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn fields(line: &[u8]) -> Result<(Vec<(String, String)>, usize), Malformed> {
        let mut index = Index::default();
        index.build(line);
        let mut out = Vec::new();
        let end = Walker::of_line(line, &index).object(0, |f| {
            out.push((f.key.to_string_lossy().into_owned(), format!("{:?}", Shown(&f.value))));
        })?;
        Ok((out, end))
    }

    struct Shown<'a>(&'a Value<'a>);
    impl std::fmt::Debug for Shown<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self.0 {
                Value::Text(t) => write!(f, "{:?}", t.to_string_lossy()),
                Value::Number(n) => f.write_str(&String::from_utf8_lossy(n)),
                Value::Int(n) => write!(f, "{n}"),
                Value::Bool(b) => write!(f, "{b}"),
                Value::Null => f.write_str("null"),
                Value::Object(s) | Value::Array(s) => f.write_str(&String::from_utf8_lossy(s.raw)),
            }
        }
    }

    #[test]
    fn what_fluent_bit_can_emit_is_read_and_what_is_broken_has_its_reason() {
        type Fields = &'static [(&'static str, &'static str)];
        let good: &[(&[u8], Fields)] = &[
            (br#"{}"#, &[]),
            (br#" { "a" : 1 , "b":"x" } "#, &[("a", "1"), ("b", "\"x\"")]),
            (
                br#"{"a":nan,"b":-inf,"c":1e+300,"d":-0.5}"#,
                &[("a", "null"), ("b", "null"), ("c", "1e+300"), ("d", "-0.5")],
            ),
            (br#"{1:"x",-2:null}"#, &[("1", "\"x\""), ("-2", "null")]),
            (br#"{"a":{"b":"}"},"c":["]",[{}]]}"#, &[("a", r#"{"b":"}"}"#), ("c", r#"["]",[{}]]"#)]),
            (br#"{"":"empty key"}"#, &[("", "\"empty key\"")]),
            (b"{\"a\":\"\xff raw \x01\"}", &[("a", "\"\u{fffd} raw \\u{1}\"")]),
            (br#"{"a":"q\"q\\","b":true}"#, &[("a", r#""q\"q\\""#), ("b", "true")]),
        ];
        for (line, want) in good {
            let (got, _) = fields(line).unwrap_or_else(|e| panic!("{e:?} for {}", String::from_utf8_lossy(line)));
            let want: Vec<_> = want.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(got, want, "{}", String::from_utf8_lossy(line));
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        let bad: &[(&[u8], Malformed)] = &[
            (b"hello", Malformed::NotAnObject),
            (b"[1]", Malformed::NotAnObject),
            (br#"{"a":1,}"#, Malformed::Syntax),
            (br#"{"a" 1}"#, Malformed::Syntax),
            (br#"{'a':1}"#, Malformed::Syntax),
            (br#"{"a":1"b":2}"#, Malformed::Syntax),
            (br#"{"a":}"#, Malformed::Syntax),
            (br#"{"a":01x}"#, Malformed::Syntax),
            (br#"{"a":1.2.3}"#, Malformed::Syntax),
            (br#"{"a":{]}"#, Malformed::Syntax),
            (br#"{"a":"x"#, Malformed::Unterminated),
            (br#"{"a":{"#, Malformed::Unterminated),
            (br#"{"a":1"#, Malformed::Unterminated),
            (br#"{"a"#, Malformed::Unterminated),
            (deep.as_bytes(), Malformed::TooDeep),
        ];
        for (line, want) in bad {
            assert_eq!(fields(line).err(), Some(*want), "{}", String::from_utf8_lossy(line));
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value as J;
        let leaf = prop_oneof![
            Just(J::Null),
            any::<bool>().prop_map(J::Bool),
            any::<i64>().prop_map(J::from),
            any::<i32>().prop_map(|n| J::from(f64::from(n) / 4.0)),
            "[ -~é\"\\\\{}\\[\\]\n\t]{0,24}".prop_map(J::String),
        ];
        let any = leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(J::Array),
                proptest::collection::btree_map("[a-z\"\\\\]{0,4}", inner, 0..5)
                    .prop_map(|m| J::Object(m.into_iter().collect())),
            ]
        });
        proptest::collection::btree_map("[a-z\"\\\\é]{0,6}", any, 0..6).prop_map(|m| J::Object(m.into_iter().collect()))
    }

    /// The value as serde_json would have it, read through the walker.
    fn rebuilt(value: &Value<'_>) -> serde_json::Value {
        match value {
            Value::Text(t) => t.to_string_lossy().into(),
            Value::Number(n) => serde_json::from_slice(n).expect("a number"),
            Value::Int(n) => (*n).into(),
            Value::Bool(b) => (*b).into(),
            Value::Null => serde_json::Value::Null,
            Value::Object(s) | Value::Array(s) => {
                let mut bytes = s.raw.to_vec();
                if s.depth == Depth::Inner {
                    bytes = Text::escaped(s.raw, 0, 1).decoded().into_owned();
                }
                serde_json::from_slice(&bytes).expect("a nested value")
            }
        }
    }

    proptest! {
        #[test]
        fn serde_json_agrees_field_by_field_at_both_nestings(value in json()) {
            let want: BTreeMap<String, serde_json::Value> = serde_json::from_value(value.clone()).expect("an object");
            let inner = value.to_string();
            let line = serde_json::json!({"pad": "x\"y", "log": inner}).to_string();
            let mut index = Index::default();

            index.build(inner.as_bytes());
            let mut got = BTreeMap::new();
            Walker::of_line(inner.as_bytes(), &index)
                .object(0, |f| { got.insert(f.key.to_string_lossy().into_owned(), rebuilt(&f.value)); }).expect("valid");
            prop_assert_eq!(&got, &want);

            index.build(line.as_bytes());
            let mut log = None;
            Walker::of_line(line.as_bytes(), &index)
                .object(0, |f| if f.key.is("log") { log = Some(f.value) }).expect("valid");
            let Some(Value::Text(text)) = log else { panic!("log is a string") };
            let mut got = BTreeMap::new();
            Walker::within(line.as_bytes(), &index, text.end(), Depth::Inner)
                .object(text.start(), |f| { got.insert(f.key.to_string_lossy().into_owned(), rebuilt(&f.value)); }).expect("valid");
            prop_assert_eq!(got, want);
        }

        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b':'), Just(b','), any::<u8>()], 0..200)) {
            fields(&line).map(|_| ()).unwrap_or_default();
        }
    }
}
