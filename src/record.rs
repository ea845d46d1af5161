//! What one line says: where it came from, when, how bad, and the message.
//!
//! A [`Record`] is a view over the line's bytes. Reading one walks the line's own fields and, when `log`
//! holds a JSON object, that object's; everything else is located when somebody asks. Nothing is copied but
//! a text `log` that has escapes in it, into a buffer that the [`Reader`] keeps, and what a stack trace says.
//!
//! The names `cluster service container task host source level message time revision` are derived from the
//! envelope and the sender and cannot be set by what an application logs: its own fields of those names are
//! `body.X`. Every other name is looked up in the body.

pub mod access;
mod body;
pub mod colours;
mod docker;
pub mod envelope;
pub mod fields;
pub mod format;
pub mod index;
pub mod json;
pub mod kubernetes;
pub mod level;
pub mod logfmt;
mod mapped;
pub mod naming;
mod otlp;
mod reader;
mod request;
pub mod shape;
pub mod stamp;
pub(crate) mod steps;
pub mod stripped;
pub mod text;
pub mod time;
pub mod trace;
pub mod wrapped;

use std::cell::{Cell, OnceCell};

use access::Access;
use body::{docker_line, object_in, text_body};
use envelope::Envelope;
use index::{Depth, Index};
use json::{Field, Malformed, Span, Value, Walker};
use level::Level;
use naming::Naming;
pub use reader::Reader;
use shape::ShapeId;
use text::Text;
use trace::exception::Exception;

/// Names that rules and groups may use and that no log line can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Derived {
    Cluster,
    Service,
    Container,
    Task,
    Host,
    Source,
    Level,
    Message,
    Time,
    Revision,
}

impl Derived {
    pub fn from_name(name: &str) -> Option<Derived> {
        Some(match name {
            "cluster" => Derived::Cluster,
            "service" => Derived::Service,
            "container" => Derived::Container,
            "task" => Derived::Task,
            "host" => Derived::Host,
            "source" => Derived::Source,
            "level" => Derived::Level,
            "message" => Derived::Message,
            "time" => Derived::Time,
            "revision" => Derived::Revision,
            _ => return None,
        })
    }
}

/// What is the same for every line of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery<'a> {
    /// The Fluent Bit tag, where a header brings it.
    pub tag: Option<&'a [u8]>,
    /// When the request arrived, unix milliseconds.
    pub arrival_ms: i64,
    /// What the operator says about names.
    pub naming: Option<&'a Naming>,
}

/// What a line turned out to hold; a line may hold several.
pub enum Piece<'r, 'a> {
    Blank,
    Record(&'r Record<'a>),
    Malformed(Malformed),
}

pub struct Record<'a> {
    line: &'a [u8],
    /// Where in the line it stands: a line may hold several.
    place: (usize, usize),
    cut: bool,
    /// Its text was in a line of docker's own file.
    of_docker: bool,
    index: &'a Index,
    delivery: Delivery<'a>,
    /// What it looks like around `log`, if its reader has seen that before.
    pub shape: Option<ShapeId>,
    pub envelope: Envelope<'a>,
    /// Fields of the line itself that are not the envelope's.
    own: Vec<Field<'a>>,
    /// Fields of the object in `log`.
    inner: Vec<Field<'a>>,
    pub body: Body<'a>,
    /// A text that has colours in it, without them.
    plain: Option<&'a [u8]>,
    known: Known<'a>,
    /// Joins, rules and triage ask for it, and the text of a line is read for it.
    level: Cell<Option<Level>>,
    /// What its trace says, if it holds one; read when first asked for.
    exception: &'a OnceCell<Option<Exception>>,
}

/// What the application said.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once a line, in place; a box would be an allocation for each")]
pub enum Body<'a> {
    /// Fields: of the object in `log`, or merged into the line by a parser filter.
    Fields,
    Access(Access<'a>, Text<'a>),
    Text(&'a [u8]),
    Empty,
}

/// The fields every record is asked for, under whatever name its logger writes them. A lower rank is a
/// surer name.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    level: Option<(u8, Value<'a>)>,
    message: Option<(u8, Value<'a>)>,
    time: Option<(u8, Value<'a>)>,
    /// One of the fields tells of a request, another one of its status under another name.
    request: bool,
    answer: bool,
    /// A whole request of OTLP's is in it.
    otlp: bool,
    /// The object that tells of the request.
    asked: Option<&'a [u8]>,
}

/// An empty vector of the same allocation for another lifetime: `collect` reuses the buffer in place.
fn recycled<'a, 'b>(mut fields: Vec<Field<'a>>) -> Vec<Field<'b>> {
    fields.clear();
    fields.into_iter().map(|_| Field { key: Text::plain(b""), value: Value::Null }).collect()
}

#[derive(Clone, Copy)]
struct Scene<'a> {
    line: &'a [u8],
    place: (usize, usize),
    index: &'a Index,
    delivery: Delivery<'a>,
    cut: bool,
    exception: &'a OnceCell<Option<Exception>>,
    shape: Option<ShapeId>,
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Of a line whose `log` is an access line, as `body`.
    fn of_access(scene: Scene<'a>, envelope: Envelope<'a>, own: Vec<Field<'a>>, body: Body<'a>) -> Self {
        let Scene { line, place, index, delivery, cut, exception, shape } = scene;
        let mut known = Known::default();
        own.iter().for_each(|field| known.take(field));
        Record {
            line,
            place,
            cut,
            of_docker: false,
            index,
            delivery,
            shape,
            envelope,
            own,
            inner: Vec::new(),
            body,
            plain: None,
            level: Cell::new(None),
            known,
            exception,
        }
    }

    fn new(
        scene: Scene<'a>,
        mut envelope: Envelope<'a>,
        own: Vec<Field<'a>>,
        mut inner: Vec<Field<'a>>,
        buffers: (&'a mut Vec<u8>, &'a mut Vec<u8>),
    ) -> Self {
        let Scene { line, place, index, delivery, cut, exception, shape } = scene;
        let mut known = Known::default();
        let mut of_docker = false;
        let mut inner_object = |at: usize, end: usize, depth: Depth| {
            let walker = Walker::within(line, index, end, depth).cut(cut && end == line.len());
            let read = walker.object(at, |field| inner.push(field));
            // Words after the object, or a second one: then it is a text that begins like JSON.
            read.is_ok_and(|after| walker.blanks(after) == end) || {
                inner.clear();
                false
            }
        };
        let said = match envelope.log {
            Some(Value::Text(log)) => match wrapped::containerd(log.raw()) {
                Some(prefix) => {
                    if let Some(stream) = prefix.stream {
                        envelope.take_stream(Text::plain(stream));
                    }
                    Some(Value::Text(log.after(prefix.length)))
                }
                None => envelope.log,
            },
            // A parser that merges under this key, and keeps no `log`.
            None => own.iter().rev().find(|f| f.key.raw() == b"log_processed").map(|f| f.value),
            other => other,
        };
        let (body, plain) = match said {
            Some(Value::Text(log)) if object_in(&log).is_some_and(|at| inner_object(at, log.end(), Depth::Inner)) => {
                // A line of docker's own file, which no parser took apart.
                match docker_line(&inner) {
                    Some((log, stream)) => {
                        of_docker = true;
                        envelope.take_stream(stream);
                        inner.clear();
                        text_body(log, buffers)
                    }
                    None => (Body::Fields, None),
                }
            }
            Some(Value::Text(log)) => text_body(log, buffers),
            Some(Value::Object(span)) if inner_object(span.start(), span.end(), span.depth) => (Body::Fields, None),
            Some(Value::Number(raw) | Value::Array(Span { raw, .. }) | Value::Object(Span { raw, .. })) => {
                (Body::Text(raw), None)
            }
            Some(Value::Bool(true)) => (Body::Text(b"true"), None),
            Some(Value::Bool(false)) => (Body::Text(b"false"), None),
            _ if own.is_empty() => (Body::Empty, None),
            _ => (Body::Fields, None),
        };
        for field in inner.iter().chain(&own) {
            known.take(field);
        }
        if known.otlp
            && matches!(body, Body::Fields)
            && let Some(from) = otlp::unfold(line, index, &mut inner, &own)
        {
            known = Known::default();
            for field in inner.iter().skip(from) {
                known.take(field);
            }
        }
        Record {
            line,
            place,
            cut,
            of_docker,
            index,
            delivery,
            shape,
            envelope,
            own,
            inner,
            body,
            plain,
            known,
            level: Cell::new(None),
            exception,
        }
    }

    /// The record itself, as it came.
    pub fn raw(&self) -> &'a [u8] {
        self.line.get(self.place.0..self.place.1).unwrap_or_default()
    }

    /// Where it begins in what the [`Reader`] was given.
    pub fn start(&self) -> usize {
        self.place.0
    }

    /// Only the head of it is here.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    pub fn tag(&self) -> Option<&'a [u8]> {
        self.delivery.tag
    }

    /// The value under `name`: a derived one, or the body's.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match Derived::from_name(name) {
            Some(derived) => self.derived(derived),
            None => self.body_field(name.strip_prefix("body.").unwrap_or(name)),
        }
    }

    pub fn derived(&self, name: Derived) -> Option<Value<'a>> {
        let text = match name {
            Derived::Cluster => self.cluster(),
            Derived::Service => Some(self.service()),
            Derived::Container => self.envelope.container(self.delivery.tag),
            Derived::Task => self.envelope.task(),
            Derived::Host => self.envelope.host(),
            Derived::Source => self.envelope.source(),
            Derived::Revision => self.envelope.revision(),
            Derived::Level => Some(Text::plain(self.level().as_str().as_bytes())),
            Derived::Message => return self.message(),
            Derived::Time => return u64::try_from(self.time_ms() / 1000).ok().map(Value::Int),
        };
        text.map(Value::Text)
    }

    /// What logs belong to: what the operator says names it, the task family, the application that Kubernetes
    /// knows, the container, the resource of an OTLP request, else what the tag names; all that under the
    /// operator's mapping of names.
    pub fn service(&self) -> Text<'a> {
        self.mapping().map_or_else(|| self.service_unmapped(), |mapping| Text::plain(mapping.service.as_bytes()))
    }

    fn service_unmapped(&self) -> Text<'a> {
        let tag = self.delivery.tag.filter(|tag| !tag.is_empty());
        self.delivery
            .naming
            .and_then(|naming| self.named(&naming.service))
            .or_else(|| self.envelope.family())
            .or_else(|| self.envelope.kubernetes_service(tag))
            .or_else(|| self.envelope.container(tag))
            .or_else(|| self.resource_service())
            .unwrap_or_else(|| Text::plain(tag.unwrap_or(b"unknown")))
    }

    pub fn cluster(&self) -> Option<Text<'a>> {
        let mapped = self.mapping().and_then(|mapping| mapping.cluster.as_ref());
        mapped.map(|name| Text::plain(name.as_bytes())).or_else(|| self.cluster_unmapped())
    }

    fn cluster_unmapped(&self) -> Option<Text<'a>> {
        self.delivery.naming.and_then(|naming| self.named(&naming.cluster)).or_else(|| self.envelope.cluster())
    }

    /// How bad the line says it is; `info` where nothing says so.
    pub fn level(&self) -> Level {
        self.level.get().unwrap_or_else(|| {
            let level = self.stated_level().unwrap_or(Level::Info);
            self.level.set(Some(level));
            level
        })
    }

    /// The level, if something says it.
    pub fn stated_level(&self) -> Option<Level> {
        let named = match self.known.level {
            Some((OTLP_SCALE, value)) => otlp::severity(&value),
            Some((_, Value::Text(text))) => {
                let name = text.decoded();
                Level::from_name(&name).or_else(|| Level::from_number(number_of(&name)?))
            }
            Some((_, Value::Number(raw))) => number_of(raw).and_then(Level::from_number),
            _ => None,
        };
        named.or_else(|| match &self.body {
            Body::Access(access, _) => Some(Level::of_status(access.status)),
            Body::Text(text) => Level::of_text(text).or_else(|| self.is_trace(text).then_some(Level::Error)),
            Body::Fields => match self.body_field("status").filter(|_| self.known.request)? {
                Value::Number(raw) => Some(Level::of_status(number_of(raw)? as u16)),
                Value::Text(text) => Some(Level::of_status(number_of(text.raw())? as u16)),
                _ => None,
            },
            Body::Empty => None,
        })
    }

    /// What a person would read; of an access line or a text, the whole of it.
    pub fn message(&self) -> Option<Value<'a>> {
        match &self.body {
            Body::Access(_, text) => Some(Value::Text(*text)),
            Body::Text(text) => Some(Value::Text(Text::plain(self.plain.unwrap_or(text)))),
            Body::Fields | Body::Empty => self.known.message.map(|(_, value)| value).or_else(|| {
                // tracing-subscriber's JSON keeps it one level down, others what they caught.
                NESTED_MESSAGES.iter().find_map(|path| self.body_field(path)).filter(|v| matches!(v, Value::Text(_)))
            }),
        }
    }

    /// The record's own time, unix milliseconds: the envelope's `date`; without one, a time in the body;
    /// when there is none, or it cannot be read, the arrival.
    pub fn time_ms(&self) -> i64 {
        self.stated_time_ms().unwrap_or(self.delivery.arrival_ms)
    }

    /// The same, if something says it.
    pub fn stated_time_ms(&self) -> Option<i64> {
        match self.envelope.date {
            Some(date) => time_of(&date),
            None => self.body_time(),
        }
    }

    /// What the body says of it, whatever the envelope does.
    pub fn body_time(&self) -> Option<i64> {
        match &self.body {
            Body::Access(access, _) => stamp::of_access(access.time),
            // Without one of its own, docker's: its file has `time` beside `log`.
            Body::Text(text) => stamp::of_text(self.plain.unwrap_or(text)).or_else(|| time_of(&self.known.time?.1)),
            // MongoDB's stands one level down.
            Body::Fields | Body::Empty => match self.known.time {
                Some((_, value)) => time_of(&value),
                None => time_of(&self.body_field("t.$date")?),
            },
        }
    }

    /// No sign that the service lives: a load balancer's or a probe's question, FireLens asking itself, or a line
    /// of a service that the operator calls our own.
    /// `service`: its own, which the caller has read already.
    pub fn is_own(&self, service: Text<'a>) -> bool {
        self.is_health_check() || self.is_of_own(service)
    }

    /// Of a service that the operator calls our own.
    pub fn is_of_own(&self, service: Text<'a>) -> bool {
        self.delivery.naming.is_some_and(|naming| naming.own.iter().any(|own| service.is(own)))
    }

    /// A load balancer or a probe asking whether the service lives, or FireLens asking whether the router does.
    pub fn is_health_check(&self) -> bool {
        match &self.body {
            Body::Access(access, _) => access.is_health_check(),
            // Walking into the request for its agent costs more than looking whether a prober's name is in it.
            Body::Fields if self.known.request && self.known.asked.is_none_or(request::names_probe) => {
                matches!(self.body_field("agent"), Some(Value::Text(agent)) if access::is_probe(&agent.decoded()))
            }
            Body::Fields if self.envelope.is_of_task_alone() => match self.own.as_slice() {
                [only] => only.key.is("health") && matches!(only.value, Value::Text(text) if text.is("check")),
                _ => false,
            },
            _ => self.delivery.tag == Some(b"firelens-healthcheck"),
        }
    }
}

impl<'a> Known<'a> {
    fn take(&mut self, field: &Field<'a>) {
        let (slot, rank) = match field.key.raw() {
            b"level" => (&mut self.level, 0),
            b"severity" | b"lvl" | b"levelname" | b"@l" | b"log.level" | b"loglevel" | b"LogLevel" | b"Level"
            | b"level_name" | b"severityText" | b"SeverityText" | b"severity_text" => (&mut self.level, 1),
            b"level_value" | b"PRIORITY" => (&mut self.level, 2),
            b"severity_number" | b"severityNumber" | b"SeverityNumber" => (&mut self.level, OTLP_SCALE),
            // MongoDB's, one letter.
            b"s" if matches!(field.value, Value::Text(text) if text.raw().len() <= 2) => (&mut self.level, 3),
            b"message" => (&mut self.message, 0),
            b"msg" | b"@m" | b"MESSAGE" | b"Message" | b"short_message" => (&mut self.message, 1),
            b"event" | b"@mt" | b"text" => (&mut self.message, 2),
            b"log" | b"body" | b"error" => (&mut self.message, 3),
            b"@timestamp" => (&mut self.time, 0),
            b"timestamp" | b"@t" | b"datetime" => (&mut self.time, 1),
            b"time" | b"ts" | b"timeUnixNano" | b"EdgeStartTimestamp" | b"__REALTIME_TIMESTAMP" => (&mut self.time, 2),
            otlp::REQUEST => {
                self.otlp = matches!(field.value, Value::Array(_));
                return;
            }
            // What a line about a request has, and what one that knows its answer has.
            b"method"
            | b"http.method"
            | b"http.request.method"
            | b"RequestMethod"
            | b"request_method"
            | b"verb"
            | b"ClientRequestMethod" => {
                self.request = true;
                return;
            }
            b"req" | b"request" | b"httpRequest" | b"http" => {
                self.request = true;
                self.answer |= matches!(field.key.raw(), b"httpRequest" | b"http");
                if let Value::Object(span) = field.value {
                    self.asked = Some(span.raw);
                }
                return;
            }
            b"res"
            | b"statusCode"
            | b"status_code"
            | b"http.status_code"
            | b"http.response.status_code"
            | b"response_code"
            | b"DownstreamStatus"
            | b"StatusCode"
            | b"EdgeResponseStatus" => {
                self.answer = true;
                return;
            }
            _ => return,
        };
        // What few loggers call so is an object with others: `body` OTLP's, `error` and `log` Elastic's.
        let speaks = match field.value {
            Value::Null | Value::Bool(_) => false,
            Value::Object(_) | Value::Array(_) => rank < 3,
            _ => true,
        };
        if speaks && slot.is_none_or(|(held, _)| rank < held) {
            *slot = Some((rank, field.value));
        }
    }
}

/// Rank of a level that is a number of OpenTelemetry's, which no other logger counts like.
const OTLP_SCALE: u8 = 4;

/// Where a message stands when none stands at the top.
const NESTED_MESSAGES: [&str; 5] =
    ["fields.message", "body.stringValue", "error.message", "err.message", "exception.message"];

/// A number as rules compare it; `None` for anything that is not one. Text counts when all of it is one.
pub fn number_of(text: &[u8]) -> Option<f64> {
    let first = *text.first()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) || text.len() > 64 {
        return None;
    }
    // Mostly a status or a count: so many digits are exact.
    if text.len() <= 15 && text.iter().all(u8::is_ascii_digit) {
        return Some(text.iter().fold(0u64, |n, b| n * 10 + u64::from(b - b'0')) as f64);
    }
    std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|n| n.is_finite())
}

fn time_of(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Number(raw) => time::from_decimal(raw).or_else(|| time::from_number(number_of(raw)?)),
        Value::Text(text) => time::from_text(&text.decoded()),
        _ => None,
    }
}

#[cfg(test)]
mod linear;
#[cfg(test)]
mod tests;
