//! What is committed together, and how it fared.

use std::ops::Range;
use std::sync::Arc;

use super::Incarnation;
use crate::domain::{Band, Change, Epoch, Holding, Task, TaskId, Terms, TimeMs};

/// One transaction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Rises with every transaction of this incarnation. A batch may be committed in parts, so
    /// batches are [`Batch::PARTS`] apart.
    pub seq: u64,
    /// The time of the batch.
    pub now: TimeMs,
    /// What is to be written, in the order it was decided.
    pub units: Vec<Unit>,
    /// Free rows to take, after the units are written.
    pub claims: Vec<ClaimAsk>,
    /// Rows to look up, after the units are written.
    pub fetch: Vec<TaskId>,
    /// Leases to renew, after the units are written.
    pub beats: Vec<Beat>,
    /// Leased rows to take back, after the leases are renewed.
    pub expired: Option<ExpiredAsk>,
    /// How many new ids to take; nought for none.
    pub ids_wanted: u32,
}

impl Batch {
    /// How many transactions one batch may become: twice as many as it has units, at most.
    pub const PARTS: u64 = 1 << 16;
}

/// Changes that stand or fall together.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The changes; several only for a batch submit, all of them inserts.
    pub changes: Vec<Change>,
    /// The idempotency key the unit stands under.
    pub key: Option<KeyClaim>,
}

/// A client's idempotency key, as a digest, with a digest of what was sent under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyClaim {
    /// SHA-256 of the key.
    pub key: [u8; 32],
    /// SHA-256 of the body.
    pub body: [u8; 32],
}

/// A wish for free rows that are due.
#[derive(Debug, Clone)]
pub struct ClaimAsk {
    /// From these bands, the higher ones first.
    pub bands: Bands,
    /// At most so many.
    pub limit: u32,
    /// No further one once those taken weigh this many bytes together.
    pub bytes_max: usize,
    /// Only rows due by then, earliest first within a band.
    pub due_by: TimeMs,
    /// Only these types.
    pub types: Arc<[Arc<str>]>,
    /// Who gets them.
    pub taker: Taker,
}

/// Who gets the rows of a claim. Either way they have the next epoch when the batch is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taker {
    /// This node holds them from then on.
    Node,
    /// A worker outside leases them: they run, and stay rows that nobody holds.
    Worker(Terms),
}

/// A lease to renew, if the row still runs under this epoch and no node holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The task.
    pub id: TaskId,
    /// The lease's claim.
    pub epoch: Epoch,
    /// When it runs out from now on.
    pub until: TimeMs,
    /// How far the attempt is, in percent; `None` leaves what was said before.
    pub progress: Option<u8>,
}

/// A renewed lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beaten {
    /// When it ends, by its own time or by that of the attempt.
    pub ends: TimeMs,
    /// Whether somebody asked for the task's end.
    pub cancel_requested: bool,
    /// The task's version now: progress is a visible change.
    pub version: u32,
}

/// A wish for leased rows whose lease or attempt has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiredAsk {
    /// Ended by then, earliest first.
    pub due_by: TimeMs,
    /// At most so many.
    pub limit: u32,
}

/// Which bands a claim takes rows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bands {
    /// Only this one.
    One(Band),
    /// All of them, each before the next lower one, under one limit.
    All,
}

impl Bands {
    /// The bands, in the order of service.
    pub fn in_order(&self) -> &[Band] {
        match self {
            Bands::One(band) => std::slice::from_ref(band),
            Bands::All => &Band::ALL,
        }
    }
}

/// How a batch fared.
#[derive(Debug, Default)]
pub struct Committed {
    /// One fate for each unit, in order.
    pub fates: Vec<Fate>,
    /// One answer for each claim, in order.
    pub claimed: Vec<Claimed>,
    /// One answer for each id in `fetch`, in order.
    pub fetched: Vec<Stored>,
    /// One answer for each of `beats`, in order; `None`: the lease is over.
    pub beaten: Vec<Option<Beaten>>,
    /// The leased rows taken back. They run on under the next epoch, free, until it is decided what
    /// becomes of them; until then a later ask finds them again.
    pub expired: Vec<Task>,
    /// The ids taken.
    pub ids: Option<Range<u64>>,
    /// Types that were not known here before, whoever brought them to the store.
    pub types: Vec<Arc<str>>,
}

/// How one unit fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    Applied,
    /// It is stored, but for the inserts at these places, whose unique key another unfinished
    /// task holds.
    AppliedBut(Vec<(usize, TaskId)>),
    /// Nothing new is stored: the same was sent under its idempotency key before.
    Replayed(Replay),
    /// Nothing is stored: something else was sent under its idempotency key before.
    KeyReused,
    /// Nothing is stored: the row is gone or has moved on.
    Stale,
    /// Nothing is stored: this unfinished task holds the unique key.
    UniqueTaken(TaskId),
    /// Nothing is stored: the store cannot hold this data.
    Bad(String),
    /// Nothing is stored: the disk is full.
    NoSpace,
    /// Nothing is stored: the store could not be reached. It may be sent again.
    Unsent,
    /// It is stored, or it is not; nobody knows yet.
    InDoubt,
}

/// What an idempotency key led to when it was first used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The ids that were answered, in order.
    pub ids: Vec<TaskId>,
    /// Whether any of them was new then.
    pub created: bool,
}

/// What a claim got. The rows are written as taken, with the next epoch, before it returns.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The rows, by band and within it in the order (due, id).
    pub tasks: Vec<Task>,
    /// Whether a limit ended it, so that there may be more.
    pub has_more: bool,
}

/// What is stored under an id.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// A live row, held by this node or by nobody.
    Live(Box<Task>, Holding),
    /// A live row that another node holds.
    Elsewhere(Box<Task>, Incarnation),
    /// An ended task.
    Ended(Box<Task>),
    /// Nothing.
    Missing,
}
