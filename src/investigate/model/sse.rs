//! Events out of a stream of bytes, as servers send them (`text/event-stream`), whatever the pieces they come in.
//!
//! What is held is one event, within a bound; the stream has one, too.

/// Of one event. The largest that are sent hold a delta of some kilobytes.
const EVENT_MAX: usize = 1 << 20;
/// Of a stream: 128,000 tokens, each an event of its own of 200 bytes, are 25 MB.
const STREAM_MAX: usize = 32 << 20;
/// A longer name is of no event that is known.
const NAME_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Empty where it is not named.
    pub name: String,
    pub data: String,
}

/// An event, or the stream, is longer than its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

#[derive(Default)]
pub struct Events {
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    read: usize,
    /// The last byte was a carriage return: a line feed after it ends nothing.
    after_return: bool,
    past_first_line: bool,
}

impl Events {
    /// The events that end in this piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>, TooLong> {
        self.read = self.read.saturating_add(piece.len());
        if self.read > STREAM_MAX {
            return Err(TooLong);
        }
        let mut found = Vec::new();
        for byte in piece {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => found.extend(self.end_line()),
                _ if self.line.len() + self.data.len() >= EVENT_MAX => return Err(TooLong),
                _ => self.line.push(*byte),
            }
        }
        Ok(found)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = match std::mem::replace(&mut self.past_first_line, true) {
            true => line.as_slice(),
            false => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line),
        };
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let has_data = std::mem::take(&mut self.has_data);
            return has_data.then(|| Event { name, data: String::from_utf8_lossy(&data).into_owned() });
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.name = String::from_utf8_lossy(value.get(..NAME_MAX).unwrap_or(value)).into_owned();
            }
            // A comment, an id, a time to try again: nothing that is of use here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn an_event_ends_with_an_empty_line_and_comments_are_none() {
        #[rustfmt::skip]
        let cases: &[(&str, &[Event])] = &[
            ("event: ping\ndata: {}\n\n", &[event("ping", "{}")]),
            ("event: ping\r\ndata: {}\r\n\r\n", &[event("ping", "{}")]),
            ("event: ping\rdata: {}\r\r", &[event("ping", "{}")]),
            ("\u{feff}data:a\ndata: b\ndata\n\n", &[event("", "a\nb\n")]),
            (": a comment\nid: 7\nretry: 1\ndata:  two\n\n", &[event("", " two")]),
            ("event: nothing\n\ndata: x\n\n", &[event("", "x")]),
            ("data: it broke off\n", &[]),
            ("", &[]),
        ];
        for (text, events) in cases {
            assert_eq!(Events::default().push(text.as_bytes()).as_deref(), Ok(*events), "{text:?}");
        }
    }

    #[test]
    fn an_event_and_a_stream_have_a_bound() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; EVENT_MAX + 1]), Err(TooLong));
        let mut events = Events::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; EVENT_MAX / 2], b"\n"].concat();
        assert_eq!(
            (events.push(&line), events.push(&line).is_err() || events.push(&line).is_err()),
            (Ok(vec![]), true)
        );
        let mut events = Events::default();
        let piece = "data: x\n\n".repeat(100_000);
        let mut pieces = (0..).map(|_| events.push(piece.as_bytes()));
        assert!(pieces.by_ref().take(STREAM_MAX / piece.len()).all(|found| found.is_ok()));
        assert_eq!(pieces.next(), Some(Err(TooLong)));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(text in "(data|event|:|: |a|é|\r|\n|\r\n|\n\n){0,40}", sizes in proptest::collection::vec(1_usize..9, 1..60)) {
            let whole = Events::default().push(text.as_bytes());
            let mut events = Events::default();
            let mut rest = text.as_bytes();
            let mut found = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, left) = rest.split_at((*size).min(rest.len()));
                found.extend(events.push(piece).expect("short"));
                rest = left;
            }
            prop_assert_eq!(Ok(found), whole);
        }
    }
}
