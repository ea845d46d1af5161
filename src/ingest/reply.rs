//! The only place that picks the status of an ingest answer.
//!
//! What Fluent Bit does with it (measured, out_http 5.1.1): 200–205 is success; other 4xx than 408 and 429
//! make it drop the chunk for good; all else, and any response over 4095 bytes, makes it send again. So a
//! batch is never refused because of a line, overload is 503 and never 408 or 429, and an answer has no
//! body unless a person asks for one.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::decode::Encoding;
use super::stage::Tally;
use crate::alarm::Alarm;
use crate::ledger::DeliveryKey;
use crate::metrics::Metrics;

/// How an ingest request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Counted, nothing to count, or counted before.
    Counted {
        counts: Counts,
        delivery: Option<DeliveryKey>,
    },
    /// The body ended early; whoever still listens is to come again.
    Aborted,
    Starting,
    Draining,
    Overloaded,
    TooSlow,
    /// Fewer bytes than `server.min_body_rate`.
    Dripped,
    Unavailable,
    /// Its token was retired a short while ago.
    Retired,
    TooLarge {
        limit: u64,
        what: &'static str,
    },
    TooManyLines {
        limit: u64,
    },
    UnknownEncoding(String),
    Unauthorized,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub tally: Tally,
    pub repeat: bool,
    pub crossed: Vec<String>,
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        match self {
            Answer::Counted { .. } => StatusCode::NO_CONTENT,
            Answer::Aborted
            | Answer::Starting
            | Answer::Draining
            | Answer::Overloaded
            | Answer::TooSlow
            | Answer::Dripped
            | Answer::Unavailable
            | Answer::Retired => StatusCode::SERVICE_UNAVAILABLE,
            Answer::TooLarge { .. } | Answer::TooManyLines { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::UnknownEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Answer::Unauthorized => StatusCode::UNAUTHORIZED,
        }
    }

    /// Closed set: labels a metric.
    pub fn label(&self) -> &'static str {
        match self {
            Answer::Counted { counts, .. } if counts.repeat => "repeat",
            Answer::Counted { .. } => "counted",
            Answer::Aborted => "aborted",
            Answer::Starting => "starting",
            Answer::Draining => "draining",
            Answer::Overloaded => "overloaded",
            Answer::TooSlow => "too_slow",
            Answer::Dripped => "dripped",
            Answer::Unavailable => "unavailable",
            Answer::Retired => "retired_token",
            Answer::TooLarge { .. } => "too_large",
            Answer::TooManyLines { .. } => "too_many_lines",
            Answer::UnknownEncoding(_) => "unknown_encoding",
            Answer::Unauthorized => "unauthorized",
        }
    }

    /// For a person; never what the sender sent but for an encoding's cleaned name.
    fn message(&self) -> String {
        match self {
            Answer::Counted { .. } => String::new(),
            Answer::Aborted => "the body ended early; nothing of it counts: send it again".into(),
            Answer::Starting => "starting: the store is not open yet; send it again".into(),
            Answer::Draining => "stopping; send it again".into(),
            Answer::Overloaded => {
                "too much is being read (server.max_requests, max_bytes_in_flight); send it again".into()
            }
            Answer::TooSlow => "the request took longer than server.request_seconds; send it again".into(),
            Answer::Dripped => "the body came too slowly (server.min_body_rate); send it again".into(),
            Answer::Unavailable => "the store cannot commit; send it again".into(),
            Answer::Retired => "the token is retired: configure its successor; until then send it again".into(),
            Answer::TooLarge { limit, what } => {
                format!("the {what} body is larger than {limit} bytes (server.max_{what}_bytes)")
            }
            Answer::TooManyLines { limit } => format!("the body has more than {limit} lines (ingest.max_lines)"),
            Answer::UnknownEncoding(name) => format!("Content-Encoding {name:?} is not known: {} are", Encoding::NAMES),
            Answer::Unauthorized => {
                "credentials are missing or wrong: Basic (token name and secret) or Bearer (secret)".into()
            }
        }
    }
}

static TOO_LARGE: Alarm = Alarm::new();
static UNKNOWN_ENCODING: Alarm = Alarm::new();
static UNAUTHORIZED: Alarm = Alarm::new();

/// Whether a person (or a script) asks for counts.
pub fn wants_json(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|v| v.to_str().is_ok_and(|v| v.contains("application/json")))
}

pub fn response(answer: &Answer, person: bool, metrics: &Metrics) -> Response<Full<Bytes>> {
    let mut status = answer.status();
    if status.is_client_error() {
        metrics.client_will_drop.with_label_values(&[status.as_str()]).inc();
        let alarm = match answer {
            Answer::TooLarge { .. } | Answer::TooManyLines { .. } => &TOO_LARGE,
            Answer::UnknownEncoding(_) => &UNKNOWN_ENCODING,
            _ => &UNAUTHORIZED,
        };
        if let Some(held_back) = alarm.due() {
            tracing::warn!(
                status = status.as_u16(),
                reason = answer.label(),
                held_back,
                "a sender will drop a chunk: {}",
                answer.message()
            );
        }
    }
    let body = match answer {
        Answer::Counted { counts, .. } if person => {
            status = StatusCode::OK;
            Some(counted(counts))
        }
        Answer::Counted { .. } => None,
        other => Some(json!({"error": {"code": other.label(), "message": other.message()}})),
    };
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    if let Some(body) = body {
        *response.body_mut() = Full::new(Bytes::from(format!("{body}\n")));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    // What is left of the body, and what may follow on this connection, is not worth reading.
    if matches!(
        answer,
        Answer::Unauthorized
            | Answer::Retired
            | Answer::Aborted
            | Answer::TooSlow
            | Answer::Dripped
            | Answer::Overloaded
            | Answer::Starting
            | Answer::Draining
    ) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if *answer == Answer::Unauthorized {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"emberwatch\""));
    }
    response
}

fn counted(counts: &Counts) -> serde_json::Value {
    let tally = &counts.tally;
    let rejected: serde_json::Map<String, serde_json::Value> =
        tally.reasons().map(|(reason, n)| (reason.to_owned(), n.into())).collect();
    json!({
        "lines": tally.read(),
        "matched": tally.matched,
        "unmatched": tally.unmatched,
        "joined": tally.joined,
        "blank": tally.blank,
        "own": tally.own,
        "rejected": rejected,
        "repeat": counts.repeat,
        "crossed": counts.crossed,
    })
}
