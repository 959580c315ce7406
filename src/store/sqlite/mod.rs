//! The embedded store: one SQLite database in one data directory, used by one server.
//!
//! Unfinished tasks live in one table, ended ones in another that only grows and is pruned, so the
//! first stays small. A row this server holds carries its incarnation's number, a free one none;
//! only free rows, and rows that wait for something, are in an index.
//!
//! Promise: what [`Store::commit`] says was applied is on stable storage (write-ahead log, synced
//! at every commit). After a failed write or sync nothing more is written.

mod backup;
mod claim;
mod commit;
mod counts;
mod error;
mod files;
mod keys;
mod leases;
pub mod migrate;
mod reader;
mod recover;
mod row;
mod statement;
mod types;
mod upkeep;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

pub use self::backup::{Copied, backup, restored};
use self::types::Types;
use super::folder::{self, Lock};
use super::{Batch, Committed, Durability, PruneAsk, Reader, Recovered, Store, StoreError};
pub use crate::store::migration::Migrate;

use crate::clock::Clock;
use crate::domain::{TaskId, TimeMs};

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// What to do about an older schema.
    pub migrate: Migrate,
    /// Measures how long a reader walks, and dates migrations.
    pub clock: Arc<dyn Clock>,
}

/// The writing side.
pub struct SqliteStore {
    conn: Connection,
    types: Types,
    /// The number that rows held by this server carry.
    incarnation: i64,
    /// The log's length in pages after the last commit.
    log_pages: Arc<AtomicI32>,
    /// Why nothing more may be written, once a write or a sync failed.
    broken: Option<String>,
    dir: PathBuf,
    options: Options,
    // Last, so that the directory is free only when the connection is closed.
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store in `dir`, which is made if it is not there.
    pub fn open(dir: &Path, options: Options) -> Result<SqliteStore, StoreError> {
        folder::prepare(dir)?;
        let lock = Lock::take(dir)?;
        let mut conn = files::connect(dir)?;
        match options.migrate {
            Migrate::Apply => drop(migrate::apply_to(&mut conn, options.clock.now())?),
            Migrate::Check => migrate::check(&conn)?,
        }
        let mut types = Types::default();
        types.refresh(&conn)?;
        let incarnation = 1 + statement::meta(&conn, "incarnation")?;
        let log_pages = Arc::new(AtomicI32::new(0));
        let told = log_pages.clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            // Relaxed: read by the same thread, after the commit that called us.
            told.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(SqliteStore {
            conn,
            types,
            incarnation,
            log_pages,
            broken: None,
            dir: dir.to_owned(),
            options,
            _lock: lock,
        })
    }

    /// Takes the room that the log needs before it is needed, which makes the commits of a server
    /// that has just started as fast as later ones; about a tenth of a second. Without room it
    /// does nothing.
    pub fn lay_out_log(&mut self) {
        if let Err(error) = files::lay_out_log(&self.dir) {
            log::warn!("no room was taken for the log in advance: {error}");
        }
    }

    /// Runs `write` as one transaction. After an error nothing of it is stored and the next one can
    /// begin, unless the disk itself failed: then there is no next one.
    fn transaction<T>(
        &mut self,
        write: impl FnOnce(&Connection, &mut Types, i64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(why) = &self.broken {
            return Err(StoreError::Broken(why.clone()));
        }
        let known_types = self.types.all().len();
        let result = statement::run(&self.conn, "BEGIN IMMEDIATE").and_then(|()| {
            let value = write(&self.conn, &mut self.types, self.incarnation)?;
            statement::run(&self.conn, "COMMIT")?;
            Ok(value)
        });
        match result {
            Ok(value) => {
                self.checkpoint_if_due();
                Ok(value)
            }
            Err(error) => {
                self.types.truncate(known_types);
                self.roll_back(&error);
                Err(error)
            }
        }
    }

    fn roll_back(&mut self, error: &StoreError) {
        // Some errors have rolled the transaction back already.
        let rolled_back =
            self.conn.is_autocommit() || statement::run(&self.conn, "ROLLBACK").is_ok();
        if let StoreError::Broken(why) = error {
            self.break_off(why.clone());
        } else if !rolled_back {
            self.break_off(format!("the transaction could not be rolled back after: {error}"));
        }
    }

    /// Nothing is written from now on, not even what closing a database usually writes: its sync
    /// could succeed although the one before failed and took pages with it.
    fn break_off(&mut self, why: String) {
        self.broken = Some(why);
        if let Err(error) =
            self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            log::error!("closing the store will write to the disk once more: {error}");
        }
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        self.transaction(|conn, types, incarnation| commit::commit(conn, types, incarnation, batch))
    }

    fn recover(&mut self, now: TimeMs, pool: &rayon::ThreadPool) -> Result<Recovered, StoreError> {
        let dir = self.dir.clone();
        self.transaction(|conn, types, incarnation| {
            recover::recover(conn, &dir, types, incarnation, now, pool)
        })
    }

    fn take_ids(&mut self, count: u32) -> Result<Range<u64>, StoreError> {
        self.transaction(|conn, _, _| take_ids(conn, count))
    }

    fn signing_key(&mut self) -> Result<[u8; 16], StoreError> {
        let first = statement::meta(&self.conn, "signing_key_1")?;
        let second = statement::meta(&self.conn, "signing_key_2")?;
        let mut key = [0; 16];
        key[..8].copy_from_slice(&first.to_be_bytes());
        key[8..].copy_from_slice(&second.to_be_bytes());
        Ok(key)
    }

    fn release(&mut self) -> Result<(), StoreError> {
        self.transaction(|conn, _, incarnation| statement::set_meta(conn, "released", incarnation))
    }

    fn prune(&mut self, ask: &PruneAsk) -> Result<u64, StoreError> {
        self.transaction(|conn, _, _| upkeep::prune(conn, ask))
    }

    fn upkeep(&mut self, keys_before: TimeMs) -> Result<(), StoreError> {
        self.forget(keys_before)?;
        self.give_back_space()
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        let reader = reader::SqliteReader::open(&self.dir, self.options.clock.clone())?;
        Ok(Box::new(reader))
    }

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn describe(&self) -> String {
        format!("SQLite in {}", self.dir.display())
    }
}

/// Takes the next ids inside a transaction.
fn take_ids(conn: &Connection, count: u32) -> Result<Range<u64>, StoreError> {
    let start = statement::meta(conn, "next_id")?;
    let end = start + i64::from(count);
    if end > TaskId::MAX as i64 {
        return Err(StoreError::Unusable("all task ids are used up".into()));
    }
    statement::set_meta(conn, "next_id", end)?;
    Ok(start as u64..end as u64)
}

#[cfg(test)]
mod tests;
