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
mod measures;
mod nodes;
mod prune;
mod pulse;
mod reads;
mod relief;
mod runners;
mod second;
mod threads;
mod vitals;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crossbeam_channel::Sender;

pub use boot::{BootError, EngineSettings};
pub use disk::{Disk, Reserve};
pub use drain::Drained;
pub use measures::Measures;
pub use prune::{Pruned, Retention};
pub use pulse::{Pulse, Standstill};
pub use reads::Question;
pub use threads::Fatal;
pub use vitals::{CoreVitals, DiskVitals, LevelReads, Phase, SlotVitals, StoreVitals, Vitals};

use crate::clock::Clock;
use crate::domain::{BandMap, TaskId, TimeMs};
use crate::persistence::{
    Chore, Command, LeaseAsk, LeaseBeat, LeaseReport, Mailbox, Message, Order, Receipt, Refusal,
    Views, WaitId, Work,
};
use crate::queue::{Counts, Entrance, Pool};
use crate::store::{Durability, LookAtConnections, PruneAsk};

/// The machine. Shared by everyone who asks something of it.
pub struct Engine {
    clock: Arc<dyn Clock>,
    mailbox: Mailbox,
    /// Where commands go whose task another node holds; `None` where there are no others.
    errands: Option<nodes::Errands>,
    reads: reads::Reads,
    pruner: prune::Pruner,
    chores: Sender<Chore>,
    views: Arc<Views>,
    lanes: Arc<Entrance<Work>>,
    pool: Arc<Pool<Work>>,
    identity: Identity,
    second: second::Second,
    running: Mutex<Option<boot::Running>>,
}

/// What never changes while it runs.
struct Identity {
    node: Arc<str>,
    store: Arc<str>,
    durability: Durability,
    connections: Option<LookAtConnections>,
    path: Option<PathBuf>,
    reserve: Reserve,
    cpus: Vec<usize>,
    others: Vec<usize>,
    priority_bound: u64,
    requests_max: u64,
    signing_key: [u8; 16],
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

    /// Does with one task what a person asks, or has the node do it that holds the task.
    pub fn command(&self, id: TaskId, command: Command, receipt: Receipt) {
        let receipt = match &self.errands {
            Some(errands) => errands.follow(id, command, receipt),
            None => receipt,
        };
        self.post(Message::Do(id, command, receipt));
    }

    /// Leases tasks to a worker, or lets it wait for some.
    pub fn lease(&self, ask: LeaseAsk, receipt: Receipt) {
        self.post(Message::Lease(ask, receipt));
    }

    /// Hands over what a wish for leases that waited has led to.
    pub fn collect(&self, wait: WaitId, receipt: Receipt) {
        self.post(Message::Collect(wait, receipt));
    }

    /// Gives back what a wish for leases has led to: its worker is gone. Where the mailbox is full
    /// that happens later, when nobody comes for it or its leases run out.
    pub fn withdraw(&self, wait: WaitId) {
        self.post(Message::Withdraw(wait));
    }

    /// Takes what workers report about leased attempts that have ended.
    pub fn report(&self, reports: Vec<LeaseReport>, receipt: Receipt) {
        self.post(Message::Report(reports, receipt));
    }

    /// Renews leases.
    pub fn beat(&self, worker: Arc<str>, beats: Vec<LeaseBeat>, receipt: Receipt) {
        self.post(Message::Beat(worker, beats, receipt));
    }

    /// Lists the workers this node has heard of.
    pub fn workers(&self, receipt: Receipt) {
        self.post(Message::Workers(receipt));
    }

    /// Whether workers asked for tasks of this type lately.
    pub fn is_asked_for(&self, name: &str) -> bool {
        self.views.is_asked_for(name)
    }

    /// What leases are signed with: the same on every node of a store, and after a restart.
    pub fn signing_key(&self) -> &[u8; 16] {
        &self.identity.signing_key
    }

    /// Runs `question` on a read thread; `false`: too many wait.
    pub fn read(&self, question: Question) -> bool {
        self.reads.ask(question).is_ok()
    }

    /// Deletes all ended tasks that `ask` names, slice by slice; `pruned` learns how many it was.
    pub fn prune(&self, ask: PruneAsk, pruned: Pruned) {
        self.pruner.ask(ask, pruned);
    }

    /// The CPUs that are not engine cores; all of them where none is left over.
    pub fn other_cpus(&self) -> &[usize] {
        &self.identity.others
    }

    /// The time tasks are due by.
    pub fn now(&self) -> TimeMs {
        self.clock.now()
    }

    /// The clock everything runs by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// How the types whose runs block are.
    pub fn slots(&self) -> SlotVitals {
        SlotVitals {
            crew: self.pool.crew(),
            lines: self.pool.line_looks(),
            breakers: self.pool.breakers(self.clock.mono()),
            now: self.clock.mono(),
        }
    }

    /// How everything is, from memory.
    pub fn vitals(&self) -> Vitals {
        let view = self.views.view();
        let Identity { node, store, path, reserve, cpus, .. } = &self.identity;
        let now = self.clock.now();
        let disk = path.as_deref().and_then(|path| Disk::of(path).ok());
        let uptime_us = self.clock.mono().0.max(1);
        let counts = self.lanes.board().counts();
        let core = |(seat, counts): (usize, &Counts)| CoreVitals {
            cpu: cpus.get(seat).copied(),
            busy_share: (counts.busy_us as f64 / uptime_us as f64).min(1.0),
            executed: counts.taken,
            stolen: counts.stolen,
            parked: counts.parked,
        };
        Vitals {
            slots: self.slots(),
            node: Arc::clone(node),
            nodes: self.views.nodes(),
            phase: if self.views.refusing() { Phase::Stopping } else { Phase::Serving },
            store: StoreVitals {
                is_up: view.store_up,
                description: Arc::clone(store),
                durability: self.identity.durability,
            },
            disk: disk.map(|disk| DiskVitals {
                free_bytes: disk.free_bytes,
                total_bytes: disk.total_bytes,
                limit_bytes: disk.threshold(reserve),
            }),
            queue_depth: BandMap::from_fn(|band| view.depth[band] as u64),
            oldest_ready_at: view.oldest_wait_ms.map(|ms| TimeMs(now.0 - ms as i64)),
            mailbox: (self.mailbox.fill() * self.identity.requests_max as f64) as u64,
            mailbox_max: self.identity.requests_max,
            priority_bound: self.identity.priority_bound,
            level2: self.second.vitals(),
            reads: self.second.reads(view.looks),
            cores: counts.iter().enumerate().take(cpus.len()).map(core).collect(),
        }
    }

    /// A look at what moves, for a watchdog.
    pub fn pulse(&self) -> Pulse {
        let (board, refusing) = (self.lanes.board(), self.views.refusing());
        let total = board.total();
        Pulse {
            rounds: self.views.beats(),
            taken: total.taken + total.withdrawn,
            waiting: self.lanes.waiting(),
            running: board.running().count(),
            cores_owe: self.views.view().store_up && !refusing,
        }
    }

    fn post(&self, message: Message) {
        let heard = message.is_look() || message.is_report();
        if self.views.refusing() && !heard {
            return message.refuse(&Refusal::Stopping);
        }
        if let Err(message) = self.mailbox.post(message) {
            message.refuse(&Refusal::Busy);
        }
    }
}
