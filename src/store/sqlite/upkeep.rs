//! What keeps the store small: retention, forgetting, and giving space back.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::counts::{self, BLOCK, Blocks};
use super::files::{self, CHECKPOINT_PAGES, LOG_BYTES_MAX};
use super::{SqliteStore, statement};
use crate::domain::{Band, StatusKind, TaskId, TimeMs};
use crate::store::tally::{Sort, Tally};
use crate::store::{PruneAsk, StoreError};

/// Idempotency keys forgotten in one transaction, ...
const KEYS_SLICE: usize = 4000;
/// ... and the most such transactions at a time: as many keys as can come in meanwhile.
const KEYS_SLICES_MAX: usize = 8;
/// Minutes older than this many days before the oldest key are forgotten.
const MINUTES_KEPT: i64 = 90 * 24 * 60;
/// Free pages are left for the next rows unless there are more than these (8 MiB) ...
const FREE_PAGES_KEPT: i64 = 2048;
/// ... and are given back in slices of this many.
const FREE_PAGES_SLICE: i64 = 1024;

/// Deletes ended tasks, and moves the counts with them.
pub(super) fn prune(conn: &Connection, ask: &PruneAsk) -> Result<u64, StoreError> {
    let mut tally = Tally::default();
    let mut blocks = Blocks::default();
    let mut left = ask.limit as usize;
    for &status in ask.statuses.iter().filter(|status| status.is_terminal()) {
        while left > 0
            && let Some(block) = next_block(conn, status, ask.ended_before)?
        {
            let gone = prune_block(conn, block, status, ask.ended_before, left)?;
            for &(id, band, type_id) in &gone {
                tally.add(Sort { status, band, type_id }, -1);
                blocks.removed(id, status);
            }
            // Either the block's first end is known anew, or the limit is reached and the block
            // comes again; in both cases the loop moves on.
            if gone.len() < left {
                renew_block(conn, block, status)?;
            }
            left -= gone.len();
        }
    }
    counts::write(conn, &tally)?;
    blocks.write(conn)?;
    statement::run(conn, "DELETE FROM history_blocks WHERE tasks <= 0")?;
    Ok(u64::from(ask.limit) - left as u64)
}

/// The first block that can hold such a row.
fn next_block(
    conn: &Connection,
    status: StatusKind,
    before: TimeMs,
) -> Result<Option<i64>, StoreError> {
    let mut next = conn.prepare_cached(
        "SELECT block FROM history_blocks WHERE status = ?1 AND oldest < ?2 ORDER BY block LIMIT 1",
    )?;
    let mut rows = next.query((status.code(), before.0))?;
    Ok(match rows.next()? {
        Some(row) => Some(row.get(0)?),
        None => None,
    })
}

/// Deletes at most `limit` rows of one block that ended before, and says what they were.
fn prune_block(
    conn: &Connection,
    block: i64,
    status: StatusKind,
    before: TimeMs,
    limit: usize,
) -> Result<Vec<(TaskId, Band, u32)>, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT id, band, type_id FROM task_history NOT INDEXED
         WHERE id >= ?1 AND id < ?2 AND status = ?3 AND coalesce(completed_at < ?4, 1)
         ORDER BY id LIMIT ?5",
    )?;
    let mut gone = Vec::new();
    let range = (block * BLOCK, (block + 1) * BLOCK, status.code(), before.0, limit as i64);
    let mut rows = find.query(range)?;
    while let Some(row) = rows.next()? {
        let id = TaskId::new(row.get::<_, i64>(0)? as u64);
        let band = Band::from_rank(row.get::<_, i64>(1)? as usize);
        let (Some(id), Some(band)) = (id, band) else {
            return Err(StoreError::Broken("a row of the history is damaged".into()));
        };
        gone.push((id, band, row.get(2)?));
    }
    drop(rows);
    let mut delete = conn.prepare_cached("DELETE FROM task_history WHERE id = ?1")?;
    for (id, _, _) in &gone {
        delete.execute([id.get() as i64])?;
    }
    Ok(gone)
}

/// Notes when the first of the rows that are left in a block ended.
fn renew_block(conn: &Connection, block: i64, status: StatusKind) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE history_blocks SET oldest = coalesce(
             (SELECT min(coalesce(completed_at, 0)) FROM task_history NOT INDEXED
              WHERE id >= ?1 AND id < ?2 AND status = ?4), ?5)
         WHERE block = ?3 AND status = ?4",
    )?
    .execute((block * BLOCK, (block + 1) * BLOCK, block, status.code(), i64::MAX))?;
    Ok(())
}

/// Forgets a slice of old idempotency keys, and says how many it was.
fn forget_keys(conn: &Connection, before: TimeMs) -> Result<usize, StoreError> {
    // Keys come in the order of their times, so the first that is too young ends the walk.
    let mut delete = conn.prepare_cached(
        "DELETE FROM idempotency_keys WHERE seq IN (
             SELECT seq FROM (SELECT seq, used_at FROM idempotency_keys ORDER BY seq LIMIT ?2)
             WHERE used_at < ?1)",
    )?;
    Ok(delete.execute((before.0, KEYS_SLICE as i64))?)
}

impl SqliteStore {
    /// Forgets old idempotency keys, as fast as they can come, and very old minutes.
    pub(super) fn forget(&mut self, keys_before: TimeMs) -> Result<(), StoreError> {
        for _ in 0..KEYS_SLICES_MAX {
            if self.transaction(|conn, _, _| forget_keys(conn, keys_before))? < KEYS_SLICE {
                break;
            }
        }
        self.transaction(|conn, _, _| {
            conn.prepare_cached("DELETE FROM minutes WHERE minute < ?1")?
                .execute([keys_before.minute() - MINUTES_KEPT])?;
            Ok(())
        })
    }

    /// Gives free pages back to the file system, and cuts a log that grew beyond its bound.
    pub(super) fn give_back_space(&mut self) -> Result<(), StoreError> {
        let free: i64 = self.conn.query_row("PRAGMA freelist_count", (), |row| row.get(0))?;
        if free > FREE_PAGES_KEPT {
            let slice = (free - FREE_PAGES_KEPT).min(FREE_PAGES_SLICE);
            let vacuum = format!("PRAGMA incremental_vacuum({slice})");
            let mut statement = self.conn.prepare(&vacuum)?;
            let mut rows = statement.query(())?;
            while rows.next()?.is_some() {}
        }
        let log = std::fs::metadata(files::log(&self.dir)).map_or(0, |meta| meta.len());
        if log > LOG_BYTES_MAX {
            self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        Ok(())
    }

    /// Copies the log into the database once it is long enough. The batch that made it so is
    /// committed whatever comes of this; a failed sync is told to the next one.
    pub(super) fn checkpoint_if_due(&mut self) {
        // Relaxed: written by this thread, in the commit before.
        if self.log_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
            self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    fn checkpoint(&mut self, pragma: &str) {
        match self.conn.prepare_cached(pragma).and_then(|mut p| p.query_row((), |_| Ok(()))) {
            Ok(()) => {}
            Err(error) => match StoreError::from(error) {
                StoreError::Broken(why) => self.break_off(why),
                // Readers are in the way or the disk is full: the log holds everything, and the
                // next commit tries again.
                other => log::warn!("the log was not checkpointed: failed to {other}"),
            },
        }
    }
}
