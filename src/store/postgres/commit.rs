//! One batch as one transaction, and what is done when its answer does not come.
//!
//! A transaction opens with the fence: the node's own row, locked in share mode and only found if
//! this life is still believed to live and this connection is still the one that writes. It ends
//! with the batch's delta row, which is the proof that it was committed.
//!
//! Where the answer to the end is lost, the next connection first raises `writer`, which waits for
//! whatever the old one still does and bars it from then on. Then the delta row is there or it
//! never will be.

use std::fmt::Write as _;

use super::claim::{Claims, Hints};
use super::counts::Delta;
use super::session::Session;
use super::write::Write;
use super::{Doubt, Life, PostgresStore, answer, claim, leases, partitions, take_ids};
use crate::store::{Batch, Committed, Fate, StoreError};

/// How often a transaction is tried again at once that met another one.
const COLLISIONS_MAX: u32 = 4;

/// Begins a transaction, if this life may still write.
pub(super) fn begin(session: &mut Session, life: Life) -> Result<(), StoreError> {
    let Life { incarnation, writer, .. } = life;
    let found = session.script(&format!(
        "BEGIN; SELECT 1 FROM taskscheduler.nodes WHERE incarnation = {incarnation} \
         AND writer = {writer} AND state = 'alive' FOR SHARE"
    ))?;
    if found == 1 {
        return Ok(());
    }
    Err(fenced())
}

/// What a node is told that was declared dead while it lived.
pub(super) fn fenced() -> StoreError {
    StoreError::Fenced("it was declared dead, and others may have its tasks".into())
}

impl PostgresStore {
    /// Commits a batch, on a new connection if need be.
    pub(super) fn commit_batch(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        // For this commit and no other, however it ends.
        let hints = std::mem::take(&mut self.hints);
        self.undoubted()?;
        self.connected()?;
        for _ in 0..COLLISIONS_MAX {
            match self.try_commit(batch, &hints) {
                // Ended while it was idle, as a restart of the server does.
                Err(error) if self.session.is_lost() && self.doubt.is_none() => {
                    log::warn!("failed to {error}; connecting again");
                    self.connected()?;
                }
                Err(error) if self.session.has_collided() => {
                    log::debug!("a batch met another transaction and is tried again: {error}");
                    // One of the partitions may just have been dropped.
                    self.days.clear();
                }
                result => return result,
            }
        }
        self.try_commit(batch, &hints)
    }

    fn try_commit(&mut self, batch: &Batch, hints: &Hints) -> Result<Committed, StoreError> {
        self.learn_types(batch)?;
        let life = self.life()?;
        let only_looks = claim::only_looks(batch) && hints.iter().all(|(_, ids)| ids.is_empty());
        if only_looks {
            let (session, types, clock) = (&mut self.session, &self.types, &*self.options.clock);
            if !claim::is_worth_it(session, types, &mut self.floors, batch, clock)? {
                return Ok(claim::nothing(batch));
            }
        }
        self.make_missing_days(batch)?;
        match self.write_batch(batch, hints, life) {
            Ok((committed, end)) => self.end(batch, committed, &end),
            Err(error) => {
                self.floors.forget();
                self.session.roll_back();
                Err(error)
            }
        }
    }

    /// Everything but the end: what the batch answers, and the script that ends it.
    fn write_batch(
        &mut self,
        batch: &Batch,
        hints: &Hints,
        life: Life,
    ) -> Result<(Committed, String), StoreError> {
        let (session, types) = (&mut self.session, &self.types);
        begin(session, life)?;
        let mut committed = Committed::default();
        let mut delta = Delta::default();
        if !batch.units.is_empty() {
            let mut write = Write::new(session, types, life.incarnation, batch.now);
            committed.fates = write.units(&batch.units)?;
            delta = write.delta;
            for change in batch.units.iter().flat_map(|unit| &unit.changes) {
                let type_id = types.number(&change.task.spec.task_type).unwrap_or(0);
                self.floors.note(change, type_id);
            }
        }
        committed.beaten = leases::renew(session, &batch.beats, batch.now)?;
        if let Some(ask) = batch.expired {
            committed.expired = leases::take_back(session, types, ask)?;
        }
        let mut claims = Claims {
            session,
            types,
            floors: &mut self.floors,
            delta: &mut delta,
            hints,
            clock: &*self.options.clock,
            owner: life.incarnation,
            now: batch.now,
        };
        for ask in &batch.claims {
            committed.claimed.push(claim::claim(&mut claims, ask)?);
        }
        let session = claims.session;
        committed.fetched = claim::fetch(session, types, life.incarnation, &batch.fetch)?;
        if batch.ids_wanted > 0 {
            committed.ids = Some(take_ids(session, batch.ids_wanted)?);
        }
        let end = end_script(life, batch, &delta, &committed.fates);
        Ok((committed, end))
    }

    /// Ends the transaction. Where the answer is lost it is looked for at once.
    fn end(
        &mut self,
        batch: &Batch,
        committed: Committed,
        script: &str,
    ) -> Result<Committed, StoreError> {
        let Err(error) = self.session.script(script) else {
            self.pass_on();
            return Ok(committed);
        };
        self.floors.forget();
        if !self.session.is_lost() {
            self.session.roll_back();
            return Err(error);
        }
        self.doubt = self.life.map(|life| Doubt { batch: batch.seq, seq: life.seq });
        match self.settle_batch(batch) {
            Ok(Some(_)) => Ok(committed),
            Ok(None) => Err(error),
            Err(StoreError::Fenced(why)) => Err(StoreError::Fenced(why)),
            Err(later) => Err(StoreError::Unknown(later.to_string())),
        }
    }

    /// Looks whether a batch in doubt was committed, and what became of its units. The connection
    /// is newer than the batch, so nothing of it can come later.
    pub(super) fn settle_batch(&mut self, batch: &Batch) -> Result<Option<Committed>, StoreError> {
        let life = self.life()?;
        let rows = self.connected()?.query(
            "SELECT seq, answer FROM taskscheduler.count_deltas
             WHERE incarnation = $1 AND batch = $2 ORDER BY seq DESC LIMIT 1",
            &[&life.incarnation, &(batch.seq as i64)],
        )?;
        // Sent by this connection's forerunner it has the next number; by another writing side, any
        // later one.
        let first = self.doubt.take().map_or(0, |doubt| doubt.seq);
        let Some(row) = rows.first().filter(|row| row.get::<_, i64>(0) >= first) else {
            log::info!("a batch whose answer was lost was not committed");
            return Ok(None);
        };
        log::info!("a batch whose answer was lost was committed");
        if let Some(life) = &mut self.life {
            life.seq = life.seq.max(row.get::<_, i64>(0) + 1);
        }
        let told = row.get::<_, Option<&[u8]>>(1).unwrap_or_default();
        let fates = answer::unpack(told, batch.units.len())
            .ok_or_else(|| StoreError::Broken("the answer of a batch is damaged".into()))?;
        Ok(Some(Committed { fates, ..Committed::default() }))
    }

    /// Refuses to write while it is not known what became of the last batch.
    pub(super) fn undoubted(&self) -> Result<(), StoreError> {
        match self.doubt {
            None => Ok(()),
            Some(Doubt { batch, .. }) => {
                Err(StoreError::Unavailable(format!("batch {batch} is not settled")))
            }
        }
    }

    /// The next batch has the next number.
    pub(super) fn pass_on(&mut self) {
        if let Some(life) = &mut self.life {
            life.seq += 1;
        }
    }

    /// Gives every type of the batch its number, in a transaction of its own, so that no other node
    /// that meets the same new type waits for the batch.
    fn learn_types(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let types = &self.types;
        let changes = batch.units.iter().flat_map(|unit| &unit.changes);
        let mut new: Vec<&str> = changes
            .map(|change| &*change.task.spec.task_type)
            .filter(|name| types.number(name).is_none())
            .collect();
        let asked = batch.claims.iter().flat_map(|ask| ask.types.iter());
        let unheard = asked.filter(|name| types.number(name).is_none()).count();
        if new.is_empty() && unheard == 0 && batch.fetch.is_empty() && batch.expired.is_none() {
            return Ok(());
        }
        // In the order they were first seen, once each.
        let mut seen = std::collections::HashSet::new();
        new.retain(|name| seen.insert(*name));
        if !new.is_empty() {
            self.session.execute(
                "INSERT INTO taskscheduler.task_types (name)
                 SELECT u.name FROM unnest($1::text[]) WITH ORDINALITY AS u (name, place)
                 WHERE NOT EXISTS (
                     SELECT 1 FROM taskscheduler.task_types known WHERE known.name = u.name)
                 ORDER BY u.place ON CONFLICT DO NOTHING",
                &[&new],
            )?;
        }
        self.refresh_types()
    }

    /// Reads the types that other nodes and enqueue() may have added.
    pub(super) fn refresh_types(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT id, name FROM taskscheduler.task_types";
        for row in self.session.query(sql, &[])? {
            self.types.learn(row.get(0), row.get(1));
        }
        Ok(())
    }

    fn make_missing_days(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for day in partitions::missing(&batch.units, batch.now, &self.days) {
            self.session.with_client(|client| partitions::make(client, day))?;
            self.days.insert(day);
        }
        Ok(())
    }
}

/// The delta row and the end, in one message.
fn end_script(life: Life, batch: &Batch, delta: &Delta, fates: &[Fate]) -> String {
    let Life { incarnation, seq, .. } = life;
    if delta.is_empty() && batch.units.is_empty() && batch.claims.is_empty() {
        return "COMMIT".into();
    }
    let (counts, number) = (delta.counts_literal(), batch.seq);
    let mut script = String::with_capacity(512);
    // Writing to a string cannot fail.
    let _ = write!(
        script,
        "INSERT INTO taskscheduler.count_deltas \
         VALUES ({incarnation}, {seq}, {number}, '{counts}', "
    );
    put_hex(&mut script, Some(&delta.minutes()));
    script.push_str(", ");
    put_hex(&mut script, answer::pack(fates).as_deref());
    script.push_str("); COMMIT");
    script
}

fn put_hex(script: &mut String, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return script.push_str("NULL") };
    script.push_str("'\\x");
    for byte in bytes {
        let _ = write!(script, "{byte:02x}");
    }
    script.push('\'');
}
