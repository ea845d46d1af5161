//! Repositories made by tests, the same in every run: dates and authors are fixed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::git::Git;
use super::mirrors::{Limits, Mirrors};
use crate::registry::location::Location;

pub(crate) struct Forge {
    pub(crate) home: tempfile::TempDir,
    commits: std::cell::Cell<u32>,
}

impl Forge {
    pub(crate) fn new() -> Forge {
        let forge = Forge { home: tempfile::tempdir().expect("a folder"), commits: std::cell::Cell::new(0) };
        std::fs::create_dir(forge.repository()).expect("a folder");
        forge.git(&["init", "--quiet", "--initial-branch=main"]);
        forge
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.home.path().join("repository")
    }

    pub(crate) fn location(&self) -> Location {
        Location::parse(&self.repository().display().to_string()).expect("a path")
    }

    /// Runs git in the repository as a person does.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let day = 1_700_000_000 + i64::from(self.commits.get()) * 86_400;
        let out = Command::new("git")
            .args(args)
            .current_dir(self.repository())
            .env("HOME", self.home.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "Ada Author"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
            .envs([("GIT_COMMITTER_NAME", "Ada Author"), ("GIT_COMMITTER_EMAIL", "ada@example.com")])
            .envs([("GIT_AUTHOR_DATE", format!("{day} +0000")), ("GIT_COMMITTER_DATE", format!("{day} +0000"))])
            .output()
            .expect("git runs");
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.repository().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Everything as it stands; its hash.
    pub(crate) fn commit(&self, subject: &str) -> String {
        self.commits.set(self.commits.get() + 1);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A program called git that does what `script` says.
    pub(crate) fn fake(&self, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let place = self.home.path().join("bin");
        std::fs::create_dir_all(&place).expect("a folder");
        let program = place.join("git");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a file");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("runnable");
        program
    }
}

/// Outcomes of calls.
pub(crate) type Counts = Arc<Mutex<Vec<&'static str>>>;

/// As the program calls it, from a folder of its own.
pub(crate) fn git(home: &Path, program: &str) -> (Git, Counts) {
    let counts = Counts::default();
    let counted = counts.clone();
    let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).unwrap_or_default();
    let count = Arc::new(move |word| counted.lock().expect("a lock").push(word));
    std::fs::create_dir_all(home.join("empty")).expect("a folder");
    (Git::new(program.into(), vec![("PATH".into(), path)], home.join("empty"), count), counts)
}

pub(crate) fn mirrors(home: &Path, program: &str) -> Arc<Mirrors> {
    let limits = Limits { fetch: Duration::from_secs(60), most_bytes: 1 << 30 };
    Mirrors::new(git(home, program).0, home.join("mirrors"), limits)
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
