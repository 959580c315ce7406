//! The schema of the SQLite store, as numbered steps that are applied once and never changed.
//!
//! Each step is one SQL file, compiled in. A table in the store says which were applied, with a
//! digest of each, so that a step that was edited afterwards is noticed. Every step says which
//! programs can still work with what it leaves; only an older program refuses the store.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::files;
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::store::StoreError;
use crate::store::folder::{self, Lock};
use crate::store::migration::checksum;

pub use crate::store::migration::{Applied, Migration, Schema};

/// All steps this program knows, in order.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "tasks",
    compatible_from: 1,
    sql: include_str!("../../../migrations/sqlite/0001_tasks.sql"),
}];

/// How the schema in `dir` stands. A store that does not exist yet has every step before it.
pub fn info(dir: &Path) -> Result<Schema, StoreError> {
    if !files::database(dir).exists() {
        return Ok(Schema::of(Vec::new(), MIGRATIONS));
    }
    read(&files::connect_read_only(dir)?)
}

/// Applies what is pending in `dir`, which no server may be using, and says what that was.
pub fn apply(dir: &Path, clock: &dyn Clock) -> Result<Vec<Migration>, StoreError> {
    folder::prepare(dir)?;
    let _lock = Lock::take(dir)?;
    let mut conn = files::connect(dir)?;
    apply_to(&mut conn, clock.now())
}

/// Deletes the store in `dir`, which no server may be using.
pub fn reset(dir: &Path) -> Result<(), StoreError> {
    folder::prepare(dir)?;
    let _lock = Lock::take(dir)?;
    files::delete(dir)
}

/// Applies what is pending, each step in a transaction of its own.
pub(super) fn apply_to(conn: &mut Connection, now: TimeMs) -> Result<Vec<Migration>, StoreError> {
    let pending = read(conn)?.checked()?.pending;
    for step in &pending {
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLE)?;
        transaction.execute_batch(step.sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, name, checksum, compatible_from, applied_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (step.version, step.name, checksum(step.sql), step.compatible_from, now.0),
        )?;
        transaction.commit()?;
    }
    Ok(pending)
}

/// Refuses a store that has steps before it, or that this program is too old for.
pub(super) fn check(conn: &Connection) -> Result<(), StoreError> {
    read(conn)?.checked()?.current()
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version         INTEGER PRIMARY KEY,
    name            TEXT NOT NULL,
    checksum        TEXT NOT NULL,
    compatible_from INTEGER NOT NULL,
    applied_at      INTEGER NOT NULL
) STRICT";

/// The version of the schema behind `conn`; nought where there is none.
pub(super) fn version_of(conn: &Connection) -> Result<i64, StoreError> {
    Ok(read(conn)?.checked()?.version())
}

fn read(conn: &Connection) -> Result<Schema, StoreError> {
    let exists =
        conn.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'")?.exists(())?;
    if !exists {
        return Ok(Schema::of(Vec::new(), MIGRATIONS));
    }
    let mut all = conn.prepare(
        "SELECT version, name, checksum, compatible_from, applied_at
         FROM schema_migrations ORDER BY version",
    )?;
    let applied = all.query_map((), |row| {
        Ok(Applied {
            version: row.get(0)?,
            name: row.get(1)?,
            checksum: row.get(2)?,
            compatible_from: row.get(3)?,
            at: TimeMs(row.get(4)?),
        })
    })?;
    Ok(Schema::of(applied.collect::<Result<Vec<_>, _>>()?, MIGRATIONS))
}
