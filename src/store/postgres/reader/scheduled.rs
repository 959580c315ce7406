//! What waits for a time: by band, then time, then id.

use super::walk::Snapshot;
use crate::domain::TimeMs;
use crate::store::paging::{Found, Walk};
use crate::store::{Page, ScheduledAsk, StoreError};

/// How many rows of each band wait until then, each status counted up to a bound.
const WAITING: &str = "
    SELECT (SELECT count(*) FROM (SELECT 1 FROM taskscheduler.tasks
                WHERE status = 0 AND band = b.band AND due <= $1 LIMIT $2) pending)
         + (SELECT count(*) FROM (SELECT 1 FROM taskscheduler.tasks
                WHERE status = 1 AND band = b.band AND due <= $1 LIMIT $2) scheduled)
         + (SELECT count(*) FROM (SELECT 1 FROM taskscheduler.tasks
                WHERE status = 4 AND band = b.band AND due <= $1 LIMIT $2) retrying)
    FROM generate_series(0, 4) AS b (band) ORDER BY b.band";

/// Each part comes in order from the index, and the parts are merged as they come.
const WALK: &str = "
    SELECT id, false, due FROM taskscheduler.tasks
    WHERE status = 0 AND band = $1 AND due <= $2
    UNION ALL
    SELECT id, false, due FROM taskscheduler.tasks
    WHERE status = 1 AND band = $1 AND due <= $2
    UNION ALL
    SELECT id, false, due FROM taskscheduler.tasks
    WHERE status = 4 AND band = $1 AND due <= $2
    ORDER BY due, id LIMIT $3 OFFSET $4";

/// Answers the ask inside a snapshot.
pub(super) fn scheduled(
    snapshot: &mut Snapshot<'_>,
    ask: &ScheduledAsk,
) -> Result<Page, StoreError> {
    let bound = ask.offset.saturating_add(1).max(ScheduledAsk::COUNTED_MAX + 1);
    let bound = i64::try_from(bound).unwrap_or(i64::MAX);
    let rows = snapshot.client.query(WAITING, &[&ask.due_by.0, &bound])?;
    let mut offset = ask.offset;
    let (mut found, mut counted) = (Vec::<Found>::new(), 0);
    for (band, row) in (0_i16..).zip(&rows) {
        let waiting = row.get::<_, i64>(0) as u64;
        counted += waiting;
        let left = u64::from(ask.size) - found.len() as u64;
        if offset >= waiting {
            offset -= waiting;
        } else if left > 0 {
            found.extend(walk(snapshot, band, ask.due_by, offset, left)?);
            offset = 0;
        }
    }
    Ok(Page {
        tasks: snapshot.tasks(&found, ask.payloads)?,
        total: counted.min(ScheduledAsk::COUNTED_MAX),
        total_is_lower_bound: counted > ScheduledAsk::COUNTED_MAX,
        next: None,
    })
}

fn walk(
    snapshot: &mut Snapshot<'_>,
    band: i16,
    due_by: TimeMs,
    offset: u64,
    limit: u64,
) -> Result<Vec<Found>, StoreError> {
    snapshot.found(WALK, &[&band, &due_by.0, &(limit as i64), &(offset as i64)])
}
