//! What waits for a time: by band, then time, then id.

use rusqlite::Connection;

use super::super::types::Types;
use super::read_all;
use crate::domain::{Band, TimeMs};
use crate::store::paging::Found;
use crate::store::{Page, ScheduledAsk, StoreError};

/// Answers the ask inside a snapshot.
pub(super) fn scheduled(
    conn: &Connection,
    types: &Types,
    ask: &ScheduledAsk,
) -> Result<Page, StoreError> {
    let bound = ask.offset.saturating_add(1).max(ScheduledAsk::COUNTED_MAX + 1);
    let mut offset = ask.offset;
    let mut found = Vec::new();
    let mut counted = 0;
    for band in Band::ALL {
        let waiting = count(conn, band, ask.due_by, bound)?;
        counted += waiting;
        let left = u64::from(ask.size) - found.len() as u64;
        if offset >= waiting {
            offset -= waiting;
        } else if left > 0 {
            found.extend(walk(conn, band, ask.due_by, offset, left)?);
            offset = 0;
        }
    }
    Ok(Page {
        tasks: read_all(conn, types, &found, ask.payloads)?,
        total: counted.min(ScheduledAsk::COUNTED_MAX),
        total_is_lower_bound: counted > ScheduledAsk::COUNTED_MAX,
        next: None,
    })
}

/// How many rows of a band wait until then; `bound` or more if there are so many.
fn count(conn: &Connection, band: Band, due_by: TimeMs, bound: u64) -> Result<u64, StoreError> {
    let mut count = conn.prepare_cached(
        "SELECT count(*) FROM (
             SELECT 1 FROM tasks INDEXED BY tasks_status
             WHERE status <> 2 AND status = ?1 AND band = ?2 AND due <= ?3 LIMIT ?4)",
    )?;
    let mut waiting = 0;
    for status in [0, 1, 4] {
        let row = (status, band.rank() as i64, due_by.0, bound as i64);
        waiting += count.query_row(row, |row| row.get::<_, i64>(0))? as u64;
    }
    Ok(waiting)
}

fn walk(
    conn: &Connection,
    band: Band,
    due_by: TimeMs,
    offset: u64,
    limit: u64,
) -> Result<Vec<Found>, StoreError> {
    // Each part comes in order from the index, and the parts are merged as they come.
    let mut walk = conn.prepare_cached(
        "SELECT id, due FROM tasks INDEXED BY tasks_status
         WHERE status <> 2 AND status = 0 AND band = ?1 AND due <= ?2
         UNION ALL
         SELECT id, due FROM tasks INDEXED BY tasks_status
         WHERE status <> 2 AND status = 1 AND band = ?1 AND due <= ?2
         UNION ALL
         SELECT id, due FROM tasks INDEXED BY tasks_status
         WHERE status <> 2 AND status = 4 AND band = ?1 AND due <= ?2
         ORDER BY due, id LIMIT ?3 OFFSET ?4",
    )?;
    let row = (band.rank() as i64, due_by.0, limit as i64, offset as i64);
    let mut rows = walk.query(row)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Found { id: row.get(0)?, ended: false });
    }
    Ok(found)
}
