//! One line of a web server's access log, taken apart: nginx and Apache, `common` and `combined`,
//! with nginx's image's trailing `"$http_x_forwarded_for"`, an optional virtual host in front and
//! whatever a site adds behind. The dialects of application servers are in `apps`, those of proxies in
//! `proxies`; which one is tried is decided by the line's first bytes.
//!
//! The parts are borrowed from the line exactly as they stand there, escapes included. A line is
//! taken only if it has the whole skeleton (remote, ident, user, bracketed time, quoted request,
//! status, size): prose that mentions a request is not an access line. Nothing is allocated and
//! each byte is read once or twice, so a line of a megabyte costs linear time.

mod apps;
pub(super) mod escaped;
mod parts;
mod proxies;
pub mod w3c;

use memchr::{memchr, memchr2, memrchr};
use wide::u8x16;

use super::steps;

/// Whose form a line has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Server {
    /// nginx, Apache, gunicorn, werkzeug: `common` and `combined`.
    #[default]
    Common,
    Uvicorn,
    /// And whatever writes method, path, status and a duration.
    Morgan,
    Gin,
    Uwsgi,
    Envoy,
    Alb,
    Haproxy,
    /// IIS's, of W3C's extended form.
    Iis,
}

/// The parts of an access line. A part the line does not have is empty; `-` is kept, for it is what
/// the line says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Access<'a> {
    pub remote: &'a [u8],
    pub user: &'a [u8],
    /// `01/Oct/2025:08:12:04 +0000`; of other servers in their own form.
    pub time: &'a [u8],
    /// Empty, like `path` and `protocol`, if the request is none: `""`, `"-"` or a TLS hello on a
    /// plain port.
    pub method: &'a [u8],
    pub path: &'a [u8],
    /// Empty for HTTP/0.9, which names none.
    pub protocol: &'a [u8],
    /// The whole of what stands between the quotes.
    pub request: &'a [u8],
    /// 0: there was no answer.
    pub status: u16,
    /// Digits or `-`.
    pub bytes: &'a [u8],
    pub referer: &'a [u8],
    pub agent: &'a [u8],
    pub forwarded: &'a [u8],
    /// The host that was asked for, where the line has it.
    pub host: &'a [u8],
    pub duration_us: Option<u64>,
    pub server: Server,
}

/// Agents of load balancers and orchestrators that ask only whether we are alive.
pub const PROBES: [&[u8]; 3] = [b"ELB-HealthChecker", b"kube-probe", b"GoogleHC"];

/// Longest remote, ident, user or virtual host that is believed: a host name has at most 253 bytes,
/// a port 6 more. It also bounds the search in a line that is something else.
const LONGEST_WORD: usize = 260;

impl Access<'_> {
    /// Is this a health check's request? Told by the agent alone: the path of a check is a site's
    /// own choice.
    pub fn is_health_check(&self) -> bool {
        is_probe(self.agent)
    }
}

/// Is it the name of a load balancer's or an orchestrator's prober?
pub fn is_probe(agent: &[u8]) -> bool {
    PROBES.iter().any(|probe| {
        // The name whole, then its version: `kube-probe/1.29`, not `kube-probed`.
        agent.strip_prefix(*probe).is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b' ')))
    })
}

/// The parts of `line`, or `None` if it is no access line.
pub fn parse(line: &[u8]) -> Option<Access<'_>> {
    let line = line.trim_ascii_end();
    match line {
        [b'[', b'G', ..] => apps::gin(line),
        [b'[', b'p', ..] => apps::uwsgi(line),
        [b'[', b'0'..=b'9', ..] => proxies::envoy(line),
        [b'I', b'N', b'F', b'O', b':', ..] => apps::uvicorn(line),
        [b'A'..=b'Z', b'A'..=b'Z', ..] => apps::morgan(line).or_else(|| common(line)),
        [b'h', b't', b't', b'p', b' ' | b's', ..] | [b'h', b'2', b' ', ..] | [b'w', b's', b' ' | b's', ..] => {
            proxies::alb(line).or_else(|| common(line))
        }
        [b'0'..=b'9', _, _, _, b'-', _, _, b'-', _, _, b' ', ..] => w3c::iis(line).or_else(|| common(line)),
        [b'0'..=b'9', ..] => common(line).or_else(|| proxies::haproxy(line)),
        _ => common(line),
    }
}

/// nginx's and Apache's.
fn common(line: &[u8]) -> Option<Access<'_>> {
    let (first, rest) = word(line)?;
    let (second, rest) = word(rest)?;
    let (third, rest) = word(rest)?;
    let (remote, user, rest) = if rest.first() == Some(&b'[') {
        (first, third, rest)
    } else {
        // One word more: the line opens with a virtual host.
        let (fourth, rest) = word(rest)?;
        if !is_host(first) {
            return None;
        }
        (second, fourth, rest)
    };
    if !is_host(remote) {
        return None;
    }

    let time = time(rest).or_else(|| short_time(rest))?;
    let (request, rest) = quoted(rest.get(time.len() + 2..)?.strip_prefix(b" ")?);
    let request = request?;
    let (status, rest) = status(rest)?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (bytes, rest) = rest.split_at(if digits == 0 && rest.first() == Some(&b'-') { 1 } else { digits });
    if bytes.is_empty() || !matches!(rest.first(), None | Some(b' ')) {
        return None;
    }

    let (referer, rest) = next_quoted(rest);
    let (agent, rest) = next_quoted(rest);
    let (forwarded, _) = next_quoted(rest);
    let (method, path, protocol) = split_request(request);
    Some(Access {
        remote,
        user,
        time,
        method,
        path,
        protocol,
        request,
        status,
        bytes,
        referer,
        agent,
        forwarded,
        ..Access::default()
    })
}

/// One word and the text after the blank that ends it.
#[inline]
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // Mostly `-`.
    if let [first, b' ', rest @ ..] = text {
        return (*first != b' ').then(|| (&text[..1], rest));
    }
    let end = memchr(b' ', text.get(..LONGEST_WORD).unwrap_or(text))?;
    steps::add(end);
    (end > 0).then(|| (&text[..end], &text[end + 1..]))
}

/// An address or a host name, perhaps with a port: letters, digits and what IPv6, zones and
/// container names need.
#[inline]
fn is_host(word: &[u8]) -> bool {
    const OF_HOST: [bool; 256] = {
        let mut of_host = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            of_host[byte] =
                matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b':' | b'.' | b'-' | b'_' | b'%' | b'[' | b']');
            byte += 1;
        }
        of_host
    };
    word.iter().all(|b| OF_HOST[usize::from(*b)])
}

/// Length of `01/Oct/2025:08:12:04 +0000`.
const TIME: usize = 26;

/// The time in the brackets that open `text`. Form only: whether the day exists is not asked here.
#[inline]
fn time(text: &[u8]) -> Option<&[u8]> {
    const LEAST: &[u8; TIME + 2] = b"[00/Aaa/0000:00:00:00 +0000]";
    const MOST: &[u8; TIME + 2] = b"[99/Zzz/9999:99:99:99 -9999]";
    let text: &[u8; TIME + 2] = text.first_chunk()?;
    // Twice sixteen bytes at a time, the middle ones in both: within its bounds is what they do not change.
    let fits = |at: usize| {
        let of = |bytes: &[u8; TIME + 2]| bytes[at..].first_chunk().map_or(u8x16::ZERO, |chunk| u8x16::new(*chunk));
        let bytes = of(text);
        bytes.max(of(LEAST)).min(of(MOST)) == bytes
    };
    let fits = fits(0) && fits(TIME + 2 - 16);
    // Between the plus and the minus lies the comma.
    (fits && text[22] != b',').then(|| &text[1..=TIME])
}

/// werkzeug's, without a zone: `[01/Oct/2025 08:12:04]`.
#[cold]
fn short_time(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"[")?.get(..20)?;
    let fits = matches!(inside, [d, _, b'/', _, _, _, b'/', _, _, _, _, b' ', _, _, b':', _, _, b':', _, s]
        if d.is_ascii_digit() && s.is_ascii_digit());
    (fits && text.get(21) == Some(&b']')).then_some(inside)
}

/// ` 200 ` off the front, for a status that HTTP has.
fn status(text: &[u8]) -> Option<(u16, &[u8])> {
    match text {
        [b' ', a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', rest @ ..] => {
            let [a, b, c] = [a, b, c].map(|d| u16::from(d - b'0'));
            Some((a * 100 + b * 10 + c, rest))
        }
        _ => None,
    }
}

/// What stands between the quote that opens `text` and the next one no backslash protects; then the
/// text after it. `None`, and all the rest, if there is no such pair.
fn quoted(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(inside) = text.strip_prefix(b"\"") else {
        return (None, text);
    };
    let mut from = 0;
    while let Some(at) = inside.get(from..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        let at = from + at;
        steps::add(at - from + 1);
        if inside[at] == b'"' {
            return (Some(&inside[..at]), &inside[at + 1..]);
        }
        from = at + 2;
    }
    (None, inside)
}

/// ` "…"` off the front; empty, with nothing taken, if something else follows. By now the line is
/// known for what it is, so a last field that was cut off in the middle is taken as far as it goes.
fn next_quoted(text: &[u8]) -> (&[u8], &[u8]) {
    match text.strip_prefix(b" ") {
        Some(next @ [b'"', ..]) => match quoted(next) {
            (Some(inside), rest) => (inside, rest),
            (None, cut) => (cut, &[]),
        },
        _ => (&[], text),
    }
}

/// Method, path and protocol; all empty if the request is none. Blanks a client left in the path
/// stay in it.
fn split_request(request: &[u8]) -> (&[u8], &[u8], &[u8]) {
    const NONE: (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    steps::add(request.len());
    let method = request.iter().take_while(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')).count();
    let Some((b' ', target)) = request[method..].split_first() else {
        return NONE;
    };
    if method == 0 || !request[0].is_ascii_uppercase() {
        return NONE;
    }
    // Mostly `HTTP/1.1` and its like, in whose eight bytes is no blank.
    let usual = target.len().checked_sub(9).filter(
        |at| matches!(&target[*at..], [b' ', b'H', b'T', b'T', b'P', b'/', tail @ ..] if !tail.contains(&b' ')),
    );
    let (path, protocol) = match usual.or_else(|| memrchr(b' ', target)) {
        Some(at) if target[at + 1..].starts_with(b"HTTP/") => (&target[..at], &target[at + 1..]),
        // Without a protocol only a path tells HTTP/0.9 from two words of some other protocol.
        _ if target.starts_with(b"/") => (target, &[][..]),
        _ => return NONE,
    };
    if path.is_empty() { NONE } else { (&request[..method], path, protocol) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NGINX: &str = r#"10.2.138.196 - - [01/Oct/2025:08:12:04 +0000] "GET /healthz?a=b HTTP/1.1" 200 2 "-" "ELB-HealthChecker/2.0" "203.0.113.121""#;

    fn read(line: &str) -> Access<'_> {
        parse(line.as_bytes()).unwrap_or_else(|| panic!("no access line: {line}"))
    }

    #[test]
    fn the_line_of_the_nginx_image_comes_apart_completely() {
        let expected = Access {
            remote: b"10.2.138.196",
            user: b"-",
            time: b"01/Oct/2025:08:12:04 +0000",
            method: b"GET",
            path: b"/healthz?a=b",
            protocol: b"HTTP/1.1",
            request: b"GET /healthz?a=b HTTP/1.1",
            status: 200,
            bytes: b"2",
            referer: b"-",
            agent: b"ELB-HealthChecker/2.0",
            forwarded: b"203.0.113.121",
            ..Access::default()
        };
        assert_eq!(read(NGINX), expected);
        assert_eq!(read(&format!("{NGINX}\r\n")), expected);
        assert_eq!(read(&format!("{NGINX} 0.004 upstream=\"a\"")), expected);
        assert_eq!(read(&format!("shop.example.com:443 {NGINX}")), expected);
    }

    #[test]
    fn a_common_line_has_no_referer_and_no_agent() {
        for tail in ["", " 0.004", " -"] {
            let line = format!(r#"::1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 404 -{tail}"#);
            let access = read(&line);
            assert_eq!(
                (access.remote, access.user, access.bytes, access.referer, access.agent),
                (&b"::1"[..], &b"frank"[..], &b"-"[..], &b""[..], &b""[..])
            );
            assert_eq!(access.status, 404);
        }
    }

    #[test]
    fn a_remote_is_an_address_of_either_kind_or_a_name() {
        for remote in
            ["10.0.0.1", "2001:db8::8a2e:370:7334", "::ffff:10.0.0.1", "fe80::1%eth0", "gw-3.example.com", "a_b"]
        {
            let line = format!(r#"{remote} - - [01/Oct/2025:08:12:04 +0000] "GET / HTTP/2.0" 200 5"#);
            let access = read(&line);
            assert_eq!((access.remote, access.protocol), (remote.as_bytes(), &b"HTTP/2.0"[..]));
        }
    }

    #[test]
    fn a_request_is_split_only_if_it_is_one() {
        for (request, method, path, protocol) in [
            ("", "", "", ""),
            ("-", "", "", ""),
            (r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", "", "", ""),
            ("\u{16}\u{3}\u{1}", "", "", ""),
            ("GET", "", "", ""),
            ("GET ", "", "", ""),
            ("GET  HTTP/1.1", "", "", ""),
            ("get / HTTP/1.1", "", "", ""),
            ("HELP me", "", "", ""),
            ("- / HTTP/1.1", "", "", ""),
            ("GET /", "GET", "/", ""),
            ("GET /a b HTTP/1.1", "GET", "/a b", "HTTP/1.1"),
            (r#"GET /\"q\" HTTP/1.1"#, "GET", r#"/\"q\""#, "HTTP/1.1"),
            (r"GET /x\\ HTTP/1.1", "GET", r"/x\\", "HTTP/1.1"),
            ("OPTIONS * HTTP/1.1", "OPTIONS", "*", "HTTP/1.1"),
            ("CONNECT example.com:443 HTTP/1.1", "CONNECT", "example.com:443", "HTTP/1.1"),
            ("M-SEARCH * HTTP/1.1", "M-SEARCH", "*", "HTTP/1.1"),
            ("PRI * HTTP/2.0", "PRI", "*", "HTTP/2.0"),
        ] {
            let line = format!(r#"10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] "{request}" 400 157 "-" "-""#);
            let access = read(&line);
            assert_eq!(access.request, request.as_bytes());
            let split = (access.method, access.path, access.protocol);
            assert_eq!(split, (method.as_bytes(), path.as_bytes(), protocol.as_bytes()), "{request}");
            assert_eq!(access.status, 400);
        }
    }

    #[test]
    fn quotes_in_an_agent_do_not_end_it_and_a_cut_agent_is_kept() {
        let head = r#"10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] "GET / HTTP/1.1" 200 5 "http://a/?q=\"x\"""#;
        let whole = format!(r#"{head} "curl \"8\" \\" "203.0.113.9""#);
        let access = read(&whole);
        assert_eq!(access.referer, br#"http://a/?q=\"x\""#);
        assert_eq!(access.agent, br#"curl \"8\" \\"#);
        assert_eq!(access.forwarded, b"203.0.113.9");

        let cut = format!(r#"{head} "Mozilla/5.0 (Windows NT"#);
        assert_eq!(read(&cut).agent, b"Mozilla/5.0 (Windows NT");
    }

    #[test]
    fn prose_and_near_misses_are_no_access_lines() {
        for line in [
            "",
            " ",
            "[",
            "2025/10/01 08:13:24 [error] 29#29: *4827 open() failed, request: \"GET / HTTP/1.1\"",
            "[01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 5",
            "we saw 10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 5",
            "see: - - [01/Oct/2025:08:12:04] \"GET / HTTP/1.1\" 200 5",
            "10.0.0.1  - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 5",
            "10.0.0.1 - - [1/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000]\"GET / HTTP/1.1\" 200 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1 200 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] GET / HTTP/1.1 200 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 099 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 600 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 2000 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 5kB",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 -5",
            "10,0 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 5",
            "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\\",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_health_check_is_told_by_its_agent() {
        for (agent, check) in [
            ("ELB-HealthChecker/2.0", true),
            ("kube-probe/1.29", true),
            ("GoogleHC/1.0", true),
            ("kube-probe", true),
            ("kube-probed/1.0", false),
            ("curl/8.5.0", false),
            ("Mozilla/5.0 (like kube-probe/1.29)", false),
            ("-", false),
            ("", false),
        ] {
            let access = Access { agent: agent.as_bytes(), path: b"/healthz", ..Access::default() };
            assert_eq!(access.is_health_check(), check, "{agent}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_an_access_line_reads_back(
            remote in "[a-z0-9.:]{1,40}",
            user in "[!-Z^-~]{1,20}",
            path in "/[!#-\\[\\]-~]{0,80}",
            status in 100_u16..600,
            bytes in "-|[0-9]{1,12}",
            agent in "([ !#-\\[\\]-~]|\\\\\")*",
        ) {
            let line = format!(
                r#"{remote} - {user} [01/Oct/2025:08:12:04 +0000] "POST {path} HTTP/1.1" {status} {bytes} "-" "{agent}" "x""#
            );
            let access = read(&line);
            prop_assert_eq!(access.remote, remote.as_bytes());
            prop_assert_eq!(access.user, user.as_bytes());
            prop_assert_eq!(access.path, path.as_bytes());
            prop_assert_eq!(access.status, status);
            prop_assert_eq!(access.bytes, bytes.as_bytes());
            prop_assert_eq!(access.agent, agent.as_bytes());
            prop_assert_eq!(access.forwarded, b"x");
        }

        #[test]
        fn no_input_panics(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&line);
        }

        #[test]
        fn no_damaged_line_panics(at in 0_usize..120, with in any::<u8>(), keep in 0_usize..120) {
            let mut line = NGINX.as_bytes().to_vec();
            let at = at % line.len();
            line[at] = with;
            line.truncate(keep);
            if let Some(access) = parse(&line) {
                prop_assert!((100..600).contains(&access.status));
            }
        }
    }
}
