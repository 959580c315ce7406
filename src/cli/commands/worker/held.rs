//! The leases a worker has, and what it has heard about each.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::link::Beaten;
use crate::execution::Alarm;

/// What was heard about a lease; a later word of this list goes over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Nothing that matters.
    GoOn,
    /// The worker ends, and what is not done goes back.
    GiveBack,
    /// Somebody wants the task to end.
    Cancel,
    /// The lease is over: the task is somebody else's.
    Lost,
}

/// One lease.
pub struct Lease {
    /// What the server knows it by.
    pub token: String,
    word: AtomicU8,
    alarm: Alarm,
}

/// The leases, by their tokens.
#[derive(Default)]
pub struct Held {
    leases: Mutex<HashMap<String, Arc<Lease>>>,
    changed: Condvar,
    giving_back: AtomicBool,
}

const GO_ON: u8 = 0;
const GIVE_BACK: u8 = 1;
const CANCEL: u8 = 2;
const LOST: u8 = 3;

impl Lease {
    /// What was heard last.
    pub fn word(&self) -> Word {
        match self.word.load(Ordering::Relaxed) {
            GO_ON => Word::GoOn,
            GIVE_BACK => Word::GiveBack,
            CANCEL => Word::Cancel,
            _ => Word::Lost,
        }
    }

    /// Becomes readable when the word is no longer to go on.
    pub fn alarm(&self) -> BorrowedFd<'_> {
        self.alarm.as_fd()
    }

    fn hear(&self, word: u8) {
        // Max: what is lost stays lost. Relaxed: it orders nothing else; the alarm is a system
        // call on the same descriptor, after it.
        self.word.fetch_max(word, Ordering::Relaxed);
        self.alarm.ring();
    }
}

impl Held {
    /// A lease was granted.
    pub fn take(&self, token: &str) -> io::Result<Arc<Lease>> {
        let lease = Lease { token: token.into(), word: AtomicU8::new(GO_ON), alarm: Alarm::new()? };
        let lease = Arc::new(lease);
        self.leases().insert(token.to_owned(), Arc::clone(&lease));
        // After the lease can be found, so that one of the two sees the other.
        if self.giving_back.load(Ordering::SeqCst) {
            lease.hear(GIVE_BACK);
        }
        Ok(lease)
    }

    /// A lease has been reported, or is lost.
    pub fn leave(&self, token: &str) {
        self.leases().remove(token);
        self.changed.notify_all();
    }

    /// What is not done is to go back, now and from now on.
    pub fn give_back(&self) {
        self.giving_back.store(true, Ordering::SeqCst);
        self.leases().values().for_each(|lease| lease.hear(GIVE_BACK));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leases().is_empty()
    }

    /// Waits until a lease is left, at most this long.
    pub fn wait_for_change(&self, at_most: Duration) {
        let leases = self.leases();
        if !leases.is_empty() {
            // Whoever waits looks again, whatever this says.
            let _ = self.changed.wait_timeout(leases, at_most);
        }
    }

    /// All tokens.
    pub fn tokens(&self) -> Vec<String> {
        self.leases().keys().cloned().collect()
    }

    /// What a heartbeat was answered.
    pub fn heard(&self, beaten: &Beaten) {
        let word = match (beaten.lost, beaten.cancel_requested) {
            (true, _) => LOST,
            (false, true) => CANCEL,
            (false, false) => return,
        };
        if let Some(lease) = self.leases().get(&beaten.token) {
            lease.hear(word);
        }
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<String, Arc<Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_stays_lost_and_the_end_of_the_worker_reaches_later_leases() {
        let held = Held::default();
        let first = held.take("a").unwrap();
        let beaten = |lost, cancel_requested| Beaten { token: "a".into(), lost, cancel_requested };
        held.heard(&beaten(false, false));
        assert_eq!(first.word(), Word::GoOn);
        held.heard(&beaten(true, false));
        held.heard(&beaten(false, true));
        held.give_back();
        assert_eq!(first.word(), Word::Lost);
        assert_eq!(held.take("b").unwrap().word(), Word::GiveBack);
        held.leave("a");
        held.leave("b");
        assert!(held.is_empty());
    }
}
