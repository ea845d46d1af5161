//! The stripped form: what a person or a model sees of a line of several kilobytes.
//!
//! A few hundred bytes of JSON with known keys only: where it came from, how bad, what it says, the request
//! and the exception. No other field of the application is shown, so a business payload stays at home; what
//! is shown has still to pass redaction.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::json::Value;
use super::naming::Naming;
use super::{Body, Delivery, Derived, Piece, Reader, Record};
use crate::redact::Redacted;

/// Longest message shown, in bytes; the rest is said with an ellipsis.
const MESSAGE_MAX: usize = 400;
/// Longest other value shown.
const VALUE_MAX: usize = 120;

/// Body fields that say what happened without saying to whom, by the names loggers give them.
const SHOWN: [(&str, &[&str]); 8] = [
    ("status", &["status", "statusCode", "status_code", "http.status_code", "http.response.status_code", "code"]),
    ("request", &["request"]),
    ("method", &["method", "req.method", "http.method", "http.request.method"]),
    ("path", &["path", "req.url", "http.path", "url.path"]),
    ("duration_ms", &["duration_ms", "responseTime", "latency_ms", "elapsed_ms"]),
    ("logger", &["logger", "logger_name", "target", "SourceContext"]),
    ("exception", &["exception.type", "err.type", "error.type", "exc_type", "exception_class", "@x"]),
    ("error", &["error", "err.message", "error.message", "exception.message", "exc_info", "exception"]),
];

/// Most of a line that is kept for showing it.
const LINE_MAX: usize = 8 * 1024;

/// A record kept until it is known whether anybody is to see it: copying a line is cheap, stripping and
/// redacting it is not, and of a thousand matches one is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    line: Box<[u8]>,
    cut: bool,
    tag: Option<Box<[u8]>>,
    /// Of a trace of which only the head is kept: what the whole of it said. Not stored: it is wanted at once.
    #[serde(skip)]
    places: Vec<String>,
}

impl Sample {
    pub fn of(record: &Record<'_>) -> Sample {
        Sample::head(record, LINE_MAX)
    }

    /// Of its first `most` bytes only: what stands further on is not shown.
    pub fn head(record: &Record<'_>, most: usize) -> Sample {
        let raw = record.raw();
        let head = raw.get(..most).unwrap_or(raw);
        let is_cut = head.len() < raw.len();
        let places = if is_cut { places(record) } else { Vec::new() };
        Sample { line: head.into(), cut: record.is_cut() || is_cut, tag: record.tag().map(Into::into), places }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.line.len()
    }

    /// Reads it again, as it came. `naming`: what the operator says about names, where that matters.
    pub fn read(&self, naming: Option<&Naming>, mut each: impl FnMut(&Record<'_>)) {
        let delivery = Delivery { tag: self.tag.as_deref(), naming, ..Delivery::default() };
        Reader::default().read(&self.line, self.cut, delivery, |piece| {
            if let Piece::Record(record) = piece {
                each(record);
            }
        });
    }

    /// The same with all that is secret in it replaced: what may be written down.
    pub fn to_store(&self) -> Sample {
        let line = Redacted::from_bytes(&self.line);
        Sample { line: line.as_str().as_bytes().into(), cut: self.cut, tag: self.tag.clone(), places: Vec::new() }
    }

    /// The frames of its trace that lead to the source, as [`Exception::places`](super::trace::exception::Exception)
    /// has them.
    pub fn places(&self) -> Vec<String> {
        let mut found = self.places.clone();
        if found.is_empty() {
            self.read(None, |record| found = places(record));
        }
        found
    }

    /// What a person may see of it.
    pub fn redacted(&self) -> Redacted {
        let mut shown = Redacted::default();
        self.read(None, |record| shown = Redacted::new(&stripped(record)));
        shown
    }
}

fn places(record: &Record<'_>) -> Vec<String> {
    let exception = if record.may_hold_trace(record.level()) { record.exception() } else { None };
    exception.map(|exception| exception.places.clone()).unwrap_or_default()
}

/// The stripped form of `record`, as one line of JSON. Its values are redacted, one by one; what a name tells of its
/// value is not seen yet.
fn stripped(record: &Record<'_>) -> String {
    let mut out = Map::new();
    out.insert("level".into(), record.level().as_str().into());
    // Of an access line everything worth seeing is in its fields, and the rest (who asked, from where, with
    // what) is nobody's business in a channel.
    if !matches!(record.body, Body::Access(..)) {
        // Of a trace the line that names the exception comes first, then the one that the application logged.
        match record.exception().map(|exception| exception.headline()).filter(|line| !line.is_empty()) {
            Some(headline) if matches!(record.body, Body::Text(text) if text.contains(&b'\n')) => {
                let message = record.message().map(|value| first_line(&value)).unwrap_or_default();
                let whole = match message.contains(&headline) || headline.contains(&message) {
                    true => headline,
                    false => format!("{headline} ({message})"),
                };
                out.insert("message".into(), cut(&whole, MESSAGE_MAX).into());
            }
            _ => put(&mut out, "message", record.message(), MESSAGE_MAX),
        }
    }
    for (name, keys) in SHOWN {
        // The request line holds method and path already.
        if matches!(name, "method" | "path") && out.contains_key("request") {
            continue;
        }
        put(&mut out, name, keys.iter().find_map(|key| record.body_field(key)), VALUE_MAX);
    }
    if let Some(exception) = record.exception().filter(|exception| !exception.frames.is_empty()) {
        out.insert("frames".into(), cut(&exception.frames.join(" < "), MESSAGE_MAX).into());
    }
    for (name, derived) in [("container", Derived::Container), ("source", Derived::Source), ("host", Derived::Host)] {
        put(&mut out, name, record.derived(derived), VALUE_MAX);
    }
    Json::Object(out).to_string()
}

fn put(out: &mut Map<String, Json>, name: &str, value: Option<Value<'_>>, max: usize) {
    let shown = match value {
        Some(Value::Text(text)) => cut(&text.to_string_lossy(), max).into(),
        Some(Value::Number(raw)) => cut(&String::from_utf8_lossy(raw), max).into(),
        Some(Value::Int(n)) => Json::from(n.to_string()),
        Some(Value::Bool(b)) => b.into(),
        // A nested value is payload until a rule says otherwise.
        Some(Value::Object(_) | Value::Array(_) | Value::Null) | None => return,
    };
    out.insert(name.into(), shown);
}

fn first_line(value: &Value<'_>) -> String {
    let Value::Text(text) = value else { return String::new() };
    let text = text.to_string_lossy();
    // A traceback's own first line says nothing.
    text.lines().next().filter(|line| !line.starts_with("Traceback ")).unwrap_or_default().trim().to_owned()
}

/// The head of `text`, redacted before it is cut: half a secret is not known as one.
fn cut(text: &str, max: usize) -> String {
    let clean = Redacted::new(text);
    if clean.as_str().len() > max { clean.cut(max + "…".len()).to_string() } else { clean.to_string() }
}

#[cfg(test)]
mod tests;
