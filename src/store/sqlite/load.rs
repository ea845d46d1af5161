//! Opening the file and reading it: what is sound of it, and whether it is a store at all.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::connect;
use super::rows::{Key, Table, sum};
use crate::store::Loaded;

/// Format of the rows; a store of another version is moved aside.
const FORMAT: i64 = 1;

/// A number beyond it is no number of ours: there is room to go on from every one below.
const NUMBER_MAX: u64 = 1 << 62;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, sum INTEGER);
CREATE TABLE IF NOT EXISTS snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL, sum INTEGER);
CREATE TABLE IF NOT EXISTS escalations (id INTEGER PRIMARY KEY, body BLOB NOT NULL, sum INTEGER);
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY, body BLOB NOT NULL, sum INTEGER);
CREATE TABLE IF NOT EXISTS watches (label TEXT PRIMARY KEY, body BLOB NOT NULL, sum INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS triage (label TEXT PRIMARY KEY, body BLOB NOT NULL, sum INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS services (label TEXT PRIMARY KEY, body BLOB NOT NULL, sum INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cases (label TEXT PRIMARY KEY, body BLOB NOT NULL, sum INTEGER) WITHOUT ROWID;
";

pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) loaded: Loaded,
    /// The number of the journal's last row, also when a snapshot has taken its place.
    pub(super) last: u64,
}

pub(super) enum OpenError {
    /// The file is no database of ours, or a broken one.
    Unsound(String),
    Other(String),
}

impl From<rusqlite::Error> for OpenError {
    /// The file is ours alone and could be opened for writing. So what goes wrong with it is its own fault, unless
    /// the place or the machine are known to be to blame.
    fn from(error: rusqlite::Error) -> Self {
        let what = error.to_string();
        let elsewhere = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                // The end of the file is missing: reads of it fall short.
                ErrorCode::SystemIoFailure => failure.extended_code != rusqlite::ffi::SQLITE_IOERR_SHORT_READ,
                ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OperationInterrupted => true,
                _ => false,
            },
            _ => false,
        };
        if elsewhere { OpenError::Other(what) } else { OpenError::Unsound(what) }
    }
}

pub(super) fn open_and_load(path: &Path, seed: u64) -> Result<Opened, OpenError> {
    // Created here, so that it is nobody else's to read: samples of log lines are in it.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| OpenError::Other(format!("cannot be opened for writing: {e}")))?;
    let connection = connect(path)?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(OpenError::Unsound(check));
    }
    connection.execute_batch(SCHEMA)?;
    add_sums(&connection)?;
    connection
        .execute("INSERT OR IGNORE INTO meta VALUES ('format', ?1), ('seed', ?2)", params![FORMAT, seed as i64])?;
    let meta = |name: &str| {
        let mut statement = connection.prepare("SELECT value FROM meta WHERE name = ?1")?;
        statement.query_row([name], |row| row.get::<_, i64>(0)).optional()
    };
    let format = meta("format")?.unwrap_or(0);
    if format != FORMAT {
        return Err(OpenError::Unsound(format!("format {format}, this program writes {FORMAT}")));
    }
    let seed = meta("seed")?.unwrap_or(0) as u64;
    let covered = meta("covered")?.map(|seq| seq as u64).filter(|seq| *seq < NUMBER_MAX);
    let (mut journal, mut unreadable) = read(&connection, Table::Journal)?;
    let readable = journal.len();
    journal.retain(|(key, _)| number(key).is_some_and(|number| number < NUMBER_MAX));
    unreadable += readable - journal.len();
    let mut damaged = 0;
    let mut rows = |table| {
        read(&connection, table).map(|(rows, unsound)| {
            damaged += unsound;
            rows
        })
    };
    let snapshot = rows(Table::Snapshot)?;
    let (escalations, outbox) = (rows(Table::Escalations)?, rows(Table::Outbox)?);
    let (watches, triage, services) = (rows(Table::Watches)?, rows(Table::Triage)?, rows(Table::Services)?);
    let cases = rows(Table::Cases)?;
    let numbers: Vec<u64> = journal.iter().filter_map(|(key, _)| number(key)).collect();
    let last = numbers.last().copied().unwrap_or(0).max(covered.unwrap_or(0));
    // Rows that a snapshot covers and that stand here all the same were written by a program that does not number
    // from there on: no gap.
    let first = covered.map(|seq| seq + 1).or(numbers.first().copied()).unwrap_or(last + 1);
    let there = numbers.iter().filter(|n| **n >= first).count() as u64;
    let missing = (last + 1).saturating_sub(first).saturating_sub(there);
    // Unreadable ones are missing, too, unless it is the first or the last of them.
    damaged += usize::try_from(missing).unwrap_or(usize::MAX).max(unreadable);
    let by_id = |rows: Rows| rows.into_iter().filter_map(|(k, body)| Some((number(&k)?, body))).collect();
    let by_label = |rows: Rows| {
        rows.into_iter().filter_map(|(key, body)| match key {
            Key::Label(label) => Some((label, body)),
            Key::Id(_) => None,
        })
    };
    let loaded = Loaded {
        snapshot: snapshot.into_iter().next().map(|(_, body)| body),
        journal: journal.into_iter().map(|(_, body)| body).collect(),
        escalations: by_id(escalations),
        outbox: by_id(outbox),
        watches: by_label(watches).collect(),
        triage: by_label(triage).collect(),
        services: by_label(services).collect(),
        cases: by_label(cases).collect(),
        seed,
        damaged,
        begun_anew: false,
    };
    Ok(Opened { connection, loaded, last })
}

/// A store that was made before rows had checksums: those have none until they are written again.
fn add_sums(connection: &Connection) -> rusqlite::Result<()> {
    for table in Table::ALL {
        let name = table.name();
        let there: i64 =
            connection
                .query_row("SELECT count(*) FROM pragma_table_info(?1) WHERE name = 'sum'", [name], |row| row.get(0))?;
        if there == 0 {
            connection.execute_batch(&format!("ALTER TABLE {name} ADD COLUMN sum INTEGER"))?;
        }
    }
    Ok(())
}

/// Those of a table, by key.
type Rows = Vec<(Key, Vec<u8>)>;

/// The sound rows of a table, and how many are damaged: one costs itself only.
fn read(connection: &Connection, table: Table) -> rusqlite::Result<(Rows, usize)> {
    let (name, column) = (table.name(), table.key());
    let mut statement = connection.prepare(&format!("SELECT {column}, body, sum FROM {name} ORDER BY {column}"))?;
    let mut found = statement.query([])?;
    let (mut rows, mut damaged) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let key = match row.get::<_, Value>(0)? {
            Value::Integer(id) => Key::Id(id as u64),
            Value::Text(label) => Key::Label(label),
            _ => {
                damaged += 1;
                continue;
            }
        };
        let sound = match (row.get::<_, Value>(1)?, row.get::<_, Value>(2)?) {
            (Value::Blob(body), Value::Integer(sealed)) => (sum(table, &key, &body) == sealed).then_some(body),
            (Value::Blob(body), Value::Null) => Some(body),
            _ => None,
        };
        match sound {
            Some(body) => rows.push((key, body)),
            None => damaged += 1,
        }
    }
    Ok((rows, damaged))
}

fn number(key: &Key) -> Option<u64> {
    match key {
        Key::Id(id) => Some(*id),
        Key::Label(_) => None,
    }
}
