//! One thing that a configuration will cost somebody, and how to mend it.
//!
//! What came from the file is cut and stripped of control characters here, so no value can break a line of the
//! report or reach the terminal as more than text.

use std::fmt;
use std::sync::Arc;

/// Worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Lines never arrive, or arrive without what they are counted by.
    Lost,
    /// Lines are counted more than once.
    Doubled,
    /// Other outputs of the same Fluent Bit lose or wait.
    Hurts,
    /// Lines arrive late.
    Slowed,
    Note,
}

/// Line 0: the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// A line to write; into another section than the finding's where one is named.
    Write { section: Option<&'static str>, key: String, value: String },
    /// The line is to go.
    Remove,
    /// What cannot be said in one line of configuration.
    Otherwise(String),
}

#[derive(Clone, Debug)]
pub struct Finding {
    /// Which rule found it.
    pub rule: &'static str,
    pub severity: Severity,
    /// One, or several where equal findings were joined.
    pub places: Vec<Place>,
    /// As a person calls it: `[OUTPUT] http`.
    pub section: String,
    /// The key and value that were found, or what is missing.
    pub found: String,
    pub consequence: String,
    pub mends: Vec<Mend>,
}

/// How much of a value a report repeats.
const SHOWN_CHARS: usize = 80;

impl Finding {
    pub(super) fn new(
        rule: &'static str,
        severity: Severity,
        place: Place,
        section: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (section, found) = (section.into(), found.into());
        Self { rule, severity, places: vec![place], section, found, consequence: String::new(), mends: vec![] }
    }

    #[must_use]
    pub(super) fn says(mut self, consequence: impl Into<String>) -> Self {
        self.consequence = consequence.into();
        self
    }

    #[must_use]
    pub(super) fn write(mut self, key: &str, value: impl Into<String>) -> Self {
        self.mends.push(Mend::Write { section: None, key: key.to_owned(), value: value.into() });
        self
    }

    #[must_use]
    pub(super) fn write_in(mut self, section: &'static str, key: &str, value: impl Into<String>) -> Self {
        self.mends.push(Mend::Write { section: Some(section), key: key.to_owned(), value: value.into() });
        self
    }

    #[must_use]
    pub(super) fn remove(mut self) -> Self {
        self.mends.push(Mend::Remove);
        self
    }

    #[must_use]
    pub(super) fn otherwise(mut self, how: impl Into<String>) -> Self {
        self.mends.push(Mend::Otherwise(how.into()));
        self
    }

    /// Everything but the place.
    fn says_the_same(&self, other: &Finding) -> bool {
        self.rule == other.rule
            && self.severity == other.severity
            && self.section == other.section
            && self.found == other.found
            && self.consequence == other.consequence
            && self.mends == other.mends
    }
}

/// Worst first, then as they stand in the files; what says the same several times says it once.
pub(super) fn ordered(findings: Vec<Finding>) -> Vec<Finding> {
    let mut joined: Vec<Finding> = Vec::new();
    for finding in findings {
        match joined.iter_mut().find(|earlier| earlier.says_the_same(&finding)) {
            Some(earlier) => {
                for place in finding.places {
                    if !earlier.places.contains(&place) {
                        earlier.places.push(place);
                    }
                }
            }
            None => joined.push(finding),
        }
    }
    joined.sort_by_key(|finding| (finding.severity, finding.places.first().map_or(0, |place| place.line)));
    joined
}

/// A text from outside, on one line and cut.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Hurts => "hurts",
            Self::Slowed => "slowed",
            Self::Note => "note",
        }
    }

    /// Whether whoever asked should not deploy this.
    pub fn is_serious(self) -> bool {
        matches!(self, Self::Lost | Self::Doubled | Self::Hurts)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.file))?;
        if self.line > 0 { write!(f, ":{}", self.line) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, severity: Severity, found: &str) -> Finding {
        Finding::new("r", severity, Place { file: "f".into(), line }, "[OUTPUT] http", found)
    }

    #[test]
    fn findings_are_ordered_worst_first_and_equal_ones_are_joined() {
        let findings = ordered(vec![
            at(9, Severity::Note, "a"),
            at(7, Severity::Lost, "b"),
            at(3, Severity::Note, "a"),
            at(5, Severity::Lost, "c"),
        ]);
        let told: Vec<_> = findings.iter().map(|f| (f.found.as_str(), f.places.len())).collect();
        assert_eq!(told, [("c", 1), ("b", 1), ("a", 2)]);
    }

    #[test]
    fn a_value_cannot_break_the_line_or_color_the_terminal() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(shown(&"x".repeat(81)), format!("{}...", "x".repeat(80)));
    }
}
