//! Where the state is kept: a folder, or a bucket. Whole files by name, and words for what went wrong.

use super::bucket::Bucket;
use super::folder::Folder;

/// Why nothing was read or written: for a person, without a key or an address in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failed {
    pub(super) words: String,
    /// It may work a moment later.
    pub(super) again: bool,
}

impl Failed {
    pub(super) fn new(words: impl Into<String>) -> Failed {
        Failed { words: words.into(), again: false }
    }

    pub(super) fn for_now(words: impl Into<String>) -> Failed {
        Failed { words: words.into(), again: true }
    }
}

pub(super) enum Place {
    Folder(Folder),
    Bucket(Box<Bucket>),
}

impl Place {
    /// `None`: there is no such file. One of more than `most` bytes is an error.
    pub(super) async fn read(&mut self, name: &str, most: usize) -> Result<Option<Vec<u8>>, Failed> {
        match self {
            Place::Folder(folder) => folder.read(name, most).await,
            Place::Bucket(bucket) => bucket.read(name, most).await,
        }
    }

    /// There whole, or not at all.
    pub(super) async fn write(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Failed> {
        match self {
            Place::Folder(folder) => folder.write(name, bytes).await,
            Place::Bucket(bucket) => bucket.write(name, bytes).await,
        }
    }

    /// As configured.
    pub(super) fn shown(&self) -> String {
        match self {
            Place::Folder(folder) => folder.path.display().to_string(),
            Place::Bucket(bucket) => bucket.target.to_string(),
        }
    }
}
