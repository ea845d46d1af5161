//! What stands before a line because a parser was missing: containerd's stamp, syslog's header.
//!
//! Told by the first bytes. Headers are plain ASCII, so a length holds for the text as it stands in JSON too.

use super::steps;

/// What was in front of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrapped<'a> {
    /// Bytes to leave out.
    pub length: usize,
    /// `stdout` or `stderr`, by containerd.
    pub stream: Option<&'a [u8]>,
    pub time: &'a [u8],
    pub syslog: bool,
}

/// `2025-10-01T08:30:01.118202945Z stderr F text`
pub fn containerd(text: &[u8]) -> Option<Wrapped<'_>> {
    if !matches!(text, [b'1'..=b'2', _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', ..]) {
        return None;
    }
    let blank = text.iter().take(40).position(|b| *b == b' ')?;
    let (time, rest) = text.split_at_checked(blank)?;
    let stream = rest.get(1..7)?;
    let flagged = matches!(rest.get(7..10)?, [b' ', b'F' | b'P', b' ']);
    let known = stream == b"stdout" || stream == b"stderr";
    (known && flagged).then_some(Wrapped { length: blank + 10, stream: Some(stream), time, syslog: false })
}

/// `<34>`, and after it or without it RFC 3164's `Oct  1 08:12:03 host app[1]: ` or RFC 5424's
/// `1 2025-10-01T08:12:03Z host app 1 - - `.
pub fn syslog(text: &[u8]) -> Option<Wrapped<'_>> {
    let mut at = 0;
    if let [b'<', rest @ ..] = text {
        let digits = rest.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || rest.get(digits) != Some(&b'>') {
            return None;
        }
        at = digits + 2;
    }
    let rest = text.get(at..)?;
    if at > 0 && rest.starts_with(b"1 ") {
        return rfc5424(rest).map(|(time, length)| Wrapped { length: at + length, stream: None, time, syslog: true });
    }
    if let [a, _, _, b' ', _, d, b' ', _, _, b':', _, _, b':', _, _, b' ', ..] = rest
        && a.is_ascii_uppercase()
        && d.is_ascii_digit()
    {
        // Host, then the application up to its colon; a host may be missing.
        let head = rest.get(16..rest.len().min(16 + 128)).unwrap_or_default();
        let colon = memchr::memmem::find(head, b": ")?;
        let words = head.get(..colon)?.iter().filter(|b| **b == b' ').count();
        let time = rest.get(..15).unwrap_or_default();
        return (words <= 2).then_some(Wrapped { length: at + 16 + colon + 2, stream: None, time, syslog: true });
    }
    (at > 0).then_some(Wrapped { length: at, stream: None, time: b"", syslog: true })
}

fn rfc5424(text: &[u8]) -> Option<(&[u8], usize)> {
    steps::add(text.len());
    // Version, time, host, application, process, message id: six words; then structured data.
    let mut blanks = text.iter().enumerate().filter(|(_, b)| **b == b' ').map(|(at, _)| at);
    let (first, second) = (blanks.next()?, blanks.next()?);
    let sixth = blanks.nth(3)?;
    let data = text.get(sixth + 1..)?;
    let end = match data.first()? {
        b'-' => 1,
        b'[' => memchr::memmem::find(data, b"] ")? + 1,
        _ => return None,
    };
    let after = if data.get(end) == Some(&b' ') { end + 1 } else { end };
    Some((text.get(first + 1..second)?, sixth + 1 + after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stands_in_front_is_measured() {
        for (text, expected) in [
            ("2025-10-01T08:30:01.118202945Z stderr F WARN x", Some("WARN x")),
            ("2025-10-01T08:30:01.118202945+02:00 stdout P half", Some("half")),
            ("2025-10-01T08:30:01Z stdout F ", Some("")),
            ("2025-10-01T08:30:01Z stdout closed", None),
            ("2025-10-01T08:30:01Z ERROR x", None),
            ("<34>Oct 11 22:14:15 web su: 'su root' failed", Some("'su root' failed")),
            ("Oct  1 08:12:03 web nginx: 10.0.0.1 - -", Some("10.0.0.1 - -")),
            ("<27>1 2025-10-01T08:12:03Z web app 1 - - {\"a\":1}", Some("{\"a\":1}")),
            ("<27>1 2025-10-01T08:12:03Z web app 1 id [x@1 a=\"b\"] down", Some("down")),
            ("<3>disk failed", Some("disk failed")),
            ("<b>3</b>", None),
            ("Oct 1 is a day", None),
            ("", None),
        ] {
            let bytes = text.as_bytes();
            let wrapped = containerd(bytes).or_else(|| syslog(bytes));
            let rest = wrapped.map(|w| String::from_utf8_lossy(bytes.get(w.length..).unwrap_or_default()).into_owned());
            assert_eq!(rest.as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_nearly_wrapped_panics(text in "(<[0-9]{0,4}>)?(1 |Oct  1 08:12:03 |2025-10-01T08:12:03Z )?(stdout [FP] )?[ -~]{0,60}") {
            containerd(text.as_bytes());
            syslog(text.as_bytes());
        }
    }
}
