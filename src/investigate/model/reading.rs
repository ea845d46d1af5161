//! The files of one commit, for a model to read.
//!
//! What it asks for is never a path that is opened, nor a path that git is given: the names of the commit are listed
//! once, and whatever is asked for is compared with them. Contents are read by their own hash. So nothing leads out of
//! the commit: links and submodules are named and not followed, `..` and absolute paths are no names. The one text
//! of a model's that git sees is what is searched for, behind `-e`, as a literal. Files that usually hold secrets are
//! not shown; all others are redacted, as a whole, before a line of them is.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Files;
use crate::investigate::source::git::{Failed, Git, Repository};
use crate::investigate::source::mirrors::Mirrors;
use crate::redact::Redacted;
use crate::registry::location::{Location, is_commit};

/// For one request.
const REQUEST: Duration = Duration::from_secs(10);
/// Held of a commit's names.
const NAMES_MAX: usize = 200_000;
/// A longer path is nobody's.
const PATH_MAX: usize = 1000;
/// A larger file is nobody's source.
const FILE_MAX: usize = 1 << 20;
/// Of a line; a quote must fit.
const LINE_BYTES: usize = 1000;
/// Names shown of a folder.
const LISTED_MAX: usize = 400;
/// Files looked into for a text, and lines shown of them: of one, and in all.
const SEARCHED_MAX: usize = 20;
const FOUND_IN_ONE: usize = 10;
const FOUND_MAX: usize = 80;
/// Of the names that git finds.
const FOUND_BYTES: usize = 64 * 1024;
/// Characters of a text that is searched for.
const TEXT_CHARS: std::ops::RangeInclusive<usize> = 2..=200;

pub struct CommitFiles {
    git: Git,
    /// A bare repository of ours.
    folder: PathBuf,
    commit: String,
    /// In the order of their paths.
    names: Vec<Name>,
    is_cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// From the root of the repository, with slashes.
    path: String,
    oid: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Link,
    Submodule,
}

impl CommitFiles {
    /// Of a registered repository at a commit, fetched if need be. Blocks until `deadline` at the most.
    pub fn of(
        mirrors: &Arc<Mirrors>,
        repository: &Location,
        commit: &str,
        deadline: Instant,
    ) -> Result<CommitFiles, Failed> {
        let folder = mirrors.with(repository, &[commit.to_owned()], deadline)?;
        CommitFiles::open(mirrors.git().clone(), folder, commit, deadline)
    }

    /// Of a bare repository that has the commit.
    pub fn open(git: Git, folder: PathBuf, commit: &str, deadline: Instant) -> Result<CommitFiles, Failed> {
        let asked = Repository { git: &git, folder: &folder, deadline };
        let commit = asked.commit(commit)?;
        let (listed, is_cut) = asked.tree(&commit)?;
        let mut names = names(&listed);
        let is_cut = is_cut || names.len() > NAMES_MAX;
        names.truncate(NAMES_MAX);
        names.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(CommitFiles { git, folder, commit, names, is_cut })
    }

    /// Its whole hash.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    fn asked(&self) -> Repository<'_> {
        Repository { git: &self.git, folder: &self.folder, deadline: Instant::now() + REQUEST }
    }

    fn find(&self, path: &str) -> Result<&Name, String> {
        let path = sound(path)?;
        let Ok(at) = self.names.binary_search_by(|name| name.path.as_str().cmp(path)) else {
            return Err(match self.has_folder(path) {
                true => "That is a folder: list_files tells what is in it.".to_owned(),
                false if self.is_cut => "No such file is known; the commit has more files than are held.".to_owned(),
                false => "There is no such file at that commit: list_files and search tell names.".to_owned(),
            });
        };
        let name = self.names.get(at).ok_or("There is no such file.")?;
        match name.kind {
            Kind::Link => Err("That is a symbolic link, which is not followed.".to_owned()),
            Kind::Submodule => Err("That is a submodule, which is not read.".to_owned()),
            Kind::File if may_be_secret(path) => Err("That file may hold secrets: it is not shown.".to_owned()),
            Kind::File => Ok(name),
        }
    }

    fn has_folder(&self, folder: &str) -> bool {
        self.within(folder).next().is_some()
    }

    /// What is below a folder, `""` being the root: the rest of each path.
    fn within<'s>(&'s self, folder: &'s str) -> impl Iterator<Item = (&'s str, &'s Name)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = self.names.partition_point(|name| name.path.as_str() < prefix.as_str());
        let rest = self.names.get(from..).unwrap_or_default().iter();
        rest.map_while(move |name| {
            Some((name.path.get(prefix.len()..).filter(|_| name.path.starts_with(&prefix))?, name))
        })
    }

    /// The lines of a file, redacted.
    fn lines(&self, asked: &Repository<'_>, name: &Name) -> Result<Vec<String>, String> {
        let bytes = asked.content(&name.oid, FILE_MAX).map_err(|failed| match failed {
            Failed::TooMuch(_) => format!("That file is larger than {FILE_MAX} bytes: it is not read."),
            Failed::Time(_) => "It took too long.".to_owned(),
            _ => "It could not be read.".to_owned(),
        })?;
        if bytes.contains(&0) {
            return Err("That file is no text.".to_owned());
        }
        Ok(hidden(&String::from_utf8_lossy(&bytes)))
    }
}

impl Files for CommitFiles {
    fn read(&self, path: &str, from_line: u32, to_line: u32) -> Result<Redacted, String> {
        let name = self.find(path)?;
        let lines = self.lines(&self.asked(), name)?;
        let (from, to) = (from_line.max(1) as usize, to_line as usize);
        let all = lines.len();
        let shown = lines.get(from - 1..to.min(all)).unwrap_or_default();
        if shown.is_empty() {
            return Err(format!("That file has {all} lines."));
        }
        let mut text = String::new();
        for (number, line) in (from..).zip(shown) {
            text.push_str(&format!("{number:>6}  {line}\n"));
        }
        text.push_str(&format!("({} of {all} lines)", shown.len()));
        Ok(Redacted::new(&text))
    }

    fn search(&self, text: &str) -> Result<Redacted, String> {
        if !TEXT_CHARS.contains(&text.chars().count()) || text.chars().any(|c| c.is_control() && c != '\t') {
            let (least, most) = (TEXT_CHARS.start(), TEXT_CHARS.end());
            return Err(format!("What is searched for has {least} to {most} characters of one line."));
        }
        let asked = self.asked();
        let (found, is_cut) = asked.holding(&self.commit, text, FOUND_BYTES).map_err(|failed| match failed {
            Failed::Time(_) => "It took too long: search for something rarer.".to_owned(),
            _ => "It could not be searched.".to_owned(),
        })?;
        let mut rows = Vec::new();
        let names: Vec<&Name> = found.iter().filter_map(|path| self.find(path).ok()).collect();
        for name in names.iter().take(SEARCHED_MAX) {
            // Too large, or too late: others may do.
            let Ok(lines) = self.lines(&asked, name) else { continue };
            let held = (1..).zip(&lines).filter(|(_, line)| line.contains(text)).take(FOUND_IN_ONE);
            rows.extend(held.map(|(number, line)| format!("{}:{number}  {}", name.path, line.trim_start())));
            if rows.len() >= FOUND_MAX {
                break;
            }
        }
        if rows.is_empty() {
            return Err("No line that may be shown holds that text.".to_owned());
        }
        let more = is_cut || names.len() > SEARCHED_MAX || rows.len() > FOUND_MAX;
        rows.truncate(FOUND_MAX);
        if more {
            rows.push("(there are more)".to_owned());
        }
        Ok(Redacted::new(&rows.join("\n")))
    }

    fn list(&self, folder: &str) -> Result<Redacted, String> {
        let folder = match folder.trim_end_matches('/') {
            "" | "." => "",
            folder => sound(folder)?,
        };
        let mut shown = BTreeSet::new();
        let mut is_more = self.is_cut;
        for (rest, name) in self.within(folder) {
            let row = match (rest.split_once('/'), name.kind) {
                (Some((inner, _)), _) => format!("{inner}/"),
                (None, Kind::File) => rest.to_owned(),
                (None, Kind::Link) => format!("{rest} (a link)"),
                (None, Kind::Submodule) => format!("{rest} (a submodule)"),
            };
            if shown.len() >= LISTED_MAX && !shown.contains(&row) {
                is_more = true;
                break;
            }
            shown.insert(row);
        }
        if shown.is_empty() {
            return Err("There is no such folder at that commit.".to_owned());
        }
        let mut rows: Vec<String> = shown.into_iter().collect();
        if is_more {
            rows.push("(there are more)".to_owned());
        }
        Ok(Redacted::new(&rows.join("\n")))
    }
}

/// Of what `ls-tree -r -z` prints: `<mode> <type> <oid>\t<path>`, each ended by a zero byte.
fn names(listed: &[u8]) -> Vec<Name> {
    let name = |row: &[u8]| {
        let (head, path) = std::str::from_utf8(row).ok()?.split_once('\t')?;
        let mut words = head.split(' ');
        let kind = match words.next()? {
            "100644" | "100755" => Kind::File,
            "120000" => Kind::Link,
            "160000" => Kind::Submodule,
            _ => return None,
        };
        let oid = words.nth(1).filter(|oid| is_commit(oid))?;
        let is_sound = path.len() <= PATH_MAX && sound(path) == Ok(path);
        is_sound.then(|| Name { path: path.to_owned(), oid: oid.to_owned(), kind })
    };
    listed.split(|byte| *byte == 0).filter_map(name).take(NAMES_MAX + 1).collect()
}

/// A path as commits have them.
fn sound(path: &str) -> Result<&str, String> {
    let path = path.strip_prefix("./").unwrap_or(path);
    if path.starts_with('/') {
        return Err("Paths begin at the root of the repository, without a slash.".to_owned());
    }
    let parts_are_sound = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !parts_are_sound || path.len() > PATH_MAX || path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("That is no path of a file in the repository.".to_owned());
    }
    Ok(path)
}

/// By their names. What a repository should not hold, and often does.
fn may_be_secret(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let is_sample = ["example", "sample", "template", "dist"].iter().any(|word| name.ends_with(word));
    let ends =
        [".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".asc", ".gpg", ".tfstate", ".tfvars"];
    let is = [".netrc", ".npmrc", ".pypirc", ".pgpass", ".htpasswd", ".git-credentials", "credentials"];
    (name == ".env" || (name.starts_with(".env.") && !is_sample))
        || name.starts_with("id_rsa")
        || name.starts_with("id_ed25519")
        || name.starts_with("id_ecdsa")
        || ends.iter().any(|end| name.ends_with(end))
        || is.contains(&name.as_str())
}

/// The lines of a text with their secrets hidden, also those of several lines; as many lines as there were.
fn hidden(text: &str) -> Vec<String> {
    let whole = Redacted::new(text);
    let kept: HashSet<&str> = whole.as_str().lines().collect();
    let line = |line: &str| {
        let alone = Redacted::new(line);
        // Not among the lines of the whole: it was a part of something that is hidden there.
        let shown = if kept.contains(alone.as_str()) { alone } else { Redacted::new("[redacted]") };
        shown.cut(LINE_BYTES).to_string()
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests;
