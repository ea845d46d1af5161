//! nginx's and Apache's lines as they stand in a JSON string, without unescaping them first.
//!
//! Every quote of such a line is a `\"` there, and most lines have no other escape. Then the parts between the
//! quotes are the same bytes escaped or not. Each part is looked through for what may not stand in it while it is
//! taken, so the string needs no other look: that it ends where it is said to end is seen here too. What is not
//! plainly of this form is left to [`super::parse`]; what is taken here, [`super::parse`] would take just so.

use memchr::memchr3;

use super::{Access, Server, is_host, split_request, status, time, word};

/// The parts of an access line, from what stands between the quotes of its string. Taken only if every backslash is
/// one before a quote and every quote has one, and nothing is coloured.
pub(in crate::record) fn parse(line: &[u8]) -> Option<Access<'_>> {
    // Whatever begins with a digit is first tried as one of these. A blank at the end would have to go.
    if !line.first()?.is_ascii_digit() || line.last()?.is_ascii_whitespace() {
        return None;
    }
    let (remote, rest) = word(line)?;
    let (ident, rest) = word(rest)?;
    let (user, rest) = word(rest)?;
    if !is_host(remote) || !is_plain(ident) || !is_plain(user) {
        return None;
    }
    let time = time(rest)?;
    let rest = rest.get(time.len() + 2..)?;

    let (request, rest) = quoted(rest)??;
    let (status, rest) = status(rest)?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (bytes, rest) = rest.split_at(if digits == 0 && rest.first() == Some(&b'-') { 1 } else { digits });
    if bytes.is_empty() || !matches!(rest.first(), None | Some(b' ')) {
        return None;
    }
    let mut rest = rest;
    let mut next = || -> Option<&[u8]> {
        let Some((inside, after)) = quoted(rest)? else { return Some(&[]) };
        rest = after;
        Some(inside)
    };
    let (referer, agent, forwarded) = (next()?, next()?, next()?);
    while let Some(at) = strange(rest) {
        rest = rest.get(at..)?.strip_prefix(b"\\\"")?;
    }
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
        host: b"",
        duration_us: None,
        server: Server::Common,
    })
}

/// Where the first quote, backslash or escape character stands.
#[inline]
fn strange(text: &[u8]) -> Option<usize> {
    memchr3(b'"', b'\\', 0x1b, text)
}

#[inline]
fn is_plain(word: &[u8]) -> bool {
    word == b"-" || strange(word).is_none()
}

/// ` \"…\"` off the front: what is between, and what follows. `Some(None)`: no quote stands there. `None`: what
/// stands in it, or ends it, is something else.
#[inline]
fn quoted(text: &[u8]) -> Option<Option<(&[u8], &[u8])>> {
    let Some(inside) = text.strip_prefix(b" \\\"") else { return Some(None) };
    // Mostly `-`.
    if let Some(rest) = inside.strip_prefix(b"-\\\"") {
        return Some(Some((b"-", rest)));
    }
    let (inside, rest) = inside.split_at_checked(strange(inside)?)?;
    Some(Some((inside, rest.strip_prefix(b"\\\"")?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::access;
    use crate::record::text::unescape;

    /// What is read of `text` within a line, and what [`access::parse`] reads of it.
    fn check(text: &str) -> bool {
        let quoted = serde_json::json!(text).to_string();
        let raw = quoted.get(1..quoted.len() - 1).expect("between its quotes").as_bytes();
        let read = parse(raw);
        if read.is_some() {
            assert_eq!(read, access::parse(text.trim_ascii_end().as_bytes()), "{text}");
        }
        read.is_some()
    }

    #[test]
    fn lines_of_nginx_are_taken_and_doubtful_ones_are_left() {
        let head = r#"10.2.138.196 - - [01/Oct/2025:08:12:04 +0000] "GET /healthz?a=b HTTP/1.1" 200 2"#;
        for tail in
            ["", " \"-\"", " \"-\" \"ELB-HealthChecker/2.0\"", " \"-\" \"\" \"203.0.113.121\"", " 0.004 a=\"b\""]
        {
            assert!(check(&format!("{head}{tail}")), "{tail}");
        }
        for tail in [" \"-\" \"cut", "x", " \"-\" \"a\\\"b\" \"c\"", "\n"] {
            assert!(!check(&format!("{head}{tail}")), "{tail}");
        }
        assert!(!check("10.2.138.196 - a\"b [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 2"));
        assert!(!check("10.2.138.196 - - [01/Oct/2025:08:12:04 +0000] GET / 200 2"));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_read_as_from_the_text_itself(
            start in "[0-9]{1,3}(\\.[0-9]){0,3}", user in "[-a-z\"]{1,3}", request in "[A-Z \"/a-z.]{0,24}",
            code in "[0-9]{2,4}", bytes in "[0-9-]{0,3}", tail in "( ?\"[ -~]{0,9}\"?){0,4}",
        ) {
            check(&format!("{start} - {user} [01/Oct/2025:08:12:04 +0000] \"{request}\" {code} {bytes}{tail}"));
        }

        #[test]
        fn what_is_taken_is_one_string_without_other_escapes(
            user in "[-a\"\\\\]{1,3}", request in "[A-Z /\"\\\\\x1b]{0,8}", tail in "( ?\\\\?\"[a-c \\\\\"\x1b]{0,5}\\\\?\"?){0,4}",
        ) {
            let raw = format!("10.0.0.1 - {user} [01/Oct/2025:08:12:04 +0000] \\\"{request}\\\" 200 5{tail}");
            if let Some(read) = parse(raw.as_bytes()) {
                prop_assert_eq!(raw.matches('"').count(), raw.matches("\\\"").count());
                prop_assert_eq!(raw.matches('\\').count(), raw.matches("\\\"").count());
                prop_assert!(!raw.contains("\\\\") && !raw.contains('\x1b'));
                let mut text = Vec::new();
                unescape(raw.as_bytes(), &mut text);
                prop_assert_eq!(Some(read), access::parse(&text));
            }
        }
    }
}
