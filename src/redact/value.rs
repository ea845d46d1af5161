//! Where the value behind a name ends: in quotes however escaped, in brackets, or up to the next separator.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::rows::Secret;

/// An opening quote, as deeply escaped as it may be, with the letters Python puts in front.
static QUOTE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\A[bBuUrR]{0,2}(\\*)(["'])"#).expect("the pattern is a constant, and tested"));

/// The value behind `gap`. It ends on its line, whatever quote or bracket is still open.
pub(super) fn value(text: &str, gap: Range<usize>, kind: Secret) -> Range<usize> {
    let (bytes, from) = (text.as_bytes(), gap.end);
    if let Some(quote) = text.get(from..).and_then(|rest| QUOTE.captures(rest)) {
        let start = from + quote.get_match().end();
        return start..closing_quote(bytes, start, quote[1].len(), bytes[start - 1]);
    }
    if let Some(block) = block(bytes, from) {
        return block;
    }
    // Brackets are followed for `["a", "b"]` and `Some("a")`. Closing brackets, commas
    // and backslashes that nothing follows belong to the text around the value.
    let (mut at, mut end, mut depth) = (from, from, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\n' => break,
            b'"' if depth == 0 => break,
            b'"' => {
                let backslash = |byte: &&u8| **byte == b'\\';
                let escape = bytes[from..at - 1].iter().rev().take_while(backslash);
                at = closing_quote(bytes, at, escape.count(), b'"');
                at += bytes[at..].iter().take_while(backslash).count();
                at += usize::from(bytes.get(at) == Some(&b'"'));
            }
            b' ' | b'\t' if depth == 0 && !(kind == Secret::Cookies && bytes[at - 2] == b';') => {
                break;
            }
            b',' | b';' | b'&' if depth == 0 && kind != Secret::Cookies => break,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' | b',' | b'\\' if depth == 0 => continue,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        end = at;
    }
    from..if is_next_pair(bytes, gap, end) { from } else { end }
}

/// The indented lines of a YAML block (`|`, `>-`) that begins at `from`.
fn block(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let head =
        bytes.get(from..)?.iter().take(4).take_while(|b| matches!(b, b'|' | b'>' | b'-' | b'+' | b'0'..=b'9')).count();
    if head == 0 || head > 3 || !matches!(bytes.get(from), Some(b'|' | b'>')) || bytes.get(from + head) != Some(&b'\n')
    {
        return None;
    }
    let start = from + head + 1;
    let mut end = start;
    for line in bytes.get(start..)?.split_inclusive(|b| *b == b'\n') {
        if !matches!(line.first(), Some(b' ' | b'\t' | b'\n')) {
            break;
        }
        end += line.len();
    }
    let lines = bytes.get(start..end)?.trim_ascii_end();
    let start = start + lines.iter().take_while(|b| b.is_ascii_whitespace()).count();
    (!lines.is_empty()).then(|| start..from + head + 1 + lines.len())
}

/// In `password= user=bob` the value is empty, and what follows the gap is the next pair.
fn is_next_pair(bytes: &[u8], gap: Range<usize>, end: usize) -> bool {
    let (head, word) = (&bytes[..gap.start], &bytes[gap.end..end]);
    let tight = head.ends_with(b"=") && !head.ends_with(b" =") && !head.ends_with(b"==");
    let in_key = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let key = word.iter().take_while(in_key).count();
    tight
        && matches!(bytes[gap], [b' ' | b'\t'])
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && matches!(word.get(key..), Some([b'=', next, ..]) if *next != b'=')
}

/// Where a quoted value ends whose opening quote had `escape` backslashes in front: at a quote
/// escaped the same way, or less (that one ends a string around it). One level of JSON in JSON
/// doubles the backslashes of the level before, so a quote inside the value is told from the
/// closing one by the remainder: n levels down, 2ⁿ-1 against 2ⁿ⁺¹-1 in steps of 2ⁿ⁺¹.
fn closing_quote(bytes: &[u8], from: usize, escape: usize, quote: u8) -> usize {
    let mut run = 0;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'\n' => return at,
            b'\\' => run += 1,
            _ if byte == quote && (run < escape || run % (2 * (escape + 1)) == escape) => {
                return at - run.min(escape);
            }
            _ => run = 0,
        }
    }
    bytes.len()
}
