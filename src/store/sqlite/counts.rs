//! Writing what a batch did to the counts: a few rows, in place, in the batch's own transaction.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::domain::{StatusKind, Summary, TaskId, TimeMs};
use crate::store::tally::Tally;
use crate::store::{Bucket, StoreError};

/// Adds the sums to what is stored.
pub(super) fn write(conn: &Connection, tally: &Tally) -> Result<(), StoreError> {
    let mut count = conn.prepare_cached(
        "INSERT INTO counters (status, band, type_id, tasks) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks",
    )?;
    for (sort, by) in tally.counts.iter().filter(|(_, by)| **by != 0) {
        count.execute((sort.status.code(), sort.band.rank() as i64, sort.type_id, by))?;
    }
    for more in &tally.minutes {
        let mut bucket = minute(conn, more.minute)?;
        bucket.merge(more);
        put_minute(conn, &bucket)?;
    }
    Ok(())
}

/// The columns of a minute, as [`read_minute`] expects them.
pub(super) const MINUTE: &str = "SELECT minute, submitted, completed, failed, cancelled, retried, \
     runs, run_sum_us, run_min_us, run_max_us, run_bars, \
     waits, wait_sum_us, wait_min_us, wait_max_us, wait_bars FROM minutes";

/// A row of [`MINUTE`].
pub(super) fn read_minute(row: &Row<'_>) -> rusqlite::Result<Bucket> {
    Ok(Bucket {
        minute: row.get(0)?,
        submitted: row.get::<_, i64>(1)? as u64,
        completed: row.get::<_, i64>(2)? as u64,
        failed: row.get::<_, i64>(3)? as u64,
        cancelled: row.get::<_, i64>(4)? as u64,
        retried: row.get::<_, i64>(5)? as u64,
        run: read_summary(row, 6)?,
        wait: read_summary(row, 11)?,
    })
}

fn read_summary(row: &Row<'_>, at: usize) -> rusqlite::Result<Summary> {
    let number = |column: usize| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(column)? as u64);
    let bars: Vec<u8> = row.get(at + 4)?;
    let (count, sum, min, max) = (number(at)?, number(at + 1)?, number(at + 2)?, number(at + 3)?);
    Ok(Summary::unpack(count, sum, min, max, &bars))
}

fn minute(conn: &Connection, minute: i64) -> Result<Bucket, StoreError> {
    let one = format!("{MINUTE} WHERE minute = ?1");
    let known = conn.prepare_cached(&one)?.query_row([minute], read_minute).optional()?;
    Ok(known.unwrap_or_else(|| Bucket::empty(minute)))
}

fn put_minute(conn: &Connection, bucket: &Bucket) -> Result<(), StoreError> {
    let mut put = conn.prepare_cached(
        "INSERT OR REPLACE INTO minutes VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )?;
    put.raw_bind_parameter(1, bucket.minute)?;
    let Bucket { submitted, completed, failed, cancelled, retried, .. } = *bucket;
    for (at, number) in (2..).zip([submitted, completed, failed, cancelled, retried]) {
        put.raw_bind_parameter(at, number as i64)?;
    }
    for (at, summary) in [(7, &bucket.run), (12, &bucket.wait)] {
        let Summary { count, sum_us, min_us, max_us, .. } = *summary;
        for (at, number) in (at..).zip([count, sum_us, min_us, max_us]) {
            put.raw_bind_parameter(at, number as i64)?;
        }
        put.raw_bind_parameter(at + 4, summary.pack())?;
    }
    put.raw_execute()?;
    Ok(())
}

/// How many ids lie in one block of the history.
pub(super) const BLOCK: i64 = 4096;

/// What a batch does to the blocks of the history.
#[derive(Debug, Default)]
pub(super) struct Blocks(HashMap<(i64, StatusKind), (i64, i64), RandomState>);

impl Blocks {
    /// A row was added.
    pub(super) fn added(&mut self, id: TaskId, status: StatusKind, ended_at: Option<TimeMs>) {
        // A row without an end counts as oldest, so that it is looked at, not forgotten.
        let ended_at = ended_at.map_or(i64::MIN, |at| at.0);
        let entry = self.entry(id, status);
        entry.0 += 1;
        entry.1 = entry.1.min(ended_at);
    }

    /// A row was taken away.
    pub(super) fn removed(&mut self, id: TaskId, status: StatusKind) {
        self.entry(id, status).0 -= 1;
    }

    fn entry(&mut self, id: TaskId, status: StatusKind) -> &mut (i64, i64) {
        self.0.entry((id.get() as i64 / BLOCK, status)).or_insert((0, i64::MAX))
    }

    /// Writes the sums.
    pub(super) fn write(&self, conn: &Connection) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut put = conn.prepare_cached(
            "INSERT INTO history_blocks (block, status, tasks, oldest) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks,
                                       oldest = min(oldest, excluded.oldest)",
        )?;
        for (&(block, status), &(tasks, oldest)) in &self.0 {
            put.execute((block, status.code(), tasks, oldest))?;
        }
        Ok(())
    }
}
