//! What form a record's body has: told to people, per service, so that they find the odd one.
//!
//! Told by the names of the fields that a logger writes always, and by the first bytes of a text; only when
//! somebody asks. A name says whose form a body has, not which program wrote it.

use super::access::Server;
use super::json::{Field, Value};
use super::level::is_klog;
use super::{Body, Record, logfmt, wrapped};

/// One list for the names, their order and their number.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A closed set: labels what `/status` shows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])* $name,)*
        }

        impl Format {
            /// In the order of their numbers (`as usize`).
            pub const ALL: [Format; [$($text),*].len()] = [$(Format::$name),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Format::$name => $text,)*
                }
            }
        }
    };
}

formats! {
    /// A JSON object in `log` of no logger's form.
    Json = "json",
    Bunyan = "json.bunyan",
    Caddy = "json.caddy",
    Ecs = "json.ecs",
    Gcp = "json.gcp",
    Log4j2 = "json.log4j2",
    Logback = "json.logback",
    Logrus = "json.logrus",
    Mongodb = "json.mongodb",
    Otel = "json.otel",
    Pino = "json.pino",
    Python = "json.python",
    Serilog = "json.serilog",
    Slog = "json.slog",
    Structlog = "json.structlog",
    Tracing = "json.tracing",
    Winston = "json.winston",
    Zap = "json.zap",
    Zerolog = "json.zerolog",
    /// Fields at the top level, of no logger's form: merged by a parser filter, or never in a `log`.
    Merged = "merged",
    /// nginx, Apache, gunicorn: `common` and `combined`.
    Nginx = "access.nginx",
    Alb = "access.alb",
    Envoy = "access.envoy",
    Gin = "access.gin",
    Haproxy = "access.haproxy",
    Iis = "access.iis",
    Morgan = "access.morgan",
    Uvicorn = "access.uvicorn",
    Uwsgi = "access.uwsgi",
    Logfmt = "logfmt",
    Syslog = "syslog",
    /// And glog.
    Klog = "klog",
    Text = "text",
    Empty = "empty",
}

impl Format {
    pub fn of(record: &Record<'_>) -> Format {
        match &record.body {
            Body::Fields if record.envelope.log.is_some() => {
                of_fields(&record.inner).or_else(|| of_fields(&record.own)).unwrap_or(Format::Json)
            }
            Body::Fields => of_fields(&record.own).unwrap_or(Format::Merged),
            Body::Access(access, _) => match access.server {
                Server::Common => Format::Nginx,
                Server::Alb => Format::Alb,
                Server::Envoy => Format::Envoy,
                Server::Gin => Format::Gin,
                Server::Haproxy => Format::Haproxy,
                Server::Iis => Format::Iis,
                Server::Morgan => Format::Morgan,
                Server::Uvicorn => Format::Uvicorn,
                Server::Uwsgi => Format::Uwsgi,
            },
            Body::Text([]) => Format::Empty,
            Body::Text(text) if logfmt::is_logfmt(text) => Format::Logfmt,
            Body::Text(text) if is_klog(text) => Format::Klog,
            Body::Text(text) if wrapped::syslog(text).is_some() => Format::Syslog,
            Body::Text(_) => Format::Text,
            Body::Empty => Format::Empty,
        }
    }
}

/// Keys that loggers write always, as bits.
macro_rules! keys {
    ($($name:ident = $($key:literal)|+,)*) => {
        #[allow(clippy::upper_case_acronyms, non_camel_case_types)]
        enum Bit { $($name,)* }
        $(const $name: u64 = 1 << Bit::$name as u64;)*

        fn bit(key: &[u8]) -> u64 {
            match key {
                $($($key)|+ => $name,)*
                _ => 0,
            }
        }
    };
}

keys! {
    AT_TIMESTAMP = b"@timestamp",
    AT_T = b"@t",
    ECS = b"ecs.version" | b"log.level" | b"ecs",
    EVENT = b"event",
    FIELDS = b"fields",
    GCP = b"logging.googleapis.com/trace" | b"logging.googleapis.com/sourceLocation" | b"httpRequest" | b"sourceLocation",
    HOSTNAME = b"hostname",
    LEVEL = b"level",
    LEVELNAME = b"levelname" | b"asctime",
    LOG4J2 = b"instant" | b"loggerFqcn" | b"endOfBatch" | b"timeMillis",
    LOGBACK = b"@version" | b"logger_name" | b"level_value",
    LOGGER = b"logger",
    MESSAGE = b"message",
    MONGO_CTX = b"ctx",
    MONGO_S = b"s",
    MSG = b"msg",
    OTEL = b"severityNumber" | b"SeverityNumber" | b"severity_number" | b"resourceLogs",
    PID = b"pid",
    REQUEST = b"request",
    SEVERITY = b"severity",
    TARGET = b"target",
    TIME = b"time",
    TIMESTAMP = b"timestamp",
    TS = b"ts",
    V = b"v",
}

fn of_fields(fields: &[Field<'_>]) -> Option<Format> {
    let seen = fields.iter().fold(0, |seen, field| seen | bit(field.key.raw()));
    let has = |bits: u64| seen & bits == bits;
    let any = |bits: u64| seen & bits != 0;
    Some(if any(OTEL) {
        Format::Otel
    } else if has(AT_T) {
        Format::Serilog
    } else if any(ECS) {
        Format::Ecs
    } else if has(AT_TIMESTAMP) && any(LOGBACK) {
        Format::Logback
    } else if any(LOG4J2) {
        Format::Log4j2
    } else if has(MONGO_S | MONGO_CTX | MSG) {
        Format::Mongodb
    } else if has(TARGET | TIMESTAMP | LEVEL) && any(FIELDS | MESSAGE) {
        Format::Tracing
    } else if any(LEVELNAME) {
        Format::Python
    } else if has(EVENT | LEVEL) && any(TIMESTAMP) {
        Format::Structlog
    } else if has(LEVEL | TIME | PID | HOSTNAME) {
        if has(V) { Format::Bunyan } else { Format::Pino }
    } else if has(LEVEL | TS | LOGGER | REQUEST) {
        Format::Caddy
    } else if has(LEVEL | TS | MSG) {
        Format::Zap
    } else if has(LEVEL | TIME | MSG) {
        // slog writes INFO, logrus info, pino without its base a number.
        let level = fields.iter().find(|field| field.key.is("level")).map(|field| field.value);
        match level {
            Some(Value::Text(text)) if text.raw().first().is_some_and(u8::is_ascii_uppercase) => Format::Slog,
            Some(Value::Text(_)) => Format::Logrus,
            _ => Format::Pino,
        }
    } else if has(LEVEL | MSG) && !any(TIMESTAMP | AT_TIMESTAMP | EVENT) {
        // zap without its clock, as some configure it.
        Format::Zap
    } else if has(LEVEL | TIME | MESSAGE) {
        Format::Zerolog
    } else if any(GCP) || has(SEVERITY | MESSAGE) {
        Format::Gcp
    } else if has(LEVEL | MESSAGE) && (has(TIMESTAMP) || seen == LEVEL | MESSAGE) {
        Format::Winston
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests;
