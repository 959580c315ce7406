//! Taking free rows, and looking rows up, at the end of a batch.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rusqlite::{CachedStatement, Connection};

use super::types::Types;
use super::{counts, row};
use crate::domain::{Band, StatusKind, Task, TaskId, TimeMs};
use crate::store::tally::{Sort, Tally};
use crate::store::{Batch, ClaimAsk, Claimed, Committed, StoreError, Stored, Taker};

/// Answers the batch's claims, one after the other.
pub(super) fn claims(
    conn: &Connection,
    types: &Types,
    incarnation: i64,
    batch: &Batch,
    committed: &mut Committed,
) -> Result<(), StoreError> {
    let mut tally = Tally::default();
    for ask in &batch.claims {
        let mut keys = Vec::new();
        for band in ask.bands.in_order() {
            let limit = ask.limit as usize - keys.len();
            keys.extend(due_rows(conn, types, ask, *band, limit)?);
        }
        let has_more = keys.len() >= ask.limit as usize;
        let mut claimed = Claimed { tasks: Vec::with_capacity(keys.len()), has_more };
        let mut bytes = 0;
        let mut take = Take::new(conn, incarnation, batch.now, ask)?;
        let mut find = conn.prepare_cached(&format!("{} WHERE id = ?1", row::LIVE))?;
        for (_, id) in keys {
            if bytes >= ask.bytes_max {
                claimed.has_more = true;
                break;
            }
            let mut task = find_live(&mut find, types, id)?
                .ok_or_else(|| StoreError::Broken(format!("the index names task {id}")))?
                .0;
            take.take(&mut task, types, &mut tally)?;
            bytes += task.spec.weight();
            claimed.tasks.push(task);
        }
        committed.claimed.push(claimed);
    }
    counts::write(conn, &tally)
}

/// Writes who took a row.
struct Take<'a> {
    statement: CachedStatement<'a>,
    incarnation: i64,
    now: TimeMs,
    taker: &'a Taker,
}

impl<'a> Take<'a> {
    fn new(
        conn: &'a Connection,
        incarnation: i64,
        now: TimeMs,
        ask: &'a ClaimAsk,
    ) -> Result<Take<'a>, StoreError> {
        let sql = match ask.taker {
            Taker::Node => "UPDATE tasks SET owner = ?1, epoch = epoch + 1 WHERE id = ?2",
            Taker::Worker(_) => row::UPDATE_LIVE,
        };
        let statement = conn.prepare_cached(sql)?;
        // A lease starts what is due by then, not what is due a little later.
        Ok(Take { statement, incarnation, now: now.max(ask.due_by), taker: &ask.taker })
    }

    fn take(
        &mut self,
        task: &mut Task,
        types: &Types,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let Taker::Worker(terms) = self.taker else {
            self.statement.execute((self.incarnation, task.id.get() as i64))?;
            task.state.epoch = task.state.epoch.next();
            return Ok(());
        };
        let before = (task.state.epoch, task.state.status.kind());
        let id = task.id;
        let broken = |error| StoreError::Broken(format!("the index names task {id}: {error}"));
        task.lease(terms, self.now).map_err(broken)?;
        row::bind_update(&mut self.statement, task, None, before)?;
        self.statement.raw_execute()?;
        let (band, type_id) = (task.spec.band, types.number(&task.spec.task_type).unwrap_or(0));
        tally.add(Sort { status: before.1, band, type_id }, -1);
        tally.add(Sort { status: StatusKind::Running, band, type_id }, 1);
        Ok(())
    }
}

/// A place in the order of claims: when the row is due, and its id.
type Key = (i64, i64);

/// The first rows of a band that the ask can have, in the order (due, id), merged over its types.
fn due_rows(
    conn: &Connection,
    types: &Types,
    ask: &ClaimAsk,
    band: Band,
    limit: usize,
) -> Result<Vec<Key>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let wanted = wanted_types(conn, types, ask, band)?;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // With one type one look is enough; with several each gives a part, and more when that is used.
    let chunk = limit.div_ceil(wanted.len()) + if wanted.len() > 1 { 16 } else { 0 };
    let mut lanes = Vec::with_capacity(wanted.len());
    for type_id in wanted {
        let mut lane =
            Lane { band, type_id, ready: VecDeque::new(), after: None, exhausted: false };
        lane.fill(conn, ask.due_by, chunk)?;
        lanes.push(lane);
    }
    let mut heads: BinaryHeap<Reverse<(Key, usize)>> = lanes
        .iter_mut()
        .enumerate()
        .filter_map(|(at, lane)| lane.ready.pop_front().map(|key| Reverse((key, at))))
        .collect();
    let mut keys = Vec::with_capacity(limit.min(4096));
    while keys.len() < limit
        && let Some(Reverse((key, at))) = heads.pop()
    {
        keys.push(key);
        let lane = &mut lanes[at];
        if lane.ready.is_empty() && !lane.exhausted && keys.len() < limit {
            lane.fill(conn, ask.due_by, chunk)?;
        }
        heads.extend(lane.ready.pop_front().map(|key| Reverse((key, at))));
    }
    Ok(keys)
}

/// The free rows of one band and type, read in parts.
struct Lane {
    band: Band,
    type_id: u32,
    ready: VecDeque<Key>,
    after: Option<Key>,
    exhausted: bool,
}

impl Lane {
    fn fill(&mut self, conn: &Connection, due_by: TimeMs, chunk: usize) -> Result<(), StoreError> {
        let mut next = conn.prepare_cached(
            "SELECT due, id FROM tasks INDEXED BY tasks_free
             WHERE owner IS NULL AND status <> 3 AND status <> 5 AND band = ?1 AND type_id = ?2
               AND due <= ?3 AND due >= ?4 AND (due > ?4 OR id > ?5)
             ORDER BY due, id LIMIT ?6",
        )?;
        let (due, id) = self.after.unwrap_or((i64::MIN, -1));
        let mut rows =
            next.query((self.band.rank() as i64, self.type_id, due_by.0, due, id, chunk as i64))?;
        while let Some(row) = rows.next()? {
            self.ready.push_back((row.get(0)?, row.get(1)?));
        }
        self.exhausted = self.ready.len() < chunk;
        self.after = self.ready.back().copied().or(self.after);
        Ok(())
    }
}

/// Above this many types it is cheaper to ask which types have free rows at all.
const TYPES_ASKED_ONE_BY_ONE: usize = 32;

fn wanted_types(
    conn: &Connection,
    types: &Types,
    ask: &ClaimAsk,
    band: Band,
) -> Result<Vec<u32>, StoreError> {
    let mut wanted: Vec<u32> = ask.types.iter().filter_map(|name| types.number(name)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.len() <= TYPES_ASKED_ONE_BY_ONE {
        return Ok(wanted);
    }
    let mut present = Vec::new();
    let mut after = 0u32;
    let mut next = conn.prepare_cached(
        "SELECT type_id FROM tasks INDEXED BY tasks_free
         WHERE owner IS NULL AND status <> 3 AND status <> 5 AND band = ?1 AND type_id > ?2
         ORDER BY type_id LIMIT 1",
    )?;
    loop {
        let mut rows = next.query((band.rank() as i64, after))?;
        let Some(row) = rows.next()? else { break };
        after = row.get(0)?;
        if wanted.binary_search(&after).is_ok() {
            present.push(after);
        }
    }
    Ok(present)
}

/// Looks up the batch's ids.
pub(super) fn fetch(
    conn: &Connection,
    types: &Types,
    batch: &Batch,
    committed: &mut Committed,
) -> Result<(), StoreError> {
    for id in &batch.fetch {
        committed.fetched.push(stored(conn, types, *id)?);
    }
    Ok(())
}

/// What is stored under an id.
pub(super) fn stored(conn: &Connection, types: &Types, id: TaskId) -> Result<Stored, StoreError> {
    let number = id.get() as i64;
    let mut live = conn.prepare_cached(&format!("{} WHERE id = ?1", row::LIVE))?;
    if let Some((task, holding)) = find_live(&mut live, types, number)? {
        return Ok(Stored::Live(Box::new(task), holding));
    }
    let mut ended = conn.prepare_cached(&format!("{} WHERE id = ?1", row::ENDED))?;
    Ok(match find_live(&mut ended, types, number)? {
        Some((task, _)) => Stored::Ended(Box::new(task)),
        None => Stored::Missing,
    })
}

pub(super) fn find_live(
    find: &mut rusqlite::Statement<'_>,
    types: &Types,
    id: i64,
) -> Result<Option<(Task, crate::domain::Holding)>, StoreError> {
    let mut rows = find.query([id])?;
    match rows.next()? {
        Some(row) => Ok(Some(row::read(row, types)?)),
        None => Ok(None),
    }
}

// The literals in the SQL above.
const _: () = assert!(StatusKind::Paused as u8 == 5 && StatusKind::Running as u8 == 3);
