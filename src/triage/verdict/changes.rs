//! The reply to tuning: other numbers for watches that the model made.

use serde_json::Value;

use super::{ACTIONS_MAX, Dropped, Unreadable, find, get, numbers, text};

/// Other numbers for one watch, as they were read: neither valid nor clamped.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// One of the labels that were shown.
    pub label: String,
    pub threshold: Option<f64>,
    pub window_seconds: Option<f64>,
    pub reason: Option<String>,
}

/// A reply to tuning, as far as it could be used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub changes: Vec<Change>,
    pub dropped: Vec<Dropped>,
}

/// Reads a reply to a prompt that showed these labels. Each is changed once at most, by the first that does.
pub fn read_changes(text: &str, labels: &[&str]) -> Result<Changes, Unreadable> {
    let mut read = Changes::default();
    for value in &find::objects(text, "changes")? {
        match change(value, labels) {
            Ok(_) if read.changes.len() == ACTIONS_MAX => read.dropped.push(Dropped::TooMany),
            Ok(change) if read.changes.iter().any(|known| known.label == change.label) => {
                read.dropped.push(Dropped::UnknownLabel);
            }
            Ok(change) => read.changes.push(change),
            Err(why) => read.dropped.push(why),
        }
    }
    match (read.changes.is_empty(), read.dropped.first()) {
        (true, Some(&first)) => Err(Unreadable::NoneUsable { first, lines: labels.len() }),
        _ => Ok(read),
    }
}

fn change(value: &Value, labels: &[&str]) -> Result<Change, Dropped> {
    let object = value.as_object().ok_or(Dropped::NoForm)?;
    let label = get(object, &["label", "name"]).and_then(Value::as_str).ok_or(Dropped::NoForm)?.trim();
    let label = labels.iter().find(|known| known.eq_ignore_ascii_case(label)).ok_or(Dropped::UnknownLabel)?;
    let threshold = get(object, &["threshold", "new_threshold"]).and_then(numbers::number);
    let window_seconds = get(object, &["window_seconds", "window"]).and_then(numbers::seconds);
    if threshold.is_none() && window_seconds.is_none() {
        return Err(Dropped::NoForm);
    }
    let reason = get(object, &["reason", "summary"]).and_then(text);
    Ok(Change { label: (*label).to_owned(), threshold, window_seconds, reason })
}
