//! From JSON to a [`Rule`]: its keys, their types and bounds. The condition is read next door.
//!
//! A key that is `null` counts as left out, because models write it so. Numbers may be texts, for
//! the same reason. Every key is looked at even after the first fault.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::condition;
use super::{
    DEFAULT_GROUP_BY, FIELD_MAX_CHARS, GROUP_BY_MAX, Kind, LABEL_MAX_CHARS, OnCrossing, Rule, SUMMARY_MAX_CHARS,
    THRESHOLD_MAX, TTL_MAX_SECONDS, TTL_MIN_SECONDS, WINDOW_MAX_SECONDS, clean_label,
};
use crate::fault::{Fault, item, join, quoted, shown};
use crate::notify::notice::Severity;

/// What a rule is written with.
pub const KEYS: [&str; 11] = [
    "action",
    "label",
    "kind",
    "match",
    "threshold",
    "window_seconds",
    "group_by",
    "on_crossing",
    "ttl_seconds",
    "severity",
    "summary",
];

const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// The keys of one rule and the faults found in them so far.
struct Keys<'a> {
    object: &'a Map<String, Value>,
    key: &'a str,
    faults: &'a mut Vec<Fault>,
}

pub(super) fn rule(value: &Value, key: &str, faults: &mut Vec<Fault>) -> Option<Rule> {
    let faults_before = faults.len();
    let Some(object) = value.as_object() else {
        faults.push(Fault::wrong(key, "an object with label, match, threshold and window_seconds", shown(value)));
        return None;
    };

    let mut keys = Keys { object, key, faults };
    keys.refuse_unknown();
    keys.action();
    let label = keys.label();
    let kind = keys.kind();
    let expr = keys.required("match", "an object such as {\"field\": \"status\", \"gte\": 500}");
    let expr = expr.and_then(|value| condition::read(value, &join(key, "match"), keys.faults));
    let threshold = keys.whole("threshold", 1..=THRESHOLD_MAX, true);
    let window_seconds = keys.whole("window_seconds", 1..=WINDOW_MAX_SECONDS, true);
    let group_by = keys.group_by();
    let on_crossing = keys.word("on_crossing", OnCrossing::parse, &OnCrossing::NAMES);
    let ttl_seconds = keys.whole("ttl_seconds", TTL_MIN_SECONDS..=TTL_MAX_SECONDS, false);
    let severity = keys.word("severity", Severity::parse, &SEVERITIES);
    let summary = keys.summary();

    if faults.len() > faults_before {
        return None;
    }
    Some(Rule {
        label: label?,
        kind,
        expr: expr?,
        threshold: threshold?,
        window_seconds: u32::try_from(window_seconds?).ok()?,
        group_by,
        on_crossing: on_crossing.unwrap_or(OnCrossing::Investigate),
        ttl_seconds,
        severity: severity.unwrap_or(Severity::Warning),
        summary,
    })
}

/// A text within `chars`, or a fault that says how long it is.
pub(super) fn within(
    text: &str,
    chars: RangeInclusive<usize>,
    key: impl FnOnce() -> String,
    faults: &mut Vec<Fault>,
) -> Option<String> {
    let length = text.chars().count();
    if chars.contains(&length) {
        return Some(text.to_owned());
    }
    faults.push(match (length, *chars.start()) {
        (0, _) => Fault::new(key(), "must not be empty"),
        (_, 0) => Fault::wrong(key(), format_args!("at most {} characters", chars.end()), length),
        (_, start) => Fault::wrong(key(), format_args!("{start} to {} characters", chars.end()), length),
    });
    None
}

/// A finite number, or a text that is one.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        // Rust also reads "nan" and "inf", with which no comparison means anything.
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

// === impl Keys ===

impl<'a> Keys<'a> {
    fn at(&self, name: &str) -> String {
        join(self.key, name)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn required(&mut self, name: &str, expected: &str) -> Option<&'a Value> {
        let value = self.get(name);
        if value.is_none() {
            self.faults.push(Fault::missing(self.at(name), expected));
        }
        value
    }

    fn refuse_unknown(&mut self) {
        for name in self.object.keys().filter(|name| !KEYS.contains(&name.as_str())) {
            self.faults.push(Fault::unknown(self.at(name), name, &KEYS));
        }
    }

    /// The seeds write it; that it says anything else means the object is not a rule.
    fn action(&mut self) {
        if let Some(value) = self.get("action").filter(|value| value.as_str() != Some("watch")) {
            self.faults.push(Fault::wrong(self.at("action"), "\"watch\" or left out", shown(value)));
        }
    }

    fn label(&mut self) -> Option<String> {
        let expected = format!("1 to {LABEL_MAX_CHARS} of a-z, 0-9 and _");
        let value = self.required("label", &expected)?;
        let label = value.as_str().unwrap_or_default();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if (1..=LABEL_MAX_CHARS).contains(&label.len()) && label.bytes().all(allowed) {
            return Some(label.to_owned());
        }
        let fault = Fault::wrong(self.at("label"), expected, shown(value));
        self.faults.push(match clean_label(label) {
            Some(clean) => fault.hint(format!("{clean:?} would do")),
            None => fault,
        });
        None
    }

    /// Which kinds exist is said in every case: the documentation speaks of more than exist now.
    fn kind(&mut self) -> Kind {
        let Some(value) = self.get("kind") else {
            return Kind::Count;
        };
        value.as_str().and_then(Kind::parse).unwrap_or_else(|| {
            let expected = format!("a kind that exists now ({})", Kind::NAMES.join(", "));
            let fault = Fault::wrong(self.at("kind"), expected, shown(value));
            self.faults.push(fault.did_you_mean(value.as_str().unwrap_or_default(), &Kind::NAMES));
            Kind::Count
        })
    }

    fn whole(&mut self, name: &str, bounds: RangeInclusive<u64>, required: bool) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let value = if required { self.required(name, &expected)? } else { self.get(name)? };
        // Every bound is far below 2^53: a double holds each allowed value exactly.
        let whole = number(value).filter(|number| number.fract() == 0.0 && *number >= 0.0);
        let whole = whole.map(|number| number as u64).filter(|whole| bounds.contains(whole));
        if whole.is_none() {
            self.faults.push(Fault::wrong(self.at(name), expected, shown(value)));
        }
        whole
    }

    fn word<T>(&mut self, name: &str, parse: fn(&str) -> Option<T>, words: &[&str]) -> Option<T> {
        let value = self.get(name)?;
        let text = value.as_str();
        let word = text.and_then(parse);
        if word.is_none() {
            self.faults.push(match text {
                Some(text) => Fault::not_one_of(self.at(name), words, text),
                None => Fault::wrong(self.at(name), format_args!("one of {}", words.join(", ")), shown(value)),
            });
        }
        word
    }

    fn summary(&mut self) -> String {
        let Some(value) = self.get("summary") else {
            return String::new();
        };
        let key = self.at("summary");
        let Some(text) = value.as_str() else {
            self.faults.push(Fault::wrong(key, "a string", shown(value)));
            return String::new();
        };
        within(text, 0..=SUMMARY_MAX_CHARS, || key, self.faults).unwrap_or_default()
    }

    fn group_by(&mut self) -> Vec<String> {
        let Some(value) = self.get("group_by") else {
            return DEFAULT_GROUP_BY.map(str::to_owned).to_vec();
        };
        let key = self.at("group_by");
        let expected = format!("a list of up to {GROUP_BY_MAX} field names");
        let Some(names) = value.as_array().filter(|names| names.len() <= GROUP_BY_MAX) else {
            let fault = Fault::wrong(key, expected, shown(value));
            self.faults.push(match value.as_str() {
                Some(name) => fault.hint(format!("write [{}]", quoted(name))),
                None => fault,
            });
            return Vec::new();
        };
        let mut fields: Vec<String> = Vec::new();
        for (position, name) in names.iter().enumerate() {
            let Some(text) = name.as_str() else {
                self.faults.push(Fault::wrong(item(&key, position), "a field name", shown(name)));
                continue;
            };
            if fields.iter().any(|field| field == text) {
                self.faults.push(Fault::new(item(&key, position), format!("{} is named twice", quoted(text))));
                continue;
            }
            fields.extend(within(text, 1..=FIELD_MAX_CHARS, || item(&key, position), self.faults));
        }
        fields
    }
}
