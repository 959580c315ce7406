//! Atomics and parking, real or modelled.
//!
//! Under `cfg(modelled)` the queue's own files are compiled against loom's types, so the model
//! checker explores the product's code and not a copy of it. Nothing else in the crate does this.

#[cfg(not(modelled))]
pub(super) use crossbeam_utils::sync::{Parker, Unparker};
#[cfg(not(modelled))]
pub(super) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

#[cfg(modelled)]
pub(super) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
#[cfg(modelled)]
pub(super) use modelled::{Parker, Unparker};

/// Crossbeam's parker as loom can see it: one token, and a wait for it that has no time limit.
#[cfg(modelled)]
mod modelled {
    use std::time::Duration;

    use loom::sync::{Arc, Condvar, Mutex};

    #[derive(Default)]
    struct Token {
        is_there: Mutex<bool>,
        came: Condvar,
    }

    #[derive(Default)]
    pub struct Parker(Arc<Token>);

    #[derive(Clone)]
    pub struct Unparker(Arc<Token>);

    impl Parker {
        pub fn new() -> Parker {
            Parker::default()
        }

        pub fn unparker(&self) -> Unparker {
            Unparker(Arc::clone(&self.0))
        }

        pub fn park(&self) {
            let mut is_there = self.0.is_there.lock().unwrap();
            while !*is_there {
                is_there = self.0.came.wait(is_there).unwrap();
            }
            *is_there = false;
        }

        pub fn park_timeout(&self, _: Duration) {
            self.park();
        }
    }

    impl Unparker {
        pub fn unpark(&self) {
            *self.0.is_there.lock().unwrap() = true;
            self.0.came.notify_one();
        }
    }
}
