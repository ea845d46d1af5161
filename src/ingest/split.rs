//! Finds out how a body's records are separated, and cuts it accordingly.
//!
//! The content type is a hint that comes wrong, or twice; the bytes decide. A body that begins with `[` is
//! an array. One that begins with `{` is lines, unless its first object ends without a newline: then the
//! objects stand back to back. One whose first byte no text begins with is msgpack.

use super::lines::{Line, Lines};
use super::msgpack::Msgpack;
use super::values::Values;
use crate::record::index::{Carry, Index};
use crate::record::json::Walker;

pub struct Split {
    form: Form,
    cap: usize,
}

enum Form {
    /// Nothing but blanks so far, or a first object whose end has not come.
    /// Looked at again when it has grown to `again`, or when a newline has come: never byte by byte.
    Unknown {
        head: Vec<u8>,
        again: usize,
    },
    Lines(Lines),
    Values(Box<Values>),
    Msgpack(Msgpack),
}

/// Bytes of the head that are asked for the form; where they do not tell it, lines are taken for granted.
const HEAD_MAX: usize = 256 * 1024;

impl Split {
    /// `cap`: most bytes of a record that are kept.
    pub fn new(cap: usize) -> Split {
        Split { form: Form::Unknown { head: Vec::new(), again: 0 }, cap }
    }

    /// Hands on what `frame` completes. `false`: from here on nothing can be read.
    pub fn feed(&mut self, frame: &[u8], on_line: impl FnMut(Line<'_>)) -> bool {
        match &mut self.form {
            Form::Lines(lines) => {
                lines.feed(frame, on_line);
                true
            }
            Form::Values(values) => {
                values.feed(frame, on_line);
                true
            }
            Form::Msgpack(msgpack) => msgpack.feed(frame, on_line),
            Form::Unknown { head, .. } => {
                // Most often the first frame decides, and then it is not copied.
                if head.is_empty() && self.decide(frame, false) {
                    return self.feed(frame, on_line);
                }
                let Form::Unknown { head, again } = &mut self.form else { return true };
                head.extend_from_slice(frame);
                if head.len() < *again && memchr::memchr(b'\n', frame).is_none() {
                    return true;
                }
                *again = 2 * head.len();
                let head = std::mem::take(head);
                if self.decide(&head, false) {
                    return self.feed(&head, on_line);
                }
                if let Form::Unknown { head: held, .. } = &mut self.form {
                    *held = head;
                }
                true
            }
        }
    }

    /// The body has ended. `false`: within a record that cannot be handed on.
    pub fn finish(&mut self, mut on_line: impl FnMut(Line<'_>)) -> bool {
        if let Form::Unknown { head, .. } = &mut self.form {
            let head = std::mem::take(head);
            if !self.decide(&head, true) {
                self.form = Form::Lines(Lines::new(self.cap));
            }
            self.feed(&head, &mut on_line);
        }
        match &mut self.form {
            Form::Lines(lines) => lines.finish(on_line),
            Form::Values(values) => values.finish(on_line),
            Form::Msgpack(msgpack) => return msgpack.finish(on_line),
            Form::Unknown { .. } => {}
        }
        true
    }

    /// Whether `head` tells the form; `ended`: more does not come. Only its first [`HEAD_MAX`] bytes are asked,
    /// and a line only when it is whole: so the form is the same however the network cuts the body.
    fn decide(&mut self, head: &[u8], ended: bool) -> bool {
        let settled = ended || head.len() >= HEAD_MAX;
        let head = head.get(..HEAD_MAX).unwrap_or(head);
        if !settled && BYTE_ORDER_MARK.starts_with(head) {
            return false;
        }
        let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
        let form = match text.trim_ascii_start().first() {
            None if !settled => return false,
            // Fixed and wide maps and arrays of msgpack; as text these bytes would be the middle of a character.
            Some(0x80..=0x9f | 0xdc..=0xdf) if text.len() == head.len() => Form::Msgpack(Msgpack::new(self.cap)),
            Some(b'[') => Form::Values(Box::new(Values::new(self.cap))),
            Some(b'{') => match after_first_object(text) {
                After::Object | After::Unknown if !settled => return false,
                After::Object => Form::Values(Box::new(Values::new(self.cap))),
                After::Newline | After::Unknown => Form::Lines(Lines::new(self.cap)),
            },
            _ => Form::Lines(Lines::new(self.cap)),
        };
        self.form = form;
        true
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

enum After {
    /// A newline comes, there or later: two objects on one line among others that have one each are lines.
    Newline,
    /// Something else follows, and no newline anywhere.
    Object,
    Unknown,
}

/// What follows the first object of a text.
fn after_first_object(text: &[u8]) -> After {
    // No newline stands within an object that Fluent Bit wrote: one here ends a line, whatever is before it.
    if memchr::memchr(b'\n', text).is_some() {
        return After::Newline;
    }
    let mut index = Index::default();
    index.build_on(text, &mut Carry::default());
    let walker = Walker::of_line(text, &index);
    match walker.past(walker.blanks(0)) {
        Ok(end) if text.get(end..).is_some_and(|rest| !rest.trim_ascii().is_empty()) => After::Object,
        _ => After::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(frames: &[&[u8]]) -> Vec<String> {
        let mut out = Vec::new();
        let mut split = Split::new(1 << 20);
        for frame in frames {
            split.feed(frame, |l| out.push(String::from_utf8_lossy(l.bytes).into_owned()));
        }
        split.finish(|l| out.push(String::from_utf8_lossy(l.bytes).into_owned()));
        out
    }

    #[test]
    fn the_bytes_decide_the_form() {
        for (body, want) in [
            (&b"{\"a\":1}\n{\"b\":2}\n"[..], vec!["{\"a\":1}", "{\"b\":2}"]),
            (b"{\"a\":1}{\"b\":2}", vec!["{\"a\":1}", "{\"b\":2}"]),
            (b"[{\"a\":1},{\"b\":2}]", vec!["{\"a\":1}", "{\"b\":2}"]),
            (b"  \n[{\"a\":1}]\n", vec!["{\"a\":1}"]),
            (b"{\"a\":1}", vec!["{\"a\":1}"]),
            (b"not json\n{\"b\":2}\n", vec!["not json", "{\"b\":2}"]),
            (b"{broken\n{\"b\":2}\n", vec!["{broken", "{\"b\":2}"]),
            (b"\n\n", vec!["", ""]),
            (b"", vec![]),
            (b"\x92\x01\x81\xa3log\xa1x", vec!["{\"date\":1,\"log\":\"x\"}"]),
        ] {
            assert_eq!(split(&[body]), want, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn where_the_first_frame_ends_decides_nothing() {
        for body in [
            &b"{\"a\":1}{\"b\":2}\n{\"cut\n{\"c\":3}\n"[..],
            b"\xef\xbb\xbf[{\"a\":1},{\"b\":2}]",
            b"\xef\xbb\xbf\n{\"a\":1}\nx\n",
            b"\xef\xbbx\n",
            b" \n {\"a\":1} {\"b\n",
            b"{\"a\":1}x",
        ] {
            let whole = split(&[body]);
            for cut in 1..body.len() {
                let (first, second) = body.split_at(cut);
                assert_eq!(split(&[first, second]), whole, "{:?}", String::from_utf8_lossy(first));
            }
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(split(&bytes), whole);
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_records_in_every_form(cut in 1usize..60, form in 0usize..3) {
            let objects = ["{\"log\":\"a\\\"}{\",\"n\":1}", "{\"x\":[{}]}", "{\"y\":\"[\"}"];
            let body = match form {
                0 => objects.iter().map(|o| format!("{o}\n")).collect::<String>(),
                1 => objects.concat(),
                _ => format!("[{}]", objects.join(",")),
            };
            let frames: Vec<&[u8]> = body.as_bytes().chunks(cut).collect();
            prop_assert_eq!(split(&frames), objects);
        }
    }
}
