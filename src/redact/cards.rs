//! Numbers of payment cards: 13 to 19 digits, in one piece or grouped as they are embossed, that begin as
//! an issuer's numbers do and whose check digit (Luhn) is right.
//!
//! The beginnings are what keeps times and counters out: nothing from 1 on but one old range, no year.

use std::ops::Range;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Groups of digits as cards have them.
const GROUPS: [&[usize]; 7] =
    [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[8, 8], &[4, 4, 4, 4, 3], &[4, 4, 4, 1], &[6, 13]];

/// The cards in `text`, in order. Each digit is looked at a fixed number of times.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    if bytes.iter().filter(|b| b.is_ascii_digit()).count() < DIGITS_MIN {
        return Vec::new();
    }
    let runs = runs(bytes);
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(first) = runs.get(at) {
        let taken = (1..=5).rev().find(|count| runs.get(at..at + count).is_some_and(|group| is_card(bytes, group)));
        if let Some(last) = taken.and_then(|count| runs.get(at + count - 1)) {
            found.push(first.start..last.end);
        }
        at += taken.unwrap_or(1);
    }
    found
}

/// The maximal runs of digits. An escape's own digits (`%20`) are none of the number behind it.
fn runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            let behind = bytes.get(at..).unwrap_or_default();
            let length = behind.iter().position(|b| !b.is_ascii_digit()).unwrap_or(behind.len());
            runs.push(at..at + length);
            at += length;
        } else if byte == b'%' && bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            at += 3;
        } else {
            at += 1;
        }
    }
    runs
}

fn is_card(bytes: &[u8], group: &[Range<usize>]) -> bool {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return false };
    let digits: usize = group.iter().map(ExactSizeIterator::len).sum();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits) || !(group.len() == 1 || is_grouped(bytes, group)) {
        return false;
    }
    stands_alone(bytes, first.start, last.end) && {
        let number: Vec<u8> =
            group.iter().flat_map(|run| bytes.get(run.clone()).unwrap_or_default()).map(|b| b - b'0').collect();
        is_issued(&number) && luhn(&number)
    }
}

/// One blank or dash between the groups, always the same.
fn is_grouped(bytes: &[u8], group: &[Range<usize>]) -> bool {
    let lengths: Vec<usize> = group.iter().map(ExactSizeIterator::len).collect();
    let mut between = group.windows(2).map(|pair| match pair {
        [a, b] => bytes.get(a.end..b.start).unwrap_or_default(),
        _ => &[],
    });
    let separator = between.next().unwrap_or_default();
    GROUPS.contains(&lengths.as_slice())
        && matches!(separator, b" " | b"-" | b"+" | b"%20")
        && between.all(|other| other == separator)
}

/// Not part of a longer word, hex number or fraction.
fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = match bytes.get(..start).unwrap_or_default() {
        // The letter of an escape is no part of a word.
        [.., b'\\', b'n' | b't' | b'r' | b'b' | b'f'] => true,
        [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => true,
        [.., digit, b'.' | b','] if digit.is_ascii_digit() => false,
        [.., byte] => !byte.is_ascii_alphanumeric() && *byte < 0x80,
        [] => true,
    };
    let after = match bytes.get(end..).unwrap_or_default() {
        [b'.' | b',', digit, ..] if digit.is_ascii_digit() => false,
        [byte, ..] => !byte.is_ascii_alphanumeric(),
        [] => true,
    };
    before && after
}

/// Does a number of this length and beginning exist? The ranges of the card schemes.
fn is_issued(number: &[u8]) -> bool {
    let head = |digits: usize| number.iter().take(digits).fold(0_u32, |head, digit| head * 10 + u32::from(*digit));
    let digits = number.len();
    match head(4) {
        4000..=4999 => matches!(digits, 13 | 16 | 18 | 19),
        5100..=5599 | 2221..=2720 | 8100..=8299 | 9792 => digits == 16,
        3400..=3499 | 3700..=3799 | 1800 | 2131 => digits == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&digits),
        2200..=2204 | 3528..=3589 => (16..=19).contains(&digits),
        5000..=5099 | 5600..=6999 => (13..=19).contains(&digits),
        _ => false,
    }
}

fn luhn(number: &[u8]) -> bool {
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cards_are_found_in_every_usual_writing_and_nothing_else_is() {
        #[rustfmt::skip]
        let cases = [
            ("4111111111111111", true), ("4111 1111 1111 1111", true), ("4111-1111-1111-1111", true),
            ("4111%201111%201111%201111", true), ("to 4111+1111+1111+1111.", true),
            ("378282246310005", true), ("3782 822463 10005", true), ("3056 930902 5904", true), ("4222222222222", true),
            ("6304000000000000", true), ("2223003122003222", true), (r"card:\n4111111111111111\n", true),
            ("?pan=4111111111111111&x", true), ("x%3D4111111111111111", true), ("%204111111111111111", true),
            ("12 4111 1111 1111 1111 99", true), ("card=4111111111111111,", true),
            ("4111111111111112", false), ("order 1234567890123456", false), ("1700000000000", false),
            ("1700000000000000000", false), ("20240102030405", false), ("a4111111111111111", false),
            ("4111111111111111f", false), ("0.4111111111111111", false), ("4111111111111111.5", false),
            ("41111111111111111111", false), ("4111-1111 1111-1111", false), ("4111  1111  1111  1111", false),
            ("411111111111111", false), ("12345678-4111-1111-1111-123456789012", false),
            ("0000000000000000", false), ("9999999999999995", false), ("", false),
        ];
        for (text, is) in cases {
            assert_eq!(!find(text).is_empty(), is, "{text}");
        }
    }

    #[test]
    fn one_digit_changed_or_two_neighbours_swapped_is_no_card() {
        let number: Vec<u8> = "4539578763621486".bytes().map(|b| b - b'0').collect();
        assert!(luhn(&number));
        for at in 0..number.len() {
            let mut other = number.clone();
            other[at] = (other[at] + 1) % 10;
            assert!(!luhn(&other), "{at}");
        }
        let mut swapped = number.clone();
        swapped.swap(3, 4);
        assert!(!luhn(&swapped));
    }

    proptest! {
        #[test]
        fn what_is_found_lies_within_the_text_and_ascends(text in r"[0-9 \-%.a-f\\nü]{0,80}") {
            let mut at = 0;
            for card in find(&text) {
                prop_assert!(card.start >= at && text.get(card.clone()).is_some());
                at = card.end;
            }
        }

        #[test]
        fn every_number_of_a_visa_card_is_found(body in 0_u64..100_000_000_000_000) {
            let card = (0..10).map(|check| format!("4{body:014}{check}")).find(|number| {
                luhn(&number.bytes().map(|b| b - b'0').collect::<Vec<_>>())
            }).unwrap();
            let found = find(&format!("card {card}, ok"));
            prop_assert_eq!((found.len(), found.first()), (1, Some(&(5..21))));
        }
    }
}
