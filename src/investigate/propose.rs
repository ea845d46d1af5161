//! A draft, given to the repository as a branch and, at GitHub, as a draft pull request.
//!
//! Everything is named by what it holds, so that whatever a crash left half done is found again and finished: the
//! branch by the escalation and the hash of the diff, the commit by its content and a time that is given. What is there
//! already is never overwritten, and what a person closed is never opened again, whichever escalation asks.
//!
//! Everything here blocks; it must be called from a `spawn_blocking` thread: there a runtime is entered that others
//! drive.

mod address;
mod branch;
mod github;
mod words;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::patch::{Draft, Proof, Workshop};
use crate::redact::Redacted;
use crate::registry::location::Location;
use crate::secret::Secret;

use github::GitHub;

/// Where drafts are proposed. No `Debug`: it holds a token.
pub struct Forge {
    workshop: Arc<Workshop>,
    github: GitHub,
}

/// What is proposed for, and what is said of it.
pub struct Words<'a> {
    /// Of the escalation: `42` in `[E42]`.
    pub escalation: u64,
    /// Its label.
    pub label: &'a str,
    pub service: &'a Redacted,
    /// When it opened, unix milliseconds: the commit's time.
    pub opened_ms: i64,
    /// Why, as the verdict says it.
    pub root_cause: &'a Redacted,
    /// What people may read more in; ours.
    pub link: Option<&'a str>,
    pub proof: &'a Proof,
}

/// What stands there now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    pub branch: String,
    /// What was pushed, where that is known.
    pub commit: Option<String>,
    /// Of the pull request.
    pub url: Option<String>,
    pub state: State,
    /// One sentence of ours, for people.
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A draft was opened.
    Opened,
    /// It stands there from before, open.
    Open,
    /// A person closed it: nothing was done.
    Closed,
    /// It was merged: nothing was done.
    Merged,
    /// The branch only: this is no GitHub that we know, or there is no token.
    Branch,
}

/// Why it is not proposed. Its text is for people and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{words}")]
pub struct Fault {
    /// A closed set, for metrics.
    pub kind: FaultKind,
    pub words: Redacted,
    /// The branch stands at the remote.
    pub pushed: bool,
    /// Another try may go better; it does nothing twice.
    pub again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The remote does not answer, or its repository is gone.
    Remote,
    /// It refused the push.
    Rejected,
    /// A branch of that name has other content.
    Taken,
    /// The token may not do that, or is none.
    Forbidden,
    /// Too much was asked of it.
    Limited,
    /// The forge did not do it, or did not say so.
    Forge,
    /// Our side: git, the disk.
    Ours,
}

/// Where a draft goes: the copy it was made from, and where that was fetched from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub mirror: &'a Path,
    pub location: &'a Location,
}

impl Forge {
    /// `url`: the base of the REST API; `None`: github.com's.
    pub fn new(workshop: Arc<Workshop>, url: Option<&str>, token: Option<Secret>) -> Result<Forge, reqwest::Error> {
        // Set by whoever comes first; any of them sets the same.
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        Ok(Forge { workshop, github: GitHub::new(url, token)? })
    }

    /// Pushes and opens, or finds what is there. Calling it again does nothing twice.
    pub fn propose(&self, draft: &Draft, to: Origin<'_>, words: &Words<'_>) -> Result<Proposed, Fault> {
        branch::propose(self, draft, to, words)
    }
}

/// The name of the branch: the same for the same diff of the same escalation.
pub fn branch_name(escalation: u64, draft: &Draft) -> String {
    format!("emberwatch/E{escalation}-{}", draft.short())
}

impl Fault {
    fn new(kind: FaultKind, words: impl AsRef<str>) -> Fault {
        let words = Redacted::new(words.as_ref()).one_line().cut(500);
        Fault { kind, words, pushed: false, again: matches!(kind, FaultKind::Remote | FaultKind::Limited) }
    }
}
