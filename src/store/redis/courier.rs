//! What follows a commit in Redis: documents, hints and notices, brought there by a thread of its
//! own, so that no commit waits for it.
//!
//! The way to it is bounded and best effort: what does not fit is left out.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::hints::Hint;
use super::level2::Level2;
use super::notices::Notice;
use super::standing::Life;
use crate::domain::{Task, TimeMs};

/// What one commit left to be told.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// The life that was under way before the commit.
    pub life: Option<Life>,
    pub ended: Vec<Task>,
    pub free: Vec<Hint>,
    pub notices: Vec<Notice>,
    pub now: TimeMs,
}

/// Hands notices to the courier; whoever tells something does not wait for Redis.
pub struct Teller(Sender<Load>);

impl Teller {
    pub(super) fn new(courier: Sender<Load>) -> Teller {
        Teller(courier)
    }

    /// Tells all nodes, soon. What does not fit is not told: they look by themselves.
    pub fn tell(&self, notices: Vec<Notice>) {
        if !notices.is_empty() {
            let _ = self.0.try_send(Load { notices, ..Load::default() });
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CourierStep {
    /// Something was brought, or looked after.
    Ran,
    /// Nobody is left who could send something.
    Over,
}

/// The body of the thread.
pub struct Courier {
    level2: Arc<Level2>,
    loads: Receiver<Load>,
}

impl Courier {
    /// Most loads that wait.
    pub(super) const WAITING_MAX: usize = 256;
    /// Most loads that are brought together.
    const TOGETHER_MAX: usize = 32;
    /// How often the server is looked after when there is nothing to bring.
    const TEND: Duration = Duration::from_millis(100);
    /// Most documents in one exchange, so that none occupies the server for long.
    const DOCUMENTS_MAX: usize = 256;

    pub(super) fn new(level2: Arc<Level2>, loads: Receiver<Load>) -> Courier {
        Courier { level2, loads }
    }

    /// Waits a moment for something to bring, and brings it.
    pub fn step(&mut self) -> CourierStep {
        self.level2.tend();
        // Known before the next commit, or its documents could not be put.
        if self.level2.is_up() {
            let _ = self.level2.life();
        }
        let first = match self.loads.recv_timeout(Self::TEND) {
            Ok(load) => load,
            Err(RecvTimeoutError::Timeout) => return CourierStep::Ran,
            Err(RecvTimeoutError::Disconnected) => return CourierStep::Over,
        };
        let mut loads = vec![first];
        loads.extend(self.loads.try_iter().take(Self::TOGETHER_MAX - 1));
        self.bring(loads);
        CourierStep::Ran
    }

    fn bring(&self, loads: Vec<Load>) {
        let now = loads.iter().map(|load| load.now).max().unwrap_or(TimeMs::ZERO);
        let free: Vec<Hint> = loads.iter().flat_map(|load| &load.free).copied().collect();
        let mut notices: Vec<Notice> =
            loads.iter().flat_map(|load| &load.notices).cloned().collect();
        notices.sort_unstable();
        notices.dedup();
        // Hints before the notice that sends others to look for them.
        self.level2.put_hints(&free, now);
        self.level2.tell(&notices);
        for load in loads {
            let Some(life) = load.life else { continue };
            for tasks in load.ended.chunks(Self::DOCUMENTS_MAX) {
                self.level2.put_documents(&life, tasks, self.level2.clock.now());
            }
        }
    }
}
