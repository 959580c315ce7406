//! The watch: looks at the board now and then and says who has run for how long.
//!
//! It decides and does nothing: a task that runs longer than a moment is to be shown as running;
//! one that ignores its deadline is to be given up, so that its CPU comes free.

use std::time::Duration;

use crate::clock::Mono;
use crate::queue::{Board, RunNumber, Running};

/// What the watch has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Has been running for a while; said once for each run.
    Began(Running),
    /// Has not stopped although its time is long up.
    Overdue(Running),
}

/// Remembers what was already said.
#[derive(Debug)]
pub(super) struct Watch {
    said: Vec<Option<RunNumber>>,
}

impl Watch {
    /// From here on a run is worth telling.
    pub const MOMENT: Duration = Duration::from_millis(50);
    /// So long after its deadline a run is given up.
    pub const GRACE: Duration = Duration::from_secs(5);

    pub fn new(seats: usize) -> Watch {
        Watch { said: vec![None; seats] }
    }

    /// Looks once.
    pub fn look(&mut self, board: &Board, now: Mono) -> Vec<Found> {
        let mut found = Vec::new();
        for running in board.running() {
            let said = &mut self.said[running.seat];
            if now.since(running.since.mono) >= Watch::MOMENT && *said != Some(running.run) {
                *said = Some(running.run);
                found.push(Found::Began(running));
            }
            if running.deadline.is_some_and(|deadline| now > deadline.plus(Watch::GRACE)) {
                found.push(Found::Overdue(running));
            }
        }
        found
    }
}
