//! Functions by their indentation: Python and Ruby.

use super::super::frame::Language;
use super::Function;

/// Columns that a tab stands for.
const TAB: usize = 8;

/// A line as far as indentation goes.
struct Seen<'l> {
    /// From 1.
    number: u32,
    indent: usize,
    words: &'l str,
    /// The last line before it that says something.
    before: u32,
}

struct Open {
    indent: usize,
    /// Of its decorators, or its own.
    first: u32,
    name: Option<String>,
    is_function: bool,
}

pub(super) fn functions(lines: &[&str], language: Language) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    // Where decorators above the next definition begin.
    let mut decorated = None;
    for seen in fresh(lines, language) {
        let ends = language == Language::Ruby && is_word(seen.words, "end");
        while let Some(top) = open.last().filter(|top| seen.indent <= top.indent) {
            // Ruby's own `end` belongs to what it ends.
            let closes = ends && seen.indent == top.indent;
            let end = if closes { seen.number } else { seen.before };
            if let Some(top) = open.pop().filter(|top| top.is_function) {
                functions.push(Function { name: top.name, first: top.first, last: end.max(top.first) });
            }
            if closes {
                break;
            }
        }
        match definition(seen.words, language) {
            Some((is_function, name)) => {
                let first = decorated.take().unwrap_or(seen.number);
                open.push(Open { indent: seen.indent, first, name, is_function });
            }
            None if language == Language::Python && seen.words.starts_with('@') => {
                decorated.get_or_insert(seen.number);
            }
            None => decorated = None,
        }
    }
    let end = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at as u32 + 1);
    for top in open.into_iter().filter(|top| top.is_function) {
        functions.push(Function { name: top.name, first: top.first, last: end.max(top.first) });
    }
    functions
}

/// Whether the line defines something, and its name.
fn definition(words: &str, language: Language) -> Option<(bool, Option<String>)> {
    let rest = |start: &str| words.strip_prefix(start).map(str::trim_start);
    let name = |rest: &str| {
        let rest = rest.strip_prefix("self.").unwrap_or(rest);
        let ok =
            |c: char| c.is_alphanumeric() || c == '_' || (language == Language::Ruby && matches!(c, '?' | '!' | '='));
        let end = rest.find(|c: char| !ok(c)).unwrap_or(rest.len());
        rest.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
    };
    if let Some(rest) = rest("def ").or_else(|| rest("async def ")) {
        return Some((true, name(rest)));
    }
    if let Some(rest) = rest("define_method(:").or_else(|| rest("define_method :")) {
        return Some((true, name(rest)));
    }
    let holds = rest("class ").or_else(|| rest("module ").filter(|_| language == Language::Ruby));
    holds.map(|rest| (false, name(rest)))
}

fn is_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Lines that begin something: none that is blank, a comment, or within a string or brackets that an earlier line
/// opened.
fn fresh<'l>(lines: &'l [&'l str], language: Language) -> Vec<Seen<'l>> {
    let mut seen = Vec::new();
    let (mut within, mut before) = (Within::default(), 0);
    for (at, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        let goes_on = within.goes_on();
        within.read(line, language);
        let is_comment = words.is_empty() || (!goes_on && words.starts_with('#'));
        if is_comment {
            continue;
        }
        let (number, last) = (at as u32 + 1, before);
        before = number;
        if goes_on {
            continue;
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).fold(0, |indent, c| match c {
            '\t' => (indent / TAB + 1) * TAB,
            _ => indent + 1,
        });
        seen.push(Seen { number, indent, words, before: last });
    }
    seen
}

/// What the end of a line leaves open.
#[derive(Default)]
struct Within {
    /// Python's string of several lines, by its quote.
    string: Option<[u8; 3]>,
    /// Ruby's text up to a word on a line of its own.
    heredoc: Option<String>,
    brackets: usize,
    /// The line ended in a backslash.
    continued: bool,
}

impl Within {
    fn goes_on(&self) -> bool {
        self.string.is_some() || self.heredoc.is_some() || self.brackets > 0 || self.continued
    }

    fn read(&mut self, line: &str, language: Language) {
        if let Some(word) = &self.heredoc {
            if line.trim() == word {
                self.heredoc = None;
            }
            return;
        }
        let bytes = line.as_bytes();
        self.continued = false;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Some(quote) = self.string {
                if *byte == b'\\' {
                    at += 2;
                } else if bytes.get(at..at + 3) == Some(&quote[..]) {
                    self.string = None;
                    at += 3;
                } else {
                    at += 1;
                }
                continue;
            }
            match byte {
                b'#' => return,
                b'"' | b'\'' => {
                    let triple = [*byte; 3];
                    if language == Language::Python && bytes.get(at..at + 3) == Some(&triple[..]) {
                        self.string = Some(triple);
                        at += 3;
                        continue;
                    }
                    at = after_quoted(bytes, at);
                    continue;
                }
                b'(' | b'[' | b'{' => self.brackets += 1,
                b')' | b']' | b'}' => self.brackets = self.brackets.saturating_sub(1),
                b'\\' if at + 1 == bytes.len() => self.continued = true,
                b'<' if language == Language::Ruby => {
                    if let Some(word) = line.get(at..).and_then(heredoc) {
                        self.heredoc = Some(word);
                        return;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        // Ruby's blocks in brackets hold whole definitions, and a quote in a pattern may lead us astray.
        if language == Language::Ruby {
            self.brackets = 0;
        }
    }
}

/// Behind a string of one line that begins at `at`.
fn after_quoted(bytes: &[u8], at: usize) -> usize {
    let quote = bytes.get(at);
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 2,
            byte if Some(byte) == quote => return end + 1,
            _ => end += 1,
        }
    }
    bytes.len()
}

/// `<<~SQL`, `<<-"SQL"`: the word that ends it.
fn heredoc(text: &str) -> Option<String> {
    let rest = text.strip_prefix("<<~").or_else(|| text.strip_prefix("<<-"))?;
    let rest = rest.trim_start_matches(['"', '\'', '`']);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    rest.get(..end).filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())).map(str::to_owned)
}
