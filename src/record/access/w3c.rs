//! Lines of W3C extended logs as IIS writes them when nobody has chosen fields.
//!
//! A file says in `#Fields:` what its lines hold; a record has no file, so the order is IIS's own:
//! `date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status
//! sc-substatus sc-win32-status time-taken`. Older ones have no referer and no time, Advanced Logging quotes and
//! has the host behind the referer. Everything up to the status must be in its place.

use super::parts::{Words, micros, status};
use super::{Access, LONGEST_WORD, Server};

/// `2025-10-01 08:12:03 10.0.0.5 GET /a.aspx q=1 443 - 203.0.113.9 Mozilla/5.0+(X11) https://ref/ 200 0 0 123`
pub(super) fn iis(line: &[u8]) -> Option<Access<'_>> {
    // Most lines that begin with a date are somebody's text, and end here: at their level, where an address would be.
    let [_, _, _, _, b'-', _, _, b'-', _, _, b' ', _, _, b':', _, _, b':', _, _, after, ..] = line else { return None };
    let clock = match after {
        b' ' => 19,
        // Advanced Logging's.
        b'.' => 20 + line.get(20..)?.iter().take(7).position(|b| *b == b' ')?,
        _ => return None,
    };
    let (time, rest) = line.split_at_checked(clock)?;
    let mut words = Words(rest);
    let server = words.word();
    let method = words.word();
    if !is_address(server) || !is_method(method) {
        return None;
    }
    let (path, _query, port) = (value(&mut words), value(&mut words), words.word());
    if !matches!(path.first(), Some(b'/' | b'*')) || port.is_empty() || !port.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (user, remote) = (value(&mut words), value(&mut words));
    if !is_address(remote) {
        return None;
    }
    let agent = value(&mut words);
    let (mut referer, mut host) = (&b""[..], &b""[..]);
    let mut word = value(&mut words);
    if status(word).is_none() {
        (referer, word) = (word, value(&mut words));
    }
    if status(word).is_none() {
        (host, word) = (word, value(&mut words));
    }
    let status = status(word)?;
    let (_substatus, _win32, taken) = (words.word(), words.word(), words.word());
    Some(Access {
        remote,
        user,
        time,
        method,
        path,
        status,
        referer,
        agent,
        host,
        duration_us: micros(taken, 1e3),
        server: Server::Iis,
        ..Access::default()
    })
}

/// `#Software: …`, `#Fields: …`: what a file says of itself, at its head and whenever the service starts.
pub fn is_directive(line: &[u8]) -> bool {
    let names: [&[u8]; 7] =
        [b"Software: ", b"Version: ", b"Fields: ", b"Date: ", b"Start-Date: ", b"End-Date: ", b"Remark: "];
    line.strip_prefix(b"#").is_some_and(|rest| names.iter().any(|name| rest.starts_with(name)))
}

/// A word, or what stands in quotes.
fn value<'a>(words: &mut Words<'a>) -> &'a [u8] {
    words.quoted().unwrap_or_else(|| words.word())
}

fn is_address(word: &[u8]) -> bool {
    let shaped = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b'.' | b':' | b'%');
    word == b"-"
        || (word.len() <= LONGEST_WORD && word.iter().any(|b| matches!(b, b'.' | b':')) && word.iter().all(shaped))
}

/// Also those of WebDAV, which IIS serves.
fn is_method(word: &[u8]) -> bool {
    (3..=20).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// Method, path, status, remote, agent, referer, host, microseconds.
    type Seen<'a> = (&'a str, &'a str, u16, &'a str, &'a str, &'a str, &'a str, Option<u64>);

    #[test]
    fn lines_of_iis_come_apart() {
        let cases: [(&str, Seen<'_>); 5] = [
            (
                "2025-10-01 08:12:03 10.0.0.5 GET /a.aspx q=1 443 - 203.0.113.9 Mozilla/5.0+(X11) https://shop.example/ 500 0 64 123",
                ("GET", "/a.aspx", 500, "203.0.113.9", "Mozilla/5.0+(X11)", "https://shop.example/", "", Some(123_000)),
            ),
            (
                "2025-10-01 08:12:03 fe80::1%3 POST /a - 80 SHOP\\jane ::1 - - 404 0 2 15",
                ("POST", "/a", 404, "::1", "-", "-", "", Some(15_000)),
            ),
            // IIS 7 has no referer, IIS 6 no time either.
            (
                "2025-10-01 08:12:03 10.0.0.5 GET / - 80 - 10.0.0.9 ELB-HealthChecker/2.0 200 0 0 0",
                ("GET", "/", 200, "10.0.0.9", "ELB-HealthChecker/2.0", "", "", Some(0)),
            ),
            (
                "2025-10-01 08:12:03 10.0.0.5 PROPFIND / - 80 - 10.0.0.9 curl/8 405 0 1",
                ("PROPFIND", "/", 405, "10.0.0.9", "curl/8", "", "", None),
            ),
            (
                "2025-10-01 08:12:03.363 10.0.0.5 GET /a - 80 - \"10.0.0.9\" \"Mozilla (X11)\" - \"shop.example\" 301 0 0 7",
                ("GET", "/a", 301, "10.0.0.9", "Mozilla (X11)", "-", "shop.example", Some(7_000)),
            ),
        ];
        for (line, expected) in cases {
            let access = parse(line.as_bytes()).unwrap_or_else(|| panic!("no access line: {line}"));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let all = [access.method, access.path, access.remote, access.agent, access.referer, access.host].map(text);
            let [method, path, remote, agent, referer, host] = &all;
            let seen: Seen<'_> = (method, path, access.status, remote, agent, referer, host, access.duration_us);
            assert_eq!((access.server, seen), (Server::Iis, expected), "{line}");
            assert!(crate::record::stamp::of_access(access.time).is_some(), "{line}");
        }
    }

    #[test]
    fn other_lines_that_begin_with_a_date_are_none() {
        for line in [
            "2025-10-01 08:12:03 ERROR x",
            "2025-10-01 08:12:03,123 10.0.0.5 GET /a - 80 - 10.0.0.9 curl - 200 0 0 1",
            "2025-10-01 08:12:03 10.0.0.5 connected",
            "2025-10-01 08:12:03 10.0.0.5 GET /a took long",
            "2025-10-01 08:12:03 10.0.0.5 GET /a - 80 - 10.0.0.9 curl - ok fine 200 0 0 1",
            "2025-10-01 08:12:03 10.0.0.5 GET /a - port - 10.0.0.9 curl - 200 0 0 1",
            "2025-10-01 08:12:03 10.0.0.5",
            "2025-10-01 08:12:03.",
        ] {
            assert_eq!(parse(line.as_bytes()).filter(|access| access.server == Server::Iis), None, "{line}");
        }
        for (line, expected) in [
            ("#Fields: date time s-ip", true),
            ("#Software: Microsoft Internet Information Services 10.0", true),
            ("#Start-Date: 2025-10-01 00:00:00", true),
            ("#Fields", false),
            ("# Fields: none", false),
            ("#1 0x7f in main", false),
        ] {
            assert_eq!(is_directive(line.as_bytes()), expected, "{line}");
        }
    }
}
