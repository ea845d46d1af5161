//! The time of a line of a file whose record tells none: dates without a year, without dashes, behind a word.
//!
//! A receiver has the arrival for such a line; a file has only what stands in it. A date without a year is the latest
//! one that is not after the file was written. Prefers no answer to a wrong one, and looks at the head alone.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::record::time;

/// Bytes of a line in which a time may stand.
const HEAD: usize = 96;
const DAY_MS: i64 = 86_400_000;

/// How sure it is that a time found is the line's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surety {
    /// The line opens with it.
    Opens,
    /// It stands somewhere in the head: of a file whose lines say their time nowhere else.
    Within,
}

/// `latest_ms`: when the file was written.
pub fn of_line(line: &[u8], latest_ms: i64) -> Option<(i64, Surety)> {
    let head = line.get(..HEAD).unwrap_or(line);
    opening(head, latest_ms).map(|at| (at, Surety::Opens)).or_else(|| within(head).map(|at| (at, Surety::Within)))
}

fn opening(head: &[u8], latest_ms: i64) -> Option<i64> {
    let head = past_priority(head);
    let bare = head.strip_prefix(b"[").unwrap_or(head);
    match bare {
        [a, b, c, b' ', d, e, b' ', rest @ ..] if a.is_ascii_uppercase() => {
            let month = month(&[*a, *b, *c])?;
            let day = if *d == b' ' { digits(&[*e])? } else { digits(&[*d, *e])? };
            yearless(month, day, clock(rest)?, latest_ms)
        }
        // `Jul 1 09:00:55`, with one blank.
        [a, b, c, b' ', d, b' ', rest @ ..] if a.is_ascii_uppercase() => {
            yearless(month(&[*a, *b, *c])?, digits(&[*d])?, clock(rest)?, latest_ms)
        }
        // klog, glog: `E0101 12:00:00.123456`.
        [b'I' | b'W' | b'E' | b'F', a, b, c, d, b' ', rest @ ..] => {
            yearless(digits(&[*a, *b])?, digits(&[*c, *d])?, clock(rest)?, latest_ms)
        }
        // `03-17 16:13:38.811`, `10.30 16:49:06`.
        [a, b, b'-' | b'.', c, d, b' ', rest @ ..] => {
            yearless(digits(&[*a, *b])?, digits(&[*c, *d])?, clock(rest)?, latest_ms)
        }
        // `17/06/09 20:10:40`: year, month, day.
        [a, b, b'/', c, d, b'/', e, f, b' ', rest @ ..] => {
            at(2000 + digits(&[*a, *b])?, digits(&[*c, *d])?, digits(&[*e, *f])?, clock(rest)?)
        }
        // `081109 203615 148 INFO`.
        [a, b, c, d, e, f, b' ', g, h, i, j, k, l, b' ', ..] => {
            let of_day = of_day(digits(&[*g, *h])?, digits(&[*i, *j])?, digits(&[*k, *l])?)?;
            at(2000 + digits(&[*a, *b])?, digits(&[*c, *d])?, digits(&[*e, *f])?, of_day)
        }
        // `20171223-22:15:29:606|`.
        [a, b, c, d, e, f, g, h, b'-' | b' ' | b'T' | b'_', rest @ ..] => {
            let year = digits(&[*a, *b])? * 100 + digits(&[*c, *d])?;
            at(year, digits(&[*e, *f])?, digits(&[*g, *h])?, clock(rest)?)
        }
        // `- 1117838570 2005.06.03 R02-M1`: an alert's mark, the seconds, the date again.
        _ => {
            let mut words = bare.split(|b| *b == b' ');
            let (mark, seconds, date) = (words.next()?, words.next()?, words.next()?);
            let dotted = matches!(date, [_, _, _, _, b'.', _, _, b'.', _, _]);
            if mark.len() > 16 || seconds.len() != 10 || !dotted { None } else { time::from_text(seconds) }
        }
    }
}

/// `<34>`.
fn past_priority(head: &[u8]) -> &[u8] {
    let Some(rest) = head.strip_prefix(b"<") else { return head };
    match rest.iter().take(4).position(|b| *b == b'>') {
        Some(end) if end > 0 => rest.get(end + 1..).unwrap_or_default(),
        _ => head,
    }
}

/// A whole date and time anywhere: `I, [2025-10-01T08:12:03.123 #1]`, `nova.log 2017-05-16 00:00:00.008`.
fn within(head: &[u8]) -> Option<i64> {
    if head.first().is_none_or(u8::is_ascii_whitespace) {
        return None;
    }
    let mut from = 0;
    while let Some(rest) = head.get(from..) {
        let begins = rest.first()?.is_ascii_digit()
            && !from.checked_sub(1).and_then(|b| head.get(b)).is_some_and(u8::is_ascii_digit);
        if begins
            && let [_, _, _, _, b'-' | b'/', _, _, b'-' | b'/', _, _, b' ' | b'T', _, _, b':', ..] = rest
            && let Some(found) = whole(rest)
        {
            return Some(found);
        }
        from += 1;
    }
    None
}

/// The longest time that `text` opens with.
fn whole(text: &[u8]) -> Option<i64> {
    let of_clock = |b: &u8| b.is_ascii_digit() || matches!(b, b':' | b'.' | b',');
    let mut end = 11 + text.get(11..)?.iter().take_while(|b| of_clock(b)).count();
    while end > 16 && text.get(end - 1).is_some_and(|b| !b.is_ascii_digit()) {
        end -= 1;
    }
    let zone = match text.get(end..)? {
        [b'Z', ..] => 1,
        [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()) => 6,
        [b'+' | b'-', a, b, c, d, ..] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()) => 5,
        _ => 0,
    };
    time::from_text(text.get(..end + zone)?).or_else(|| time::from_text(text.get(..end)?))
}

fn month(name: &[u8; 3]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    MONTHS.iter().position(|m| *m == name).map(|place| place as i64 + 1)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// `HH:MM:SS`, and thousandths behind a point, a comma or a colon; milliseconds of the day.
fn clock(text: &[u8]) -> Option<i64> {
    let [a, b, b':', c, d, b':', e, f, rest @ ..] = text else { return None };
    let of_day = of_day(digits(&[*a, *b])?, digits(&[*c, *d])?, digits(&[*e, *f])?)?;
    let thousandths = match rest {
        [b'.' | b',' | b':', a, b, c, ..] => digits(&[*a, *b, *c]).unwrap_or(0),
        _ => 0,
    };
    Some(of_day + thousandths)
}

fn of_day(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then(|| ((hour * 60 + minute) * 60 + second.min(59)) * 1000)
}

fn at(year: i64, month: i64, day: i64, of_day: i64) -> Option<i64> {
    if !(1970..=2200).contains(&year) {
        return None;
    }
    let date = civil::Date::new(year as i16, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond() + of_day)
}

/// The latest such date that is not after the file was written; a day for time zones, which it does not tell.
fn yearless(month: i64, day: i64, of_day: i64, latest_ms: i64) -> Option<i64> {
    let latest = jiff::Timestamp::from_millisecond(latest_ms).ok()?.to_zoned(TimeZone::UTC).year();
    // The 29th of February may be eight years back.
    (0..9).filter_map(|back| at(i64::from(latest) - back, month, day, of_day)).find(|at| *at <= latest_ms + DAY_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-03-05T12:00:00Z.
    const WRITTEN: i64 = 1_772_712_000_000;

    #[test]
    fn times_are_read_in_the_forms_that_files_have() {
        for (line, expected) in [
            ("Mar  5 11:59:59 web sshd[1]: x", Some("2026-03-05T11:59:59Z")),
            ("Mar 5 11:59:59 web sshd[1]: x", Some("2026-03-05T11:59:59Z")),
            ("<34>Oct 11 22:14:15 web su: x", Some("2025-10-11T22:14:15Z")),
            ("Dec 31 23:59:59 web x", Some("2025-12-31T23:59:59Z")),
            ("Feb 29 10:00:00 web x", Some("2024-02-29T10:00:00Z")),
            ("E0101 12:00:00.123456 7 x.go:1] y", Some("2026-01-01T12:00:00.123Z")),
            ("03-17 16:13:38.811  1702 D x", Some("2025-03-17T16:13:38.811Z")),
            ("[10.30 16:49:06] chrome.exe - x", Some("2025-10-30T16:49:06Z")),
            ("17/06/09 20:10:40 INFO x", Some("2017-06-09T20:10:40Z")),
            ("081109 203615 148 INFO x", Some("2008-11-09T20:36:15Z")),
            ("20171223-22:15:29:606|Step|3|x", Some("2017-12-23T22:15:29.606Z")),
            ("- 1117838570 2005.06.03 R02-M1 x", Some("2005-06-03T22:42:50Z")),
            ("I, [2025-10-01T08:12:03.123 #1]  INFO -- : x", Some("2025-10-01T08:12:03.123Z")),
            ("nova.log.1 2017-05-16 00:00:00.008 25746 INFO x", Some("2017-05-16T00:00:00.008Z")),
            ("WARN [2025-10-01T08:12:03+02:00] x", Some("2025-10-01T06:12:03Z")),
            ("    at x (2025-10-01 08:12:03)", None),
            ("12345678 rows", None),
            ("Maybe 12 of 13", None),
            ("Feb 30 10:00:00 x", None),
            ("", None),
        ] {
            let found = of_line(line.as_bytes(), WRITTEN).map(|(at, _)| at);
            assert_eq!(found, expected.and_then(|e| time::from_text(e.as_bytes())), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_nearly_a_time_panics(text in "\\PC{0,4}([0-9/:.,TZ \\]\\[-]|Sep|E0|<){0,60}", written in any::<i64>()) {
            of_line(text.as_bytes(), written);
        }
    }
}
