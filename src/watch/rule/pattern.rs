//! The `regex` operator: a pattern checked and compiled once, within bounds.
//!
//! It promises:
//! - the time is linear in the text, whatever pattern and text are: no backtracking, no look-around, no back
//!   references (those are refused as syntax);
//! - a pattern that exists is within its bounds, and is compiled once however often the set of rules is made anew;
//! - what is wrong with one is told with its place in the pattern, or with the bound.
//!
//! Letters are Unicode's and case matters, unless the pattern says otherwise (`(?i)`, `(?-u:\w)`). `.` and the
//! classes match characters, so not a byte that is no UTF-8. Texts that must be there are searched for first, by
//! vectors, by the library itself: nothing of ours comes before it.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::parse::within;
use super::{Expr, Op, Rule};
use crate::fault::{Fault, pattern_syntax, shown};

/// A pattern longer than that is a program, not a condition.
pub const PATTERN_MAX_CHARS: usize = 1_000;
/// Of all rules of one set: each may keep what the two bounds below say.
pub const REGEXES_MAX: usize = 100;
/// Bytes of one compiled pattern; also bounds what each byte of a text can cost.
pub const COMPILED_MAX_BYTES: usize = 1 << 20;
/// Bytes of the states that are found while searching, for each thread that searches; when they are used up the
/// search begins anew with none, and where that does not help goes on without them, slower and as linear.
const STATES_MAX_BYTES: usize = 1 << 20;
/// Groups within groups: reading a pattern is recursive.
const NESTING_MAX: u32 = 50;

/// A regular expression, compiled.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// `Err`: what is wrong with it, as the rest of a sentence.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if let Some(what) = pattern_syntax(text, NESTING_MAX, false) {
            return Err(what);
        }
        let built = RegexBuilder::new(text)
            .size_limit(COMPILED_MAX_BYTES)
            .dfa_size_limit(STATES_MAX_BYTES)
            .nest_limit(NESTING_MAX)
            .build();
        built.map(Pattern).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!(
                "compiles to more than {COMPILED_MAX_BYTES} bytes; repeat less, or write (?-u:\\w) where ASCII letters will do"
            ),
            other => format!("is no regular expression: {other}"),
        })
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

/// The operand of `regex`, or what is wrong with it.
pub(super) fn read(value: &Value, key: &str, faults: &mut Vec<Fault>) -> Option<Pattern> {
    let Some(text) = value.as_str() else {
        faults.push(Fault::wrong(key, "a string", shown(value)));
        return None;
    };
    let text = within(text, 1..=PATTERN_MAX_CHARS, || key.to_owned(), faults)?;
    Pattern::new(&text).map_err(|what| faults.push(Fault::new(key, what))).ok()
}

/// Written the same, they are the same.
impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Rule {
    /// How many regular expressions it holds: their number is bounded for a whole set.
    pub fn regexes(&self) -> usize {
        fn of(expr: &Expr) -> usize {
            match expr {
                Expr::All(parts) | Expr::Any(parts) => parts.iter().map(of).sum(),
                Expr::Not(part) => of(part),
                Expr::Test { op, .. } => usize::from(matches!(op, Op::Regex(_))),
            }
        }
        of(&self.expr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_what_it_says_wherever_it_stands() {
        for (pattern, text, found) in [
            ("^/api/v[0-9]+/", &b"/api/v12/cart"[..], true),
            ("^/api/v[0-9]+/", b"x/api/v12/cart", false),
            ("time(d )?out", b"it timed out twice", true),
            ("timeout", b"TIMEOUT", false),
            ("(?i)timeout", b"TIMEOUT", true),
            ("(?i)STRASSE", "straße".as_bytes(), false),
            (r"\bR\w+hr\b", "sp\u{e4}te Rückkehr".as_bytes(), true),
            (r"(?-u:\bR\w+hr\b)", "späte Rückkehr".as_bytes(), false),
            ("a.b", b"a\xffb", false),
            (r"a(?-u:.)b", b"a\xffb", true),
            (r"(?-u:\xff)", b"a\xffb", true),
            ("a.b", b"a\nb", false),
            ("(?s)a.b", b"a\nb", true),
            ("(?m)^second$", b"first\nsecond\n", true),
            ("", b"", true),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            assert_eq!(compiled.is_match(text), found, "{pattern} in {}", String::from_utf8_lossy(text));
        }
    }

    /// Backtracking would not end within the age of the universe.
    #[test]
    fn patterns_made_to_be_slow_are_linear_in_a_mebibyte() {
        let all_a = vec![b'a'; 1 << 20];
        let mut almost = all_a.clone();
        almost.push(b'!');
        for pattern in ["(a+)+$", "(a|a)*$", "(a*)*b", "^(a|aa)+$", "(?:a?){30}a{30}c"] {
            let begun = std::time::Instant::now();
            let compiled = Pattern::new(pattern).unwrap();
            for text in [&all_a, &almost] {
                compiled.is_match(text);
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{pattern}: {:?}", begun.elapsed());
        }
        assert!(Pattern::new("(a+)+$").unwrap().is_match(&all_a));
        assert!(!Pattern::new("(a+)+$").unwrap().is_match(&almost));
    }
}
