//! How many threads serve the pool.
//!
//! One thread always waits for the next ticket, as long as there may be more threads: whoever takes
//! a ticket and leaves nobody behind starts another. So nobody has to watch for work that finds no
//! thread. A thread beyond those that are kept leaves when it has waited for long, but for the last
//! one that waits.

use std::time::Duration;

/// How many threads there may be.
#[derive(Debug, Clone, Copy)]
pub struct CrewSizes {
    /// So many are kept once they were needed.
    pub threads_kept: usize,
    /// There are never more.
    pub threads_max: usize,
    /// How long one beyond those kept waits for work before it ends.
    pub keep_alive: Duration,
}

/// What the threads do, as others may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrewLook {
    /// Threads that serve.
    pub threads: usize,
    /// There are never more.
    pub threads_max: usize,
    /// Of these, so many run a task.
    pub running: usize,
    /// Threads that are stuck in runs that were given up.
    pub stuck: usize,
}

pub(super) struct Crew {
    pub sizes: CrewSizes,
    pub threads: usize,
    pub idle: usize,
    pub stuck: usize,
}

impl Crew {
    pub fn new(sizes: CrewSizes) -> Crew {
        let threads_max = sizes.threads_max.max(1);
        let sizes = CrewSizes { threads_max, ..sizes };
        Crew { sizes, threads: 0, idle: 0, stuck: 0 }
    }

    /// Whether another thread is to be started; it counts from now on.
    pub fn hire(&mut self) -> bool {
        let hires = self.idle == 0 && self.threads < self.sizes.threads_max;
        self.threads += usize::from(hires);
        hires
    }

    /// How long a thread that has waited for so long may wait on; `None`: it is to leave.
    pub fn patience(&self, waited: Duration) -> Option<Duration> {
        let is_surplus = self.threads > self.sizes.threads_kept && self.idle > 0;
        match self.sizes.keep_alive.checked_sub(waited).filter(|left| !left.is_zero()) {
            Some(left) => Some(left),
            None if is_surplus => None,
            None => Some(self.sizes.keep_alive),
        }
    }

    pub fn look(&self, running: usize) -> CrewLook {
        let Crew { threads, stuck, .. } = *self;
        CrewLook { threads, threads_max: self.sizes.threads_max, running, stuck }
    }
}
