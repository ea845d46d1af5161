//! The embedded store: one SQLite file, one process, one writer.
//!
//! WAL with `synchronous=FULL`: a commit survives loss of power. A lock file keeps a second process out; it
//! waits, as a rolling deploy makes it. After a failed write the connection is thrown away and opened anew
//! at the next one: after a failed sync SQLite and the kernel may disagree on what is on the disk.
//! A file that is no sound database is moved aside and the store begins anew, loudly: a watcher that refuses
//! to start helps nobody.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::{Loaded, Store, StoreError, Transaction};

/// Versions before it can corrupt a WAL that is reset while another connection reads (sqlite.org/wal.html).
const SQLITE_MIN: i32 = 3_051_003;
/// Format of the rows; a store of another version is moved aside.
const FORMAT: i64 = 1;
const LOCK_POLL: Duration = Duration::from_millis(100);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS escalations (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS watches (label TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS triage (label TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
";

pub struct SqliteStore {
    path: PathBuf,
    /// `None` after a failure, until the next write opens it again.
    connection: Option<Connection>,
    /// Held as long as the store is: released by the kernel when the process ends, however it ends.
    _lock: File,
}

impl SqliteStore {
    /// Takes the lock (waiting up to `lock_wait`), opens or creates the file, and reads what is there.
    /// Blocks: not for an async thread.
    pub fn open(path: &Path, lock_wait: Duration, seed: u64) -> Result<(SqliteStore, Loaded), StoreError> {
        if rusqlite::version_number() < SQLITE_MIN {
            return Err(failed(path, format!("this build links SQLite {}, 3.51.3 is the least", rusqlite::version())));
        }
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent)
                .map_err(|e| failed(path, format!("cannot create folder {}: {e}", parent.display())))?;
        }
        if path.is_dir() {
            return Err(failed(path, "is a folder; store.path names a file".into()));
        }
        let lock = lock(path, lock_wait)?;
        let (connection, loaded) = match open_and_load(path, seed) {
            Err(OpenError::Unsound(what)) => {
                let aside = move_aside(path)?;
                tracing::error!(store = %path.display(), moved_to = %aside.display(), what,
                    "store is not sound: moved aside and begun anew; counts and open escalations of before are lost");
                open_and_load(path, seed)
            }
            other => other,
        }
        .map_err(|e| match e {
            OpenError::Unsound(what) | OpenError::Other(what) => failed(path, what),
        })?;
        Ok((SqliteStore { path: path.to_owned(), connection: Some(connection), _lock: lock }, loaded))
    }

    fn attempt<T>(&mut self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path).map_err(|e| failed(&self.path, e.to_string()))?,
        };
        let done = work(&mut connection).map_err(|e| failed(&self.path, e.to_string()))?;
        // Kept only after success: see the module's opening.
        self.connection = Some(connection);
        Ok(done)
    }
}

impl Store for SqliteStore {
    fn write(&mut self, transaction: &Transaction) -> Result<(), StoreError> {
        self.attempt(|connection| {
            let tx = connection.transaction()?;
            if let Some(body) = &transaction.journal {
                tx.prepare_cached("INSERT INTO journal (body) VALUES (?1)")?.execute(params![body])?;
            }
            for (table, rows) in [("escalations", &transaction.escalations), ("outbox", &transaction.outbox)] {
                for (id, body) in rows {
                    match body {
                        Some(body) => tx
                            .prepare_cached(&format!("INSERT OR REPLACE INTO {table} (id, body) VALUES (?1, ?2)"))?
                            .execute(params![*id as i64, body])?,
                        None => tx
                            .prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?
                            .execute(params![*id as i64])?,
                    };
                }
            }
            for (table, rows) in [("watches", &transaction.watches), ("triage", &transaction.triage)] {
                for (label, body) in rows {
                    match body {
                        Some(body) => tx
                            .prepare_cached(&format!("INSERT OR REPLACE INTO {table} (label, body) VALUES (?1, ?2)"))?
                            .execute(params![label, body])?,
                        None => tx
                            .prepare_cached(&format!("DELETE FROM {table} WHERE label = ?1"))?
                            .execute(params![label])?,
                    };
                }
            }
            tx.commit()
        })
    }

    fn snapshot(&mut self, body: &[u8]) -> Result<(), StoreError> {
        self.attempt(|connection| {
            let tx = connection.transaction()?;
            tx.execute("INSERT OR REPLACE INTO snapshot (id, body) VALUES (1, ?1)", params![body])?;
            tx.execute("DELETE FROM journal", [])?;
            tx.commit()
        })
    }
}

/// What is lost when, where `path` is: shown to people, so that nobody relies on a disk that goes with its
/// task. Told by the kind of file system; what cannot be told is called the weakest.
pub fn durability(path: &Path) -> &'static str {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Ok(mounts)) = (folder.canonicalize(), std::fs::read_to_string("/proc/self/mounts")) else {
        return "task_lifetime";
    };
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.len())
        .map(|(_, kind)| kind);
    match kind {
        // A container's own layer goes with the container.
        None | Some("overlay" | "aufs") => "task_lifetime",
        Some("tmpfs" | "ramfs") => "process_crash",
        Some(_) => "power_loss",
    }
}

enum OpenError {
    /// The file is no database of ours, or a broken one.
    Unsound(String),
    Other(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        let unsound = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            || matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::SqlInputError { .. });
        let what = error.to_string();
        if unsound { OpenError::Unsound(what) } else { OpenError::Other(what) }
    }
}

fn open_and_load(path: &Path, seed: u64) -> Result<(Connection, Loaded), OpenError> {
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
    connection
        .execute("INSERT OR IGNORE INTO meta VALUES ('format', ?1), ('seed', ?2)", params![FORMAT, seed as i64])?;
    let meta =
        |name: &str| connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get::<_, i64>(0));
    let format = meta("format")?;
    if format != FORMAT {
        return Err(OpenError::Unsound(format!("format {format}, this program writes {FORMAT}")));
    }
    let seed = meta("seed")? as u64;
    let blobs = |sql: &str| -> rusqlite::Result<Vec<Vec<u8>>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let rows = |sql: &str| -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
        connection.prepare(sql)?.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?.collect()
    };
    let named = |sql: &str| -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
        connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let loaded = Loaded {
        snapshot: blobs("SELECT body FROM snapshot")?.pop(),
        journal: blobs("SELECT body FROM journal ORDER BY seq")?,
        escalations: rows("SELECT id, body FROM escalations ORDER BY id")?,
        outbox: rows("SELECT id, body FROM outbox ORDER BY id")?,
        watches: named("SELECT label, body FROM watches ORDER BY label")?,
        triage: named("SELECT label, body FROM triage ORDER BY label")?,
        seed,
    };
    Ok((connection, loaded))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // Exclusive before WAL: then there is no shared-memory file, and no second connection can be.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 67108864; PRAGMA busy_timeout = 2000;",
    )?;
    Ok(connection)
}

fn lock(path: &Path, wait: Duration) -> Result<File, StoreError> {
    let name = with_suffix(path, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&name)
        .map_err(|e| failed(path, format!("cannot create its lock file {}: {e}", name.display())))?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(failed(path, format!("cannot be locked: {e}"))),
            Err(TryLockError::WouldBlock) if waited >= wait => {
                return Err(StoreError::Locked { path: path.to_owned(), waited: wait.as_secs() });
            }
            Err(TryLockError::WouldBlock) => {
                if waited.is_zero() {
                    tracing::warn!(store = %path.display(), wait_seconds = wait.as_secs(),
                        "store is held by another process: waiting for it, not ready");
                }
                std::thread::sleep(LOCK_POLL);
                waited += LOCK_POLL;
            }
        }
    }
}

/// Renames the file and what belongs to it; the name says since when.
fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut aside = with_suffix(path, ".unsound");
    for n in 1.. {
        if !aside.exists() {
            break;
        }
        aside = with_suffix(path, &format!(".unsound.{n}"));
    }
    std::fs::rename(path, &aside)
        .map_err(|e| failed(path, format!("is not sound and cannot be moved to {}: {e}", aside.display())))?;
    for suffix in ["-wal", "-shm"] {
        let from = with_suffix(path, suffix);
        if from.exists() {
            std::fs::rename(&from, with_suffix(&aside, suffix))
                .map_err(|e| failed(path, format!("cannot move {}: {e}", from.display())))?;
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path, what: String) -> StoreError {
    StoreError::Failed { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> (SqliteStore, Loaded) {
        SqliteStore::open(path, Duration::ZERO, 7).expect("opens")
    }

    #[test]
    fn what_was_written_is_there_after_opening_again_and_a_snapshot_ends_the_journal() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/er/x.db");
        let (mut store, loaded) = open(&path);
        assert_eq!((loaded.journal.len(), loaded.seed), (0, 7));
        let row = |n: u8| Transaction {
            journal: Some(vec![n]),
            escalations: vec![(1, Some(vec![n]))],
            outbox: vec![(u64::from(n), Some(vec![n]))],
            watches: vec![("a".into(), Some(vec![n]))],
            triage: vec![("k".into(), Some(vec![n]))],
        };
        store.write(&row(1)).expect("writes");
        store.snapshot(b"all before").expect("writes");
        store.write(&row(2)).expect("writes");
        store.write(&Transaction { outbox: vec![(1, None)], ..Transaction::default() }).expect("writes");
        drop(store);
        let (_, loaded) = SqliteStore::open(&path, Duration::ZERO, 99).expect("opens");
        assert_eq!(loaded.snapshot.as_deref(), Some(b"all before".as_slice()));
        assert_eq!(loaded.journal, vec![vec![2]]);
        assert_eq!(loaded.escalations, vec![(1, vec![2])]);
        assert_eq!(loaded.outbox, vec![(2, vec![2])]);
        assert_eq!(loaded.watches, vec![("a".to_owned(), vec![2])]);
        assert_eq!(loaded.triage, vec![("k".to_owned(), vec![2])]);
        assert_eq!(loaded.seed, 7, "the seed stays the one of the first start");
    }

    #[test]
    fn a_second_opener_is_kept_out_and_told_whose_store_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.db");
        let _held = open(&path);
        let error = SqliteStore::open(&path, Duration::ZERO, 7).err().expect("locked");
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_moved_aside_and_the_store_begins_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.db");
        std::fs::write(&path, "not a database, but long enough to look at".repeat(40)).expect("writes");
        let (mut store, loaded) = open(&path);
        assert!(loaded.journal.is_empty());
        store.write(&Transaction { journal: Some(vec![1]), ..Transaction::default() }).expect("writes");
        assert!(dir.path().join("x.db.unsound").exists());
    }

    #[test]
    fn a_folder_in_place_of_the_file_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let error = SqliteStore::open(dir.path(), Duration::ZERO, 7).err().expect("a folder");
        assert!(error.to_string().contains("is a folder"), "{error}");
    }
}
