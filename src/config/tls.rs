//! The files of `[server.tls]`: read at the start, and again whenever they have changed.
//!
//! Rotation is what these files are for, so a set of them that is no good never replaces one that is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use super::defaults::PEM_MAX_BYTES;
use super::source::read_file;
use crate::tls::{self, Part, Pems, Wrong};

/// Absolute, or relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Whose certificates prove a sender. `None`: certificates are not asked for.
    pub client_ca: Option<PathBuf>,
}

/// What was read, and what it makes.
pub struct Loaded {
    pub config: Arc<ServerConfig>,
    pems: Pems,
}

impl Loaded {
    /// Whether both hold the same bytes.
    pub fn same_as(&self, other: &Loaded) -> bool {
        self.pems == other.pems
    }
}

/// Reads the files. A certificate that a rotation has written beside a key that it has not is a fault here,
/// and sound a moment later.
pub fn load(files: &Files) -> Result<Loaded, Wrong> {
    let read = |part: Part, path: &Path| {
        let text = read_file(path, PEM_MAX_BYTES).map_err(|problem| Wrong { part, message: problem.message })?;
        Ok(text.into_bytes())
    };
    let pems = Pems {
        cert: read(Part::Cert, &files.cert)?,
        key: read(Part::Key, &files.key)?,
        client_ca: files.client_ca.as_deref().map(|path| read(Part::ClientCa, path)).transpose()?,
    };
    Ok(Loaded { config: tls::server(&pems)?, pems })
}
