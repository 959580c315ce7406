//! The end: everything that runs may finish, everything that is known is stored, and what is held
//! is given back, all within one budget.

use std::sync::PoisonError;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::Engine;
use crate::persistence::Chore;

/// How a drain went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// All that ran has ended or was given back, and all of it is stored.
    Clean,
    /// This was left; the next start treats what was held as after a crash.
    Left(String),
}

impl Engine {
    /// What of the budget is kept for stopping handlers and the last batch.
    const TAIL: Duration = Duration::from_secs(2);

    /// From now on nothing new is accepted and readiness is off.
    pub fn refuse_requests(&self) {
        self.views.refuse_requests();
    }

    /// Ends everything within about `budget`. A second call does nothing.
    pub fn drain(&self, budget: Duration) -> Drained {
        self.refuse_requests();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return Drained::Clean };
        let from = self.clock.mono();
        let patience = budget.saturating_sub(Self::TAIL);
        let threads = running.runners.stop(patience, Self::TAIL / 2);
        // Tasks that only wait need no thread, but they too may finish.
        let left = patience.saturating_sub(self.clock.mono().since(from));
        self.await_sleepers(left);
        self.views.close();
        running.bell.ring();
        let over = running.writer_over.recv_timeout(Self::TAIL);
        let ended = over == Err(RecvTimeoutError::Disconnected);
        drop(running.housekeeping);
        if !ended {
            return Drained::Left("the store did not take the last batch in time".into());
        }
        if threads > 0 {
            // The process ends next, and them with it; nobody else has the store before.
            log::warn!("{threads} handlers did not stop in time; their tasks are given back");
        }
        self.give_back()
    }

    /// Waits until no task is in the middle of a sleep, at most this long.
    fn await_sleepers(&self, at_most: Duration) {
        let (_keep, never) = bounded::<()>(0);
        let from = self.clock.mono();
        // The last look may be from before the cores' last reports; the next but one is not.
        let fresh = self.views.view().number + 2;
        while self.clock.mono().since(from) < at_most {
            let view = self.views.view();
            if view.number >= fresh && view.sleeping == 0 {
                return;
            }
            let _ = never.recv_timeout(Duration::from_millis(10));
        }
    }

    /// Marks what is held as given back, so that the next start suspects nobody.
    fn give_back(&self) -> Drained {
        let (answer, answered) = bounded(1);
        let sent = self.chores.send_timeout(Chore::Release(answer), Self::TAIL);
        match sent.ok().and_then(|()| answered.recv_timeout(Self::TAIL).ok()) {
            Some(Ok(())) => Drained::Clean,
            Some(Err(error)) => Drained::Left(format!("failed to {error}")),
            None => Drained::Left("the store did not answer in time".into()),
        }
    }
}
