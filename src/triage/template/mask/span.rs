//! Values that run over signs: URLs, paths, e-mail addresses, quoted text, values of keys.

use super::super::words;
use super::scan::{ALPHA, WORD, at, class, run};

/// The longest quoted text taken for one value, in bytes.
const QUOTED: usize = 128;

/// The end of the URL whose scheme begins at `pos`.
pub(super) fn url(src: &[u8], pos: usize) -> Option<usize> {
    let scheme = run(src, pos, ALPHA);
    if at(src, scheme) != b':' || src.get(scheme + 1..scheme + 3)? != b"//" {
        return None;
    }
    Some(trimmed(src, scheme + 3, |b| is_path(b) || matches!(b, b':' | b'*')))
}

/// The end of the path whose first slash stands at `pos`.
pub(super) fn path(src: &[u8], pos: usize) -> usize {
    if class(at(src, pos + 1)) & WORD == 0 && !matches!(at(src, pos + 1), b'.' | b'_' | b'~' | b'%') {
        return pos;
    }
    trimmed(src, pos + 1, is_path)
}

/// The end of the path of at least three segments that begins at `pos` without a slash; or up to where there is none.
pub(super) fn relative(src: &[u8], pos: usize) -> Result<usize, usize> {
    let end = trimmed(src, pos, |b| class(b) & WORD != 0 || matches!(b, b'/' | b'.' | b'_' | b'-'));
    let text = src.get(pos..end).unwrap_or_default();
    if text.iter().filter(|b| **b == b'/').count() >= 2 && !text.windows(2).any(|w| w == b"//") {
        Ok(end)
    } else {
        Err(end.max(pos + 1))
    }
}

/// `C:\dir\file`.
pub(super) fn drive(src: &[u8], pos: usize) -> Option<usize> {
    (src.get(pos + 1..pos + 3)? == b":\\" && at(src, pos).is_ascii_alphabetic())
        .then(|| trimmed(src, pos + 3, |b| is_path(b) || b == b'\\'))
}

fn is_path(byte: u8) -> bool {
    class(byte) & WORD != 0
        || matches!(
            byte,
            b'/' | b'.' | b'_' | b'-' | b'~' | b'%' | b'+' | b'@' | b'?' | b'&' | b'=' | b'#' | b'$' | b'!'
        )
}

/// The end of the run of `fits`, without the full stops that end a sentence.
fn trimmed(src: &[u8], pos: usize, fits: impl Fn(u8) -> bool) -> usize {
    let rest = src.get(pos..).unwrap_or_default();
    let length = rest.iter().position(|b| !fits(*b)).unwrap_or(rest.len());
    let ends = rest.get(..length).unwrap_or_default().iter().rposition(|b| !matches!(b, b'.' | b':' | b'!' | b'?'));
    pos + ends.map_or(0, |last| last + 1)
}

/// The end of the e-mail address that begins at `pos`; or up to where none begins.
pub(super) fn email(src: &[u8], pos: usize) -> Result<usize, usize> {
    let local = |b: u8| class(b) & WORD != 0 || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-');
    let rest = src.get(pos..).unwrap_or_default();
    let sign = pos + rest.iter().position(|b| !local(*b)).unwrap_or(rest.len());
    if at(src, sign) != b'@' {
        return Err(sign);
    }
    let end = trimmed(src, sign + 1, |b| class(b) & WORD != 0 || matches!(b, b'.' | b'-'));
    let domain = src.get(sign + 1..end).unwrap_or_default();
    if domain.iter().skip(1).any(|b| *b == b'.') { Ok(end) } else { Err(sign) }
}

/// Where the quote that stands at `pos` is closed; or up to where none that opens is.
pub(super) fn quoted(src: &[u8], pos: usize) -> Result<usize, usize> {
    let quote = at(src, pos);
    let mut i = pos + 1;
    while i <= pos + QUOTED && i < src.len() {
        let byte = at(src, i);
        if byte == b'\\' {
            i += 1;
        } else if byte == quote && class(at(src, i + 1)) & WORD == 0 {
            return Ok(i);
        }
        i += 1;
    }
    Err(i)
}

/// Whether quoted text says what happened rather than to whom: how something ended, or a command.
pub(super) fn telling(inner: &[u8]) -> bool {
    let first = inner.iter().take_while(|b| b.is_ascii_uppercase()).count();
    let command = first >= 3 && at(inner, first) == b' ' && inner.get(first).is_some();
    command || words::alarm(inner).is_some()
}

/// The end of the value that begins at `pos`.
pub(super) fn value(src: &[u8], pos: usize) -> usize {
    let rest = src.get(pos..).unwrap_or_default();
    let ends =
        |b: &u8| *b <= b' ' || matches!(b, 0x7f | b',' | b';' | b'&' | b')' | b']' | b'}' | b'>' | b'"' | b'\'' | b'|');
    pos + rest.iter().position(ends).unwrap_or(rest.len())
}
