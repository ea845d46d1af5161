//! What both ways to speak to a model have in common: a call, what comes of it, and what a refusal means.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::anthropic::Anthropic;
use super::openai::OpenAi;
use super::{Usage, Why};
use crate::redact::Redacted;
use crate::secret::Secret;
use crate::triage::model::http::{self, Answer};
use crate::triage::model::{self as triage, limits};

/// Of one answer, thinking and arguments of tools included: 128,000 tokens are some 500 KB.
pub(super) const CONTENT_MAX: usize = 1 << 20;
/// Requests of a model for something to read, in one turn.
pub(super) const READS_MAX: usize = 32;

pub(super) enum Wire {
    Anthropic(Anthropic),
    OpenAi(OpenAi),
}

/// One call: all that was said so far, and what may be answered.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) system: &'a str,
    pub(super) schema: &'a Value,
    /// As the wire has them.
    pub(super) messages: &'a [Value],
    pub(super) tools: Tools,
    pub(super) max_output_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tools {
    /// There are none in this conversation.
    None,
    Offered,
    /// They were offered before, and an answer is wanted now.
    Closed,
}

/// What a model said.
#[derive(Debug)]
pub(super) struct Said {
    /// To be said again in the next call, for the model to know it.
    pub(super) message: Value,
    pub(super) turn: Turn,
}

#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// Its answer.
    Text(String),
    /// It wants to read; never empty.
    Reads(Vec<Read>),
    /// It was interrupted by its server and is to go on.
    Paused,
}

/// A request for something to read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) id: String,
    pub(super) name: String,
    /// `None`: no JSON.
    pub(super) input: Option<Value>,
}

/// What came of it, fenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) is_error: bool,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failed {
    pub(super) why: Why,
    /// Redacted.
    pub(super) words: String,
    pub(super) pause: Option<Duration>,
    /// Whether the same call may go well in a moment.
    pub(super) is_passing: bool,
}

// === impl Wire ===

impl Wire {
    /// `usage` is kept up to date while the answer comes, so that it is known however the call ends.
    pub(super) async fn call(&self, asking: Asking<'_>, usage: &mut Usage) -> Result<Said, Failed> {
        match self {
            Wire::Anthropic(wire) => wire.call(asking, usage).await,
            Wire::OpenAi(wire) => wire.call(asking, usage).await,
        }
    }

    /// Tokens of a question, if the server counts them.
    pub(super) async fn count(&self, asking: Asking<'_>) -> Option<u64> {
        match self {
            Wire::Anthropic(wire) => wire.count(asking).await,
            Wire::OpenAi(_) => None,
        }
    }

    pub(super) fn of_user(&self, text: &str) -> Value {
        match self {
            Wire::Anthropic(_) => Anthropic::of_user(text),
            Wire::OpenAi(_) => OpenAi::of_user(text),
        }
    }

    /// What was found, and then a word of ours.
    pub(super) fn found(&self, found: &[Found], word: Option<&str>) -> Vec<Value> {
        match self {
            Wire::Anthropic(_) => vec![Anthropic::found(found, word)],
            Wire::OpenAi(_) => OpenAi::found(found, word),
        }
    }
}

// === impl Failed ===

impl Failed {
    pub(super) fn new(why: Why, words: impl Into<String>) -> Failed {
        Failed { why, words: words.into(), pause: None, is_passing: false }
    }

    pub(super) fn passing(why: Why, words: impl Into<String>) -> Failed {
        Failed { is_passing: true, ..Failed::new(why, words) }
    }

    /// Whether it speaks against the server, and not only against this question.
    pub(super) fn blames_the_server(&self) -> bool {
        matches!(
            self.why,
            Why::Unreachable | Why::TimedOut | Why::Refused | Why::Busy | Why::RateLimited | Why::BadReply
        )
    }

    /// What an answer that is none means.
    pub(super) fn refusal(answer: &Answer, key: Option<&Secret>) -> Failed {
        let error = answer.error().unwrap_or_default();
        let kind = answer.json().and_then(|body| Some(body.get("error")?.get("type")?.as_str()?.to_owned()));
        let mut failed = Failed::of(answer.status, kind.as_deref().unwrap_or_default(), &error, key);
        failed.pause = limits::pause(answer).filter(|_| failed.is_passing);
        match answer.header("x-should-retry") {
            Some("true") => failed.is_passing = true,
            Some("false") => failed.is_passing = false,
            _ => {}
        }
        failed
    }

    /// `kind`: of error, as Anthropic names it; `said`: the server's words.
    pub(super) fn of(status: u16, kind: &str, said: &str, key: Option<&Secret>) -> Failed {
        // Servers repeat parts of what they were sent, the key among them.
        let words = match key {
            Some(key) if !key.expose().is_empty() => http::said(&said.replace(key.expose(), "[redacted]")),
            _ => http::said(said),
        };
        let lower = said.to_ascii_lowercase();
        let has = |any: &[&str]| any.iter().any(|part| lower.contains(part));
        let too_long = ["prompt is too long", "context length", "context_length", "context window", "context size"];
        match (status, kind) {
            (413, _) | (_, "request_too_large") => {
                Failed::new(Why::TooLong, format!("the dossier is too long for the server: {words}"))
            }
            (400 | 422, _) if has(&too_long) => {
                Failed::new(Why::TooLong, format!("the dossier is longer than the model's context: {words}"))
            }
            // What is said then may hold a part of the key.
            (401 | 403, _) | (_, "authentication_error" | "permission_error") => Failed::new(
                Why::Refused,
                format!("the server does not accept the key (status {status}): check investigation.api_key"),
            ),
            (402, _) | (_, "billing_error") => {
                Failed::new(Why::Refused, format!("the account has no money left (status {status}): {words}"))
            }
            (404, _) | (_, "not_found_error") => Failed::new(
                Why::Refused,
                format!(
                    "no such model or address (status {status}): check investigation.model and investigation.url: {words}"
                ),
            ),
            (300..=399, _) => Failed::new(
                Why::Refused,
                format!("the address redirects (status {status}), which is not followed: check investigation.url"),
            ),
            (429, _) | (_, "rate_limit_error") => {
                Failed::passing(Why::RateLimited, format!("the server asks for a pause (status {status}): {words}"))
            }
            (408 | 504, _) | (_, "timeout_error") => {
                Failed::passing(Why::TimedOut, format!("the server gave up (status {status}): {words}"))
            }
            (409 | 500.., _) | (_, "overloaded_error" | "api_error") => {
                Failed::passing(Why::Busy, format!("the server is overloaded or broken (status {status}): {words}"))
            }
            _ => Failed::new(Why::Refused, format!("the server refuses (status {status}): {words}")),
        }
    }
}

impl From<triage::Failed> for Failed {
    fn from(failed: triage::Failed) -> Failed {
        let (why, is_passing) = match failed.why {
            triage::Why::Unreachable => (Why::Unreachable, true),
            triage::Why::TimedOut => (Why::TimedOut, true),
            triage::Why::Refused => (Why::Refused, false),
            _ => (Why::BadReply, false),
        };
        Failed { why, words: failed.words, pause: failed.pause, is_passing }
    }
}

/// The kind of body that an answer has, without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let text = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// What a model says of itself, fit to be shown.
pub(super) fn shown(text: &str) -> String {
    Redacted::new(text.get(..text.floor_char_boundary(2_000)).unwrap_or_default()).one_line().cut(300).to_string()
}
