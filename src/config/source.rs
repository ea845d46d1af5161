//! Where the text of the configuration comes from: at most one file, or one variable.
//!
//! This and the files that hold secrets are all that the program reads for its settings, and both
//! go through [`read_file`], which never takes in more than it was allowed to.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use toml::Table;

use super::defaults::CONFIG_FILE_MAX_BYTES;
use super::{Origin, Sources};
use crate::fault::{Fault, Faults};

/// The whole configuration as text, for places where mounting a file is a chore.
pub(super) const CONFIG_TEXT_VARIABLE: &str = "EMBERWATCH_CONFIG_TOML";

/// Used when it is there and nothing else was named.
const DEFAULT_FILE: &str = "emberwatch.toml";

const FILE_ARGUMENT: &str = "--config";

/// The parsed configuration, empty if there is none.
pub(super) fn table(sources: &Sources) -> Result<(Table, Origin), Faults> {
    let (text, origin) = match (&sources.file, sources.env.get(CONFIG_TEXT_VARIABLE)) {
        (Some(_), Some(_)) => {
            let message = format!("{FILE_ARGUMENT} and this variable both give the configuration; keep one of them");
            return Err(Fault::new(CONFIG_TEXT_VARIABLE, message).into());
        }
        (Some(path), None) => {
            let text = read_file(&sources.cwd.join(path), CONFIG_FILE_MAX_BYTES)
                .map_err(|problem| Fault::new(FILE_ARGUMENT, problem.message))?;
            (text, Origin::File(path.clone()))
        }
        (None, Some(text)) => (text.clone(), Origin::Environment),
        (None, None) => match read_file(&sources.cwd.join(DEFAULT_FILE), CONFIG_FILE_MAX_BYTES) {
            Ok(text) => (text, Origin::File(DEFAULT_FILE.into())),
            Err(problem) if problem.is_absence => (String::new(), Origin::Defaults),
            // A file that is there and cannot be read was meant: running on defaults would hide that.
            Err(problem) => return Err(Fault::new(DEFAULT_FILE, problem.message).into()),
        },
    };
    let table = parse(&text, &origin)?;
    Ok((table, origin))
}

fn parse(text: &str, origin: &Origin) -> Result<Table, Fault> {
    text.parse::<Table>().map_err(|error| {
        // Only the message: the error's full text quotes the line, and the line may hold a secret.
        let message = error.message().trim().replace('\n', ", ");
        let place = error.span().and_then(|span| text.get(..span.start)).map(place);
        Fault::new(origin.to_string(), format!("is not valid TOML{}: {message}", place.unwrap_or_default()))
    })
}

/// Line and column, from one, of what follows `before`.
fn place(before: &str) -> String {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(" at line {line}, column {column}")
}

/// Why a file could not be read.
pub(super) struct Unreadable {
    pub(super) message: String,
    pub(super) is_absence: bool,
}

/// The text of a file of at most `max_bytes`.
pub(super) fn read_file(path: &Path, max_bytes: u64) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let read = File::open(path).and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes));
    let problem = match read {
        Err(error) => {
            return Err(Unreadable {
                message: format!("cannot read {}: {error}", path.display()),
                is_absence: error.kind() == ErrorKind::NotFound,
            });
        }
        Ok(_) if bytes.len() as u64 > max_bytes => {
            format!("{} is larger than {max_bytes} bytes", path.display())
        }
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(_) => format!("{} is not UTF-8 text", path.display()),
        },
    };
    Err(Unreadable { message: problem, is_absence: false })
}
