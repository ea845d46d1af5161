//! E-mail and IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// The escape before a word is none of its letters; group 1 is the address.
static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:\\+[nrtbf]|\\+u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})?",
        r"([\p{L}\p{N}_.+-]+(?:'[\p{L}\p{N}_.+-]+)*(?:@|%40|\\u0040)",
        r"(?:[\p{L}\p{N}][\p{L}\p{N}-]*\.)+(?:xn--[a-z0-9-]{2,59}|\p{L}{2,24}))",
    ))
    .expect("the pattern is a constant, and tested")
});

/// What may be an IPv4 address, or holds two colons and may be an IPv6 address.
static IP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:[0-9]{0,2}(?:\.[0-9]{1,3}){3})?",
    )
    .expect("the pattern is a constant, and tested")
});

/// Ends of names that only look like an address: of units, files and packages.
const NO_DOMAINS: [&str; 18] = [
    "service", "socket", "timer", "mount", "target", "slice", "scope", "device", "path", "swap", "png", "jpg", "jpeg",
    "gif", "svg", "webp", "json", "yaml",
];

pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    if !["@", "%40", r"\u0040"].iter().any(|at| text.contains(at)) {
        return Vec::new();
    }
    let groups = EMAIL.captures_iter(text).filter_map(|groups| groups.get(1));
    groups.filter(|found| is_email(text, found.start(), found.as_str())).map(|found| found.range()).collect()
}

/// Not a remote (`git@host`), a user in a URL, a version (`pkg@1.2.3-rc.one`), a unit or a file.
fn is_email(text: &str, start: usize, address: &str) -> bool {
    let at = ["@", "%40", r"\u0040"].iter().find_map(|at| address.split_once(at));
    let Some((user, domain)) = at else { return false };
    let before = text.get(..start).unwrap_or_default();
    let is_version = domain.split('.').take(2).all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let end = domain.rsplit('.').next().unwrap_or_default();
    user != "git"
        && !before.ends_with("://")
        && !before.ends_with(r":\/\/")
        && !is_version
        && !NO_DOMAINS.iter().any(|no| end.eq_ignore_ascii_case(no))
}

/// All but those that name no machine: loopback and unspecified.
pub(super) fn ips(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let alone = |found: &Range<usize>| {
        let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'_');
        let before = found.start.checked_sub(1).and_then(|at| bytes.get(at));
        let is_v6 = bytes.get(found.clone()).is_some_and(|found| found.contains(&b':'));
        let open = match before {
            // `addr:10.0.0.1`
            Some(b':') if !is_v6 => true,
            Some(b'n' | b't' | b'r') => found.start >= 2 && bytes.get(found.start - 2) == Some(&b'\\'),
            before => !before.is_some_and(word),
        };
        let closed = match bytes.get(found.end..).unwrap_or_default() {
            [b'.', next, ..] => !next.is_ascii_alphanumeric(),
            [b':', ..] => !is_v6,
            [next, ..] => !next.is_ascii_alphanumeric() && *next != b'_',
            [] => true,
        };
        open && closed
    };
    let is_ip = |found: &Range<usize>| match text.get(found.clone()).unwrap_or_default() {
        ip if ip.contains(':') => {
            let ip: Option<Ipv6Addr> = ip.parse().ok().filter(|_| ip.bytes().any(|b| b.is_ascii_digit()));
            ip.is_some_and(|ip| names_a_machine(ip.into()))
        }
        ip => ip.parse::<Ipv4Addr>().is_ok_and(|ip| names_a_machine(ip.into())),
    };
    IP.find_iter(text).map(|found| found.range()).filter(|found| alone(found) && is_ip(found)).collect()
}

fn names_a_machine(ip: IpAddr) -> bool {
    !ip.is_loopback() && !ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(found: &[Range<usize>], text: &str) -> Option<String> {
        found.first().and_then(|range| text.get(range.clone())).map(str::to_owned)
    }

    #[test]
    fn an_address_is_found_without_what_stands_around_it() {
        for (text, address) in [
            ("to bob@example.com.", Some("bob@example.com")),
            ("<bob.o'brien+x@mail.example.co.uk>", Some("bob.o'brien+x@mail.example.co.uk")),
            (r"to:\nbob@example.com", Some("bob@example.com")),
            ("?to=bob%40example.com&x", Some("bob%40example.com")),
            ("=%20bob@example.com", Some("bob@example.com")),
            (r"bob\u0040example.com", Some(r"bob\u0040example.com")),
            ("jürgen@bücher.example", Some("jürgen@bücher.example")),
            ("bob@example.xn--p1ai", Some("bob@example.xn--p1ai")),
            ("git@github.com:a/b.git", None),
            ("ssh://deploy@git.example.org/x.git", None),
            ("root@localhost root@10.0.0.1", None),
            ("lodash@4.17.21 pkg@1.0.0-rc.one", None),
            ("getty@tty1.service user@1000.service icon@2x.png", None),
            ("app/web@sha256:0123456789abcdef", None),
            ("com.example.Foo@1a2b3c4d", None),
            ("@scope/pkg @app.route a@b", None),
        ] {
            assert_eq!(first(&emails(text), text).as_deref(), address, "{text}");
        }
    }

    #[test]
    fn an_ip_address_is_one_whatever_its_port() {
        for (text, ip) in [
            ("from 10.0.0.1:8080,", Some("10.0.0.1")),
            ("addr:10.0.0.1.", Some("10.0.0.1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("::ffff:10.0.0.1", Some("::ffff:10.0.0.1")),
            ("2001:db8:0:0:0:0:0:1", Some("2001:db8:0:0:0:0:0:1")),
            ("127.0.0.1 0.0.0.0 ::1 ::", None),
            ("1.2.3.4.5 v1.2.3.4 256.1.1.1 1.2.3", None),
            ("12:34:56 aa:bb:cc:dd:ee:ff std::dead::beef 2026-01-02T03:04:05", None),
        ] {
            assert_eq!(first(&ips(text), text).as_deref(), ip, "{text}");
        }
    }
}
