//! What is wrong with something a person or a program handed us: a setting, a rule, an API body.
//!
//! A fault names the key as it was written (`server.listen`, `watch[2].match.all[1].gte`), and its
//! message names the value got and the bound broken, with a hint where one is obvious. Faults are
//! collected, never thrown one at a time: one deploy should be enough to learn of all of them.
//! Text that came from outside is quoted and cut here, so a fault never breaks a log line apart.
//! Nothing in this file knows a secret; callers that hold one simply do not pass it on.

use std::fmt;

use regex_syntax::ParserBuilder;
use serde_json::Value;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Dotted, as written: `server.listen`, `watch[2].threshold`. Empty when the whole value is meant.
    pub key: String,
    /// Starts in lower case and goes on from the key: `must be …, got …; did you mean …?`
    pub message: String,
}

/// Everything that is wrong, in the order in which it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// How much of a value a message repeats: enough to recognise it, too little to fill a screen.
const SHOWN_CHARS: usize = 60;

/// Words longer than this are not compared: edit distance is quadratic and no key is that long.
const COMPARED_CHARS: usize = 64;

// === impl Fault ===

impl Fault {
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// The value is there, but it is not what it must be.
    pub fn wrong(key: impl Into<String>, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self::new(key, format!("must be {expected}, got {got}"))
    }

    /// A value without which nothing can be done is not there.
    pub fn missing(key: impl Into<String>, expected: impl fmt::Display) -> Self {
        Self::new(key, format!("is missing; it must be {expected}"))
    }

    /// A key nobody reads. Silence would let a misspelt setting look as if it were in force.
    pub fn unknown(key: impl Into<String>, name: &str, known: &[&str]) -> Self {
        let fault = Self::new(key, "unknown key");
        match closest(name, known.iter().copied()) {
            Some(near) => fault.hint(format!("did you mean {near}?")),
            None => fault.hint(format!("known here: {}", known.join(", "))),
        }
    }

    /// A word that is not one of a short list of words.
    pub fn not_one_of(key: impl Into<String>, words: &[&str], got: &str) -> Self {
        Self::wrong(key, format_args!("one of {}", words.join(", ")), quoted(got)).did_you_mean(got, words)
    }

    /// The same fault with advice at its end.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.message.push_str(&format!("; {hint}"));
        self
    }

    /// The same fault with the nearest of `words`, if one is near.
    #[must_use]
    pub fn did_you_mean(self, got: &str, words: &[&str]) -> Self {
        match closest(got, words.iter().copied()) {
            Some(near) => self.hint(format!("did you mean {near:?}?")),
            None => self,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.key, self.message) }
    }
}

impl std::error::Error for Fault {}

// === impl Faults ===

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

// === patterns ===

/// What is wrong with the syntax of a regular expression, as the rest of a sentence, with its place. `utf8`: it may
/// match whole characters only. The library that compiles words its errors for a terminal, as a drawing.
pub fn pattern_syntax(pattern: &str, nesting_max: u32, utf8: bool) -> Option<String> {
    let error = ParserBuilder::new().utf8(utf8).nest_limit(nesting_max).build().parse(pattern).err()?;
    let (offset, what) = match &error {
        regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (error.span().start.offset, error.kind().to_string()),
        other => (0, other.to_string()),
    };
    let place = pattern.get(..offset).map_or(0, |before| before.chars().count()) + 1;
    Some(format!("is no regular expression: {what} (at character {place})"))
}

// === keys and values as messages show them ===

/// `server` and `listen` make `server.listen`. A name that is no bare word is quoted, so that a key
/// holding a dot or a line break cannot pass for another one.
pub fn join(parent: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name.chars().count() <= SHOWN_CHARS
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let name = if bare { name.to_owned() } else { quoted(name) };
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}

/// `watch` and 2 make `watch[2]`.
pub fn item(parent: &str, position: usize) -> String {
    format!("{parent}[{position}]")
}

/// A text in quotes, escaped and cut.
pub fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// A JSON value as a message shows it: scalars as written, the rest by kind and size.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The candidate that `word` is most likely a slip of, if any is near enough: a third of its letters
/// may differ, at least one. Case counts for nothing; the first of equals wins.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(COMPARED_CHARS + 1).flat_map(char::to_lowercase).collect();
    if word.is_empty() || word.len() > COMPARED_CHARS {
        return None;
    }
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        // A distance as long as the candidate itself shares nothing with it.
        .filter(|&(distance, candidate)| distance <= allowed && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = above;
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_prints_its_key_and_faults_print_one_a_line() {
        let faults = Faults(vec![
            Fault::wrong("server.workers", "a whole number from 1 to 256", 0),
            Fault::new("", "must be an object"),
        ]);
        assert_eq!(
            faults.to_string(),
            "server.workers: must be a whole number from 1 to 256, got 0\nmust be an object"
        );
    }

    #[test]
    fn the_closest_word_is_found_by_a_small_distance_only() {
        let known = ["threshold", "window_seconds", "label", "match"];
        for (word, near) in [
            ("treshold", Some("threshold")),
            ("Threshold", Some("threshold")),
            ("windows_seconds", Some("window_seconds")),
            ("window", None),
            ("lable", Some("label")),
            ("mathc", Some("match")),
            ("m", None),
            ("", None),
            ("colour", None),
        ] {
            assert_eq!(closest(word, known), near, "{word}");
        }
        assert_eq!(closest(&"label".repeat(1000), known), None);
    }

    #[test]
    fn a_key_that_is_no_bare_word_cannot_break_the_line_or_pass_for_a_path() {
        assert_eq!(join("watch[0]", "label"), "watch[0].label");
        assert_eq!(join("", "label"), "label");
        assert_eq!(join("server", "a.b\nserver.listen"), r#"server."a.b\nserver.listen""#);
    }

    #[test]
    fn values_are_shown_escaped_and_cut() {
        assert_eq!(quoted("a\"b\n"), r#""a\"b\n""#);
        assert_eq!(quoted(&"é".repeat(61)), format!("\"{}…\"", "é".repeat(60)));
        assert_eq!(shown(&serde_json::json!([1, 2])), "a list of 2");
        assert_eq!(shown(&serde_json::json!(2.5)), "2.5");
    }
}
