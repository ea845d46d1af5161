//! The classic form: `[SECTION]`, and below it indented lines of a key, a blank and a value.
//!
//! As strict as Fluent Bit where that refuses to start (indentation, a missing value), so that what is judged is
//! what would run.

use std::sync::Arc;

use super::finding::Place;
use super::section::{Entry, Kind, Section};
use super::{Book, Draft, Unreadable};

impl Draft<'_> {
    pub(super) fn classic(&mut self, book: Book, depth: usize) -> Result<(), Unreadable> {
        if depth == 0 {
            self.read.push(book.id.clone());
        }
        let mut indent: Option<String> = None;
        let mut current: Option<Section> = None;
        let mut in_group = false;
        let mut is_empty = true;
        for (number, line) in book.text.lines().enumerate() {
            let number = book.lines_above + number + 1;
            let wrong = |expected: &str| Unreadable::at(&book.label, number, expected);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            is_empty = false;
            if let Some(rest) = directive(line, "@include") {
                // Fluent Bit goes on in a new section after it, too.
                self.sections.extend(current.take());
                let place = Place { file: Arc::clone(&book.label), line: number };
                for included in self.include(rest, &place, depth + 1) {
                    self.classic(included, depth + 1)?;
                }
            } else if let Some(rest) = directive(line, "@set") {
                let (name, value) = rest.split_once('=').ok_or_else(|| wrong("expected `@SET name=value`"))?;
                self.variables.set(name, value);
            } else if line.starts_with('@') {
                continue;
            } else if let Some(rest) = line.strip_prefix('[') {
                let (name, _) = rest.split_once(']').ok_or_else(|| wrong("expected `]` at the end of `[SECTION`"))?;
                self.sections.extend(current.replace(Section::new(Kind::of(name), &book.label, number)));
                in_group = false;
            } else {
                let level = level(line, &mut indent).map_err(wrong)?;
                in_group &= level == Level::Group;
                let line = line.trim_start();
                if line.starts_with('#') {
                    continue;
                }
                let section = current.as_mut().ok_or_else(|| wrong("expected a `[SECTION]` before the first key"))?;
                if line.starts_with('[') {
                    in_group = true;
                    continue;
                }
                let (key, value) = line.split_once(' ').unwrap_or((line, ""));
                if value.trim().is_empty() {
                    return Err(wrong("expected a key, a space (no tab) and a value"));
                }
                // A group is something within the section, such as processors: not the section's own keys.
                if !in_group && self.room() {
                    section.entries.push(Entry::new(key, value, number));
                }
            }
        }
        self.sections.extend(current);
        if is_empty && depth == 0 {
            return Err(Unreadable::at(&book.label, 0, "expected a `[SECTION]`, found nothing"));
        }
        Ok(())
    }
}

/// What follows `@name ` in `line`, in any case.
fn directive<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (word, rest) = line.split_once(' ')?;
    word.eq_ignore_ascii_case(name).then(|| rest.trim())
}

#[derive(PartialEq, Eq)]
enum Level {
    Key,
    Group,
}

/// The first indented line says how far; others must be as far, or twice as far for what is in a group.
fn level(line: &str, indent: &mut Option<String>) -> Result<Level, &'static str> {
    let blanks: String = line.chars().take_while(|c| *c == ' ' || *c == '\t').collect();
    if blanks.is_empty() {
        return Err("expected a `[SECTION]`, a comment or an indented `Key Value`");
    }
    let first = indent.get_or_insert_with(|| blanks.clone());
    match blanks.strip_prefix(first.as_str()) {
        Some("") => Ok(Level::Key),
        Some(more) if more.len() == first.len() => Ok(Level::Group),
        _ => Err("expected the same indentation as in the lines above"),
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::{classic, entries, unreadable};

    #[test]
    fn sections_keys_comments_and_variables_are_read() {
        let text = "# head\n@SET port=8080\n[SERVICE]\n    Flush 1\n\n    # inner\n[Output]\n    NAME  http \r\n    \
                    Header X  Y z\n    Header A b\n    Port ${port}\n    Host ${HOST}\n";
        let configuration = classic(text);
        let told = entries(&configuration);
        assert_eq!(
            told,
            ["4 flush=1", "8 name=http", "9 header=X  Y z", "10 header=A b", "11 port=8080", "12 host=${HOST}"]
        );
    }

    #[test]
    fn what_belongs_to_a_group_is_not_the_sections_own() {
        let configuration = classic("[OUTPUT]\n  Name http\n  [PROCESSORS]\n    Match x\n  Match *\n");
        let keys: Vec<&str> = configuration.sections[0].entries.iter().map(|e| e.value.as_str()).collect();
        assert_eq!(keys, ["http", "*"]);
    }

    #[test]
    fn what_fluent_bit_refuses_is_told_with_its_line() {
        for (text, expected) in [
            ("", "f.conf: expected a `[SECTION]`, found nothing"),
            ("garbage\n", "f.conf:1: expected a `[SECTION]`, a comment or an indented `Key Value`"),
            ("[OUTPUT\n", "f.conf:1: expected `]` at the end of `[SECTION`"),
            ("[OUTPUT]\n    Name\n", "f.conf:2: expected a key, a space (no tab) and a value"),
            ("[OUTPUT]\n    Name\thttp\n", "f.conf:2: expected a key, a space (no tab) and a value"),
            ("[OUTPUT]\n    Name http\n  Match *\n", "f.conf:3: expected the same indentation as in the lines above"),
            ("    Name http\n", "f.conf:1: expected a `[SECTION]` before the first key"),
            ("@SET a\n", "f.conf:1: expected `@SET name=value`"),
        ] {
            assert_eq!(unreadable("f.conf", text), expected, "{text:?}");
        }
    }
}
