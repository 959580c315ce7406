//! The due heap: what is to happen at a time, earliest first.
//!
//! Owned by one thread. An entry is never taken out before its time: whoever sets a timer anew
//! gives it another generation, and passes over entries of an older one when they come up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::domain::{TaskId, TimeMs};

/// Timers of tasks.
#[derive(Debug, Default)]
pub struct DueHeap {
    // The sequence number keeps timers of one moment in the order they were set.
    heap: BinaryHeap<Reverse<(TimeMs, u64, TaskId, u32)>>,
    seq: u64,
}

impl DueHeap {
    /// No timers.
    pub fn new() -> DueHeap {
        DueHeap::default()
    }

    /// Sets a timer.
    pub fn push(&mut self, due: TimeMs, id: TaskId, generation: u32) {
        self.seq += 1;
        self.heap.push(Reverse((due, self.seq, id, generation)));
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<TimeMs> {
        self.heap.peek().map(|Reverse((due, ..))| *due)
    }

    /// The next timer that is due by `now`: its task and generation.
    pub fn pop_due(&mut self, now: TimeMs) -> Option<(TaskId, u32)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, id, generation))| (id, generation))
    }

    /// How many timers there are, with those that are no longer meant.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Drops the timers that are no longer meant. Worth its time when there are many more timers
    /// than tasks.
    pub fn retain(&mut self, mut is_meant: impl FnMut(TaskId, u32) -> bool) {
        self.heap.retain(|Reverse((_, _, id, generation))| is_meant(*id, *generation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> TaskId {
        TaskId::new(n).unwrap()
    }

    #[test]
    fn timers_come_in_order_of_time_then_of_setting_and_never_early() {
        let mut due = DueHeap::new();
        due.push(TimeMs(20), id(3), 0);
        due.push(TimeMs(10), id(2), 0);
        due.push(TimeMs(10), id(1), 7);
        assert_eq!(due.pop_due(TimeMs(9)), None);
        assert_eq!(due.pop_due(TimeMs(10)), Some((id(2), 0)));
        assert_eq!(due.pop_due(TimeMs(15)), Some((id(1), 7)));
        assert_eq!(due.pop_due(TimeMs(19)), None);
        assert_eq!((due.next(), due.len()), (Some(TimeMs(20)), 1));
    }

    #[test]
    fn timers_set_anew_do_not_pile_up() {
        let mut due = DueHeap::new();
        (0..100).for_each(|generation| due.push(TimeMs(50), id(1), generation));
        due.retain(|_, generation| generation == 99);
        assert_eq!(due.pop_due(TimeMs(50)), Some((id(1), 99)));
        assert!(due.is_empty());
    }
}
