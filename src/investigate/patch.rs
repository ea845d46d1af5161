//! A mend, from what a model wrote to what a machine has shown of it.
//!
//! A model gives pairs of texts to search and replace, nothing else. Whatever the file is that comes of them, and the
//! diff, are made here, at the commit that ran; the diff counts only when git applies it there and gets the same files.
//! Where an edit may not go ([`Deny`]), what it may not do to tests, and how much it may change is decided by rules,
//! not by what was asked for; what does not hold is [`Refused`] whole, in words for people.
//!
//! Then the service's own `test` is run in a copy that is thrown away: with the regression test alone, where it must
//! fail; with the mend, where it must pass; with the mend alone, so that a new test cannot make the old ones pass; with
//! the mend and a regression test that nothing can read, where it must fail, so that a mend cannot keep it from being run.
//! What comes of that is a [`Proof`]. A proof shows that tests say so. It does not show that the mend is right: tests
//! are written by the same hand, which is why a person reads the draft.
//!
//! Everything here blocks.

pub mod deny;
mod edits;
mod guard;
mod made;
mod proof;
mod run;
mod scratch;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use super::source::git::{Failed, Git};
use super::verdict::Plan;
use crate::redact::Redacted;

pub use deny::Deny;
pub use proof::{Outcome, Proof, Run};
pub use run::Isolation;
use scratch::Scratch;

/// More files than that are no mend but a change of design.
pub const FILES_MAX: usize = 6;
/// Lines added and removed, in files that are no tests: what a person reads at night.
pub const LINES_MAX: usize = 150;
/// The same in tests.
pub const TEST_LINES_MAX: usize = 400;
/// For all that git has to do between two runs of the test.
const GIT_TIME: Duration = Duration::from_secs(120);

/// Bounds of a run, from the configuration.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For one run of a test; there are four at the most.
    pub test: Duration,
    /// That the copies and all that tests write beside them may take.
    pub bytes: u64,
    /// That one process may use.
    pub memory: u64,
    pub isolation: Isolated,
}

/// Whether a test runs in namespaces of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolated {
    /// Where the machine lets us.
    #[default]
    Auto,
    /// Or it does not run.
    Required,
    /// It needs the network.
    Off,
}

impl Isolated {
    pub const NAMES: [&'static str; 3] = ["auto", "required", "off"];

    pub fn parse(word: &str) -> Option<Isolated> {
        match word {
            "auto" => Some(Isolated::Auto),
            "required" => Some(Isolated::Required),
            "off" => Some(Isolated::Off),
            _ => None,
        }
    }
}

/// Where drafts are made and tried.
pub struct Workshop {
    git: Git,
    /// Ours alone.
    folder: PathBuf,
    limits: Limits,
    deny: Deny,
}

/// A mend as files and as a diff. The same plan at the same commit gives the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What it is made to, whole.
    pub commit: String,
    /// As `git apply` takes it, mend and test together. It is source: redact what is shown of it elsewhere.
    pub diff: String,
    /// Of the diff: 64 of 0-9 and a-f.
    pub hash: String,
    /// In the order of their paths.
    pub files: Vec<Changed>,
}

/// One file of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub path: String,
    /// `None`: it is new.
    pub before: Option<String>,
    pub after: String,
    pub runnable: bool,
    /// A part of the regression test.
    pub is_test: bool,
    pub added: usize,
    pub removed: usize,
}

/// Why there is no draft. The text is for people; what is a model's in it is cut and redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// A closed set, for metrics.
    pub kind: Kind,
    pub words: Redacted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It holds no edits.
    Empty,
    /// A path that is none, or leads elsewhere.
    Path,
    /// A path that is off limits.
    Denied,
    /// The file is not there, or is no text.
    File,
    /// `search` stands there not at all or more than once.
    Search,
    /// It would weaken tests.
    Tests,
    /// Too many files or lines.
    Size,
    /// Text that hides what it is.
    Text,
    /// Git did not do it: not the plan's fault, and worth another try.
    Git,
}

impl Workshop {
    /// `folder` is made when it is needed; whatever a former life left in it goes.
    pub fn new(git: Git, folder: PathBuf, limits: Limits, deny: Deny) -> Workshop {
        scratch::sweep(&folder, |left| run::end_strays(&git, left));
        Workshop { git, folder, limits, deny }
    }

    /// Makes the files and the diff of a plan. `test`: the command of the descriptor, whose own files are off limits.
    pub fn draft(&self, source: &Snapshot<'_>, plan: &Plan, test: Option<&str>) -> Result<Draft, Refused> {
        let files = edits::files(source, plan, &self.deny, test)?;
        let scratch = Scratch::make(&self.folder).map_err(Refused::disk)?;
        made::draft(&self.git, &scratch, source, files)
    }

    /// Runs `test` before and after. `mirror`: the copy of the repository that the draft was made from.
    pub fn prove(&self, draft: &Draft, mirror: &Path, test: Option<&str>) -> Proof {
        proof::prove(self, draft, mirror, test)
    }

    pub fn git(&self) -> &Git {
        &self.git
    }

    /// A folder that goes when it is dropped.
    pub(super) fn scratch(&self) -> Result<Scratch, std::io::Error> {
        Scratch::make(&self.folder)
    }
}

impl Draft {
    /// The first eight of its hash, for names.
    pub fn short(&self) -> &str {
        self.hash.get(..8).unwrap_or(&self.hash)
    }

    pub fn has_test(&self) -> bool {
        self.files.iter().any(|file| file.is_test)
    }
}

impl Refused {
    fn new(kind: Kind, words: impl AsRef<str>) -> Refused {
        Refused { kind, words: Redacted::new(words.as_ref()).one_line().cut(WORDS_MAX) }
    }

    fn git(failed: Failed) -> Refused {
        Refused::new(Kind::Git, failed.to_string())
    }

    fn disk(error: std::io::Error) -> Refused {
        Refused::new(Kind::Git, format!("there is no place for a copy: {error}"))
    }
}

/// Of a refusal, in bytes.
const WORDS_MAX: usize = 500;
