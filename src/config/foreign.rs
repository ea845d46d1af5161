//! The files of somebody else's configuration, for `check --fluent-bit`: read, never followed out of their bounds.

use std::io::{Error, Read, Result};
use std::path::{Path, PathBuf};

use crate::fluent_bit::{FILE_MAX_BYTES, Files};

/// The files of this machine; `-` is stdin.
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String> {
        let source: Box<dyn Read> =
            if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(path)?) };
        let mut bytes = Vec::new();
        source.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(Error::other(format!("it is larger than {} bytes", FILE_MAX_BYTES)));
        }
        String::from_utf8(bytes).map_err(|_| Error::other("it is not UTF-8 text"))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::read_dir(folder)?.take(LISTED_MAX).map(|entry| Ok(entry?.path())).collect()
    }
}

/// Files of a folder that an include with a `*` may choose from.
const LISTED_MAX: usize = 10_000;
