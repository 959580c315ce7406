//! Everything the writer can be told, and everything it can answer.

use std::sync::Arc;

use super::Receipt;
use super::lease::{LeaseAsk, LeaseBeat, LeaseFate, LeaseReport, WaitId, WorkerSeen};
pub use crate::domain::Command;
use crate::domain::{Epoch, Outcome, Run, Spec, StatusKind, Submission, Task, TaskId, TimeMs};
use crate::queue;
use crate::store::{Incarnation, KeyClaim};

/// A place in the lanes, with what a core needs to start the task.
pub type Ticket = queue::Ticket<Work>;

/// What a core needs to start a task, beside its ticket's id and epoch.
#[derive(Debug, Clone)]
pub struct Work {
    /// What was asked for.
    pub spec: Arc<Spec>,
    /// Which registered handler runs it.
    pub slot: Slot,
    /// The number of this attempt, from 1.
    pub attempt: u32,
}

/// A registered handler, by its place in the registry, so that no core looks up a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub u16);

/// A request to the writer.
#[derive(Debug)]
pub enum Message {
    /// Store these tasks.
    Submit(Order, Receipt),
    /// Show this task, if it is live.
    Look(TaskId, Receipt),
    /// Do this with this task.
    Do(TaskId, Command, Receipt),
    /// Lease tasks to a worker.
    Lease(LeaseAsk, Receipt),
    /// Hand over what a wish that waited has led to.
    Collect(WaitId, Receipt),
    /// The worker is gone that had this wish, or the answer to it did not arrive.
    Withdraw(WaitId),
    /// Leased attempts have ended.
    Report(Vec<LeaseReport>, Receipt),
    /// Leased attempts go on, as this worker says.
    Beat(Arc<str>, Vec<LeaseBeat>, Receipt),
    /// List the workers.
    Workers(Receipt),
}

impl Message {
    /// Whether it tells how a running attempt ended, which is heard even while the server stops.
    pub fn is_report(&self) -> bool {
        match self {
            Message::Do(_, Command::Put(status), _) => status.is_terminal(),
            Message::Collect(..) | Message::Withdraw(_) => true,
            Message::Report(..) | Message::Beat(..) => true,
            Message::Submit(..) | Message::Look(..) | Message::Do(..) => false,
            Message::Lease(..) | Message::Workers(_) => false,
        }
    }

    /// Whether it is answered at once, from memory.
    pub fn is_look(&self) -> bool {
        matches!(self, Message::Look(..) | Message::Workers(_))
    }

    /// Refuses it.
    pub fn refuse(self, why: &Refusal) {
        match self {
            Message::Submit(_, receipt)
            | Message::Look(_, receipt)
            | Message::Do(_, _, receipt) => {
                receipt.settle(Err(why.clone()));
            }
            Message::Lease(_, receipt) | Message::Collect(_, receipt) => {
                receipt.settle(Err(why.clone()));
            }
            Message::Report(_, receipt) | Message::Beat(_, _, receipt) => {
                receipt.settle(Err(why.clone()));
            }
            Message::Workers(receipt) => receipt.settle(Err(why.clone())),
            Message::Withdraw(_) => {}
        }
    }
}

/// A checked submit.
#[derive(Debug)]
pub struct Order {
    /// What to store; one, or a whole batch that stands or falls together.
    pub items: Vec<Submission>,
    /// The client's idempotency key.
    pub key: Option<KeyClaim>,
}

/// What the writer answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To a submit: the tasks in the order sent, new or existing.
    Stored {
        /// The tasks.
        tasks: Vec<Task>,
        /// Whether any of them is new.
        created: bool,
    },
    /// To a submit that met tasks which were there before: their ids, in the order sent. How they
    /// stand now is a reader's business.
    Known {
        /// The ids; with `Met::UniqueKey` some of them may be new.
        ids: Vec<TaskId>,
        /// Whether any of them was new (with `Met::IdempotencyKey`: was new then).
        created: bool,
        /// What they were found by.
        met: Met,
    },
    /// To a look: how a live task stands.
    Seen(Seen),
    /// To a look: nothing live has this id; an ended task may.
    NotLive,
    /// To a command: it is done.
    Done(Seen),
    /// To a command: the wish is stored; the task changes once its execution has stopped.
    Asked(Seen),
    /// To a wish for leases: these tasks are leased. Where the answer cannot be delivered,
    /// [`Message::Withdraw`] gives them back.
    Leased {
        /// The wish.
        wait: WaitId,
        /// The tasks; none when the time was over first.
        tasks: Vec<Task>,
    },
    /// To a wish for leases: there is nothing yet, and it waits.
    Waits(WaitId),
    /// To a worker's report: how each item fared, in order.
    Reported(Vec<LeaseFate>),
    /// The workers.
    Workers(Vec<WorkerSeen>),
}

/// How a submit met tasks that were there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// The same request was sent under the same idempotency key.
    IdempotencyKey,
    /// An unfinished task has the same unique key.
    UniqueKey,
}

/// A live task as users see it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The task.
    pub task: Task,
    /// Whether nobody here can start its type.
    pub waits_for_worker: bool,
}

/// Why the writer did not do as asked. Nothing was changed, but for [`Refusal::Unknown`] and
/// [`Refusal::InDoubt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("the server is at its limit of requests under way")]
    Busy,
    #[error("the server is stopping")]
    Stopping,
    #[error("the store does not answer")]
    StoreDown,
    #[error("whether the request was stored is not known")]
    Unknown,
    #[error("the store does not say whether the request was stored")]
    InDoubt,
    #[error("node {} holds the task", .0.0)]
    HeldElsewhere(Incarnation),
    #[error("the disk is full")]
    NoSpace,
    #[error("no task has this id")]
    NotFound,
    #[error("a task that is {from} cannot take this step")]
    IllegalMove { from: StatusKind },
    #[error("unfinished task {0} has this unique key")]
    UniqueTaken(TaskId),
    #[error("this idempotency key was used for another request")]
    KeyReused,
    #[error("a request with this idempotency key is under way")]
    KeyInFlight,
    #[error("the store holds {limit} task types, and no more are allowed")]
    TooManyTypes { limit: usize },
    #[error("the store cannot hold this: {0}")]
    Bad(String),
}

/// What an execution tells the writer about one attempt.
#[derive(Debug, Clone)]
pub struct Report {
    /// The task.
    pub id: TaskId,
    /// The claim the attempt runs under; a report of an older one is dropped.
    pub epoch: Epoch,
    /// What happened.
    pub what: Happened,
}

/// What can happen to an attempt.
#[derive(Debug, Clone)]
pub enum Happened {
    /// It has been running for so long that the store should say so.
    Began {
        /// Since when.
        at: TimeMs,
    },
    /// It only waits, until this time, and then is done; it needs no core for that.
    Sleeps {
        /// Since when.
        at: TimeMs,
        /// How long the task was ready before, in microseconds.
        waited_us: u64,
        /// Until when.
        until: TimeMs,
    },
    /// Somebody outside goes on with it until its time is up, as under a lease.
    GoesOn {
        /// Since when.
        at: TimeMs,
        /// How long the task was ready before, in microseconds.
        waited_us: u64,
    },
    /// It ended.
    Ended(Run, Outcome),
}
