//! Git, asked for what is in a repository and for nothing else.
//!
//! A repository is written by others, and git does much that its contents ask for. Each call is made so that none of
//! that happens: a bare repository of our own without hooks, no configuration but what stands here, one protocol, no
//! submodules, filters, external differs, prompts or pagers; an empty environment; arguments that are constants,
//! commits in hexadecimal, an address that [`Location`] let through, and paths behind `--`
//! that are taken as they are. Each call has a deadline, after which it and all that it started are killed, and a bound
//! on what it may print. Nothing here panics or waits without end, whatever git is or does.

mod asked;
mod made;
mod process;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use asked::{Change, Commit, Repository};
pub use made::{Credential, Making, folder_bytes};

use crate::registry::location::Location;
use process::{Call, Printed};

/// Of what git says went wrong, shown to people.
const SAID_MAX: usize = 300;
/// A clone that gets no faster than that for so many seconds hangs.
const SLOW: [&str; 2] = ["http.lowSpeedLimit=1000", "http.lowSpeedTime=20"];
/// Files larger than that are not compared, and go through memory in pieces.
const BIG: &str = "core.bigFileThreshold=1m";

/// Why git gave no answer. A closed set of words for a metric: [`Failed::as_str`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    #[error("git cannot be started ({0}); install it, or name it with investigation.git")]
    Missing(String),
    #[error("git took longer than {0} s")]
    Time(u64),
    #[error("more than {0} bytes")]
    TooMuch(u64),
    #[error("git says: {0}")]
    Refused(String),
    #[error("no commit is called {0}")]
    Unknown(String),
    #[error("the program is stopping")]
    Stopping,
}

impl Failed {
    pub fn as_str(&self) -> &'static str {
        match self {
            Failed::Missing(_) => "missing",
            Failed::Time(_) => "timeout",
            Failed::TooMuch(_) => "too_large",
            Failed::Refused(_) | Failed::Unknown(_) => "failed",
            Failed::Stopping => "stopping",
        }
    }
}

/// Told of the outcome of each call: `ok`, or a word of [`Failed::as_str`].
pub type Counted = Arc<dyn Fn(&'static str) + Send + Sync>;

/// How git is called.
#[derive(Clone)]
pub struct Git {
    program: PathBuf,
    /// Variables that it may have: where programs are, who speaks for us over SSH, which proxy there is.
    environment: Vec<(String, String)>,
    /// An existing folder without any configuration in it.
    home: PathBuf,
    counted: Counted,
    /// Set when the program stops: what runs is killed.
    stopping: Arc<AtomicBool>,
}

/// Variables of the program's own that git may have.
pub const PASSED: [&str; 11] = [
    "PATH",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
    "TMPDIR",
];

impl Git {
    pub fn new(program: PathBuf, environment: Vec<(String, String)>, home: PathBuf, counted: Counted) -> Git {
        Git { program, environment, home, counted, stopping: Arc::default() }
    }

    /// Kills what runs, and starts nothing any more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Makes an empty repository of our own.
    pub fn init(&self, folder: &Path, deadline: Instant) -> Result<(), Failed> {
        let args = ["init", "--bare", "--quiet", "--template=", "--"].map(Into::into).into_iter();
        let call = Call {
            repository: None,
            protocol: None,
            args: args.chain([folder.into()]).collect(),
            most: 4096,
            deadline,
            grows: None,
            input: Vec::new(),
            environment: Vec::new(),
        };
        self.call(call).map(|_| ())
    }

    /// Fetches into a repository of our own: all branches and tags, or only `commit`. It may grow to `most` bytes.
    pub fn fetch(
        &self,
        folder: &Path,
        from: &Location,
        commit: Option<&str>,
        most: u64,
        deadline: Instant,
    ) -> Result<(), Failed> {
        let mut args: Vec<std::ffi::OsString> = [
            "fetch",
            "--quiet",
            "--prune",
            "--force",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--",
            from.as_str(),
        ]
        .map(Into::into)
        .into();
        match commit {
            Some(commit) => args.push(format!("+{commit}:refs/emberwatch/{commit}").into()),
            None => args.extend(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"].map(Into::into)),
        }
        // Asked for one commit, the others stay.
        if commit.is_some() {
            args.retain(|arg| arg != "--prune");
        }
        let call = Call {
            repository: Some(folder),
            protocol: Some(from.protocol()),
            args,
            most: 4096,
            deadline,
            grows: Some((folder, most)),
            input: Vec::new(),
            environment: Vec::new(),
        };
        self.call(call).map(|_| ())
    }

    fn call(&self, call: Call<'_>) -> Result<Printed, Failed> {
        if self.is_stopping() {
            return Err(Failed::Stopping);
        }
        // A person may have removed it; without it nothing can be started.
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(&self.home) {
            return Err(Failed::Refused(format!("{} cannot be made: {error}", self.home.display())));
        }
        let outcome = process::run(self, call);
        (self.counted)(outcome.as_ref().map_or_else(Failed::as_str, |_| "ok"));
        outcome
    }
}

/// Seconds until then, for people; one at the least.
fn seconds(time: Duration) -> u64 {
    time.as_secs_f64().round().max(1.0) as u64
}
