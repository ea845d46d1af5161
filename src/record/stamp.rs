//! The time that a text opens with, or says under a name of its own.
//!
//! As [`super::time`], it prefers no answer to a wrong one: a date without a year is none.

use super::{logfmt, time};

/// `2025-10-01 08:12:03,123 ERROR …`, bare or in brackets, Apache's `[Sun Dec 04 04:47:44.123 2005]`, and logfmt's
/// `ts=…`.
pub fn of_text(text: &[u8]) -> Option<i64> {
    let bare = text.strip_prefix(b"[").unwrap_or(text);
    match bare.first()? {
        b'0'..=b'9' => of_digits(bare),
        b'M' | b'T' | b'W' | b'F' | b'S' if bare.len() < text.len() => {
            calendar(bare.get(..memchr::memchr(b']', bare)?)?)
        }
        _ if logfmt::is_logfmt(text) => ["time", "ts", "t", "timestamp"].iter().find_map(|key| {
            let value = logfmt::get(text, key)?;
            time::from_text(&value.decoded())
        }),
        _ => None,
    }
}

/// The time of an access line, in any server's form.
pub fn of_access(text: &[u8]) -> Option<i64> {
    match text {
        [b'A'..=b'Z', ..] => calendar(text),
        // werkzeug has a blank between date and clock.
        [_, _, b'/', _, _, _, b'/', _, _, _, _, b' ', ..] => {
            let (date, clock) = (text.get(..11)?, text.get(12..)?);
            time::from_text(&[date, b":", clock].concat())
        }
        _ => time::from_text(text),
    }
}

fn of_digits(text: &[u8]) -> Option<i64> {
    let head = text.get(..text.len().min(40)).unwrap_or_default();
    let blank = |(_, b): &(usize, &u8)| matches!(b, b' ' | b']' | b'\t' | b'|');
    let mut ends = head.iter().enumerate().filter(blank).map(|(i, _)| i).chain([head.len()]);
    let (first, second, third) = (ends.next(), ends.next(), ends.next());
    // The longest that reads wins: date, time and zone may be three words.
    let read = |stamp: &[u8]| {
        // A bare number at the head of a line is a count of something, not a time.
        if stamp.iter().all(|b| b.is_ascii_digit() || *b == b'.') { None } else { time::from_text(stamp) }
    };
    let whole = [third, second, first].into_iter().flatten().find_map(|end| read(head.get(..end)?));
    // `10:22:40,672:DEBUG:foo`: the level is glued to the clock.
    whole.or_else(|| {
        let clock =
            head.get(11..)?.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b',')).count();
        let mut stamp = head.get(..11 + clock)?;
        while let [rest @ .., b':' | b'.' | b','] = stamp {
            stamp = rest;
        }
        if clock < 8 { None } else { read(stamp) }
    })
}

/// `Sun Mar 13 22:49:12 2016`, C's form.
fn calendar(text: &[u8]) -> Option<i64> {
    let mut words = text.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let (_, month, day) = (words.next()?, words.next()?, words.next()?);
    let (clock, year) = (words.next()?, words.next()?);
    let zero: &[u8] = if day.len() == 1 { b"0" } else { b"" };
    time::from_text(&[zero, day, b"/", month, b"/", year, b":", clock].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_tells_its_time_by_its_head() {
        let at = |text: &str| time::from_text(text.as_bytes());
        for (text, expected) in [
            ("2025-10-01 08:12:03,123 ERROR x", at("2025-10-01T08:12:03.123Z")),
            ("2025-10-01T08:12:03.123Z\terror\tx", at("2025-10-01T08:12:03.123Z")),
            ("[2025-10-01 08:12:03 +0200] [7] x", at("2025-10-01T06:12:03Z")),
            ("2025-10-01 08:12:03,123:DEBUG:foo bar", at("2025-10-01T08:12:03.123Z")),
            ("2025-10-01T08:12:03.071:INFO:x", at("2025-10-01T08:12:03.071Z")),
            ("[Sun Dec 04 04:47:44.123 2005] [error] x", at("2005-12-04T04:47:44.123Z")),
            ("level=info ts=2025-10-01T08:12:03Z msg=x", at("2025-10-01T08:12:03Z")),
            ("time=\"2025-10-01T08:12:03Z\" level=info", at("2025-10-01T08:12:03Z")),
            ("1759306324 rows", None),
            ("Oct  1 08:12:03 web app: x", None),
            ("Sun is shining", None),
            ("17 rows", None),
            ("", None),
        ] {
            assert_eq!(of_text(text.as_bytes()), expected, "{text}");
        }
        let access = |text: &str| of_access(text.as_bytes());
        assert_eq!(access("Sun Mar  3 22:49:12 2016"), at("2016-03-03T22:49:12Z"));
        assert_eq!(access("01/Oct/2025 08:12:04"), at("2025-10-01T08:12:04Z"));
        assert_eq!(access("01/Oct/2025:08:12:04 +0200"), at("2025-10-01T06:12:04Z"));
    }

    proptest! {
        #[test]
        fn nothing_nearly_a_stamp_panics(text in "\\[?([0-9/:.,TZ \\]\t|-]|Sun|Oct|ts=){0,50}") {
            of_text(text.as_bytes());
            of_access(text.as_bytes());
        }
    }
}
