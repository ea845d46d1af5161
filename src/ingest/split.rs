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

/// Longest head that is looked at before lines are taken for granted.
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
                if head.is_empty() && self.decide(frame) {
                    return self.feed(frame, on_line);
                }
                let Form::Unknown { head, again } = &mut self.form else { return true };
                head.extend_from_slice(frame);
                if head.len() < *again && memchr::memchr(b'\n', frame).is_none() {
                    return true;
                }
                *again = 2 * head.len();
                let head = std::mem::take(head);
                if self.decide(&head) {
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
            if !self.decide(&head) {
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

    /// Whether `head` tells the form.
    fn decide(&mut self, head: &[u8]) -> bool {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let form = match text.trim_ascii_start().first() {
            None if head.len() <= HEAD_MAX => return false,
            // Fixed and wide maps and arrays of msgpack; as text these bytes would be the middle of a character.
            Some(0x80..=0x9f | 0xdc..=0xdf) if text.len() == head.len() => Form::Msgpack(Msgpack::new(self.cap)),
            Some(b'[') => Form::Values(Box::new(Values::new(self.cap))),
            Some(b'{') => match after_first_object(text) {
                After::Unknown if head.len() <= HEAD_MAX => return false,
                After::Object => Form::Values(Box::new(Values::new(self.cap))),
                After::Newline | After::Unknown => Form::Lines(Lines::new(self.cap)),
            },
            _ => Form::Lines(Lines::new(self.cap)),
        };
        self.form = form;
        true
    }
}

enum After {
    /// A newline comes first, or right behind it.
    Newline,
    /// Something else follows on the same line.
    Object,
    Unknown,
}

/// What follows the first object of a text.
fn after_first_object(text: &[u8]) -> After {
    // No newline stands within an object that Fluent Bit wrote: one here ends a line, whatever is before it.
    let newline = memchr::memchr(b'\n', text);
    let line = text.get(..newline.unwrap_or(text.len())).unwrap_or_default();
    let mut index = Index::default();
    index.build_on(line, &mut Carry::default());
    let walker = Walker::of_line(line, &index);
    match walker.past(walker.blanks(0)) {
        Ok(end) if line.get(end..).is_some_and(|rest| !rest.trim_ascii().is_empty()) => match newline {
            // Two objects on one line among others that have one each: lines.
            Some(_) => After::Newline,
            None => After::Object,
        },
        _ if newline.is_some() => After::Newline,
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
