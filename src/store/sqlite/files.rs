//! The database's files in the data directory, their rights, and connections to them.
//!
//! Promise: only the owner can read what is stored.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

const DATABASE: &str = "tasks.db";

/// The log is checkpointed once it holds this many pages (40 MB): rare enough that a page which
/// many batches rewrite is copied once, and small enough to be read back quickly after a crash.
pub(super) const CHECKPOINT_PAGES: i32 = 10_000;
/// So many pages, each with its frame's head, and a few that one batch may bring beyond them.
const LOG_BYTES_LAID_OUT: u64 = 44 * 1024 * 1024;
/// After a checkpoint the log's file is cut to this size.
pub(super) const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The database file.
pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join(DATABASE)
}

/// The log beside it.
pub(super) fn log(dir: &Path) -> PathBuf {
    dir.join("tasks.db-wal")
}

/// Fills the log's file with zeros up to the length at which it is checkpointed: a sync of a file
/// that grows also writes its new length, which takes a third longer. Zeros after the last frame
/// are no frame. Nothing may be written meanwhile.
pub(super) fn lay_out_log(dir: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(log(dir))?;
    let begin = file.metadata()?.len();
    let result = fill(&file, begin, LOG_BYTES_LAID_OUT).and_then(|()| file.sync_all());
    if result.is_err() {
        file.set_len(begin)?;
    }
    result
}

fn fill(file: &fs::File, begin: u64, end: u64) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = begin;
    while at < end {
        let part = (end - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..part as usize], at)?;
        at += part;
    }
    Ok(())
}

/// Deletes the database and its side files; the lock stays.
pub(super) fn delete(dir: &Path) -> Result<(), StoreError> {
    for name in [DATABASE, "tasks.db-wal", "tasks.db-shm"] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unusable(format!("{name}: {error}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The writing connection.
pub(super) fn connect(dir: &Path) -> Result<Connection, StoreError> {
    let path = database(dir);
    // Made by us first, because SQLite would let the umask decide who can read it; the side files
    // take over its mode.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
        .map_err(|error| StoreError::Unusable(format!("{}: {error}", path.display())))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&path, flags).map_err(at_open)?;
    // auto_vacuum takes effect only before the first table is made, so it comes first. Checkpoints
    // are run by us (wal_autocheckpoint = 0), because SQLite hides a checkpoint's failed sync.
    conn.execute_batch(&format!(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {LOG_BYTES_MAX};
         PRAGMA busy_timeout = 1000;
         PRAGMA temp_store = MEMORY;
         PRAGMA foreign_keys = OFF;
         PRAGMA cache_size = -16384;",
    ))
    .map_err(at_open)?;
    let mode: String =
        conn.query_row("PRAGMA journal_mode", (), |row| row.get(0)).map_err(at_open)?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "{} cannot be logged ahead (journal mode {mode})",
            path.display(),
        )));
    }
    conn.set_prepared_statement_cache_capacity(96);
    Ok(conn)
}

/// A connection to copy from, beside a server that writes.
pub(super) fn connect_for_copy(dir: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database(dir), flags).map_err(at_open)?;
    conn.execute_batch("PRAGMA busy_timeout = 10000;").map_err(at_open)?;
    Ok(conn)
}

/// A reading connection.
pub(super) fn connect_read_only(dir: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database(dir), flags).map_err(at_open)?;
    conn.execute_batch(
        "PRAGMA query_only = ON;
         PRAGMA busy_timeout = 1000;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -4096;",
    )
    .map_err(at_open)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Before anything was promised, a broken store is one that cannot be used.
fn at_open(error: rusqlite::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Broken(text) => StoreError::Unusable(text),
        other => other,
    }
}
