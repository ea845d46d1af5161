//! Numbers, lengths of time and severities, as models write them.

use serde_json::Value;

use crate::notify::notice::Severity;

/// A number, also as a text that begins with one: `"10"`, `"10 per minute"`.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => leading(text).map(|(number, _)| number),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

/// A length of time in seconds: a bare number is seconds, a text may have a unit.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    let Value::String(text) = value else { return number(value) };
    let (number, unit) = leading(text)?;
    let unit: String = unit.trim().chars().take_while(|c| c.is_ascii_alphabetic()).take(8).collect();
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" => 0.001,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86400.0,
        _ => return None,
    };
    Some(number * factor).filter(|seconds| seconds.is_finite())
}

/// The names that were asked for, and those of log levels and alarm systems.
pub(super) fn severity(name: &str) -> Option<Severity> {
    match name.trim().to_ascii_lowercase().as_str() {
        "info" | "information" | "low" => Some(Severity::Info),
        "warning" | "warn" | "medium" | "error" => Some(Severity::Warning),
        "critical" | "crit" | "fatal" | "high" => Some(Severity::Critical),
        _ => None,
    }
}

/// The number that a text begins with, and what is behind it.
fn leading(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end.min(32));
    Some((digits.parse().ok()?, rest))
}
