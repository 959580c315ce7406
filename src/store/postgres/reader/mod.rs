//! Reading beside the writer: connections from a pool, and one snapshot for each question.
//!
//! Promise: a question never waits for the writer and never holds it up, and one that takes longer
//! than its budget is ended by the server. Totals come from the counters, so nothing is counted.

mod pool;
mod scheduled;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use postgres::error::SqlState;
use postgres::{Client, Row};

pub(super) use pool::Pool;

use super::types::Types;
use super::{counts, row};
use crate::domain::{Task, TaskId, TimeMs};
use crate::store::paging;
use crate::store::{Bucket, Count, LeaseCount, Page, PageAsk, Reader, ScheduledAsk, StoreError};

/// How long a question may take that names no budget of its own.
const BUDGET_MS: u32 = 10_000;

/// The reading side.
pub(super) struct PostgresReader {
    pool: Pool,
    types: Types,
}

impl PostgresReader {
    pub(super) fn new(pool: Pool) -> PostgresReader {
        PostgresReader { pool, types: Types::default() }
    }

    /// Answers from one snapshot, within the budget if there is one.
    fn snapshot<T>(
        &mut self,
        budget_ms: Option<u32>,
        mut answer: impl FnMut(&mut Client, &mut Types) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let limit = budget_ms.unwrap_or(BUDGET_MS).max(1);
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {limit}"
        );
        let types = &mut self.types;
        self.pool.with(|client| {
            client.batch_execute(&begin)?;
            let result = answer(client, types);
            // Where this fails the connection is closed, and the pool sees that.
            let ended = client.batch_execute("ROLLBACK");
            let value = result.map_err(|error| too_broad(error, budget_ms))?;
            ended?;
            Ok(value)
        })
    }
}

/// A question that was ended at its budget was too broad.
fn too_broad(error: StoreError, budget_ms: Option<u32>) -> StoreError {
    match (&error, budget_ms) {
        (StoreError::Unavailable(why), Some(budget_ms))
            if why.ends_with(&format!("({})", SqlState::QUERY_CANCELED.code())) =>
        {
            StoreError::TooBroad { budget_ms }
        }
        _ => error,
    }
}

impl Reader for PostgresReader {
    fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        Ok(self.find_all(&[id])?.into_iter().next())
    }

    fn find_all(&mut self, ids: &[TaskId]) -> Result<Vec<Task>, StoreError> {
        self.snapshot(None, |client, types| {
            let wanted: Vec<i64> = ids.iter().map(|id| id.get() as i64).collect();
            let live = client.query(&format!("{} WHERE id = ANY($1)", row::LIVE), &[&wanted])?;
            let mut tasks = read_rows(client, types, &live)?;
            if tasks.len() < ids.len() {
                let ended = format!("{} WHERE id = ANY($1)", row::ENDED);
                let ended = client.query(&ended, &[&wanted])?;
                tasks.append(&mut read_rows(client, types, &ended)?);
            }
            let find = |id: &TaskId| tasks.iter().find(|task| task.id == *id).cloned();
            Ok(ids.iter().filter_map(find).collect())
        })
    }

    fn page(&mut self, ask: &PageAsk) -> Result<Page, StoreError> {
        self.snapshot(Some(ask.budget_ms), |client, types| {
            paging::page(&mut walk::Snapshot { client, types }, ask)
        })
    }

    fn scheduled(&mut self, ask: &ScheduledAsk) -> Result<Page, StoreError> {
        self.snapshot(Some(ask.budget_ms), |client, types| {
            scheduled::scheduled(&mut walk::Snapshot { client, types }, ask)
        })
    }

    fn counts(&mut self) -> Result<Vec<Count>, StoreError> {
        self.snapshot(None, |client, types| {
            let mut counts: Vec<Count> = Vec::new();
            for (counted, tasks) in walk::sorts(client, types)? {
                let task_type = name_of(types, counted.type_id.cast_signed())?;
                let (status, band) = (counted.status, counted.band);
                counts.push(Count { status, band, task_type, tasks });
            }
            counts.sort_unstable_by(|a, b| {
                (a.status, a.band, &a.task_type).cmp(&(b.status, b.band, &b.task_type))
            });
            Ok(counts)
        })
    }

    fn buckets(&mut self, minutes: Range<i64>) -> Result<Vec<Bucket>, StoreError> {
        self.snapshot(None, |client, _| Ok(counts::read_minutes(client, minutes.clone())?))
    }

    fn oldest_free(&mut self, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        self.snapshot(None, |client, _| {
            let oldest: Option<i64> = client.query_one(OLDEST_FREE, &[])?.get(0);
            Ok(oldest.map(TimeMs).filter(|due| *due <= now))
        })
    }

    fn leases(&mut self, limit: u32) -> Result<Vec<LeaseCount>, StoreError> {
        self.snapshot(None, |client, types| {
            types.refresh(client)?;
            let rows = client.query(
                "SELECT worker, type_id, count(*), min(leased_until) FROM taskscheduler.tasks
                 WHERE owner IS NULL AND status = 3 AND worker IS NOT NULL
                 GROUP BY worker, type_id ORDER BY worker, type_id LIMIT $1",
                &[&i64::from(limit)],
            )?;
            let count = |row: &Row| {
                Ok(LeaseCount {
                    worker: row.get::<_, &str>(0).into(),
                    task_type: name_of(types, row.get(1))?,
                    tasks: row.get::<_, i64>(2) as u64,
                    until: TimeMs(row.get::<_, Option<i64>>(3).unwrap_or(0)),
                })
            };
            rows.iter().map(count).collect()
        })
    }

    fn used_bytes(&mut self) -> Result<u64, StoreError> {
        self.snapshot(None, |client, _| {
            let used: i64 = client.query_one(USED_BYTES, &[])?.get(0);
            Ok(used as u64)
        })
    }
}

/// One look into the index for each band and type that has free rows.
const OLDEST_FREE: &str = "
    WITH RECURSIVE sorts AS (
        (SELECT band, type_id FROM taskscheduler.tasks
         WHERE owner IS NULL AND status <> 3 AND status <> 5 ORDER BY band, type_id LIMIT 1)
        UNION ALL
        SELECT next.band, next.type_id FROM sorts s CROSS JOIN LATERAL (
            SELECT t.band, t.type_id FROM taskscheduler.tasks t
            WHERE t.owner IS NULL AND t.status <> 3 AND t.status <> 5
              AND (t.band, t.type_id) > (s.band, s.type_id)
            ORDER BY t.band, t.type_id LIMIT 1) next)
    SELECT min(first.due) FROM sorts s CROSS JOIN LATERAL (
        SELECT t.due FROM taskscheduler.tasks t
        WHERE t.owner IS NULL AND t.status <> 3 AND t.status <> 5
          AND t.band = s.band AND t.type_id = s.type_id ORDER BY t.due LIMIT 1) first";

/// The size of all tables with their indexes, less the share of rows that are dead. Rows that are
/// gone leave room that is used again but not given back, so this errs upwards.
const USED_BYTES: &str = "
    SELECT coalesce(sum(pg_total_relation_size(c.oid) * CASE
        WHEN coalesce(s.n_dead_tup, 0) > 0
        THEN s.n_live_tup::float8 / (s.n_live_tup + s.n_dead_tup) ELSE 1 END), 0)::bigint
    FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    WHERE c.relnamespace = 'taskscheduler'::regnamespace AND c.relkind = 'r'";

/// The tasks of rows, in their order.
fn read_rows(
    client: &mut Client,
    types: &mut Types,
    rows: &[Row],
) -> Result<Vec<Task>, StoreError> {
    if rows.iter().any(|found| types.name(found.get(row::TYPE_ID)).is_none()) {
        types.refresh(client)?;
    }
    rows.iter().map(|found| Ok(row::read(found, types)?.0)).collect()
}

fn name_of(types: &Types, type_id: i32) -> Result<Arc<str>, StoreError> {
    types.name(type_id).cloned().ok_or_else(|| super::types::unknown(type_id))
}
