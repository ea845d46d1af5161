//! How a watch that no person wrote came to be: every change to it, by whom, why, and from what to what.
//!
//! Kept with the watch, shown with it, and enough to roll the last change back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::redact::Redacted;

/// Changes kept of one watch; of more, the second goes, since the first says where it came from.
pub const CHANGES_MAX: usize = 20;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Oldest first.
    pub changes: Vec<Change>,
    /// It crossed, so it was worth having: it stays until a person removes it.
    #[serde(default)]
    pub fired: bool,
    /// Not tried on its own lines yet: it counts and is listed, and escalates nothing.
    #[serde(default)]
    pub shadow: bool,
    /// A person took a change back: its numbers are left alone.
    #[serde(default)]
    pub pinned: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// `triage`, `seed`, `tune`, `engine`, `rollback`.
    pub by: String,
    /// Which model, or `builtin`.
    pub model: String,
    /// Digest of the prompt; empty where none was sent.
    #[serde(default)]
    pub prompt: String,
    /// What the model replied, cut.
    #[serde(default)]
    pub reply: Redacted,
    pub reason: Redacted,
    /// The whole rule, before and after; `None` before it was.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Provenance {
    pub fn of(change: Change) -> Provenance {
        Provenance { changes: vec![change], ..Provenance::default() }
    }

    pub fn add(&mut self, change: Change) {
        if self.changes.len() >= CHANGES_MAX {
            self.changes.remove(1);
        }
        self.changes.push(change);
    }
}
