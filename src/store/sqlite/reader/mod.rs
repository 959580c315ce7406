//! Reading beside the writer: a connection of its own, and one snapshot for each question.
//!
//! Promise: a question never waits for the writer and never holds it up, and one that walks for
//! longer than its budget is given up. Totals come from the counters, so nothing is counted.

mod filter;
mod scheduled;
mod walk;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::types::Types;
use super::{claim, counts, files, row, statement};
use crate::clock::Clock;
use crate::domain::{Band, StatusKind, Task, TaskId, TimeMs};
use crate::store::order::SortKey;
use crate::store::paging::{self, Chosen, Found, Stretch};
use crate::store::tally::Sort;
use crate::store::{
    Bucket, Count, LeaseCount, Page, PageAsk, Reader, ScheduledAsk, SortField, StoreError, Stored,
};

/// So many steps of SQLite's machine lie between two looks at the clock: some ten microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1000;

/// Time alone does not make a question broad: on a busy machine it also passes while the thread
/// waits for its turn. So many looks, about a millisecond of work and ten times what a page of a
/// hundred rows takes, come before a question can be given up.
const LOOKS_AT_LEAST: u32 = 50;

/// The reading side.
pub(super) struct SqliteReader {
    conn: Connection,
    types: Types,
    clock: Arc<dyn Clock>,
    limit: Arc<Limit>,
}

/// When the question under way must end.
#[derive(Debug, Default)]
struct Limit {
    /// On the monotonic clock, in microseconds; nought for never.
    deadline_us: AtomicU64,
    /// How often the clock was looked at for this question.
    looks: AtomicU32,
    /// Whether it was given up for that.
    reached: AtomicBool,
}

impl SqliteReader {
    pub(super) fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<SqliteReader, StoreError> {
        let mut conn = files::connect_read_only(dir)?;
        let limit = Arc::new(Limit::default());
        let (looks, watch) = (limit.clone(), clock.clone());
        // Relaxed throughout: set and read by the one thread that uses this connection.
        conn.progress_handler(
            STEPS_BETWEEN_LOOKS,
            Some(move || {
                let deadline = looks.deadline_us.load(Ordering::Relaxed);
                let looked = looks.looks.fetch_add(1, Ordering::Relaxed);
                let worked = looked >= LOOKS_AT_LEAST;
                let over = deadline != 0 && worked && watch.mono().0 >= deadline;
                if over {
                    looks.reached.store(true, Ordering::Relaxed);
                }
                over
            }),
        )?;
        Ok(SqliteReader { conn, types: Types::default(), clock, limit })
    }

    /// Answers from one snapshot, within the budget if there is one.
    fn snapshot<T>(
        &mut self,
        budget_ms: Option<u32>,
        answer: impl FnOnce(&Connection, &Types) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let deadline = budget_ms.map_or(0, |ms| {
            // Nought means no limit, so a deadline is never nought.
            self.clock.mono().plus(Duration::from_millis(ms.into())).0.max(1)
        });
        self.limit.deadline_us.store(deadline, Ordering::Relaxed);
        self.limit.looks.store(0, Ordering::Relaxed);
        self.limit.reached.store(false, Ordering::Relaxed);
        let result = statement::run(&self.conn, "BEGIN").and_then(|()| {
            self.types.refresh(&self.conn)?;
            answer(&self.conn, &self.types)
        });
        self.limit.deadline_us.store(0, Ordering::Relaxed);
        let ended =
            if self.conn.is_autocommit() { Ok(()) } else { statement::run(&self.conn, "ROLLBACK") };
        if self.limit.reached.load(Ordering::Relaxed) && result.is_err() {
            return Err(StoreError::TooBroad { budget_ms: budget_ms.unwrap_or(0) });
        }
        result.and_then(|value| ended.map(|()| value))
    }
}

impl Reader for SqliteReader {
    fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.snapshot(None, |conn, types| find(conn, types, id))
    }

    fn find_all(&mut self, ids: &[TaskId]) -> Result<Vec<Task>, StoreError> {
        self.snapshot(None, |conn, types| {
            ids.iter().filter_map(|id| find(conn, types, *id).transpose()).collect()
        })
    }

    fn page(&mut self, ask: &PageAsk) -> Result<Page, StoreError> {
        self.snapshot(Some(ask.budget_ms), |conn, types| {
            paging::page(&mut Snapshot { conn, types }, ask)
        })
    }

    fn scheduled(&mut self, ask: &ScheduledAsk) -> Result<Page, StoreError> {
        self.snapshot(Some(ask.budget_ms), |conn, types| scheduled::scheduled(conn, types, ask))
    }

    fn counts(&mut self) -> Result<Vec<Count>, StoreError> {
        self.snapshot(None, |conn, types| {
            let mut counts: Vec<Count> = Vec::new();
            for (sort, tasks) in filter::counters(conn)? {
                let name = types.name(sort.type_id.into());
                let task_type = name.cloned().ok_or_else(|| {
                    StoreError::Broken(format!("task type {} has no name", sort.type_id))
                })?;
                counts.push(Count { status: sort.status, band: sort.band, task_type, tasks });
            }
            counts.sort_unstable_by(|a, b| {
                (a.status, a.band, &a.task_type).cmp(&(b.status, b.band, &b.task_type))
            });
            Ok(counts)
        })
    }

    fn buckets(&mut self, minutes: Range<i64>) -> Result<Vec<Bucket>, StoreError> {
        self.snapshot(None, |conn, _| {
            let sql =
                format!("{} WHERE minute >= ?1 AND minute < ?2 ORDER BY minute", counts::MINUTE);
            let mut buckets = conn.prepare_cached(&sql)?;
            let rows = buckets.query_map((minutes.start, minutes.end), counts::read_minute)?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    fn oldest_free(&mut self, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        self.snapshot(None, |conn, _| {
            let mut oldest = None;
            for band in Band::ALL {
                oldest = oldest.into_iter().chain(oldest_of(conn, band)?).min();
            }
            Ok(oldest.filter(|due| *due <= now))
        })
    }

    fn leases(&mut self, limit: u32) -> Result<Vec<LeaseCount>, StoreError> {
        self.snapshot(None, |conn, types| {
            let mut leases = conn.prepare_cached(
                "SELECT worker, type_id, count(*), min(leased_until)
                 FROM tasks INDEXED BY tasks_leased
                 WHERE owner IS NULL AND status = 3 AND worker IS NOT NULL
                 GROUP BY worker, type_id ORDER BY worker, type_id LIMIT ?1",
            )?;
            let mut rows = leases.query([limit])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                let name = types.name(row.get(1)?);
                counts.push(LeaseCount {
                    worker: row.get(0)?,
                    task_type: name.cloned().unwrap_or_default(),
                    tasks: row.get::<_, i64>(2)? as u64,
                    until: TimeMs(row.get(3)?),
                });
            }
            Ok(counts)
        })
    }

    fn used_bytes(&mut self) -> Result<u64, StoreError> {
        self.snapshot(None, |conn, _| {
            let number = |pragma| conn.query_row(pragma, (), |row| row.get::<_, i64>(0));
            let used = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
            Ok((used * number("PRAGMA page_size")?) as u64)
        })
    }
}

/// One snapshot, as the making of a page sees it.
struct Snapshot<'a> {
    conn: &'a Connection,
    types: &'a Types,
}

impl paging::Walk for Snapshot<'_> {
    fn number(&mut self, name: &str) -> Result<Option<u32>, StoreError> {
        Ok(self.types.number(name))
    }

    fn name(&self, type_id: u32) -> Option<Arc<str>> {
        self.types.name(type_id.into()).cloned()
    }

    fn counters(&mut self) -> Result<Vec<(Sort, u64)>, StoreError> {
        filter::counters(self.conn)
    }

    fn by_id(
        &mut self,
        chosen: &Chosen,
        total: u64,
        descending: bool,
        stretch: Stretch,
    ) -> Result<Vec<Found>, StoreError> {
        walk::by_id(self.conn, chosen, total, descending, stretch)
    }

    fn by_value(
        &mut self,
        chosen: &Chosen,
        field: SortField,
        descending: bool,
        after: Option<&SortKey>,
        stretch: Stretch,
    ) -> Result<Vec<Found>, StoreError> {
        walk::by_value(self.conn, chosen, field, descending, after, stretch)
    }

    fn tasks(&mut self, found: &[Found], payloads: bool) -> Result<Vec<Task>, StoreError> {
        read_all(self.conn, self.types, found, payloads)
    }
}

fn find(conn: &Connection, types: &Types, id: TaskId) -> Result<Option<Task>, StoreError> {
    Ok(match claim::stored(conn, types, id)? {
        Stored::Live(task, _) | Stored::Elsewhere(task, _) | Stored::Ended(task) => Some(*task),
        Stored::Missing => None,
    })
}

/// When the first free row of a band became due: one look into the index for each type in it.
fn oldest_of(conn: &Connection, band: Band) -> Result<Option<TimeMs>, StoreError> {
    let mut next = conn.prepare_cached(
        "SELECT type_id, due FROM tasks INDEXED BY tasks_free
         WHERE owner IS NULL AND status <> 3 AND status <> 5 AND band = ?1 AND type_id > ?2
         ORDER BY type_id, due LIMIT 1",
    )?;
    let (mut after, mut oldest) = (0i64, None::<TimeMs>);
    loop {
        let mut rows = next.query((band.rank() as i64, after))?;
        let Some(row) = rows.next()? else { return Ok(oldest) };
        after = row.get(0)?;
        let due = TimeMs(row.get(1)?);
        oldest = Some(oldest.map_or(due, |oldest| oldest.min(due)));
    }
}

/// Reads the rows of a page, in the order given.
fn read_all(
    conn: &Connection,
    types: &Types,
    found: &[Found],
    payloads: bool,
) -> Result<Vec<Task>, StoreError> {
    let (live, ended) =
        if payloads { (row::LIVE, row::ENDED) } else { (row::LIVE_BRIEF, row::ENDED_BRIEF) };
    let mut live = conn.prepare_cached(&format!("{live} WHERE id = ?1"))?;
    let mut ended = conn.prepare_cached(&format!("{ended} WHERE id = ?1"))?;
    let mut tasks = Vec::with_capacity(found.len());
    for found in found {
        let from = if found.ended { &mut ended } else { &mut live };
        let mut rows = from.query([found.id])?;
        if let Some(row) = rows.next()? {
            tasks.push(row::read(row, types)?.0);
        }
    }
    Ok(tasks)
}

/// The statuses whose rows are in the index beside the live table.
fn indexed(status: StatusKind) -> bool {
    !status.is_terminal() && status != StatusKind::Queued
}
