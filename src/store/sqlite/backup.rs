//! A copy of the store while a server uses it, and what a restored copy needs before it is used.
//!
//! Promise: a copy is one moment of the store, whole, checked and on the disk before it has its
//! name. The server goes on meanwhile; only its log cannot be cut until the copy is done.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{files, migrate, statement};
use crate::domain::TaskId;
use crate::store::StoreError;
use crate::store::folder::{self, Lock};
use crate::store::migration::{EPOCH_JUMP, ID_JUMP};

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// Unfinished and ended tasks in it.
    pub tasks: u64,
    /// The version of its schema.
    pub schema: i64,
}

/// Copies the store in `dir` to the new file `target`.
pub fn backup(dir: &Path, target: &Path) -> Result<Copied, StoreError> {
    if !files::database(dir).exists() {
        return Err(StoreError::Unusable(format!("there is none in {}", dir.display())));
    }
    if target.exists() {
        return Err(StoreError::Unusable(format!("{} is there already", target.display())));
    }
    let partial = partial(target);
    let copied = copy(dir, &partial).and_then(|copied| {
        fs::rename(&partial, target).and_then(|()| sync_folder(target)).map_err(unusable)?;
        Ok(copied)
    });
    if copied.is_err() {
        // What is left of a copy that failed is of no use to anybody.
        let _ = fs::remove_file(&partial);
    }
    copied
}

/// Makes a restored store fit to be used: no id, claim or token that was given out after the copy
/// was made can ever be mistaken for one that is given out from now on.
pub fn restored(dir: &Path) -> Result<(), StoreError> {
    folder::prepare(dir)?;
    let _lock = Lock::take(dir)?;
    let mut conn = files::connect(dir)?;
    if migrate::version_of(&conn)? == 0 {
        return Err(StoreError::Unusable(format!("there is none in {}", dir.display())));
    }
    let transaction = conn.transaction()?;
    let next_id = statement::meta(&transaction, "next_id")?.saturating_add(ID_JUMP as i64);
    if next_id > TaskId::MAX as i64 {
        return Err(StoreError::Unusable("all task ids are used up".into()));
    }
    statement::set_meta(&transaction, "next_id", next_id)?;
    // What was held when the copy was made is as if it had been given back: nobody crashed.
    let holder = statement::meta(&transaction, "incarnation")?;
    statement::set_meta(&transaction, "released", holder)?;
    transaction.execute("UPDATE tasks SET epoch = epoch + ?1", [EPOCH_JUMP])?;
    // Nobody can report under these leases any more, so nobody need wait for their end.
    transaction.execute(
        "UPDATE tasks SET leased_until = 0, due = 0
         WHERE owner IS NULL AND status = 3 AND leased_until IS NOT NULL",
        (),
    )?;
    transaction.execute(
        "UPDATE meta SET value = random() WHERE name IN ('signing_key_1', 'signing_key_2')",
        (),
    )?;
    transaction.commit()?;
    Ok(())
}

fn copy(dir: &Path, partial: &Path) -> Result<Copied, StoreError> {
    // A copy that broke off earlier is in nobody's way.
    let _ = fs::remove_file(partial);
    // For its owner alone from the first byte; SQLite goes on with an empty file.
    let create = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial);
    create.map_err(|error| StoreError::Unusable(format!("{}: {error}", partial.display())))?;
    let path = partial.to_str().ok_or_else(|| {
        StoreError::Unusable(format!("{} is no text that SQLite takes", partial.display()))
    })?;
    let source = files::connect_for_copy(dir)?;
    source.execute("VACUUM INTO ?1", [path])?;
    drop(source);
    let copied = check(partial)?;
    File::open(partial).and_then(|file| file.sync_all()).map_err(unusable)?;
    Ok(copied)
}

/// Looks through the copy; a damaged one is none.
fn check(partial: &Path) -> Result<Copied, StoreError> {
    let conn = Connection::open_with_flags(partial, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Broken(format!("the copy is damaged: {verdict}")));
    }
    let tasks: i64 =
        conn.query_row("SELECT coalesce(sum(tasks), 0) FROM counters", (), |row| row.get(0))?;
    let bytes = fs::metadata(partial).map_err(unusable)?.len();
    Ok(Copied { bytes, tasks: tasks.unsigned_abs(), schema: migrate::version_of(&conn)? })
}

fn partial(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Puts the file's name on the disk too.
fn sync_folder(target: &Path) -> std::io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn unusable(error: std::io::Error) -> StoreError {
    StoreError::Unusable(error.to_string())
}
