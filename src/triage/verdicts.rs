//! Verdicts in the store: what was said of a kind, with a line of it, so that it is known again after a restart.

use serde::{Deserialize, Serialize};

use super::What;
use super::kinds::{Judgement, Kind};
use super::novel::Novel;
use crate::record::level::Level;

/// What a verdict's note is called: by the first sketch of its kind.
pub const KIND_NOTE: &str = "kind/";
/// First byte of a note. Another version's are left out, not guessed at.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Row {
    line: Novel,
    what: u8,
    at_ms: i64,
    until_ms: i64,
    level: u8,
    label: Option<String>,
}

/// Key and body of its note.
pub fn encode(kind: &Kind, judgement: &Judgement) -> Option<(String, Vec<u8>)> {
    let sketch = *kind.sketches().first()?;
    let row = Row {
        line: Novel {
            sketch,
            cluster: kind.cluster.clone(),
            service: kind.service.clone(),
            revision: kind.revisions.last().copied().unwrap_or_default(),
            shape: kind.shape,
            level: kind.level as u8,
            counts: Vec::new(),
            sample: Some(kind.sample.to_store()),
        },
        what: judgement.what as u8,
        at_ms: judgement.at_ms,
        until_ms: judgement.until_ms,
        level: judgement.level as u8,
        label: judgement.label.clone(),
    };
    Some((format!("{KIND_NOTE}{sketch:016x}"), postcard::to_extend(&row, vec![VERSION]).ok()?))
}

pub fn decode(note: &[u8]) -> Option<(Novel, Judgement)> {
    let row: Row = postcard::from_bytes(note.strip_prefix(&[VERSION])?).ok()?;
    let what = [What::Ignore, What::Watch, What::Investigate].into_iter().find(|what| *what as u8 == row.what)?;
    let level = Level::ALL.get(usize::from(row.level)).copied()?;
    let Row { line, at_ms, until_ms, label, .. } = row;
    Some((line, Judgement { what, at_ms, until_ms, level, label }))
}
