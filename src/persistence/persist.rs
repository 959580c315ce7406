//! The persist thread: commits one batch at a time and mails back how it fared.
//!
//! It owns the store's writing side, so nothing else ever writes. A unit the store cannot hold is
//! found by halves, in order, so its neighbours are stored; a full disk refuses what takes space
//! and stores the rest. Everything else that goes wrong goes back to the writer, who has the time
//! and the memory to try again.
//!
//! Absent on purpose: decisions about tasks, retries, and clocks.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, never, select_biased};

use super::bell::Bell;
use crate::domain::{ChangeKind, TimeMs};
use crate::store::{Batch, Committed, Cure, Fate, PruneAsk, Store, StoreError, Unit};

/// What the persist thread is told.
#[derive(Debug)]
pub struct Job(pub Arc<Batch>);

/// Upkeep that comes between batches.
pub enum Chore {
    /// Delete ended tasks, and say how many.
    Prune(PruneAsk, Sender<Result<u64, StoreError>>),
    /// Forget old idempotency keys and give space back.
    Upkeep {
        /// Older than this.
        keys_before: TimeMs,
    },
    /// Mark everything held as given back and end the thread.
    Release(Sender<Result<(), StoreError>>),
}

/// How a batch fared.
#[derive(Debug)]
pub struct Settled {
    /// The batch's number.
    pub seq: u64,
    /// What became of it; units that an error kept from the store are [`Fate::Unsent`].
    pub committed: Committed,
    /// What kept them from it.
    pub error: Option<StoreError>,
}

/// The thread's body.
pub struct Persist {
    store: Box<dyn Store>,
    jobs: Receiver<Job>,
    chores: Receiver<Chore>,
    settled: Sender<Settled>,
    bell: Bell,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersistStep {
    /// Something was done.
    Ran,
    /// There is nothing to do now.
    Idle,
    /// There is nothing to do, ever again.
    Over,
}

impl Persist {
    /// A body that commits to `store` what comes through `jobs`.
    pub fn new(
        store: Box<dyn Store>,
        jobs: Receiver<Job>,
        chores: Receiver<Chore>,
        settled: Sender<Settled>,
        bell: Bell,
    ) -> Persist {
        Persist { store, jobs, chores, settled, bell }
    }

    /// Does one thing, if there is something to do. Batches come before chores.
    pub fn step(&mut self) -> PersistStep {
        if let Ok(job) = self.jobs.try_recv() {
            return self.commit(job);
        }
        match self.chores.try_recv() {
            Ok(chore) => self.chore(chore),
            Err(_) => PersistStep::Idle,
        }
    }

    /// Waits for one thing to do and does it.
    pub fn wait(&mut self) -> PersistStep {
        select_biased! {
            recv(self.jobs) -> job => if let Ok(job) = job {
                self.commit(job)
            } else {
                // The writer has ended; what it held is still to be given back.
                self.jobs = never();
                PersistStep::Idle
            },
            recv(self.chores) -> chore => match chore {
                Ok(chore) => self.chore(chore),
                Err(_) => PersistStep::Over,
            },
        }
    }

    fn commit(&mut self, Job(batch): Job) -> PersistStep {
        let (committed, error) = commit(&mut *self.store, &batch);
        let settled = Settled { seq: batch.seq, committed, error };
        // The writer takes the batch apart, which costs nothing once nobody else holds it.
        drop(batch);
        if self.settled.send(settled).is_err() {
            return PersistStep::Over;
        }
        self.bell.ring();
        PersistStep::Ran
    }

    fn chore(&mut self, chore: Chore) -> PersistStep {
        match chore {
            Chore::Prune(ask, answer) => {
                let _ = answer.send(self.store.prune(&ask));
            }
            Chore::Upkeep { keys_before } => {
                if let Err(error) = self.store.upkeep(keys_before) {
                    log::warn!("failed to {error}; upkeep is tried again later");
                }
            }
            Chore::Release(answer) => {
                let _ = answer.send(self.store.release());
                return PersistStep::Over;
            }
        }
        PersistStep::Ran
    }
}

/// Commits a batch, mending what can be mended by leaving units out.
pub fn commit(store: &mut dyn Store, batch: &Batch) -> (Committed, Option<StoreError>) {
    let error = match store.commit(batch) {
        Ok(committed) => return (committed, None),
        Err(error) => error,
    };
    match error.cure() {
        Cure::BisectBatch => bisect(store, batch, &error),
        Cure::RefuseInserts => refuse_inserts(store, batch, error),
        Cure::RetryBatch | Cure::StopServer => unsent(batch, error),
    }
}

/// The batch in two halves, each a transaction of its own, in order. What else the batch asks for
/// comes with the last half.
fn bisect(
    store: &mut dyn Store,
    batch: &Batch,
    error: &StoreError,
) -> (Committed, Option<StoreError>) {
    let units = &batch.units;
    if units.len() < 2 {
        let rest = without_units(batch);
        let (mut committed, later) = match store.commit(&rest) {
            Ok(committed) => (committed, None),
            Err(later) => (Committed::default(), Some(later)),
        };
        committed.fates = units.iter().map(|_| Fate::Bad(error.to_string())).collect();
        return (committed, later);
    }
    let (first, second) = units.split_at(units.len() / 2);
    let first = Batch { seq: batch.seq, now: batch.now, units: first.to_vec(), ..Batch::default() };
    let second = Batch { units: second.to_vec(), ..without_units(batch) };
    let (Committed { mut fates, .. }, stopped) = commit(store, &first);
    let (mut committed, error) = match stopped {
        None => commit(store, &second),
        Some(error) => unsent(&second, error),
    };
    fates.append(&mut committed.fates);
    committed.fates = fates;
    (committed, error)
}

/// The batch without its inserts, whose fate is [`Fate::NoSpace`].
fn refuse_inserts(
    store: &mut dyn Store,
    batch: &Batch,
    error: StoreError,
) -> (Committed, Option<StoreError>) {
    let rest = batch.units.iter().filter(|unit| !takes_space(unit)).cloned().collect::<Vec<_>>();
    if rest.len() == batch.units.len() {
        return unsent(batch, error);
    }
    let rest = Batch { units: rest, ..without_units(batch) };
    let (mut committed, error) = match store.commit(&rest) {
        Ok(committed) => (committed, None),
        Err(error) => unsent(&rest, error),
    };
    let mut kept = std::mem::take(&mut committed.fates).into_iter();
    let fate = |unit| if takes_space(unit) { Some(Fate::NoSpace) } else { kept.next() };
    committed.fates = batch.units.iter().filter_map(fate).collect();
    (committed, error)
}

fn takes_space(unit: &Unit) -> bool {
    unit.changes.iter().any(|c| matches!(c.kind, ChangeKind::Insert(_) | ChangeKind::Revive(..)))
}

fn unsent(batch: &Batch, error: StoreError) -> (Committed, Option<StoreError>) {
    let fates = batch.units.iter().map(|_| Fate::Unsent).collect();
    (Committed { fates, ..Committed::default() }, Some(error))
}

fn without_units(batch: &Batch) -> Batch {
    let Batch { seq, now, ids_wanted, .. } = *batch;
    let (claims, fetch) = (batch.claims.clone(), batch.fetch.clone());
    let (beats, expired) = (batch.beats.clone(), batch.expired);
    Batch { seq, now, units: Vec::new(), claims, fetch, beats, expired, ids_wanted }
}
