//! Repositories of our own, a bare one for each that is registered, brought up to date when a commit is not in it.
//!
//! Fetching takes as long as a network likes, so it happens on threads of its own, a few at once, ahead of time where
//! that is possible; whoever needs a commit waits for it until a deadline. What failed is not tried again at once. A
//! folder is named by a hash of ours. It may be deleted at any time: it is made again.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use super::git::{Failed, Git, Repository};
use crate::registry::location::Location;

/// Fetched at once.
const THREADS_MAX: usize = 3;
/// Waiting to be fetched: more than may be registered.
const QUEUE_MAX: usize = 1000;
/// The first pause after a failure; each further one doubles it, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(20);
const LAST_PAUSE: Duration = Duration::from_secs(600);
/// Each fetch leaves a pack. Of more than these the repository is made anew.
const PACKS_MAX: usize = 50;
/// For making an empty repository, and asking for a commit.
const SHORT: Duration = Duration::from_secs(10);
/// Commits asked for by their hash at one time.
const COMMITS_MAX: usize = 4;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one fetch.
    pub fetch: Duration,
    /// Of one repository on the disk.
    pub most_bytes: u64,
}

pub struct Mirrors {
    git: Git,
    folder: PathBuf,
    limits: Limits,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    of: HashMap<Location, Standing>,
    queue: VecDeque<(Location, Vec<String>)>,
    /// Being fetched: one thread each.
    under_way: Vec<Location>,
    threads: usize,
}

/// How it stands with one repository.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// It waits to be fetched, or is.
    pub busy: bool,
    /// Fetches that have ended, well or not.
    ended: u64,
    /// Since the last one that went well.
    failures: u32,
    pub failed: Option<Failed>,
    not_before: Option<Instant>,
}

impl Mirrors {
    /// `folder` is made when it is first needed.
    pub fn new(git: Git, folder: PathBuf, limits: Limits) -> Arc<Mirrors> {
        Arc::new(Mirrors { git, folder, limits, held: Mutex::default(), changed: Condvar::new() })
    }

    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Ends what is under way.
    pub fn stop(&self) {
        self.git.stop();
        self.changed.notify_all();
    }

    pub fn standing(&self, of: &Location) -> Standing {
        self.held().of.get(of).cloned().unwrap_or_default()
    }

    /// Where the repository is, or is going to be.
    pub fn place(&self, of: &Location) -> PathBuf {
        self.folder.join(format!("{:016x}.git", xxh3_64(of.as_str().as_bytes())))
    }

    /// Sees to it that these commits are there, without waiting for it.
    pub fn prepare(self: &Arc<Self>, of: &Location, commits: &[String]) {
        if !self.has(of, commits, Instant::now() + SHORT) {
            self.enqueue(of, commits, false);
        }
    }

    /// The repository with these commits in it, by `deadline`.
    pub fn with(self: &Arc<Self>, of: &Location, commits: &[String], deadline: Instant) -> Result<PathBuf, Failed> {
        if self.has(of, commits, deadline) {
            return Ok(self.place(of));
        }
        let begun = Instant::now();
        let standing = self.standing(of);
        if let (Some(failed), false, true) = (&standing.failed, standing.busy, standing.not_before > Some(begun)) {
            return Err(failed.clone());
        }
        self.enqueue(of, commits, true);
        let mut held = self.held();
        loop {
            let now = held.of.get(of).cloned().unwrap_or_default();
            if now.ended > standing.ended && !now.busy {
                drop(held);
                return match now.failed {
                    Some(failed) => Err(failed),
                    None => Ok(self.place(of)),
                };
            }
            if self.git.is_stopping() {
                return Err(Failed::Stopping);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failed::Time(begun.elapsed().as_secs().max(1)));
            }
            // Being asked to stop is looked for, too.
            let wait = left.min(Duration::from_millis(250));
            held = self.changed.wait_timeout(held, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Removes what belongs to none of these.
    pub fn keep_only(&self, these: &[Location]) {
        let kept: Vec<PathBuf> = these.iter().map(|of| self.place(of)).collect();
        let mut held = self.held();
        held.of.retain(|of, _| these.contains(of));
        held.queue.retain(|(of, _)| these.contains(of));
        drop(held);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_ours(&path) && !kept.contains(&path) {
                remove(&path);
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, of: &Location, commits: &[String], deadline: Instant) -> bool {
        let place = self.place(of);
        let deadline = deadline.min(Instant::now() + SHORT);
        let repository = Repository { git: &self.git, folder: &place, deadline };
        place.join("HEAD").exists() && commits.iter().all(|commit| repository.commit(commit).is_ok())
    }

    fn enqueue(self: &Arc<Self>, of: &Location, commits: &[String], first: bool) {
        let mut held = self.held();
        let waits = held.queue.iter().position(|(waiting, _)| waiting == of);
        let mut wanted = waits.and_then(|at| held.queue.remove(at)).map(|(_, wanted)| wanted).unwrap_or_default();
        for commit in commits {
            if wanted.len() < COMMITS_MAX && !wanted.contains(commit) {
                wanted.push(commit.clone());
            }
        }
        if held.queue.len() >= QUEUE_MAX {
            return;
        }
        match first {
            true => held.queue.push_front((of.clone(), wanted)),
            false => held.queue.push_back((of.clone(), wanted)),
        }
        held.of.entry(of.clone()).or_default().busy = true;
        if held.threads < THREADS_MAX {
            let mirrors = Arc::clone(self);
            let started = std::thread::Builder::new().name("mirrors".to_owned()).spawn(move || mirrors.work());
            match started {
                Ok(_) => held.threads += 1,
                Err(error) => tracing::error!(%error, "no thread to fetch a repository with"),
            }
        }
    }

    /// Until nothing waits.
    fn work(self: Arc<Self>) {
        loop {
            let mut held = self.held();
            let free = held.queue.iter().position(|(of, _)| !held.under_way.contains(of));
            let next = free.filter(|_| !self.git.is_stopping()).and_then(|at| held.queue.remove(at));
            let Some((of, commits)) = next else {
                held.threads = held.threads.saturating_sub(1);
                drop(held);
                self.changed.notify_all();
                return;
            };
            held.under_way.push(of.clone());
            drop(held);
            let fetched = self.fetch(&of, &commits);
            let mut held = self.held();
            held.under_way.retain(|under_way| *under_way != of);
            let waits_again = held.queue.iter().any(|(waiting, _)| *waiting == of);
            let standing = held.of.entry(of.clone()).or_default();
            standing.busy = waits_again;
            standing.ended += 1;
            match fetched {
                Ok(()) => (standing.failures, standing.failed, standing.not_before) = (0, None, None),
                Err(failed) => {
                    let pause = FIRST_PAUSE.saturating_mul(1 << standing.failures.min(8)).min(LAST_PAUSE);
                    standing.failures += 1;
                    standing.not_before = Some(Instant::now() + pause);
                    // Once, not for every escalation of its service.
                    if standing.failed.as_ref() != Some(&failed) && failed != Failed::Stopping {
                        tracing::warn!(repository = of.as_str(), %failed, "a repository cannot be fetched; dossiers of its services are written without their source");
                    }
                    standing.failed = Some(failed);
                }
            }
            drop(held);
            self.changed.notify_all();
        }
    }

    fn fetch(&self, of: &Location, commits: &[String]) -> Result<(), Failed> {
        let place = self.place(of);
        if packs(&place) > PACKS_MAX {
            remove(&place);
        }
        match self.fetch_into(&place, of, commits) {
            // What a killed run left behind, or a disk broke.
            Err(Failed::Refused(said)) if place.exists() && is_ours_to_mend(&said) => {
                remove(&place);
                self.fetch_into(&place, of, commits)
            }
            Err(failed @ Failed::TooMuch(_)) => {
                remove(&place);
                Err(failed)
            }
            outcome => outcome,
        }
    }

    fn fetch_into(&self, place: &Path, of: &Location, commits: &[String]) -> Result<(), Failed> {
        let deadline = Instant::now() + self.limits.fetch;
        if !place.join("HEAD").exists() {
            remove(place);
            let made = std::fs::create_dir_all(place);
            made.map_err(|error| Failed::Refused(format!("{} cannot be made: {error}", place.display())))?;
            self.git.init(place, Instant::now() + SHORT)?;
        }
        sweep(place);
        self.git.fetch(place, of, None, self.limits.most_bytes, deadline)?;
        let repository = Repository { git: &self.git, folder: place, deadline };
        for commit in commits {
            // What is on no branch any more can still be asked for by its whole name.
            if matches!(repository.commit(commit), Err(Failed::Unknown(_))) && matches!(commit.len(), 40 | 64) {
                match self.git.fetch(place, of, Some(commit), self.limits.most_bytes, deadline) {
                    Ok(()) | Err(Failed::Refused(_)) => {}
                    Err(failed) => return Err(failed),
                }
            }
        }
        Ok(())
    }
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".git"));
    name.is_some_and(|name| name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether what git says is about our own copy.
fn is_ours_to_mend(said: &str) -> bool {
    [".lock", "not a git repository", "bad object", "corrupt", "unable to read", "missing", "invalid sha1 pointer"]
        .iter()
        .any(|words| said.contains(words))
}

fn remove(place: &Path) {
    match std::fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %place.display(), %error, "a copy of a repository cannot be removed");
        }
        _ => {}
    }
}

/// What killed runs left behind.
fn sweep(place: &Path) {
    for entry in std::fs::read_dir(place.join("objects/pack")).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp_") {
            std::fs::remove_file(entry.path()).unwrap_or_default();
        }
    }
}

fn packs(place: &Path) -> usize {
    let entries = std::fs::read_dir(place.join("objects/pack")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "pack")).count()
}

#[cfg(test)]
mod tests;
