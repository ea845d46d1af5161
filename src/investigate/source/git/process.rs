//! One run of git: its environment, its arguments, its end.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use super::{BIG, Failed, Git, SAID_MAX, SLOW, seconds};
use crate::registry::location::Protocol;

/// How often a run is looked at: for its end, for being asked to stop.
const LOOK: Duration = Duration::from_millis(10);
/// How often the size of what grows is.
const MEASURE: Duration = Duration::from_millis(200);
/// Of what it prints to its second stream.
const STDERR_MAX: usize = 8 * 1024;
/// For what a killed run still holds open.
const AFTER_KILL: Duration = Duration::from_millis(500);

/// What is told of a run that says nothing and ends with 1.
pub(super) const SAYS_ONE: &str = "nothing; it ended with 1";

pub(super) struct Call<'a> {
    /// `None`: none is needed.
    pub repository: Option<&'a Path>,
    /// What it may use to get elsewhere; `None`: it does not.
    pub protocol: Option<Protocol>,
    pub args: Vec<OsString>,
    /// Bytes that it may print.
    pub most: usize,
    pub deadline: Instant,
    /// A folder, and how large it may become.
    pub grows: Option<(&'a Path, u64)>,
    /// What it is given to read.
    pub input: Vec<u8>,
    /// Variables beside those that every run has.
    pub environment: Vec<(&'static str, OsString)>,
}

/// What a run printed.
#[derive(Debug)]
pub(super) struct Printed {
    pub text: Vec<u8>,
    /// It would have printed more.
    pub cut: bool,
}

pub(super) fn run(git: &Git, mut call: Call<'_>) -> Result<Printed, Failed> {
    let begun = Instant::now();
    let mut child = command(git, &call).spawn().map_err(|error| Failed::Missing(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = std::mem::take(&mut call.input);
        // It may end without having read all, which its status tells. Without a thread it reads nothing.
        let write = move || stdin.write_all(&input).unwrap_or_default();
        let _started: Option<_> = std::thread::Builder::new().name("git-input".to_owned()).spawn(write).ok();
    }
    let out = child.stdout.take().map(|stream| reader(stream, call.most));
    let said = child.stderr.take().map(|stream| reader(stream, STDERR_MAX));
    let (Some(out), Some(said)) = (out, said) else { return Err(Failed::Missing("no pipe".to_owned())) };

    let mut printed: Option<Printed> = None;
    let mut measured = begun;
    let ended = loop {
        if printed.is_none() {
            match out.recv_timeout(LOOK) {
                Ok(all) => printed = Some(all),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => printed = Some(Printed { text: Vec::new(), cut: false }),
            }
        } else {
            std::thread::sleep(LOOK);
        }
        // Enough was read: it need not go on.
        if printed.as_ref().is_some_and(|printed| printed.cut) {
            end(git, &mut child);
            break Ok(None);
        }
        if let (Some(_), Ok(Some(status))) = (&printed, child.try_wait()) {
            break Ok(Some(status));
        }
        if git.is_stopping() {
            break Err(Failed::Stopping);
        }
        if Instant::now() >= call.deadline {
            break Err(Failed::Time(seconds(begun.elapsed())));
        }
        if let Some((folder, most)) = call.grows.filter(|_| measured.elapsed() >= MEASURE) {
            measured = Instant::now();
            if size(folder) > most {
                break Err(Failed::TooMuch(most));
            }
        }
    };
    let status = match ended {
        Ok(status) => status,
        Err(failed) => {
            end(git, &mut child);
            return Err(failed);
        }
    };
    if let Some((_, most)) = call.grows.filter(|(folder, most)| size(folder) > *most) {
        return Err(Failed::TooMuch(most));
    }
    let printed = printed.unwrap_or(Printed { text: Vec::new(), cut: false });
    if status.is_none_or(|status| status.success()) {
        return Ok(printed);
    }
    let said = said.recv_timeout(AFTER_KILL).map(|said| said.text).unwrap_or_default();
    Err(Failed::Refused(sentence(&said, status.and_then(|status| status.code()))))
}

fn command(git: &Git, call: &Call<'_>) -> Command {
    let mut command = Command::new(&git.program);
    command.env_clear();
    for (name, value) in &git.environment {
        command.env(name, value);
    }
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        // Asked for a password it says nothing.
        ("GIT_ASKPASS", "true"),
        ("SSH_ASKPASS", "true"),
        ("SSH_ASKPASS_REQUIRE", "never"),
        (
            "GIT_SSH_COMMAND",
            "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=5 -oServerAliveCountMax=3 -oClearAllForwardings=yes",
        ),
        ("GIT_PROTOCOL_FROM_USER", "0"),
        ("GIT_NO_LAZY_FETCH", "1"),
        // What is read is what the commit says, not what somebody put in its place.
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_PAGER", "cat"),
        ("LC_ALL", "C"),
    ] {
        command.env(name, value);
    }
    for (name, value) in &call.environment {
        command.env(name, value);
    }
    command.env("HOME", &git.home).env("XDG_CONFIG_HOME", &git.home);
    command.env("GIT_ALLOW_PROTOCOL", call.protocol.map_or("none", Protocol::as_str));
    let mut settings: Vec<String> = [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.attributesFile=/dev/null",
        "core.excludesFile=/dev/null",
        "core.askPass=true",
        "credential.helper=",
        "submodule.recurse=false",
        "fetch.recurseSubmodules=false",
        "fetch.unpackLimit=1",
        "gc.auto=0",
        "maintenance.auto=false",
        "log.showSignature=false",
        "log.mailmap=false",
        "init.defaultBranch=main",
        "protocol.allow=never",
        BIG,
        SLOW[0],
        SLOW[1],
    ]
    .map(str::to_owned)
    .into();
    settings.extend(call.protocol.map(|protocol| format!("protocol.{}.allow=always", protocol.as_str())));
    for setting in &settings {
        command.arg("-c").arg(setting);
    }
    command.arg("--no-pager");
    if let Some(folder) = call.repository {
        command.arg("--git-dir").arg(folder);
    }
    command.args(&call.args);
    // A group of its own: its end is the end of all that it started.
    let input = if call.input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.current_dir(&git.home).process_group(0).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads on a thread of its own, which ends with the stream or when it has read `most` bytes.
fn reader(mut stream: impl Read + Send + 'static, most: usize) -> Receiver<Printed> {
    let (sender, receiver) = sync_channel(1);
    let read = move || {
        let mut text = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut cut = false;
        while let Ok(length) = stream.read(&mut buffer) {
            let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else { break };
            let room = most - text.len();
            text.extend_from_slice(read.get(..room).unwrap_or(read));
            if length > room {
                cut = true;
                break;
            }
        }
        // Nobody may wait for it any more.
        sender.send(Printed { text, cut }).unwrap_or_default();
    };
    // Without a thread there is nothing to receive, which its reader is told.
    let _started: Option<_> = std::thread::Builder::new().name("git-output".to_owned()).spawn(read).ok();
    receiver
}

/// Kills the run and all that it started. It is not waited for before, so its number is still its group's.
fn end(git: &Git, child: &mut Child) {
    let mut kill = Command::new("sh");
    kill.env_clear().args(["-c", "kill -s KILL -- \"-$0\""]).arg(child.id().to_string());
    for (name, value) in git.environment.iter().filter(|(name, _)| name == "PATH") {
        kill.env(name, value);
    }
    kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Whatever came of it, git itself ends here.
    let _all: Option<_> = kill.status().ok();
    child.kill().unwrap_or_default();
    let _status: Option<_> = child.wait().ok();
}

/// Bytes of the files in a folder, those of folders in it included. Links are not followed.
pub(super) fn size(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0_u64;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => bytes = bytes.saturating_add(about.len()),
                Err(_) => {}
            }
        }
    }
    bytes
}

/// What it said first, and first as an error's, on one line.
fn sentence(said: &[u8], code: Option<i32>) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_wrong = |line: &&str| line.starts_with("fatal:") || line.starts_with("error:");
    // What somebody else said first, such as ssh, tells more than what git makes of it.
    let mut told: Vec<&str> = lines().next().into_iter().collect();
    let wrong = lines().find(is_wrong).filter(|line| !told.contains(line));
    told.extend(wrong);
    match (told.is_empty(), code) {
        (false, _) => told.join("; ").chars().take(SAID_MAX).collect(),
        (true, Some(code)) => format!("nothing; it ended with {code}"),
        (true, None) => "nothing; it was killed".to_owned(),
    }
}
