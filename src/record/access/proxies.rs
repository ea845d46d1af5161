//! Access lines of proxies and load balancers: Envoy and Istio, AWS's application load balancer, HAProxy.

use super::parts::{Words, is_bytes, micros, request, status};
use super::{Access, Server};

/// Envoy's default, and Istio's, which has words of its own between the flags and the figures:
/// `[TIME] "GET /x HTTP/1.1" 200 - 0 123 5 4 "10.0.0.1" "curl" "ID" "host" "10.1.2.3:80"`
pub(super) fn envoy(line: &[u8]) -> Option<Access<'_>> {
    let mut words = Words(line);
    let time = words.bracketed(b'[', b']')?;
    let request_line = words.quoted()?;
    let (method, path, protocol) = request(request_line)?;
    // 0: the client went before there was an answer.
    let code = words.word();
    let status = if code == b"0" { 0 } else { status(code)? };
    // The flags; then, Istio's: details, why it failed, both maybe quoted.
    words.word();
    let mut received = words.word();
    for _ in 0..3 {
        if !received.iter().all(u8::is_ascii_digit) {
            received = words.word();
        }
    }
    let (bytes, duration, upstream) = (words.word(), words.word(), words.word());
    if ![received, bytes, duration, upstream].iter().all(|word| is_bytes(word)) {
        return None;
    }
    let forwarded = words.quoted()?;
    let agent = words.quoted()?;
    let (_, host) = (words.quoted(), words.quoted().unwrap_or_default());
    Some(Access {
        time,
        method,
        path,
        protocol,
        request: request_line,
        status,
        bytes,
        duration_us: micros(duration, 1e3),
        forwarded,
        agent,
        host,
        server: Server::Envoy,
        ..Access::default()
    })
}

/// `https TIME app/name/id 10.0.0.1:2817 10.1.2.3:80 0.000 0.001 0.000 200 200 34 366 "GET https://host:443/x HTTP/1.1" "curl" …`
pub(super) fn alb(line: &[u8]) -> Option<Access<'_>> {
    let mut words = Words(line);
    let (_, time, balancer) = (words.word(), words.word(), words.word());
    if !balancer.starts_with(b"app/") {
        return None;
    }
    let (remote, _target) = (words.word(), words.word());
    let (_, target_time, _) = (words.word(), words.word(), words.word());
    let status = status(words.word())?;
    let (_, _, bytes) = (words.word(), words.word(), words.word());
    let request_line = words.quoted()?;
    let (method, url, protocol) = request(request_line)?;
    let (host, path) = split_url(url);
    let agent = words.quoted().unwrap_or_default();
    if !is_bytes(bytes) {
        return None;
    }
    Some(Access {
        remote,
        time,
        method,
        path,
        protocol,
        request: request_line,
        status,
        bytes,
        // -1 where no target answered.
        duration_us: micros(target_time, 1e6),
        agent,
        host,
        server: Server::Alb,
        ..Access::default()
    })
}

/// `https://host:443/path` in its parts; what has no scheme is a path.
fn split_url(url: &[u8]) -> (&[u8], &[u8]) {
    let Some(at) = memchr::memmem::find(url, b"://") else { return (b"", url) };
    let rest = url.get(at + 3..).unwrap_or_default();
    let slash = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(slash).unwrap_or((rest, b""));
    let host = authority.split(|b| *b == b':').next().unwrap_or_default();
    (host, path)
}

/// HAProxy's `httplog`, without what syslog puts in front:
/// `10.0.0.1:33317 [06/Feb/2025:12:14:14.655] front back/srv 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {…} "GET /x HTTP/1.1"`
pub(super) fn haproxy(line: &[u8]) -> Option<Access<'_>> {
    let mut words = Words(line);
    let remote = words.word();
    if !remote.contains(&b':') {
        return None;
    }
    let time = words.bracketed(b'[', b']')?;
    let (_, _, timers) = (words.word(), words.word(), words.word());
    if timers.iter().filter(|b| **b == b'/').count() != 4 {
        return None;
    }
    // -1: the client went before there was an answer.
    let code = words.word();
    let status = if code == b"-1" { 0 } else { status(code)? };
    let bytes = words.word().trim_ascii();
    let bytes = bytes.strip_prefix(b"+").unwrap_or(bytes);
    let quote = memchr::memchr(b'"', words.0)?;
    words.0 = words.0.get(quote..)?;
    // The last field; syslog may have cut it.
    let request_line = words.quoted().unwrap_or_else(|| words.0.get(1..).unwrap_or_default());
    let (method, path, protocol) = request(request_line).unwrap_or_default();
    let total = timers.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let total = total.strip_prefix(b"+").unwrap_or(total);
    is_bytes(bytes).then_some(Access {
        remote,
        time,
        method,
        path,
        protocol,
        request: request_line,
        status,
        bytes,
        duration_us: micros(total, 1e3),
        server: Server::Haproxy,
        ..Access::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn lines_of_proxies_come_apart() {
        let cases = [
            (
                r#"[2025-10-01T08:12:04.310Z] "POST /a HTTP/2" 204 - 154 7 226 100 "10.0.35.28" "nsq2http" "cc21d9b0" "locations" "tcp://10.0.2.1:80""#,
                (Server::Envoy, "POST", "/a", 204, "7", Some(226_000), "locations", "nsq2http"),
            ),
            (
                r#"[2025-10-01T08:12:04.310Z] "GET /a HTTP/1.1" 503 UF upstream_reset_before_response_started{connection_failure} - "-" 0 91 44 - "-" "curl/8" "id" "web:80" "10.0.2.1:80" -"#,
                (Server::Envoy, "GET", "/a", 503, "91", Some(44_000), "web:80", "curl/8"),
            ),
            (
                r#"https 2025-10-01T08:12:04.186641Z app/web/50dc6c495c0c9188 192.0.2.39:2817 10.0.0.1:80 0.086 0.048 0.037 502 502 0 57 "GET https://www.example.com:443/a?b HTTP/1.1" "ELB-HealthChecker/2.0" ECDHE TLSv1.2"#,
                (Server::Alb, "GET", "/a?b", 502, "57", Some(48_000), "www.example.com", "ELB-HealthChecker/2.0"),
            ),
            (
                r#"10.0.1.2:33317 [06/Feb/2025:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1""#,
                (Server::Haproxy, "GET", "/index.html", 200, "2750", Some(109_000), "", ""),
            ),
        ];
        for (line, expected) in cases {
            let access = parse(line.as_bytes()).unwrap_or_else(|| panic!("no access line: {line}"));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let all = [access.method, access.path, access.bytes, access.host, access.agent].map(text);
            let [method, path, bytes, host, agent] = &all;
            let seen =
                (access.server, &**method, &**path, access.status, &**bytes, access.duration_us, &**host, &**agent);
            assert_eq!(seen, expected, "{line}");
        }
    }

    #[test]
    fn near_misses_are_no_access_lines_of_proxies() {
        for line in [
            "[2025-10-01T08:12:04Z] \"quoted\" 200",
            "[2025-10-01T08:12:04Z] ERROR x",
            "[2025-10-01T08:12:04Z] \"GET / HTTP/1.1\" 200 - a b c",
            "http 2025-10-01T08:12:04Z started",
            "https://example.com is up",
            "10.0.0.1:80 [x] up",
            "10.0.1.2:33317 [06/Feb/2025:12:14:14.655] http-in static/srv1 10/0/30/69/109 200",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
