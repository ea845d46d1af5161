//! The call of a remedy: one POST, once.
//!
//! Bounded in time and in what is read of the answer; no redirect is followed. The address may be the credential:
//! it is in no word that is said here, and an answer that repeats it is not told.

use std::fmt;
use std::time::Duration;

use reqwest::{ClientBuilder, header};
use serde_json::json;

use crate::redact::Redacted;
use crate::registry::descriptor::Remedy;
use crate::triage::model::client;

const CONNECT: Duration = Duration::from_secs(5);
/// All of it. A hook that restarts something answers before that is done, or is in doubt.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read of an answer, and what is told of it.
const ANSWER_BYTES: usize = 4096;
const TOLD_BYTES: usize = 200;
/// A shorter piece of an address is a word, and no credential.
const PIECE_BYTES: usize = 8;

/// What a remedy is told.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// `E42`
    pub mark: &'a str,
    /// As the descriptor has it.
    pub service: &'a str,
    /// Empty: of any.
    pub cluster: &'a str,
    /// When the call was stored, unix milliseconds.
    pub stored_ms: i64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx. That it was done, not that it helped.
    Done { status: u16, said: Redacted },
    /// Any other status that says so: of 408 and 5xx nobody knows.
    Refused { status: u16, said: Redacted },
    /// 3xx. Nothing was sent to where that leads.
    Redirected { status: u16 },
    /// Nothing was sent.
    Unreachable { why: String },
    /// It may have arrived: a person has to look.
    InDoubt { why: String },
}

/// `builder` makes the client that calls.
pub async fn call(remedy: &Remedy, about: &About<'_>, builder: fn() -> ClientBuilder) -> Outcome {
    within(PATIENCE, remedy, about, builder).await
}

async fn within(patience: Duration, remedy: &Remedy, about: &About<'_>, builder: fn() -> ClientBuilder) -> Outcome {
    let url = remedy.url.expose();
    // Without one no client can be made; that one is there already is as well.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let Ok(client) = client(builder(), url, CONNECT.min(patience)) else {
        return Outcome::Unreachable { why: "the HTTP client cannot be set up".into() };
    };
    let body = json!({"id": about.mark, "service": about.service, "cluster": about.cluster, "remedy": remedy.name});
    let request = client
        .post(url)
        .timeout(patience)
        .header(header::CONTENT_TYPE, "application/json")
        .header("Idempotency-Key", format!("emberwatch-{}-{}", about.mark, about.stored_ms))
        .body(body.to_string());
    match request.send().await {
        Err(fault) => no_answer(&fault),
        Ok(response) => {
            let status = response.status();
            match status.as_u16() {
                300..=399 => Outcome::Redirected { status: status.as_u16() },
                number if status.is_success() => Outcome::Done { status: number, said: said(response, url).await },
                // A proxy's word, or that of a hook that died on the way: what stood behind it may have been done.
                number @ (408 | 500..=599) => Outcome::InDoubt { why: format!("it answered {number}") },
                number => Outcome::Refused { status: number, said: said(response, url).await },
            }
        }
    }
}

/// The begin of an answer, fit to be told. An answer that ends early has still come.
async fn said(mut response: reqwest::Response, url: &str) -> Redacted {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend(chunk.iter().take(ANSWER_BYTES - body.len()));
        if body.len() >= ANSWER_BYTES {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    if repeats(&text, url) { Redacted::default() } else { Redacted::new(&text).one_line().cut(TOLD_BYTES) }
}

fn repeats(text: &str, url: &str) -> bool {
    let tail = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, tail)| tail);
    let pieces = tail.unwrap_or_default().split(['/', '?', '&', '=', '#']);
    pieces.filter(|piece| piece.len() >= PIECE_BYTES).any(|piece| text.contains(piece))
}

/// The error's own text would hold the address; its innermost source speaks of the network only.
fn no_answer(fault: &reqwest::Error) -> Outcome {
    if fault.is_builder() {
        return Outcome::Unreachable { why: "its address cannot be used as it stands".into() };
    }
    let mut cause: &dyn std::error::Error = fault;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let why = if fault.is_timeout() {
        "no answer in time".to_owned()
    } else if std::ptr::addr_eq(cause, fault) {
        "the connection failed".to_owned()
    } else {
        cause.to_string()
    };
    if fault.is_connect() { Outcome::Unreachable { why } } else { Outcome::InDoubt { why } }
}

impl Outcome {
    /// A closed set: it labels a metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Done { .. } => "done",
            Outcome::Refused { .. } => "refused",
            Outcome::Redirected { .. } => "redirected",
            Outcome::Unreachable { .. } => "unreachable",
            Outcome::InDoubt { .. } => "in_doubt",
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Outcome::Done { .. })
    }

    /// What it answered, where that may be told. It is not ours, and belongs into a block.
    pub fn said(&self) -> Option<&Redacted> {
        match self {
            Outcome::Done { said, .. } | Outcome::Refused { said, .. } => Some(said).filter(|said| !said.is_empty()),
            _ => None,
        }
    }
}

/// Words of ours, to stand behind the remedy's name: `restart` *was called and answered 200*.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done { status, .. } => write!(f, "was called and answered {status}"),
            Outcome::Refused { status, .. } => write!(f, "was called and refused: it answered {status}"),
            Outcome::Redirected { status } => {
                write!(
                    f,
                    "was called and answered {status}; where that leads to was not called: its `url` should say it"
                )
            }
            Outcome::Unreachable { why } => write!(f, "could not be called: {why}"),
            Outcome::InDoubt { why } => {
                write!(f, "was called, and whether it took that nobody can say ({why}); it is not called again")
            }
        }
    }
}

#[cfg(test)]
mod tests;
