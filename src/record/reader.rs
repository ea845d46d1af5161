//! From a line's bytes to its records: as they stand, or as those of a line that looked alike.
//!
//! A line is indexed and walked once; of one whose surroundings are known only what differs is looked at.

use std::cell::OnceCell;
use std::ops::Range;

use super::body::escaped_access;
use super::envelope::Envelope;
use super::index::{Depth, Index};
use super::json::{Field, Malformed, Walker};
use super::shape::Shapes;
use super::trace::exception::Exception;
use super::{Delivery, Piece, Record, Scene, docker, recycled, wrapped};

/// Reads lines; its buffers are reused from line to line.
#[derive(Default)]
pub struct Reader {
    index: Index,
    text: Vec<u8>,
    plain: Vec<u8>,
    own: Vec<Field<'static>>,
    inner: Vec<Field<'static>>,
    exception: OnceCell<Option<Exception>>,
    /// Reads what was written anew, once: see [`docker`].
    again: Option<Box<Reader>>,
    is_second: bool,
    pub(super) shapes: Shapes,
    /// Lines are many, so that it pays to know the next one's shape.
    remembers: bool,
}

// === impl Reader ===

impl Reader {
    /// For many lines of the same few senders.
    pub fn of_many() -> Reader {
        Reader { remembers: true, ..Reader::default() }
    }

    /// Bytes of its buffers, about: they are as long as the longest line was.
    pub fn size(&self) -> usize {
        let fields = self.own.capacity() + self.inner.capacity();
        let again = self.again.as_ref().map_or(0, |second| second.size());
        again + self.text.capacity() + self.plain.capacity() + self.index.size() + fields * size_of::<Field<'_>>()
    }

    /// Hands on what `line` holds: usually one record; two for two objects on one line; one for each
    /// element of an array. After a malformed piece nothing more of the line is read.
    pub fn read(&mut self, line: &[u8], cut: bool, delivery: Delivery<'_>, mut each: impl FnMut(Piece<'_, '_>)) {
        // A byte order mark, as a file that begins with one brings it through `tail`.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if !cut && let Some(known) = self.shapes.find(line) {
            let log = known.log();
            // It sees itself that its string ends where it should.
            let access = if wrapped::containerd(log.raw()).is_none() { escaped_access(log) } else { None };
            if access.is_some() || is_string(&mut self.index, line, &known.text) {
                let mut own = Vec::new();
                if known.has_own() {
                    own = recycled(std::mem::take(&mut self.own));
                    known.own(&mut own);
                }
                self.exception.take();
                let Range { start, end } = known.record();
                if access.is_some() {
                    // Nothing in it is ever walked.
                    self.index.clear();
                }
                let (shape, exception) = (Some(known.id), &self.exception);
                let scene = Scene { line, place: (start, end), index: &self.index, delivery, cut, exception, shape };
                let envelope = Envelope::alike(known);
                let record = match access {
                    Some(body) => Record::of_access(scene, envelope, own, body),
                    None => {
                        let inner = recycled(std::mem::take(&mut self.inner));
                        Record::new(scene, envelope, own, inner, (&mut self.text, &mut self.plain))
                    }
                };
                each(Piece::Record(&record));
                // Buffers that were not needed stay where they are.
                if record.own.capacity() > 0 {
                    self.own = recycled(record.own);
                }
                if record.inner.capacity() > 0 {
                    self.inner = recycled(record.inner);
                }
                return;
            }
        }
        self.index.build(line);
        let walker = Walker::of_line(line, &self.index).cut(cut);
        let mut at = walker.blanks(0);
        if at == line.len() {
            return each(Piece::Blank);
        }
        let array = line.get(at) == Some(&b'[');
        if array {
            at = walker.blanks(at + 1);
            if line.get(at) == Some(&b']') && walker.blanks(at + 1) == line.len() {
                return each(Piece::Blank);
            }
        }
        let first = at;
        loop {
            let mut own = recycled(std::mem::take(&mut self.own));
            let mut envelope = Envelope::default();
            let read = walker.object(at, |field| {
                if !envelope.take(&field) {
                    own.push(field);
                }
            });
            match read {
                Ok(after) => {
                    envelope.take_gelf(&mut own);
                    envelope.read_kubernetes(|span, each| {
                        let within = Walker::within(line, &self.index, span.end(), span.depth).cut(cut);
                        // Its brackets are known to match; a fault further in hides what follows it.
                        let _read = within.object(span.start(), each);
                    });
                    // Of two objects on a line the second is not all that it says.
                    let is_all = at == first && walker.blanks(after) == line.len();
                    if self.remembers && !array && !cut && is_all {
                        // `None`: a line like this one is read whole each time.
                        let _learnt = self.shapes.learn(line, at..after, &envelope, &own);
                    }
                    let inner = recycled(std::mem::take(&mut self.inner));
                    self.exception.take();
                    let exception = &self.exception;
                    let scene =
                        Scene { line, place: (at, after), index: &self.index, delivery, cut, exception, shape: None };
                    let record = Record::new(scene, envelope, own, inner, (&mut self.text, &mut self.plain));
                    let anew = if record.of_docker && !self.is_second { docker::unwrapped(&record) } else { None };
                    match anew {
                        None => each(Piece::Record(&record)),
                        Some(line) => {
                            let second = self.again.get_or_insert_default();
                            second.is_second = true;
                            let each: &mut dyn FnMut(Piece<'_, '_>) = &mut each;
                            second.read(&line, false, delivery, each);
                        }
                    }
                    self.own = recycled(record.own);
                    self.inner = recycled(record.inner);
                    at = walker.blanks(after);
                }
                Err(Malformed::NotAnObject) if array => {
                    self.own = recycled(own);
                    each(Piece::Malformed(Malformed::NotAnObject));
                    match walker.past(at) {
                        Ok(after) => at = walker.blanks(after),
                        Err(_) => return,
                    }
                }
                Err(reason) => {
                    self.own = recycled(own);
                    return each(Piece::Malformed(reason));
                }
            }
            match (array, line.get(at)) {
                (_, None) if !array || cut => return,
                (false, Some(_)) => {}
                (true, Some(b',')) => at = walker.blanks(at + 1),
                (true, Some(b']')) if walker.blanks(at + 1) == line.len() => return,
                (true, None) => return each(Piece::Malformed(Malformed::Unterminated)),
                _ => return each(Piece::Malformed(Malformed::Syntax)),
            }
        }
    }
}

/// Whether a string's content stands at `text`, up to a quote. Marks nothing else of the line.
fn is_string(index: &mut Index, line: &[u8], text: &Range<usize>) -> bool {
    index.build_string(line, text.clone());
    index.next_quote(Depth::Line, text.start) == Some(text.end)
}
