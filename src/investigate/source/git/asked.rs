//! What a repository of ours is asked.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use super::process::{self, Call, Printed};
use super::{Failed, Git};
use crate::registry::location::is_commit;

/// For one question.
const QUESTION: Duration = Duration::from_secs(10);
/// What a list of all files may be long.
const TREE_MAX: usize = 32 << 20;
const LOG_MAX: usize = 256 * 1024;
const NUMBERS_MAX: usize = 4 << 20;

/// Reads one repository until a deadline.
pub struct Repository<'g> {
    pub git: &'g Git,
    pub folder: &'g Path,
    pub deadline: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub hash: String,
    /// Unix seconds, as its committer's clock had it.
    pub time: i64,
    pub author: String,
    pub subject: String,
}

/// A file that two commits have differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    /// Lines; `None`: it is no text, or too large to compare.
    pub lines: Option<(u64, u64)>,
}

impl Repository<'_> {
    pub(super) fn ask(&self, args: impl IntoIterator<Item = OsString>, most: usize) -> Result<Printed, Failed> {
        let deadline = self.deadline.min(Instant::now() + QUESTION);
        let args = args.into_iter().collect();
        self.git.call(Call {
            repository: Some(self.folder),
            protocol: None,
            args,
            most,
            deadline,
            grows: None,
            input: Vec::new(),
            environment: Vec::new(),
        })
    }

    /// The whole hash of a commit.
    pub fn commit(&self, hash: &str) -> Result<String, Failed> {
        let unknown = || Failed::Unknown(hash.chars().take(64).collect());
        if !is_commit(hash) {
            return Err(unknown());
        }
        let args = ["rev-parse", "--verify", "--quiet", &format!("{hash}^{{commit}}")];
        let whole = match self.ask(args.map(Into::into), 4096) {
            Ok(printed) => String::from_utf8_lossy(&printed.text).trim().to_owned(),
            Err(Failed::Refused(_)) => return Err(unknown()),
            Err(failed) => return Err(failed),
        };
        // A branch may be called like the beginning of a hash.
        if is_commit(&whole) && whole.starts_with(hash) { Ok(whole) } else { Err(unknown()) }
    }

    /// What `ls-tree -r -z` prints of a commit; and whether there is more.
    pub fn tree(&self, commit: &str) -> Result<(Vec<u8>, bool), Failed> {
        let printed = self.ask(["ls-tree", "-r", "-z", "--full-tree", commit].map(Into::into), TREE_MAX)?;
        Ok((printed.text, printed.cut))
    }

    /// The content of a file, by its own hash. More than `most` bytes: it is not read.
    pub fn content(&self, oid: &str, most: usize) -> Result<Vec<u8>, Failed> {
        if !is_commit(oid) {
            return Err(Failed::Unknown(String::new()));
        }
        let size = self.ask(["cat-file", "-s", oid].map(Into::into), 100)?;
        let size: u64 = String::from_utf8_lossy(&size.text).trim().parse().unwrap_or(u64::MAX);
        if size > most as u64 {
            return Err(Failed::TooMuch(most as u64));
        }
        Ok(self.ask(["cat-file", "blob", oid].map(Into::into), most)?.text)
    }

    /// The names of the files that hold `text`, which is of one line, literally; and whether there may be more.
    pub fn holding(&self, commit: &str, text: &str, most: usize) -> Result<(Vec<String>, bool), Failed> {
        let args =
            ["grep", "-l", "-z", "-I", "-F", "--no-color", "--no-textconv", "--full-name", "-e", text, commit, "--"];
        let printed = match self.ask(args.map(Into::into), most) {
            Ok(printed) => printed,
            // Its way to say that there are none.
            Err(Failed::Refused(said)) if said == process::SAYS_ONE => return Ok((Vec::new(), false)),
            Err(failed) => return Err(failed),
        };
        let all = String::from_utf8_lossy(&printed.text);
        // What was cut off is no name.
        let whole = all.rsplit_once('\0').map_or("", |(whole, _)| whole);
        let names = whole.split('\0').filter_map(|name| name.strip_prefix(commit)?.strip_prefix(':'));
        Ok((names.map(str::to_owned).collect(), printed.cut))
    }

    /// The newest commits up to `commit` that touched a file.
    pub fn touched(&self, commit: &str, path: &str, most: usize) -> Result<Vec<Commit>, Failed> {
        self.log(&[commit], most, Some(path))
    }

    /// The newest commits that `to` has and `from` has not.
    pub fn between(&self, from: &str, to: &str, most: usize) -> Result<Vec<Commit>, Failed> {
        self.log(&[to, &format!("^{from}")], most, None)
    }

    /// How many they are.
    pub fn count(&self, from: &str, to: &str) -> Result<u64, Failed> {
        let printed = self.ask(["rev-list", "--count", to, &format!("^{from}"), "--"].map(Into::into), 100)?;
        Ok(String::from_utf8_lossy(&printed.text).trim().parse().unwrap_or(0))
    }

    fn log(&self, commits: &[&str], most: usize, path: Option<&str>) -> Result<Vec<Commit>, Failed> {
        let mut args: Vec<OsString> =
            ["log", "-z", "--no-color", "--no-decorate", "--no-notes", "--format=tformat:%H%x00%ct%x00%an%x00%s"]
                .map(Into::into)
                .into();
        args.push(format!("--max-count={most}").into());
        args.extend(commits.iter().map(Into::into));
        args.push("--".into());
        args.extend(path.map(Into::into));
        let printed = self.ask(args, LOG_MAX)?;
        let text = String::from_utf8_lossy(&printed.text);
        let words: Vec<&str> = text.split('\0').collect();
        let commit = |words: &[&str]| match words {
            [hash, time, author, subject] => Some(Commit {
                hash: (*hash).to_owned(),
                time: time.parse().ok()?,
                author: (*author).to_owned(),
                subject: (*subject).to_owned(),
            }),
            _ => None,
        };
        Ok(words.chunks_exact(4).filter_map(commit).collect())
    }

    /// The files in which two commits differ, in the order of their paths.
    pub fn changes(&self, from: &str, to: &str) -> Result<Vec<Change>, Failed> {
        let args =
            ["diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", from, to, "--"];
        let printed = self.ask(args.map(Into::into), NUMBERS_MAX)?;
        let text = String::from_utf8_lossy(&printed.text);
        let change = |row: &str| {
            let mut words = row.splitn(3, '\t');
            let (more, less, path) = (words.next()?, words.next()?, words.next()?);
            let lines = more.parse().ok().zip(less.parse().ok());
            Some(Change { path: path.to_owned(), lines })
        };
        Ok(text.split('\0').filter_map(change).collect())
    }

    /// What changed in one file, as a patch; and whether there is more.
    pub fn patch(&self, from: &str, to: &str, path: &str, most: usize) -> Result<(String, bool), Failed> {
        let args = [
            "diff-tree",
            "-p",
            "-U3",
            "--no-color",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-prefix",
            from,
            to,
            "--",
            path,
        ];
        let printed = self.ask(args.map(Into::into), most)?;
        Ok((String::from_utf8_lossy(&printed.text).into_owned(), printed.cut))
    }
}
