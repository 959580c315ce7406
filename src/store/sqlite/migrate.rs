//! The schema of the SQLite store, as numbered steps that are applied once and never changed.
//!
//! Each step is one SQL file, compiled in. A table in the store says which were applied, with a
//! digest of each, so that a step that was edited afterwards is noticed. Every step says which
//! programs can still work with what it leaves; only an older program refuses the store.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest, Sha256};

use super::files::{self, Lock};
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::store::StoreError;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number; they follow each other from 1.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// The oldest version whose program can still work with the store after this step.
    pub compatible_from: i64,
    /// What it does.
    pub sql: &'static str,
}

/// All steps this program knows, in order.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "tasks",
    compatible_from: 1,
    sql: include_str!("../../../migrations/sqlite/0001_tasks.sql"),
}];

/// A step that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// When it was applied.
    pub at: TimeMs,
    /// The oldest version that can still work with the store.
    pub compatible_from: i64,
    checksum: String,
}

/// How a store's schema stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// The steps that were applied, in order.
    pub applied: Vec<Applied>,
    /// The steps that were not; their `sql` is what applying them would run.
    pub pending: Vec<Migration>,
}

impl Schema {
    /// The version of the schema; nought for an empty store.
    pub fn version(&self) -> i64 {
        self.applied.last().map_or(0, |last| last.version)
    }
}

/// How the schema in `dir` stands. A store that does not exist yet has every step before it.
pub fn info(dir: &Path) -> Result<Schema, StoreError> {
    if !files::database(dir).exists() {
        return Ok(Schema { applied: Vec::new(), pending: MIGRATIONS.to_vec() });
    }
    read(&files::connect_read_only(dir)?)
}

/// Applies what is pending in `dir`, which no server may be using, and says what that was.
pub fn apply(dir: &Path, clock: &dyn Clock) -> Result<Vec<Migration>, StoreError> {
    files::prepare(dir)?;
    let _lock = Lock::take(dir)?;
    let mut conn = files::connect(dir)?;
    apply_to(&mut conn, clock.now())
}

/// Deletes the store in `dir`, which no server may be using.
pub fn reset(dir: &Path) -> Result<(), StoreError> {
    files::prepare(dir)?;
    let _lock = Lock::take(dir)?;
    files::delete(dir)
}

/// Applies what is pending, each step in a transaction of its own.
pub(super) fn apply_to(conn: &mut Connection, now: TimeMs) -> Result<Vec<Migration>, StoreError> {
    let pending = checked(conn)?.pending;
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
    let info = checked(conn)?;
    if let Some(step) = info.pending.first() {
        return Err(StoreError::Unusable(format!(
            "its schema has version {} and this program needs {}; apply the migrations first",
            info.version(),
            MIGRATIONS.last().map_or(step.version, |last| last.version),
        )));
    }
    Ok(())
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
    Ok(checked(conn)?.version())
}

fn read(conn: &Connection) -> Result<Schema, StoreError> {
    let exists =
        conn.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'")?.exists(())?;
    if !exists {
        return Ok(Schema { applied: Vec::new(), pending: MIGRATIONS.to_vec() });
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
    let applied = applied.collect::<Result<Vec<_>, _>>()?;
    let version = applied.last().map_or(0, |last| last.version);
    let pending = MIGRATIONS.iter().filter(|step| step.version > version).copied().collect();
    Ok(Schema { applied, pending })
}

/// How the schema stands, if this program can work with it.
fn checked(conn: &Connection) -> Result<Schema, StoreError> {
    let info = read(conn)?;
    let ours = MIGRATIONS.last().map_or(0, |last| last.version);
    let needed = info.applied.iter().map(|step| step.compatible_from).max().unwrap_or(0);
    if needed > ours {
        return Err(StoreError::Unusable(format!(
            "its schema has version {}, which needs a program of version {needed} at least; this \
             one knows version {ours}",
            info.version(),
        )));
    }
    for applied in &info.applied {
        let step = MIGRATIONS.iter().find(|step| step.version == applied.version);
        if step.is_some_and(|step| checksum(step.sql) != applied.checksum) {
            return Err(StoreError::Unusable(format!(
                "migration {} was applied with another content than this program has",
                applied.version,
            )));
        }
    }
    Ok(info)
}

fn checksum(sql: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(sql.as_bytes());
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
