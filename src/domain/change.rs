//! A change of one task, as it is decided in memory and written to a store.

use super::{Epoch, StatusKind, Task};

/// One task's next state, and what must still be true of the old one for it to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The task after the change.
    pub task: Task,
    /// What happens to its row.
    pub kind: ChangeKind,
}

/// What happens to a task's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A new live row.
    Insert(Holding),
    /// The changing part of a live row is rewritten.
    Update(Before, Holding),
    /// The task has ended: its live row goes, a history row comes.
    Finish(Before),
    /// A person retries an ended task: its history row goes, a live row comes.
    Revive(Before, Holding),
}

/// What the row must still say; otherwise the change is stale and nothing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// The status last written (counters move from it).
    pub status: StatusKind,
    /// The epoch last written.
    pub epoch: Epoch,
}

/// Whether a node holds a live row in memory or leaves it to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// This node holds it.
    Held,
    /// Nobody does. It can be claimed once it is due, unless it is paused.
    Free,
}
