//! What the source of a service says about an escalation: the functions that its traces lead to, as they stand in the
//! commit that ran, who touched them last, and what the deploy before it changed.
//!
//! Only repositories that an operator registered are read, from copies of our own. Nothing is concluded. All of it has
//! a deadline, and whatever is not at hand is said instead; no failure here keeps a dossier from being written.

pub mod code;
pub mod deployed;
mod evidence;
#[cfg(test)]
pub(super) mod forge;
pub mod frame;
pub mod git;
pub mod mirrors;
pub mod names;
pub mod tree;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::markdown::Row;
use crate::escalation::cleaned;
use crate::metrics::Metrics;
use crate::redact::Redacted;
use crate::registry::{Entry, Registry};
use git::{Change, Failed, Repository};
use mirrors::Mirrors;

pub use evidence::{Changed, Function, Touched};

/// Commits of a deploy that are listed.
const COMMITS_MAX: usize = 10;
/// Longest line of a file, of a commit's subject and of what is registered, in bytes.
pub(super) const LINE_BYTES: usize = 240;
const TEXT_BYTES: usize = 1000;

/// What the sources of all services are read with.
#[derive(Clone)]
pub struct Library {
    pub registry: Arc<Registry>,
    /// `None`: there is no folder for copies of repositories.
    pub mirrors: Option<Arc<Mirrors>>,
    /// For all that one dossier asks, fetching included.
    pub wait: Duration,
    pub metrics: Metrics,
}

/// What is looked for. Times are unix milliseconds.
pub struct Sought<'a> {
    pub cluster: &'a Redacted,
    pub service: &'a Redacted,
    /// `app/db.py:42 in connect`; those of the first cause first.
    pub frames: &'a [Redacted],
    /// Revisions that records at hand name, each with the time of its first.
    pub revisions: &'a [(Redacted, i64)],
    pub first_ms: i64,
    pub last_ms: i64,
}

/// What was found. Whatever is not ours in it is redacted.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// What is registered, and which commit ran.
    pub about: Vec<Row>,
    /// Those of the first cause first.
    pub functions: Vec<Function>,
    /// Frames that lead to no file of the commit, as they were.
    pub strangers: Vec<Redacted>,
    pub touched: Vec<Touched>,
    pub changed: Option<Changed>,
    /// What is not known and why, in words of ours.
    pub unknown: Vec<String>,
    /// The commit that ran, whole, where it is at hand.
    pub commit: Option<String>,
    /// What git said to that, and whoever it asked.
    pub said: Vec<Row>,
}

/// What came of it. A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A function stands in the dossier.
    Found,
    /// Its frames lead to no file, or there are none.
    Nowhere,
    Unregistered,
    /// Registered, but not what runs, or not where.
    Incomplete,
    Failed,
}

impl Outcome {
    pub const ALL: [Outcome; 5] =
        [Outcome::Found, Outcome::Nowhere, Outcome::Unregistered, Outcome::Incomplete, Outcome::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Found => "found",
            Outcome::Nowhere => "nowhere",
            Outcome::Unregistered => "unregistered",
            Outcome::Incomplete => "incomplete",
            Outcome::Failed => "failed",
        }
    }
}

impl Library {
    /// Blocks, for [`Library::wait`] and a little at the most.
    pub fn search(&self, sought: &Sought<'_>) -> Source {
        let mut source = Source::default();
        let outcome = self.fill(sought, &mut source);
        self.metrics.sources.with_label_values(&[outcome.as_str()]).inc();
        source
    }

    /// Sees to it that what may be asked for is at hand, without waiting.
    pub fn prepare(&self, entry: &Entry) {
        let Some((mirrors, repository)) = self.mirrors.as_ref().zip(entry.descriptor.repository.as_ref()) else {
            return;
        };
        let deploys = entry.deploys.iter().rev().take(2).map(|deploy| &deploy.commit);
        let commits: Vec<String> = deploys.chain(&entry.descriptor.commit).cloned().collect();
        mirrors.prepare(repository, &commits);
    }

    /// What is registered no more takes no room.
    pub fn tidy(&self) {
        if let Some(mirrors) = &self.mirrors {
            mirrors.keep_only(&self.registry.locations());
        }
    }

    /// What is registered of a service, as escalations name it.
    pub fn entry(&self, cluster: &Redacted, service: &Redacted) -> Option<Entry> {
        let is = |name: &str, wanted: &Redacted| name == wanted.as_str() || cleaned(name) == *wanted;
        self.registry.find(|name| is(name, service), |of| is(of, cluster))
    }

    fn fill(&self, sought: &Sought<'_>, source: &mut Source) -> Outcome {
        let deadline = Instant::now() + self.wait;
        let Some(entry) = self.entry(sought.cluster, sought.service) else {
            source.unknown.push(
                "Its source: the service is not registered. `PUT /services/NAME` or a `[[service]]` with `name`, `repository` and `commit` does that."
                    .into(),
            );
            return Outcome::Unregistered;
        };
        about(&entry, source);
        let Some(repository) = &entry.descriptor.repository else {
            source.unknown.push("Its source: it is registered without a `repository`.".into());
            return Outcome::Incomplete;
        };
        let Some(deployed) = deployed::deployed(&entry, sought.revisions, sought.first_ms, sought.last_ms) else {
            source.unknown.push(
                "Which commit runs: `PUT /services/NAME/deploy`, or `commit` or `revisions` of what is registered tell it; without that no source is shown."
                    .into(),
            );
            return Outcome::Incomplete;
        };
        source.about.push(row("commit", &deployed.commit));
        source.about.push(("known by   ".into(), deployed.known_by.clone()));
        let Some(mirrors) = &self.mirrors else {
            source
                .unknown
                .push("Its source: without `investigation.folder` there is no place for a copy of it.".into());
            return Outcome::Incomplete;
        };
        let place = match mirrors.with(repository, std::slice::from_ref(&deployed.commit), deadline) {
            Ok(place) => place,
            Err(failed) => return lacking(source, "Its source", &failed),
        };
        let asked = Repository { git: mirrors.git(), folder: &place, deadline };
        let commit = match asked.commit(&deployed.commit) {
            Ok(commit) => commit,
            Err(failed) => return lacking(source, "Its source", &failed),
        };
        source.commit = Some(commit.clone());
        let found = evidence::functions(&asked, &commit, sought, source);
        if let Err(failed) = &found {
            lacking(source, "The files of its commit", failed);
        }
        let paths: Vec<String> = evidence::paths(source);
        for path in &paths {
            match asked.touched(&commit, path, evidence::TOUCHED_COMMITS) {
                Ok(commits) => source.touched.push(evidence::touched(path, &commits)),
                Err(failed) => {
                    lacking(source, "Who touched its files last", &failed);
                    break;
                }
            }
        }
        match &deployed.before {
            None => source.unknown.push("What the last deploy changed: which commit ran before is not known.".into()),
            Some(before) => {
                source.about.push(row("before", before));
                // What it lacks may have to be fetched, and need not be there.
                let changed = mirrors
                    .with(repository, std::slice::from_ref(before), deadline)
                    .and_then(|_| asked.commit(before))
                    .and_then(|before| changes(&asked, &before, &commit, &paths));
                match changed {
                    Ok(changed) => source.changed = Some(changed),
                    Err(failed) => {
                        lacking(source, "What the last deploy changed", &failed);
                    }
                }
            }
        }
        match (found, source.functions.is_empty()) {
            (Err(_), _) => Outcome::Failed,
            (Ok(()), true) => Outcome::Nowhere,
            (Ok(()), false) => Outcome::Found,
        }
    }
}

/// Says what is missing and why: the kind of the failure in our words, the rest in a block.
fn lacking(source: &mut Source, what: &str, failed: &Failed) -> Outcome {
    let why = match failed {
        Failed::Missing(_) => "git cannot be started (`investigation.git`)",
        Failed::Time(_) => "it took too long (`investigation.source_seconds`, `fetch_seconds`)",
        Failed::TooMuch(_) => "it is larger than `investigation.mirror_bytes`",
        Failed::Refused(_) => "git refused",
        Failed::Unknown(_) => "the repository has no such commit",
        Failed::Stopping => "the program was stopping",
    };
    source.unknown.push(format!("{what}: {why}."));
    source.said.push(("git  ".into(), Redacted::new(&failed.to_string()).one_line().cut(LINE_BYTES * 2)));
    Outcome::Failed
}

fn row(name: &str, value: &str) -> Row {
    (format!("{name:<11}"), Redacted::new(value).one_line().cut(LINE_BYTES))
}

fn about(entry: &Entry, source: &mut Source) {
    let descriptor = &entry.descriptor;
    if let Some(repository) = &descriptor.repository {
        source.about.push(row("repository", repository.as_str()));
    }
    if !descriptor.description.is_empty() {
        let text = Redacted::new(&descriptor.description).one_line().cut(TEXT_BYTES);
        source.about.push(("about      ".into(), text));
    }
    if !descriptor.owners.is_empty() {
        source.about.push(row("owners", &descriptor.owners.join(", ")));
    }
}

fn changes(asked: &Repository<'_>, before: &str, commit: &str, paths: &[String]) -> Result<Changed, Failed> {
    let files: Vec<Change> = asked.changes(before, commit)?;
    let commits = asked.between(before, commit, COMMITS_MAX)?;
    let (ahead, behind) = (asked.count(before, commit)?, asked.count(commit, before)?);
    let mut patches = Vec::new();
    for path in paths.iter().filter(|path| files.iter().any(|change| change.path == **path)) {
        patches.push((path.clone(), asked.patch(before, commit, path, evidence::PATCH_MAX)?));
    }
    Ok(evidence::changed((before, commit), (ahead, behind), &files, &commits, &patches, paths))
}
