//! The embedded store: one SQLite file, one process, one writer.
//!
//! WAL with `synchronous=FULL`: a commit survives loss of power. A lock file keeps a second process out; it
//! waits, as a rolling deploy makes it. After a failed write the connection is thrown away, and the next one
//! begins with what was certain before ([`doubt`]): after a failed sync SQLite and the kernel may disagree on
//! what is on the disk. A file that is no sound database is moved aside and the store begins anew, loudly: a
//! watcher that refuses to start helps nobody. Every row carries a checksum, for SQLite's pages have none.

mod doubt;
mod load;
mod place;
mod rows;

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::{Loaded, Store, StoreError, Transaction};
use doubt::Doubt;
use load::{OpenError, Opened, open_and_load};
pub use place::durability;
use rows::{Key, Table, put};

/// Versions before it can corrupt a WAL that is reset while another connection reads (sqlite.org/wal.html).
const SQLITE_MIN: i32 = 3_051_003;
const LOCK_POLL: Duration = Duration::from_millis(100);
/// Statements kept prepared: the few that every commit uses, for each table.
const STATEMENTS: usize = 32;

pub struct SqliteStore {
    path: PathBuf,
    /// `None` after a failure, until the next write opens it again.
    connection: Option<Connection>,
    /// The last row of the journal that is known to be durable. Rows are numbered without a gap.
    last: u64,
    /// What a write that failed may have left behind.
    doubt: Doubt,
    /// The next write fails after its commit, as when the sync of a checkpoint does.
    #[cfg(test)]
    fails_late: bool,
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
        let opened = match open_and_load(path, seed) {
            Err(OpenError::Unsound(what)) => {
                let aside = move_aside(path)?;
                tracing::error!(store = %path.display(), moved_to = %aside.display(), what,
                    "store is not sound: moved aside and begun anew; counts and open escalations of before are lost");
                open_and_load(path, seed).map(|mut opened| {
                    opened.loaded.begun_anew = true;
                    opened
                })
            }
            other => other,
        };
        let Opened { connection, loaded, last } = opened.map_err(|e| match e {
            OpenError::Unsound(what) | OpenError::Other(what) => failed(path, what),
        })?;
        if loaded.damaged > 0 {
            tracing::error!(store = %path.display(), rows = loaded.damaged,
                "rows of the store are damaged or missing and are left out: what they said is lost");
        }
        let store = SqliteStore {
            path: path.to_owned(),
            connection: Some(connection),
            last,
            doubt: Doubt::default(),
            #[cfg(test)]
            fails_late: false,
            _lock: lock,
        };
        Ok((store, loaded))
    }

    /// One transaction: what is in doubt is put right, then `work`.
    fn attempt(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>, &mut Doubt) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let failed = |e: rusqlite::Error| failed(&self.path, e.to_string());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => reconnect(&self.path).map_err(failed)?,
        };
        let write = || {
            let tx = connection.transaction()?;
            self.doubt.undo(&tx, self.last)?;
            work(&tx, &mut self.doubt)?;
            tx.commit()
        };
        let written = write();
        #[cfg(test)]
        let written =
            written.and(if std::mem::take(&mut self.fails_late) { Err(doubt::tests::late()) } else { Ok(()) });
        written.map_err(failed)?;
        // Kept only after success: see the module's opening.
        self.connection = Some(connection);
        self.doubt.end();
        Ok(())
    }
}

impl Store for SqliteStore {
    fn set_seed(&mut self, seed: u64) -> Result<(), StoreError> {
        self.attempt(|tx, _| {
            tx.execute("UPDATE meta SET value = ?1 WHERE name = 'seed'", params![seed as i64]).map(drop)
        })
    }

    fn write(&mut self, transaction: &Transaction) -> Result<(), StoreError> {
        let next = self.last + 1;
        let ids = [(Table::Escalations, &transaction.escalations), (Table::Outbox, &transaction.outbox)];
        let labels = [
            (Table::Watches, &transaction.watches),
            (Table::Triage, &transaction.triage),
            (Table::Services, &transaction.services),
            (Table::Cases, &transaction.cases),
        ];
        self.attempt(|tx, doubt| {
            let mut replace = |table, key, body: &Option<Vec<u8>>| {
                doubt.note(tx, table, &key)?;
                put(tx, table, &key, body.as_deref())
            };
            for (table, rows) in ids {
                rows.iter().try_for_each(|(id, body)| replace(table, Key::Id(*id), body))?;
            }
            for (table, rows) in labels {
                rows.iter().try_for_each(|(label, body)| replace(table, Key::Label(label.clone()), body))?;
            }
            match &transaction.journal {
                Some(body) => put(tx, Table::Journal, &Key::Id(next), Some(body)),
                None => Ok(()),
            }
        })?;
        self.last += u64::from(transaction.journal.is_some());
        Ok(())
    }

    fn snapshot(&mut self, body: &[u8]) -> Result<(), StoreError> {
        let last = self.last;
        self.attempt(|tx, _| {
            put(tx, Table::Snapshot, &Key::Id(1), Some(body))?;
            tx.execute("DELETE FROM journal", [])?;
            // Where the journal goes on: a row that is missing there is noticed.
            tx.execute("INSERT OR REPLACE INTO meta VALUES ('covered', ?1)", params![last as i64])?;
            Ok(())
        })
    }
}

/// After a failure. What the kernel holds of the log may never have reached the disk, and a later sync would not
/// bring it there: it is all written anew, into the database, and the log begins at its beginning.
fn reconnect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    match busy {
        0 => Ok(connection),
        _ => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
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
mod tests;
