//! One batch as one transaction: units first, then the counts, then leases, claims
//! and look-ups.

use rusqlite::Connection;

use super::counts::{self, Blocks};
use super::keys::Keys;
use super::row;
use super::statement::Lazy;
use super::types::Types;
use crate::domain::{Before, Change, ChangeKind, Holding, TaskId, TimeMs};
use crate::store::tally::Tally;
use crate::store::{Batch, Committed, Fate, Replay, StoreError, Unit};

/// Writes the batch; the caller begins and ends the transaction.
pub(super) fn commit(
    conn: &Connection,
    types: &mut Types,
    incarnation: i64,
    batch: &Batch,
) -> Result<Committed, StoreError> {
    let mut committed = Committed::default();
    if !batch.units.is_empty() {
        let mut write = Write::new(conn, types, incarnation, batch.now);
        committed.fates.reserve(batch.units.len());
        for unit in &batch.units {
            committed.fates.push(write.unit(unit)?);
        }
        write.finish()?;
    }
    super::leases::renew(conn, batch, &mut committed)?;
    super::leases::take_back(conn, types, batch, &mut committed)?;
    super::claim::claims(conn, types, incarnation, batch, &mut committed)?;
    super::claim::fetch(conn, types, batch, &mut committed)?;
    if batch.ids_wanted > 0 {
        committed.ids = Some(super::take_ids(conn, batch.ids_wanted)?);
    }
    Ok(committed)
}

/// The writing of one batch's units.
struct Write<'c, 't> {
    conn: &'c Connection,
    types: &'t mut Types,
    owner: i64,
    now: TimeMs,
    tally: Tally,
    blocks: Blocks,
    keys: Keys<'c>,
    insert: Lazy<'c>,
    update: Lazy<'c>,
    delete: Lazy<'c>,
    end: Lazy<'c>,
    revive: Lazy<'c>,
}

impl<'c, 't> Write<'c, 't> {
    fn new(conn: &'c Connection, types: &'t mut Types, owner: i64, now: TimeMs) -> Write<'c, 't> {
        Write {
            conn,
            types,
            owner,
            now,
            tally: Tally::default(),
            blocks: Blocks::default(),
            keys: Keys::new(conn),
            insert: Lazy::new(conn, row::INSERT_LIVE),
            update: Lazy::new(conn, row::UPDATE_LIVE),
            delete: Lazy::new(conn, "DELETE FROM tasks WHERE id = ? AND epoch = ? AND status = ?"),
            end: Lazy::new(conn, row::INSERT_ENDED),
            revive: Lazy::new(
                conn,
                "DELETE FROM task_history WHERE id = ? AND epoch = ? AND status = ?",
            ),
        }
    }

    /// Writes one unit. Everything that can refuse it comes before its first lasting write, so a
    /// refused unit leaves nothing behind.
    fn unit(&mut self, unit: &Unit) -> Result<Fate, StoreError> {
        if let Some(claim) = &unit.key
            && let Some(fate) = self.keys.settled(claim)?
        {
            return Ok(fate);
        }
        let fate = match &unit.changes[..] {
            [change] if !matches!(change.kind, ChangeKind::Insert(_)) => self.change(change)?,
            changes => self.inserts(changes)?,
        };
        if let Some(claim) = &unit.key
            && let Some(replay) = replay_of(unit, &fate)
        {
            self.keys.keep(claim, &replay, self.now)?;
        }
        Ok(fate)
    }

    fn inserts(&mut self, changes: &[Change]) -> Result<Fate, StoreError> {
        let mut known = Vec::new();
        for (place, change) in changes.iter().enumerate() {
            let ChangeKind::Insert(holding) = change.kind else {
                return Err(StoreError::Data("a unit of several changes holds no insert".into()));
            };
            if let Err(holder) = self.claim_unique(change)? {
                known.push((place, holder));
                continue;
            }
            self.insert(change, holding)?;
            self.note(change)?;
        }
        Ok(if known.is_empty() { Fate::Applied } else { Fate::AppliedBut(known) })
    }

    fn change(&mut self, change: &Change) -> Result<Fate, StoreError> {
        let written = match change.kind {
            ChangeKind::Insert(holding) => {
                self.insert(change, holding)?;
                true
            }
            ChangeKind::Update(before, holding) => self.update(change, before, holding)?,
            ChangeKind::Finish(before) => self.finish_task(change, before)?,
            ChangeKind::Revive(before, holding) => {
                if let Err(holder) = self.claim_unique(change)? {
                    return Ok(Fate::UniqueTaken(holder));
                }
                let written = self.revive(change, before, holding)?;
                if !written {
                    self.free_unique(change)?;
                }
                written
            }
        };
        if !written {
            return Ok(Fate::Stale);
        }
        self.note(change)?;
        Ok(Fate::Applied)
    }

    fn insert(&mut self, change: &Change, holding: Holding) -> Result<(), StoreError> {
        let type_id = self.types.intern(self.conn, &change.task.spec.task_type)?;
        let owner = self.owner(holding);
        let statement = self.insert.get()?;
        row::bind_live(statement, &change.task, type_id, owner)?;
        statement.raw_execute()?;
        Ok(())
    }

    fn update(
        &mut self,
        change: &Change,
        before: Before,
        holding: Holding,
    ) -> Result<bool, StoreError> {
        let owner = self.owner(holding);
        let statement = self.update.get()?;
        row::bind_update(statement, &change.task, owner, (before.epoch, before.status))?;
        Ok(statement.raw_execute()? == 1)
    }

    fn finish_task(&mut self, change: &Change, before: Before) -> Result<bool, StoreError> {
        if !delete(self.delete.get()?, change.task.id, before)? {
            return Ok(false);
        }
        let type_id = self.types.intern(self.conn, &change.task.spec.task_type)?;
        let statement = self.end.get()?;
        row::bind_ended(statement, &change.task, type_id)?;
        statement.raw_execute()?;
        self.free_unique(change)?;
        let state = &change.task.state;
        self.blocks.added(change.task.id, state.status.kind(), state.completed_at);
        Ok(true)
    }

    fn revive(
        &mut self,
        change: &Change,
        before: Before,
        holding: Holding,
    ) -> Result<bool, StoreError> {
        if !delete(self.revive.get()?, change.task.id, before)? {
            return Ok(false);
        }
        self.blocks.removed(change.task.id, before.status);
        self.insert(change, holding)?;
        Ok(true)
    }

    fn claim_unique(&mut self, change: &Change) -> Result<Result<(), TaskId>, StoreError> {
        match &change.task.spec.unique_key {
            Some(key) => self.keys.claim_unique(key, change.task.id),
            None => Ok(Ok(())),
        }
    }

    fn free_unique(&mut self, change: &Change) -> Result<(), StoreError> {
        match &change.task.spec.unique_key {
            Some(key) => self.keys.free_unique(key, change.task.id),
            None => Ok(()),
        }
    }

    fn note(&mut self, change: &Change) -> Result<(), StoreError> {
        let type_id = self.types.intern(self.conn, &change.task.spec.task_type)?;
        self.tally.note(change, type_id, self.now);
        Ok(())
    }

    fn owner(&self, holding: Holding) -> Option<i64> {
        (holding == Holding::Held).then_some(self.owner)
    }

    fn finish(self) -> Result<(), StoreError> {
        counts::write(self.conn, &self.tally)?;
        self.blocks.write(self.conn)
    }
}

/// Deletes a row if it still says what it said.
fn delete(
    statement: &mut rusqlite::Statement<'_>,
    id: TaskId,
    before: Before,
) -> Result<bool, StoreError> {
    statement.raw_bind_parameter(1, id.get() as i64)?;
    statement.raw_bind_parameter(2, before.epoch.0 as i64)?;
    statement.raw_bind_parameter(3, before.status.code())?;
    Ok(statement.raw_execute()? == 1)
}

/// What an idempotency key shall lead to from now on; nothing if the unit was refused.
fn replay_of(unit: &Unit, fate: &Fate) -> Option<Replay> {
    let known = match fate {
        Fate::Applied => &[][..],
        Fate::AppliedBut(known) => known,
        _ => return None,
    };
    let mut ids: Vec<TaskId> = unit.changes.iter().map(|change| change.task.id).collect();
    for &(place, id) in known {
        ids[place] = id;
    }
    Some(Replay { ids, created: known.len() < unit.changes.len() })
}
