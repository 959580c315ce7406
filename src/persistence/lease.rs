//! What workers outside ask of the writer, and what they are told.

use std::sync::Arc;

use crate::domain::{Epoch, Failure, Payload, TaskId, TimeMs};
use crate::store::Beaten;

/// A worker's wish for tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseAsk {
    /// What the worker calls itself.
    pub worker: Arc<str>,
    /// Which types it takes.
    pub types: LeaseTypes,
    /// At most so many tasks.
    pub tasks_max: u32,
    /// How long each is its own without a heartbeat, in milliseconds.
    pub lease_ms: u64,
    /// How long it waits for the first one, in milliseconds.
    pub wait_ms: u64,
}

/// Which types a worker takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseTypes {
    /// Every type that no executor of the server runs.
    EveryRemote,
    /// These.
    These(Vec<Arc<str>>),
}

/// Names one wish for leases while it waits, and what it led to until that is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId(pub u64);

/// Told when a wish that waited has an answer, to be asked for by [`super::Message::Collect`]. Runs
/// on the writer's thread, so it must only pass the word on.
pub type Wake = Arc<dyn Fn(WaitId) + Send + Sync>;

/// What a worker reports about one lease.
#[derive(Debug, Clone)]
pub struct LeaseReport {
    /// The task.
    pub id: TaskId,
    /// The lease's claim.
    pub epoch: Epoch,
    /// What became of the attempt.
    pub what: Reported,
}

/// What became of a leased attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// It did its work.
    Done(Option<Payload>),
    /// It did not.
    Failed(Failure),
    /// It was not made; the task may go to somebody else at once.
    Released,
}

/// A worker's sign that it is still at work on one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseBeat {
    /// The task.
    pub id: TaskId,
    /// The lease's claim.
    pub epoch: Epoch,
    /// For how long the lease is renewed, in milliseconds.
    pub lease_ms: u64,
    /// How far the attempt is, in percent.
    pub progress: Option<u8>,
}

/// How one item of a worker's report fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseFate {
    /// The report is stored.
    Kept,
    /// The lease is renewed.
    Renewed(Beaten),
    /// The lease was over before: nothing has changed.
    Lost,
}

/// A worker that was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSeen {
    /// What it calls itself.
    pub worker: Arc<str>,
    /// When it last asked for tasks or renewed a lease.
    pub last_seen: TimeMs,
    /// How many of its wishes wait.
    pub waiting: u32,
}
