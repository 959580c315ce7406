//! Floor 5: the assembled machine, the only thing the API may hold.
//!
//! [`Engine::boot`] takes over what the store holds and starts all threads; the methods hand
//! requests over and return at once; [`Engine::drain`] ends everything within one budget.
//!
//! Absent on purpose: HTTP, wire forms, configuration files.

mod boot;
mod disk;
mod drain;
mod housekeeper;
mod prune;
mod reads;
mod threads;
mod vitals;

use std::sync::{Arc, Mutex};

use crossbeam_channel::Sender;

pub use boot::{BootError, EngineSettings};
pub use disk::{Disk, Reserve};
pub use drain::Drained;
pub use prune::Retention;
pub use reads::Question;
pub use threads::Fatal;
pub use vitals::{CoreVitals, Vitals};

use crate::clock::Clock;
use crate::domain::{TaskId, TimeMs};
use crate::persistence::{
    Chore, Command, Mailbox, Message, Order, Receipt, Refusal, Views, Work,
};
use crate::queue::Entrance;
use crate::store::{Durability, PruneAsk};

/// The machine. Shared by everyone who asks something of it.
pub struct Engine {
    clock: Arc<dyn Clock>,
    mailbox: Mailbox,
    reads: reads::Reads,
    chores: Sender<Chore>,
    views: Arc<Views>,
    lanes: Arc<Entrance<Work>>,
    identity: Identity,
    running: Mutex<Option<boot::Running>>,
}

/// What never changes while it runs.
#[derive(Debug, Clone)]
struct Identity {
    node: String,
    store: String,
    durability: Durability,
    path: Option<std::path::PathBuf>,
    reserve: Reserve,
    pinning: Vec<Option<usize>>,
    priority_bound: usize,
}

impl Engine {
    /// Stores new tasks. The receipt is settled once that is done or refused.
    pub fn submit(&self, order: Order, receipt: Receipt) {
        self.post(Message::Submit(order, receipt));
    }

    /// Shows a live task; [`Answer::NotLive`](crate::persistence::Answer) sends the asker to
    /// [`Engine::read`].
    pub fn look(&self, id: TaskId, receipt: Receipt) {
        self.post(Message::Look(id, receipt));
    }

    /// Does with one task what a person asks.
    pub fn command(&self, id: TaskId, command: Command, receipt: Receipt) {
        self.post(Message::Do(id, command, receipt));
    }

    /// Runs `question` on a read thread; gives it back when too many wait.
    pub fn read(&self, question: Question) -> Result<(), Question> {
        self.reads.ask(question)
    }

    /// Deletes all ended tasks that `ask` names, slice by slice, and says how many. Waits for the
    /// store, so it belongs on a thread that may wait.
    pub fn prune(&self, ask: &PruneAsk) -> Result<u64, Refusal> {
        prune::prune_all(&self.chores, ask)
    }

    /// The time tasks are due by.
    pub fn now(&self) -> TimeMs {
        self.clock.now()
    }

    /// The clock everything runs by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn post(&self, message: Message) {
        if self.views.refusing() && !matches!(message, Message::Look(..)) {
            return refuse(message, &Refusal::Stopping);
        }
        if let Err(message) = self.mailbox.post(message) {
            refuse(message, &Refusal::Busy);
        }
    }
}

fn refuse(message: Message, why: &Refusal) {
    match message {
        Message::Submit(_, receipt) | Message::Look(_, receipt) | Message::Do(_, _, receipt) => {
            receipt.settle(Err(why.clone()));
        }
    }
}
