//! A kind of line as the `match` of a rule: its service, and the cheapest tests that tell it from others.

use serde_json::{Value, json};

use crate::triage::{Offer, Shape};

/// Shorter texts are in too many lines to stand for a kind.
const TEXT_MIN: usize = 8;
/// A longer one tells nothing more, and costs.
const TEXT_MAX: usize = 120;
/// A longer name of a service, method or exception is none.
const OPERAND_MAX: usize = 500;
/// Of a template's run of words that many are tried against the message: all windows of them are.
const WORDS_MAX: usize = 24;

/// The condition that the lines of this kind meet.
pub(super) fn of(offer: &Offer) -> Value {
    let mut tests = Vec::new();
    if is_operand(&offer.service) {
        tests.push(test("service", "eq", offer.service.as_str()));
    }
    match (offer.shape, &offer.exception, offer.status) {
        (Shape::Trace, Some(exception), _) if is_operand(exception) => {
            tests.push(test("exception.type", "eq", exception.as_str()))
        }
        (Shape::Access, _, Some(status)) => request(offer, status, &mut tests),
        _ => message(offer, &mut tests),
    }
    match tests.pop() {
        Some(only) if tests.is_empty() => only,
        last => {
            tests.extend(last);
            json!({"all": tests})
        }
    }
}

/// May it be compared with? A rule has bounds on its texts.
fn is_operand(text: &str) -> bool {
    (1..=OPERAND_MAX).contains(&text.len())
}

fn test(field: &str, operator: &str, operand: impl Into<Value>) -> Value {
    json!({"field": field, operator: operand.into()})
}

fn request(offer: &Offer, status: u16, tests: &mut Vec<Value>) {
    if let Some(method) = offer.method.as_deref().filter(|method| is_operand(method)) {
        tests.push(test("method", "eq", method));
    }
    tests.push(test("status", "eq", status));
    let path = offer.path.as_deref().unwrap_or_default();
    // `GET 500 /orders/<num>`
    let masked = offer.template.find('/').and_then(|at| offer.template.get(at..)).unwrap_or_default();
    let constant = masked.split(['<', '?', ' ']).next().unwrap_or_default();
    if constant.len() > 1 && path.starts_with(constant) {
        tests.push(test("path", "starts_with", head(constant)));
    }
}

/// The longest constant text that the message really has; the level too where that is short.
fn message(offer: &Offer, tests: &mut Vec<Value>) {
    let text = constant_runs(&offer.template)
        .into_iter()
        .filter_map(|run| longest_within(run, &offer.message))
        .max_by_key(|text| text.len());
    let is_long = text.is_some_and(|text| text.len() >= TEXT_MIN);
    if let Some(text) = text {
        tests.push(json!({"field": "message", "contains": head(text)}));
    }
    if !is_long {
        tests.push(test("level", "eq", offer.level.as_str()));
    }
}

/// What stands between the placeholders of a template: `<*>`, `<num>`, `<str:17>`.
pub(super) fn constant_runs(template: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('<') {
        let name = behind.split('>').next().unwrap_or_default();
        let is_placeholder = name.len() < behind.len()
            && (1..=24).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"*:_-".contains(&b));
        let taken = if is_placeholder { before } else { rest.get(..before.len() + 1).unwrap_or_default() };
        runs.push(taken);
        rest = if is_placeholder { behind.get(name.len() + 1..).unwrap_or_default() } else { behind };
    }
    runs.push(rest);
    runs.retain(|run| !run.trim().is_empty());
    runs
}

/// `run`, or its longest stretch of whole words that is in `message`: a template may have put blanks otherwise.
fn longest_within<'t>(run: &'t str, message: &str) -> Option<&'t str> {
    let run = run.trim();
    if message.contains(run) {
        return Some(run);
    }
    let begin = |word: &str| word.as_ptr() as usize - run.as_ptr() as usize;
    let words: Vec<(usize, usize)> =
        run.split_whitespace().take(WORDS_MAX).map(|word| (begin(word), begin(word) + word.len())).collect();
    let mut best: Option<&str> = None;
    for (first, (start, _)) in words.iter().enumerate() {
        let ends = words.iter().skip(first).map(|(_, end)| *end);
        let texts = ends.filter_map(|end| run.get(*start..end));
        let longest = texts.take_while(|text| message.contains(text)).last();
        best = best.into_iter().chain(longest).max_by_key(|text| text.len());
    }
    best
}

fn head(text: &str) -> &str {
    text.split_at(text.floor_char_boundary(TEXT_MAX)).0
}
