//! Access lines that application servers and their middleware write: uvicorn, morgan, gin, uWSGI.
//!
//! As strict as their neighbour in front: a line is taken only with its whole skeleton, so that prose about a
//! request stays prose.

use super::parts::{Words, is_bytes, is_method, micros, micros_with_unit, request, status};
use super::{Access, Server};

/// `INFO:     10.0.0.1:5000 - "GET /x HTTP/1.1" 200 OK`
pub(super) fn uvicorn(line: &[u8]) -> Option<Access<'_>> {
    let mut words = Words(line.strip_prefix(b"INFO:")?);
    let remote = words.word();
    if words.word() != b"-" || !remote.contains(&b':') {
        return None;
    }
    let request_line = words.quoted()?;
    let (method, path, protocol) = request(request_line)?;
    let status = status(words.word())?;
    Some(Access {
        remote,
        method,
        path,
        protocol,
        request: request_line,
        status,
        server: Server::Uvicorn,
        ..Access::default()
    })
}

/// morgan's `dev` and `tiny`, and everybody's own: `GET /x 200 12 - 1.5 ms`, `GET /x 200 1.5 ms - 12`, `GET /x 200 31ms`.
pub(super) fn morgan(line: &[u8]) -> Option<Access<'_>> {
    let mut words = Words(line);
    let method = words.word();
    let path = words.word();
    if !is_method(method) || !path.starts_with(b"/") {
        return None;
    }
    let next = words.word();
    let (protocol, code) = if next.starts_with(b"HTTP/") { (next, words.word()) } else { (&b""[..], next) };
    // morgan writes `-` for an answer that never came.
    let status = if code == b"-" { 0 } else { status(code)? };
    let access = Access { method, path, protocol, status, server: Server::Morgan, ..Access::default() };
    let first = words.word();
    if let Some(us) = micros_with_unit(first) {
        return Some(Access { duration_us: Some(us), ..access });
    }
    let second = words.word();
    if second == b"ms" {
        let bytes = if words.is_next(b"-") { words.word() } else { b"" };
        let bytes = if is_bytes(bytes) { bytes } else { b"" };
        return (is_number(first)).then_some(Access { duration_us: micros(first, 1e3), bytes, ..access });
    }
    let third = words.word();
    if is_bytes(first) && second == b"-" && words.word() == b"ms" {
        return Some(Access { duration_us: micros(third, 1e3), bytes: first, ..access });
    }
    // A status alone proves too little, but for a line that ends with it.
    (first.is_empty() && status != 0).then_some(access)
}

fn is_number(word: &[u8]) -> bool {
    word == b"-" || (!word.is_empty() && word.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
}

/// `[GIN] 2025/10/01 - 08:12:03 | 200 |  1.2ms |  10.0.0.1 | GET      "/x"`
pub(super) fn gin(line: &[u8]) -> Option<Access<'_>> {
    let rest = line.strip_prefix(b"[GIN] ")?;
    let mut fields = rest.split(|b| *b == b'|').map(<[u8]>::trim_ascii);
    let (_, code, duration) = (fields.next()?, fields.next()?, fields.next()?);
    let (remote, target) = (fields.next()?, fields.next()?);
    let mut words = Words(target);
    let method = words.word();
    let path = words.quoted()?;
    let status = status(code)?;
    if !is_method(method) {
        return None;
    }
    Some(Access {
        remote,
        method,
        path,
        status,
        duration_us: micros_with_unit(duration),
        server: Server::Gin,
        ..Access::default()
    })
}

/// `[pid: 7|app: 0|req: 1/1] 10.0.0.1 () {38 vars in 696 bytes} [Sun Mar 13 22:49:12 2016] POST /x => generated 47
/// bytes in 129 msecs (HTTP/1.1 200) 9 headers in 378 bytes`
pub(super) fn uwsgi(line: &[u8]) -> Option<Access<'_>> {
    let mut words = Words(line.strip_prefix(b"[pid: ")?);
    let from = memchr::memchr(b']', words.0)?;
    words.0 = words.0.get(from + 1..)?;
    let remote = words.word();
    words.bracketed(b'(', b')')?;
    words.bracketed(b'{', b'}')?;
    let time = words.bracketed(b'[', b']')?;
    let method = words.word();
    let path = words.word();
    if !is_method(method) || !words.is_next(b"=> generated") {
        return None;
    }
    let bytes = words.word();
    if !words.is_next(b"bytes in") {
        return None;
    }
    let (number, unit) = (words.word(), words.word());
    let duration_us = micros(number, if unit == b"micros" { 1.0 } else { 1e3 });
    let mut answer = Words(words.bracketed(b'(', b')')?);
    let protocol = answer.word();
    let status = status(answer.word())?;
    Some(Access {
        remote,
        time,
        method,
        path,
        protocol,
        status,
        bytes,
        duration_us,
        server: Server::Uwsgi,
        ..Access::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// Server, method, path, status, bytes, microseconds.
    type Seen<'a> = (Server, &'a str, &'a str, u16, &'a str, Option<u64>);

    #[test]
    fn lines_of_application_servers_come_apart() {
        let cases: [(&str, Seen<'_>); 11] = [
            (
                r#"INFO:     10.0.0.1:5000 - "GET /a?b=c HTTP/1.1" 500 Internal Server Error"#,
                (Server::Uvicorn, "GET", "/a?b=c", 500, "", None),
            ),
            ("GET /api/v1/orders 500 31ms", (Server::Morgan, "GET", "/api/v1/orders", 500, "", Some(31_000))),
            ("GET /x 200 12 - 1.5 ms", (Server::Morgan, "GET", "/x", 200, "12", Some(1_500))),
            ("GET /x 304 - - 0.5 ms", (Server::Morgan, "GET", "/x", 304, "-", Some(500))),
            ("POST /x 201 1.5 ms - 12", (Server::Morgan, "POST", "/x", 201, "12", Some(1_500))),
            ("GET /x - - ms - -", (Server::Morgan, "GET", "/x", 0, "-", None)),
            ("GET /x HTTP/1.1 404 2s", (Server::Morgan, "GET", "/x", 404, "", Some(2_000_000))),
            ("DELETE /x 204", (Server::Morgan, "DELETE", "/x", 204, "", None)),
            (
                r#"[GIN] 2025/10/01 - 08:12:03 | 502 |     1.2ms |        10.0.0.1 | GET      "/x""#,
                (Server::Gin, "GET", "/x", 502, "", Some(1_200)),
            ),
            (
                "[pid: 7|app: 0|req: 1/1] 10.0.0.1 () {38 vars in 696 bytes} [Sun Mar 13 22:49:12 2016] POST /x => generated 47 bytes in 129 msecs (HTTP/1.1 200) 9 headers",
                (Server::Uwsgi, "POST", "/x", 200, "47", Some(129_000)),
            ),
            (
                r#"10.0.0.1 - - [01/Oct/2025 08:12:04] "GET /x HTTP/1.1" 404 -"#,
                (Server::Common, "GET", "/x", 404, "-", None),
            ),
        ];
        for (line, expected) in cases {
            let access = parse(line.as_bytes()).unwrap_or_else(|| panic!("no access line: {line}"));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (method, path, bytes) = (text(access.method), text(access.path), text(access.bytes));
            let seen: Seen<'_> = (access.server, &method, &path, access.status, &bytes, access.duration_us);
            assert_eq!(seen, expected, "{line}");
        }
    }

    #[test]
    fn prose_about_requests_is_no_access_line() {
        for line in [
            "GET /x returned 500",
            "GET /x 200 rows inserted",
            "GET /x 99",
            "GET x 200 1ms",
            "FETCH /x 200 1ms",
            "GET /x",
            "INFO: user - \"GET / HTTP/1.1\" 200",
            "INFO:     started - \"x\" 200",
            "[GIN-debug] GET /x --> main.main (3 handlers)",
            "[GIN] 2025/10/01 - 08:12:03 | 200",
            "[pid: 7|app: 0] x",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
