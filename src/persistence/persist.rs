//! The persist thread: commits one batch at a time and mails back how it fared.
//!
//! It owns the store's writing side, so nothing else ever writes. A unit the store cannot hold is
//! found by halves, in order, so its neighbours are stored; a full disk refuses what takes space
//! and stores the rest. A batch whose commit gave no answer is in doubt: it goes back as it is, and
//! when it comes again the store first says what became of it. Everything else that goes wrong goes
//! back to the writer, who has the time and the memory to try again.
//!
//! Absent on purpose: decisions about tasks, retries, and clocks.

use crossbeam_channel::{Receiver, Sender, never, select_biased};

use super::bell::Bell;
use super::line::{Job, LineEnd, Sending};
use crate::domain::{ChangeKind, TaskId, TimeMs};
use crate::store::{Batch, Committed, Cure, Fate, PruneAsk, Store, StoreError, Unit};

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
    /// The number of the line it came through.
    pub line: u64,
    /// What became of it; units that an error kept from the store are [`Fate::Unsent`].
    pub committed: Committed,
    /// What kept them from it.
    pub error: Option<StoreError>,
    /// What of the batch may be stored or not: its units are [`Fate::InDoubt`].
    pub doubt: Option<Doubt>,
    /// All rows this node holds, where they were asked for.
    pub owned: Option<Vec<TaskId>>,
}

/// What of a batch is in doubt.
#[derive(Debug)]
pub enum Doubt {
    /// All of it.
    Whole,
    /// This part, which is to be sent again as it is.
    Part(Batch),
}

/// The thread's body.
pub struct Persist {
    store: Box<dyn Store>,
    line: LineEnd,
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
    /// A body that commits to `store` what comes through `line`.
    pub fn new(
        store: Box<dyn Store>,
        line: LineEnd,
        chores: Receiver<Chore>,
        settled: Sender<Settled>,
        bell: Bell,
    ) -> Persist {
        Persist { store, line, chores, settled, bell }
    }

    /// Does one thing, if there is something to do. Batches come before chores.
    pub fn step(&mut self) -> PersistStep {
        if self.line.cut.asked() {
            return PersistStep::Over;
        }
        if let Ok(job) = self.line.jobs.try_recv() {
            return self.commit(job);
        }
        match self.chores.try_recv() {
            Ok(chore) => self.chore(chore),
            Err(_) => PersistStep::Idle,
        }
    }

    /// Waits for one thing to do and does it.
    pub fn wait(&mut self) -> PersistStep {
        let step = select_biased! {
            recv(self.line.jobs) -> job => if let Ok(job) = job {
                Ok(job)
            } else {
                // The writer has ended; what it held is still to be given back.
                self.line.jobs = never();
                return PersistStep::Idle;
            },
            recv(self.chores) -> chore => match chore {
                Ok(chore) => Err(chore),
                Err(_) => return PersistStep::Over,
            },
        };
        if self.line.cut.asked() {
            return PersistStep::Over;
        }
        match step {
            Ok(job) => self.commit(job),
            Err(chore) => self.chore(chore),
        }
    }

    fn commit(&mut self, Job { batch, sending, owned }: Job) -> PersistStep {
        let mut transfer = Transfer { store: &mut *self.store, seq: batch.seq, doubt: None };
        let (committed, error) = match sending {
            Sending::First => transfer.commit(&batch),
            Sending::Again => transfer.commit_again(&batch),
        };
        let doubt = transfer.doubt.map(|part| match part {
            part if part.seq == batch.seq => Doubt::Whole,
            part => Doubt::Part(part),
        });
        let (owned, error) = match error {
            None if owned => {
                self.store.owned().map_or_else(|e| (None, Some(e)), |ids| (Some(ids), None))
            }
            error => (None, error),
        };
        let line = self.line.number;
        // The writer takes the batch apart, which costs nothing once nobody else holds it.
        drop(batch);
        let settled = Settled { line, committed, error, doubt, owned };
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

/// The way of one batch into the store, in parts where that mends what can be mended.
struct Transfer<'a> {
    store: &'a mut dyn Store,
    /// The number of the last transaction.
    seq: u64,
    /// The part whose outcome is not known. Nothing is sent after it.
    doubt: Option<Batch>,
}

type Outcome = (Committed, Option<StoreError>);

impl Transfer<'_> {
    fn commit(&mut self, batch: &Batch) -> Outcome {
        let error = match self.store.commit(batch) {
            Ok(committed) => return (committed, None),
            Err(error) => error,
        };
        match error.cure() {
            Cure::BisectBatch if !batch.units.is_empty() => self.bisect(batch, &error),
            Cure::RefuseInserts => self.refuse_inserts(batch, error),
            Cure::SettleBatch => self.in_doubt(batch, error),
            // Where only this writing side is refused, because another one replaces it, that finds
            // out what became of the batch.
            Cure::StopServer if matches!(error, StoreError::Fenced(_)) => {
                self.in_doubt(batch, error)
            }
            Cure::BisectBatch | Cure::RetryBatch | Cure::StopServer => unsent(batch, error),
        }
    }

    /// A batch that was sent before and not answered.
    fn commit_again(&mut self, batch: &Batch) -> Outcome {
        match self.store.settle(batch) {
            Ok(Some(committed)) => (committed, None),
            Ok(None) => self.commit(batch),
            // Whatever it is, what became of the batch is still not known.
            Err(error) => self.in_doubt(batch, error),
        }
    }

    fn in_doubt(&mut self, batch: &Batch, error: StoreError) -> Outcome {
        self.doubt = Some(batch.clone());
        let fates = batch.units.iter().map(|_| Fate::InDoubt).collect();
        (Committed { fates, ..Committed::default() }, Some(error))
    }

    /// A part of the batch, as a transaction of its own.
    fn part(&mut self, of: &Batch, units: Vec<Unit>) -> Batch {
        self.seq += 1;
        Batch { seq: self.seq, now: of.now, units, ..Batch::default() }
    }

    /// The last part of the batch, with what else the batch asks for.
    fn last_part(&mut self, of: &Batch, units: Vec<Unit>) -> Batch {
        let (claims, fetch, ids_wanted) = (of.claims.clone(), of.fetch.clone(), of.ids_wanted);
        let (beats, expired) = (of.beats.clone(), of.expired);
        Batch { claims, fetch, beats, expired, ids_wanted, ..self.part(of, units) }
    }

    /// The batch in two halves, each a transaction of its own, in order. What else the batch asks
    /// for comes with the last half.
    fn bisect(&mut self, batch: &Batch, error: &StoreError) -> Outcome {
        let units = &batch.units;
        if units.len() < 2 {
            let rest = self.last_part(batch, Vec::new());
            let (mut committed, later) = self.commit(&rest);
            committed.fates = units.iter().map(|_| Fate::Bad(error.to_string())).collect();
            return (committed, later);
        }
        let (first, second) = units.split_at(units.len() / 2);
        let first = self.part(batch, first.to_vec());
        let (Committed { mut fates, .. }, stopped) = self.commit(&first);
        let second = self.last_part(batch, second.to_vec());
        let (mut committed, error) = match stopped {
            None => self.commit(&second),
            Some(error) => unsent(&second, error),
        };
        fates.append(&mut committed.fates);
        committed.fates = fates;
        (committed, error)
    }

    /// The batch without its inserts, whose fate is [`Fate::NoSpace`].
    fn refuse_inserts(&mut self, batch: &Batch, error: StoreError) -> Outcome {
        let units = batch.units.iter().filter(|unit| !takes_space(unit)).cloned();
        let units = units.collect::<Vec<_>>();
        if units.len() == batch.units.len() {
            return unsent(batch, error);
        }
        let rest = self.last_part(batch, units);
        let (mut committed, error) = self.commit(&rest);
        let mut kept = std::mem::take(&mut committed.fates).into_iter();
        let fate = |unit| if takes_space(unit) { Some(Fate::NoSpace) } else { kept.next() };
        committed.fates = batch.units.iter().filter_map(fate).collect();
        (committed, error)
    }
}

fn takes_space(unit: &Unit) -> bool {
    unit.changes.iter().any(|c| matches!(c.kind, ChangeKind::Insert(_) | ChangeKind::Revive(..)))
}

fn unsent(batch: &Batch, error: StoreError) -> Outcome {
    let fates = batch.units.iter().map(|_| Fate::Unsent).collect();
    (Committed { fates, ..Committed::default() }, Some(error))
}
