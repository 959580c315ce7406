//! Floor 2: the durable truth.
//!
//! A [`Store`] commits [`Batch`]es and hands out rows to be worked on; a [`Reader`] answers
//! questions from a snapshot of its own. Calls block; there are no threads here. Every store keeps
//! the same promises, and one conformance suite asks all of them the same questions.
//!
//! Absent on purpose: the queue, HTTP, the clock (time is in the batch), and decisions: what a
//! change means is settled before it comes here, a store only checks that it is not stale.

mod batch;
#[cfg(test)]
mod conformance;
mod error;
mod folder;
mod ids;
#[doc(hidden)]
pub mod memory;
pub mod migration;
mod nodes;
mod order;
mod paging;
pub mod postgres;
mod query;
pub mod redis;
mod rules;
pub mod sqlite;
mod tally;
mod tls;

pub use batch::{
    Bands, Batch, Beat, Beaten, ClaimAsk, Claimed, Committed, ExpiredAsk, Fate, KeyClaim, Replay,
    Stored, Taker, Unit,
};
pub use error::{Cure, StoreError};
pub use nodes::{Incarnation, NodeId, Nodes, Peer, Reaped, Standing, Wish, WishId};
pub use query::{
    Bucket, Count, Cursor, Filter, LeaseCount, Page, PageAsk, Place, ScheduledAsk, SortField,
    Sorting,
};

use std::ops::Range;
use std::sync::Arc;

use crate::domain::{BandMap, StatusKind, Task, TaskId, TimeMs};

/// What a store promises when a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On stable storage: it survives a power cut.
    Disk,
    /// In the system's memory: it survives the end of the server, but no power cut, because the
    /// database server was told not to sync.
    System,
    /// In memory: it survives nothing. Only tests use such a store.
    Memory,
}

/// The writing side of a store; owned by one thread.
pub trait Store: Send {
    /// Commits the batch as one transaction and says how each unit fared, in order.
    ///
    /// All or nothing: after an error nothing of the batch is stored, unless the error is
    /// [`StoreError::Unknown`]. Then nothing else may be committed before [`Store::settle`] has
    /// said what became of it.
    fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError>;

    /// Ids of rows of each band that may be free and due, earliest first. The claims of the next
    /// commit, and of no other, take what they can of these before they look for more; what is not
    /// free, or not what a claim asks for, is passed over. A store that gains nothing by it need
    /// not listen.
    fn hint(&mut self, _ids: BandMap<Vec<TaskId>>) {}

    /// What became of a batch whose commit gave no answer: `Some` if it is stored, `None` if it is
    /// not and never will be. Whatever session sent it is ended first. What the batch asked for
    /// beside its units is lost with the answer: see [`Store::owned`].
    ///
    /// A store that always answers need not have this.
    fn settle(&mut self, _batch: &Batch) -> Result<Option<Committed>, StoreError> {
        Ok(None)
    }

    /// The ids of all rows this node holds: how it finds rows that came to it by a claim whose
    /// answer was lost, or from a node that died. Only a store with [`Store::nodes`] is asked.
    fn owned(&mut self) -> Result<Vec<TaskId>, StoreError> {
        Ok(Vec::new())
    }

    /// Takes over what this node's former incarnation held: every held row gets the next epoch and
    /// the suspicion that a crash leaves, or none where it was released. The former incarnation can
    /// write no more. Called once, before the first commit. Decoding runs on `pool`.
    fn recover(&mut self, now: TimeMs, pool: &rayon::ThreadPool) -> Result<Recovered, StoreError>;

    /// Takes the next `count` ids, never given out before.
    fn take_ids(&mut self, count: u32) -> Result<Range<u64>, StoreError>;

    /// The number this store was given when it was made, which nobody outside can guess: what
    /// servers sign with, so that each of them, and the next start, knows the signature.
    fn signing_key(&mut self) -> Result<[u8; 16], StoreError>;

    /// Marks all held rows as given back, so that the next incarnation does not suspect them.
    fn release(&mut self) -> Result<(), StoreError>;

    /// Deletes at most `limit` ended tasks and says how many it was. What can only be deleted as a
    /// whole, such as a day of which everything is old enough, may be more.
    fn prune(&mut self, ask: &PruneAsk) -> Result<u64, StoreError>;

    /// A slice of upkeep between batches: forgets idempotency keys older than `keys_before`, at
    /// most a few thousand, and gives free pages back to the file system.
    fn upkeep(&mut self, keys_before: TimeMs) -> Result<(), StoreError>;

    /// A reader for another thread.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// The side on which nodes know of each other, for another thread; `None` where one server has
    /// the store to itself.
    fn nodes(&self) -> Result<Option<Box<dyn Nodes>>, StoreError> {
        Ok(None)
    }

    /// The way to a new writing side of the same incarnation, in place of one that hangs; `None`
    /// where there is no way round it.
    fn reopener(&self) -> Option<Arc<dyn Reopen>> {
        None
    }

    /// A look at the connections that readers share; `None` where they share none.
    fn connections(&self) -> Option<LookAtConnections> {
        None
    }

    /// What a commit promises.
    fn durability(&self) -> Durability;

    /// One line for people: the kind of store and where it is, without secrets.
    fn describe(&self) -> String;
}

/// The connections that readers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Those lent to a reader now.
    pub busy: u32,
    /// The other open ones.
    pub idle: u32,
}

/// Looks at them from any thread, and waits for nothing.
pub type LookAtConnections = Arc<dyn Fn() -> Connections + Send + Sync>;

/// Opens the writing side of a store anew.
pub trait Reopen: Send + Sync {
    /// The new writing side with this number; they rise from 1. Those before are ended first, with
    /// their sessions: whatever they were doing is stored by then, or never will be, and from then
    /// on they are fenced. So is this one if a later one is there already.
    fn reopen(&self, writer: u64) -> Result<Box<dyn Store>, StoreError>;
}

/// The reading side of a store; one for each reading thread. Each call sees one snapshot.
pub trait Reader: Send {
    /// The stored task with this id, live or ended.
    fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// The tasks with these ids, in the order asked for; missing ones are left out.
    fn find_all(&mut self, ids: &[TaskId]) -> Result<Vec<Task>, StoreError>;

    /// One page of tasks and the exact total of the filter. Walking stops with
    /// [`StoreError::TooBroad`] when it has taken longer than `ask.budget_ms`.
    fn page(&mut self, ask: &PageAsk) -> Result<Page, StoreError>;

    /// The page of waiting tasks by band, time and id.
    fn scheduled(&mut self, ask: &ScheduledAsk) -> Result<Page, StoreError>;

    /// How many tasks there are of each status, band and type; nothing is counted for this.
    fn counts(&mut self) -> Result<Vec<Count>, StoreError>;

    /// The minute buckets from `minutes.start` up to and without `minutes.end`, in order.
    fn buckets(&mut self, minutes: Range<i64>) -> Result<Vec<Bucket>, StoreError>;

    /// When the oldest free task that is due became due.
    fn oldest_free(&mut self, now: TimeMs) -> Result<Option<TimeMs>, StoreError>;

    /// What workers lease, by worker and type, at most `limit` of these.
    fn leases(&mut self, limit: u32) -> Result<Vec<LeaseCount>, StoreError>;

    /// How many bytes on disk hold something; what is free inside the files does not count.
    fn used_bytes(&mut self) -> Result<u64, StoreError>;
}

/// What a start finds.
#[derive(Debug)]
pub struct Recovered {
    /// The rows that the former incarnation held, now ours, in the order of their ids.
    pub held: Vec<Task>,
    /// Every task type the store has seen.
    pub types: Vec<Arc<str>>,
}

/// Which ended tasks to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneAsk {
    /// Only these terminal statuses.
    pub statuses: Vec<StatusKind>,
    /// Only tasks that ended before.
    pub ended_before: TimeMs,
    /// At most so many.
    pub limit: u32,
}
