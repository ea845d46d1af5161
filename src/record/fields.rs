//! What a name means in a record: the envelope's, the body's, a request's under its loggers' names, and what a
//! stack trace says.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::access::{self, Access};
use super::json::{Field, Span, Value, Walker};
use super::level::Level;
use super::text::Text;
use super::trace::exception::Exception;
use super::{Body, Record, envelope, logfmt, otlp, request, steps, trace};

/// Where JSON loggers put a stack trace.
const STACKS: [&str; 14] = [
    "stack_trace",
    "stack",
    "exc_info",
    "exception",
    "err.stack",
    "error.stack_trace",
    "error.stack",
    "@x",
    "stacktrace",
    "exception.stacktrace",
    "exc_text",
    "traceback",
    "errorVerbose",
    "backtrace",
];

/// The name of a body's field, with what can be known of it before there is a record.
#[derive(Clone, Debug)]
pub struct Name {
    path: String,
    /// Something around the body may have this name.
    is_around: bool,
    part: Option<Part>,
}

/// What an access line says under a name.
type Part = for<'a> fn(&Access<'a>) -> Option<Value<'a>>;

impl Name {
    /// It is what an access line says as its status.
    pub fn is_status(&self) -> bool {
        self.path == "status"
    }

    pub fn of(path: &str) -> Name {
        Name { path: path.to_owned(), is_around: is_around(path), part: access_part(path) }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.path == other.path
    }
}

impl<'a> Record<'a> {
    /// The first of the operator's paths that leads to a text or a number.
    pub(super) fn named(&self, paths: &[String]) -> Option<Text<'a>> {
        paths.iter().find_map(|path| {
            let value = match path.strip_prefix("body.") {
                Some(path) => self.lookup(&self.inner, path).or_else(|| self.lookup(&self.own, path)),
                None => self.around(path).or_else(|| self.lookup(&self.own, path)),
            };
            match value? {
                Value::Text(text) if !text.raw().is_empty() => Some(text),
                Value::Number(raw) => Some(Text::plain(raw)),
                _ => None,
            }
        })
    }

    /// A key that only an envelope carries, and paths into the Kubernetes filter's map.
    fn around(&self, path: &str) -> Option<Value<'a>> {
        if let Some(value) = self.envelope.raw(path) {
            return Some(value);
        }
        let span = self.envelope.kubernetes()?;
        self.lookup_in(&span, path.strip_prefix("kubernetes.")?)
    }

    /// A field of the body; the key as written first, then as a path into nested objects. The keys that
    /// only an envelope carries come from there, so that no log line can stand in for them.
    pub fn body_field(&self, path: &str) -> Option<Value<'a>> {
        self.body_part(path, true, access_part(path))
    }

    /// The same for a name that was looked at before.
    pub fn body_named(&self, name: &Name) -> Option<Value<'a>> {
        self.body_part(&name.path, name.is_around, name.part)
    }

    fn body_part(&self, path: &str, is_around: bool, part: Option<Part>) -> Option<Value<'a>> {
        if is_around && let Some(value) = self.around(path) {
            return Some(value);
        }
        match &self.body {
            Body::Access(access, _) => {
                if let Some(value) = part.and_then(|part| part(access)) {
                    return Some(value);
                }
            }
            Body::Text(text) => {
                if let Some(value) = logfmt::get(text, path) {
                    return Some(Value::Text(value));
                }
            }
            Body::Fields | Body::Empty => {}
        }
        let found = self.body_value(path);
        match path {
            "exception.type" | "exception.message" | "exception.frame" => found.or_else(|| {
                let said = self.exception()?.field(path)?;
                Some(Value::Text(Text::plain(said.as_bytes())))
            }),
            _ if found.is_none() && self.known.request => self.of_request(path),
            _ => found,
        }
    }

    /// What a line about a request says under another name.
    fn of_request(&self, name: &str) -> Option<Value<'a>> {
        let skip = name == "status" && !self.known.answer;
        let mut aliases = if skip { [].iter() } else { request::aliases(name).iter() };
        let found = aliases.find_map(|path| {
            let found = self.body_value(path)?;
            matches!(found, Value::Text(_) | Value::Number(_)).then_some(found)
        });
        if name == "status" { found.or_else(|| self.parsed_status()) } else { found }
    }

    fn body_value(&self, path: &str) -> Option<Value<'a>> {
        self.lookup(&self.inner, path).or_else(|| self.lookup(&self.own, path))
    }

    /// What the stack trace says that its text is, or that stands in one of its fields.
    pub fn exception(&self) -> Option<&'a Exception> {
        let cell: &'a OnceCell<Option<Exception>> = self.exception;
        let text = || match &self.body {
            Body::Text(text) => Some(Cow::Borrowed(*text)),
            Body::Fields => STACKS.iter().find_map(|path| self.stack(self.body_value(path))).or_else(|| {
                let (_, message) = self.known.message?;
                self.stack(Some(message))
            }),
            Body::Access(..) | Body::Empty => None,
        };
        cell.get_or_init(|| Exception::of(&text()?)).as_ref()
    }

    /// A field's text of several lines.
    fn stack(&self, value: Option<Value<'a>>) -> Option<Cow<'a, [u8]>> {
        let Some(Value::Text(text)) = value else { return None };
        let text = text.decoded();
        memchr::memchr(b'\n', &text).is_some().then_some(text)
    }

    /// Whether it may hold a trace: cheap, and right where it says no. Of fields only those of a record that is
    /// at least a warning are looked at.
    pub fn may_hold_trace(&self, level: Level) -> bool {
        match &self.body {
            Body::Text(text) => memchr::memchr(b'\n', text).is_some(),
            Body::Fields => level >= Level::Warn,
            Body::Access(..) | Body::Empty => false,
        }
    }

    /// It has a request's fields: the line of a server that logs JSON.
    pub fn is_request(&self) -> bool {
        matches!(self.body, Body::Fields) && self.known.request
    }

    /// The status of an access line, where nothing but it says how bad the line is: then it is what rules find under
    /// `status`, and of it alone they find what stands under `level`.
    pub fn plain_status(&self) -> Option<u16> {
        match &self.body {
            Body::Access(access, _) if access.status != 0 && self.known.level.is_none() => Some(access.status),
            _ => None,
        }
    }

    /// Names of the body's own fields, at most so many, in the order written.
    pub fn field_names(&self, most: usize) -> Vec<String> {
        let fields = self.inner.iter().chain(&self.own);
        fields.take(most).map(|field| field.key.to_string_lossy().into_owned()).collect()
    }

    /// A piece of something whose beginning is elsewhere, most likely in an earlier request: later parts of a
    /// long line, frames without their exception. Or what a log says of itself, at its head. It is counted like any
    /// record, and says nothing new.
    pub fn is_continuation(&self) -> bool {
        self.envelope.partial_ordinal().is_some_and(|n| n > 1)
            || matches!(&self.body, Body::Text(text) if access::w3c::is_directive(text)
                || trace::opening(text).is_some_and(|opening| opening.headless))
    }

    /// A text of several lines that is a trace with its head.
    pub(super) fn is_trace(&self, text: &[u8]) -> bool {
        memchr::memchr(b'\n', text).is_some()
            && !self.is_continuation()
            && self.exception().is_some_and(|exception| !exception.frames.is_empty())
    }

    /// The status of an access line that a parser filter took apart: it calls it `code`, beside method and path.
    fn parsed_status(&self) -> Option<Value<'a>> {
        let of = |name: &str| self.own.iter().rev().find(|f| f.key.is(name)).map(|f| f.value);
        let (code, _, _) = (of("code")?, of("method")?, of("path")?);
        let digits = match code {
            Value::Number(raw) => raw,
            Value::Text(text) => text.raw(),
            _ => return None,
        };
        (digits.len() == 3 && digits.iter().all(u8::is_ascii_digit)).then_some(code)
    }

    /// What the sender of a whole OTLP request calls itself, where the request is the record and not in its `log`.
    pub(super) fn resource_service(&self) -> Option<Text<'a>> {
        let said = self.inner.last().filter(|f| f.key.raw() == otlp::SERVICE)?.value;
        let is_record = self.own.iter().any(|f| f.key.raw() == otlp::REQUEST);
        match said {
            Value::Text(text) if is_record && !text.raw().is_empty() => Some(text),
            _ => None,
        }
    }

    fn lookup(&self, fields: &[Field<'a>], path: &str) -> Option<Value<'a>> {
        steps::add(fields.len());
        // Of equal keys the last one counts, as every JSON reader that our users know has it.
        if let Some(field) = fields.iter().rev().find(|f| f.key.is(path)) {
            return Some(field.value);
        }
        let (head, rest) = path.split_once('.')?;
        let Value::Object(span) = fields.iter().rev().find(|f| f.key.is(head))?.value else {
            return None;
        };
        self.lookup_in(&span, rest)
    }

    fn lookup_in(&self, span: &Span<'a>, path: &str) -> Option<Value<'a>> {
        let mut nested = Vec::new();
        let walker = Walker::within(self.line, self.index, span.end(), span.depth);
        walker.object(span.start(), |field| nested.push(field)).ok()?;
        self.lookup(&nested, path)
    }
}

/// Whether [`Record::around`] may answer to this name.
fn is_around(path: &str) -> bool {
    envelope::NAMES.contains(&path) || path.starts_with("kubernetes.")
}

/// What of an access line has this name.
fn access_part(name: &str) -> Option<Part> {
    Some(match name {
        // Of a request that nobody answered there is none.
        "status" => |access| (access.status != 0).then_some(Value::Int(u64::from(access.status))),
        "duration_ms" => |access| access.duration_us.map(|us| Value::Int(us / 1000)),
        "method" => |access| text(access.method),
        "path" => |access| text(access.path),
        "protocol" => |access| text(access.protocol),
        "request" => |access| text(access.request),
        "bytes" => |access| text(access.bytes).filter(|_| access.bytes != b"-"),
        "remote" => |access| text(access.remote),
        "user" => |access| text(access.user),
        "referer" => |access| text(access.referer),
        "agent" => |access| text(access.agent),
        "forwarded" => |access| text(access.forwarded),
        "authority" => |access| text(access.host),
        _ => return None,
    })
}

fn text(bytes: &[u8]) -> Option<Value<'_>> {
    (!bytes.is_empty()).then(|| Value::Text(Text::plain(bytes)))
}
