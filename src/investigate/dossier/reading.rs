//! A dossier read back: its log lines, and its parts by their headings.
//!
//! Whatever quotes a dossier is held against its text, which outlives the process that wrote it; what it was made of
//! does not. Headings are ours and stand outside of all blocks, so no log line can open a part, or pass for one of
//! another part.

use serde_json::{Map, Value};

use crate::record::level::Level;

const SAMPLES: &str = "Samples";
const AROUND: &str = "Records around it";
/// Fields of a stripped record that the service itself has worded. What a request brought along is none of them.
const WORDED: [&str; 3] = ["message", "error", "exception"];

pub struct Dossier<'t> {
    pub title: &'t str,
    parts: Vec<Part<'t>>,
}

/// What stands below one heading.
#[derive(Default)]
pub struct Part<'t> {
    pub heading: &'t str,
    /// Outside of blocks.
    pub words: Vec<&'t str>,
    /// Inside of them, block by block.
    pub blocks: Vec<Vec<&'t str>>,
}

/// A log line.
pub struct Logged<'t> {
    /// As it stands in the dossier.
    pub line: &'t str,
    /// Without the time in front of it.
    pub record: &'t str,
    /// RFC 3339; a sample has none.
    pub at: Option<&'t str>,
    /// A watch counted it, or it is a sample.
    pub is_counted: bool,
    fields: Map<String, Value>,
}

impl<'t> Dossier<'t> {
    pub fn read(text: &'t str) -> Dossier<'t> {
        let mut dossier = Dossier { title: "", parts: vec![Part::default()] };
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            let Some(part) = dossier.parts.last_mut() else { break };
            match fence {
                Some(open) if line == open => fence = None,
                Some(_) => {
                    if let Some(block) = part.blocks.last_mut() {
                        block.push(line);
                    }
                }
                None if line.len() >= 3 && line.bytes().all(|b| b == b'`') => {
                    fence = Some(line);
                    part.blocks.push(Vec::new());
                }
                None => match (line.strip_prefix("# "), line.strip_prefix("## ")) {
                    (Some(title), _) => dossier.title = title,
                    (_, Some(heading)) => dossier.parts.push(Part { heading, ..Part::default() }),
                    _ if line.is_empty() => {}
                    _ => part.words.push(line),
                },
            }
        }
        dossier
    }

    pub fn part(&self, heading: &str) -> Option<&Part<'t>> {
        self.parts.iter().find(|part| part.heading == heading)
    }

    /// Every log line of it, samples first.
    pub fn logged(&self) -> Vec<Logged<'t>> {
        let lines = |heading| self.part(heading).into_iter().flat_map(Part::lines);
        lines(SAMPLES).filter_map(Logged::sample).chain(lines(AROUND).filter_map(Logged::around)).collect()
    }
}

impl<'t> Part<'t> {
    pub fn lines(&self) -> impl Iterator<Item = &'t str> {
        self.blocks.iter().flatten().copied()
    }

    /// What stands behind `name` at the begin of a line.
    pub fn value(&self, name: &str) -> Option<&'t str> {
        let mut found = self.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(' '));
        found.next().map(str::trim)
    }
}

impl<'t> Logged<'t> {
    fn sample(line: &'t str) -> Option<Logged<'t>> {
        Some(Logged { line, record: line, at: None, is_counted: true, fields: fields(line)? })
    }

    fn around(line: &'t str) -> Option<Logged<'t>> {
        let (at, rest) = line.split_once(' ')?;
        let (mark, record) = rest.split_at_checked(2)?;
        Some(Logged { line, record, at: Some(at), is_counted: mark.starts_with('*'), fields: fields(record)? })
    }

    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn level(&self) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == self.text("level"))
    }

    /// What the service itself said, a line for each field.
    pub fn said(&self) -> String {
        let parts = WORDED.map(|field| self.text(field));
        parts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

fn fields(record: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(record).ok()
}
