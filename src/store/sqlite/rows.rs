//! Rows as they lie in the file: a key, a body, and a checksum of both.

use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, OptionalExtension, params};
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Journal,
    Snapshot,
    Escalations,
    Outbox,
    Watches,
    Triage,
    Services,
    Cases,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Id(u64),
    Label(String),
}

impl Table {
    pub(super) const ALL: [Table; 8] = [
        Table::Journal,
        Table::Snapshot,
        Table::Escalations,
        Table::Outbox,
        Table::Watches,
        Table::Triage,
        Table::Services,
        Table::Cases,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Journal => "journal",
            Table::Snapshot => "snapshot",
            Table::Escalations => "escalations",
            Table::Outbox => "outbox",
            Table::Watches => "watches",
            Table::Triage => "triage",
            Table::Services => "services",
            Table::Cases => "cases",
        }
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Table::Journal => "seq",
            Table::Snapshot | Table::Escalations | Table::Outbox => "id",
            Table::Watches | Table::Triage | Table::Services | Table::Cases => "label",
        }
    }
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Key::Id(id) => Ok((*id as i64).into()),
            Key::Label(label) => label.to_sql(),
        }
    }
}

/// Of another row's body, or of this body under another key, it is another one.
pub(super) fn sum(table: Table, key: &Key, body: &[u8]) -> i64 {
    let of_key = match key {
        Key::Id(id) => xxh3_64_with_seed(&id.to_le_bytes(), table as u64),
        Key::Label(label) => xxh3_64_with_seed(label.as_bytes(), table as u64),
    };
    xxh3_64_with_seed(body, of_key) as i64
}

/// Replaces a row; `None` deletes it.
pub(super) fn put(connection: &Connection, table: Table, key: &Key, body: Option<&[u8]>) -> rusqlite::Result<()> {
    let (name, column) = (table.name(), table.key());
    match body {
        Some(body) => connection
            .prepare_cached(&format!("INSERT OR REPLACE INTO {name} ({column}, body, sum) VALUES (?1, ?2, ?3)"))?
            .execute(params![key, body, sum(table, key, body)])?,
        None => connection.prepare_cached(&format!("DELETE FROM {name} WHERE {column} = ?1"))?.execute(params![key])?,
    };
    Ok(())
}

pub(super) fn get(connection: &Connection, table: Table, key: &Key) -> rusqlite::Result<Option<Vec<u8>>> {
    let (name, column) = (table.name(), table.key());
    let mut statement = connection.prepare_cached(&format!("SELECT body FROM {name} WHERE {column} = ?1"))?;
    statement.query_row(params![key], |row| row.get(0)).optional()
}
