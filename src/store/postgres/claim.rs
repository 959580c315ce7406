//! Taking free rows, and looking rows up, at the end of a batch.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use postgres::Row;

use super::counts::{Counted, Delta};
use super::floors::{Floors, Place};
use super::row;
use super::session::Session;
use super::types::Types;
use crate::clock::{Clock, Mono};
use crate::domain::{Band, BandMap, StatusKind, Task, TaskId, TimeMs};
use crate::store::rules::due;
use crate::store::tally::Sort;
use crate::store::{Batch, ClaimAsk, Claimed, Committed, Incarnation, StoreError, Stored, Taker};

/// The rows a claim takes: the first that are due, each node passing over what another one is just
/// taking, until a limit is reached. Twice as many are looked at as are wanted, so that two nodes
/// that come at once both get some.
macro_rules! first {
    () => {
        "SELECT c.place, c.band, c.due, c.id
             FROM unnest($1::smallint[], $2::integer[], $8::bigint[]) AS b (band, type_id, floor)
             CROSS JOIN LATERAL (
                 SELECT t.ctid AS place, t.id, t.band, t.due FROM taskscheduler.tasks t
                 WHERE t.owner IS NULL AND t.status <> 3 AND t.status <> 5
                   AND t.band = b.band AND t.type_id = b.type_id
                   AND t.due >= b.floor AND t.due <= $3
                 ORDER BY t.due, t.id LIMIT $4) c
             ORDER BY c.band, c.due, c.id LIMIT $4"
    };
}

/// Those of the ids that somebody named which are free and what is asked for. No walk past what
/// others have taken leads to them.
macro_rules! named {
    () => {
        "SELECT t.ctid AS place, t.id, t.band, t.due FROM taskscheduler.tasks t
     WHERE t.id = ANY($8::bigint[]) AND t.owner IS NULL
       AND t.status + 0 <> 3 AND t.status + 0 <> 5
       AND t.band = ANY($1::smallint[]) AND t.type_id = ANY($2::integer[]) AND t.due <= $3
     ORDER BY t.band, t.due, t.id LIMIT $4"
    };
}

/// Locks and takes them. Rows are found again by their place: a join by id was planned, on a store
/// that was empty then, as a walk of the index of free rows for each of them. For the same reason
/// no condition here is that of a partial index (`status + 0`). What is first comes first without
/// being sorted again, since it drives the join, and no more is locked than is wanted. A row that
/// moved since it was found is locked in vain, and left to the next claim.
macro_rules! taken {
    ($first:expr) => {
        concat!("WITH first AS MATERIALIZED (", $first, "),
         locked AS MATERIALIZED (
             SELECT t.ctid AS place, t.id, t.band, t.due, t.weight, t.status
             FROM first f JOIN taskscheduler.tasks t ON t.ctid = f.place
             WHERE t.owner IS NULL AND t.status + 0 <> 3 AND t.status + 0 <> 5
             LIMIT $5 FOR UPDATE OF t SKIP LOCKED),
         taken AS (
             SELECT place, status AS was, due AS was_due FROM (
                 SELECT place, status, due,
                     sum(weight) OVER (ORDER BY band, due, id) - weight AS lighter FROM locked) w
             WHERE lighter < $6)
         UPDATE taskscheduler.tasks SET ")
    };
}

pub(super) const TAKE_FOR_NODE: &str = concat!(
    taken!(first!()),
    "owner = $7, epoch = epoch + 1 FROM taken WHERE tasks.ctid = taken.place RETURNING ",
    row::live_columns!(),
    ", was, was_due, (SELECT count(*) FROM locked)"
);

pub(super) const TAKE_NAMED: &str = concat!(
    taken!(named!()),
    "owner = $7, epoch = epoch + 1 FROM taken WHERE tasks.ctid = taken.place RETURNING ",
    row::live_columns!(),
    ", was, was_due, (SELECT count(*) FROM locked)"
);

pub(super) const TAKE_FOR_WORKER: &str = concat!(
    taken!(first!()),
    "status = 3, epoch = epoch + 1, run_started_at = $7, run_took_us = 0,
         run_waited_us = greatest($7 - ready_at, 0) * 1000, leased_until = $9, worker = $10,
         progress = NULL, version = version + 1, updated_at = $7,
         due = least($9, $7 + timeout_s::bigint * 1000)
     FROM taken WHERE tasks.ctid = taken.place RETURNING ",
    row::live_columns!(),
    ", was, was_due, (SELECT count(*) FROM locked)"
);
const WAS: usize = 36;
const WAS_DUE: usize = 37;
const LOCKED: usize = 38;

/// Whether a batch only looks for rows to take, as an idle node does again and again.
pub(super) fn only_looks(batch: &Batch) -> bool {
    batch.units.is_empty()
        && batch.beats.is_empty()
        && batch.fetch.is_empty()
        && batch.ids_wanted == 0
}

/// Whether there is a row that a claim could take, or a lease that has run out. Asking costs no
/// write; a transaction that locks the node's row does, even where it finds nothing.
pub(super) fn is_worth_it(
    session: &mut Session,
    types: &Types,
    floors: &mut Floors,
    batch: &Batch,
    clock: &dyn Clock,
) -> Result<bool, StoreError> {
    let asks = batch.claims.iter().filter(|ask| ask.limit > 0);
    let bands = asks.clone().flat_map(|ask| ask.bands.in_order()).map(|band| band.rank() as i32);
    let wanted = asks.clone().flat_map(|ask| ask.types.iter());
    let wanted = distinct(wanted.filter_map(|name| types.number(name)).collect());
    let bands = distinct(bands.collect());
    let bands: Vec<i16> = bands.iter().map(|band| *band as i16).collect();
    let walks = Walks::new(&bands, &wanted, floors, clock.mono());
    let due_by = asks.map(|ask| ask.due_by.0).max().unwrap_or(i64::MIN);
    let ended_by = batch.expired.map_or(i64::MIN, |ask| ask.due_by.0);
    let rows = session.query(
        "SELECT EXISTS (
             SELECT 1
             FROM unnest($1::smallint[], $2::integer[], $5::bigint[]) AS b (band, type_id, floor)
             CROSS JOIN LATERAL (
                 SELECT 1 FROM taskscheduler.tasks t
                 WHERE t.owner IS NULL AND t.status <> 3 AND t.status <> 5
                   AND t.band = b.band AND t.type_id = b.type_id
                   AND t.due >= b.floor AND t.due <= $3 LIMIT 1) free)
         OR EXISTS (
             SELECT 1 FROM taskscheduler.tasks
             WHERE owner IS NULL AND status = 3 AND due <= $4)",
        &[&walks.bands, &walks.types, &due_by, &ended_by, &walks.floors],
    )?;
    let is_worth_it = rows.first().is_none_or(|row| row.get(0));
    if !is_worth_it {
        let now = clock.mono();
        for place in walks.full() {
            floors.found_nothing(place, (due_by, batch.now.0), walks.began, now);
        }
    }
    Ok(is_worth_it)
}

/// What a batch answers that only looked and found nothing.
pub(super) fn nothing(batch: &Batch) -> Committed {
    let none = |ask: &ClaimAsk| Claimed { has_more: ask.limit == 0, ..Claimed::default() };
    Committed { claimed: batch.claims.iter().map(none).collect(), ..Committed::default() }
}

/// The walks of one look at the index: where each begins. One for each band and type.
struct Walks {
    bands: Vec<i16>,
    types: Vec<i32>,
    floors: Vec<i64>,
    began: Mono,
}

impl Walks {
    fn new(bands: &[i16], types: &[i32], floors: &Floors, now: Mono) -> Walks {
        let mut walks =
            Walks { bands: Vec::new(), types: Vec::new(), floors: Vec::new(), began: now };
        for place in bands.iter().flat_map(|band| types.iter().map(|number| (*band, *number))) {
            walks.bands.push(place.0);
            walks.types.push(place.1);
            walks.floors.push(floors.of(place, now));
        }
        walks
    }

    /// The walks that looked at everything.
    fn full(&self) -> impl Iterator<Item = Place> {
        let places = self.bands.iter().zip(&self.types).zip(&self.floors);
        let full = places.filter(|(_, floor)| **floor == i64::MIN);
        full.map(|((band, number), _)| (*band, *number))
    }

    /// What the rows that were taken say about the next walks.
    fn learn(&self, rows: &[Row], floors: &mut Floors, now_ms: i64, now: Mono) {
        let mut last: BandMap<Option<i64>> = BandMap::default();
        let mut taken: HashMap<Place, u64, RandomState> = HashMap::default();
        for row in rows {
            let (rank, due): (i16, i64) = (row.get(row::BAND), row.get(WAS_DUE));
            let Some(band) = Band::from_rank(rank as usize) else { continue };
            last[band] = last[band].max(Some(due));
            *taken.entry((rank, row.get(row::TYPE_ID))).or_default() += 1;
        }
        for place in self.bands.iter().zip(&self.types).map(|(band, number)| (*band, *number)) {
            let due = Band::from_rank(place.0 as usize).and_then(|band| last[band]);
            if let Some(due) = due {
                floors.raise(place, due, taken.get(&place).copied().unwrap_or(0), now_ms);
            }
        }
        for place in self.full() {
            floors.looked(place, self.began, now);
        }
    }
}

/// Ids that may be free, by band.
pub(super) type Hints = BandMap<Vec<TaskId>>;

/// What all claims of one batch share.
pub(super) struct Claims<'a> {
    pub(super) session: &'a mut Session,
    pub(super) types: &'a Types,
    pub(super) floors: &'a mut Floors,
    pub(super) delta: &'a mut Delta,
    pub(super) hints: &'a Hints,
    pub(super) clock: &'a dyn Clock,
    pub(super) owner: i64,
    pub(super) now: TimeMs,
}

/// Answers one claim.
pub(super) fn claim(claims: &mut Claims<'_>, ask: &ClaimAsk) -> Result<Claimed, StoreError> {
    let Claims { session, types, owner, hints, .. } = claims;
    let Some(hinted) = claim_hinted(session, types, *owner, ask, hints)? else {
        return claim_first(claims, ask);
    };
    let weight: usize = hinted.tasks.iter().map(|task| task.spec.weight()).sum();
    let limit = ask.limit.saturating_sub(hinted.tasks.len() as u32);
    let bytes_max = ask.bytes_max.saturating_sub(weight);
    if hinted.has_more || limit == 0 || bytes_max == 0 {
        return Ok(Claimed { has_more: true, ..hinted });
    }
    let rest = ClaimAsk { limit, bytes_max, ..ask.clone() };
    let rest = claim_first(claims, &rest)?;
    let mut tasks = [hinted.tasks, rest.tasks].concat();
    tasks.sort_by_key(|task| (task.spec.band, due(task), task.id));
    Ok(Claimed { tasks, has_more: rest.has_more })
}

/// Takes what it can of the ids that are hinted at; `None` where there are none for this claim.
fn claim_hinted(
    session: &mut Session,
    types: &Types,
    owner: i64,
    ask: &ClaimAsk,
    hints: &Hints,
) -> Result<Option<Claimed>, StoreError> {
    let bands = ask.bands.in_order();
    let ids = bands.iter().flat_map(|band| &hints[*band]).map(|id| id.get() as i64);
    let mut ids: Vec<i64> = ids.collect();
    let wanted: Vec<i32> = ask.types.iter().filter_map(|name| types.number(name)).collect();
    if ids.is_empty() || wanted.is_empty() || ask.limit == 0 || ask.taker != Taker::Node {
        return Ok(None);
    }
    // In the order of the index, each once.
    ids.sort_unstable();
    ids.dedup();
    let bands: Vec<i16> = bands.iter().map(|band| band.rank() as i16).collect();
    let (limit, bytes) = (i64::from(ask.limit), byte_limit(ask));
    let (wanted, looks) = (distinct(wanted), ids.len() as i64);
    let rows = session.query(
        TAKE_NAMED,
        &[&bands, &wanted, &ask.due_by.0, &looks, &limit, &bytes, &owner, &ids],
    )?;
    let has_more = has_more(&rows, limit);
    Ok(Some(Claimed { tasks: in_order(&rows, types)?, has_more }))
}

fn byte_limit(ask: &ClaimAsk) -> i64 {
    i64::try_from(ask.bytes_max).unwrap_or(i64::MAX)
}

/// Whether a claim met a limit.
fn has_more(rows: &[Row], limit: i64) -> bool {
    let locked = rows.first().map_or(0, |row| row.get::<_, i64>(LOCKED));
    locked >= limit || (rows.len() as i64) < locked
}

/// Takes the first rows that are due.
fn claim_first(claims: &mut Claims<'_>, ask: &ClaimAsk) -> Result<Claimed, StoreError> {
    let Claims { session, types, floors, delta, clock, owner, now, .. } = claims;
    let wanted: Vec<i32> = ask.types.iter().filter_map(|name| types.number(name)).collect();
    if ask.limit == 0 || wanted.is_empty() {
        return Ok(Claimed { has_more: ask.limit == 0, ..Claimed::default() });
    }
    let bands: Vec<i16> = ask.bands.in_order().iter().map(|band| band.rank() as i16).collect();
    let limit = i64::from(ask.limit);
    let bytes = byte_limit(ask);
    let walks = Walks::new(&bands, &distinct(wanted), floors, clock.mono());
    let Walks { bands, types: wanted, floors: begins, .. } = &walks;
    let rows = match &ask.taker {
        Taker::Node => session.query(
            TAKE_FOR_NODE,
            &[bands, wanted, &ask.due_by.0, &(2 * limit), &limit, &bytes, owner, begins],
        )?,
        Taker::Worker(terms) => {
            // A lease starts what is due by then, not what is due a little later.
            let start = (*now).max(ask.due_by).0;
            session.query(
                TAKE_FOR_WORKER,
                &[
                    bands,
                    wanted,
                    &ask.due_by.0,
                    &(2 * limit),
                    &limit,
                    &bytes,
                    &start,
                    begins,
                    &terms.until.0,
                    &&*terms.worker,
                ],
            )?
        }
    };
    walks.learn(&rows, floors, now.0, clock.mono());
    if matches!(ask.taker, Taker::Worker(_)) {
        count_starts(&rows, types, delta)?;
    }
    let has_more = has_more(&rows, limit);
    Ok(Claimed { tasks: in_order(&rows, types)?, has_more })
}

fn distinct(mut numbers: Vec<i32>) -> Vec<i32> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Tasks that a lease started were waiting before.
fn count_starts(rows: &[Row], types: &Types, delta: &mut Delta) -> Result<(), StoreError> {
    for row in rows {
        let (task, _) = row::read(row, types)?;
        let type_id = types.number(&task.spec.task_type).unwrap_or(0).cast_unsigned();
        let sort = Sort { status: StatusKind::Running, band: task.spec.band, type_id };
        let running = Counted::live(sort);
        delta.add(Counted { status: row.get(WAS), ..running }, -1);
        delta.add(running, 1);
    }
    Ok(())
}

/// The rows in the order they were claimed in: what a lease started is no longer due when it was.
fn in_order(rows: &[Row], types: &Types) -> Result<Vec<Task>, StoreError> {
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        tasks.push((row.get::<_, i64>(WAS_DUE), row::read(row, types)?.0));
    }
    tasks.sort_by_key(|(due, task)| (task.spec.band, *due, task.id));
    Ok(tasks.into_iter().map(|(_, task)| task).collect())
}

const FIND_LIVE: &str =
    concat!("SELECT ", row::live_columns!(), " FROM taskscheduler.tasks WHERE id = ANY($1)");
const FIND_ENDED: &str = concat!(
    "SELECT ",
    row::ended_columns!(),
    " FROM taskscheduler.task_history WHERE id = ANY($1)"
);

/// What is stored under these ids, in order.
pub(super) fn fetch(
    session: &mut Session,
    types: &Types,
    own: i64,
    ids: &[TaskId],
) -> Result<Vec<Stored>, StoreError> {
    let mut found = vec![Stored::Missing; ids.len()];
    if ids.is_empty() {
        return Ok(found);
    }
    let wanted: Vec<i64> = ids.iter().map(|id| id.get() as i64).collect();
    let mut put = |task: Task, stored: &dyn Fn(Box<Task>) -> Stored| {
        for (at, _) in ids.iter().enumerate().filter(|(_, id)| **id == task.id) {
            found[at] = stored(Box::new(task.clone()));
        }
    };
    let mut live = 0;
    for row in session.query(FIND_LIVE, &[&wanted])? {
        let (task, holding) = row::read(&row, types)?;
        live += 1;
        let other = row.get::<_, Option<i64>>(row::OWNER).filter(|owner| *owner != own);
        put(task, &|task| match other {
            Some(other) => Stored::Elsewhere(task, Incarnation(other as u64)),
            None => Stored::Live(task, holding),
        });
    }
    if live < ids.len() {
        for row in session.query(FIND_ENDED, &[&wanted])? {
            put(row::read(&row, types)?.0, &Stored::Ended);
        }
    }
    Ok(found)
}
