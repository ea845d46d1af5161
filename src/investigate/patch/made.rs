//! From files to a diff that git has applied.

use std::path::Path;
use std::time::Instant;

use ring::digest::{SHA256, digest};

use super::scratch::Scratch;
use super::{Changed, Draft, GIT_TIME, Kind, Refused};
use crate::investigate::snapshot::Snapshot;
use crate::investigate::source::git::{Failed, Git, Making, Repository};

/// All files at their largest would be more; a diff of what may change never is.
const DIFF_MAX: usize = 2 << 20;
/// Of commits that nobody sees.
const NOTED: i64 = 0;

pub(super) fn draft(
    git: &Git,
    scratch: &Scratch,
    source: &Snapshot<'_>,
    files: Vec<Changed>,
) -> Result<Draft, Refused> {
    let deadline = Instant::now() + GIT_TIME;
    let base = source.commit();
    let (place, index) = (scratch.place().join("objects.git"), scratch.place().join("index"));
    let made = || -> Result<Result<Vec<u8>, ()>, Failed> {
        git.borrow(&place, source.repository().folder, deadline)?;
        let repository = Repository { git, folder: &place, deadline };
        let making =
            Making { name: "draft", from: base, time: NOTED, message: "draft", files: written(&files, |_| true) };
        let commits = repository.commits(&[making])?;
        let whole = commits.first().map(String::as_str).unwrap_or_default();
        let diff = repository.whole_diff(base, whole, DIFF_MAX)?;
        let kept = scratch.place().join("draft.diff");
        std::fs::write(&kept, &diff).map_err(|error| Failed::Refused(error.to_string()))?;
        Ok(if repository.gives(base, &kept, whole, &index)? { Ok(diff) } else { Err(()) })
    };
    let diff = match made() {
        Ok(Ok(diff)) => diff,
        Ok(Err(())) => return Err(Refused::new(Kind::Git, "the diff, applied, does not give the same files")),
        Err(Failed::Unknown(_)) => return Err(Refused::new(Kind::Git, "git has not made the files")),
        Err(failed) => return Err(Refused::git(failed)),
    };
    let hash = digest(&SHA256, &diff).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let Ok(diff) = String::from_utf8(diff) else {
        return Err(Refused::new(Kind::File, "the diff is no text in UTF-8"));
    };
    Ok(Draft { commit: base.to_owned(), diff, hash, files })
}

/// Those files as a commit has them.
pub(super) fn written(files: &[Changed], which: impl Fn(&Changed) -> bool) -> Vec<(&str, bool, &str)> {
    let wanted = files.iter().filter(|file| which(file));
    wanted.map(|file| (file.path.as_str(), file.runnable, file.after.as_str())).collect()
}

/// Text that no language and no shell reads to its end.
const UNREADABLE: &str = "<?php\n((((( [[[[[ {{{{{ \" ' `\n";

/// The commits that are tried: the regression test alone, the mend alone, both; and both with a test that is broken.
pub(super) struct Tried {
    pub(super) test_alone: String,
    pub(super) mend_alone: String,
    pub(super) whole: String,
    pub(super) broken: String,
}

pub(super) fn tried(git: &Git, scratch: &Scratch, draft: &Draft, mirror: &Path) -> Result<Tried, Failed> {
    let deadline = Instant::now() + GIT_TIME;
    let place = scratch.place().join("objects.git");
    git.borrow(&place, mirror, deadline)?;
    let repository = Repository { git, folder: &place, deadline };
    let making = |name, files| Making { name, from: &draft.commit, time: NOTED, message: "draft", files };
    let mut broken = written(&draft.files, |_| true);
    for ((_, _, text), file) in broken.iter_mut().zip(&draft.files) {
        if file.is_test {
            *text = UNREADABLE;
        }
    }
    let commits = repository.commits(&[
        making("test", written(&draft.files, |file| file.is_test)),
        making("mend", written(&draft.files, |file| !file.is_test)),
        making("whole", written(&draft.files, |_| true)),
        making("broken", broken),
    ])?;
    match commits.as_slice() {
        [test, mend, whole, broken] => Ok(Tried {
            test_alone: test.clone(),
            mend_alone: mend.clone(),
            whole: whole.clone(),
            broken: broken.clone(),
        }),
        _ => Err(Failed::Unknown(String::new())),
    }
}
