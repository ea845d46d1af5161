//! Cuts a body into JSON values where no newlines do: the elements of an array (`format json`), or objects
//! back to back (`json_stream`).
//!
//! Like [`super::lines`] it hands on views of the frame, carries only what crosses a border, and cuts a value
//! that is longer than the cap to its head. Quotes and brackets are found 64 bytes at a time.

use super::lines::{Line, capped, keep};
use crate::record::index::{Carry, Index, parity};

pub struct Values {
    index: Index,
    carry: Carry,
    /// All ones while a string crosses the frame's border.
    in_string: u64,
    /// How many brackets are open, an array's own aside.
    depth: u32,
    place: Place,
    /// Beginning of a value that is not complete.
    carried: Vec<u8>,
    /// The head of the current value was handed on: the rest of it is dropped.
    dropping: bool,
    /// Nothing has been handed on of the current array.
    empty: bool,
    cap: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a value; an array may open.
    Outside,
    /// Between the elements of an array.
    InArray,
}

impl Values {
    pub fn new(cap: usize) -> Values {
        Values {
            index: Index::default(),
            carry: Carry::default(),
            in_string: 0,
            depth: 0,
            place: Place::Outside,
            carried: Vec::new(),
            dropping: false,
            empty: true,
            cap,
        }
    }

    pub fn feed(&mut self, frame: &[u8], mut on_line: impl FnMut(Line<'_>)) {
        let mut index = std::mem::take(&mut self.index);
        index.build_on(frame, &mut self.carry);
        // Where the value that is open now begins in this frame.
        let mut start = 0;
        for (word, (quotes, brackets)) in index.outer().enumerate() {
            let inside = parity(quotes) ^ self.in_string;
            self.in_string = ((inside as i64) >> 63) as u64;
            let mut bits = brackets & !inside;
            while bits != 0 {
                let at = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                start = self.bracket(frame, start, at, &mut on_line);
            }
        }
        self.index = index;
        let open = frame.get(start..).unwrap_or_default();
        if self.depth == 0 {
            self.scalars(open, &mut on_line);
        } else if !self.dropping {
            keep(&mut self.carried, open, self.cap);
            if self.carried.len() > self.cap {
                on_line(Line { bytes: self.carried.get(..self.cap).unwrap_or_default(), cut: true });
                self.carried.clear();
                self.dropping = true;
            }
        }
    }

    /// The body has ended: what is open is a value without its end.
    pub fn finish(&mut self, mut on_line: impl FnMut(Line<'_>)) {
        let rest = std::mem::take(&mut self.carried);
        let unclosed = self.place == Place::InArray || !rest.trim_ascii().is_empty();
        if unclosed && !self.dropping {
            // Of an array that never closed the bracket itself: whoever reads it finds it unterminated.
            on_line(Line { bytes: if rest.trim_ascii().is_empty() { b"[" } else { &rest }, cut: false });
        }
    }

    /// A bracket outside strings; answers where the next value begins.
    fn bracket(&mut self, frame: &[u8], start: usize, at: usize, on_line: &mut impl FnMut(Line<'_>)) -> usize {
        let opens = matches!(frame.get(at), Some(b'{' | b'['));
        if self.depth == 0 {
            self.scalars(frame.get(start..at).unwrap_or_default(), on_line);
            match frame.get(at) {
                Some(b'[') if self.place == Place::Outside => {
                    (self.place, self.empty) = (Place::InArray, true);
                    return at + 1;
                }
                Some(b']') if self.place == Place::InArray => {
                    self.end_scalar(on_line);
                    if self.empty {
                        on_line(Line { bytes: b"", cut: false });
                    }
                    self.place = Place::Outside;
                    return at + 1;
                }
                Some(b'{' | b'[') => {
                    self.end_scalar(on_line);
                    self.depth = 1;
                    return at;
                }
                // A closing bracket that nothing opened is a value of its own, and no record.
                _ => {
                    self.scalars(frame.get(at..=at).unwrap_or_default(), on_line);
                    return at + 1;
                }
            }
        }
        if opens {
            self.depth += 1;
            return start;
        }
        self.depth -= 1;
        if self.depth > 0 {
            return start;
        }
        let piece = frame.get(start..=at).unwrap_or_default();
        self.empty = false;
        if std::mem::take(&mut self.dropping) {
            return at + 1;
        }
        if self.carried.is_empty() {
            on_line(capped(piece, self.cap));
        } else {
            keep(&mut self.carried, piece, self.cap);
            on_line(capped(&self.carried, self.cap));
            self.carried.clear();
        }
        at + 1
    }

    /// What stands between objects: separators, or values that are no objects.
    fn scalars(&mut self, text: &[u8], on_line: &mut impl FnMut(Line<'_>)) {
        for byte in text {
            match byte {
                b',' | b'\n' => self.end_scalar(on_line),
                b' ' | b'\t' | b'\r' if self.carried.is_empty() => {}
                _ if self.carried.len() < self.cap => self.carried.push(*byte),
                _ => {}
            }
        }
    }

    fn end_scalar(&mut self, on_line: &mut impl FnMut(Line<'_>)) {
        if !self.carried.is_empty() {
            self.empty = false;
            on_line(Line { bytes: &self.carried, cut: false });
            self.carried.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(frames: &[&[u8]], cap: usize) -> Vec<(String, bool)> {
        let mut out = Vec::new();
        let mut values = Values::new(cap);
        for frame in frames {
            values.feed(frame, |l| out.push((String::from_utf8_lossy(l.bytes).into_owned(), l.cut)));
            assert!(values.carried.len() <= cap);
        }
        values.finish(|l| out.push((String::from_utf8_lossy(l.bytes).into_owned(), l.cut)));
        out
    }

    #[test]
    fn elements_objects_and_what_is_neither_come_one_by_one() {
        for (body, want) in [
            (r#"[{"a":1},{"b":[2,{"c":"]}"}]}]"#, vec![r#"{"a":1}"#, r#"{"b":[2,{"c":"]}"}]}"#]),
            (r#"{"a":1}{"b":"}{"}{"c":"\"{"}"#, vec![r#"{"a":1}"#, r#"{"b":"}{"}"#, r#"{"c":"\"{"}"#]),
            ("[]", vec![""]),
            ("[ ]\n", vec![""]),
            ("[[1],5,\"x,y\",{}]", vec!["[1]", "5", "\"x", "y\"", "{}"]),
            ("[{\"a\":1},\n{\"b\":2}\n]\n", vec![r#"{"a":1}"#, r#"{"b":2}"#]),
            (r#"[{"a":1},{"b""#, vec![r#"{"a":1}"#, r#"{"b""#]),
            (r#"[{"a":1}"#, vec![r#"{"a":1}"#, "["]),
            (r#"[{"a":1}] trailing"#, vec![r#"{"a":1}"#, "trailing"]),
            (r#"{"a":1}}{"b":2}"#, vec![r#"{"a":1}"#, "}", r#"{"b":2}"#]),
            ("", vec![]),
        ] {
            let got = split(&[body.as_bytes()], 100);
            assert_eq!(got.iter().map(|(v, _)| v.as_str()).collect::<Vec<_>>(), want, "{body}");
        }
    }

    #[test]
    fn a_value_longer_than_the_cap_is_cut_to_its_head_and_its_neighbours_are_whole() {
        let body = r#"[{"a":"0123456789"},{"b":1}]"#;
        let want = [(r#"{"a":"01"#.to_owned(), true), (r#"{"b":1}"#.to_owned(), false)];
        assert_eq!(split(&[body.as_bytes()], 8), want);
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(split(&bytes, 8), want);
    }

    proptest! {
        #[test]
        fn any_chunking_of_any_objects_gives_them_back(
            texts in proptest::collection::vec("[ -~é\"\\\\{}\\[\\],\n]{0,30}", 1..12),
            array in any::<bool>(), cut in 1usize..90,
        ) {
            let objects: Vec<String> = texts.iter().map(|t| serde_json::json!({"log": t, "n": [1, {"x": t}]}).to_string()).collect();
            let body = if array { format!("[{}]", objects.join(",")) } else { objects.concat() };
            let frames: Vec<&[u8]> = body.as_bytes().chunks(cut).collect();
            let got: Vec<String> = split(&frames, 10_000).into_iter().map(|(v, _)| v).collect();
            prop_assert_eq!(got, objects);
        }

        #[test]
        fn no_bytes_make_it_panic(
            body in proptest::collection::vec(prop_oneof![Just(b'['), Just(b']'), Just(b'{'), Just(b'}'), Just(b'"'), Just(b','), any::<u8>()], 0..200),
            cut in 1usize..70,
        ) {
            let frames: Vec<&[u8]> = body.chunks(cut).collect();
            split(&frames, 20);
        }
    }
}
