//! The line in which whole requests wait for a backend connection.

use std::collections::VecDeque;

use super::class::Class;
use super::slab::Key;

/// Whole requests waiting for a backend connection, by class, in the order they came. A place names
/// the client and the turn it was taken in, so one left behind by a client that was answered
/// otherwise is recognised.
#[derive(Default)]
pub(super) struct Line {
    health: VecDeque<(Key, u64)>,
    report: VecDeque<(Key, u64)>,
    ordinary: VecDeque<(Key, u64)>,
}

impl Line {
    pub(super) fn of(&mut self, class: Class) -> &mut VecDeque<(Key, u64)> {
        match class {
            Class::Health => &mut self.health,
            Class::Report => &mut self.report,
            Class::Ordinary => &mut self.ordinary,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.health.is_empty() && self.report.is_empty() && self.ordinary.is_empty()
    }
}
