//! The rows of the memory store and what happens to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::nodes::Register;
use crate::domain::{Change, ChangeKind, Holding, StatusKind, Task, TaskId, Terms, TimeMs};
use crate::store::rules::{adopt, due, forgets_wish, says};
use crate::store::tally::{Sort, Tally};
use crate::store::{
    Batch, Beat, Beaten, Bucket, ClaimAsk, Claimed, Committed, ExpiredAsk, Fate, Incarnation,
    KeyClaim, LeaseCount, PruneAsk, Recovered, Replay, StoreError, Stored, Taker, Unit,
};

type Map<K, V> = HashMap<K, V, RandomState>;

/// An unfinished task and the incarnation that holds it.
#[derive(Debug)]
struct Live {
    task: Task,
    owner: Option<Incarnation>,
}

/// A key, and what it led to.
#[derive(Debug)]
struct Used {
    body: [u8; 32],
    at: TimeMs,
    replay: Replay,
}

/// Everything that is stored.
#[derive(Debug, Default)]
pub(super) struct Table {
    live: Map<TaskId, Live>,
    ended: Map<TaskId, Task>,
    free: BTreeSet<(usize, u32, TimeMs, TaskId)>,
    leased: BTreeSet<(TimeMs, TaskId)>,
    types: Vec<Arc<str>>,
    numbers: Map<Arc<str>, u32>,
    keys: Map<[u8; 32], Used>,
    unique: Map<Box<str>, TaskId>,
    pub(super) counts: Map<Sort, i64>,
    pub(super) minutes: BTreeMap<i64, Bucket>,
    ids_taken: u64,
    /// How the last batches of each incarnation fared.
    settled: BTreeMap<(Incarnation, u64), Vec<Fate>>,
    pub(super) register: Register,
    pub(super) forgets_ended: bool,
}

impl Table {
    /// How many settled batches of one incarnation are remembered.
    const SETTLED_KEPT: u64 = 8 * Batch::PARTS;

    pub(super) fn commit(
        &mut self,
        owner: Incarnation,
        batch: &Batch,
        hints: &[TaskId],
    ) -> Result<Committed, StoreError> {
        self.check(batch)?;
        let mut committed = Committed::default();
        committed.fates.reserve(batch.units.len());
        let mut tally = Tally::default();
        for unit in &batch.units {
            let fate = self.unit(unit, owner, batch.now, &mut tally);
            committed.fates.push(fate);
        }
        self.count(tally);
        committed.beaten = batch.beats.iter().map(|beat| self.renew(beat, batch.now)).collect();
        committed.expired = batch.expired.map_or(Vec::new(), |ask| self.take_back(ask));
        for ask in &batch.claims {
            committed.claimed.push(self.claim(ask, owner, batch.now, hints));
        }
        committed.fetched = batch.fetch.iter().map(|id| self.stored(*id, Some(owner))).collect();
        committed.ids = (batch.ids_wanted > 0).then(|| self.take_ids(batch.ids_wanted));
        let (seq, oldest) = (batch.seq, batch.seq.saturating_sub(Self::SETTLED_KEPT));
        self.settled.retain(|(by, seq), _| *by != owner || *seq >= oldest);
        self.settled.insert((owner, seq), committed.fates.clone());
        Ok(committed)
    }

    /// The types beyond the first ones, and how many there are.
    pub(super) fn types_after(&self, known: usize) -> (Vec<Arc<str>>, usize) {
        (self.types.get(known..).unwrap_or_default().to_vec(), self.types.len())
    }

    /// How this batch fared, if it is stored.
    pub(super) fn settled(&self, owner: Incarnation, seq: u64) -> Option<Committed> {
        let fates = self.settled.get(&(owner, seq))?.clone();
        Some(Committed { fates, ..Committed::default() })
    }

    pub(super) fn owned(&self, owner: Incarnation) -> Vec<TaskId> {
        let ours = |row: &&Live| row.owner == Some(owner);
        let mut ids: Vec<TaskId> = self.live.values().filter(ours).map(|row| row.task.id).collect();
        ids.sort_unstable();
        ids
    }

    /// What no table could hold is refused before anything is written.
    fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        let new = |unit: &&Unit| unit.key.is_none_or(|claim| !self.keys.contains_key(&claim.key));
        for change in batch.units.iter().filter(new).flat_map(|unit| &unit.changes) {
            let insert = matches!(change.kind, ChangeKind::Insert(_));
            if insert && self.live.contains_key(&change.task.id) {
                return Err(StoreError::Data(format!("task {} exists", change.task.id)));
            }
        }
        Ok(())
    }

    fn unit(&mut self, unit: &Unit, owner: Incarnation, now: TimeMs, tally: &mut Tally) -> Fate {
        if let Some(claim) = &unit.key
            && let Some(used) = self.keys.get(&claim.key)
        {
            let same = used.body == claim.body;
            return if same { Fate::Replayed(used.replay.clone()) } else { Fate::KeyReused };
        }
        let mut known = Vec::new();
        for (place, change) in unit.changes.iter().enumerate() {
            match self.change(change, owner) {
                Fate::Applied => {
                    let type_id = self.intern(&change.task.spec.task_type);
                    tally.note(change, type_id, now);
                }
                Fate::UniqueTaken(holder) if matches!(change.kind, ChangeKind::Insert(_)) => {
                    known.push((place, holder));
                }
                refused => return refused,
            }
        }
        if let Some(claim) = &unit.key {
            self.keep(claim, unit, &known, now);
        }
        if known.is_empty() { Fate::Applied } else { Fate::AppliedBut(known) }
    }

    fn keep(&mut self, claim: &KeyClaim, unit: &Unit, known: &[(usize, TaskId)], at: TimeMs) {
        let mut ids: Vec<TaskId> = unit.changes.iter().map(|change| change.task.id).collect();
        for &(place, id) in known {
            ids[place] = id;
        }
        let replay = Replay { ids, created: known.len() < unit.changes.len() };
        self.keys.insert(claim.key, Used { body: claim.body, at, replay });
    }

    fn change(&mut self, change: &Change, owner: Incarnation) -> Fate {
        let task = &change.task;
        match change.kind {
            ChangeKind::Insert(holding) => {
                if let Some(holder) = self.unique_taken(task) {
                    return Fate::UniqueTaken(holder);
                }
                self.put(task.clone(), holding, owner);
            }
            ChangeKind::Update(before, holding) => {
                let fits = |row: &Live| says(&row.task, before) && !forgets_wish(&row.task, task);
                if !self.live.get(&task.id).is_some_and(fits) {
                    return Fate::Stale;
                }
                self.take(task.id);
                self.put(task.clone(), holding, owner);
            }
            ChangeKind::Finish(before) => {
                if !self.live.get(&task.id).is_some_and(|row| says(&row.task, before)) {
                    return Fate::Stale;
                }
                self.take(task.id);
                if let Some(key) = &task.spec.unique_key {
                    self.unique.remove(key);
                }
                if !self.forgets_ended {
                    self.ended.insert(task.id, task.clone());
                }
            }
            ChangeKind::Revive(before, holding) => {
                if let Some(holder) = self.unique_taken(task) {
                    return Fate::UniqueTaken(holder);
                }
                if !self.ended.get(&task.id).is_some_and(|row| says(row, before)) {
                    return Fate::Stale;
                }
                self.ended.remove(&task.id);
                self.put(task.clone(), holding, owner);
            }
        }
        Fate::Applied
    }

    fn unique_taken(&self, task: &Task) -> Option<TaskId> {
        self.unique.get(task.spec.unique_key.as_ref()?).copied()
    }

    fn put(&mut self, task: Task, holding: Holding, owner: Incarnation) {
        if let Some(key) = &task.spec.unique_key {
            self.unique.insert(key.clone(), task.id);
        }
        let owner = (holding == Holding::Held).then_some(owner);
        let place = self.place(&task);
        match (owner, task.state.status.kind()) {
            (Some(_), _) | (None, StatusKind::Paused) => {}
            (None, StatusKind::Running) => drop(self.leased.insert((place.2, place.3))),
            (None, _) => drop(self.free.insert(place)),
        }
        self.live.insert(task.id, Live { task, owner });
    }

    fn take(&mut self, id: TaskId) -> Option<Live> {
        let row = self.live.remove(&id)?;
        if row.owner.is_none() {
            let place = self.place(&row.task);
            self.free.remove(&place);
            self.leased.remove(&(place.2, place.3));
        }
        Some(row)
    }

    fn place(&mut self, task: &Task) -> (usize, u32, TimeMs, TaskId) {
        let type_id = self.intern(&task.spec.task_type);
        (task.spec.band.rank(), type_id, due(task), task.id)
    }

    fn intern(&mut self, name: &Arc<str>) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.types.len() as u32;
        self.types.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    fn count(&mut self, tally: Tally) {
        for (sort, by) in tally.counts {
            *self.counts.entry(sort).or_insert(0) += by;
        }
        for more in tally.minutes {
            let bucket = self.minutes.entry(more.minute);
            bucket.or_insert_with(|| Bucket::empty(more.minute)).merge(&more);
        }
    }

    fn renew(&mut self, beat: &Beat, now: TimeMs) -> Option<Beaten> {
        let row = self.live.get(&beat.id)?;
        let state = &row.task.state;
        let runs = state.status.is_running() && state.leased_until.is_some();
        if row.owner.is_some() || !runs || state.epoch != beat.epoch {
            return None;
        }
        let mut task = self.take(beat.id)?.task;
        task.state.leased_until = Some(beat.until);
        if beat.progress.is_some() && beat.progress != task.state.progress {
            task.state.progress = beat.progress;
            task.state.version += 1;
            task.state.updated_at = now;
        }
        let (ends, cancel_requested) = (due(&task), task.state.cancel_requested);
        let version = task.state.version;
        self.put(task, Holding::Free, Incarnation(0));
        Some(Beaten { ends, cancel_requested, version })
    }

    fn take_back(&mut self, ask: ExpiredAsk) -> Vec<Task> {
        let over = self.leased.iter().take_while(|(due, _)| *due <= ask.due_by);
        let ids: Vec<TaskId> = over.take(ask.limit as usize).map(|(_, id)| *id).collect();
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(mut row) = self.take(id) else { continue };
            if row.task.take_back().is_ok() {
                taken.push(row.task.clone());
            }
            self.put(row.task, Holding::Free, Incarnation(0));
        }
        taken
    }

    /// What of the hints this ask can have, in the order of claims.
    fn hinted(&self, ask: &ClaimAsk, hints: &[TaskId]) -> Vec<(usize, TimeMs, TaskId)> {
        let place = |id: &TaskId| {
            let row = self.live.get(id).filter(|row| row.owner.is_none())?;
            let wanted = ask.bands.in_order().contains(&row.task.spec.band)
                && ask.types.contains(&row.task.spec.task_type);
            let number = *self.numbers.get(&row.task.spec.task_type)?;
            let (band, due) = (row.task.spec.band.rank(), due(&row.task));
            let free = self.free.contains(&(band, number, due, *id));
            (wanted && free && due <= ask.due_by).then_some((band, due, *id))
        };
        let mut found: Vec<_> = hints.iter().filter_map(place).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn claim(
        &mut self,
        ask: &ClaimAsk,
        owner: Incarnation,
        now: TimeMs,
        hints: &[TaskId],
    ) -> Claimed {
        let Some(first_id) = TaskId::new(1) else { return Claimed::default() };
        let mut due = self.hinted(ask, hints);
        let limit = ask.limit as usize;
        if due.len() >= limit {
            return self.take_due(ask, owner, now, due);
        }
        let mut others = Vec::new();
        for band in ask.bands.in_order().iter().map(|band| band.rank()) {
            for &type_id in ask.types.iter().filter_map(|name| self.numbers.get(name)) {
                let first = (band, type_id, TimeMs(i64::MIN), first_id);
                let rows = self
                    .free
                    .range(first..)
                    .take_while(|(b, t, due, _)| *b == band && *t == type_id && *due <= ask.due_by);
                others.extend(rows.take(limit).map(|(_, _, due, id)| (band, *due, *id)));
            }
        }
        others.retain(|row| due.binary_search(row).is_err());
        others.sort_unstable();
        others.dedup();
        due.extend(others.into_iter().take(limit - due.len()));
        due.sort_unstable();
        self.take_due(ask, owner, now, due)
    }

    fn take_due(
        &mut self,
        ask: &ClaimAsk,
        owner: Incarnation,
        now: TimeMs,
        mut due: Vec<(usize, TimeMs, TaskId)>,
    ) -> Claimed {
        due.truncate(ask.limit as usize);
        let mut has_more = due.len() >= ask.limit as usize;
        let mut tasks = Vec::with_capacity(due.len());
        let mut bytes = 0;
        for (_, _, id) in due {
            if bytes >= ask.bytes_max {
                has_more = true;
                break;
            }
            let Some(mut row) = self.take(id) else { continue };
            bytes += row.task.spec.weight();
            match &ask.taker {
                Taker::Node => {
                    row.task.state.epoch = row.task.state.epoch.next();
                    tasks.push(row.task.clone());
                    row.owner = Some(owner);
                    self.live.insert(id, row);
                }
                Taker::Worker(terms) => {
                    let task = self.lease(row.task, terms, now.max(ask.due_by));
                    tasks.push(task);
                }
            }
        }
        Claimed { tasks, has_more }
    }

    fn lease(&mut self, mut task: Task, terms: &Terms, now: TimeMs) -> Task {
        let (band, type_id) = (task.spec.band, self.intern(&task.spec.task_type));
        let mut tally = Tally::default();
        tally.add(Sort { status: task.state.status.kind(), band, type_id }, -1);
        task.lease(terms, now).expect("a claimable row may start");
        tally.add(Sort { status: task.state.status.kind(), band, type_id }, 1);
        self.count(tally);
        self.put(task.clone(), Holding::Free, Incarnation(0));
        task
    }

    /// What workers lease, by worker and type.
    pub(super) fn leases(&self, limit: u32) -> Vec<LeaseCount> {
        let mut counts: BTreeMap<(Arc<str>, u32), (u64, TimeMs)> = BTreeMap::new();
        for (_, id) in &self.leased {
            let Some(Live { task, .. }) = self.live.get(id) else { continue };
            let (Some(worker), Some(until)) = (&task.state.worker, task.state.leased_until) else {
                continue;
            };
            let number = self.numbers.get(&task.spec.task_type).copied().unwrap_or(0);
            let count = counts.entry((Arc::clone(worker), number)).or_insert((0, until));
            *count = (count.0 + 1, count.1.min(until));
        }
        let count = |((worker, number), (tasks, until))| LeaseCount {
            worker,
            task_type: self.type_name(number),
            tasks,
            until,
        };
        counts.into_iter().map(count).take(limit as usize).collect()
    }

    /// What is stored under an id, as `viewer` sees it.
    pub(super) fn stored(&self, id: TaskId, viewer: Option<Incarnation>) -> Stored {
        if let Some(row) = self.live.get(&id) {
            let task = Box::new(row.task.clone());
            return match (row.owner, viewer) {
                (None, _) => Stored::Live(task, Holding::Free),
                (Some(owner), Some(viewer)) if owner != viewer => Stored::Elsewhere(task, owner),
                (Some(_), _) => Stored::Live(task, Holding::Held),
            };
        }
        match self.ended.get(&id) {
            Some(task) => Stored::Ended(Box::new(task.clone())),
            None => Stored::Missing,
        }
    }

    pub(super) fn recover(&mut self, own: Incarnation, now: TimeMs) -> Recovered {
        let former = self.register.end_former(own);
        let mut held = Vec::new();
        for (id, released) in self.rows_of(|owner| former.get(&owner).copied()) {
            self.move_row(id, Some(own), |task| adopt(task, released, now));
            held.extend(self.live.get(&id).map(|row| row.task.clone()));
        }
        Recovered { held, types: self.types.clone() }
    }

    /// Frees what a node held that was ended, and says how many rows it was.
    pub(super) fn free_rows_of(
        &mut self,
        node: Incarnation,
        released: bool,
        cancelled: &BTreeSet<TaskId>,
        now: TimeMs,
    ) -> u64 {
        let mut freed = 0;
        for (id, ()) in self.rows_of(|owner| (owner == node).then_some(())) {
            freed += 1;
            self.move_row(id, None, |task| {
                adopt(task, released, now);
                task.state.cancel_requested |= cancelled.contains(&id);
            });
        }
        freed
    }

    /// The rows of some owners, in the order of ids, each with what `of` says of its owner.
    fn rows_of<T>(&self, of: impl Fn(Incarnation) -> Option<T>) -> Vec<(TaskId, T)> {
        let row = |row: &Live| Some((row.task.id, of(row.owner?)?));
        let mut rows: Vec<(TaskId, T)> = self.live.values().filter_map(row).collect();
        rows.sort_unstable_by_key(|(id, _)| *id);
        rows
    }

    /// Changes a row and its owner, and counts that.
    fn move_row(&mut self, id: TaskId, owner: Option<Incarnation>, change: impl FnOnce(&mut Task)) {
        let Some(Live { mut task, .. }) = self.take(id) else { return };
        let before = task.state.status.kind();
        change(&mut task);
        let type_id = self.intern(&task.spec.task_type);
        let sort = |status| Sort { status, band: task.spec.band, type_id };
        let mut tally = Tally::default();
        tally.add(sort(before), -1);
        tally.add(sort(task.state.status.kind()), 1);
        self.count(tally);
        let holding = if owner.is_some() { Holding::Held } else { Holding::Free };
        self.put(task, holding, owner.unwrap_or(Incarnation(0)));
    }

    pub(super) fn take_ids(&mut self, count: u32) -> Range<u64> {
        let start = self.ids_taken + 1;
        self.ids_taken += u64::from(count);
        start..start + u64::from(count)
    }

    pub(super) fn prune(&mut self, ask: &PruneAsk) -> u64 {
        let old = |task: &&Task| {
            ask.statuses.contains(&task.state.status.kind())
                && task.state.completed_at.is_none_or(|at| at < ask.ended_before)
        };
        let mut gone: Vec<TaskId> = self.ended.values().filter(old).map(|task| task.id).collect();
        gone.sort_unstable();
        gone.truncate(ask.limit as usize);
        let mut tally = Tally::default();
        for id in &gone {
            let Some(task) = self.ended.remove(id) else { continue };
            let type_id = self.intern(&task.spec.task_type);
            let status = task.state.status.kind();
            tally.add(Sort { status, band: task.spec.band, type_id }, -1);
        }
        self.count(tally);
        gone.len() as u64
    }

    pub(super) fn forget(&mut self, keys_before: TimeMs) {
        self.keys.retain(|_, used| used.at >= keys_before);
    }

    /// Every task, live and ended, in no order.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.live.values().map(|row| &row.task).chain(self.ended.values())
    }

    pub(super) fn type_name(&self, number: u32) -> Arc<str> {
        self.types[number as usize].clone()
    }

    /// When the first free row that can be claimed became due.
    pub(super) fn oldest_free(&self, now: TimeMs) -> Option<TimeMs> {
        self.free.iter().map(|(_, _, due, _)| *due).filter(|due| *due <= now).min()
    }
}
