//! What a `log` turns out to hold: an object, behind a header or in docker's own form, an access line, a text.

use super::json::{Field, Value};
use super::text::Text;
use super::{Body, access, colours, wrapped};

/// Where in `log` a JSON object begins, if it begins like one; behind syslog's header too.
pub(super) fn object_in(log: &Text<'_>) -> Option<usize> {
    let raw = log.raw();
    match raw.trim_ascii_start().first()? {
        b'{' => Some(log.start()),
        b'<' | b'A'..=b'Z' => {
            let header = wrapped::syslog(raw)?;
            let rest = log.after(header.length);
            matches!(rest.raw().first(), Some(b'{')).then_some(rest.start())
        }
        _ => None,
    }
}

/// `{"log":"…","stream":"stderr",…}`, as docker writes its files: what was said, and where.
pub(super) fn docker_line<'a>(fields: &[Field<'a>]) -> Option<(Text<'a>, Text<'a>)> {
    let of = |name: &str| match fields.iter().find(|f| f.key.is(name))?.value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let (log, stream) = (of("log")?, of("stream")?);
    (of("time").is_some() && matches!(stream.raw(), b"stdout" | b"stderr")).then_some((log, stream))
}

/// The body of a text that is an access line and needs no copy without escapes, as most of them. That its bytes are
/// all of one string need not be known.
#[inline]
pub(super) fn escaped_access<'a>(log: Text<'a>) -> Option<Body<'a>> {
    let access = if log.escapes() == 1 { access::escaped::parse(log.raw())? } else { return None };
    Some(Body::Access(access, log.of_quotes()))
}

/// The body of a text, and the text without colours where it has some.
pub(super) fn text_body<'a>(
    log: Text<'a>,
    buffers: (&'a mut Vec<u8>, &'a mut Vec<u8>),
) -> (Body<'a>, Option<&'a [u8]>) {
    if let Some(body) = escaped_access(log) {
        return (body, None);
    }
    let text = log.decode(buffers.0).trim_ascii_end();
    let mut plain = None;
    let mut shown = text;
    if memchr::memchr(0x1b, text).is_some() {
        colours::strip(text, buffers.1);
        shown = buffers.1.as_slice();
        plain = Some(shown);
    }
    let access = access::parse(shown).or_else(|| match shown.first()? {
        b'<' | b'A'..=b'Z' => access::parse(shown.get(wrapped::syslog(shown)?.length..)?),
        _ => None,
    });
    match access {
        Some(access) => (Body::Access(access, Text::plain(shown)), plain),
        None => (Body::Text(text), plain),
    }
}
