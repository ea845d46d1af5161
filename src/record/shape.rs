//! Lines that are alike but for their date and their `log`: what stands around these two is read once.
//!
//! Of one container, line after line has the same bytes before and behind the content of `log`. A [`Shape`] keeps
//! both, and where in them each field of the record stands. A line that has them byte for byte reads the same way:
//! whoever walks it is in the same state wherever the bytes were the same so far, a date made of digits is one
//! number whatever its digits, and a string ends at its first quote that is not escaped. So there are just two
//! things to look at in such a line: that its date is digits, and that the content of its `log` holds no such
//! quote. The latter is for the [`Reader`](super::Reader) to see.
//!
//! Bounds: so many shapes of so many bytes; each has one place to be, beside one other, and whoever comes there
//! third drives one out. A line is hashed and compared at four places at the most, whatever was sent before.

use std::ops::Range;

use wide::u8x16;
use xxhash_rust::xxh3::xxh3_64;

use super::envelope::{Envelope, VALUES};
use super::json::{Field, Value};
use super::text::Text;

/// Shapes that are remembered: docker's driver writes its keys in any order, so that one container has dozens. With
/// what each may have around it, 256 KiB a request.
pub const SHAPES_MAX: usize = 256;
/// Bytes around `log` that are remembered; FireLens puts some 400 there.
const AROUND_MAX: usize = 768;
/// Fields beside the envelope's that are remembered.
const OWN_MAX: usize = 16;
/// Bytes that tell where a shape is kept: enough to reach into a container's id.
const KEY: usize = 64;
/// Begins nearly every line. The date's digits follow.
const DATED: &[u8] = b"{\"date\":";

/// The shapes of the lines that one reader has read.
#[derive(Default)]
pub struct Shapes {
    /// In pairs; empty until the first one is remembered.
    places: Vec<Option<Box<Shape>>>,
    next: u32,
}

/// Names a shape for as long as its [`Shapes`] live: equal for lines that are equal but for date and `log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeId {
    /// Below [`SHAPES_MAX`]; another shape may take it over.
    pub place: usize,
    /// Not given twice while a request is read, and never `u32::MAX`.
    pub number: u32,
}

#[derive(Debug)]
struct Shape {
    number: u32,
    hash: u64,
    /// From behind the date up to the content of `log`, and from behind that to the line's end.
    before: Box<[u8]>,
    behind: Box<[u8]>,
    /// The line opens with a date, its digits right before `before`.
    is_dated: bool,
    /// Where the record begins in the line, and how far from the line's end it ends.
    begins: usize,
    ends: usize,
    values: [Option<Stored>; VALUES],
    own: Box<[(Stored, Stored)]>,
}

/// A value, by where it stands.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Date,
    Log,
    Text { place: Place, escapes: u8 },
    Number(Place),
    Bool(bool),
    Null,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// In `behind`, not in `before`.
    is_behind: bool,
    from: u16,
    length: u16,
}

/// A line that looks like an earlier one.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    pub id: ShapeId,
    /// Where the content of `log` stands, if it is one string.
    pub text: Range<usize>,
    shape: &'a Shape,
    line: &'a [u8],
    date: &'a [u8],
    /// Where `before` begins.
    start: usize,
}

// === impl Shapes ===

impl Shapes {
    /// The shape of `line`, seen from both its ends.
    #[inline]
    pub(super) fn find<'a>(&'a self, line: &'a [u8]) -> Option<Known<'a>> {
        if self.places.is_empty() {
            return None;
        }
        let (date, start) = dated(line).unwrap_or_default();
        let rest = line.get(start..)?;
        let (place, shape) = self
            .at(xxh3_64(rest.first_chunk::<KEY>()?), rest, start > 0)
            .or_else(|| self.at(xxh3_64(rest.last_chunk::<KEY>()?), rest, start > 0))?;
        let text = start + shape.before.len()..line.len().checked_sub(shape.behind.len())?;
        let id = ShapeId { place, number: shape.number };
        (text.start <= text.end).then_some(Known { id, text, shape, line, date, start })
    }

    #[inline]
    fn at(&self, hash: u64, rest: &[u8], is_dated: bool) -> Option<(usize, &Shape)> {
        let first = pair_of(hash);
        let pair = self.places.get(first..first + 2)?;
        pair.iter().enumerate().find_map(|(n, shape)| {
            let shape = shape.as_deref()?;
            let is_it = shape.hash == hash
                && shape.is_dated == is_dated
                && rest.starts_with(&shape.before)
                && rest.ends_with(&shape.behind);
            is_it.then_some((first + n, shape))
        })
    }

    /// Remembers how `line` was read: as one record in `record`, and nothing else but blanks.
    pub(super) fn learn<'a>(
        &mut self,
        line: &'a [u8],
        record: Range<usize>,
        envelope: &Envelope<'a>,
        own: &[Field<'a>],
    ) -> Option<()> {
        let values = envelope.values()?;
        let Some(Value::Text(log)) = envelope.log else { return None };
        let (date, start) = dated(line).unwrap_or_default();
        let (before, behind) = (line.get(start..log.start())?, line.get(log.end()..)?);
        if before.len() + behind.len() > AROUND_MAX || own.len() > OWN_MAX {
            return None;
        }
        let rest = line.get(start..)?;
        let hash = if before.len() >= KEY {
            xxh3_64(rest.first_chunk::<KEY>()?)
        } else if behind.len() >= KEY {
            xxh3_64(rest.last_chunk::<KEY>()?)
        } else {
            return None;
        };

        let place = |part: &[u8]| {
            let at = part.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
            let (is_behind, from, of) = match at.checked_sub(log.end()) {
                Some(from) => (true, from, behind),
                None => (false, at.checked_sub(start)?, before),
            };
            of.get(from..)?.get(..part.len())?;
            Some(Place { is_behind, from: u16::try_from(from).ok()?, length: u16::try_from(part.len()).ok()? })
        };
        let text = |text: Text<'_>| Some(Stored::Text { place: place(text.raw())?, escapes: text.escapes() });
        let stored = |value: Value<'a>| match value {
            Value::Text(found) if found == log => (found.escapes() == 1).then_some(Stored::Log),
            Value::Text(found) => text(found),
            Value::Number(raw) if raw.as_ptr() == date.as_ptr() && raw.len() == date.len() => Some(Stored::Date),
            Value::Number(raw) => Some(Stored::Number(place(raw)?)),
            Value::Bool(yes) => Some(Stored::Bool(yes)),
            Value::Null => Some(Stored::Null),
            // To walk in these, the marks of the whole line are needed.
            Value::Object(_) | Value::Array(_) | Value::Int(_) => None,
        };
        let mut held = [None; VALUES];
        for (to, value) in held.iter_mut().zip(values) {
            *to = match value {
                Some(value) => Some(stored(value)?),
                None => None,
            };
        }
        let own = own.iter().map(|field| Some((text(field.key)?, stored(field.value)?))).collect::<Option<_>>()?;
        let shape = Shape {
            number: self.next,
            hash,
            before: before.into(),
            behind: behind.into(),
            is_dated: start > 0,
            begins: record.start,
            ends: line.len().checked_sub(record.end)?,
            values: held,
            own,
        };
        self.keep(shape);
        Some(())
    }

    fn keep(&mut self, shape: Shape) {
        if self.places.is_empty() {
            self.places.resize_with(SHAPES_MAX, || None);
        }
        let first = pair_of(shape.hash);
        let Some(pair) = self.places.get_mut(first..first + 2) else { return };
        let free = pair.iter().position(Option::is_none);
        // Which of two goes is as good as random.
        let place = free.unwrap_or(self.next as usize % 2);
        if let Some(slot) = pair.get_mut(place) {
            *slot = Some(Box::new(shape));
        }
        // The last number is nobody's.
        self.next = self.next.wrapping_add(1) % u32::MAX;
    }
}

fn pair_of(hash: u64) -> usize {
    hash as usize % (SHAPES_MAX / 2) * 2
}

/// The digits of the date that opens a line, and where they end; what is read there is one number.
#[inline]
fn dated(line: &[u8]) -> Option<(&[u8], usize)> {
    let rest = line.strip_prefix(DATED)?;
    let digits = digits(rest);
    let whole = (digits.trailing_ones() as usize).min(DIGITS_MAX);
    let length = match rest.get(whole)? {
        b'.' => whole + 1 + ((digits >> (whole + 1)).trailing_ones() as usize).min(DIGITS_MAX),
        _ => whole,
    };
    (whole > 0 && rest.get(length) == Some(&b','))
        .then(|| (rest.get(..length).unwrap_or_default(), DATED.len() + length))
}

/// Digits of a date on either side of its point.
const DIGITS_MAX: usize = 20;

/// Which of the first 64 bytes are digits.
#[inline]
fn digits(text: &[u8]) -> u64 {
    let Some(head) = text.first_chunk::<32>() else {
        return text.iter().take(64).rev().fold(0, |digits, b| digits << 1 | u64::from(b.is_ascii_digit()));
    };
    let (lanes, _) = head.as_chunks::<16>();
    let bits = |lane: &[u8; 16]| {
        let bytes = u8x16::new(*lane);
        u64::from(bytes.max(u8x16::splat(b'0')).min(u8x16::splat(b'9')).simd_eq(bytes).to_bitmask())
    };
    let first = lanes.iter().rev().fold(0, |digits, lane| digits << 16 | bits(lane));
    if first >> 31 == 0 { first } else { first | digits(text.get(32..64.min(text.len())).unwrap_or_default()) << 32 }
}

// === impl Known ===

impl<'a> Known<'a> {
    /// Where the record stands in the line.
    pub(super) fn record(&self) -> Range<usize> {
        self.shape.begins..self.line.len() - self.shape.ends.min(self.line.len())
    }

    /// The content of `log`.
    #[inline]
    pub(super) fn log(&self) -> Text<'a> {
        Text::escaped(self.line.get(self.text.clone()).unwrap_or_default(), self.text.start, 1)
    }

    /// Of the envelope's values the one at this place: see [`Envelope::values`].
    #[inline]
    pub(super) fn of_envelope(&self, place: usize) -> Option<Value<'a>> {
        self.shape.values.get(place)?.as_ref().map(|stored| self.value(stored))
    }

    /// It has fields beside the envelope's.
    pub(super) fn has_own(&self) -> bool {
        !self.shape.own.is_empty()
    }

    pub(super) fn own(&self, own: &mut Vec<Field<'a>>) {
        own.extend(self.shape.own.iter().filter_map(|(key, value)| {
            let Value::Text(key) = self.value(key) else { return None };
            Some(Field { key, value: self.value(value) })
        }));
    }

    #[inline(always)]
    fn value(&self, stored: &Stored) -> Value<'a> {
        let part = |place: &Place| {
            let from = usize::from(place.from) + if place.is_behind { self.text.end } else { self.start };
            (self.line.get(from..from + usize::from(place.length)).unwrap_or_default(), from)
        };
        match stored {
            Stored::Date => Value::Number(self.date),
            Stored::Log => Value::Text(self.log()),
            Stored::Text { place, escapes } => {
                let (raw, start) = part(place);
                Value::Text(Text::escaped(raw, start, *escapes))
            }
            Stored::Number(place) => Value::Number(part(place).0),
            Stored::Bool(yes) => Value::Bool(*yes),
            Stored::Null => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests;
