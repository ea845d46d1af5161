//! A whole OTLP/JSON request in one line: `{"resourceLogs":[{"resource":{…},"scopeLogs":[{"logRecords":[…]}]}]}`.
//!
//! One line is one record, so the worst of the log records stands for all of them: its fields become the body's,
//! and the attributes, its own and its resource's, fields of their own names. Of equally bad ones it is the first.
//! Every nesting is walked once; what is no request of that shape stays as it is.

use super::index::Index;
use super::json::{Field, Span, Value, Walker};
use super::level::Level;
use super::number_of;
use super::steps;
use super::text::Text;

/// The key by which such a line is known.
pub(super) const REQUEST: &[u8] = b"resourceLogs";

/// Under it stands, last of all, what the resource says is its `service.name`.
pub(super) const SERVICE: &[u8] = b"resource.service.name";

/// Attributes of one kind that become fields: far more than an SDK sets.
const ATTRIBUTES_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Line<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

/// Adds to `inner` the attributes of the worst log record, those of its resource and the record's own fields; answers
/// where the last begin.
#[cold]
pub(super) fn unfold<'a>(
    bytes: &'a [u8],
    index: &'a Index,
    inner: &mut Vec<Field<'a>>,
    own: &[Field<'a>],
) -> Option<usize> {
    let line = Line { bytes, index };
    let requests = inner.iter().chain(own).rev().find(|field| field.key.raw() == REQUEST)?.value;
    let mut worst: Option<(Option<Level>, Span<'a>, Option<Value<'a>>)> = None;
    line.elements(requests, |of_resource| {
        let (mut resource, mut scopes) = (None, None);
        line.fields(of_resource, |field| match field.key.raw() {
            b"resource" => resource = Some(field.value),
            b"scopeLogs" => scopes = Some(field.value),
            _ => {}
        });
        line.elements(scopes.unwrap_or(Value::Null), |of_scope| {
            let mut records = None;
            line.fields(of_scope, |field| {
                if field.key.raw() == b"logRecords" {
                    records = Some(field.value);
                }
            });
            line.elements(records.unwrap_or(Value::Null), |record| {
                let Value::Object(span) = record else { return };
                let level = line.level(record);
                if worst.is_none_or(|(held, _, _)| held < level) {
                    worst = Some((level, span, resource));
                }
            });
        });
    });
    let (_, record, resource) = worst?;
    line.fields(Value::Object(record), |field| line.attributes(field, inner));
    let of_resource = inner.len();
    line.fields(resource.unwrap_or(Value::Null), |field| line.attributes(field, inner));
    let service = inner.iter().skip(of_resource).rev().find(|field| field.key.is("service.name"));
    let service = service.map_or(Value::Null, |field| field.value);
    let from = inner.len();
    line.fields(Value::Object(record), |field| inner.push(field));
    // Also where there is none: of equal keys the last one counts, so no log record can stand in for it.
    inner.push(Field { key: Text::plain(SERVICE), value: service });
    Some(from)
}

/// The level of a `severityNumber`: a number, also as a text, or the name that protobuf has for it.
pub(super) fn severity(value: &Value<'_>) -> Option<Level> {
    match value {
        Value::Number(raw) => number_of(raw).and_then(Level::from_otlp),
        Value::Text(text) => match text.raw().strip_prefix(b"SEVERITY_NUMBER_") {
            Some(name) => Level::from_name(name),
            None => number_of(text.raw()).and_then(Level::from_otlp),
        },
        _ => None,
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn walker(self, span: &Span<'a>) -> Walker<'a> {
        Walker::within(self.bytes, self.index, span.end(), span.depth)
    }

    /// Of an object; of anything else there are none.
    fn fields(self, value: Value<'a>, each: impl FnMut(Field<'a>)) {
        if let Value::Object(span) = value {
            // Its brackets are known to match; a fault further in hides what follows it.
            let _read = self.walker(&span).object(span.start(), each);
        }
    }

    fn elements(self, value: Value<'a>, mut each: impl FnMut(Value<'a>)) {
        let Value::Array(span) = value else { return };
        let walker = self.walker(&span);
        let mut at = walker.blanks(span.start() + 1);
        while let Ok((element, after)) = walker.value(at) {
            steps::add(1);
            each(element);
            at = walker.blanks(after);
            if self.bytes.get(at) != Some(&b',') {
                return;
            }
            at = walker.blanks(at + 1);
        }
    }

    fn level(self, record: Value<'a>) -> Option<Level> {
        let (mut number, mut name) = (None, None);
        self.fields(record, |field| match (field.key.raw(), field.value) {
            (b"severityNumber", value) => number = severity(&value),
            (b"severityText", Value::Text(text)) => name = Level::from_name(&text.decoded()),
            _ => {}
        });
        name.or(number)
    }

    /// `[{"key":"service.name","value":{"stringValue":"shop"}}]` as fields, if `field` holds attributes.
    fn attributes(self, field: Field<'a>, into: &mut Vec<Field<'a>>) {
        if field.key.raw() != b"attributes" {
            return;
        }
        let most = into.len() + ATTRIBUTES_MAX;
        self.elements(field.value, |attribute| {
            let (mut key, mut value) = (None, None);
            self.fields(attribute, |field| match (field.key.raw(), field.value) {
                (b"key", Value::Text(text)) => key = Some(text),
                (b"value", Value::Object(_)) => self.fields(field.value, |kind| value = Some(kind.value)),
                _ => {}
            });
            if let (Some(key), Some(value)) = (key, value)
                && into.len() < most
            {
                let plain = memchr::memchr(b'\\', key.raw()).is_none();
                into.push(Field { key: if plain { Text::plain(key.raw()) } else { key }, value });
            }
        });
    }
}
