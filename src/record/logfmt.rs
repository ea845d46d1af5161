//! `key=value` lines: what one of them says under a name, found when somebody asks.
//!
//! A line is taken for one when it opens with two pairs; prose that mentions `x=1` is not. Values may be quoted, with
//! JSON's escapes.

use super::steps;
use super::text::Text;

/// The value of `key`, if `line` is such a line and has it. Of equal keys the first one counts: loggers write their
/// own keys before the application's.
pub fn get<'a>(line: &'a [u8], key: &str) -> Option<Text<'a>> {
    if !is_logfmt(line) {
        return None;
    }
    pairs(line).find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
}

pub fn is_logfmt(line: &[u8]) -> bool {
    // Nearly all other lines end here, at their first word.
    if !opens_pair(line) {
        return false;
    }
    let mut rest = line;
    next(&mut rest).is_some() && opens_pair(rest.trim_ascii_start())
}

fn opens_pair(text: &[u8]) -> bool {
    let key = key_length(text);
    key > 0 && text.get(key) == Some(&b'=')
}

fn key_length(text: &[u8]) -> usize {
    if !matches!(text.first(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'@')) {
        return 0;
    }
    text.iter()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@' | b'/' | b'#'))
        .count()
}

fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], Text<'_>)> {
    let mut rest = line;
    std::iter::from_fn(move || next(&mut rest))
}

/// The next pair; words without a `=` are stepped over.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Text<'a>)> {
    loop {
        let text = rest.trim_ascii_start();
        if text.is_empty() {
            return None;
        }
        steps::add(rest.len() - text.len() + 1);
        let key = key_length(text);
        steps::add(key);
        if key == 0 || text.get(key) != Some(&b'=') {
            let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
            steps::add(end);
            *rest = text.get(end..).unwrap_or_default();
            continue;
        }
        let (name, value) = (text.get(..key)?, text.get(key + 1..)?);
        if let [b'"', inside @ ..] = value {
            let end = closing(inside);
            steps::add(end);
            *rest = inside.get(end + 1..).unwrap_or_default();
            return Some((name, Text::escaped(inside.get(..end)?, 0, 1)));
        }
        let end = value.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(value.len());
        steps::add(end);
        *rest = value.get(end..).unwrap_or_default();
        return Some((name, Text::plain(value.get(..end)?)));
    }
}

/// The quote that no backslash protects; the end, if there is none.
fn closing(inside: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = inside.get(from..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        if inside.get(from + at) == Some(&b'"') {
            return from + at;
        }
        from += at + 2;
    }
    inside.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str, key: &str) -> Option<String> {
        get(line.as_bytes(), key).map(|text| text.to_string_lossy().into_owned())
    }

    #[test]
    fn a_value_is_found_bare_or_quoted() {
        let line = r#"level=error ts=2025-10-01T08:21:46Z msg="shut \"down\" now" err= status=502 took=1.5s status=1"#;
        for (key, expected) in [
            ("level", "error"),
            ("msg", "shut \"down\" now"),
            ("err", ""),
            ("status", "502"),
            ("took", "1.5s"),
            ("ts", "2025-10-01T08:21:46Z"),
        ] {
            assert_eq!(read(line, key).as_deref(), Some(expected), "{key}");
        }
        assert_eq!(read(line, "down"), None);
        assert_eq!(read("a=1 c=3 words between b=2", "b").as_deref(), Some("2"));
        assert_eq!(read("a=1 b=\"cut off", "b").as_deref(), Some("cut off"));
    }

    #[test]
    fn other_lines_are_none() {
        for line in
            ["", "=", "errors=0", "errors=0 in the batch", "set a=1 b=2", "a = 1", "GET /x?a=1&b=2 200", "{\"a\":1}"]
        {
            assert!(!is_logfmt(line.as_bytes()), "{line}");
        }
        assert!(is_logfmt(b"error_count=0 level_reached=error"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(key in "[a-z][a-z_.]{0,10}", value in "[!#-\\[\\]-~]{0,20}") {
            let line = format!("first=1 {key}x=\"{value}\" {key}y={value} last=2");
            let (quoted, bare) = (read(&line, &format!("{key}x")), read(&line, &format!("{key}y")));
            prop_assert_eq!((quoted, bare), (Some(value.clone()), Some(value)));
        }

        #[test]
        fn no_input_panics(line in "[a-z=\" \\\\]{0,60}", key in "[a-z]{1,2}") {
            get(line.as_bytes(), &key);
        }
    }
}
