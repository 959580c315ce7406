//! One flag that asks every thread to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A shared wish to stop; once made it is never taken back.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Nobody has asked to stop yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks everyone who holds a clone to stop. Waking a sleeper is the caller's business.
    pub fn ask(&self) {
        // Release, paired with the Acquire in `asked`: who sees the wish also sees what led to it.
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody has asked to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
