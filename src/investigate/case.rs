//! What follows a dossier: the model is asked, its answer checked, a patch proven and proposed or a remedy called, and
//! the watch looked at.
//!
//! Where that stands is a [`Case`], one row of the store. Each step is stored before its effect begins, so a life that
//! ends in between leaves each effect made once or not at all, or made again where that does no harm:
//!
//! | effect | after a crash |
//! | --- | --- |
//! | asking the model | made again, [`ASKS_MAX`] times in all, each against the budget |
//! | checking, proving | made again: they change nothing outside of a folder of ours |
//! | proposing | made again: branch and draft have names of their own |
//! | calling a remedy | never again: in doubt, and said so |
//! | telling people | in the same commit as the step it tells of |
//!
//! [`machine`] decides what comes next and is pure; [`book`] holds all cases; [`worker`] does what is to be done.

pub mod book;
pub mod machine;
pub mod shown;
pub mod words;
pub mod worker;

use serde::{Deserialize, Serialize};

use super::patch::Proof;
use super::propose::Proposed;
use super::verdict::{Action, Verdict};
use crate::notify::notice::Severity;
use crate::redact::Redacted;

/// Questions to the model for one case, whatever became of them.
pub const ASKS_MAX: u32 = 3;
/// Times that a patch is tried in all: what a test command brings down may be us.
pub const PROOFS_MAX: u32 = 2;
/// Lives that may end while an answer is checked: what is in it may be what ends them.
pub const CHECKS_MAX: u32 = 3;
/// Times that a proposal is tried in all.
pub const PROPOSALS_MAX: u32 = 4;
/// Sentences about what was not done.
const SKIPPED_MAX: usize = 12;

/// The investigation of one incident, from its dossier on. All times are unix milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Of the escalation whose dossier it goes by.
    pub id: u64,
    pub incident: u64,
    pub about: About,
    pub begun_ms: i64,
    pub changed_ms: i64,
    pub step: Step,
    /// It is not investigated itself: this one of its incident is.
    #[serde(default)]
    pub lead: Option<u64>,
    /// The commit that ran, whole, if its repository is at hand.
    #[serde(default)]
    pub commit: Option<String>,
    #[serde(default)]
    pub asks: u32,
    #[serde(default)]
    pub asked: Option<Asked>,
    /// What was answered, and what of it stands.
    #[serde(default)]
    pub found: Option<Found>,
    /// Times that a life ended while an answer was checked.
    #[serde(default)]
    pub checks: u32,
    #[serde(default)]
    pub proofs: u32,
    #[serde(default)]
    pub patch: Option<Patch>,
    #[serde(default)]
    pub proposals: u32,
    #[serde(default)]
    pub proposed: Option<Proposed>,
    #[serde(default)]
    pub remedy: Option<Remedy>,
    /// What was not looked at or not done, and why: words of ours.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    #[serde(default)]
    pub outcome: Option<Outcome>,
}

/// What of the escalation matters here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    pub label: String,
    pub severity: Severity,
    pub cluster: Redacted,
    pub service: Redacted,
    /// A backlog: it is over, whatever it was.
    pub late: bool,
    pub window_seconds: u64,
    pub opened_ms: i64,
}

/// Where it stands. What is written here is durable before anything is done about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It waits for its turn with the model, not before this time.
    Queued {
        not_before_ms: i64,
    },
    /// The model is being asked; that is paid for already.
    Asking,
    /// `None`: it is the planner's.
    Checking {
        answer: Option<String>,
    },
    Proving,
    /// Not before this time.
    Proposing {
        not_before_ms: i64,
    },
    /// Whether the remedy may be called.
    Deciding,
    /// From here on the remedy may have been called.
    Calling,
    /// Whether it helped is looked for until then.
    Watching {
        until_ms: i64,
    },
    Done,
}

/// What asking has cost so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub model: String,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    pub cost_usd: f64,
    pub calls: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The model's name, or [`PLANNER`].
    pub by: String,
    pub verdict: Verdict,
    /// One for each piece of the verdict's evidence: `None` where it stands as cited, else why not.
    pub proofs: Vec<Option<String>>,
    /// Why nothing may be done on its strength; `None`: something may.
    pub no_action: Option<String>,
}

/// Who answers where no model does.
pub const PLANNER: &str = "the built-in planner";

/// What became of a patch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    pub state: Patched,
    /// Of the files.
    pub paths: Vec<Redacted>,
    /// Lines.
    pub added: usize,
    pub removed: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patched {
    /// It does not apply at the deployed commit, or is where it may not be.
    Refused { why: Redacted },
    /// There is a diff, and what the service's own test says of it.
    Tried { hash: String, proof: Proof },
}

impl Patch {
    pub fn is_diff(&self) -> bool {
        matches!(self.state, Patched::Tried { .. })
    }

    pub fn proof(&self) -> Option<&Proof> {
        match &self.state {
            Patched::Tried { proof, .. } => Some(proof),
            Patched::Refused { .. } => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    pub name: String,
    /// When it was stored that it is called.
    pub called_ms: i64,
    pub state: Called,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Called {
    /// Under way; found after a restart: in doubt.
    Calling,
    /// It answered that it is done.
    Done { said: Redacted },
    /// Nobody can say whether it was done.
    InDoubt { why: String },
    /// It was called, and says that it was not done.
    Failed { why: String },
    /// Nothing was sent.
    NotCalled { why: String },
}

/// Something that was not done: a sentence of ours, and perhaps what somebody else said to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub why: String,
    #[serde(default)]
    pub said: Redacted,
}

/// What came of it in the end. A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A person has to act.
    Escalated,
    NoCodeCause,
    /// There is a diff that passes what was asked of it.
    Patched,
    /// There is a diff, and it is not proven.
    Unproven,
    /// A draft waits at the repository.
    Proposed,
    Recovered,
    NotRecovered,
    /// A remedy was called, and whether it helped cannot be seen.
    Unobserved,
    RemedyFailed,
    /// Another one of its incident is investigated.
    Together,
    /// Neither a model nor the planner had anything to say.
    Unexplained,
    /// Too many were under way.
    Crowded,
}

impl Outcome {
    pub const ALL: [Outcome; 12] = [
        Outcome::Escalated,
        Outcome::NoCodeCause,
        Outcome::Patched,
        Outcome::Unproven,
        Outcome::Proposed,
        Outcome::Recovered,
        Outcome::NotRecovered,
        Outcome::Unobserved,
        Outcome::RemedyFailed,
        Outcome::Together,
        Outcome::Unexplained,
        Outcome::Crowded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Escalated => "escalated",
            Outcome::NoCodeCause => "no_code_cause",
            Outcome::Patched => "patched",
            Outcome::Unproven => "unproven",
            Outcome::Proposed => "proposed",
            Outcome::Recovered => "recovered",
            Outcome::NotRecovered => "not_recovered",
            Outcome::Unobserved => "unobserved",
            Outcome::RemedyFailed => "remedy_failed",
            Outcome::Together => "together",
            Outcome::Unexplained => "unexplained",
            Outcome::Crowded => "crowded_out",
        }
    }
}

impl Step {
    pub fn as_str(&self) -> &'static str {
        match self {
            Step::Queued { .. } => "queued",
            Step::Asking => "asking",
            Step::Checking { .. } => "checking",
            Step::Proving => "proving",
            Step::Proposing { .. } => "proposing",
            Step::Deciding => "deciding",
            Step::Calling => "calling",
            Step::Watching { .. } => "watching",
            Step::Done => "done",
        }
    }
}

impl Case {
    /// One whose dossier has just been written. `lead`: the case of its incident that is investigated already.
    pub fn new(id: u64, incident: u64, about: About, lead: Option<u64>, now_ms: i64) -> Case {
        Case {
            id,
            incident,
            about,
            begun_ms: now_ms,
            changed_ms: now_ms,
            step: if lead.is_some() { Step::Done } else { Step::Queued { not_before_ms: now_ms } },
            lead,
            commit: None,
            asks: 0,
            asked: None,
            found: None,
            checks: 0,
            proofs: 0,
            patch: None,
            proposals: 0,
            proposed: None,
            remedy: None,
            skipped: Vec::new(),
            outcome: lead.map(|_| Outcome::Together),
        }
    }

    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// What it is called in lists: the outcome where there is one, else the step.
    pub fn state(&self) -> &'static str {
        self.outcome.map_or(self.step.as_str(), Outcome::as_str)
    }

    pub fn action(&self) -> Option<Action> {
        self.found.as_ref().map(|found| found.verdict.plan.action)
    }

    /// Too many are under way: it is over before it begins.
    pub fn crowd_out(&mut self) {
        self.skip("It was not looked into: too many were under way (`investigation.queue`).", Redacted::default());
        (self.step, self.outcome) = (Step::Done, Some(Outcome::Crowded));
    }

    fn skip(&mut self, why: impl Into<String>, said: Redacted) {
        if self.skipped.len() < SKIPPED_MAX {
            self.skipped.push(Skipped { why: why.into(), said });
        }
    }
}

#[cfg(test)]
pub(in crate::investigate) mod tests;
