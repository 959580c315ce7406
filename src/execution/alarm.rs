//! An alarm: wakes a thread out of whatever it waits for, be it a process or a connection.
//!
//! It is a descriptor, so that a thread can wait for it and for others at once. What waits where no
//! descriptor helps leaves a word that ends the wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

type Word = Box<dyn Fn() + Send>;

/// Something to wait for beside other descriptors.
pub struct Alarm {
    fd: OwnedFd,
    word: Mutex<Option<Word>>,
}

/// As long as it lives, the alarm does what was asked of it when it rings.
pub(super) struct Waking<'a>(Option<&'a Alarm>);

impl Alarm {
    /// A silent one.
    pub fn new() -> io::Result<Alarm> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Alarm { fd, word: Mutex::new(None) })
    }

    /// Makes the descriptor readable until somebody silences it.
    pub fn ring(&self) {
        // It fails only when it has rung for an age without being heard, and then it still rings.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        if let Some(word) = &*self.word() {
            word();
        }
    }

    /// Stops the ringing.
    pub fn silence(&self) {
        // In vain if it does not ring.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }

    /// Calls `word` whenever it rings; that must not wait.
    pub(super) fn when_rung(&self, word: impl Fn() + Send + 'static) -> Waking<'_> {
        *self.word() = Some(Box::new(word));
        Waking(Some(self))
    }

    fn word(&self) -> MutexGuard<'_, Option<Word>> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waking<'_> {
    /// Nothing rings.
    pub fn never() -> Waking<'static> {
        Waking(None)
    }
}

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        if let Some(alarm) = self.0 {
            *alarm.word() = None;
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
