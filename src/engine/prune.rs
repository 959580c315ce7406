//! Deleting ended tasks: by age, and because somebody asked.
//!
//! It goes in slices between the batches, so it never delays a submit by more than one slice.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::domain::{StatusKind, TimeMs};
use crate::persistence::{Chore, Refusal};
use crate::store::PruneAsk;

/// How long ended tasks are kept, in milliseconds, and how much of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Completed tasks.
    pub completed_ms: u64,
    /// Failed tasks.
    pub failed_ms: u64,
    /// Cancelled tasks.
    pub cancelled_ms: u64,
    /// Bytes in use beyond which the oldest go earlier; `None` for no bound.
    pub bytes_max: Option<u64>,
}

impl Default for Retention {
    fn default() -> Retention {
        const DAY: u64 = 86_400_000;
        Retention {
            completed_ms: 7 * DAY,
            failed_ms: 30 * DAY,
            cancelled_ms: 7 * DAY,
            bytes_max: None,
        }
    }
}

/// Most tasks deleted in one transaction.
pub const SLICE: u32 = 2000;

/// Where the answer to a prune goes.
pub type Pruned = Box<dyn FnOnce(Result<u64, Refusal>) + Send>;

/// Where deletions are asked for; a thread of its own does them one after the other.
#[derive(Clone)]
pub struct Pruner(Sender<(PruneAsk, Pruned)>);

impl Pruner {
    /// How many deletions may wait.
    const WAITING_MAX: usize = 16;

    /// The asking end, and the end of the thread that runs [`prune_all`].
    pub fn new() -> (Pruner, Receiver<(PruneAsk, Pruned)>) {
        let (ask, asked) = bounded(Self::WAITING_MAX);
        (Pruner(ask), asked)
    }

    /// Asks for all that `ask` names to be deleted; `pruned` learns how many it was.
    pub fn ask(&self, ask: PruneAsk, pruned: Pruned) {
        if let Err(refused) = self.0.try_send((ask, pruned)) {
            let (_, pruned) = refused.into_inner();
            pruned(Err(Refusal::Busy));
        }
    }
}

/// The body of the thread that deletes: slice by slice, until nobody can ask any more.
pub fn prune_all(asked: &Receiver<(PruneAsk, Pruned)>, chores: &Sender<Chore>) {
    for (ask, pruned) in asked {
        let mut deleted = 0;
        let answer = loop {
            match prune_slice(chores, PruneAsk { limit: SLICE, ..ask.clone() }) {
                Ok(now) if now < u64::from(SLICE) => break Ok(deleted + now),
                Ok(now) => deleted += now,
                Err(refusal) => break Err(refusal),
            }
        };
        pruned(answer);
    }
}

/// Deletes one slice.
pub fn prune_slice(chores: &Sender<Chore>, ask: PruneAsk) -> Result<u64, Refusal> {
    let (answer, answered) = bounded(1);
    chores.send(Chore::Prune(ask, answer)).map_err(|_| Refusal::Stopping)?;
    match answered.recv() {
        Ok(Ok(deleted)) => Ok(deleted),
        Ok(Err(error)) => {
            log::warn!("failed to {error}; nothing was deleted by this slice");
            Err(Refusal::StoreDown)
        }
        Err(_) => Err(Refusal::Stopping),
    }
}

/// What is too old at `now`.
pub fn overdue(retention: &Retention, now: TimeMs) -> [PruneAsk; 3] {
    let ask = |status, kept_ms: u64| PruneAsk {
        statuses: vec![status],
        ended_before: TimeMs(now.0.saturating_sub(kept_ms as i64)),
        limit: SLICE,
    };
    [
        ask(StatusKind::Completed, retention.completed_ms),
        ask(StatusKind::Failed, retention.failed_ms),
        ask(StatusKind::Cancelled, retention.cancelled_ms),
    ]
}

/// The oldest of all ended tasks, however young.
pub fn oldest(now: TimeMs) -> PruneAsk {
    let statuses = vec![StatusKind::Completed, StatusKind::Cancelled, StatusKind::Failed];
    PruneAsk { statuses, ended_before: now, limit: SLICE }
}
