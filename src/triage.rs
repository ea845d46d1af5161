//! Triage: what is new among the lines, and what somebody said is to be done about it.
//!
//! Lines are grouped into kinds; a kind nobody has judged yet is an [`Offer`]. A model, or the built-in
//! triager where there is none, answers a batch of offers with [`Action`]s: ignore, watch, investigate. An
//! action is a proposal by somebody who cannot be trusted: it adds watches of its own and raises escalations
//! of its own, and nothing here can take away, weaken or silence what a person set.
//!
//! Ingest never waits for any of this.

pub mod ask;
pub mod builtin;
pub mod floor;
pub mod kinds;
pub mod known;
pub mod model;
pub mod novel;
pub mod own;
pub mod pages;
pub mod prompt;
pub mod sketch;
pub mod template;
pub mod threshold;
pub mod trial;
pub mod verdict;
pub mod verdicts;
pub mod view;
pub mod worker;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::notify::notice::Severity;
use crate::record::level::Level;
use crate::redact::Redacted;

/// Names that a proposal's label may try until one is free.
const LABEL_TRIES: usize = 20;

/// What a kind of line is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Shape {
    /// A message, of a text or of a field: told by its template.
    Message,
    /// A request: told by method, status and masked path.
    Access,
    /// A stack trace: told by its exception and top frames.
    Trace,
}

/// Why a kind is offered. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    New,
    /// It comes far more often than it used to.
    Rate,
    /// It is more severe than when it was judged.
    Level,
    /// Its service runs another revision now.
    Deploy,
    /// What was said of it has expired, or could not be understood.
    Again,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Why::New => "new",
            Why::Rate => "rate",
            Why::Level => "level",
            Why::Deploy => "deploy",
            Why::Again => "again",
        }
    }
}

/// One kind of line that somebody is to judge.
#[derive(Clone, Debug)]
pub struct Offer {
    pub kind: u64,
    pub why: Why,
    pub shape: Shape,
    pub cluster: String,
    pub service: String,
    pub level: Level,
    /// `user <*> logged in from <ip>`, `GET 500 /orders/<num>`, `ValueError at pay.py:charge`.
    pub template: String,
    /// The message of one of its lines, as it came, cut to 1 KiB. Stays in the process.
    pub message: String,
    /// The stripped form of that line: what may be shown.
    pub shown: Redacted,
    pub status: Option<u16>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub exception: Option<String>,
    /// Names of the fields that its line has, as a rule may ask for them; at most 40.
    pub fields: Vec<String>,
    /// How often it has come, and in what time, in seconds (at least 1).
    pub count: u64,
    pub over_seconds: u64,
}

/// What is to be done about some of the offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Ignore,
    Watch,
    Investigate,
}

impl What {
    pub fn as_str(self) -> &'static str {
        match self {
            What::Ignore => "ignore",
            What::Watch => "watch",
            What::Investigate => "investigate",
        }
    }
}

/// One proposal, as it was read: nothing in it is valid, clamped or clean but its `what` and `lines`.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub what: What,
    /// Places in the batch of offers, from 0, ascending, each once; never empty.
    pub lines: Vec<usize>,
    pub label: Option<String>,
    /// The condition, in the form of a rule's `match`.
    pub condition: Option<Value>,
    pub threshold: Option<f64>,
    pub window_seconds: Option<f64>,
    pub severity: Option<Severity>,
    pub summary: Option<String>,
}
