//! Which files are meant, and their bytes: found, told apart by their first bytes, decompressed in bounded pieces.
//!
//! Nothing is read that is no ordinary file, but what was named itself (a pipe may be); links within a folder are not
//! followed, so nothing is read twice and nothing outside. All lists are sorted: the same folder is the same input.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::words::{shell, visible};
use crate::ingest::decode::{Decoder, Encoding, Fed};

/// Files of one run: each is looked into before anything is counted.
pub const FILES_MAX: usize = 10_000;
/// Folders within folders.
const DEPTH_MAX: usize = 32;
/// Bytes taken from a file at once.
const BLOCK: usize = 128 * 1024;
/// What the library says of a frame whose window is larger than we allow.
const ZSTD_WIDE: &str = "requires too much memory";
/// First bytes that tell what a file is.
const HEAD: usize = 4096;

/// Standard input, as it is named and shown.
pub const STDIN: &str = "-";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `None`: standard input.
    pub path: Option<PathBuf>,
    /// Neither a pipe nor anything else that can be read once only, or waits.
    pub is_regular: bool,
    /// As people see it: without what a terminal would obey.
    pub name: String,
    /// On the disk; 0 where nobody knows.
    pub bytes: u64,
    /// When it was last written, unix milliseconds.
    pub modified_ms: Option<i64>,
}

/// A file that was not read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Passed {
    pub file: String,
    pub why: String,
}

/// Why nothing was read at all. The text names the file and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInput {
    #[error("{file}: {why}")]
    Unreadable { file: String, why: String },
    #[error("{file}: more than {FILES_MAX} files are there; name a folder below it, or the files that matter")]
    Many { file: String },
    #[error("{0}: no ordinary file is in it")]
    Empty(String),
}

/// Every file that `named` mean, each once, in the order of their names; and what in folders was passed over.
pub fn find(named: &[PathBuf]) -> Result<(Vec<Found>, Vec<Passed>), NoInput> {
    let (mut found, mut passed, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for path in named {
        if path.as_os_str() == STDIN {
            if !found.iter().any(|f: &Found| f.path.is_none()) {
                found.push(Found { path: None, is_regular: false, name: STDIN.into(), bytes: 0, modified_ms: None });
            }
            continue;
        }
        let unreadable = |error: io::Error| NoInput::Unreadable {
            file: shown(path),
            why: match error.kind() {
                io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
                _ => error.to_string(),
            },
        };
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if !about.is_dir() {
            // Told at once, not when everything else has been read.
            if about.is_file() {
                File::open(path).map_err(unreadable)?;
            }
            if seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                found.push(of(path, &about));
            }
            continue;
        }
        let before = found.len();
        walk(path, 0, &mut found, &mut passed, &mut seen)?;
        if found.len() == before && passed.is_empty() {
            return Err(NoInput::Empty(shown(path)));
        }
    }
    if found.len() > FILES_MAX {
        return Err(NoInput::Many { file: named.first().map(|path| shown(path)).unwrap_or_default() });
    }
    Ok((found, passed))
}

fn walk(
    folder: &Path,
    depth: usize,
    found: &mut Vec<Found>,
    passed: &mut Vec<Passed>,
    seen: &mut BTreeSet<PathBuf>,
) -> Result<(), NoInput> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            pass(passed, folder, error.to_string());
            return Ok(());
        }
    };
    let mut paths = Vec::new();
    for entry in entries.flatten() {
        paths.push(entry.path());
        if paths.len() > FILES_MAX {
            return Err(NoInput::Many { file: shown(folder) });
        }
    }
    paths.sort();
    for path in paths {
        match std::fs::symlink_metadata(&path) {
            Err(error) => pass(passed, &path, error.to_string()),
            Ok(about) if about.is_symlink() => pass(passed, &path, "a link; name what it leads to".to_owned()),
            Ok(about) if about.is_dir() && depth >= DEPTH_MAX => {
                pass(passed, &path, format!("more than {DEPTH_MAX} folders deep"));
            }
            Ok(about) if about.is_dir() => walk(&path, depth + 1, found, passed, seen)?,
            Ok(about) if about.is_file() => {
                if found.len() >= FILES_MAX {
                    return Err(NoInput::Many { file: shown(folder) });
                }
                if seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                    found.push(of(&path, &about));
                }
            }
            Ok(_) => pass(passed, &path, "no ordinary file".to_owned()),
        }
    }
    Ok(())
}

fn pass(passed: &mut Vec<Passed>, path: &Path, why: String) {
    if passed.len() < FILES_MAX {
        passed.push(Passed { file: shown(path), why });
    }
}

/// Whoever writes logs may name their files, too.
fn shown(path: &Path) -> String {
    visible(&path.display().to_string())
}

fn of(path: &Path, about: &std::fs::Metadata) -> Found {
    let modified = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Found {
        path: Some(path.to_owned()),
        is_regular: about.is_file(),
        name: shown(path),
        bytes: if about.is_file() { about.len() } else { 0 },
        modified_ms: modified.and_then(|since| i64::try_from(since.as_millis()).ok()),
    }
}

/// The bytes of one file, decompressed.
pub struct Bytes {
    reader: Box<dyn Read>,
    decoder: Option<Decoder>,
    encoding: Encoding,
    block: Vec<u8>,
    /// What of the block is not decoded yet.
    left: std::ops::Range<usize>,
    /// The decoder has more to give of what it took.
    held: bool,
    /// Taken from the disk so far.
    pub taken: u64,
}

/// What a look at the next bytes found.
pub enum Step {
    /// Some were handed on, or none yet.
    More,
    End,
    /// It breaks off here; what came before was handed on.
    Broken(String),
}

impl Bytes {
    /// `reader`: where the file's own bytes come from.
    pub fn new(mut reader: Box<dyn Read>) -> io::Result<Bytes> {
        let mut block = vec![0; BLOCK];
        let mut filled = 0;
        // A pipe may bring its first bytes one by one.
        while filled < HEAD {
            match reader.read(block.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let head = block.get(..filled).unwrap_or_default();
        let encoding = match head {
            [0x1f, 0x8b, ..] => Encoding::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Encoding::Zstd,
            _ => Encoding::Identity,
        };
        let decoder = Some(Decoder::new(encoding)?);
        Ok(Bytes { reader, decoder, encoding, block, left: 0..filled, held: false, taken: filled as u64 })
    }

    /// Hands on a bounded piece of what is there.
    pub fn step(&mut self, mut plain: impl FnMut(&[u8])) -> Step {
        if self.left.is_empty() && !self.held {
            match self.reader.read(&mut self.block) {
                Ok(0) => return self.end(plain),
                Ok(bytes) => {
                    self.left = 0..bytes;
                    self.taken += bytes as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Step::More,
                Err(error) => return Step::Broken(format!("cannot be read further: {error}")),
            }
        }
        let Some(decoder) = &mut self.decoder else { return Step::End };
        let mut left = self.block.get(self.left.clone()).unwrap_or_default();
        let before = left.len();
        let fed = decoder.feed(&mut left, |bytes| {
            plain(bytes);
            true
        });
        let taken = before - left.len();
        match fed {
            Ok(fed) => {
                self.left.start += taken;
                // A few bytes may become millions: those come before more is taken in.
                self.held = fed == Fed::More && self.left.is_empty();
                Step::More
            }
            Err(error) => Step::Broken(self.broken(&error)),
        }
    }

    fn end(&mut self, plain: impl FnMut(&[u8])) -> Step {
        let Some(decoder) = self.decoder.take() else { return Step::End };
        match decoder.finish(plain) {
            Ok(()) => Step::End,
            Err(error) => Step::Broken(self.broken(&error)),
        }
    }

    fn broken(&self, error: &io::Error) -> String {
        if self.encoding == Encoding::Zstd && error.to_string().contains(ZSTD_WIDE) {
            return "its zstd has a window of more than 8 MiB; try: zstd -dc --long=31 FILE | emberwatch replay -"
                .into();
        }
        let name = self.encoding.as_str();
        format!("its {name} breaks off or is damaged ({error}); what came before it was read")
    }
}

/// What a file is whose first (decompressed) bytes are no lines; with the command that makes lines of it.
pub fn no_lines(head: &[u8], name: &str) -> Option<String> {
    let by = |what: &str, command: &str| Some(format!("{what}; try: {command} | emberwatch replay -"));
    let quoted = if name == STDIN { "FILE".to_owned() } else { shell(name) };
    match head {
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => by("bzip2", &format!("bzip2 -dc {quoted}")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => by("xz", &format!("xz -dc {quoted}")),
        [b'P', b'K', 3, 4, ..] => by("a zip archive", &format!("unzip -p {quoted}")),
        [0x04, 0x22, 0x4d, 0x18, ..] => by("lz4", &format!("lz4 -dc {quoted}")),
        [b'L', b'P', b'K', b'S', b'H', b'H', b'R', b'H', ..] => {
            by("systemd's journal", &format!("journalctl -o json --file {quoted}"))
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => by("UTF-16 text", &format!("iconv -f UTF-16 -t UTF-8 {quoted}")),
        _ if head.get(257..262) == Some(b"ustar") => by("a tar archive", &format!("tar -xOf {quoted}")),
        _ if is_binary(head) => Some("binary: no lines of text".to_owned()),
        _ => None,
    }
}

/// Text has no zeros, and few bytes that are no characters.
fn is_binary(head: &[u8]) -> bool {
    let head = head.get(..HEAD).unwrap_or(head);
    if is_msgpack(head) {
        return false;
    }
    let zeros = head.iter().filter(|b| **b == 0).count();
    let odd = head.iter().filter(|b| **b < 0x20 && !matches!(**b, b'\t' | b'\n' | b'\r' | 0x1b | 0x0c)).count();
    zeros * 100 > head.len() || odd * 10 > head.len()
}

/// A body of Fluent Bit's own form: an array of a time and a map.
pub fn is_msgpack(head: &[u8]) -> bool {
    matches!(head, [0x92, 0x92 | 0xd7 | 0xcf | 0xcb | 0xce | 0x80..=0x8f, ..] | [0xdd, 0, 0, 0, 2, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("b")).expect("made");
        for name in ["b/2.log", "b/1.log", "a.log", "c.log"] {
            std::fs::write(at(name), "x\n").expect("written");
        }
        std::os::unix::fs::symlink("/etc/passwd", at("d.log")).expect("linked");
        std::os::unix::fs::symlink(folder.path(), at("b/loop")).expect("linked");
        let (found, passed) = find(&[folder.path().to_owned(), at("a.log")]).expect("found");
        let names: Vec<String> = found
            .iter()
            .map(|f| {
                f.path
                    .as_deref()
                    .and_then(|p| p.strip_prefix(folder.path()).ok())
                    .map_or(String::new(), |p| p.display().to_string())
            })
            .collect();
        assert_eq!(names, ["a.log", "b/1.log", "b/2.log", "c.log"], "each once");
        assert_eq!(passed.len(), 2, "{passed:?}");
        let missing = find(&[at("none")]).expect_err("missing");
        assert!(missing.to_string().contains("there is no such file"), "{missing}");
    }

    #[test]
    fn a_name_of_a_file_neither_moves_a_terminal_nor_adds_to_a_command() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().expect("a folder");
        let name = std::ffi::OsStr::from_bytes(b"a\x1b[2J\xe2\x80\xae;rm -rf $HOME'\n.log");
        std::fs::write(folder.path().join(name), "x\n").expect("written");
        let (found, _) = find(&[folder.path().to_owned()]).expect("found");
        let shown = &found[0].name;
        assert!(shown.ends_with("a\u{fffd}[2J\u{fffd};rm -rf $HOME'\u{fffd}.log"), "{shown:?}");
        let why = no_lines(b"BZh91AY", shown).unwrap_or_default();
        assert!(why.contains(";rm -rf $HOME'\\''\u{fffd}.log' | emberwatch"), "{why}");
        assert!(no_lines(b"BZh91AY", "-rf").unwrap_or_default().contains("bzip2 -dc ./-rf |"));
        assert!(no_lines(b"BZh91AY", STDIN).unwrap_or_default().contains("bzip2 -dc FILE |"));
        let missing = find(&[folder.path().join(std::ffi::OsStr::from_bytes(b"\x1b]0;x\x07"))]).expect_err("missing");
        assert!(!missing.to_string().contains(char::is_control), "{missing:?}");
    }

    #[test]
    fn a_zstd_window_that_is_too_wide_is_told_with_the_command_for_it() {
        let mut packed = zstd::stream::Encoder::new(Vec::new(), 1).expect("packed");
        packed.long_distance_matching(true).expect("set");
        packed.window_log(27).expect("set");
        io::copy(&mut io::repeat(b'x').take(1 << 20), &mut packed).expect("packed");
        let packed = packed.finish().expect("packed");
        let mut bytes = Bytes::new(Box::new(io::Cursor::new(packed))).expect("a decoder");
        let why = loop {
            match bytes.step(|_| ()) {
                Step::More => {}
                Step::End => break String::new(),
                Step::Broken(why) => break why,
            }
        };
        assert!(why.contains("zstd -dc --long=31 FILE | emberwatch replay -"), "{why}");
    }

    #[test]
    fn what_is_no_text_is_told_with_the_command_that_makes_text_of_it() {
        for (head, said) in [
            (&b"BZh91AY"[..], "bzip2 -dc x.log"),
            (b"\xfd7zXZ\0\0", "xz -dc"),
            (b"PK\x03\x04", "unzip -p"),
            (b"LPKSHHRH", "journalctl -o json"),
            (b"\xff\xfeh\0i\0", "iconv"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "binary"),
        ] {
            let why = no_lines(head, "x.log").unwrap_or_default();
            assert!(why.contains(said), "{why}");
        }
        for text in [&b"2025-10-01 INFO x\n"[..], b"", b"\x1b[31mred\x1b[0m\n", "größe\n".as_bytes(), b"\x92\xd7\0"] {
            assert_eq!(no_lines(text, "x"), None);
        }
    }
}
