//! Escape sequences of terminals, taken out of a text.

use super::steps;

/// Puts `text` without its escape sequences into `out`.
#[cold]
pub fn strip(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = text;
    while let Some(at) = memchr::memchr(0x1b, rest) {
        steps::add(at + 1);
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = after(rest.get(at..).unwrap_or_default());
    }
    out.extend_from_slice(rest);
}

/// What follows the sequence that opens `text`: `ESC [`, parameters, one letter; or ESC and nothing known.
fn after(text: &[u8]) -> &[u8] {
    let Some(parameters) = text.strip_prefix(b"\x1b[") else { return text.get(1..).unwrap_or_default() };
    let length = parameters.iter().take_while(|b| matches!(b, 0x20..=0x3f)).count();
    steps::add(length);
    parameters.get(length + 1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_the_text_stays() {
        for (text, expected) in [
            ("\x1b[31mERROR\x1b[0m \x1b[2;37mx\x1b[0m", "ERROR x"),
            ("\x1b[2Kweb", "web"),
            ("a\x1b", "a"),
            ("a\x1b[", "a"),
            ("a\x1b[3", "a"),
            ("plain", "plain"),
        ] {
            let mut out = Vec::new();
            strip(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text:?}");
        }
    }
}
