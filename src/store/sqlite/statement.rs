//! Prepared statements, and the few numbers a store keeps about itself.

use rusqlite::{CachedStatement, Connection};

use crate::store::StoreError;

/// A statement that is prepared when it is first needed and kept for the rest of a batch.
pub(super) struct Lazy<'c> {
    conn: &'c Connection,
    sql: &'static str,
    statement: Option<CachedStatement<'c>>,
}

impl<'c> Lazy<'c> {
    pub(super) fn new(conn: &'c Connection, sql: &'static str) -> Lazy<'c> {
        Lazy { conn, sql, statement: None }
    }

    /// The statement.
    pub(super) fn get(&mut self) -> Result<&mut CachedStatement<'c>, StoreError> {
        if self.statement.is_none() {
            self.statement = Some(self.conn.prepare_cached(self.sql)?);
        }
        // Just set where it was empty.
        self.statement.as_mut().ok_or_else(|| StoreError::Broken("no statement".into()))
    }
}

/// Runs a statement that takes and gives nothing.
pub(super) fn run(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql)?.execute(())?;
    Ok(())
}

/// A number the store keeps about itself.
pub(super) fn meta(conn: &Connection, name: &str) -> Result<i64, StoreError> {
    let mut get = conn.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(get.query_row([name], |row| row.get(0))?)
}

/// Writes such a number.
pub(super) fn set_meta(conn: &Connection, name: &str, value: i64) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?.execute((name, value))?;
    Ok(())
}
