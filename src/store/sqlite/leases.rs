//! Renewing leases, and taking back what their workers let run out.

use rusqlite::{Connection, OptionalExtension};

use super::types::Types;
use super::{claim, row};
use crate::domain::TimeMs;
use crate::store::{Batch, Beaten, Committed, StoreError};

/// Renews the batch's leases. The row's payload is neither read nor bound for that.
pub(super) fn renew(
    conn: &Connection,
    batch: &Batch,
    committed: &mut Committed,
) -> Result<(), StoreError> {
    if batch.beats.is_empty() {
        return Ok(());
    }
    let mut renew = conn.prepare_cached(
        "UPDATE tasks SET leased_until = ?3, due = min(?3, run_started_at + timeout_s * 1000),
             version = version + (?4 IS NOT NULL AND ?4 IS NOT progress),
             updated_at = iif(?4 IS NOT NULL AND ?4 IS NOT progress, ?5, updated_at),
             progress = coalesce(?4, progress)
         WHERE id = ?1 AND epoch = ?2 AND status = 3 AND owner IS NULL
             AND leased_until IS NOT NULL
         RETURNING due, cancel_requested, version",
    )?;
    for beat in &batch.beats {
        let (id, epoch) = (beat.id.get() as i64, beat.epoch.0 as i64);
        let beaten = renew
            .query_row((id, epoch, beat.until.0, beat.progress, batch.now.0), |row| {
                let ends = TimeMs(row.get(0)?);
                Ok(Beaten { ends, cancel_requested: row.get(1)?, version: row.get(2)? })
            })
            .optional()?;
        committed.beaten.push(beaten);
    }
    Ok(())
}

/// Takes back leased rows whose time is up: a report under the old epoch changes nothing any more.
pub(super) fn take_back(
    conn: &Connection,
    types: &Types,
    batch: &Batch,
    committed: &mut Committed,
) -> Result<(), StoreError> {
    let Some(ask) = batch.expired else { return Ok(()) };
    let mut due = conn.prepare_cached(
        "SELECT id FROM tasks INDEXED BY tasks_leased
         WHERE owner IS NULL AND status = 3 AND due <= ?1 ORDER BY due, id LIMIT ?2",
    )?;
    let ids = due.query_map((ask.due_by.0, ask.limit), |row| row.get::<_, i64>(0))?;
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let mut find = conn.prepare_cached(&format!("{} WHERE id = ?1", row::LIVE))?;
    let mut take = conn.prepare_cached("UPDATE tasks SET epoch = epoch + 1 WHERE id = ?1")?;
    for id in ids {
        let broken = || StoreError::Broken(format!("the index names task {id}"));
        let (mut task, _) = claim::find_live(&mut find, types, id)?.ok_or_else(broken)?;
        take.execute([id])?;
        task.take_back().map_err(|_| broken())?;
        committed.expired.push(task);
    }
    Ok(())
}
