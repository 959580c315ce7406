//! A ticket: one task's place in the lanes.

use super::sync::{AtomicU8, Ordering};
use crate::domain::{Band, Epoch, TaskId, TimeMs};

const READY: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// One task's place in the lanes. It leaves the state *ready* exactly once: a core takes it, or the
/// writer withdraws it, and the two can race.
#[derive(Debug)]
pub struct Ticket<W> {
    /// The task.
    pub id: TaskId,
    /// The claim it stands for.
    pub epoch: Epoch,
    /// Its band.
    pub band: Band,
    /// Since when the task could start.
    pub ready_at: TimeMs,
    /// What the taker needs; the queue does not look at it.
    pub work: W,
    state: AtomicU8,
}

impl<W> Ticket<W> {
    /// A ready ticket.
    pub fn new(id: TaskId, epoch: Epoch, band: Band, ready_at: TimeMs, work: W) -> Ticket<W> {
        Ticket { id, epoch, band, ready_at, work, state: AtomicU8::new(READY) }
    }

    /// Takes it for starting. `false`: it was withdrawn (or taken) first, drop it.
    pub fn take(&self) -> bool {
        self.leave_ready(TAKEN)
    }

    /// Takes it back before it starts. `false`: it was taken first, the task runs.
    pub fn withdraw(&self) -> bool {
        self.leave_ready(WITHDRAWN)
    }

    /// Whether a core has taken it.
    pub fn is_taken(&self) -> bool {
        self.state.load(Ordering::Acquire) == TAKEN
    }

    /// Whether it was taken back before it started.
    pub fn is_withdrawn(&self) -> bool {
        self.state.load(Ordering::Acquire) == WITHDRAWN
    }

    fn leave_ready(&self, to: u8) -> bool {
        // AcqRel: the winner sees all that was written before the ticket was pushed, and whoever
        // reads the new state sees all that the winner did before.
        self.state.compare_exchange(READY, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
