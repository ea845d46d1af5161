//! Includes among files: relative to the folder of the main file, with `*` in the last part of the path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Book, FILES_MAX, Files, Shelf, glob};

pub(super) struct Disk<'a> {
    files: &'a dyn Files,
    folder: PathBuf,
}

impl<'a> Disk<'a> {
    pub(super) fn new(main: &Path, files: &'a dyn Files) -> Self {
        Self { files, folder: main.parent().map(Path::to_path_buf).unwrap_or_default() }
    }

    fn named(&self, path: &Path) -> Result<Vec<PathBuf>, String> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.contains('*') {
            return Ok(vec![path.to_path_buf()]);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut found: Vec<PathBuf> = self
            .files
            .list(folder)
            .map_err(|error| format!("{} cannot be listed here: {error}", folder.display()))?
            .into_iter()
            .filter(|file| {
                file.file_name().and_then(|f| f.to_str()).is_some_and(|f| !f.starts_with('.') && glob::matches(name, f))
            })
            .collect();
        // Fluent Bit reads them as they come; an order of our own makes reports repeatable.
        found.sort();
        found.truncate(FILES_MAX + 1);
        if found.is_empty() { Err("it names no file here".to_owned()) } else { Ok(found) }
    }
}

impl Shelf for Disk<'_> {
    fn open(&self, pattern: &str) -> Result<Vec<Book>, String> {
        let mut books = Vec::new();
        for path in self.named(&self.folder.join(pattern.trim()))? {
            let text = self.files.read(&path).map_err(|error| format!("it cannot be read here: {error}"))?;
            let label: Arc<str> = path.display().to_string().into();
            books.push(book(&path, &label, &text));
        }
        Ok(books)
    }
}

pub(super) fn book(path: &Path, label: &Arc<str>, text: &str) -> Book {
    Book { id: path.to_path_buf(), label: Arc::clone(label), text: text.to_owned(), lines_above: 0 }
}
