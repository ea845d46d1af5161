//! Reading a point in time out of what a log line says, as unix milliseconds.
//!
//! A record's time decides which window it is counted in, so this module prefers no answer to a
//! wrong one: whatever is not completely and unambiguously a moment is `None`, and the caller uses
//! the arrival instead. It promises to allocate nothing (one rare spelling, `1.7e9`, goes through
//! the standard float parser, which does not either), to read each byte once, and to agree to the
//! millisecond between the forms: parts of a millisecond are cut off.

use std::ops::Range;

/// Seconds a bare number may stand for: 2001-09-09T01:46:40Z up to the end of the year 2200.
///
/// Below it a number is a duration, a counter or an identifier, not a time. The range is also what
/// makes the unit plain: it spans less than a factor of ten, so seconds, millis, micros and nanos
/// of it never overlap.
const NUMBER_SECONDS: Range<i64> = 1_000_000_000..7_289_654_400;

/// Years a written date may have. A date spells its year out, so 1985 is believed; Go's zero time
/// (year 1), which means "never set", is not.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=2200;

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Epoch seconds, millis, micros or nanos, told apart by their magnitude.
///
/// `None` for what is not finite, lies before 2001-09-09 or after the year 2200, or between two
/// units: a bare small number is no time.
pub fn from_number(n: f64) -> Option<i64> {
    let (floor, ceiling) = (NUMBER_SECONDS.start as f64, NUMBER_SECONDS.end as f64);
    // To whole micros first: the product of a double and 1000 falls just short of the millisecond
    // too often (1759306324.699 would become …698), while all micros in range are exact doubles.
    for (unit, to_micros) in [(1.0, 1e6), (1e3, 1e3), (1e6, 1.0), (1e9, 1e-3)] {
        // False for NaN, as it must be.
        if n >= floor * unit && n < ceiling * unit {
            return Some((n * to_micros).round() as i64 / 1000);
        }
    }
    None
}

/// The same for the digits of a number as Fluent Bit dates records, seconds with up to six decimals, without a detour
/// over a double. `None`: it is of another form.
///
/// Up to 2033 a double is within a quarter of a microsecond of such a number, in seconds as in micros, so that
/// [`from_number`] finds these very micros.
pub fn from_decimal(digits: &[u8]) -> Option<i64> {
    let (whole, rest) = digits.split_first_chunk::<10>()?;
    let decimals = match rest {
        [] => rest,
        [b'.', decimals @ ..] if (1..=6).contains(&decimals.len()) => decimals,
        _ => return None,
    };
    let (first, rest) = whole.split_first_chunk::<2>()?;
    if first[0] != b'1' || !first[1].is_ascii_digit() || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = (10 + i64::from(first[1] - b'0')) * 100_000_000 + eight_digits(rest.first_chunk()?)?;
    Some(seconds * 1000 + thousandths(decimals))
}

/// The number that eight digits make, all at once: in pairs, in fours, in eights.
fn eight_digits(text: &[u8; 8]) -> Option<i64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const SIXES: u64 = 0x0606_0606_0606_0606;
    let text = u64::from_le_bytes(*text);
    // Of `0` to `9` the high half is 3, and so it is six further on.
    if text & HIGH != ZEROS || text.wrapping_add(SIXES) & HIGH != ZEROS {
        return None;
    }
    let pairs = (text - ZEROS).wrapping_mul(10).wrapping_add((text - ZEROS) >> 8);
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100).wrapping_add((pairs >> 16) & 0x00ff_00ff_00ff_00ff);
    let (high, low) = (fours & 0xffff, (fours >> 32) & 0xffff);
    Some((high * 10_000 + low) as i64)
}

/// A time written out: a number as in [`from_number`], RFC 3339 and its looser relatives (a blank
/// for the `T`, a comma for the point, an offset without colon, no offset at all: UTC), nginx's
/// `2025/10/01 08:12:03`, or an access log's `01/Oct/2025:08:12:04 +0000`.
///
/// `None` for a date without a time of day, an impossible date or hour, and anything after a
/// complete stamp. A leap second counts as the second before it.
pub fn from_text(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let (date, mut rest) = match text {
        [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't' | b' ', ..]
        | [_, _, _, _, b'/', _, _, b'/', _, _, b'T' | b't' | b' ', ..] => {
            (days(digits(text, 0..4)?, digits(text, 5..7)?, digits(text, 8..10)?)?, &text[11..])
        }
        [_, _, b'/', a, b, c, b'/', _, _, _, _, b':', ..] => {
            let name = [a, b, c].map(u8::to_ascii_lowercase);
            let month = MONTHS.iter().position(|m| **m == name)? as i64 + 1;
            (days(digits(text, 7..11)?, month, digits(text, 0..2)?)?, &text[12..])
        }
        _ => return numeric(text),
    };

    let of_day = clock(&mut rest)?;
    let offset = zone(rest)?;
    Some(date * 86_400_000 + of_day - offset)
}

/// `HH:MM[:SS[.fraction]]` off the front of `rest`, in milliseconds of the day. Java leaves out
/// seconds that are zero.
fn clock(rest: &mut &[u8]) -> Option<i64> {
    let text = *rest;
    let hour = digits(text, 0..2)?;
    let minute = digits(text, 3..5)?;
    if text[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let (mut second, mut millis, mut end) = (0, 0, 5);
    if text.get(5) == Some(&b':') {
        // Sixty is a leap second: it has no number of its own in unix time.
        second = digits(text, 6..8).filter(|s| *s <= 60)?.min(59);
        end = 8;
        if let Some(b'.' | b',') = text.get(8) {
            let digits = text[9..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            end = 9 + digits;
            millis = thousandths(&text[9..end]);
        }
    }
    *rest = &text[end..];
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// All of what follows the clock: nothing, `Z`, `UTC`, `GMT` or an offset, after a blank or not; in
/// milliseconds.
fn zone(rest: &[u8]) -> Option<i64> {
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let (hours, minutes) = match rest {
        [] | [b'Z' | b'z'] | b"UTC" | b"GMT" => return Some(0),
        [b'+' | b'-', _, _] => (digits(rest, 1..3)?, 0),
        [b'+' | b'-', _, _, _, _] => (digits(rest, 1..3)?, digits(rest, 3..5)?),
        [b'+' | b'-', _, _, b':', _, _] => (digits(rest, 1..3)?, digits(rest, 4..6)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let east = (hours * 60 + minutes) * 60_000;
    Some(if rest[0] == b'-' { -east } else { east })
}

/// A number in digits. Read as an integer, not as a double: nanos have more digits than a double
/// keeps.
fn numeric(text: &[u8]) -> Option<i64> {
    let whole = text.iter().take_while(|b| b.is_ascii_digit()).count();
    // The range of nanos ends within 19 digits, and every number of 19 digits fits.
    if !(1..=19).contains(&whole) {
        return None;
    }
    let fraction = match &text[whole..] {
        [] => &[][..],
        [b'.', fraction @ ..] if !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit) => fraction,
        // Some encoders write the seconds as 1.759306414e+09.
        rest if rest.iter().any(|b| matches!(b, b'e' | b'E')) => {
            return std::str::from_utf8(text).ok()?.parse().ok().and_then(from_number);
        }
        _ => return None,
    };
    let n = text[..whole].iter().fold(0_u64, |n, b| n * 10 + u64::from(b - b'0'));
    let n = i64::try_from(n).ok()?;

    let within = |per_second: i64| NUMBER_SECONDS.contains(&(n / per_second));
    if within(1) {
        Some(n * 1000 + thousandths(fraction))
    } else if within(1000) {
        Some(n)
    } else if within(1_000_000) {
        Some(n / 1000)
    } else if within(1_000_000_000) {
        Some(n / 1_000_000)
    } else {
        None
    }
}

/// The first three digits of a fraction of a second; later ones are cut off.
fn thousandths(fraction: &[u8]) -> i64 {
    let digit = |i: usize| fraction.get(i).map_or(0, |b| i64::from(b - b'0'));
    digit(0) * 100 + digit(1) * 10 + digit(2)
}

/// The number in `text[at]`, if that is there and all digits: no sign, no blank.
fn digits(text: &[u8], at: Range<usize>) -> Option<i64> {
    text.get(at)?.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// Days from 1970-01-01 to a date that exists.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !YEARS.contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Count years from March, so that the leap day comes last and month lengths follow one formula.
    let year = if month > 2 { year } else { year - 1 };
    let from_march = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    Some(year * 365 + year / 4 - year / 100 + year / 400 + from_march - 719_468)
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::Offset};
    use proptest::prelude::*;

    use super::*;

    /// What the twin says: the second parser, through which no expectation here was computed by
    /// hand.
    fn jiff(rfc3339: &str) -> Option<i64> {
        Some(rfc3339.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn every_written_form_is_read() {
        for (text, same) in [
            ("2018-05-30T09:39:52.000681Z", "2018-05-30T09:39:52Z"),
            ("2025-10-01T08:12:03.999999999Z", "2025-10-01T08:12:03.999Z"),
            ("2025-10-01t08:12:03z", "2025-10-01T08:12:03Z"),
            ("2025-10-01T08:12:03", "2025-10-01T08:12:03Z"),
            ("2025-10-01T08:12Z", "2025-10-01T08:12:00Z"),
            ("2025-10-01T08:12:03.5+02:00", "2025-10-01T06:12:03.5Z"),
            ("2025-10-01T08:12:03,25+0200", "2025-10-01T06:12:03.25Z"),
            ("2025-10-01T08:12:03-03:30", "2025-10-01T11:42:03Z"),
            ("2025-10-01T08:12:03+02", "2025-10-01T06:12:03Z"),
            ("2025-10-01T00:30:00+02:00", "2025-09-30T22:30:00Z"),
            ("2026-09-21 14:13:20.123456", "2026-09-21T14:13:20.123Z"),
            ("2025-10-01 08:21:44,102", "2025-10-01T08:21:44.102Z"),
            ("2025-10-01 08:12:03", "2025-10-01T08:12:03Z"),
            ("2025-10-01 08:12:03 +0000", "2025-10-01T08:12:03Z"),
            ("2025-10-01 08:21:56.441 UTC", "2025-10-01T08:21:56.441Z"),
            ("2025/10/01 08:12:03", "2025-10-01T08:12:03Z"),
            ("01/Oct/2025:08:12:04 +0000", "2025-10-01T08:12:04Z"),
            ("22/Jan/2019:03:56:14 +0330", "2019-01-22T00:26:14Z"),
            (" 2025-10-01T08:12:03Z\n", "2025-10-01T08:12:03Z"),
            ("1990-12-31T23:59:60Z", "1990-12-31T23:59:59Z"),
            ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
            ("1759306324", "2025-10-01T08:12:04Z"),
            ("1759306324.69893", "2025-10-01T08:12:04.698Z"),
            ("1759306324698", "2025-10-01T08:12:04.698Z"),
            ("1759306324698930", "2025-10-01T08:12:04.698Z"),
            ("1759306324698999999", "2025-10-01T08:12:04.698Z"),
            ("1.759306324e+09", "2025-10-01T08:12:04Z"),
        ] {
            assert_eq!(from_text(text.as_bytes()), jiff(same), "{text}");
        }
    }

    proptest! {
        #[test]
        fn digits_read_as_the_double_that_they_are(digits in "1[0-9]{9}(\\.[0-9]{1,6})?") {
            prop_assert_eq!(from_decimal(digits.as_bytes()), from_number(digits.parse().unwrap()), "{}", digits);
        }
    }

    #[test]
    fn digits_of_another_form_are_left_to_the_double() {
        for text in [
            "",
            "1759306324.",
            "1759306324.1234567",
            "175930632",
            "2059306324.5",
            "1759306324698",
            "175930632x",
            "1759306324,5",
        ] {
            assert_eq!(from_decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_complete_moment_is_no_time() {
        for text in [
            "",
            " ",
            "-",
            "now",
            "2025-10-01",
            "2025-10-01T",
            "2025-10-01T08",
            "2025-10-01T08:12:",
            "2025-10-01T08:12:0",
            "2025-10-01T08:12:03.",
            "2025-10-01T08:12:03.Z",
            "2025-10-01T08:12:03Zulu",
            "2025-10-01T08:12:03 ERROR x",
            "2025-10-01T08:12:03+",
            "2025-10-01T08:12:03+2",
            "2025-10-01T08:12:03+24:00",
            "2025-10-01T08:12:03+02:60",
            "2025-10-01T08:12:03+02:00[Europe/Berlin]",
            "2025-10-01  08:12:03",
            "2025-10/01 08:12:03",
            "2025-13-01 08:12:03",
            "2025-00-01 08:12:03",
            "2025-10-00 08:12:03",
            "2025-04-31 08:12:03",
            "2025-02-29 08:12:03",
            "2100-02-29 08:12:03",
            "2025-10-01 24:00:00",
            "2025-10-01 08:60:00",
            "2025-10-01 08:12:61",
            "2025-10-01 +8:12:03",
            "0001-01-01T00:00:00Z",
            "2201-01-01T00:00:00Z",
            "32/Oct/2025:08:12:04 +0000",
            "01/Okt/2025:08:12:04 +0000",
            "01/Oct/2025",
            "12345",
            "999999999",
            "20251001",
            "20251001081203",
            "-1759306324",
            "1759306324.",
            "1759306324.5s",
            "17593063246989300000",
            "175930632469893000000000000000000000000000",
            "1e400",
            "0e9",
            "10.0.0.1",
            "1.7593e9x",
        ] {
            assert_eq!(from_text(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_number_tells_its_unit_by_its_magnitude() {
        let at = jiff("2025-10-01T08:12:04.699Z");
        for n in [1_759_306_324.699, 1_759_306_324_699.0, 1_759_306_324_699_000.0, 1_759_306_324_699_000_000.0] {
            assert_eq!(from_number(n), at, "{n}");
        }
        assert_eq!(from_number(1_759_306_324.698_93), jiff("2025-10-01T08:12:04.698Z"));
        assert_eq!(from_number(1e9), jiff("2001-09-09T01:46:40Z"));
        assert_eq!(from_number(7_289_654_399.999), jiff("2200-12-31T23:59:59.999Z"));
    }

    #[test]
    fn a_number_that_is_small_wild_or_between_units_is_no_time() {
        for n in [
            0.0,
            -0.0,
            -1_759_306_324.0,
            30.0,
            999_999_999.999,
            7_289_654_400.0,
            20_251_001_081_203.0,
            7_289_654_400_000_000_000.0,
            1e300,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert_eq!(from_number(n), None, "{n}");
        }
    }

    proptest! {
        #[test]
        fn every_form_of_an_instant_reads_as_the_twin_reads_it(
            second in 0_i64..7_289_568_000,
            nano in 0_i32..1_000_000_000,
            offset_minutes in -1439_i32..=1439,
        ) {
            let at = Timestamp::new(second, nano).unwrap();
            let expected = Some(at.as_millisecond());
            prop_assert_eq!(from_text(at.to_string().as_bytes()), expected);

            let utc = Offset::UTC.to_datetime(at);
            let there = at.to_zoned(Offset::from_seconds(offset_minutes * 60).unwrap().to_time_zone());
            for text in [
                utc.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
                utc.strftime("%Y-%m-%dT%H:%M:%S,%3f").to_string(),
                utc.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string(),
                there.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string(),
                there.strftime("%Y-%m-%dT%H:%M:%S.%9f%z").to_string(),
            ] {
                // The twin's year is four digits only where ours is: an offset may lead out of the
                // range at its ends.
                if there.year() >= 1970 {
                    prop_assert_eq!(from_text(text.as_bytes()), expected, "{}", text);
                }
            }

            let whole = Some(second * 1000);
            for text in [
                utc.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                utc.strftime("%Y/%m/%d %H:%M:%S").to_string(),
                utc.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                there.strftime("%d/%b/%Y:%H:%M:%S %z").to_string(),
            ] {
                if there.year() >= 1970 {
                    prop_assert_eq!(from_text(text.as_bytes()), whole, "{}", text);
                }
            }
        }

        #[test]
        fn a_number_reads_alike_in_every_unit_and_as_text(
            second in 1_000_000_000_i64..7_289_654_400,
            nano in 0_i64..1_000_000_000,
        ) {
            let nanos = second * 1_000_000_000 + nano;
            let expected = Some(nanos / 1_000_000);
            for text in [
                format!("{second}.{nano:09}"),
                format!("{}", nanos / 1_000_000),
                format!("{}", nanos / 1000),
                format!("{nanos}"),
            ] {
                prop_assert_eq!(from_text(text.as_bytes()), expected, "{}", text);
            }
            let micros = nanos / 1000;
            // From 2106 on a double of seconds no longer tells one micro from the next.
            if second < 1 << 32 {
                prop_assert_eq!(from_number(micros as f64 / 1e6), expected);
            }
            prop_assert_eq!(from_number((nanos / 1_000_000) as f64), expected);
            prop_assert_eq!(from_number(micros as f64), expected);
        }

        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..64), n in any::<f64>()) {
            from_text(&text);
            from_number(n);
        }

        #[test]
        fn nothing_nearly_a_time_panics(text in "[0-9/:.,TZ+eOct -]{0,40}") {
            from_text(text.as_bytes());
        }

        #[test]
        fn a_complete_stamp_with_text_after_it_is_no_time(tail in "[A-Za-z_\\[(\"]{1,8}") {
            prop_assume!(!["Z", "z", "UTC", "GMT"].contains(&tail.as_str()));
            let text = format!("2025-10-01T08:12:03{tail}");
            prop_assert_eq!(from_text(text.as_bytes()), None);
        }
    }
}
