//! What a proposed watch is called: a few words of its template, or its exception.

use std::collections::BTreeSet;

use super::condition::constant_runs;
use crate::redact::Redacted;
use crate::triage::{Offer, Shape};
use crate::watch::rule::{LABEL_MAX_CHARS, clean_label};

const WORDS_MAX: usize = 6;
/// Longer ones are no words.
const WORD_MAX: usize = 20;
/// Room for what makes a label the only one.
const SUFFIX: usize = 5;

/// Words that say nothing in a name.
const FILLERS: [&str; 27] = [
    "a", "an", "the", "of", "to", "for", "in", "on", "at", "by", "is", "was", "are", "be", "with", "from", "and", "or",
    "as", "it", "this", "that", "error", "warn", "info", "err", "fatal",
];

/// A label that is not yet in `taken`, and is then.
pub(super) fn of(offer: &Offer, taken: &mut BTreeSet<String>) -> String {
    let label = match (offer.shape, &offer.exception) {
        (Shape::Access, _) => request(offer),
        (Shape::Trace, Some(exception)) => split_camel_case(Redacted::new(last_part(exception)).as_str()),
        _ => {
            let template = Redacted::new(&offer.template);
            words(&constant_runs(template.as_str()), "error")
        }
    };
    let label = clean_label(&label).unwrap_or_else(|| "error".to_owned());
    let others = (0..=u64::from(u16::MAX)).map(|more| with_suffix(&label, offer.kind.wrapping_add(more)));
    let free = std::iter::once(label.clone()).chain(others).find(|label| !taken.contains(label));
    let label = free.unwrap_or(label);
    taken.insert(label.clone());
    label
}

/// `http_503_post_api_orders`
fn request(offer: &Offer) -> String {
    let status = offer.status.unwrap_or_default();
    let method = offer.method.as_deref().unwrap_or_default();
    let path = offer.template.find('/').and_then(|at| offer.template.get(at..)).unwrap_or_default();
    let path = Redacted::new(path);
    format!("http_{status}_{}", words(&[&[method], constant_runs(path.as_str()).as_slice()].concat(), ""))
}

/// The first words with a meaning in `runs`; `otherwise` where there are none. Nothing with a digit: that may be an
/// id, or a key.
fn words(runs: &[&str], otherwise: &str) -> String {
    let parts = runs.iter().flat_map(|run| run.split(|c: char| !c.is_alphanumeric()));
    let is_word = |word: &&str| (2..=WORD_MAX).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic());
    let words: Vec<String> = parts.filter(is_word).map(str::to_ascii_lowercase).collect();
    let meaning: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !FILLERS.contains(word) && *word != "redacted").collect();
    let mut label = String::new();
    for word in meaning.into_iter().take(WORDS_MAX) {
        if label.len() + 1 + word.len() > LABEL_MAX_CHARS - SUFFIX - "http_000_".len() {
            break;
        }
        if !label.is_empty() {
            label.push('_');
        }
        label.push_str(word);
    }
    if label.is_empty() { otherwise.to_owned() } else { label }
}

/// `java.net.ConnectException` is a `ConnectException`.
fn last_part(exception: &str) -> &str {
    exception.rsplit(['.', ':', '\\', '$', '/']).find(|part| !part.is_empty()).unwrap_or_default()
}

fn split_camel_case(name: &str) -> String {
    let mut split = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && was_lower {
            split.push(' ');
        }
        was_lower = c.is_lowercase();
        split.push(c);
    }
    split
}

/// Two kinds of one batch can have the same words; the number of a kind is its own.
fn with_suffix(label: &str, kind: u64) -> String {
    let room = LABEL_MAX_CHARS - SUFFIX;
    let stem = label.get(..label.len().min(room)).unwrap_or(label).trim_end_matches('_');
    format!("{stem}_{:04x}", kind & 0xffff)
}
