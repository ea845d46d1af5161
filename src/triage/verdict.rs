//! What a model replied, read as far as it can be.
//!
//! A reply is written by somebody who was shown log lines and cannot be trusted, and small models miss the
//! form in well-known ways: the bare action, the bare list, a wrapper of an invented name, a code block, words
//! around the JSON, JSON within a string. All of these are taken. What is left out is counted by why
//! ([`Dropped`]); a reply in which nothing can be used is [`Unreadable`], in words fit to be said to the model.
//!
//! Whatever the text: no panic, time linear in it, and at most [`ACTIONS_MAX`] actions.

mod changes;
mod find;
mod lines;
mod numbers;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

use super::{Action, What};

pub use changes::{Change, Changes, read_changes};

/// The longest reply that is read: a hundred times what an answer may hold.
pub const REPLY_MAX_BYTES: usize = 64 * 1024;
/// As many as a prompt has lines.
pub const ACTIONS_MAX: usize = 50;
/// A label or a summary is cut here; what reads it cuts further.
const TEXT_MAX_BYTES: usize = 2_000;

/// A reply, as far as it could be used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub actions: Vec<Action>,
    /// Of each thing that was left out, why.
    pub dropped: Vec<Dropped>,
}

/// Why something of a reply was left out. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// Its action is none that we know.
    UnknownAction,
    /// It names no line that was asked about.
    NoSuchLine,
    /// All its lines were claimed by an action more severe, or by one before it.
    Taken,
    /// It came behind [`ACTIONS_MAX`] others.
    TooMany,
    /// It is no object, or has nothing of an action or a change.
    NoForm,
    /// It would change a watch that was not shown, or one a second time.
    UnknownLabel,
}

/// Why nothing of a reply could be used. Its text says it to the model, and holds nothing of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Empty,
    TooLong,
    NoJson,
    /// The schema was repeated in place of a reply.
    Schema,
    /// JSON, without what was asked for: the name of the list.
    NoList(&'static str),
    /// There were some, and none could be used.
    NoneUsable {
        first: Dropped,
        lines: usize,
    },
}

/// Reads a reply to a prompt of so many lines.
pub fn read(text: &str, lines: usize) -> Result<Verdict, Unreadable> {
    let found = find::objects(text, "actions")?;
    let mut verdict = Verdict::default();
    for value in &found {
        let read = value.as_object().ok_or(Dropped::NoForm).and_then(|object| action(object, lines));
        match read {
            Ok(_) if verdict.actions.len() == ACTIONS_MAX => verdict.dropped.push(Dropped::TooMany),
            Ok(action) => verdict.actions.push(action),
            Err(why) => verdict.dropped.push(why),
        }
    }
    // Whether anything could be used is asked before lines are given to one claimant each.
    if let (true, Some(&first)) = (verdict.actions.is_empty(), verdict.dropped.first()) {
        return Err(Unreadable::NoneUsable { first, lines });
    }
    settle(&mut verdict, lines);
    Ok(verdict)
}

fn action(object: &Map<String, Value>, lines: usize) -> Result<Action, Dropped> {
    let condition = get(object, &["match", "condition"]).and_then(condition);
    let what = match get(object, &["action"]).filter(|word| !word.is_null()) {
        Some(word) => word.as_str().and_then(what).ok_or(Dropped::UnknownAction)?,
        // A rule says what it is by having a condition.
        None if condition.is_some() => What::Watch,
        None => return Err(Dropped::NoForm),
    };
    let lines = match lines::read(get(object, &["lines", "line"]), lines) {
        Some(given) => given,
        None if what == What::Ignore => (0..lines).collect(),
        None => (0..lines.min(1)).collect(),
    };
    if lines.is_empty() {
        return Err(Dropped::NoSuchLine);
    }
    Ok(Action {
        what,
        lines,
        label: get(object, &["label", "name"]).and_then(text),
        condition,
        threshold: get(object, &["threshold"]).and_then(numbers::number),
        window_seconds: get(object, &["window_seconds", "window"]).and_then(numbers::seconds),
        severity: get(object, &["severity"]).and_then(Value::as_str).and_then(numbers::severity),
        summary: get(object, &["summary", "reason"]).and_then(text),
    })
}

/// The words that were asked for, and others that can only add: no other word makes a line ignored.
fn what(word: &str) -> Option<What> {
    match word.trim().to_ascii_lowercase().as_str() {
        "ignore" => Some(What::Ignore),
        "watch" | "monitor" | "count" => Some(What::Watch),
        "investigate" | "escalate" | "alert" => Some(What::Investigate),
        _ => None,
    }
}

/// A condition in the form of a rule's `match`, also as JSON within a text. Any other text is looked for in
/// the message; a `{"field", "op", "value"}` is turned into what it means.
fn condition(value: &Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.is_empty() => None,
        Value::Object(fields) => Some(spelt_out(fields).unwrap_or_else(|| value.clone())),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(fields)) if !fields.is_empty() => {
                Some(spelt_out(&fields).unwrap_or(Value::Object(fields)))
            }
            _ if text.trim().is_empty() => None,
            _ => Some(serde_json::json!({"contains": text})),
        },
        Value::Array(parts) => match parts.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            // Of two readings the narrower one.
            _ => Some(serde_json::json!({"all": parts})),
        },
        _ => None,
    }
}

fn spelt_out(fields: &Map<String, Value>) -> Option<Value> {
    let field = fields.get("field")?;
    let operator = fields.get("op").or_else(|| fields.get("operator"))?.as_str()?;
    let value = fields.get("value")?;
    let operator = match operator.trim().to_ascii_lowercase().as_str() {
        "=" | "==" | "eq" | "equals" => "eq",
        "!=" | "ne" => "ne",
        ">" | "gt" => "gt",
        ">=" | "gte" => "gte",
        "<" | "lt" => "lt",
        "<=" | "lte" => "lte",
        "in" => "in",
        "contains" => "contains",
        "starts_with" => "starts_with",
        "ends_with" => "ends_with",
        "regex" | "matches" => "regex",
        _ => return None,
    };
    Some(serde_json::json!({"field": field, operator: value}))
}

/// Gives a line that several actions claim to the most severe, and among equals to the first; but one line
/// may well have several watches.
fn settle(verdict: &mut Verdict, lines: usize) {
    let rank = |what: What| match what {
        What::Ignore => 1_u8,
        What::Watch => 2,
        What::Investigate => 3,
    };
    let mut worst = vec![0_u8; lines];
    for action in &verdict.actions {
        for &line in &action.lines {
            if let Some(worst) = worst.get_mut(line) {
                *worst = rank(action.what).max(*worst);
            }
        }
    }
    let mut claimed = vec![false; lines];
    for action in &mut verdict.actions {
        let what = action.what;
        action.lines.retain(|&line| {
            let (Some(worst), Some(claimed)) = (worst.get(line), claimed.get_mut(line)) else { return false };
            let won = *worst == rank(what) && (what == What::Watch || !*claimed);
            *claimed |= won;
            won
        });
    }
    let before = verdict.actions.len();
    verdict.actions.retain(|action| !action.lines.is_empty());
    verdict.dropped.extend(std::iter::repeat_n(Dropped::Taken, before - verdict.actions.len()));
}

/// The value of the first of these names that is there, in lower or upper case.
fn get<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    let exact = names.iter().find_map(|name| object.get(*name));
    exact.or_else(|| {
        let named = |name: &String| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        object.iter().find(|(name, _)| named(name)).map(|(_, value)| value)
    })
}

fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.floor_char_boundary(TEXT_MAX_BYTES);
    (!text.is_empty()).then(|| text.split_at(end).0.to_owned())
}

// === impl Dropped, Unreadable ===

impl Dropped {
    pub fn as_str(self) -> &'static str {
        match self {
            Dropped::UnknownAction => "unknown_action",
            Dropped::NoSuchLine => "no_such_line",
            Dropped::Taken => "taken",
            Dropped::TooMany => "too_many",
            Dropped::NoForm => "no_form",
            Dropped::UnknownLabel => "unknown_label",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Empty => f.write_str("the reply is empty"),
            Unreadable::TooLong => f.write_str("the reply is too long"),
            Unreadable::NoJson => f.write_str("the reply is not JSON, or its JSON is not complete"),
            Unreadable::Schema => f.write_str("the reply repeats the schema; fill it in with your decisions"),
            Unreadable::NoList(name) => write!(f, "the reply has no list \"{name}\""),
            Unreadable::NoneUsable { first: Dropped::UnknownAction, .. } => {
                f.write_str("\"action\" must be \"ignore\", \"watch\" or \"investigate\"")
            }
            Unreadable::NoneUsable { first: Dropped::NoSuchLine, lines } => {
                write!(f, "\"lines\" must be numbers from 1 to {lines}")
            }
            Unreadable::NoneUsable { first: Dropped::UnknownLabel, .. } => {
                f.write_str("\"label\" must be the label of a watch that was shown")
            }
            Unreadable::NoneUsable { .. } => f.write_str("the items of the list must be objects of the given form"),
        }
    }
}
