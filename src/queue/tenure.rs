//! Tenure: until when this node may start tasks.
//!
//! A node that shares its store holds its tasks only as long as the others believe it alive. It may
//! be stopped at any moment, for any time, and must start nothing when it goes on: so every take
//! looks at the clock, and not only whoever renews the lease.

use super::sync::{AtomicU64, Ordering};
use crate::clock::Mono;

/// Until when tickets may be taken.
pub struct Tenure(AtomicU64);

impl Tenure {
    /// A tenure without end.
    pub(super) fn for_ever() -> Tenure {
        Tenure(AtomicU64::new(u64::MAX))
    }

    /// From now on it ends then.
    pub fn set_end(&self, at: Mono) {
        // Relaxed: one number, and nothing is published with it.
        self.0.store(at.0, Ordering::Relaxed);
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: Mono) -> bool {
        now.0 >= self.0.load(Ordering::Relaxed)
    }
}
