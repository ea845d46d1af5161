//! A line of docker's own file within `log`, whose text is itself a JSON object: escaped three deep, where the
//! walkers go two.
//!
//! Such a line is written anew, as it would have come through `Parser docker`, and read again. Only the text and
//! the stream are taken from it: what else an application puts there stays out of the envelope.

use super::json::Value;
use super::{Body, Record, steps};

/// The record's line with that text as its `log`; `None` where it is no such line.
#[cold]
pub(super) fn unwrapped(record: &Record<'_>) -> Option<Vec<u8>> {
    let (Body::Text(text), Some(Value::Text(log))) = (record.body, record.envelope.log) else { return None };
    if record.cut || !text.starts_with(b"{") {
        return None;
    }
    let raw = record.raw().strip_prefix(b"{")?;
    let start = log.start().checked_sub(record.start() + 1)?;
    let (before, rest) = raw.split_at_checked(start)?;
    let after = rest.get(log.raw().len()..)?;
    let mut line = Vec::with_capacity(raw.len() + 64);
    line.push(b'{');
    // In front: the record's own key of that name, if it has one, counts.
    if let Some(stream) = record.envelope.source() {
        line.extend_from_slice(b"\"stream\":\"");
        escape(&stream.decoded(), &mut line);
        line.extend_from_slice(b"\",");
    }
    line.extend_from_slice(before);
    escape(text, &mut line);
    line.extend_from_slice(after);
    Some(line)
}

/// As it stands between the quotes of a JSON string.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    steps::add(text.len());
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}
