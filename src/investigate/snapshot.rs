//! The files of one commit: what a verdict is checked against, and what edits are made to.
//!
//! Paths are compared with the names in the commit's tree and with nothing else; nothing is looked up on a disk.
//! Links and submodules are known to be there, and are never followed.

use std::collections::{BTreeMap, HashMap};

use super::source::git::{Failed, Repository};

/// Names held of one commit, some 40 MB; of a larger one nothing is said and nothing is changed.
const NAMES_MAX: usize = 300_000;
/// Larger files are neither quoted nor edited.
pub const FILE_MAX: usize = 1 << 20;

/// A commit, its names read. It is asked until the repository's deadline.
pub struct Snapshot<'r> {
    repository: &'r Repository<'r>,
    commit: String,
    names: BTreeMap<String, Name>,
    /// In lower case, with the names that are written so: files and the folders above them.
    spellings: HashMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub kind: Kind,
    oid: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File {
        runnable: bool,
    },
    Link,
    /// A submodule, or something that later versions of git know.
    Other,
}

impl Name {
    pub fn is_runnable(&self) -> bool {
        self.kind == Kind::File { runnable: true }
    }
}

/// Why a file's text is not there. Words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error("no such file at that commit")]
    Nowhere,
    #[error("it is a symbolic link")]
    Link,
    #[error("it is a submodule")]
    Module,
    #[error("it is a folder")]
    Folder,
    #[error("it is larger than {FILE_MAX} bytes")]
    Large,
    #[error("it is no text in UTF-8")]
    Binary,
    #[error("{0}")]
    Git(Failed),
}

impl<'r> Snapshot<'r> {
    /// `commit`: by its whole hash, as [`Repository::commit`] gives it.
    pub fn open(repository: &'r Repository<'r>, commit: &str) -> Result<Snapshot<'r>, Failed> {
        let commit = repository.commit(commit)?;
        let (listed, cut) = repository.tree(&commit)?;
        let mut names = BTreeMap::new();
        let mut spellings = HashMap::new();
        for row in listed.split(|b| *b == 0).filter(|row| !row.is_empty()) {
            // A name that is no UTF-8 can be cited by nobody; it is still in the way of none.
            let Some((head, path)) = std::str::from_utf8(row).ok().and_then(|row| row.split_once('\t')) else {
                continue;
            };
            let mut words = head.split(' ');
            let kind = match words.next().unwrap_or_default() {
                "100644" | "100664" => Kind::File { runnable: false },
                "100755" => Kind::File { runnable: true },
                "120000" => Kind::Link,
                _ => Kind::Other,
            };
            let oid = words.nth(1).unwrap_or_default().to_owned();
            if cut || names.len() >= NAMES_MAX {
                return Err(Failed::TooMuch(listed.len() as u64));
            }
            for part in folders(path).chain([path]) {
                spellings.entry(part.to_lowercase()).or_insert_with(|| part.to_owned());
            }
            names.insert(path.to_owned(), Name { kind, oid });
        }
        Ok(Snapshot { repository, commit, names, spellings })
    }

    /// Its whole hash.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    pub fn repository(&self) -> &'r Repository<'r> {
        self.repository
    }

    pub fn name(&self, path: &str) -> Option<&Name> {
        self.names.get(path)
    }

    pub fn is_folder(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.names.range(inside.clone()..).next().is_some_and(|(name, _)| name.starts_with(&inside))
    }

    /// How the commit spells that name, or a folder above it, where it does so with other capitals.
    pub fn spelled(&self, path: &str) -> Option<&str> {
        let mut parts = folders(path).chain([path]);
        parts.find_map(|part| self.spellings.get(&part.to_lowercase()).filter(|held| *held != part)).map(String::as_str)
    }

    /// What is a file, a link or a submodule of the commit, and would have to be a folder for that path.
    pub fn in_the_way(&self, path: &str) -> Option<&str> {
        folders(path).find_map(|part| self.names.get_key_value(part)).map(|(name, _)| name.as_str())
    }

    pub fn text(&self, path: &str) -> Result<String, Unread> {
        let name = match self.names.get(path) {
            Some(name) => name,
            None if self.is_folder(path) => return Err(Unread::Folder),
            None => return Err(Unread::Nowhere),
        };
        match name.kind {
            Kind::Link => return Err(Unread::Link),
            Kind::Other => return Err(Unread::Module),
            Kind::File { .. } => {}
        }
        let content = self.repository.content(&name.oid, FILE_MAX).map_err(|failed| match failed {
            Failed::TooMuch(_) => Unread::Large,
            failed => Unread::Git(failed),
        })?;
        let text = String::from_utf8(content).map_err(|_| Unread::Binary)?;
        if text.contains('\0') { Err(Unread::Binary) } else { Ok(text) }
    }
}

/// Of `a/b/c`: `a`, `a/b`.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}
