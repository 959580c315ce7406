//! An alarm: wakes a thread out of whatever it waits for, be it a process or a connection.
//!
//! It is a descriptor, so that a thread can wait for it and for others at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// Something to wait for beside other descriptors.
#[derive(Debug)]
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    /// A silent one.
    pub fn new() -> io::Result<Alarm> {
        Ok(Alarm(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Makes the descriptor readable until somebody silences it.
    pub fn ring(&self) {
        // It fails only when it has rung for an age without being heard, and then it still rings.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Stops the ringing.
    pub fn silence(&self) {
        // In vain if it does not ring.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
