//! Verdicts in the store: what was said of a kind, with a line of it, so that it is known again after a restart.

use serde::{Deserialize, Serialize};

use super::What;
use super::kinds::{Judgement, Kind};
use super::novel::Novel;
use crate::record::level::Level;

/// What a verdict's note is called: by the first sketch of its kind.
pub const KIND_NOTE: &str = "kind/";
/// First byte of a note. Another version's are left out, not guessed at.
const VERSION: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Row {
    line: Novel,
    /// The id of its template, where the line lacks what was secret in it; else 0.
    template: u64,
    what: u8,
    at_ms: i64,
    until_ms: i64,
    level: u8,
    label: Option<String>,
}

/// Key and body of its note. `id`: of its template, which is stored where the line that is stored does not tell it.
pub fn encode(id: u64, kind: &Kind, judgement: &Judgement) -> Option<(String, Vec<u8>)> {
    let sketch = *kind.sketches().first()?;
    let sample = kind.sample.to_store();
    let lacks = kind.lacks || sample != kind.sample;
    let row = Row {
        line: Novel { counts: Vec::new(), sample: Some(sample), ..kind.as_novel() },
        template: if lacks { id } else { 0 },
        what: judgement.what as u8,
        at_ms: judgement.at_ms,
        until_ms: judgement.until_ms,
        level: judgement.level as u8,
        label: judgement.label.clone(),
    };
    Some((format!("{KIND_NOTE}{sketch:016x}"), postcard::to_extend(&row, vec![VERSION]).ok()?))
}

/// A line of it, the id of its template, and what was said.
pub fn decode(note: &[u8]) -> Option<(Novel, u64, Judgement)> {
    let row: Row = postcard::from_bytes(note.strip_prefix(&[VERSION])?).ok()?;
    let what = [What::Ignore, What::Watch, What::Investigate].into_iter().find(|what| *what as u8 == row.what)?;
    let level = Level::ALL.get(usize::from(row.level)).copied()?;
    let Row { line, template, at_ms, until_ms, label, .. } = row;
    Some((line, template, Judgement { what, at_ms, until_ms, level, label }))
}
