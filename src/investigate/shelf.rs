//! Where dossiers are kept: a folder of files, or memory.
//!
//! A file is written whole or not at all, is its owner's only, and is named by a number of ours: nothing that a
//! log line says becomes part of a path. The oldest go when there are too many. What could not be written stays
//! in memory, so that people can still read it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::notify::notice::{diff_file, dossier_file, report_file};

/// Bytes of dossiers held in memory.
const MEMORY_MAX: usize = 4 << 20;
/// Most that is read of a file: more than any dossier has.
const FILE_MAX: u64 = 4 << 20;

/// What is kept of one escalation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Dossier,
    Report,
    Diff,
}

impl Piece {
    fn file(self, id: u64) -> String {
        match self {
            Piece::Dossier => dossier_file(id),
            Piece::Report => report_file(id),
            Piece::Diff => diff_file(id),
        }
    }
}

pub struct Shelf {
    /// `None`: memory only.
    folder: Option<PathBuf>,
    keep: usize,
    /// Oldest first. A plain lock: held for a copy.
    memory: Mutex<VecDeque<(Piece, u64, String)>>,
}

impl Shelf {
    pub fn new(folder: Option<PathBuf>, keep: usize) -> Shelf {
        Shelf { folder, keep, memory: Mutex::default() }
    }

    /// A path or word for people: where dossiers are.
    pub fn place(&self) -> String {
        self.folder.as_ref().map_or_else(|| "memory".to_owned(), |folder| folder.display().to_string())
    }

    /// Blocks: on the disk when it returns. An earlier one of that number is replaced.
    pub fn put(&self, piece: Piece, id: u64, text: &str) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            self.remember(piece, id, text);
            return Ok(());
        };
        write(folder, &piece.file(id), text)?;
        self.memory().retain(|(of, held, _)| (*of, *held) != (piece, id));
        // A file too many does no harm until the next one.
        if let Err(error) = prune(folder, self.keep) {
            tracing::debug!(folder = %folder.display(), %error, "old dossiers cannot be looked through");
        }
        Ok(())
    }

    /// In memory, within its bounds.
    pub fn remember(&self, piece: Piece, id: u64, text: &str) {
        let mut memory = self.memory();
        memory.retain(|(of, held, _)| (*of, *held) != (piece, id));
        memory.push_back((piece, id, text.to_owned()));
        let alike = |memory: &VecDeque<(Piece, u64, String)>| memory.iter().filter(|(of, ..)| *of == piece).count();
        while alike(&memory) > self.keep
            || (memory.len() > 1 && memory.iter().map(|(.., text)| text.len()).sum::<usize>() > MEMORY_MAX)
        {
            memory.pop_front();
        }
    }

    /// Blocks. `None`: there is none.
    pub fn get(&self, piece: Piece, id: u64) -> io::Result<Option<String>> {
        if let Some((.., text)) = self.memory().iter().find(|(of, held, _)| (*of, *held) == (piece, id)) {
            return Ok(Some(text.clone()));
        }
        let Some(folder) = &self.folder else { return Ok(None) };
        let mut text = String::new();
        match File::open(folder.join(piece.file(id))).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text)) {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, VecDeque<(Piece, u64, String)>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beside its place first, and then moved there: whoever looks finds the whole of it or nothing.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = folder.join(format!(".{name}.new"));
    // Of a life that ended while it wrote. Gone first, so that it is neither followed nor appended to.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&beside, folder.join(name))) {
        // On a full disk the half of it would be in the way.
        fs::remove_file(&beside).unwrap_or_default();
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

/// The number in the name of a file of ours.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix('E')?.strip_suffix(".md")?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Removes the oldest files of ours above `keep`; others' stay.
fn prune(folder: &Path, keep: usize) -> io::Result<()> {
    let mut ours: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(number) {
            ours.push((number, entry.path()));
        }
    }
    let surplus = ours.len().saturating_sub(keep);
    if surplus == 0 {
        return Ok(());
    }
    let age =
        |path: &Path| fs::symlink_metadata(path).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut ours: Vec<(SystemTime, u64, PathBuf)> = ours.into_iter().map(|(n, path)| (age(&path), n, path)).collect();
    ours.sort();
    for (_, id, path) in ours.iter().take(surplus) {
        // What belongs to it goes with it; not every one has it.
        for beside in [Piece::Report, Piece::Diff] {
            fs::remove_file(folder.join(beside.file(*id))).unwrap_or_default();
        }
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DOSSIER: Piece = Piece::Dossier;

    fn text(words: &str) -> String {
        format!("{words}\n")
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_whole_its_owners_only_and_replaced_by_a_later_one() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("deep/investigations");
        let shelf = Shelf::new(Some(folder.clone()), 10);
        // Left over by a life that was killed.
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(".E42.md.new"), "half").expect("a file");
        shelf.put(DOSSIER, 42, &text("first")).expect("written");
        shelf.put(DOSSIER, 42, &text("second")).expect("written");
        assert_eq!(names(&folder), ["E42.md"]);
        assert_eq!(shelf.get(DOSSIER, 42).expect("readable").as_deref(), Some("second\n"));
        assert_eq!(shelf.get(DOSSIER, 43).expect("readable"), None);
        let mode = fs::metadata(folder.join("E42.md")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_oldest_go_and_only_files_of_ours_do() {
        let home = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::new(Some(home.path().into()), 3);
        for other in ["E1.md.bak", "E.md", "Ex.md", "notes.md", "E-1.md"] {
            fs::write(home.path().join(other), "not ours").expect("a file");
        }
        // Numbers do not tell the age: those of triage begin at a million.
        for (n, id) in [1_000_001, 7, 3, 8, 9].into_iter().enumerate() {
            shelf.put(DOSSIER, id, &text("x")).expect("written");
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000 + n as u64);
            let file = File::open(home.path().join(dossier_file(id))).expect("a file");
            file.set_modified(at).expect("a time");
        }
        shelf.put(DOSSIER, 10, &text("x")).expect("written");
        assert_eq!(
            names(home.path()),
            ["E-1.md", "E.md", "E1.md.bak", "E10.md", "E8.md", "E9.md", "Ex.md", "notes.md"]
        );
    }

    #[test]
    fn without_a_folder_the_last_are_held_in_memory() {
        let shelf = Shelf::new(None, 2);
        for id in 1..=3 {
            shelf.put(DOSSIER, id, &text("x")).expect("held");
        }
        assert_eq!([1, 2, 3].map(|id| shelf.get(DOSSIER, id).expect("readable").is_some()), [false, true, true]);
        let large = Shelf::new(None, 1000);
        for id in 0..10 {
            large.put(DOSSIER, id, &text(&"x".repeat(1 << 20))).expect("held");
        }
        assert_eq!((0..10).filter(|id| large.get(DOSSIER, *id).expect("readable").is_some()).count(), 3);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_and_the_dossier_can_still_be_held() {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join("taken");
        fs::write(&file, "a file, no folder").expect("a file");
        let shelf = Shelf::new(Some(file), 2);
        assert!(shelf.put(DOSSIER, 1, &text("x")).is_err());
        assert!(shelf.get(DOSSIER, 1).is_err() || shelf.get(DOSSIER, 1).expect("readable").is_none());
        shelf.remember(DOSSIER, 1, &text("x"));
        assert_eq!(shelf.get(DOSSIER, 1).expect("readable").as_deref(), Some("x\n"));
    }
}
