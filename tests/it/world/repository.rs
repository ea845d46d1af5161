//! Repositories of git, the same in every run: dates and authors are fixed.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Repository {
    home: TempDir,
    commits: Cell<i64>,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let repository = Self { home: TempDir::new().expect("a temporary directory"), commits: Cell::new(0) };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let time = format!("{} +0000", 1_795_000_000 + self.commits.get() * 3600);
        let out = Command::new("git")
            .args(args)
            .current_dir(self.path())
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
            .envs([("GIT_AUTHOR_NAME", "Ada Author"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
            .envs([("GIT_COMMITTER_NAME", "Ada Author"), ("GIT_COMMITTER_EMAIL", "ada@example.com")])
            .envs([("GIT_AUTHOR_DATE", &time), ("GIT_COMMITTER_DATE", &time)])
            .output()
            .expect("git runs");
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// Everything below a folder.
    pub(crate) fn copy(&self, from: &Path) {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(from.join(&folder)).expect("a folder") {
                let entry = entry.expect("an entry");
                let place = folder.join(entry.file_name());
                match entry.file_type().expect("a kind").is_dir() {
                    true => folders.push(place),
                    false => {
                        let text = std::fs::read(entry.path()).expect("a file");
                        self.write(place.to_str().expect("UTF-8"), text);
                    }
                }
            }
        }
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).expect("a file")
    }

    /// Everything as it stands; its hash.
    pub(crate) fn commit(&self, subject: &str) -> String {
        self.commits.set(self.commits.get() + 1);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }
}
