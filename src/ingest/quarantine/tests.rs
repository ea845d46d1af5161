//! The bounds of the quarantine, what makes two lines one entry, and that nothing leaves it but redacted.

use xxhash_rust::xxh3::xxh3_128;

use super::rejects::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX};
use super::*;
use crate::ingest::decode::Encoding;

const BOUNDS: Bounds = Bounds { max_samples: 5, max_bytes: 4096 };

fn from(sender: u64) -> From {
    From { sender, address: IpAddr::from([10, 0, 0, 7]), token: "web".into(), tag: Some(b"app.web".to_vec()) }
}

fn batch(bounds: Bounds, sender: u64, lines: &[&str]) -> Rejects {
    let mut rejects = Rejects::new(bounds, from(sender));
    for line in lines {
        rejects.line("syntax", line.as_bytes(), false);
    }
    rejects
}

fn digest(seed: u64, line: &[u8]) -> String {
    keyed(&hmac::Key::new(hmac::HMAC_SHA256, &seed.to_le_bytes()), xxh3_128(line))
}

#[test]
fn what_is_shown_of_a_line_does_not_let_who_guesses_it_know_that_he_is_right() {
    let shown = |seed: u64| {
        let quarantine = Quarantine::new(BOUNDS);
        quarantine.set_seed(seed);
        quarantine.take(batch(BOUNDS, 1, &["pin 4711"]), None, 1);
        quarantine.show(None, 1).samples[0].digest.clone()
    };
    assert_eq!((shown(7), shown(7).len()), (digest(7, b"pin 4711"), 32), "equal lines are seen to be equal");
    assert_ne!(shown(7), shown(8), "here, and nowhere else");
    let unkeyed = xxh3_128(b"pin 4711");
    assert!(![format!("{unkeyed:032x}"), format!("{:032x}", unkeyed.swap_bytes())].contains(&shown(7)));
}

/// Text and count of every entry, the newest first.
fn entries(quarantine: &Quarantine) -> Vec<(String, u64)> {
    let shown = quarantine.show(None, usize::MAX);
    shown.samples.iter().map(|s| (s.sample.to_string(), s.count)).collect()
}

fn owned(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect()
}

#[test]
fn lines_that_look_alike_are_one_entry_for_each_sender_and_reason() {
    let quarantine = Quarantine::new(BOUNDS);
    quarantine.take(batch(BOUNDS, 1, &["08:12:03 oops 17", "{\"a\"", "08:12:04 oops 3"]), Some("cart"), 1_000);
    assert_eq!(entries(&quarantine), owned(&[("{\"a\"", 1), ("08:12:03 oops 17", 2)]));
    quarantine.take(batch(BOUNDS, 1, &["9:1:1 oops 1"]), None, 2_000);
    assert_eq!(entries(&quarantine), owned(&[("08:12:03 oops 17", 3), ("{\"a\"", 1)]), "added to, it is the newest");
    let shown = quarantine.show(None, 1);
    let sample = &shown.samples[0];
    assert_eq!((sample.first_ms, sample.last_ms, sample.bytes), (1_000, 2_000, 16));
    assert_eq!(sample.digest, digest(0, b"08:12:03 oops 17"));
    assert_eq!(sample.service.as_ref().map(Redacted::as_str), Some("cart"));
    quarantine.take(batch(BOUNDS, 2, &["{\"a\""]), None, 3_000);
    let mut other = Rejects::new(BOUNDS, from(1));
    other.line("unterminated", b"{\"a\"", false);
    quarantine.take(other, None, 3_000);
    assert_eq!(quarantine.show(None, usize::MAX).kept, 4);
    assert_eq!(quarantine.show(Some("unterminated"), usize::MAX).samples.len(), 1);
    assert_eq!(quarantine.show(None, usize::MAX).quarantined, 6);
}

#[test]
fn when_it_is_full_the_entry_added_to_longest_ago_goes_and_is_counted() {
    let quarantine = Quarantine::new(BOUNDS);
    quarantine.take(batch(BOUNDS, 1, &["a", "b", "c", "d", "e"]), None, 1);
    quarantine.take(batch(BOUNDS, 1, &["a", "f", "g"]), None, 2);
    assert_eq!(entries(&quarantine), owned(&[("g", 1), ("f", 1), ("a", 2), ("e", 1), ("d", 1)]));
    let shown = quarantine.show(None, 2);
    assert_eq!((shown.quarantined, shown.kept, shown.evicted, shown.samples.len()), (8, 5, 2, 2));
}

#[test]
fn a_batch_takes_few_samples_and_counts_the_rest() {
    let bounds = Bounds { max_samples: 2_000, max_bytes: 65_536 };
    let quarantine = Quarantine::new(bounds);
    let lines: Vec<String> =
        (0..5_000_u32).map(|n| n.to_string().replace(char::is_numeric, "x") + &"y".repeat(n as usize % 200)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(quarantine.take(batch(bounds, 1, &lines), None, 1), BATCH_ENTRIES_MAX);
    assert_eq!(quarantine.show(None, 0).quarantined, 5_000);
    // However long the lines are, what is held while a body is read stays small.
    let long: Vec<String> = ["a", "b", "c", "d"].map(|start| start.repeat(200_000)).to_vec();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let rejects = batch(bounds, 2, &long);
    assert_eq!((rejects.held, rejects.samples.len(), rejects.count), (BATCH_BYTES_MAX, 2, 4));
    assert_eq!(rejects.samples[0].bytes, 200_000, "the whole is measured");
}

#[test]
fn switched_off_it_keeps_nothing_and_counts() {
    let off = Bounds { max_samples: 0, ..BOUNDS };
    let quarantine = Quarantine::new(off);
    let mut rejects = batch(off, 1, &["a", "b"]);
    rejects.rest("undecodable", Rest::new(Encoding::Gzip, 0, "x"));
    assert_eq!(quarantine.take(rejects, None, 1), 0);
    assert_eq!(quarantine.show(None, usize::MAX).quarantined, 3);
}

#[test]
fn nothing_is_shown_that_is_not_redacted_safe_and_short() {
    let quarantine = Quarantine::new(BOUNDS);
    let mut rejects = Rejects::new(
        BOUNDS,
        From { tag: Some(b"app\x1b[31m\xff password=hunter2hunter2".to_vec()), token: String::new(), ..from(1) },
    );
    rejects.line("syntax", b"{\"password\": \"hunter2hunter2\", \x00\x1b[31m\x9b \xff\xfe", false);
    rejects.line("syntax", &[b'\x01', b'z'].repeat(3_000), true);
    quarantine.take(rejects, Some("token=abcdefghijklmnop1234"), 1);
    let shown = quarantine.show(None, usize::MAX);
    for sample in &shown.samples {
        assert!(sample.sample.as_str().len() <= SHOWN_MAX, "{sample:?}");
        let all = serde_json::to_string(sample).unwrap();
        assert!(!all.contains("hunter2") && !all.contains("abcdefghijklmnop1234"), "{all}");
        assert!(all.is_ascii() || all.contains('\u{fffd}') || all.contains('…'), "{all}");
        assert!(!all.chars().any(char::is_control) && !all.contains("\\u00"), "{all}");
    }
    assert_eq!((shown.samples[0].bytes, shown.samples[0].cut), (6_000, true));
    assert!(shown.samples[1].sample.as_str().contains("[redacted"));
}

#[test]
fn the_rest_of_a_body_is_one_entry_a_sender_and_encoding_however_it_was_cut() {
    let quarantine = Quarantine::new(BOUNDS);
    for pieces in [vec![&b"plain text"[..]], vec![b"pl", b"ain ", b"text"]] {
        let mut rest = Rest::new(Encoding::Gzip, 17, "invalid gzip header");
        for piece in pieces {
            rest.feed(piece, BOUNDS);
        }
        let mut rejects = Rejects::new(BOUNDS, from(1));
        rejects.rest("undecodable", rest);
        quarantine.take(rejects, None, 5);
    }
    let shown = quarantine.show(Some("undecodable"), usize::MAX);
    let [sample] = shown.samples.as_slice() else { panic!("one entry: {shown:?}") };
    assert_eq!((sample.count, sample.bytes, sample.at_byte, sample.encoding), (2, 10, Some(17), Some("gzip")));
    assert_eq!(sample.digest, digest(0, b"plain text"));
    assert_eq!(
        (sample.sample.as_str(), sample.fault.as_ref().unwrap().as_str()),
        ("plain text", "invalid gzip header")
    );
    let mut long = Rest::new(Encoding::Zstd, 0, "x");
    for _ in 0..100 {
        long.feed(&[b'q'; 1000], BOUNDS);
    }
    assert_eq!((long.head.len(), long.bytes), (BOUNDS.max_bytes, 100_000));
}
