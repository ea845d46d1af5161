//! A section and its keys, as Fluent Bit sees them: keys in any case, the last of equal ones in force.

use std::sync::Arc;

use super::finding::{Finding, Place, Severity, shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Service,
    Input,
    Filter,
    Output,
    /// Parsers and the like: read, never judged.
    Other,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    pub written: String,
    pub value: String,
    pub line: usize,
}

#[derive(Clone, Debug)]
pub struct Section {
    pub kind: Kind,
    pub file: Arc<str>,
    pub line: usize,
    pub entries: Vec<Entry>,
    /// FireLens writes it, not the user: nothing in it can be changed.
    pub generated: bool,
}

// === impl Kind ===

impl Kind {
    pub(super) fn of(header: &str) -> Self {
        match header.trim().to_ascii_lowercase().as_str() {
            "service" => Self::Service,
            "input" => Self::Input,
            "filter" => Self::Filter,
            "output" => Self::Output,
            _ => Self::Other,
        }
    }

    fn header(self) -> &'static str {
        match self {
            Self::Service => "[SERVICE]",
            Self::Input => "[INPUT]",
            Self::Filter => "[FILTER]",
            Self::Output => "[OUTPUT]",
            Self::Other => "[...]",
        }
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(key: &str, value: &str, line: usize) -> Self {
        Self { key: key.to_ascii_lowercase(), written: key.to_owned(), value: value.trim().to_owned(), line }
    }

    /// The value, unless it hangs on a variable that only Fluent Bit's own environment knows.
    pub(super) fn known(&self) -> Option<&str> {
        (!self.value.contains("${")).then_some(self.value.as_str())
    }

    /// The first word, as `Header` splits it, and what follows.
    pub(super) fn words(&self) -> (&str, &str) {
        let (name, rest) = self.value.split_once(char::is_whitespace).unwrap_or((&self.value, ""));
        (name, rest.trim())
    }

    /// As a report repeats it; never the text of a password.
    pub(super) fn shown(&self) -> String {
        let (key, (name, rest)) = (shown(&self.written), self.words());
        let is_secret = ["passwd", "password", "secret", "token"].iter().any(|word| self.key.contains(word));
        if is_secret {
            return if self.known().is_some() { format!("{key} ***") } else { format!("{key} {}", shown(&self.value)) };
        }
        let public =
            ["accept", "content-type", "content-encoding", "x-forwarded-for", "forwarded", "via", "user-agent"];
        if self.key == "header" && self.known().is_some() && !public.contains(&name.to_ascii_lowercase().as_str()) {
            return if rest.is_empty() {
                format!("{key} {}", shown(name))
            } else {
                format!("{key} {} ***", shown(name))
            };
        }
        format!("{key} {}", shown(&self.value))
    }
}

// === impl Section ===

impl Section {
    pub(super) fn new(kind: Kind, file: &Arc<str>, line: usize) -> Self {
        Self { kind, file: Arc::clone(file), line, entries: vec![], generated: false }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key, if it is there and known.
    pub(super) fn known(&self, key: &str) -> Option<&str> {
        self.get(key)?.known()
    }

    /// Of the plugin, in lower case. Fluent Bit takes both `Name` and, in old files, `Type`.
    pub(super) fn name(&self) -> String {
        self.get("name").map(|entry| entry.value.to_ascii_lowercase()).unwrap_or_default()
    }

    pub(super) fn is(&self, plugin: &str) -> bool {
        self.get("name").is_some_and(|entry| entry.value.eq_ignore_ascii_case(plugin))
    }

    /// As a person calls it.
    pub(super) fn label(&self) -> String {
        let mut label = self.kind.header().to_owned();
        if let Some(name) = self.get("name") {
            label.push_str(&format!(" {}", shown(&name.value)));
        }
        if let Some(alias) = self.get("alias") {
            label.push_str(&format!(" ({})", shown(&alias.value)));
        }
        label
    }

    pub(super) fn place(&self) -> Place {
        Place { file: Arc::clone(&self.file), line: self.line }
    }

    /// About `key`: at its line with its value, or at the section with what its absence means.
    pub(super) fn finding(&self, rule: &'static str, severity: Severity, key: &str, absent: &str) -> Finding {
        match self.get(&key.to_ascii_lowercase()) {
            Some(entry) => self.about(rule, severity, entry),
            None => {
                let found = if absent.is_empty() { format!("no {key}") } else { format!("no {key} ({absent})") };
                Finding::new(rule, severity, self.place(), self.label(), found)
            }
        }
    }

    pub(super) fn about(&self, rule: &'static str, severity: Severity, entry: &Entry) -> Finding {
        let place = Place { file: Arc::clone(&self.file), line: entry.line };
        Finding::new(rule, severity, place, self.label(), entry.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_repeated_and_a_reference_to_one_is() {
        for (key, value, shown) in [
            ("http_Passwd", "hunter2", "http_Passwd ***"),
            ("http_Passwd", "${PASSWORD}", "http_Passwd ${PASSWORD}"),
            ("Header", "Authorization Bearer hunter2", "Header Authorization ***"),
            ("Header", "X-Api-Key hunter2", "Header X-Api-Key ***"),
            ("Header", "Accept */*", "Header Accept */*"),
            ("Host", "a\nb", "Host a\u{fffd}b"),
        ] {
            assert_eq!(Entry::new(key, value, 1).shown(), shown);
        }
    }

    #[test]
    fn keys_are_found_in_any_case_and_the_last_one_is_in_force() {
        let mut section = Section::new(Kind::of("Output"), &"f".into(), 1);
        section.entries = vec![Entry::new("Match", "a", 2), Entry::new("MATCH", "b", 3)];
        assert_eq!(section.known("match"), Some("b"));
        assert_eq!(section.kind, Kind::Output);
    }
}
