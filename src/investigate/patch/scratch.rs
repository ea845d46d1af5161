//! A folder for one draft, which goes with it; and the end of those that a former life left.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How they are called, so that nothing else in the folder is ever removed.
const PREFIX: &str = "draft-";
/// Folders made removable before a removal, so that a test that makes folders without end does not hold us up.
const OPENED_MAX: usize = 200_000;

/// Unique within this life; former ones are swept.
static NEXT: AtomicU64 = AtomicU64::new(0);

pub(in crate::investigate) struct Scratch {
    place: PathBuf,
}

impl Scratch {
    pub(super) fn make(folder: &Path) -> io::Result<Scratch> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = folder.join(format!("{PREFIX}{}-{number}", std::process::id()));
        remove(&place);
        builder.recursive(false).create(&place)?;
        Ok(Scratch { place })
    }

    pub(in crate::investigate) fn place(&self) -> &Path {
        &self.place
    }

    /// A folder in it, made.
    pub(in crate::investigate) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.place.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.place);
    }
}

/// Removes what a former life left behind. `end`: what still runs in such a folder is ended first.
pub(super) fn sweep(folder: &Path, end: impl Fn(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            end(&entry.path());
            remove(&entry.path());
        }
    }
}

fn remove(place: &Path) {
    let gone = |outcome: &io::Result<()>| match outcome {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    if gone(&fs::remove_dir_all(place)) {
        return;
    }
    // Tests leave folders in which nothing may be removed; some caches are made so.
    open(place);
    let again = fs::remove_dir_all(place);
    if !gone(&again)
        && let Err(error) = again
    {
        tracing::warn!(folder = %place.display(), %error, "what a test left cannot be removed");
    }
}

/// Lets us into all folders below. Links are not followed.
fn open(place: &Path) {
    let mut folders = vec![place.to_owned()];
    let mut opened = 0;
    while let Some(folder) = folders.pop() {
        opened += 1;
        if opened > OPENED_MAX {
            return;
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap_or_default();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_goes_with_what_a_test_left_in_it() {
        let home = tempfile::tempdir().expect("a folder");
        let kept = home.path().join("kept");
        fs::write(&kept, "").expect("a file");
        let scratch = Scratch::make(home.path()).expect("a scratch");
        let locked = scratch.folder("locked").expect("a folder");
        fs::write(locked.join("a"), "").expect("a file");
        std::os::unix::fs::symlink(&kept, scratch.place().join("link")).expect("a link");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).expect("locked");
        let place = scratch.place().to_owned();
        drop(scratch);
        assert!(!place.exists() && kept.exists());
    }

    #[test]
    fn what_a_former_life_left_is_swept_and_nothing_else() {
        let home = tempfile::tempdir().expect("a folder");
        for name in ["draft-1-0", "other"] {
            fs::create_dir_all(home.path().join(name).join("deep")).expect("a folder");
        }
        sweep(home.path(), |_| ());
        assert!(!home.path().join("draft-1-0").exists() && home.path().join("other").exists());
        sweep(&home.path().join("nowhere"), |_| ());
    }
}
