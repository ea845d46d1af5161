//! What the investigator answers, and what of it a machine could confirm.
//!
//! Nothing in a [`Verdict`] is believed: it is what some model wrote after reading what attackers may have written.
//! [`parse()`] bounds it, [`check()`] looks up what it cites. All of its texts have to be redacted before they are shown.

mod check;
mod parse;
mod schema;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(super) use check::collapsed;
pub use check::{Checked, Standing, check};
pub use parse::parse;
pub use schema::schema;

/// More evidence is not read by anybody; what is beyond it is left out.
pub const EVIDENCE_MAX: usize = 20;
/// As many.
pub const STEPS_MAX: usize = 20;
/// Edits of the mend and of the test together: more are refused, for half a mend is none.
pub const EDITS_MAX: usize = 40;
/// Longest root cause and reason, in bytes; what is beyond is cut.
pub const TEXT_MAX: usize = 4_000;
/// The same of a step, of what evidence says, and of a remedy's name.
pub const SENTENCE_MAX: usize = 600;
/// Longest quote. The head of a longer one is checked, and shown.
pub const QUOTE_MAX: usize = 2_000;
/// Longest path, and longest text of an edit, in bytes; longer ones are refused.
pub const PATH_MAX: usize = 300;
pub const EDIT_MAX: usize = 32 * 1024;

/// Below it nothing is done, whatever else speaks for it.
pub const CONFIDENCE_TO_ACT: f64 = 0.8;

/// As it was answered, bounded in every field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub root_cause: String,
    /// 0 to 1.
    pub confidence: f64,
    pub evidence: Vec<Evidence>,
    pub plan: Plan,
}

/// Something that must stand verbatim where it is said to stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Of the repository, relative to its root. `None`: a line of the dossier.
    pub path: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    pub quote: String,
    /// What it shows.
    pub says: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub action: Action,
    pub reason: String,
    /// What a person should do, in order.
    pub steps: Vec<String>,
    /// The name of one of the descriptor's, for [`Action::RestartService`].
    pub remedy: Option<String>,
    /// The mend, for [`Action::Patch`].
    pub edits: Vec<Edit>,
    /// A regression test: fails at the deployed commit, passes with the mend.
    pub tests: Vec<Edit>,
}

/// A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Patch,
    /// Calls a remedy of the descriptor; a restart is the common one.
    RestartService,
    /// A person has to look.
    Escalate,
    /// The cause is not in the code, and nothing of ours helps.
    NoCodeCause,
}

/// `search`, which stands exactly once in the file, becomes `replace`. An empty `search`: the file is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    pub path: String,
    pub search: String,
    pub replace: String,
}
