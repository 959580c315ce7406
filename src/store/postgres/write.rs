//! The units of one batch, as few statements as can be.
//!
//! Units are written in groups: within a group no task and no key comes twice, so the order of its
//! statements does not matter and each kind of change is one statement. A batch is nearly always
//! one group, because a task is in at most one unit at a time.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::counts::Delta;
use super::session::Session;
use super::types::Types;
use super::{keys, partitions, row};
use crate::domain::{Before, Change, ChangeKind, Holding, TaskId, TimeMs};
use crate::store::rules::due;
use crate::store::{Fate, KeyClaim, Replay, StoreError, Unit};

/// The writing of a batch's units.
pub(super) struct Write<'a> {
    session: &'a mut Session,
    types: &'a Types,
    owner: i64,
    now: TimeMs,
    pub(super) delta: Delta,
}

/// The units of a group, and what was found out about them.
struct Group<'u> {
    units: Vec<&'u Unit>,
    fates: Vec<Fate>,
    /// Changes that are not known to be refused, as unit and place in it.
    open: Vec<(usize, usize)>,
}

impl<'a> Write<'a> {
    pub(super) fn new(
        session: &'a mut Session,
        types: &'a Types,
        owner: i64,
        now: TimeMs,
    ) -> Write<'a> {
        Write { session, types, owner, now, delta: Delta::default() }
    }

    /// Writes the units and tells their fates, in order.
    pub(super) fn units(&mut self, units: &[Unit]) -> Result<Vec<Fate>, StoreError> {
        let mut fates = Vec::with_capacity(units.len());
        let mut rest = units;
        while !rest.is_empty() {
            let (group, later) = rest.split_at(group_end(rest));
            fates.append(&mut self.group(group)?);
            rest = later;
        }
        Ok(fates)
    }

    fn group(&mut self, units: &[Unit]) -> Result<Vec<Fate>, StoreError> {
        let mut group = Group {
            units: units.iter().collect(),
            fates: vec![Fate::Applied; units.len()],
            open: Vec::new(),
        };
        check(units)?;
        let claimed = self.settle_keys(&mut group)?;
        for (at, unit) in units.iter().enumerate() {
            if group.fates[at] == Fate::Applied {
                group.open.extend((0..unit.changes.len()).map(|place| (at, place)));
            }
        }
        self.settle_unique(&mut group)?;
        let revived = self.revive(&mut group)?;
        self.update(&mut group)?;
        self.finish(&mut group)?;
        self.insert(&group, &revived)?;
        let corrected = claimed.into_iter().filter_map(|(at, claim)| {
            let Fate::AppliedBut(known) = &group.fates[at] else { return None };
            Some((claim, replay_of(group.units[at], known)))
        });
        keys::correct_keys(self.session, &corrected.collect::<Vec<_>>())?;
        Ok(group.fates)
    }

    /// Claims the idempotency keys and says which unit stands under which.
    fn settle_keys(&mut self, group: &mut Group<'_>) -> Result<Vec<(usize, KeyClaim)>, StoreError> {
        let keyed = group.units.iter().enumerate();
        let keyed: Vec<(usize, KeyClaim)> =
            keyed.filter_map(|(at, unit)| unit.key.map(|claim| (at, claim))).collect();
        let claims: Vec<(KeyClaim, Replay)> =
            keyed.iter().map(|(at, claim)| (*claim, replay_of(group.units[*at], &[]))).collect();
        let used = keys::claim_keys(self.session, &claims, self.now)?;
        for (at, claim) in &keyed {
            if let Some(fate) = used.get(&claim.key) {
                group.fates[*at] = fate.clone();
            }
        }
        Ok(keyed)
    }

    /// Claims the unique keys of what is inserted or revived; what does not get its key is closed.
    fn settle_unique(&mut self, group: &mut Group<'_>) -> Result<(), StoreError> {
        let Group { units, fates, open } = group;
        let mut first: HashMap<&str, TaskId, RandomState> = HashMap::default();
        for (at, place) in &*open {
            let change = &units[*at].changes[*place];
            if let (Some(key), true) = (&change.task.spec.unique_key, takes_key(change)) {
                first.entry(key).or_insert(change.task.id);
            }
        }
        let mut claims: Vec<(&str, TaskId)> = first.iter().map(|(key, id)| (*key, *id)).collect();
        claims.sort_unstable();
        let held = keys::claim_unique(self.session, &claims)?;
        open.retain(|(at, place)| {
            let change = &units[*at].changes[*place];
            let Some(key) = change.task.spec.unique_key.as_deref().filter(|_| takes_key(change))
            else {
                return true;
            };
            let first = first.get(key).filter(|first| **first != change.task.id);
            let Some(&holder) = held.get(key).or(first) else { return true };
            match (&mut fates[*at], change.kind) {
                (fate, ChangeKind::Revive(..)) => *fate = Fate::UniqueTaken(holder),
                (Fate::AppliedBut(known), _) => known.push((*place, holder)),
                (fate, _) => *fate = Fate::AppliedBut(vec![(*place, holder)]),
            }
            false
        });
        Ok(())
    }

    /// Takes revived tasks out of the history, and says on which day each had ended.
    fn revive(
        &mut self,
        group: &mut Group<'_>,
    ) -> Result<HashMap<TaskId, i32, RandomState>, StoreError> {
        let asked = befores(group, |kind| match kind {
            ChangeKind::Revive(before, _) => Some(before),
            _ => None,
        });
        if asked.is_empty() {
            return Ok(HashMap::default());
        }
        let (ids, epochs, statuses) = columns(&asked);
        let rows = self.session.query(
            "DELETE FROM taskscheduler.task_history h
             USING unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS u (id, epoch, status)
             WHERE h.id = u.id AND h.epoch = u.epoch AND h.status = u.status
             RETURNING h.id, h.ended_day",
            &[&ids, &epochs, &statuses],
        )?;
        let done: HashMap<TaskId, i32, RandomState> = rows
            .iter()
            .filter_map(|row| Some((TaskId::new(row.get::<_, i64>(0) as u64)?, row.get(1))))
            .collect();
        let stale = group.close(&asked, |id| done.contains_key(&id));
        let freed: Vec<(&str, TaskId)> = stale
            .iter()
            .filter_map(|change| Some((change.task.spec.unique_key.as_deref()?, change.task.id)))
            .collect();
        keys::free_unique(self.session, &freed)?;
        Ok(done)
    }

    /// Rewrites the changing part of live rows.
    fn update(&mut self, group: &mut Group<'_>) -> Result<(), StoreError> {
        let asked = befores(group, |kind| match kind {
            ChangeKind::Update(before, _) => Some(before),
            _ => None,
        });
        if asked.is_empty() {
            return Ok(());
        }
        let rows = {
            let changes: Vec<(&Change, Before)> = asked.iter().map(|(c, b, _)| (*c, *b)).collect();
            update_rows(self.session, &changes, self.owner)?
        };
        let done: HashSet<TaskId, RandomState> = rows.into_iter().collect();
        group.close(&asked, |id| done.contains(&id));
        for (change, _, _) in asked.iter().filter(|(change, _, _)| done.contains(&change.task.id)) {
            self.note(change, 0);
        }
        Ok(())
    }

    /// Moves ended tasks into the history.
    fn finish(&mut self, group: &mut Group<'_>) -> Result<(), StoreError> {
        let asked = befores(group, |kind| match kind {
            ChangeKind::Finish(before) => Some(before),
            _ => None,
        });
        if asked.is_empty() {
            return Ok(());
        }
        let (ids, epochs, statuses) = columns(&asked);
        let rows = self.session.query(
            "DELETE FROM taskscheduler.tasks t
             USING unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS u (id, epoch, status)
             WHERE t.id = u.id AND t.epoch = u.epoch AND t.status = u.status RETURNING t.id",
            &[&ids, &epochs, &statuses],
        )?;
        let gone = |row: &postgres::Row| TaskId::new(row.get::<_, i64>(0) as u64);
        let done: HashSet<TaskId, RandomState> = rows.iter().filter_map(gone).collect();
        group.close(&asked, |id| done.contains(&id));
        let mut ended = row::ended_rows();
        let mut freed = Vec::new();
        for (change, _, _) in asked.iter().filter(|(change, _, _)| done.contains(&change.task.id)) {
            let day = partitions::day_of(&change.task, self.now);
            row::put_ended(&mut ended, &change.task, self.type_of(change), day);
            if let Some(key) = &change.task.spec.unique_key {
                freed.push((&**key, change.task.id));
            }
            self.note(change, day);
        }
        if !done.is_empty() {
            let into = self.session.prepare(row::COPY_ENDED)?;
            ended.send(self.session, &into)?;
        }
        keys::free_unique(self.session, &freed)
    }

    /// Adds live rows, new ones and revived ones.
    fn insert(
        &mut self,
        group: &Group<'_>,
        revived: &HashMap<TaskId, i32, RandomState>,
    ) -> Result<(), StoreError> {
        let mut changes: Vec<(&Change, Holding)> = Vec::new();
        for (at, place) in &group.open {
            let change = &group.units[*at].changes[*place];
            if let ChangeKind::Insert(holding) | ChangeKind::Revive(_, holding) = change.kind {
                changes.push((change, holding));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        changes.sort_unstable_by_key(|(change, _)| change.task.id);
        let mut rows = row::live_rows();
        for (change, holding) in changes {
            let owner = (holding == Holding::Held).then_some(self.owner);
            row::put_live(&mut rows, &change.task, self.type_of(change), owner);
            self.note(change, revived.get(&change.task.id).copied().unwrap_or(0));
        }
        let into = self.session.prepare(row::COPY_LIVE)?;
        rows.send(self.session, &into)
    }

    fn type_of(&self, change: &Change) -> i32 {
        self.types.number(&change.task.spec.task_type).unwrap_or(0)
    }

    fn note(&mut self, change: &Change, ended: i32) {
        let type_id = self.type_of(change);
        self.delta.note(change, type_id, self.now, ended);
    }
}

/// A change, what must still be true, and where it stands.
type Asked<'u> = (&'u Change, Before, (usize, usize));

impl<'u> Group<'u> {
    /// Closes the changes that are not done: they are stale.
    fn close(&mut self, asked: &[Asked<'u>], done: impl Fn(TaskId) -> bool) -> Vec<&'u Change> {
        let stale: Vec<&Asked<'u>> = asked.iter().filter(|(c, _, _)| !done(c.task.id)).collect();
        for (_, _, (at, _)) in &stale {
            self.fates[*at] = Fate::Stale;
        }
        let places: HashSet<(usize, usize), RandomState> =
            stale.iter().map(|(_, _, place)| *place).collect();
        self.open.retain(|place| !places.contains(place));
        stale.into_iter().map(|(change, _, _)| *change).collect()
    }
}

/// The open changes of a kind, in the order of their ids, so that rows are locked in one order.
fn befores<'u>(group: &Group<'u>, of: impl Fn(ChangeKind) -> Option<Before>) -> Vec<Asked<'u>> {
    let open = group.open.iter().filter_map(|(at, place)| {
        let change = &group.units[*at].changes[*place];
        of(change.kind).map(|before| (change, before, (*at, *place)))
    });
    let mut asked: Vec<Asked<'u>> = open.collect();
    asked.sort_unstable_by_key(|(change, _, _)| change.task.id);
    asked
}

fn columns(asked: &[Asked<'_>]) -> (Vec<i64>, Vec<i64>, Vec<i16>) {
    let ids = asked.iter().map(|(change, _, _)| change.task.id.get() as i64).collect();
    let epochs = asked.iter().map(|(_, before, _)| before.epoch.0 as i64).collect();
    let statuses = asked.iter().map(|(_, before, _)| i16::from(before.status.code())).collect();
    (ids, epochs, statuses)
}

/// Rewrites live rows that still say what they said, and tells which these were.
pub(super) fn update_rows(
    session: &mut Session,
    changes: &[(&Change, Before)],
    owner: i64,
) -> Result<Vec<TaskId>, StoreError> {
    fn all<'u, T>(
        changes: &[(&'u Change, Before)],
        of: impl Fn(&'u Change, &Before) -> T,
    ) -> Vec<T> {
        changes.iter().map(|(change, before)| of(change, before)).collect()
    }
    let ids = all(changes, |c, _| c.task.id.get() as i64);
    let epochs = all(changes, |_, before| before.epoch.0 as i64);
    let statuses = all(changes, |_, before| i16::from(before.status.code()));
    let owners = all(changes, |c, _| {
        matches!(c.kind, ChangeKind::Update(_, Holding::Held)).then_some(owner)
    });
    let dues = all(changes, |c, _| due(&c.task).0);
    let next_statuses = all(changes, |c, _| i16::from(c.task.state.status.kind().code()));
    let next_epochs = all(changes, |c, _| c.task.state.epoch.0 as i64);
    let ready = all(changes, |c, _| c.task.state.ready_at.0);
    let updated = all(changes, |c, _| c.task.state.updated_at.0);
    let versions = all(changes, |c, _| c.task.state.version.cast_signed());
    let retries = all(changes, |c, _| c.task.state.retries.cast_signed());
    let suspicions = all(changes, |c, _| c.task.state.suspicion.code() as i16);
    let cancels = all(changes, |c, _| c.task.state.cancel_requested);
    let leases = all(changes, |c, _| c.task.state.leased_until.map(|at| at.0));
    let workers = all(changes, |c, _| c.task.state.worker.as_deref());
    let progress = all(changes, |c, _| c.task.state.progress.map(i16::from));
    let started = all(changes, |c, _| c.task.state.run.map(|run| run.started_at.0));
    let took = all(changes, |c, _| c.task.state.run.map(|run| run.took_us as i64));
    let waited = all(changes, |c, _| c.task.state.run.map(|run| run.waited_us as i64));
    let kinds = all(changes, |c, _| row::kind_code(&c.task.state));
    let errors = all(changes, |c, _| c.task.state.last_error.as_ref().map(|(_, text)| &**text));
    let forms = all(changes, |c, _| row::form_code(c.task.state.result.as_ref()));
    let results = all(changes, |c, _| c.task.state.result.as_ref().map(|p| p.bytes.as_bytes()));
    let rows = session.query(
        UPDATE_LIVE,
        &[
            &ids,
            &epochs,
            &statuses,
            &owners,
            &dues,
            &next_statuses,
            &next_epochs,
            &ready,
            &updated,
            &versions,
            &retries,
            &suspicions,
            &cancels,
            &leases,
            &workers,
            &progress,
            &started,
            &took,
            &waited,
            &kinds,
            &errors,
            &forms,
            &results,
        ],
    )?;
    Ok(rows.iter().filter_map(|row| TaskId::new(row.get::<_, i64>(0) as u64)).collect())
}

/// The changing part of live rows, each if it still says what it said.
const UPDATE_LIVE: &str =
    "UPDATE taskscheduler.tasks t SET owner = u.owner, due = u.due, status = u.status,
             epoch = u.epoch, ready_at = u.ready_at, updated_at = u.updated_at,
             version = u.version, retries = u.retries, suspicion = u.suspicion,
             cancel_requested = u.cancel_requested, leased_until = u.leased_until,
             worker = u.worker, progress = u.progress, run_started_at = u.started_at,
             run_took_us = u.took_us, run_waited_us = u.waited_us, error_kind = u.error_kind,
             error = u.error, result_form = u.result_form, result = u.result
         FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[],
                 $6::smallint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::integer[],
                 $11::integer[], $12::smallint[], $13::boolean[], $14::bigint[], $15::text[],
                 $16::smallint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::smallint[],
                 $21::text[], $22::smallint[], $23::bytea[])
             AS u (id, before_epoch, before_status, owner, due, status, epoch, ready_at,
                 updated_at, version, retries, suspicion, cancel_requested, leased_until, worker,
                 progress, started_at, took_us, waited_us, error_kind, error, result_form, result)
         WHERE t.id = u.id AND t.epoch = u.before_epoch AND t.status = u.before_status
             AND NOT (t.status = 3 AND t.cancel_requested AND NOT u.cancel_requested)
         RETURNING t.id";

/// How many units from the front can be written as one group.
fn group_end(units: &[Unit]) -> usize {
    let mut tasks: HashSet<TaskId, RandomState> = HashSet::default();
    let mut keys: HashSet<[u8; 32], RandomState> = HashSet::default();
    // A unique key, and whether it is only taken by inserts, which settle it among themselves.
    let mut unique: HashMap<&str, bool, RandomState> = HashMap::default();
    for (at, unit) in units.iter().enumerate() {
        if unit.key.is_some_and(|claim| !keys.insert(claim.key)) {
            return at;
        }
        for change in &unit.changes {
            let inserts = matches!(change.kind, ChangeKind::Insert(_));
            // Inserts of one and the same id are the database's to refuse.
            if !tasks.insert(change.task.id) && !inserts && at > 0 {
                return at;
            }
            let Some(key) = &change.task.spec.unique_key else { continue };
            if matches!(change.kind, ChangeKind::Update(..)) {
                continue;
            }
            let only_inserts = *unique.entry(key).or_insert(inserts);
            if !(only_inserts && inserts) && at > 0 && unique_elsewhere(units, at, key) {
                return at;
            }
        }
    }
    units.len()
}

/// Whether an earlier unit speaks of the same unique key.
fn unique_elsewhere(units: &[Unit], before: usize, key: &str) -> bool {
    let changes = units[..before].iter().flat_map(|unit| &unit.changes);
    let mut keyed = changes.filter(|change| !matches!(change.kind, ChangeKind::Update(..)));
    keyed.any(|change| change.task.spec.unique_key.as_deref() == Some(key))
}

/// Only a batch submit has several changes, all of them inserts.
fn check(units: &[Unit]) -> Result<(), StoreError> {
    let inserts = |change: &Change| matches!(change.kind, ChangeKind::Insert(_));
    if units.iter().all(|unit| unit.changes.len() < 2 || unit.changes.iter().all(inserts)) {
        Ok(())
    } else {
        Err(StoreError::Data("a unit of several changes holds no insert".into()))
    }
}

fn takes_key(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::Insert(_) | ChangeKind::Revive(..))
}

/// What an idempotency key leads to from now on.
fn replay_of(unit: &Unit, known: &[(usize, TaskId)]) -> Replay {
    let mut ids: Vec<TaskId> = unit.changes.iter().map(|change| change.task.id).collect();
    for &(place, id) in known {
        ids[place] = id;
    }
    Replay { ids, created: known.len() < unit.changes.len() }
}
