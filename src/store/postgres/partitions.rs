//! The partitions of the history: one table for each ending and day.
//!
//! They are made ahead, and at the latest when the first task of a day ends; retention drops them
//! whole, with their counts.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use postgres::GenericClient;

use crate::domain::{ChangeKind, StatusKind, Task, TimeMs};
use crate::store::{StoreError, Unit};

/// A partition: the code of an ending, and a day.
pub(super) type Day = (i16, i32);

/// The partitions that are known to be there.
pub(super) type Days = HashSet<Day, RandomState>;

/// The day a task ended on.
pub(super) fn day_of(task: &Task, now: TimeMs) -> i32 {
    task.state.completed_at.unwrap_or(now).day() as i32
}

/// The partitions that these units will write to and that are not known to be there.
pub(super) fn missing(units: &[Unit], now: TimeMs, known: &Days) -> Vec<Day> {
    let mut missing = Vec::new();
    for change in units.iter().flat_map(|unit| &unit.changes) {
        if let ChangeKind::Finish(_) = change.kind {
            let status = i16::from(change.task.state.status.kind().code());
            let day = (status, day_of(&change.task, now));
            if !known.contains(&day) && !missing.contains(&day) {
                missing.push(day);
            }
        }
    }
    missing
}

/// The partitions of a moment's day and the two that follow.
pub(super) fn ahead(now: TimeMs) -> impl Iterator<Item = Day> {
    let today = now.day() as i32;
    let endings = StatusKind::ALL.into_iter().filter(|status| status.is_terminal());
    endings
        .flat_map(move |status| (0..3).map(move |later| (i16::from(status.code()), today + later)))
}

/// Makes a partition if it is not there. Attached rather than created in place, so that nobody who
/// reads or writes the history waits for it.
pub(super) fn make(client: &mut impl GenericClient, (status, day): Day) -> Result<(), StoreError> {
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT pg_advisory_xact_lock(7308332, 3)", &[])?;
    let known = transaction.query_opt(
        "SELECT 1 FROM taskscheduler.history_days WHERE status = $1 AND day = $2",
        &[&status, &day],
    )?;
    if known.is_none() {
        let (table, next) = (table(status, day), day + 1);
        transaction.batch_execute(&format!(
            "CREATE TABLE {table} (LIKE taskscheduler.task_history INCLUDING ALL);
             ALTER TABLE taskscheduler.task_history ATTACH PARTITION {table}
                 FOR VALUES FROM ({status}, {day}) TO ({status}, {next});
             INSERT INTO taskscheduler.history_days VALUES ({status}, {day})"
        ))?;
    }
    Ok(transaction.commit()?)
}

/// Drops a partition with all that is counted of it, and says how many tasks that was.
pub(super) fn discard(client: &mut impl GenericClient, day: Day) -> Result<u64, StoreError> {
    let mut transaction = client.transaction()?;
    // Whoever reads the history makes this wait, and whoever comes later waits behind it: rather
    // try again than hold everybody up.
    transaction.batch_execute("SET LOCAL lock_timeout = '300ms'")?;
    transaction.execute("SELECT pg_advisory_xact_lock(7308332, 3)", &[])?;
    let (status, number) = day;
    let tasks = super::counts::read_counts(&mut transaction)?;
    let tasks: i64 = tasks
        .iter()
        .filter(|(counted, _)| (counted.status, counted.day) == day)
        .map(|(_, tasks)| tasks)
        .sum();
    transaction.execute(
        "DELETE FROM taskscheduler.history_days WHERE status = $1 AND day = $2",
        &[&status, &number],
    )?;
    transaction.execute(
        "DELETE FROM taskscheduler.counters WHERE status = $1 AND day = $2",
        &[&status, &number],
    )?;
    transaction.batch_execute(&format!("DROP TABLE IF EXISTS {}", table(status, number)))?;
    transaction.commit()?;
    Ok(u64::try_from(tasks).unwrap_or(0))
}

fn table(status: i16, day: i32) -> String {
    format!("taskscheduler.task_history_{status}_{day}")
}
