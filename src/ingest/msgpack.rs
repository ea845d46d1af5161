//! Fluent Bit's own format: msgpack records back to back, `[[time, metadata], map]` or `[time, map]`.
//!
//! Each record becomes the JSON line that `format json_lines` would have made of it, time first, and goes the
//! same way from there: one reader, one set of rules for what a line says.

use super::lines::Line;

/// Deeper nesting is refused, as JSON's is.
const DEPTH_MAX: usize = 128;

pub struct Msgpack {
    /// A record whose end has not come.
    carried: Vec<u8>,
    /// How much must be here before it is worth looking again.
    wanted: usize,
    json: Vec<u8>,
    cap: usize,
    /// Bytes were met that are no record: nothing after them can be found again.
    lost: bool,
}

/// Why a value could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// So many bytes are needed, at the least.
    Short(usize),
    Malformed,
}

impl Msgpack {
    pub fn new(cap: usize) -> Msgpack {
        Msgpack { carried: Vec::new(), wanted: 1, json: Vec::new(), cap, lost: false }
    }

    /// `false`: from here on nothing can be read.
    pub fn feed(&mut self, frame: &[u8], mut on_line: impl FnMut(Line<'_>)) -> bool {
        if self.lost {
            return false;
        }
        self.carried.extend_from_slice(frame);
        if self.carried.len() < self.wanted {
            return true;
        }
        let mut at = 0;
        let stop = loop {
            match end_of(&self.carried, at, 0) {
                Ok(end) => {
                    self.json.clear();
                    let record = Cursor { bytes: self.carried.get(..end).unwrap_or_default(), at };
                    match record.write_line(&mut self.json) {
                        Some(true) => on_line(Line { bytes: &self.json, cut: false }),
                        // A marker around a group of records.
                        Some(false) => {}
                        None => break Stop::Malformed,
                    }
                    at = end;
                }
                Err(stop) => break stop,
            }
        };
        self.carried.drain(..at);
        match stop {
            // A record has to fit in memory to be read at all; the cap says how much that may be, as msgpack
            // is never longer than the JSON that it stands for.
            Stop::Short(end) if end - at <= self.cap.saturating_mul(2) => {
                // Looked at again when it has grown by half: never byte by byte from the start.
                self.wanted = (end - at).max(self.carried.len() + self.carried.len() / 2);
                true
            }
            _ => {
                self.lost = true;
                self.carried = Vec::new();
                false
            }
        }
    }

    /// The body has ended; `false`: within a record.
    pub fn finish(&mut self, on_line: impl FnMut(Line<'_>)) -> bool {
        self.wanted = 0;
        self.feed(&[], on_line) && self.carried.is_empty()
    }
}

/// What a head byte announces.
enum Head {
    /// Nothing follows the head.
    Done,
    /// So many bytes follow.
    Bytes(usize),
    /// So many values follow.
    Values(usize),
}

/// Where the value at `at` ends.
fn end_of(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Stop> {
    if depth > DEPTH_MAX {
        return Err(Stop::Malformed);
    }
    let (head, after) = head(bytes, at)?;
    match head {
        Head::Done => Ok(after),
        Head::Bytes(count) => {
            let end = after.checked_add(count).ok_or(Stop::Malformed)?;
            if end > bytes.len() { Err(Stop::Short(end)) } else { Ok(end) }
        }
        Head::Values(count) => {
            let mut end = after;
            for _ in 0..count {
                end = end_of(bytes, end, depth + 1)?;
            }
            Ok(end)
        }
    }
}

fn head(bytes: &[u8], at: usize) -> Result<(Head, usize), Stop> {
    let tag = *bytes.get(at).ok_or(Stop::Short(at + 1))?;
    let size = |width: usize| -> Result<usize, Stop> {
        let digits = bytes.get(at + 1..at + 1 + width).ok_or(Stop::Short(at + 1 + width))?;
        Ok(digits.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    };
    Ok(match tag {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (Head::Done, at + 1),
        0x80..=0x8f => (Head::Values(2 * usize::from(tag & 0x0f)), at + 1),
        0x90..=0x9f => (Head::Values(usize::from(tag & 0x0f)), at + 1),
        0xa0..=0xbf => (Head::Bytes(usize::from(tag & 0x1f)), at + 1),
        0xc4 | 0xd9 => (Head::Bytes(size(1)?), at + 2),
        0xc5 | 0xda => (Head::Bytes(size(2)?), at + 3),
        0xc6 | 0xdb => (Head::Bytes(size(4)?), at + 5),
        0xc7 => (Head::Bytes(1 + size(1)?), at + 2),
        0xc8 => (Head::Bytes(1 + size(2)?), at + 3),
        0xc9 => (Head::Bytes(1 + size(4)?), at + 5),
        0xcc | 0xd0 => (Head::Bytes(1), at + 1),
        0xcd | 0xd1 => (Head::Bytes(2), at + 1),
        0xca | 0xce | 0xd2 => (Head::Bytes(4), at + 1),
        0xcb | 0xcf | 0xd3 => (Head::Bytes(8), at + 1),
        0xd4 => (Head::Bytes(2), at + 1),
        0xd5 => (Head::Bytes(3), at + 1),
        0xd6 => (Head::Bytes(5), at + 1),
        0xd7 => (Head::Bytes(9), at + 1),
        0xd8 => (Head::Bytes(17), at + 1),
        0xdc => (Head::Values(size(2)?), at + 3),
        0xdd => (Head::Values(size(4)?), at + 5),
        0xde => (Head::Values(2 * size(2)?), at + 3),
        0xdf => (Head::Values(2 * size(4)?), at + 5),
        0xc1 => return Err(Stop::Malformed),
    })
}

/// Reads a record that is known to be whole.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// `None`: no record of Fluent Bit's. `false`: one that holds no line.
    fn write_line(mut self, out: &mut Vec<u8>) -> Option<bool> {
        let Head::Values(2) = self.open(0x90..=0x9f, 0xdc, 0xdd)? else { return None };
        // `[[time, metadata], map]` since 2.1, `[time, map]` before.
        let wrapped = matches!(self.bytes.get(self.at), Some(0x90..=0x9f | 0xdc | 0xdd));
        if wrapped {
            let Head::Values(2) = self.open(0x90..=0x9f, 0xdc, 0xdd)? else { return None };
        }
        let time = self.time()?;
        if wrapped {
            self.at = end_of(self.bytes, self.at, 0).ok()?;
        }
        // Markers around a group of records: negative seconds.
        if time.as_deref().is_some_and(|t| t.starts_with('-')) {
            return Some(false);
        }
        let Head::Values(twice) = self.open(0x80..=0x8f, 0xde, 0xdf)? else { return None };
        out.push(b'{');
        if let Some(time) = &time {
            out.extend_from_slice(b"\"date\":");
            out.extend_from_slice(time.as_bytes());
        }
        for pair in 0..twice / 2 {
            if pair > 0 || time.is_some() {
                out.push(b',');
            }
            self.pair(out, 0)?;
        }
        out.push(b'}');
        Some(true)
    }

    /// The head of an array or map, and what it announces.
    fn open(&mut self, fix: std::ops::RangeInclusive<u8>, wide: u8, wider: u8) -> Option<Head> {
        let tag = *self.bytes.get(self.at)?;
        if !fix.contains(&tag) && tag != wide && tag != wider {
            return None;
        }
        let (head, after) = head(self.bytes, self.at).ok()?;
        self.at = after;
        Some(head)
    }

    /// Seconds, as JSON writes them; `None` within `Some` where there is no time.
    fn time(&mut self) -> Option<Option<String>> {
        let start = self.at;
        let end = end_of(self.bytes, start, 0).ok()?;
        self.at = end;
        let value = self.bytes.get(start..end)?;
        Some(match value {
            // EventTime: extension type 0, seconds and nanoseconds.
            [0xd7, 0x00, rest @ ..] | [0xc7, 8, 0x00, rest @ ..] => {
                let (seconds, nanos) = rest.split_first_chunk::<4>()?;
                let seconds = i32::from_be_bytes(*seconds);
                let nanos = u32::from_be_bytes(*nanos.first_chunk::<4>()?);
                // Seconds are unsigned until 2106, but for the two markers.
                match seconds {
                    -1 | -2 => Some(seconds.to_string()),
                    _ => Some(format!("{}.{:09}", seconds as u32, nanos.min(999_999_999))),
                }
            }
            [0xc0] => None,
            _ => {
                let mut text = Vec::new();
                Cursor { bytes: value, at: 0 }.value(&mut text, 0)?;
                Some(String::from_utf8(text).ok()?)
            }
        })
    }

    fn pair(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        // No map or array is a key in what Fluent Bit writes; nested ones would double their escapes at each level.
        if matches!(self.bytes.get(self.at), Some(0x80..=0x9f | 0xdc..=0xdf)) {
            return None;
        }
        // A key that is no text is written as text: `1` becomes `"1"`.
        let mut key = Vec::new();
        self.value(&mut key, depth + 1)?;
        if key.first() == Some(&b'"') {
            out.extend_from_slice(&key);
        } else {
            string(&key, out);
        }
        out.push(b':');
        self.value(out, depth + 1)
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let tag = *self.bytes.get(self.at)?;
        let (head, after) = head(self.bytes, self.at).ok()?;
        let body = |count: usize| self.bytes.get(after..after + count);
        let number = |count: usize| body(count).map(|digits| digits.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)));
        let end = match head {
            Head::Done => after,
            Head::Bytes(count) => after + count,
            Head::Values(_) => after,
        };
        match tag {
            0x00..=0x7f => out.extend_from_slice(tag.to_string().as_bytes()),
            0xe0..=0xff => out.extend_from_slice((tag as i8).to_string().as_bytes()),
            0xc2 => out.extend_from_slice(b"false"),
            0xc3 => out.extend_from_slice(b"true"),
            0xcc => out.extend_from_slice(number(1)?.to_string().as_bytes()),
            0xcd => out.extend_from_slice(number(2)?.to_string().as_bytes()),
            0xce => out.extend_from_slice(number(4)?.to_string().as_bytes()),
            0xcf => out.extend_from_slice(number(8)?.to_string().as_bytes()),
            0xd0 => out.extend_from_slice((number(1)? as i8).to_string().as_bytes()),
            0xd1 => out.extend_from_slice((number(2)? as i16).to_string().as_bytes()),
            0xd2 => out.extend_from_slice((number(4)? as i32).to_string().as_bytes()),
            0xd3 => out.extend_from_slice((number(8)? as i64).to_string().as_bytes()),
            0xca => float(f64::from(f32::from_bits(number(4)? as u32)), out),
            0xcb => float(f64::from_bits(number(8)?), out),
            0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb => string(self.bytes.get(after..end)?, out),
            0x80..=0x8f | 0xde | 0xdf => {
                let Head::Values(twice) = head else { return None };
                self.at = after;
                out.push(b'{');
                for pair in 0..twice / 2 {
                    if pair > 0 {
                        out.push(b',');
                    }
                    self.pair(out, depth)?;
                }
                out.push(b'}');
                return Some(());
            }
            0x90..=0x9f | 0xdc | 0xdd => {
                let Head::Values(count) = head else { return None };
                self.at = after;
                out.push(b'[');
                for item in 0..count {
                    if item > 0 {
                        out.push(b',');
                    }
                    self.value(out, depth + 1)?;
                }
                out.push(b']');
                return Some(());
            }
            // nil, and extensions that are nothing to us.
            _ => out.extend_from_slice(b"null"),
        }
        self.at = end;
        Some(())
    }
}

fn float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        out.extend_from_slice(format!("{number:?}").as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// A JSON string of these bytes; bad UTF-8 stays as it is and is replaced where it is shown.
fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x00..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(frames: &[&[u8]]) -> (Vec<String>, bool) {
        let (mut out, mut sound) = (Vec::new(), true);
        let mut msgpack = Msgpack::new(1 << 20);
        for frame in frames {
            sound &= msgpack.feed(frame, |l| out.push(String::from_utf8_lossy(l.bytes).into_owned()));
        }
        sound &= msgpack.finish(|l| out.push(String::from_utf8_lossy(l.bytes).into_owned()));
        (out, sound)
    }

    /// A record with every kind of value, as a small writer of the test's own puts it.
    fn record() -> Vec<u8> {
        let mut b = vec![0x92, 0x92, 0xd7, 0x00];
        b.extend(1_790_000_000u32.to_be_bytes());
        b.extend(123_456_789u32.to_be_bytes());
        b.extend([0x80, 0xdf, 0, 0, 0, 9]);
        b.extend(b"\xa3log\xd9\x05a\"b\\\n");
        b.extend(b"\xa1n\xc0\xa1t\xc3\xa1i\xd1\xff\xfe\xa1u\xcf\x80\x00\x00\x00\x00\x00\x00\x00");
        b.extend(b"\xa1f\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00");
        b.extend(b"\xa1a\x92\x01\x81\xa1k\xe0");
        b.extend(b"\x07\xc4\x01x");
        b.extend(b"\xa1e\xd4\x05\x00");
        b
    }

    const WANT: &str = r#"{"date":1790000000.123456789,"log":"a\"b\\\n","n":null,"t":true,"i":-2,"u":9223372036854775808,"f":1.5,"a":[1,{"k":-32}],"7":"x","e":null}"#;

    #[test]
    fn a_record_becomes_the_line_that_json_lines_would_have_made_of_it() {
        assert_eq!(lines(&[&record()]), (vec![WANT.to_owned()], true));
        let old = b"\x92\xce\x6a\xb1\x3b\x80\x81\xa3log\xa1x";
        assert_eq!(lines(&[old]), (vec![r#"{"date":1790000000,"log":"x"}"#.to_owned()], true));
        let marker = b"\x92\x92\xd7\x00\xff\xff\xff\xff\x00\x00\x00\x00\x80\x80";
        assert_eq!(lines(&[marker]), (vec![], true));
    }

    #[test]
    fn a_map_as_a_key_is_refused_and_costs_nothing() {
        let mut bomb = b"\x92\x00\x81".to_vec();
        bomb.extend(std::iter::repeat_n(0x81, 60));
        bomb.extend(std::iter::repeat_n(0x01, 62));
        assert_eq!(lines(&[&bomb]), (vec![], false));
    }

    #[test]
    fn what_came_before_a_fault_stays_and_nothing_after_it_is_guessed_at() {
        let mut body = record();
        body.extend(b"\xc1\xff\x00");
        body.extend(record());
        assert_eq!(lines(&[&body]), (vec![WANT.to_owned()], false));
        let whole = record();
        assert_eq!(lines(&[&whole, &whole[..20]]), (vec![WANT.to_owned()], false));
        assert!(!lines(&[b"\x92\x01"]).1, "ends within a record");
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(cut in 1usize..200) {
            let body = record().repeat(7);
            let frames: Vec<&[u8]> = body.chunks(cut).collect();
            prop_assert_eq!(lines(&frames), (vec![WANT.to_owned(); 7], true));
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300), cut in 1usize..50) {
            let frames: Vec<&[u8]> = body.chunks(cut).collect();
            lines(&frames);
        }
    }
}
