//! One run of a service's test: what it may have, how it ends, what is kept of what it prints.
//!
//! What runs is written by strangers: the repository's code, and a test that a model wrote. It gets an empty
//! environment, no input and a folder that is thrown away. Where the machine lets us, it runs in namespaces of its own,
//! in which there is no network, no other process can be seen, and nothing outlives the run. Where it does not, it is a
//! process of our user like any other: it can read what we can read, reach what we can reach, and leave something behind
//! that has freed itself from its group; that is looked for by its environment and killed, too.
//!
//! In both cases it sees the files that our user sees. What it prints is redacted, and only its end is kept; nothing
//! that it writes is taken over.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Isolated, Limits};
use crate::investigate::source::git::{Git, folder_bytes};
use crate::redact::Redacted;

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often the size of its folder is, at the least; a large one takes no more than a tenth of the time.
const MEASURE: Duration = Duration::from_millis(300);
/// The end of what it prints is where it says what failed.
const TAIL_MAX: usize = 16 * 1024;
/// For what a killed run still holds open.
const AFTER_KILL: Duration = Duration::from_secs(2);
/// A test that nobody looks at any more ends so much later than it should.
const AFTER_US: Duration = Duration::from_secs(5);
/// For asking whether there are namespaces.
const PROBE: Duration = Duration::from_secs(5);
/// Processes and threads of our user, while it runs; as root there is no such bound.
const PROCESSES_MAX: u32 = 2_000;
/// Looked through for what has freed itself from its group.
const SEEN_MAX: usize = 100_000;

/// Namespaces of users, networks, processes and mounts, with a list of processes of its own.
const NAMESPACES: [&str; 8] =
    ["--user", "--map-current-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--"];

/// How apart a test ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// No network, and nothing that outlives it.
    Namespaces,
    /// A process like any other of our user.
    None,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Passed,
    Failed(i32),
    /// Its command was not found or cannot be run.
    NoCommand(i32),
    /// Something killed it: memory, mostly.
    Killed,
    Time(u64),
    TooLarge(u64),
    Stopping,
    /// It was not even started.
    NotStarted,
}

pub(super) struct Ran {
    pub(super) end: End,
    pub(super) tail: Redacted,
    pub(super) seconds: f64,
}

/// Where it runs, and what it may have.
pub(super) struct Place<'a> {
    /// It begins here.
    pub(super) tree: &'a Path,
    /// Its `HOME`; `tmp` beside it is its `TMPDIR`. Ours alone, and named as nothing else is.
    pub(super) home: &'a Path,
    pub(super) temporary: &'a Path,
    /// What is measured.
    pub(super) all: &'a Path,
}

/// Whether this machine lets us, and the configuration wants it. `None`: it wants it, and the machine does not.
pub(super) fn isolation(git: &Git, wanted: Isolated) -> Option<Isolation> {
    if wanted == Isolated::Off {
        return Some(Isolation::None);
    }
    let mut probe = command(git, "unshare");
    probe.args(NAMESPACES).args(["sh", "-c", "exit 0"]);
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let works = probe.spawn().is_ok_and(|mut child| {
        let until = Instant::now() + PROBE;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => break status.success(),
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
                _ => {
                    end(git, &mut child);
                    break false;
                }
            }
        }
    });
    match (works, wanted) {
        (true, _) => Some(Isolation::Namespaces),
        (false, Isolated::Required) => None,
        (false, _) => Some(Isolation::None),
    }
}

/// Runs it until it ends, or until it has to.
pub(super) fn run(git: &Git, test: &str, place: &Place<'_>, limits: &Limits, isolation: Isolation) -> Ran {
    let begun = Instant::now();
    let done = |end: End, tail: Redacted| Ran { end, tail, seconds: begun.elapsed().as_secs_f64() };
    // One pipe for both streams: what it prints stays in its order.
    let Ok((mut out, into)) = std::io::pipe() else { return done(End::NotStarted, Redacted::new("no pipe")) };
    let Ok(into_too) = into.try_clone() else { return done(End::NotStarted, Redacted::new("no pipe")) };
    let mut command = match isolation {
        Isolation::Namespaces => {
            let mut command = command(git, "unshare");
            command.args(NAMESPACES).arg("sh");
            command
        }
        Isolation::None => command(git, "sh"),
    };
    // Ended by itself where we are no more.
    let longest = (limits.test + AFTER_US).as_secs().to_string();
    command.arg("-c").arg(limited(limits)).arg("test").arg(test).arg(longest);
    command.current_dir(place.tree).env("HOME", place.home).env("TMPDIR", place.temporary).env("LANG", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(into).stderr(into_too).process_group(0);
    let spawned = command.spawn();
    // Its ends of the pipe are the only ones left.
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return done(End::NotStarted, Redacted::new(&error.to_string())),
    };
    let tail: Arc<Mutex<Tail>> = Arc::default();
    let (sender, drained) = sync_channel::<()>(1);
    let kept = Arc::clone(&tail);
    let read = move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length) = out.read(&mut buffer) {
            let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else { break };
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(read);
        }
        sender.send(()).unwrap_or_default();
    };
    // Without a thread the pipe closes, which the test sees.
    let _reader: Option<_> = std::thread::Builder::new().name("test-output".to_owned()).spawn(read).ok();

    let mut measured = (begun, Duration::ZERO);
    let ended = loop {
        if is_over(&mut child) {
            break None;
        }
        if git.is_stopping() {
            break Some(End::Stopping);
        }
        if begun.elapsed() >= limits.test {
            break Some(End::Time(limits.test.as_secs()));
        }
        if measured.0.elapsed() >= MEASURE.max(measured.1 * 10) {
            let from = Instant::now();
            let bytes = folder_bytes(place.all);
            measured = (Instant::now(), from.elapsed());
            if bytes > limits.bytes {
                break Some(End::TooLarge(limits.bytes));
            }
        }
        std::thread::sleep(LOOK);
    };
    // Also at a good end: what it left running goes. It is not waited for before, so its number is still its group's.
    let status = end(git, &mut child);
    if isolation == Isolation::None {
        end_strays(git, place.home.parent().unwrap_or(place.home));
    }
    let _drained: bool = drained.recv_timeout(AFTER_KILL).is_ok();
    let text = tail.lock().unwrap_or_else(PoisonError::into_inner).text();
    let end = match ended {
        Some(end) => end,
        None => match status {
            Some(0) if folder_bytes(place.all) > limits.bytes => End::TooLarge(limits.bytes),
            Some(0) => End::Passed,
            Some(code @ (126 | 127)) => End::NoCommand(code),
            None | Some(137) => End::Killed,
            Some(code) => End::Failed(code),
        },
    };
    done(end, text)
}

/// Nothing of our own environment but where programs are.
fn command(git: &Git, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    if let Some(path) = git.search_path() {
        command.env("PATH", path);
    }
    command
}

/// The shell that sets bounds and then becomes the test's own. A bound that it does not know, or that is lower
/// already, stays as it is. Shells count files in 512 bytes, memory in 1024.
fn limited(limits: &Limits) -> String {
    let (blocks, kilobytes) = (limits.bytes / 512, limits.memory / 1024);
    format!(
        "{{ ulimit -c 0; ulimit -f {blocks}; ulimit -d {kilobytes}; ulimit -p {PROCESSES_MAX} || ulimit -u {PROCESSES_MAX}; }} 2>/dev/null; \
         if command -v timeout >/dev/null; then exec timeout -s KILL \"$2\" sh -c \"$1\"; fi; exec sh -c \"$1\""
    )
}

/// Whether it has ended and was not yet waited for. Where that cannot be seen, it is asked, which waits for it.
fn is_over(child: &mut Child) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", child.id())) else {
        return !matches!(child.try_wait(), Ok(None));
    };
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    matches!(state, Some('Z' | 'X') | None)
}

/// Kills it and all of its group, and waits for it. What it ended with, if it was not killed.
fn end(git: &Git, child: &mut Child) -> Option<i32> {
    kill(git, &[format!("-{}", child.id())]);
    child.kill().unwrap_or_default();
    child.wait().ok().and_then(|status| status.code())
}

fn kill(git: &Git, numbers: &[String]) {
    let mut kill = command(git, "sh");
    kill.args(["-c", "kill -s KILL -- \"$@\"", "kill"]).args(numbers);
    kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _all: Option<_> = kill.status().ok();
}

/// Kills what works in that folder of ours or has its home there, whatever group it is in; a few times, for it may
/// multiply meanwhile.
pub(super) fn end_strays(git: &Git, folder: &Path) {
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let is_within = |place: &Path| place.starts_with(folder) || place.starts_with(&real);
    let own = std::process::id().to_string();
    for _ in 0..5 {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten().take(SEEN_MAX) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == own || !name.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let homes = environment.split(|b| *b == 0).filter_map(|row| row.strip_prefix(b"HOME="));
            let is_home = homes.map(OsStr::from_bytes).any(|home| is_within(Path::new(home)));
            if is_home || fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| is_within(&cwd)) {
                found.push(name);
            }
        }
        if found.is_empty() {
            return;
        }
        kill(git, &found);
    }
}

/// The end of what was printed.
#[derive(Default)]
struct Tail {
    kept: VecDeque<u8>,
    all: u64,
}

impl Tail {
    fn push(&mut self, read: &[u8]) {
        self.all += read.len() as u64;
        let read = read.get(read.len().saturating_sub(TAIL_MAX)..).unwrap_or_default();
        let over = (self.kept.len() + read.len()).saturating_sub(TAIL_MAX);
        self.kept.drain(..over);
        self.kept.extend(read);
    }

    fn text(&self) -> Redacted {
        let kept: Vec<u8> = self.kept.iter().copied().collect();
        let mut kept = kept.as_slice();
        if self.all > kept.len() as u64 {
            // What begins within a line could be half a secret, which nothing would know.
            kept = kept.splitn(2, |b| *b == b'\n').nth(1).unwrap_or_default();
        }
        Redacted::from_bytes(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_printed_is_kept_in_whole_lines() {
        let mut tail = Tail::default();
        tail.push(b"first\n");
        assert_eq!(tail.text().as_str(), "first\n");
        tail.push(&[b'x'; 3 * TAIL_MAX]);
        tail.push(b"\nlast\n");
        assert_eq!(tail.text().as_str(), "last\n");
        assert!(tail.kept.len() <= TAIL_MAX);
    }
}
