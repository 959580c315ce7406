//! A store with the second level over it: the store beneath stays the truth.
//!
//! Before a commit that makes documents untrue Redis is told so; after each commit what follows in
//! Redis is handed to the [`Courier`]. Nothing else of a commit waits for Redis, and none fails by
//! it.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use foldhash::fast::RandomState;

use super::courier::{Courier, Load, Teller};
use super::documents::Burial;
use super::hints::{HINTS_MAX, Hint};
use super::level2::Level2;
use super::notices::Notice;
use crate::clock::Mono;
use crate::domain::{Band, BandMap, Change, ChangeKind, Holding, StatusKind, TaskId, TimeMs};
use crate::store::{
    Bands, Batch, ClaimAsk, Committed, Durability, Fate, LookAtConnections, Nodes, PruneAsk,
    Reader, Recovered, Reopen, Store, StoreError, Taker, Unit,
};

/// A store with the second level over it.
pub struct Leveled {
    beneath: Box<dyn Store>,
    level2: Arc<Level2>,
    courier: Sender<Load>,
    allowance: Allowance,
    /// The types this node claims: hints of others would be taken in vain.
    startable: HashSet<Arc<str>, RandomState>,
    /// When free rows were last claimed without hints.
    plain_at: Mono,
}

impl Leveled {
    /// `beneath` with `level2` over it, and what brings things there.
    pub fn over(beneath: Box<dyn Store>, level2: Arc<Level2>) -> (Leveled, Courier) {
        let (courier, loads) = bounded(Courier::WAITING_MAX);
        let brings = Courier::new(Arc::clone(&level2), loads);
        let (allowance, startable) = (Allowance::default(), HashSet::default());
        let leveled = Leveled { beneath, level2, courier, allowance, startable, plain_at: Mono(0) };
        (leveled, brings)
    }

    /// What the commit of a batch left to be told.
    fn load(&mut self, batch: &Batch, committed: &Committed) -> Load {
        let mut load = Load { now: batch.now, ..Load::default() };
        self.allowance.grow(self.level2.now());
        for (unit, fate) in batch.units.iter().zip(&committed.fates) {
            let left_out: &[_] = match fate {
                Fate::Applied => &[],
                Fate::AppliedBut(existing) => existing,
                _ => continue,
            };
            for (place, change) in unit.changes.iter().enumerate() {
                if !left_out.iter().any(|(at, _)| *at == place) {
                    self.note(change, batch.now, &mut load);
                }
            }
        }
        load
    }

    fn note(&mut self, change: &Change, now: TimeMs, load: &mut Load) {
        let task = &change.task;
        let free = match change.kind {
            ChangeKind::Finish(_) if self.allowance.take() => {
                load.ended.push(task.clone());
                false
            }
            ChangeKind::Finish(_) => {
                self.level2.counters.documents_skipped.add(1);
                false
            }
            ChangeKind::Insert(holding)
            | ChangeKind::Update(_, holding)
            | ChangeKind::Revive(_, holding) => holding == Holding::Free,
        };
        let status = task.state.status.kind();
        let claimable = !matches!(status, StatusKind::Paused | StatusKind::Running);
        let due = task.state.status.due().unwrap_or(task.state.ready_at);
        if free && claimable && due <= now.plus_ms(AHEAD_MS) {
            if load.notices.is_empty() {
                load.notices.push(Notice::Free);
            }
            if load.free.len() < HINTS_MAX as usize && self.startable.contains(&task.spec.task_type)
            {
                load.free.push(Hint { id: task.id, band: task.spec.band, due });
            }
        }
    }

    /// What tells other nodes something beside what follows a commit.
    pub fn teller(&self) -> Teller {
        Teller::new(self.courier.clone())
    }

    #[cfg(test)]
    pub(super) fn is_brought(&self) -> bool {
        self.courier.is_empty()
    }

    #[cfg(test)]
    pub(super) fn startable_for_tests(&mut self, types: &[&str]) {
        self.startable = types.iter().map(|name| Arc::from(*name)).collect();
    }

    /// Takes hints for the claims of a batch and gives them to the store beneath.
    fn take_hints(&mut self, batch: &Batch) -> HashSet<TaskId, RandomState> {
        let by_this_node = |ask: &&ClaimAsk| ask.taker == Taker::Node;
        let mut wanted: BandMap<u32> = BandMap::default();
        for ask in batch.claims.iter().filter(by_this_node) {
            self.startable.extend(ask.types.iter().cloned());
            if let Bands::One(band) = ask.bands {
                wanted[band] = wanted[band].max(ask.limit.min(HINTS_MAX as u32));
            }
        }
        let wanted: Vec<(Band, u32)> =
            wanted.iter().map(|(band, most)| (band, *most)).filter(|(_, most)| *most > 0).collect();
        let now = self.level2.now();
        if wanted.is_empty() || now.since(self.plain_at) >= PLAIN_EVERY {
            self.plain_at = if wanted.is_empty() { self.plain_at } else { now };
            return HashSet::default();
        }
        let ids = self.level2.take_hints(&wanted);
        let taken = ids.iter().flat_map(|(_, ids)| ids).copied().collect();
        self.beneath.hint(ids);
        taken
    }

    fn burials(batch: &Batch) -> Vec<Burial> {
        let changes = batch.units.iter().flat_map(|unit: &Unit| &unit.changes);
        let revived = changes.filter(|change| matches!(change.kind, ChangeKind::Revive(..)));
        let burial = |change: &Change| {
            let state = &change.task.state;
            Burial { id: change.task.id, epoch: state.epoch, version: state.version }
        };
        revived.map(burial).collect()
    }
}

/// Free rows are claimed without hints at least so often: some were never hinted at.
const PLAIN_EVERY: Duration = Duration::from_millis(500);

/// Rows due within this time are claimed already.
const AHEAD_MS: u64 = 2000;

impl Store for Leveled {
    fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        let burials = Leveled::burials(batch);
        if !burials.is_empty() {
            self.level2.bury(&burials);
        }
        let life = self.level2.standing().life();
        let hints = self.take_hints(batch);
        let committed = self.beneath.commit(batch)?;
        let claimed = committed.claimed.iter().flat_map(|claimed| &claimed.tasks);
        let hinted = claimed.filter(|task| hints.contains(&task.id)).count();
        self.level2.counters.hints_claimed.add(hinted as u64);
        if self.level2.is_up() {
            let load = Load { life, ..self.load(batch, &committed) };
            if !(load.ended.is_empty() && load.free.is_empty() && load.notices.is_empty()) {
                // Full: Redis is slower than the store. What is left out costs only speed.
                let _ = self.courier.try_send(load);
            }
        }
        Ok(committed)
    }

    fn recover(&mut self, now: TimeMs, pool: &rayon::ThreadPool) -> Result<Recovered, StoreError> {
        self.beneath.recover(now, pool)
    }

    fn settle(&mut self, batch: &Batch) -> Result<Option<Committed>, StoreError> {
        self.beneath.settle(batch)
    }

    fn owned(&mut self) -> Result<Vec<TaskId>, StoreError> {
        self.beneath.owned()
    }

    fn nodes(&self) -> Result<Option<Box<dyn Nodes>>, StoreError> {
        self.beneath.nodes()
    }

    fn reopener(&self) -> Option<Arc<dyn Reopen>> {
        let beneath = self.beneath.reopener()?;
        let (level2, courier) = (Arc::clone(&self.level2), self.courier.clone());
        let startable = self.startable.clone();
        Some(Arc::new(Anew { beneath, level2, courier, startable }))
    }

    fn take_ids(&mut self, count: u32) -> Result<Range<u64>, StoreError> {
        self.beneath.take_ids(count)
    }

    fn signing_key(&mut self) -> Result<[u8; 16], StoreError> {
        self.beneath.signing_key()
    }

    fn release(&mut self) -> Result<(), StoreError> {
        self.beneath.release()
    }

    fn prune(&mut self, ask: &PruneAsk) -> Result<u64, StoreError> {
        self.level2.hide_before(ask.ended_before, self.level2.clock.now());
        self.beneath.prune(ask)
    }

    fn upkeep(&mut self, keys_before: TimeMs) -> Result<(), StoreError> {
        self.beneath.upkeep(keys_before)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.beneath.reader()
    }

    fn connections(&self) -> Option<LookAtConnections> {
        self.beneath.connections()
    }

    fn durability(&self) -> Durability {
        self.beneath.durability()
    }

    fn describe(&self) -> String {
        self.beneath.describe()
    }
}

/// The way to a new writing side, with the same second level over it.
struct Anew {
    beneath: Arc<dyn Reopen>,
    level2: Arc<Level2>,
    courier: Sender<Load>,
    startable: HashSet<Arc<str>, RandomState>,
}

impl Reopen for Anew {
    fn reopen(&self, writer: u64) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(Leveled {
            beneath: self.beneath.reopen(writer)?,
            level2: Arc::clone(&self.level2),
            courier: self.courier.clone(),
            allowance: Allowance::default(),
            startable: self.startable.clone(),
            plain_at: Mono(0),
        }))
    }
}

/// How many documents may be put: a busy server ends more tasks in a second than anybody will ask
/// for, and each document costs both machines time.
#[derive(Debug, Default)]
struct Allowance {
    left: u32,
    grown_at: Mono,
}

impl Allowance {
    const PER_SECOND: u64 = 2000;

    fn grow(&mut self, now: Mono) {
        let more = now.since(self.grown_at).as_millis() as u64 * Self::PER_SECOND / 1000;
        if more > 0 {
            let left = u64::from(self.left).saturating_add(more).min(Self::PER_SECOND);
            (self.left, self.grown_at) = (left as u32, now);
        }
    }

    fn take(&mut self) -> bool {
        let has = self.left > 0;
        self.left -= u32::from(has);
        has
    }
}
