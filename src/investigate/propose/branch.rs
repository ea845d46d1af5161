//! The order of things: look, push, look again, open.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::address::{Named, named, origin};
use super::github::{Found, GitHub, Stands};
use super::{Fault, FaultKind, Forge, Origin, Proposed, State, Words, branch_name, words};
use crate::investigate::patch::{Changed, Draft};
use crate::investigate::snapshot::Snapshot;
use crate::investigate::source::git::{Credential, Failed, Making, Repository};
use crate::registry::location::Location;

/// For all that git does here, the push included.
const GIT_TIME: Duration = Duration::from_secs(120);

pub(super) fn propose(forge: &Forge, draft: &Draft, to: Origin<'_>, words: &Words<'_>) -> Result<Proposed, Fault> {
    let branch = branch_name(words.escalation, draft);
    let github = forge.github.api.as_ref().and_then(|api| named(to.location, api));
    let github = github.filter(|_| forge.github.token().is_some());
    // What was decided before is found before anything is done.
    if let Some(named) = &github
        && let Some(found) = forge.github.of_branch(named, &branch)?
        && let Some(proposed) = stands(&found, &branch)
    {
        return Ok(proposed);
    }
    if let Some(named) = &github
        && let Some(found) = forge.github.of_diff(named, draft.short())?
        && let Some(proposed) = stands(&found, &found.branch)
    {
        return Ok(proposed);
    }
    let base = match &github {
        Some(named) => {
            let base = forge.github.default_branch(named)?;
            if is_there(forge, draft, to, &base) {
                let words = format!("The branch {base} has that change already: it waits to be deployed.");
                return Ok(Proposed { branch, commit: None, url: None, state: State::Merged, words });
            }
            Some(base)
        }
        None => None,
    };
    let commit = push(forge, draft, to, words, &branch)?;
    let pushed = |fault: Fault| Fault { pushed: true, ..fault };
    let (Some(named), Some(base)) = (&github, base) else {
        let why = match forge.github.api.as_ref().and_then(|api| named(to.location, api)) {
            Some(_) => "without investigation.github_token no pull request is opened",
            None => "it is no repository of the GitHub at investigation.github_url",
        };
        let words = format!("The branch {branch} was pushed; {why}.");
        return Ok(Proposed { branch, commit: Some(commit), url: None, state: State::Branch, words });
    };
    open(forge, draft, words, named, (&branch, &base), &commit).map_err(pushed)
}

fn open(
    forge: &Forge,
    draft: &Draft,
    words: &Words<'_>,
    named: &Named,
    (branch, base): (&str, &str),
    commit: &str,
) -> Result<Proposed, Fault> {
    let opened = forge.github.open(named, branch, base, &words::title(words), &words::body(draft, words));
    let fault = match opened {
        Ok(url) => {
            return Ok(Proposed {
                branch: branch.to_owned(),
                commit: Some(commit.to_owned()),
                url: Some(url).filter(|url| !url.is_empty()),
                state: State::Opened,
                words: "A draft pull request was opened.".to_owned(),
            });
        }
        Err(fault) => fault,
    };
    // It may have been opened nonetheless: the answer got lost, or another one was there first.
    let Ok(Some(found)) = forge.github.of_branch(named, branch) else { return Err(fault) };
    stands(&found, branch).map(|found| Proposed { commit: Some(commit.to_owned()), ..found }).ok_or(fault)
}

/// What is to be said of a pull request that is there.
fn stands(found: &Found, branch: &str) -> Option<Proposed> {
    let (state, words) = match found.state {
        Stands::Open => (State::Open, "A pull request with this diff is open already."),
        Stands::Closed => (State::Closed, "A person closed the pull request with this diff: it is not opened again."),
        Stands::Merged => (State::Merged, "The pull request with this diff is merged already."),
    };
    Some(Proposed {
        branch: branch.to_owned(),
        commit: None,
        url: Some(found.url.clone()).filter(|url| !url.is_empty()),
        state,
        words: words.to_owned(),
    })
}

/// Whether the branch, as far as our copy knows it, has all files as the draft would leave them.
fn is_there(forge: &Forge, draft: &Draft, to: Origin<'_>, branch: &str) -> bool {
    let repository = Repository { git: forge.workshop.git(), folder: to.mirror, deadline: Instant::now() + GIT_TIME };
    let Ok(Some(tip)) = repository.branch(branch) else { return false };
    let Ok(source) = Snapshot::open(&repository, &tip) else { return false };
    draft.files.iter().filter(|file| !file.is_test).all(|file| source.text(&file.path).as_deref() == Ok(&file.after))
}

/// The commit stands at the remote when it returns; its hash.
fn push(forge: &Forge, draft: &Draft, to: Origin<'_>, words: &Words<'_>, branch: &str) -> Result<String, Fault> {
    let ours = |failed: Failed| Fault::new(FaultKind::Ours, failed.to_string());
    let deadline = Instant::now() + GIT_TIME;
    let git = forge.workshop.git();
    let scratch = forge.workshop.scratch().map_err(|error| Fault::new(FaultKind::Ours, error.to_string()))?;
    let place = scratch.place().join("objects.git");
    git.borrow(&place, to.mirror, deadline).map_err(ours)?;
    let repository = Repository { git, folder: &place, deadline };
    let content = |file: &Changed| (file.path.clone(), file.runnable, file.after.clone());
    let files: Vec<(String, bool, String)> = draft.files.iter().map(content).collect();
    let making = Making {
        name: "mend",
        from: &draft.commit,
        time: words.opened_ms.div_euclid(1000).max(0),
        message: &words::message(draft, words),
        files: files.iter().map(|(path, runnable, text)| (path.as_str(), *runnable, text.as_str())).collect(),
    };
    let commit = repository.commits(&[making]).map_err(ours)?.pop().unwrap_or_default();
    let credential = credential(&forge.github, to.location);
    let there = git.remote_branch(to.location, branch, credential.as_ref(), deadline).map_err(remote)?;
    match there {
        Some(held) if held == commit => return Ok(commit),
        Some(_) => return Err(taken(branch)),
        None => {}
    }
    match git.push(&place, to.location, (&commit, branch), credential.as_ref(), deadline) {
        Ok(()) => Ok(commit),
        // Whoever answered last may have been lost, and somebody else may have been quicker.
        Err(failed) => match git.remote_branch(to.location, branch, credential.as_ref(), deadline) {
            Ok(Some(held)) if held == commit => Ok(commit),
            Ok(Some(_)) => Err(taken(branch)),
            Ok(None) => Err(match failed {
                Failed::Refused(said) => {
                    Fault::new(FaultKind::Rejected, format!("the repository refused the branch {branch}: {said}"))
                }
                failed => remote(failed),
            }),
            Err(_) => Err(remote(failed)),
        },
    }
}

fn taken(branch: &str) -> Fault {
    let words = format!("the branch {branch} is there with other commits: somebody works on it, and it is left alone");
    Fault::new(FaultKind::Taken, words)
}

fn remote(failed: Failed) -> Fault {
    match failed {
        Failed::Missing(_) | Failed::Stopping => {
            Fault { again: true, ..Fault::new(FaultKind::Ours, failed.to_string()) }
        }
        failed => Fault::new(FaultKind::Remote, format!("the repository cannot be reached: {failed}")),
    }
}

/// GitHub's token, where the repository is GitHub's and spoken to over HTTPS. Over SSH the keys of our user speak.
fn credential(github: &GitHub, location: &Location) -> Option<Credential> {
    let (token, api) = github.token().zip(github.api.as_ref())?;
    named(location, api)?;
    let origin = origin(location).filter(|origin| origin.starts_with("https://") || github.is_here)?;
    let pair = STANDARD.encode(format!("x-access-token:{}", token.expose()));
    Some(Credential { origin, header: format!("Authorization: Basic {pair}") })
}
