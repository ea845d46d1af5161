//! Values made of digits: numbers, dates, times of day, addresses, and words with digits in them.

use super::super::words;
use super::Kind;
use super::scan::{ALPHA, DIGIT, HEX, WORD, at, class, run};

pub(super) enum Number {
    /// Up to where it goes.
    Value(Kind, usize),
    /// Letters follow: not a number alone.
    Mixed,
}

/// Reads the number, date, time or address that begins with the digit at `pos`.
pub(super) fn read(src: &[u8], pos: usize) -> Number {
    let mut end = run(src, pos, DIGIT);
    if end == pos {
        return Number::Mixed;
    }
    let first = end - pos;
    // Signs between groups of digits, the first eight of them.
    let mut signs = [0; 8];
    let (mut groups, mut longest) = (1, first);
    // Where the last group of digits began, with the sign before it.
    let mut last = pos;
    loop {
        let sign = at(src, end);
        let next = match sign {
            b'.' | b',' | b':' | b'-' | b'/' | b'_' => end + 1,
            b'T' if groups == 3 && signs.starts_with(b"--") => end + 1,
            _ => break,
        };
        let month = matches!(sign, b'-' | b'/') && words::is_month(src.get(next..next + 3).unwrap_or_default());
        let stop = if month && at(src, next + 3) == sign { next + 3 } else { run(src, next, DIGIT) };
        if stop == next {
            break;
        }
        if let Some(slot) = signs.get_mut(groups - 1) {
            *slot = sign;
        }
        groups += 1;
        if groups <= 4 {
            longest = longest.max(stop - next);
        }
        last = end;
        end = stop;
    }
    let signs = signs.get(..(groups - 1).min(8)).unwrap_or_default();
    let count = |sign: u8| signs.iter().filter(|s| **s == sign).count();
    let kind = if matches!(signs, [b'.', b'.', b'.'] | [b'.', b'.', b'.', b':' | b'/']) && longest <= 3 {
        Kind::Ip
    } else if signs == b":" && first <= 2 && end - last == 3 {
        // The time of day, to the minute.
        Kind::Time
    } else if count(b':') >= 2 || (count(b'-') == 2 && first == 4) || count(b'/') == 2 {
        Kind::Time
    } else {
        Kind::Number
    };
    let tail = run(src, end, ALPHA);
    let letters = src.get(end..tail).unwrap_or_default();
    let ends = class(at(src, tail)) & DIGIT == 0 && at(src, tail) != b'_';
    match (kind, letters) {
        (Kind::Time, [] | [b'Z']) => Number::Value(kind, offset(src, tail)),
        (_, []) => Number::Value(kind, end + usize::from(at(src, end) == b'%')),
        (Kind::Number, _) if ends && words::is_unit(letters) => Number::Value(kind, tail),
        (Kind::Number, _) if words::is_time_unit(letters) => match duration(src, tail) {
            Some(end) => Number::Value(Kind::Duration, end),
            None => Number::Mixed,
        },
        (Kind::Number, b"e" | b"E") if matches!(at(src, tail), b'+' | b'-' | b'0'..=b'9') => {
            let digits = if class(at(src, tail)) & DIGIT != 0 { tail } else { tail + 1 };
            let stop = run(src, digits, DIGIT);
            if stop > digits && class(at(src, stop)) & WORD == 0 {
                Number::Value(kind, stop)
            } else if groups == 1 {
                Number::Mixed
            } else {
                Number::Value(Kind::Number, last)
            }
        }
        _ if groups == 1 => Number::Mixed,
        // The last group is the beginning of a word: `2017-05-3ab4`.
        _ => Number::Value(Kind::Number, last),
    }
}

/// `+02:00` after a time.
fn offset(src: &[u8], end: usize) -> usize {
    let mut stop = end;
    if matches!(at(src, end), b'+' | b'-') && class(at(src, end + 1)) & DIGIT != 0 {
        stop = run(src, end + 1, DIGIT);
        if at(src, stop) == b':' && class(at(src, stop + 1)) & DIGIT != 0 {
            stop = run(src, stop + 1, DIGIT);
        }
    }
    stop
}

/// The rest of `1h2m3.5s` after its first unit.
fn duration(src: &[u8], mut end: usize) -> Option<usize> {
    loop {
        let digits = run(src, end, DIGIT);
        if digits == end {
            return (at(src, end) != b'_').then_some(end);
        }
        let fraction = if at(src, digits) == b'.' { run(src, digits + 1, DIGIT) } else { digits };
        let unit = run(src, fraction, ALPHA);
        if !words::is_time_unit(src.get(fraction..unit).unwrap_or_default()) {
            return None;
        }
        end = unit;
    }
}

pub(super) enum Mixed {
    /// Letters alone.
    Word,
    /// One value as a whole.
    Value(Kind),
    /// A word and a number.
    Numbered,
}

/// What a run of letters and digits is.
pub(super) fn mixed(word: &[u8]) -> Mixed {
    let (mut seen, mut all, mut switches, mut last) = (0, u8::MAX, 0, 0);
    for byte in word {
        let class = class(*byte);
        let kind = class & WORD;
        seen |= class;
        all &= class;
        switches += u32::from(last != 0 && kind != last);
        last = kind;
    }
    if seen & DIGIT == 0 {
        return Mixed::Word;
    }
    if let [b'0', b'x' | b'X', digits @ ..] = word
        && !digits.is_empty()
        && digits.iter().all(u8::is_ascii_hexdigit)
    {
        return Mixed::Value(Kind::Hex);
    }
    if seen & ALPHA == 0 {
        return Mixed::Value(Kind::Number);
    }
    let digit_first = word.first().is_some_and(u8::is_ascii_digit);
    if all & HEX != 0 && (word.len() >= 6 || digit_first) {
        return Mixed::Value(Kind::Hex);
    }
    if switches >= 3 || (word.len() >= 20 && switches >= 2) {
        return Mixed::Value(Kind::Id);
    }
    Mixed::Numbered
}

/// The end of the UUID at `pos`.
pub(super) fn uuid(src: &[u8], pos: usize) -> Option<usize> {
    if at(src, pos + 8) != b'-' {
        return None;
    }
    let text = src.get(pos..pos + 36)?;
    let fits = text.iter().enumerate().all(|(i, b)| match i {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_hexdigit(),
    });
    (fits && class(at(src, pos + 36)) & WORD == 0).then_some(pos + 36)
}

/// An IPv6 address, or one of a network card: groups of hex digits between colons.
pub(super) fn colons(src: &[u8], pos: usize) -> Option<(Kind, usize)> {
    let head = run(src, pos, HEX);
    if head - pos > 4 || at(src, head) != b':' {
        return None;
    }
    let (mut end, mut count, mut doubled, mut digits, mut pairs) = (pos, 0, false, false, true);
    // Longer than any address.
    while end < pos + 48 {
        let stop = run(src, end, HEX);
        let group = src.get(end..stop).unwrap_or_default();
        if group.len() > 4 && count < 7 {
            return None;
        }
        digits |= group.iter().any(u8::is_ascii_digit);
        pairs &= group.len() == 2;
        end = stop;
        if at(src, end) != b':' || class(at(src, end + 1)) & HEX == 0 && at(src, end + 1) != b':' {
            break;
        }
        doubled |= at(src, end + 1) == b':';
        count += 1;
        end += 1;
    }
    if at(src, end) == b'.' && doubled {
        // The last 32 bits as IPv4.
        end = run(src, end + 1, HEX);
        while at(src, end) == b'.' && class(at(src, end + 1)) & DIGIT != 0 {
            end = run(src, end + 1, DIGIT);
        }
    }
    if !digits || class(at(src, end)) & WORD != 0 {
        return None;
    }
    match count {
        5 if pairs => Some((Kind::Id, end)),
        7 => Some((Kind::Ip, end)),
        2.. if doubled => Some((Kind::Ip, end)),
        _ => None,
    }
}
