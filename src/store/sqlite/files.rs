//! The data directory: its files, their rights, the lock, and connections to the database.
//!
//! Promise: only the owner can read what is stored, and only one server uses a directory.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::FlockOperation;

use crate::store::StoreError;

const DATABASE: &str = "tasks.db";
const LOCK: &str = "lock";

/// The log is checkpointed once it holds this many pages (40 MB): rare enough that a page which
/// many batches rewrite is copied once, and small enough to be read back quickly after a crash.
pub(super) const CHECKPOINT_PAGES: i32 = 10_000;
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

/// Makes the directory and its database file, for their owner alone.
pub(super) fn prepare(dir: &Path) -> Result<(), StoreError> {
    let unusable =
        |error: std::io::Error| StoreError::Unusable(format!("{}: {error}", dir.display()));
    if !dir.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
    }
    let meta = fs::metadata(dir).map_err(unusable)?;
    if !meta.is_dir() {
        return Err(StoreError::Unusable(format!("{} is no directory", dir.display())));
    }
    let ours = dir.join(LOCK).exists() || fs::read_dir(dir).map_err(unusable)?.next().is_none();
    if meta.permissions().mode() & 0o077 != 0 && ours {
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(unusable)?;
    } else if meta.permissions().mode() & 0o002 != 0 {
        // Not ours alone, so not ours to change; but who can write here can replace the store.
        return Err(StoreError::Unusable(format!("everybody can write to {}", dir.display())));
    }
    Ok(())
}

/// The right to use a data directory, held until dropped. The kernel gives it back however the
/// process ends, so holding it proves that the former holder is gone.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Takes the lock, or names who has it.
    pub(super) fn take(dir: &Path) -> Result<Lock, StoreError> {
        let path = dir.join(LOCK);
        let unusable =
            |error: std::io::Error| StoreError::Unusable(format!("{}: {error}", path.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Who it is is a courtesy; that somebody has it is the answer.
                let _ = file.read_to_string(&mut holder);
                return Err(StoreError::Unusable(format!(
                    "another server uses {} (process {})",
                    dir.display(),
                    holder.trim(),
                )));
            }
            Err(error) => return Err(unusable(error.into())),
        }
        // On a full disk the number cannot be written; the lock holds all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock(file))
    }
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
