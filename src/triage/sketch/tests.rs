use proptest::prelude::*;

use super::*;

fn of(text: &str) -> u64 {
    sketch(7, text.as_bytes())
}

#[test]
fn values_change_nothing() {
    for (a, b) in [
        ("took 5 ms", "took 1234 ms"),
        ("from 10.0.0.1:80 to 8.8.8.8:443", "from 192.168.100.200:8080 to 1.1.1.1:1"),
        ("req 3f2504e0-4f89-11d3-9a0c-0305e82c3301 done", "req 9a2504e0-1f89-42d3-8b0c-9305e82c33f1 done"),
        ("key Zx81hQk29vTTp03Lm done", "key 09rTqWmZ18xKkLp22 done"),
        ("size 5KB in 3s", "size 12MB in 77m"),
        ("", "17"),
    ] {
        assert_eq!(of(a), of(b), "{a} | {b}");
    }
}

#[test]
fn words_change_it() {
    let texts = [
        "",
        "a",
        "b",
        "ab",
        "a b",
        "b a",
        "error: no disk",
        "error: no host",
        "state \"up\"",
        "state \"down\"",
        "x 1 y",
        "y 1 x",
        "x y",
        "connection refused",
        "connection reset",
        "abcdefgh ij",
        "abcdefghij",
        "abcdefghi j",
        "node1 up",
        "disk1 up",
        "Ä",
        "Ö",
    ];
    for (i, a) in texts.iter().enumerate() {
        for b in texts.iter().skip(i + 1) {
            assert_ne!(of(a), of(b), "{a} | {b}");
        }
    }
}

#[test]
fn another_seed_is_another_sketch() {
    assert_ne!(sketch(1, b"some words"), sketch(2, b"some words"));
}

#[test]
fn only_the_head_counts() {
    let head = "word ".repeat(60);
    assert_eq!(of(&format!("{head}a")), of(&format!("{head}b")));
    let head = "word ".repeat(50);
    assert_ne!(of(&format!("{head}a")), of(&format!("{head}b")));
}

/// Words that touch no digit, in order.
fn plain_words(text: &[u8]) -> Vec<Vec<u8>> {
    let text = text.get(..LOOKED_AT).unwrap_or(text);
    let letter = |b: &u8| b.is_ascii_alphabetic() || *b >= 0x80;
    let mut words = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let length = text[i..].iter().take_while(|b| letter(b)).count();
        let touches = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
        if length > 0 && !touches(i.checked_sub(1)) && !touches(Some(i + length)) {
            words.push(text[i..i + length].to_vec());
        }
        i += length.max(1);
    }
    words
}

/// The spans, byte by byte.
fn spans(text: &[u8]) -> Vec<Vec<u8>> {
    let letter = |b: u8| b.is_ascii_alphabetic() || b >= 0x80;
    let mut part: Vec<bool> = text.iter().map(u8::is_ascii_digit).collect();
    let runs = |is: &dyn Fn(u8) -> bool| -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (i, _) in text.iter().enumerate().filter(|(_, b)| is(**b)) {
            match runs.last_mut() {
                Some((_, end)) if *end == i => *end = i + 1,
                _ => runs.push((i, i + 1)),
            }
        }
        runs
    };
    let digit_at = |i: Option<usize>| i.and_then(|i| text.get(i)).is_some_and(u8::is_ascii_digit);
    for (from, to) in runs(&letter) {
        let touches = digit_at(from.checked_sub(1)) || digit_at(Some(to));
        if touches && (to - from <= 2 || text[from..to].iter().all(u8::is_ascii_hexdigit)) {
            part[from..to].fill(true);
        }
    }
    for (from, to) in runs(&|b| letter(b) || b.is_ascii_digit()) {
        let digits = text[from..to].iter().filter(|b| b.is_ascii_digit()).count();
        if to - from >= OPAQUE as usize && digits > 0 && digits < to - from {
            part[from..to].fill(true);
        }
    }
    let mut spans = Vec::new();
    for run in text.iter().zip(&part).collect::<Vec<_>>().split(|(_, part)| **part) {
        let run: Vec<u8> = run.iter().map(|(b, _)| **b).collect();
        if let Some(first) = run.iter().position(|b| letter(*b)) {
            spans.push(run[first..].to_vec());
        }
    }
    spans
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "error",
        "user",
        "is",
        "a",
        "be",
        "cafe",
        "x",
        "7",
        "42",
        "1234567",
        " ",
        ", ",
        ".",
        ":",
        "\"",
        "=",
        "-",
        "_",
        "Zq",
        "é",
        "word12",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "averylongwordthatgoeson",
        "\0",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..30).prop_map(|p| p.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..400),
    ]
}

proptest! {
    #[test]
    fn short_messages_share_a_sketch_only_with_equal_spans(a in prop::collection::vec(prop::sample::select(b"ab1 zq".to_vec()), 0..9), b in prop::collection::vec(prop::sample::select(b"ab1 zq".to_vec()), 0..9)) {
        prop_assert_eq!(sketch(7, &a) == sketch(7, &b), spans(&a) == spans(&b));
    }

    #[test]
    fn equal_sketches_are_equal_plain_words(a in message(), b in message()) {
        if sketch(7, &a) == sketch(7, &b) {
            prop_assert_eq!(plain_words(&a), plain_words(&b));
        }
    }

    #[test]
    fn another_plain_word_anywhere_is_another_sketch(a in message(), at in any::<prop::sample::Index>(), word in "[a-z]{1,12}") {
        let a = a.get(..LOOKED_AT).unwrap_or(&a).to_vec();
        let at = at.index(a.len() + 1);
        let b = [&a[..at], word.as_bytes(), &a[at..]].concat();
        if plain_words(&a) != plain_words(&b) {
            prop_assert_ne!(sketch(7, &a), sketch(7, &b));
        }
    }

    #[test]
    fn other_numbers_are_the_same_sketch(words in prop::collection::vec("[g-z]{3,14}", 1..8), a in prop::collection::vec(0..u64::MAX, 8), b in prop::collection::vec(0..u64::MAX, 8)) {
        let text = |numbers: &[u64]| words.iter().zip(numbers).map(|(w, n)| format!("{w} {n}")).collect::<Vec<_>>().join(", ");
        let (a, b) = (text(&a), text(&b));
        prop_assume!(a.len() <= LOOKED_AT && b.len() <= LOOKED_AT);
        prop_assert_eq!(of(&a), of(&b));
    }
}
