//! How other threads reach the gate: the wish that it ends, and the ring that wakes it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mio::Waker;

/// The wish that the gate ends, made by another thread.
pub(super) struct Ending {
    pub(super) waker: Waker,
    /// Microseconds given to requests in flight; [`NOT_ASKED`] until somebody asks.
    pub(super) budget_us: AtomicU64,
}

pub(super) const NOT_ASKED: u64 = u64::MAX;

impl Ending {
    /// Asks, leaving requests in flight `budget` to finish.
    pub(super) fn ask(&self, budget: Duration) -> io::Result<()> {
        let budget_us = u64::try_from(budget.as_micros()).unwrap_or(NOT_ASKED).min(NOT_ASKED - 1);
        // Release, paired with the Acquire in `asked`; the waker's system call orders it anyway.
        self.budget_us.store(budget_us, Ordering::Release);
        self.waker.wake()
    }

    /// Makes the loop look around.
    pub(super) fn ring(&self) {
        // Refused: the loop looks around by itself a few times a second.
        let _ = self.waker.wake();
    }

    pub(super) fn asked(&self) -> Option<Duration> {
        let budget_us = self.budget_us.load(Ordering::Acquire);
        (budget_us != NOT_ASKED).then_some(Duration::from_micros(budget_us))
    }
}
