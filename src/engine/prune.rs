//! Deleting ended tasks: by age, and because somebody asked.
//!
//! It goes in slices between the batches, so it never delays a submit by more than one slice.

use crossbeam_channel::{Sender, bounded};

use crate::domain::{StatusKind, TimeMs};
use crate::persistence::{Chore, Refusal};
use crate::store::PruneAsk;

/// How long ended tasks are kept, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Completed tasks.
    pub completed_ms: u64,
    /// Failed tasks.
    pub failed_ms: u64,
    /// Cancelled tasks.
    pub cancelled_ms: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        const DAY: u64 = 86_400_000;
        Retention { completed_ms: 7 * DAY, failed_ms: 30 * DAY, cancelled_ms: 7 * DAY }
    }
}

/// Most tasks deleted in one transaction.
pub const SLICE: u32 = 2000;

/// Deletes all that `ask` names, slice by slice, and says how many. Waits for the store.
pub fn prune_all(chores: &Sender<Chore>, ask: &PruneAsk) -> Result<u64, Refusal> {
    let mut deleted = 0;
    loop {
        let slice = PruneAsk { limit: SLICE, ..ask.clone() };
        let now = prune_slice(chores, slice)?;
        deleted += now;
        if now < u64::from(SLICE) {
            return Ok(deleted);
        }
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
