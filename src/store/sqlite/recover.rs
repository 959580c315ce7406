//! Taking over what the former incarnation held.

use std::path::Path;

use rayon::prelude::*;
use rusqlite::Connection;

use super::types::Types;
use super::{counts, files, row, statement};
use crate::domain::{Before, Change, ChangeKind, Holding, Task, TimeMs};
use crate::store::rules::adopt;
use crate::store::tally::Tally;
use crate::store::{Recovered, StoreError};

/// Adopts every held row and writes it back with its next epoch.
pub(super) fn recover(
    conn: &Connection,
    dir: &Path,
    types: &Types,
    incarnation: i64,
    now: TimeMs,
    pool: &rayon::ThreadPool,
) -> Result<Recovered, StoreError> {
    let released = statement::meta(conn, "released")?;
    let rows = held_rows(conn, dir, types, pool)?;
    let mut tally = Tally::default();
    let mut held = Vec::with_capacity(rows.len());
    let mut update = conn.prepare_cached(row::UPDATE_LIVE)?;
    for (mut task, owner) in rows {
        let before = Before { status: task.state.status.kind(), epoch: task.state.epoch };
        adopt(&mut task, owner == released, now);
        row::bind_update(&mut update, &task, Some(incarnation), (before.epoch, before.status))?;
        update.raw_execute()?;
        if before.status != task.state.status.kind() {
            let kind = ChangeKind::Update(before, Holding::Held);
            let change = Change { task, kind };
            let type_id = types.number(&change.task.spec.task_type).unwrap_or(0);
            tally.note(&change, type_id, now);
            task = change.task;
        }
        held.push(task);
    }
    drop(update);
    counts::write(conn, &tally)?;
    statement::set_meta(conn, "incarnation", incarnation)?;
    Ok(Recovered { held, types: types.all().to_vec() })
}

/// All held rows with their owners, in the order of their ids, each part of the ids read and
/// decoded by another thread. Nothing is being written meanwhile, so all parts see the same rows.
fn held_rows(
    conn: &Connection,
    dir: &Path,
    types: &Types,
    pool: &rayon::ThreadPool,
) -> Result<Vec<(Task, i64)>, StoreError> {
    let range: (Option<i64>, Option<i64>) = conn.query_row(
        "SELECT (SELECT min(id) FROM tasks), (SELECT max(id) FROM tasks)",
        (),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (Some(first), Some(last)) = range else { return Ok(Vec::new()) };
    let parts = pool.current_num_threads().max(1) as i64;
    let step = (last - first) / parts + 1;
    let read = |part: i64| {
        let start = first + part * step;
        let conn = files::connect_read_only(dir)?;
        let sql =
            format!("{} WHERE owner IS NOT NULL AND id >= ?1 AND id < ?2 ORDER BY id", row::LIVE);
        let mut held = conn.prepare(&sql)?;
        let mut rows = held.query((start, start + step))?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push((row::read(row, types)?.0, row.get(1)?));
        }
        Ok(tasks)
    };
    let parts: Result<Vec<Vec<(Task, i64)>>, StoreError> =
        pool.install(|| (0..parts).into_par_iter().map(read).collect());
    Ok(parts?.into_iter().flatten().collect())
}
