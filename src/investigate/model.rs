//! Asking a model what is behind an escalation: which one, what it may read, and what it answered.
//!
//! There are two ways to speak to one: Anthropic's Messages (`anthropic`) and the one that everybody else
//! understands (`openai`). Either way it is one conversation: the dossier, then a few turns in which the model may
//! read files of the commit that ran ([`Files`]), then an answer of the given form. It promises:
//! - a conversation ends within [`Bounds::deadline`], after [`Bounds::max_turns`] turns and one repair at the most, and
//!   within its allowance; what it has cost is told however it ends;
//! - what leaves is words of ours, [`Redacted`] text, and what the model itself said before;
//! - every answer is read up to a size, every event and every result of a tool has a bound;
//! - a server that is busy is asked again twice, as it says; one that fails too often is left alone for a while;
//! - nothing that a model asks for is executed or opened: its tools compare names, and read;
//! - it can be dropped at any time. Neither a key nor an address with a password is in any [`ModelFault`] or [`About`].

mod anthropic;
mod openai;
pub mod price;
pub mod prompt;
pub mod reading;
pub mod sse;
mod talk;
mod tools;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{self, Instant};

use crate::metrics::Metrics;
use crate::redact::Redacted;
use crate::secret::Secret;
use crate::triage::model::breaker::Breaker;
use crate::triage::model::http;
use price::Prices;
use talk::{Tab, Talk};
use wire::{Failed, Wire};

/// Where Anthropic listens unless told otherwise.
pub const ANTHROPIC_URL: &str = "https://api.anthropic.com";
/// Anthropic's model that is asked unless told otherwise.
pub const DEFAULT_MODEL: &str = "claude-opus-5-5";

/// For the connection alone.
const CONNECT: Duration = Duration::from_secs(10);
/// Calls in a row that fail, each asked again twice, until the server is left alone; for how long at first, and at the
/// longest.
const FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// For what is read when the time is over, to be given up.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Whom to ask, as configured. Has no `Debug`: it holds a key.
#[derive(Clone)]
pub enum Target {
    /// The address is what stands before `/v1/messages`.
    Anthropic { url: String, model: String, key: Secret },
    /// Any server that has `/v1/chat/completions`. The address is what stands before `/chat/completions`.
    OpenAi { url: String, model: String, key: Option<Secret> },
}

/// How far one conversation may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Calls of one conversation; in the last one nothing may be read any more. One at the least.
    pub max_turns: u32,
    /// Of each call, thinking included.
    pub max_output_tokens: u64,
    /// For all of it.
    pub deadline: Duration,
}

/// What is asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// [`prompt::SYSTEM`].
    pub system: &'static str,
    pub dossier: &'a Redacted,
    /// Of the answer: an object, `additionalProperties` false throughout.
    pub schema: &'a Value,
    /// What it may cost at the most: [`Cost::UNBOUNDED`], or what the budget leaves.
    pub allowance: Cost,
}

/// What a model may look at while it thinks: the files of one commit. Blocks, for some seconds at the most.
///
/// Whatever is asked for is data: a name that is not in the commit leads nowhere. An error is a sentence of ours for
/// the model, without any text of its own in it.
pub trait Files: Send + Sync {
    /// Lines of a file, each after its number; from 1, both included.
    fn read(&self, path: &str, from_line: u32, to_line: u32) -> Result<Redacted, String>;
    /// Lines that hold this text, each after its file and number.
    fn search(&self, text: &str) -> Result<Redacted, String>;
    /// What is in a folder; `""` is the root.
    fn list(&self, folder: &str) -> Result<Redacted, String>;
}

/// An answer that came whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// A JSON object, and what was written around it. Whether it is of the form that was asked for, and whether there is
    /// another one, is another question.
    pub json: String,
    pub usage: Usage,
    pub cost_usd: f64,
    pub calls: u32,
    pub model: String,
    pub seconds: f64,
}

/// Why there is no answer, and what that has cost.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFault {
    pub why: Why,
    /// For a person: what happened, and what to do about it. Redacted.
    pub words: String,
    /// How long the server asks to be left alone, or is.
    pub pause: Option<Duration>,
    pub usage: Usage,
    pub cost_usd: f64,
    pub calls: u32,
}

/// Tokens, as the server counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Neither read from a cache nor written to it.
    pub input: u64,
    /// Read, and written to the cache.
    pub written: u64,
    /// Read from the cache.
    pub cached: u64,
    pub output: u64,
}

/// What something has cost, or may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub tokens: u64,
    pub usd: f64,
}

/// The kinds of failure. A closed set: they are values of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    Unreachable,
    TimedOut,
    /// The server answers, and not with an answer: no such model, no such key, no money left.
    Refused,
    /// It is overloaded, or broken.
    Busy,
    RateLimited,
    /// The question is longer than the model's context.
    TooLong,
    /// The answer did not come to its end.
    CutShort,
    /// The model declines. Asking again would not change that.
    Declined,
    /// No answer in the form of this kind of server, or not of the form that was asked for.
    BadReply,
    /// It went on reading.
    NoAnswer,
    /// The allowance does not cover the next call.
    OverBudget,
    /// It was not asked: it has failed too often of late.
    BreakerOpen,
}

/// Whom questions go to, for `/status` and the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// `anthropic` or `openai`.
    pub provider: &'static str,
    pub model: String,
    /// Without user, password and query.
    pub address: String,
    /// Whether the cost of its tokens is known; if not, it is a guess (`anthropic`: the dearest) or nothing.
    pub is_priced: bool,
    /// How long it is left alone yet.
    pub paused_seconds: Option<u64>,
}

/// Whom to ask. Shared by reference.
pub struct Model {
    wire: Wire,
    provider: &'static str,
    model: String,
    address: String,
    bounds: Bounds,
    prices: Prices,
    is_priced: bool,
    breaker: Breaker,
    metrics: Metrics,
}

// === impl Model ===

impl Model {
    /// `None` without a target. `prices`: what the operator says of them. Fails on an address that is none.
    pub fn from_config(
        target: Option<Target>,
        bounds: Bounds,
        prices: Option<Prices>,
        metrics: Metrics,
        builder: fn() -> ClientBuilder,
    ) -> Result<Option<Model>, String> {
        let Some(target) = target else { return Ok(None) };
        let (Target::Anthropic { url, .. } | Target::OpenAi { url, .. }) = &target;
        // The one that the lock file holds; it may have been installed before.
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        let (full, shown) = http::address(url)?;
        let client =
            http::client(builder(), url, CONNECT).map_err(|_| "the HTTP client cannot be set up".to_owned())?;
        let (wire, provider, model, address, known, otherwise) = match target {
            Target::Anthropic { model, key, .. } => {
                let known = Prices::of(&model);
                let wire = anthropic::Anthropic::new(client, &full, &model, key);
                let address = anthropic::root(&shown).to_owned();
                (Wire::Anthropic(wire), "anthropic", model, address, known, Prices::DEAREST)
            }
            Target::OpenAi { model, key, .. } => {
                let wire = openai::OpenAi::new(client, &full, &model, key);
                (Wire::OpenAi(wire), "openai", model, openai::root(&shown), None, Prices::NOTHING)
            }
        };
        let known = prices.or(known);
        // So that a rate over them is right from the first call on.
        for outcome in ["answered"].into_iter().chain(Why::ALL.map(Why::as_str)) {
            metrics.investigator_calls.with_label_values(&[outcome]);
        }
        Ok(Some(Model {
            wire,
            provider,
            model,
            address,
            bounds,
            prices: known.unwrap_or(otherwise),
            is_priced: known.is_some(),
            breaker: Breaker::new(FAILURES, FIRST_PAUSE, LONGEST_PAUSE),
            metrics,
        }))
    }

    /// Asks, and waits for the answer. Without `files` nothing can be read.
    pub async fn ask(&self, question: Question<'_>, files: Option<Arc<dyn Files>>) -> Result<Answer, ModelFault> {
        let begun = Instant::now();
        let deadline = begun + self.bounds.deadline;
        let mut tab = Tab::new(&self.metrics, self.prices, question.allowance);
        let talk = Talk {
            wire: &self.wire,
            breaker: &self.breaker,
            bounds: self.bounds,
            question,
            metrics: &self.metrics,
            deadline,
        };
        // Each call has the deadline, too, so that its end is told to the breaker; this is for all that is in between.
        let held = time::timeout_at(deadline + AFTERWARDS, talk.hold(files, &mut tab)).await;
        let seconds = begun.elapsed().as_secs_f64();
        self.metrics.investigator_seconds.observe(seconds);
        let (usage, cost_usd, calls) = (tab.usage(), tab.cost().usd, tab.calls);
        match held.unwrap_or_else(|_| Err(talk::too_late())) {
            Ok(json) => Ok(Answer { json, usage, cost_usd, calls, model: self.model.clone(), seconds }),
            Err(Failed { why, words, pause, .. }) => {
                tracing::warn!(why = why.as_str(), error = words, calls, cost_usd, "the investigator gave no answer");
                Err(ModelFault { why, words, pause, usage, cost_usd, calls })
            }
        }
    }

    /// What must be left of a budget for a question to be asked at all: what its first call usually costs.
    pub fn least(&self, question: &Question<'_>) -> Cost {
        talk::least(question, &self.bounds, &self.prices)
    }

    pub fn about(&self) -> About {
        About {
            provider: self.provider,
            model: self.model.clone(),
            address: self.address.clone(),
            is_priced: self.is_priced,
            paused_seconds: self.breaker.pausing(Instant::now()).map(|left| left.as_secs()).filter(|left| *left > 0),
        }
    }
}

// === impl ModelFault, Usage, Cost, Why ===

impl ModelFault {
    /// Whether the same question may be answered later.
    pub fn may_pass(&self) -> bool {
        matches!(
            self.why,
            Why::Unreachable | Why::TimedOut | Why::Busy | Why::RateLimited | Why::OverBudget | Why::BreakerOpen
        )
    }
}

impl fmt::Display for ModelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Usage {
    /// Of all kinds.
    pub fn tokens(&self) -> u64 {
        self.prompt().saturating_add(self.output)
    }

    /// Of the question.
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.written).saturating_add(self.cached)
    }

    fn with(self, other: Usage) -> Usage {
        Usage {
            input: self.input.saturating_add(other.input),
            written: self.written.saturating_add(other.written),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
        }
    }
}

impl Cost {
    pub const UNBOUNDED: Cost = Cost { tokens: u64::MAX, usd: f64::INFINITY };

    /// Whether it covers `other`.
    pub fn covers(&self, other: Cost) -> bool {
        self.tokens >= other.tokens && self.usd >= other.usd
    }
}

impl Why {
    pub const ALL: [Why; 12] = [
        Why::Unreachable,
        Why::TimedOut,
        Why::Refused,
        Why::Busy,
        Why::RateLimited,
        Why::TooLong,
        Why::CutShort,
        Why::Declined,
        Why::BadReply,
        Why::NoAnswer,
        Why::OverBudget,
        Why::BreakerOpen,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Why::Unreachable => "unreachable",
            Why::TimedOut => "timed_out",
            Why::Refused => "refused",
            Why::Busy => "busy",
            Why::RateLimited => "rate_limited",
            Why::TooLong => "too_long",
            Why::CutShort => "cut_short",
            Why::Declined => "declined",
            Why::BadReply => "bad_reply",
            Why::NoAnswer => "no_answer",
            Why::OverBudget => "over_budget",
            Why::BreakerOpen => "breaker_open",
        }
    }
}
