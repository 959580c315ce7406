//! Renewing leases, and taking back what their workers let run out.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::row;
use super::session::Session;
use super::types::Types;
use crate::domain::{Task, TimeMs};
use crate::store::rules::due;
use crate::store::{Beat, Beaten, ExpiredAsk, StoreError};

/// Renews leases and answers each, in order. Neither payload nor result is touched for that.
pub(super) fn renew(
    session: &mut Session,
    beats: &[Beat],
    now: TimeMs,
) -> Result<Vec<Option<Beaten>>, StoreError> {
    let mut beaten = Vec::with_capacity(beats.len());
    let mut rest = beats;
    while !rest.is_empty() {
        // One statement changes a row at most once.
        let mut seen = HashSet::<_, RandomState>::default();
        let again = rest.iter().position(|beat| !seen.insert(beat.id));
        let (group, later) = rest.split_at(again.unwrap_or(rest.len()));
        beaten.extend(renew_each(session, group, now)?);
        rest = later;
    }
    Ok(beaten)
}

fn renew_each(
    session: &mut Session,
    beats: &[Beat],
    now: TimeMs,
) -> Result<Vec<Option<Beaten>>, StoreError> {
    let mut sorted: Vec<&Beat> = beats.iter().collect();
    sorted.sort_unstable_by_key(|beat| beat.id);
    let ids: Vec<i64> = sorted.iter().map(|beat| beat.id.get() as i64).collect();
    let epochs: Vec<i64> = sorted.iter().map(|beat| beat.epoch.0 as i64).collect();
    let until: Vec<i64> = sorted.iter().map(|beat| beat.until.0).collect();
    let progress: Vec<Option<i16>> =
        sorted.iter().map(|beat| beat.progress.map(i16::from)).collect();
    let rows = session.query(RENEW, &[&ids, &epochs, &until, &progress, &now.0])?;
    let answer = |row: &postgres::Row| {
        let version: i32 = row.get(3);
        let beaten = Beaten {
            ends: TimeMs(row.get(1)),
            cancel_requested: row.get(2),
            version: version.cast_unsigned(),
        };
        (row.get::<_, i64>(0), beaten)
    };
    let done: HashMap<i64, Beaten, RandomState> = rows.iter().map(answer).collect();
    Ok(beats.iter().map(|beat| done.get(&(beat.id.get() as i64)).copied()).collect())
}

/// Not the condition of a partial index (`status + 0`): planned on a store that is empty, it would
/// be a walk of that index for each row.
pub(super) const RENEW: &str = "UPDATE taskscheduler.tasks t SET leased_until = u.until,
         due = least(u.until, t.run_started_at + t.timeout_s::bigint * 1000),
         version = t.version + (u.progress <> coalesce(t.progress, -1) IS TRUE)::integer,
         updated_at = CASE WHEN u.progress <> coalesce(t.progress, -1) THEN $5
                           ELSE t.updated_at END,
         progress = coalesce(u.progress, t.progress)
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[])
         AS u (id, epoch, until, progress)
     WHERE t.id = u.id AND t.epoch = u.epoch AND t.status + 0 = 3 AND t.owner IS NULL
         AND t.leased_until IS NOT NULL
     RETURNING t.id, t.due, t.cancel_requested, t.version";

const TAKE_BACK: &str = concat!(
    "WITH ended AS (
         SELECT id AS ended_id FROM taskscheduler.tasks
         WHERE owner IS NULL AND status = 3 AND due <= $1
         ORDER BY due, id LIMIT $2 FOR UPDATE SKIP LOCKED)
     UPDATE taskscheduler.tasks SET epoch = epoch + 1 FROM ended WHERE id = ended_id RETURNING ",
    row::live_columns!()
);

/// Takes back leased rows whose time is up: a report under the old epoch changes nothing any more.
pub(super) fn take_back(
    session: &mut Session,
    types: &Types,
    ask: ExpiredAsk,
) -> Result<Vec<Task>, StoreError> {
    let rows = session.query(TAKE_BACK, &[&ask.due_by.0, &i64::from(ask.limit)])?;
    let tasks = rows.iter().map(|row| Ok(row::read(row, types)?.0));
    let mut tasks: Vec<Task> = tasks.collect::<Result<_, StoreError>>()?;
    tasks.sort_by_key(|task| (due(task), task.id));
    Ok(tasks)
}
