//! What the second level was asked and gave, since the start.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$about:meta])+ $name:ident)+) => {
        /// Counters that rise; none is on the way of a task.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub $name: Count,)+
        }

        /// What the counters said at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counted {
            $($(#[$about])+ pub $name: u64,)+
        }

        impl Counters {
            pub fn read(&self) -> Counted {
                Counted { $($name: self.$name.read(),)+ }
            }
        }
    };
}

counters! {
    /// Documents put into Redis.
    documents_put
    /// Documents not put there, because more ended than is kept up with.
    documents_skipped
    /// Answers of Redis that made no sense.
    odd_answers
    /// Exchanges that failed.
    failures
    /// Ids of free tasks put into Redis.
    hints_put
    /// Ids of free tasks taken from Redis.
    hints_taken
    /// Tasks that were claimed by such an id.
    hints_claimed
    /// Notices sent to other nodes.
    notices_sent
    /// Notices of other nodes heard.
    notices_heard
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

// Relaxed: each stands alone, nothing is published through it.
impl Count {
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
