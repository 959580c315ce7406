//! A store in memory, for tests and measurements: it keeps every promise of a store but the one
//! that matters, so nothing that serves people can reach it.
//!
//! [`MemoryDisk`] is what would be on the disk. It outlives the stores opened on it, so a test can
//! "crash" by dropping a store and opening the next, can look inside, and can script faults.
//! Several nodes may have stores open on it at once, as servers share a database.

mod nodes;
mod reader;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::nodes::MemoryNodes;
use self::table::Table;
use super::{
    Batch, Committed, Durability, Incarnation, NodeId, Nodes, PruneAsk, Reader, Recovered, Reopen,
    Store, StoreError, Stored,
};
use crate::clock::Clock;
use crate::domain::{BandMap, Task, TaskId, TimeMs};

/// What a test makes of one commit.
pub enum Fault {
    /// It fails and nothing is stored.
    Fail(StoreError),
    /// It is stored, but the answer is this error: the caller does not learn how it fared.
    FailAfter(StoreError),
    /// Runs first, and may wait for as long as the test likes; then the commit goes on.
    Stall(Box<dyn FnOnce() + Send>),
}

/// What survives a crash.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    table: Table,
    commits: u64,
    faults: BTreeMap<u64, Fault>,
    refused_name: Option<Box<str>>,
    clock: Option<Arc<dyn Clock>>,
    is_down: bool,
    cut_off: BTreeSet<Incarnation>,
}

impl Content {
    /// Whether a node can reach it.
    fn reach(&self, node: Incarnation) -> Result<(), StoreError> {
        if self.is_down || self.cut_off.contains(&node) {
            return Err(StoreError::Unavailable("it is down".into()));
        }
        Ok(())
    }

    /// The time leases are counted by.
    fn now(&self) -> TimeMs {
        self.clock.as_ref().map_or(TimeMs::ZERO, |clock| clock.now())
    }
}

impl MemoryDisk {
    /// An empty one.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// One that counts ended tasks but does not keep them, for measurements that would otherwise
    /// measure memory.
    pub fn without_history() -> MemoryDisk {
        let disk = MemoryDisk::default();
        disk.content().table.forgets_ended = true;
        disk
    }

    /// Opens a store on it, as a server does at its start.
    pub fn open(&self) -> MemoryStore {
        MemoryStore { is_shared: false, ..self.join(NodeId(0), "the only one") }
    }

    /// Opens a store on it as one of several nodes.
    pub fn join(&self, id: NodeId, name: &str) -> MemoryStore {
        let mut content = self.content();
        let now = content.now();
        let own = content.table.register.join(id, name, now);
        MemoryStore {
            disk: self.clone(),
            own,
            writer: 0,
            is_shared: true,
            broken: None,
            hints: Vec::new(),
            types: 0,
        }
    }

    /// Counts leases by this clock; without one they last for ever.
    pub fn keep_time_by(&self, clock: Arc<dyn Clock>) {
        self.content().clock = Some(clock);
    }

    /// From now on nothing is answered, or everything again.
    pub fn set_down(&self, is_down: bool) {
        self.content().is_down = is_down;
    }

    /// The same for one node alone.
    pub fn cut_off(&self, node: Incarnation, is_cut_off: bool) {
        let cut_off = &mut self.content().cut_off;
        if is_cut_off {
            cut_off.insert(node)
        } else {
            cut_off.remove(&node)
        };
    }

    /// How many commits were tried so far.
    pub fn commits(&self) -> u64 {
        self.content().commits
    }

    /// Lets the `nth` commit from now (1 is the next) meet a fault.
    pub fn fault(&self, nth: u64, fault: Fault) {
        let mut content = self.content();
        let at = content.commits + nth;
        content.faults.insert(at, fault);
    }

    /// From now on no task of this name can be stored; batches with one fail as a whole.
    pub fn refuse_name(&self, name: &str) {
        self.content().refused_name = Some(name.into());
    }

    /// What is stored under an id.
    pub fn stored(&self, id: TaskId) -> Stored {
        self.content().table.stored(id, None)
    }

    /// Every task, in the order of ids.
    pub fn tasks(&self) -> Vec<Task> {
        let content = self.content();
        let mut all: Vec<Task> = content.table.tasks().cloned().collect();
        all.sort_unstable_by_key(|task| task.id);
        all
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // A test that panicked elsewhere must not hide behind a poisoned lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store on a [`MemoryDisk`].
pub struct MemoryStore {
    disk: MemoryDisk,
    own: Incarnation,
    writer: u64,
    is_shared: bool,
    broken: Option<StoreError>,
    hints: Vec<TaskId>,
    /// How many types this side has heard of.
    types: usize,
}

impl MemoryStore {
    /// Meets the fault that was scripted for this commit, and says whether one comes afterwards.
    fn meet_fault(&mut self, batch: &Batch) -> Result<Option<StoreError>, StoreError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let fault = {
            let mut content = self.disk.content();
            content.commits += 1;
            content.reach(self.own)?;
            let at = content.commits;
            let refused = content.refused_name.as_deref();
            let changes = || batch.units.iter().flat_map(|unit| &unit.changes);
            if let Some(name) = refused
                && changes().any(|change| *change.task.spec.name == *name)
            {
                return Err(StoreError::Data(format!("the name {name} is refused")));
            }
            content.faults.remove(&at)
        };
        match fault {
            None => Ok(None),
            Some(Fault::Fail(error)) => Err(self.note(error)),
            Some(Fault::FailAfter(error)) => Ok(Some(self.note(error))),
            Some(Fault::Stall(wait)) => {
                wait();
                Ok(None)
            }
        }
    }

    fn content(&self) -> Result<MutexGuard<'_, Content>, StoreError> {
        let content = self.disk.content();
        content.reach(self.own)?;
        Ok(content)
    }

    /// Like a real store, this one never writes again once a write was in doubt.
    fn note(&mut self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Broken(_)) {
            self.broken = Some(error.clone());
        }
        error
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        let afterwards = self.meet_fault(batch)?;
        let hints = std::mem::take(&mut self.hints);
        let mut content = self.disk.content();
        content.table.register.check(self.own, self.writer)?;
        let mut committed = content.table.commit(self.own, batch, &hints)?;
        (committed.types, self.types) = content.table.types_after(self.types);
        afterwards.map_or(Ok(committed), Err)
    }

    fn hint(&mut self, ids: BandMap<Vec<TaskId>>) {
        self.hints = ids.0.concat();
    }

    fn settle(&mut self, batch: &Batch) -> Result<Option<Committed>, StoreError> {
        let mut content = self.content()?;
        content.table.register.check(self.own, self.writer)?;
        Ok(content.table.settled(self.own, batch.seq))
    }

    fn owned(&mut self) -> Result<Vec<TaskId>, StoreError> {
        Ok(self.content()?.table.owned(self.own))
    }

    fn recover(&mut self, now: TimeMs, _: &rayon::ThreadPool) -> Result<Recovered, StoreError> {
        Ok(self.content()?.table.recover(self.own, now))
    }

    fn take_ids(&mut self, count: u32) -> Result<Range<u64>, StoreError> {
        Ok(self.content()?.table.take_ids(count))
    }

    fn signing_key(&mut self) -> Result<[u8; 16], StoreError> {
        Ok(*b"a test's own key")
    }

    fn release(&mut self) -> Result<(), StoreError> {
        self.content()?.table.register.release(self.own);
        Ok(())
    }

    fn prune(&mut self, ask: &PruneAsk) -> Result<u64, StoreError> {
        Ok(self.content()?.table.prune(ask))
    }

    fn upkeep(&mut self, keys_before: TimeMs) -> Result<(), StoreError> {
        self.content()?.table.forget(keys_before);
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(reader::MemoryReader::new(self.disk.clone())))
    }

    fn nodes(&self) -> Result<Option<Box<dyn Nodes>>, StoreError> {
        let nodes = MemoryNodes { disk: self.disk.clone(), own: self.own };
        Ok(self.is_shared.then(|| Box::new(nodes) as Box<dyn Nodes>))
    }

    fn reopener(&self) -> Option<Arc<dyn Reopen>> {
        Some(Arc::new(Anew { disk: self.disk.clone(), own: self.own }))
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn describe(&self) -> String {
        "memory, for tests".into()
    }
}

/// The way to a new writing side.
struct Anew {
    disk: MemoryDisk,
    own: Incarnation,
}

impl Reopen for Anew {
    fn reopen(&self, writer: u64) -> Result<Box<dyn Store>, StoreError> {
        let mut content = self.disk.content();
        content.reach(self.own)?;
        content.table.register.raise_writer(self.own, writer)?;
        let (disk, own) = (self.disk.clone(), self.own);
        let (is_shared, broken, hints, types) = (true, None, Vec::new(), 0);
        Ok(Box::new(MemoryStore { disk, own, writer, is_shared, broken, hints, types }))
    }
}

#[cfg(test)]
mod tests;
