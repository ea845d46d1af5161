//! What an operator may say about redaction: what is hidden beyond secrets, and by which further patterns.

use regex::{Regex, RegexBuilder};

use super::marks::IDENTITIES;
use super::rows::ROWS;
use crate::fault::pattern_syntax;

/// Each is looked for in every text that is shown.
pub const PATTERNS_MAX: usize = 20;
/// A pattern longer than that is a program.
pub const PATTERN_MAX_CHARS: usize = 500;
/// Bytes of one compiled pattern; also bounds what each byte of a text can cost.
pub const COMPILED_MAX_BYTES: usize = 1 << 20;
/// A name stands in every mark.
pub const NAME_MAX_BYTES: usize = 32;
/// All of them are one pattern.
pub const FIELDS_MAX: usize = 100;
pub const FIELD_MAX_BYTES: usize = 64;
/// Groups within groups: reading a pattern is recursive.
const NESTING_MAX: u32 = 50;

/// What is hidden. Secrets are, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub emails: bool,
    /// Numbers of payment cards.
    pub cards: bool,
    pub ips: bool,
    /// In order; names are unique.
    pub patterns: Vec<Custom>,
    /// Names whose values are hidden, in any case; each [`is_field`].
    pub fields: Vec<String>,
}

/// A pattern of the operator's own: group 1 is hidden, or the whole match where it has none.
#[derive(Clone, Debug)]
pub struct Custom {
    pub name: String,
    pub(super) regex: Regex,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { emails: true, cards: true, ips: false, patterns: Vec::new(), fields: Vec::new() }
    }
}

impl Custom {
    /// `Err`: what is wrong with the pattern, as the rest of a sentence.
    pub fn new(name: &str, pattern: &str) -> Result<Custom, String> {
        let chars = pattern.chars().count();
        if !(1..=PATTERN_MAX_CHARS).contains(&chars) {
            return Err(format!("must be 1 to {PATTERN_MAX_CHARS} characters long, got {chars}"));
        }
        if let Some(what) = pattern_syntax(pattern, NESTING_MAX, true) {
            return Err(what);
        }
        let built = RegexBuilder::new(pattern).size_limit(COMPILED_MAX_BYTES).nest_limit(NESTING_MAX).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("compiles to more than {COMPILED_MAX_BYTES} bytes; repeat less, or write (?-u:\\w) where ASCII letters will do")
            }
            other => format!("is no regular expression: {other}"),
        })?;
        // It would hide nothing, everywhere.
        if regex.is_match("") {
            return Err("matches the empty text; it must match what is to be hidden and nothing else".to_owned());
        }
        Ok(Custom { name: name.to_owned(), regex })
    }
}

/// Written the same, they are the same.
impl PartialEq for Custom {
    fn eq(&self, other: &Custom) -> bool {
        self.name == other.name && self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Custom {}

/// May a pattern be called so? Marks of our own kinds mean what they say.
pub fn is_name(name: &str) -> bool {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(sound) && !is_taken(name)
}

fn is_taken(name: &str) -> bool {
    name == super::engine::FIELD || IDENTITIES.contains(&name) || ROWS.iter().any(|row| row.name == name)
}

pub fn is_field(name: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.';
    (1..=FIELD_MAX_BYTES).contains(&name.len()) && name.bytes().all(sound)
}
