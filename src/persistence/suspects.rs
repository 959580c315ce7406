//! Suspects: tasks that were held when a node crashed, and the order they start in.
//!
//! Each starts only after its start is on record. Ordinary suspects start side by side, a bounded
//! number at a time, since all of them are suspected more if the node crashes again. Loners come
//! after them, one at a time, so that a crash then has only one culprit.

use std::collections::{HashSet, VecDeque};

use crate::domain::{Band, BandMap, Suspicion, TaskId};

/// How many ordinary suspects may be between their durable start and their end.
const TOGETHER_MAX: usize = 256;

/// The waiting and the running suspects.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    waiting: BandMap<VecDeque<TaskId>>,
    loners: VecDeque<TaskId>,
    running: HashSet<TaskId>,
    alone: bool,
}

impl Suspects {
    /// A suspect that could start now waits for its turn.
    pub fn enqueue(&mut self, id: TaskId, band: Band, suspicion: Suspicion) {
        match suspicion {
            Suspicion::Loner { .. } => self.loners.push_back(id),
            _ => self.waiting[band].push_back(id),
        }
    }

    /// The next that may start, now counted as running.
    pub fn next(&mut self) -> Option<TaskId> {
        if self.alone || self.running.len() >= TOGETHER_MAX {
            return None;
        }
        for band in Band::ALL {
            while let Some(id) = self.waiting[band].pop_front() {
                // A task that was paused and resumed meanwhile can stand here twice.
                if self.running.insert(id) {
                    return Some(id);
                }
            }
        }
        if !self.running.is_empty() {
            return None;
        }
        let id = self.loners.pop_front()?;
        self.alone = true;
        self.running.insert(id);
        Some(id)
    }

    /// One cannot start yet after all: it stays the next.
    pub fn put_back(&mut self, id: TaskId, band: Band, suspicion: Suspicion) {
        self.leave(id);
        match suspicion {
            Suspicion::Loner { .. } => self.loners.push_front(id),
            _ => self.waiting[band].push_front(id),
        }
    }

    /// One has ended, or will not run after all.
    pub fn leave(&mut self, id: TaskId) {
        if self.running.remove(&id) && self.running.is_empty() {
            self.alone = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> TaskId {
        TaskId::new(n).unwrap()
    }

    #[test]
    fn loners_wait_for_all_others_and_run_one_by_one() {
        let mut suspects = Suspects::default();
        suspects.enqueue(id(1), Band::Medium, Suspicion::Loner { started: false, crashes: 0 });
        suspects.enqueue(id(2), Band::Medium, Suspicion::Suspect { started: false });
        suspects.enqueue(id(3), Band::Medium, Suspicion::Loner { started: false, crashes: 2 });
        assert_eq!((suspects.next(), suspects.next()), (Some(id(2)), None));
        suspects.leave(id(2));
        assert_eq!((suspects.next(), suspects.next()), (Some(id(1)), None));
        suspects.enqueue(id(4), Band::Medium, Suspicion::Suspect { started: false });
        assert_eq!(suspects.next(), None);
        suspects.leave(id(1));
        assert_eq!(suspects.next(), Some(id(4)));
        suspects.leave(id(4));
        assert_eq!(suspects.next(), Some(id(3)));
    }
}
