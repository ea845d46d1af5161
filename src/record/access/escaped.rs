//! nginx's and Apache's lines as they stand in a JSON string, without unescaping them first.
//!
//! Every quote of such a line is a `\"` there, and most lines have no other escape. Then the parts between the
//! quotes are the same bytes escaped or not, and where the quotes stand is known from the line's marks. What is not
//! plainly of this form is left to [`super::parse`]; what is taken here, [`super::parse`] would take just so.

use super::{Access, Server, is_host, split_request, status, time, word};
use crate::record::index::{Depth, Index, Marks};
use crate::record::text::Text;

/// The parts of `log`, of which nothing but quotes is escaped: the caller has seen to that.
pub(in crate::record) fn parse<'a>(log: &Text<'a>, index: &Index) -> Option<Access<'a>> {
    let line = log.raw();
    // Whatever begins with a digit is first tried as one of these. A blank at the end would have to go.
    if !line.first()?.is_ascii_digit() || line.last()?.is_ascii_whitespace() {
        return None;
    }
    let (remote, rest) = word(line)?;
    let (_, rest) = word(rest)?;
    let (user, rest) = word(rest)?;
    if !is_host(remote) {
        return None;
    }
    let time = time(rest)?;
    let rest = rest.get(time.len() + 2..)?;

    let mut quotes = Quotes::of(log, index);
    let (request, rest) = quotes.quoted(line, rest)??;
    let (status, rest) = status(rest)?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (bytes, rest) = rest.split_at(if digits == 0 && rest.first() == Some(&b'-') { 1 } else { digits });
    if bytes.is_empty() || !matches!(rest.first(), None | Some(b' ')) {
        return None;
    }
    let mut rest = rest;
    let mut next = || -> Option<&'a [u8]> {
        let Some((inside, after)) = quotes.quoted(line, rest)? else { return Some(&[]) };
        rest = after;
        Some(inside)
    };
    let (referer, agent, forwarded) = (next()?, next()?, next()?);
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

/// The quotes not passed yet.
struct Quotes<'q> {
    marks: &'q [Marks],
    /// Where the text begins and ends in its line.
    start: usize,
    end: usize,
    /// Number of a word of marks, and what of it was not passed.
    word: usize,
    left: u64,
}

impl<'q> Quotes<'q> {
    fn of(log: &Text<'_>, index: &'q Index) -> Quotes<'q> {
        let (marks, start, end) = (index.words(), log.start(), log.end());
        let word = start / 64;
        let left = marks.get(word).map_or(0, |marks| marks.of(Depth::Inner)) & u64::MAX << (start % 64);
        Quotes { marks, start, end, word, left }
    }

    /// ` \"…\"` off the front of `rest`, the end of `line`: what is between, and what follows. `Some(None)`: no
    /// quote stands there. `None`: a quote stands elsewhere first, or has no other.
    #[inline]
    fn quoted<'a>(&mut self, line: &'a [u8], rest: &'a [u8]) -> Option<Option<(&'a [u8], &'a [u8])>> {
        if !rest.starts_with(b" \\\"") {
            return Some(None);
        }
        let inside = line.len() - rest.len() + 3;
        if self.next()? + 1 != inside {
            return None;
        }
        let closing = self.next()?;
        Some(Some((line.get(inside..closing - 1)?, line.get(closing + 1..)?)))
    }

    /// Where in the text the next quote stands.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.left == 0 {
            self.word += 1;
            self.left = self.marks.get(self.word)?.of(Depth::Inner);
        }
        let at = self.word * 64 + self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        (at < self.end).then(|| at - self.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::access;

    /// What is read of `text` within a line, and what [`access::parse`] reads of it.
    fn check(text: &str) -> bool {
        let line = serde_json::json!({ "log": text }).to_string();
        let start = line.find(":\"").expect("a string") + 2;
        let raw = line.get(start..line.len() - 2).expect("its content").as_bytes();
        let mut index = Index::default();
        index.build_string(line.as_bytes(), start..start + raw.len());
        if !index.escapes_only_quotes() {
            return false;
        }
        let read = parse(&Text::escaped(raw, start, 1), &index);
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
    }
}
