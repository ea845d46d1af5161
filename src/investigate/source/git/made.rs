//! What is made of a repository: commits of ours beside it, copies of its files, and branches given back to it.
//!
//! Our copies of repositories are only read. What is made goes into a repository of its own that borrows their objects,
//! and is thrown away with its folder.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use super::process::{Call, Printed};
use super::{Failed, Git, Repository, process};
use crate::registry::location::{Location, is_commit};

/// What may be said of refs.
const REFS_MAX: usize = 64 * 1024;

/// What speaks for us where a repository is given something back. No `Debug`: it is a secret.
pub struct Credential {
    /// The address it is for, whose beginning it matches: scheme and host.
    pub origin: String,
    /// A whole header, name included.
    pub header: String,
}

/// One commit to be made.
pub struct Making<'a> {
    /// Its name in the repository that is thrown away.
    pub name: &'a str,
    /// The commit before it.
    pub from: &'a str,
    /// Unix seconds.
    pub time: i64,
    pub message: &'a str,
    /// Path, whether it is runnable, content.
    pub files: Vec<(&'a str, bool, &'a str)>,
}

const AUTHOR: &str = "Emberwatch <emberwatch@localhost>";

/// Bytes of the files in a folder, those of folders in it included. Links are not followed.
pub fn folder_bytes(folder: &Path) -> u64 {
    process::size(folder)
}

impl Git {
    /// Where programs are.
    pub fn search_path(&self) -> Option<&str> {
        self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str())
    }

    /// Makes an empty repository that has all objects of another one.
    pub fn borrow(&self, folder: &Path, of: &Path, deadline: Instant) -> Result<(), Failed> {
        self.init(folder, deadline)?;
        let mut line = of.join("objects").into_os_string().into_encoded_bytes();
        line.push(b'\n');
        let info = folder.join("objects/info");
        let written = std::fs::create_dir_all(&info).and_then(|()| std::fs::write(info.join("alternates"), line));
        written.map_err(|error| Failed::Refused(format!("{} cannot be made: {error}", info.display())))
    }

    /// The commit that a branch has over there; `None`: there is no such branch.
    pub fn remote_branch(
        &self,
        of: &Location,
        branch: &str,
        credential: Option<&Credential>,
        deadline: Instant,
    ) -> Result<Option<String>, Failed> {
        let name = format!("refs/heads/{branch}");
        let args = ["ls-remote", "--quiet", "--heads", "--", of.as_str(), &name].map(OsString::from);
        let call = Call {
            repository: None,
            protocol: Some(of.protocol()),
            args: args.into(),
            most: REFS_MAX,
            deadline,
            grows: None,
            input: Vec::new(),
            environment: told(credential),
        };
        let printed = self.call(call)?;
        let text = String::from_utf8_lossy(&printed.text).into_owned();
        let found = text.lines().filter_map(|line| line.split_once('\t')).find(|(_, held)| *held == name);
        Ok(found.map(|(commit, _)| commit.to_owned()).filter(|commit| is_commit(commit)))
    }

    /// Gives a commit to a repository as a new branch. What is there is not overwritten.
    pub fn push(
        &self,
        folder: &Path,
        to: &Location,
        (commit, branch): (&str, &str),
        credential: Option<&Credential>,
        deadline: Instant,
    ) -> Result<(), Failed> {
        let args = [
            "push",
            "--porcelain",
            "--no-verify",
            "--no-signed",
            "--no-follow-tags",
            "--recurse-submodules=no",
            "--",
            to.as_str(),
            &format!("{commit}:refs/heads/{branch}"),
        ];
        let call = Call {
            repository: Some(folder),
            protocol: Some(to.protocol()),
            args: args.map(OsString::from).into(),
            most: REFS_MAX,
            deadline,
            grows: None,
            input: Vec::new(),
            environment: told(credential),
        };
        self.call(call).map(|_| ())
    }
}

/// In the environment, which only our own user can read; arguments can be read by all.
fn told(credential: Option<&Credential>) -> Vec<(&'static str, OsString)> {
    let Some(credential) = credential else { return Vec::new() };
    vec![
        ("GIT_CONFIG_COUNT", "2".into()),
        ("GIT_CONFIG_KEY_0", format!("http.{}/.extraHeader", credential.origin).into()),
        ("GIT_CONFIG_VALUE_0", credential.header.clone().into()),
        // It is for nobody else.
        ("GIT_CONFIG_KEY_1", "http.followRedirects".into()),
        ("GIT_CONFIG_VALUE_1", "false".into()),
    ]
}

impl Repository<'_> {
    fn make(
        &self,
        args: impl IntoIterator<Item = OsString>,
        input: Vec<u8>,
        index: Option<&Path>,
        grows: Option<(&Path, u64)>,
    ) -> Result<Printed, Failed> {
        let index = index.map(|index| ("GIT_INDEX_FILE", index.as_os_str().to_owned()));
        self.git.call(Call {
            repository: Some(self.folder),
            protocol: None,
            args: args.into_iter().collect(),
            most: REFS_MAX,
            deadline: self.deadline,
            grows,
            input,
            environment: index.into_iter().collect(),
        })
    }

    /// Makes commits; their hashes, in this order. The same ones have the same hashes.
    pub fn commits(&self, making: &[Making<'_>]) -> Result<Vec<String>, Failed> {
        let mut stream = b"feature done\n".to_vec();
        for commit in making {
            let head = format!("commit refs/heads/{}\ncommitter {AUTHOR} {} +0000\n", commit.name, commit.time);
            stream.extend(head.into_bytes());
            data(&mut stream, commit.message);
            stream.extend(format!("from {}\n", commit.from).into_bytes());
            for (path, runnable, content) in &commit.files {
                let mode = if *runnable { "100755" } else { "100644" };
                stream.extend(format!("M {mode} inline {}\n", quoted(path)).into_bytes());
                data(&mut stream, content);
            }
            stream.push(b'\n');
        }
        stream.extend(b"done\n");
        self.make(["fast-import", "--quiet", "--done"].map(Into::into), stream, None, None)?;
        making.iter().map(|commit| self.hash_of(&format!("refs/heads/{}", commit.name))).collect()
    }

    /// The commit of a branch of our copy; `None`: it has none of that name.
    pub fn branch(&self, name: &str) -> Result<Option<String>, Failed> {
        match self.hash_of(&format!("refs/heads/{name}^{{commit}}")) {
            Ok(hash) => Ok(Some(hash)),
            Err(Failed::Refused(_) | Failed::Unknown(_)) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Of whatever has that name.
    fn hash_of(&self, name: &str) -> Result<String, Failed> {
        let printed = self.make(["rev-parse", "--verify", "--quiet", name].map(Into::into), Vec::new(), None, None)?;
        let hash = String::from_utf8_lossy(&printed.text).trim().to_owned();
        if is_commit(&hash) { Ok(hash) } else { Err(Failed::Unknown(name.chars().take(64).collect())) }
    }

    /// What changed from one commit to the other, as `git apply` takes it. Longer than `most`: none.
    pub fn whole_diff(&self, from: &str, to: &str, most: usize) -> Result<Vec<u8>, Failed> {
        let args = [
            "diff-tree",
            "-p",
            "-U3",
            "--full-index",
            "--text",
            "--no-color",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            from,
            to,
            "--",
        ];
        let printed = self.ask(args.map(Into::into), most)?;
        if printed.cut { Err(Failed::TooMuch(most as u64)) } else { Ok(printed.text) }
    }

    /// Whether a diff, applied to one commit, gives the files of the other.
    pub fn gives(&self, from: &str, diff: &Path, to: &str, index: &Path) -> Result<bool, Failed> {
        self.make(["read-tree", from].map(Into::into), Vec::new(), Some(index), None)?;
        let args: [OsString; 5] =
            ["apply".into(), "--cached".into(), "--whitespace=nowarn".into(), "--".into(), diff.into()];
        self.make(args, Vec::new(), Some(index), None)?;
        let tree = self.make(["write-tree".into()], Vec::new(), Some(index), None)?;
        Ok(String::from_utf8_lossy(&tree.text).trim() == self.hash_of(&format!("{to}^{{tree}}"))?)
    }

    /// Writes the files of a commit into an empty folder. It may grow to `most` bytes. No filter of the repository's
    /// runs, for none is configured, and no link in it is written through: git sees to that.
    pub fn check_out(&self, commit: &str, into: &Path, index: &Path, most: u64) -> Result<(), Failed> {
        let mut tree = OsString::from("--work-tree=");
        tree.push(into);
        let settings = ["core.autocrlf=false", "core.protectHFS=true", "core.protectNTFS=true", "core.bare=false"];
        let mut args: Vec<OsString> = vec![tree];
        args.extend(settings.iter().flat_map(|setting| ["-c".into(), OsString::from(setting)]));
        let reading = args.iter().cloned().chain(["read-tree", commit].map(Into::into));
        self.make(reading.collect::<Vec<_>>(), Vec::new(), Some(index), None)?;
        let writing = args.into_iter().chain(["checkout-index", "--all", "--force", "--quiet"].map(Into::into));
        self.make(writing.collect::<Vec<_>>(), Vec::new(), Some(index), Some((into, most))).map(|_| ())
    }
}

fn data(stream: &mut Vec<u8>, text: &str) {
    stream.extend(format!("data {}\n", text.len()).into_bytes());
    stream.extend(text.as_bytes());
    stream.push(b'\n');
}

/// A path as it is written in a stream of commits.
fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
