//! A watch as it is written: what to match, how to group, when a count is too much.
//!
//! The form is that of the seeds and of the control API, one JSON object; the configuration hands
//! its `[[watch]]` tables over as the same. Reading a rule reports every fault it has, each with
//! its path; a `Rule` that exists is within all bounds. Writing one and reading it back gives the
//! same rule. Nothing here matches or counts: the matcher compiles an [`Expr`], the ledger counts.

mod condition;
mod parse;
pub mod pattern;

pub use parse::KEYS;
use serde_json::{Map, Number, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::fault::Fault;
use crate::notify::notice::Severity;
use pattern::Pattern;

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// `[a-z0-9_]{1,48}`: a metric label, part of every fingerprint, verbatim in every message.
    pub label: String,
    pub kind: Kind,
    pub expr: Expr,
    /// The count at which a quiet window fires.
    pub threshold: u64,
    pub window_seconds: u32,
    /// The fields whose values tell one group from another, in order; none makes one group of all.
    pub group_by: Vec<String>,
    pub on_crossing: OnCrossing,
    /// Without a match for so long, the watch leaves. `None`: it stays until a person removes it.
    pub ttl_seconds: Option<u64>,
    pub severity: Severity,
    /// What a person reads when it fires; may be empty.
    pub summary: String,
}

/// What is reckoned from the matching records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Count,
}

/// What a crossing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrossing {
    Log,
    Notify,
    Investigate,
}

/// Which records a watch is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    Test { field: String, op: Op },
}

/// One question about the value of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Eq(Literal),
    Ne(Literal),
    Gt(Literal),
    Gte(Literal),
    Lt(Literal),
    Lte(Literal),
    In(Vec<Literal>),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Regex(Pattern),
    Exists(bool),
}

/// A value as the rule wrote it. `"500"` stays a text: the matcher compares as numbers whenever
/// both sides are, and what a person wrote is shown to them as they wrote it.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
}

/// The field that a bare `{"contains": "…"}` is about.
pub const MESSAGE_FIELD: &str = "message";
/// The field whose values are names with an order.
pub const LEVEL_FIELD: &str = "level";
/// The values of [`LEVEL_FIELD`], least first.
pub const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

/// What a rule is grouped by when it does not say: the pair that logs belong to.
pub const DEFAULT_GROUP_BY: [&str; 2] = ["cluster", "service"];

/// A label stands in metric names' labels, Slack messages and URLs: short, and the same everywhere.
pub const LABEL_MAX_CHARS: usize = 48;
/// Far above any real rate, and exact in every number type that a rule passes through.
pub const THRESHOLD_MAX: u64 = 1_000_000_000_000;
/// A day. A window longer than that is a report, not a watch.
pub const WINDOW_MAX_SECONDS: u64 = 86_400;
/// A minute: below it a watch could leave between two flushes of its own sender.
pub const TTL_MIN_SECONDS: u64 = 60;
/// A year; what should live longer has no ttl.
pub const TTL_MAX_SECONDS: u64 = 31_536_000;
/// More fields than that and nearly every record is a group of its own.
pub const GROUP_BY_MAX: usize = 8;
/// Longer than any sane dotted path, short enough to print.
pub const FIELD_MAX_CHARS: usize = 200;
/// A rule is checked for every record: its texts are phrases, not documents.
pub const TEXT_MAX_CHARS: usize = 1_000;
/// A summary is one sentence in a message.
pub const SUMMARY_MAX_CHARS: usize = 500;
/// Deep enough for any condition a person can follow; the walk over it is recursive.
pub const DEPTH_MAX: usize = 16;
/// Bounds what one rule costs per record.
pub const TESTS_MAX: usize = 200;
/// Bounds the size of one `in` list.
pub const IN_MAX: usize = 1_000;

// === impl Rule ===

impl Rule {
    /// Reads a rule, or pushes everything that is wrong with it; `key` is where it stands
    /// (`watch[2]`, or empty for an API body) and begins the key of each fault.
    pub fn from_json(value: &Value, key: &str, faults: &mut Vec<Fault>) -> Option<Rule> {
        parse::rule(value, key, faults)
    }

    /// The rule with every default written out; [`Rule::from_json`] reads it back unchanged.
    pub fn to_json(&self) -> Value {
        let mut rule = json!({
            "label": self.label,
            "kind": self.kind.as_str(),
            "match": self.match_json(),
            "threshold": self.threshold,
            "window_seconds": self.window_seconds,
            "group_by": self.group_by,
            "on_crossing": self.on_crossing.as_str(),
            "severity": self.severity.as_str(),
            "summary": self.summary,
        });
        if let (Some(ttl), Some(fields)) = (self.ttl_seconds, rule.as_object_mut()) {
            fields.insert("ttl_seconds".to_owned(), ttl.into());
        }
        rule
    }

    /// The condition in its canonical form: one operator an object, the field always named.
    pub fn match_json(&self) -> Value {
        self.expr.to_json()
    }

    /// The identity of this rule's counters. Whatever changes what is counted changes it; what only
    /// changes what a count means (threshold, severity, summary, `on_crossing`, ttl) does not, so
    /// such an edit keeps the windows. It is stored: its value may not change between releases.
    pub fn definition_key(&self) -> u64 {
        // An array: its text is the same however the JSON library orders objects.
        let definition = json!([self.label, self.kind.as_str(), self.match_json(), self.window_seconds, self.group_by]);
        xxh3_64(definition.to_string().as_bytes())
    }
}

/// The nearest valid label, or `None` if the text has no letter or digit: lower case, everything
/// else one underscore, cut to length.
pub fn clean_label(text: &str) -> Option<String> {
    let mut label = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if label.len() == LABEL_MAX_CHARS {
            break;
        }
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('_') {
            label.push('_');
        }
    }
    let label = label.trim_end_matches('_');
    (!label.is_empty()).then(|| label.to_owned())
}

// === impl Kind, OnCrossing ===

impl Kind {
    pub const NAMES: [&str; 1] = ["count"];

    pub fn parse(name: &str) -> Option<Self> {
        (name == "count").then_some(Self::Count)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
        }
    }
}

impl OnCrossing {
    pub const NAMES: [&str; 3] = ["log", "notify", "investigate"];

    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "log" => Some(Self::Log),
            "notify" => Some(Self::Notify),
            "investigate" => Some(Self::Investigate),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Notify => "notify",
            Self::Investigate => "investigate",
        }
    }
}

// === impl Expr, Op, Literal: as JSON ===

impl Expr {
    fn to_json(&self) -> Value {
        let list = |parts: &[Expr]| Value::from(parts.iter().map(Expr::to_json).collect::<Vec<_>>());
        match self {
            Self::All(parts) => object([("all", list(parts))]),
            Self::Any(parts) => object([("any", list(parts))]),
            Self::Not(part) => object([("not", part.to_json())]),
            Self::Test { field, op } => {
                let (name, operand) = op.to_json();
                object([("field", field.as_str().into()), (name, operand)])
            }
        }
    }
}

impl Op {
    /// The operator's name and operand.
    fn to_json(&self) -> (&'static str, Value) {
        match self {
            Self::Eq(literal) => ("eq", literal.to_json()),
            Self::Ne(literal) => ("ne", literal.to_json()),
            Self::Gt(literal) => ("gt", literal.to_json()),
            Self::Gte(literal) => ("gte", literal.to_json()),
            Self::Lt(literal) => ("lt", literal.to_json()),
            Self::Lte(literal) => ("lte", literal.to_json()),
            Self::In(literals) => ("in", literals.iter().map(Literal::to_json).collect::<Vec<_>>().into()),
            Self::Contains(text) => ("contains", text.as_str().into()),
            Self::StartsWith(text) => ("starts_with", text.as_str().into()),
            Self::EndsWith(text) => ("ends_with", text.as_str().into()),
            Self::Regex(pattern) => ("regex", pattern.as_str().into()),
            Self::Exists(wanted) => ("exists", (*wanted).into()),
        }
    }
}

impl Literal {
    /// Integers are written as such: a person who wrote 500 should not read 500.0.
    fn to_json(&self) -> Value {
        /// 2^53: up to here every integer has a double of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) if number.fract() == 0.0 && number.abs() <= EXACT => (*number as i64).into(),
            Self::Number(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
            Self::Bool(flag) => (*flag).into(),
            Self::Null => Value::Null,
        }
    }
}

/// An object whose text does not depend on whether the JSON library keeps or sorts the order of
/// keys (a feature any dependency could switch on): the identity of counters hangs on that text.
fn object<const N: usize>(mut pairs: [(&str, Value); N]) -> Value {
    pairs.sort_by(|a, b| a.0.cmp(b.0));
    Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests;
