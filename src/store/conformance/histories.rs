//! Random histories: the store under test and the memory store live through the same batches,
//! crashes and prunings, and must give the same answers all the way.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::reading::{FIELDS, ask, filters};
use super::sample::{NOW, Sample, finish, revive, update};
use super::{Fresh, Ground, start};
use crate::domain::{Band, Epoch, Holding, Status, StatusKind, Suspicion, Task, Terms, TimeMs};
use crate::store::memory::MemoryDisk;
use crate::store::{
    Bands, Batch, Beat, ClaimAsk, ExpiredAsk, Fate, KeyClaim, PageAsk, Place, PruneAsk,
    ScheduledAsk, Store, Taker, Unit,
};

/// One step of a history; the numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Deed>, Wishes),
    Prune(usize, u64, u32),
    Restart(bool),
    Forget(u64),
}

/// What a commit asks for beside its units.
#[derive(Debug, Clone)]
struct Wishes {
    /// Band, limit, and whether for a worker.
    claims: Vec<(usize, u32, bool)>,
    /// Which tasks' leases, and for how long.
    beats: Vec<(usize, u64)>,
    take_back: bool,
}

#[derive(Debug, Clone)]
enum Deed {
    Insert { count: usize, sort: usize, unique: usize, key: Option<(u8, u8)> },
    Update { which: usize, to: usize, held: bool },
    Finish { which: usize, to: usize },
    Revive { which: usize, held: bool },
    Stale { which: usize },
}

fn deed() -> impl Strategy<Value = Deed> {
    let key = proptest::option::weighted(0.3, (0..4u8, 0..2u8));
    prop_oneof![
        4 => (1..4usize, 0..1000usize, 0..12usize, key)
            .prop_map(|(count, sort, unique, key)| Deed::Insert { count, sort, unique, key }),
        4 => (0..1000usize, 0..7usize, any::<bool>())
            .prop_map(|(which, to, held)| Deed::Update { which, to, held }),
        3 => (0..1000usize, 0..3usize).prop_map(|(which, to)| Deed::Finish { which, to }),
        1 => (0..1000usize, any::<bool>()).prop_map(|(which, held)| Deed::Revive { which, held }),
        1 => (0..1000usize).prop_map(|which| Deed::Stale { which }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let claims = prop::collection::vec((0..5usize, 0..4u32, any::<bool>()), 0..3);
    let beats = prop::collection::vec((0..1000usize, 0..30_000u64), 0..3);
    let take_back = prop::bool::weighted(0.2);
    let wishes = (claims, beats, take_back).prop_map(|(claims, beats, take_back)| Wishes {
        claims,
        beats,
        take_back,
    });
    prop_oneof![
        16 => (prop::collection::vec(deed(), 0..8), wishes)
            .prop_map(|(deeds, wishes)| Step::Commit(deeds, wishes)),
        1 => (0..3usize, 0..100u64, 0..5u32).prop_map(|(s, at, limit)| Step::Prune(s, at, limit)),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => (0..100u64).prop_map(Step::Forget),
    ]
}

const ENDS: [StatusKind; 3] = [StatusKind::Completed, StatusKind::Failed, StatusKind::Cancelled];

/// Both stores, and what is left of the history's way.
struct World {
    ground: Box<dyn Ground>,
    disk: MemoryDisk,
    store: Option<Box<dyn Store>>,
    model: Box<dyn Store>,
    now: TimeMs,
    next: u64,
}

impl World {
    fn new(fresh: Fresh<'_>) -> World {
        let ground = fresh();
        let store = Some(start(&*ground, NOW).0);
        let disk = MemoryDisk::new();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let mut model = Box::new(disk.open());
        model.recover(NOW, &pool).unwrap();
        World { ground, disk, store, model, now: NOW, next: 1 }
    }

    /// The tasks that are live, or those that have ended, as the model has them.
    fn tasks(&self, ended: bool) -> Vec<Task> {
        let mut tasks = self.disk.tasks();
        tasks.retain(|task| task.state.status.kind().is_terminal() == ended);
        tasks
    }

    fn unit(&mut self, deed: &Deed) -> Option<Unit> {
        let pick = |tasks: Vec<Task>, which: usize| {
            let place = which % tasks.len().max(1);
            tasks.into_iter().nth(place)
        };
        let holding = |held| if held { Holding::Held } else { Holding::Free };
        Some(match *deed {
            Deed::Insert { count, sort, unique, key } => {
                let samples = (0..count).map(|n| self.sample(sort + n, unique + n));
                let changes = samples.map(|sample| sample.insert()).collect();
                let key = key.map(|(key, body)| KeyClaim { key: [key; 32], body: [body; 32] });
                Unit { changes, key }
            }
            Deed::Update { which, to, held } => {
                let mut task = pick(self.tasks(false), which)?;
                let now = self.now;
                // Only a held task runs.
                update(&mut task, holding(held || to == 1), |state| {
                    state.status = status(to, now, state.epoch);
                    state.version += 1;
                    state.ready_at = now;
                    state.suspicion = Suspicion::None.after_crash();
                })
            }
            Deed::Finish { which, to } => {
                finish(&mut pick(self.tasks(false), which)?, ENDS[to], self.now)
            }
            Deed::Revive { which, held } => {
                revive(&mut pick(self.tasks(true), which)?, holding(held))
            }
            Deed::Stale { which } => {
                let mut task = pick(self.tasks(false), which)?;
                task.state.epoch = Epoch(task.state.epoch.0 + 1);
                finish(&mut task, StatusKind::Failed, self.now)
            }
        })
    }

    fn sample(&mut self, sort: usize, unique: usize) -> Sample {
        let number = self.next;
        self.next += 1;
        let sample = Sample::new(number)
            .band(Band::ALL[sort % 5])
            .of_type(["NOOP", "b", "c"][sort % 3])
            .named(&format!("n{}", sort % 4))
            .ready_at(self.now)
            .status(status(sort % 7, self.now, Epoch(1)));
        let sample = if sort.is_multiple_of(2) && sort % 7 != 1 { sample.free() } else { sample };
        if unique < 5 { sample.unique(&format!("u{unique}")) } else { sample }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.now = self.now.plus_ms(7001);
        let store = self.store.as_mut().expect("a store is open between steps");
        match step {
            Step::Commit(deeds, wishes) => self.commit(deeds, wishes)?,
            Step::Prune(status, at, limit) => {
                let ended_before = NOW.plus_ms(at * 7001);
                let ask = PruneAsk { statuses: vec![ENDS[*status]], ended_before, limit: *limit };
                // Which of the old rows go first is the store's own affair, so all of them go.
                let (mut ours, mut theirs) = (0, 0);
                for _ in 0..40 {
                    let ask = PruneAsk { limit: ask.limit.max(1) * 20, ..ask.clone() };
                    ours += store.prune(&ask).unwrap();
                    theirs += self.model.prune(&ask).unwrap();
                }
                prop_assert_eq!(ours, theirs);
            }
            Step::Restart(released) => {
                if *released {
                    store.release().unwrap();
                    self.model.release().unwrap();
                }
                self.store = None;
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                let (store, recovered) = start(&*self.ground, self.now);
                self.model = Box::new(self.disk.open());
                let expected = self.model.recover(self.now, &pool).unwrap();
                self.store = Some(store);
                prop_assert_eq!(recovered.held.len(), expected.held.len());
                for (ours, theirs) in recovered.held.iter().zip(&expected.held) {
                    prop_assert_eq!(ours, theirs);
                }
            }
            Step::Forget(at) => {
                store.upkeep(NOW.plus_ms(at * 7001)).unwrap();
                self.model.upkeep(NOW.plus_ms(at * 7001)).unwrap();
            }
        }
        Ok(())
    }

    fn commit(&mut self, deeds: &[Deed], wishes: &Wishes) -> Result<(), TestCaseError> {
        let units: Vec<Unit> = deeds.iter().filter_map(|deed| self.unit(deed)).collect();
        let leased: Vec<Task> =
            self.tasks(false).into_iter().filter(|task| task.state.status.is_running()).collect();
        let beats = wishes.beats.iter().filter_map(|(which, for_ms)| {
            let task = leased.get(which % leased.len().max(1))?;
            let until = self.now.plus_ms(*for_ms);
            let progress = (which % 3 > 0).then_some((which % 7) as u8);
            Some(Beat { id: task.id, epoch: task.state.epoch, until, progress })
        });
        let terms = Terms { worker: "w".into(), until: self.now.plus_ms(9000) };
        let taker = |leased| if leased { Taker::Worker(terms.clone()) } else { Taker::Node };
        let claims = wishes.claims.iter().map(|(band, limit, leased)| ClaimAsk {
            bands: Bands::One(Band::ALL[*band]),
            limit: *limit,
            bytes_max: usize::MAX,
            due_by: self.now,
            types: ["NOOP", "c"].map(Arc::from).into(),
            taker: taker(*leased),
        });
        let fetch = self.tasks(true).iter().chain(&self.tasks(false)).map(|t| t.id).collect();
        let batch = Batch {
            seq: self.next,
            now: self.now,
            units,
            claims: claims.collect(),
            fetch,
            beats: beats.collect(),
            expired: wishes.take_back.then_some(ExpiredAsk { due_by: self.now, limit: 100 }),
            ids_wanted: deeds.len() as u32,
        };
        let store = self.store.as_mut().expect("a store is open between steps");
        let ours = store.commit(&batch).unwrap();
        let theirs = self.model.commit(&batch).unwrap();
        prop_assert_eq!(&ours.fates, &theirs.fates);
        for (ours, theirs) in ours.claimed.iter().zip(&theirs.claimed) {
            prop_assert_eq!(&ours.tasks, &theirs.tasks);
        }
        for (ours, theirs) in ours.fetched.iter().zip(&theirs.fetched) {
            prop_assert_eq!(ours, theirs);
        }
        prop_assert_eq!(ours.beaten, theirs.beaten);
        prop_assert_eq!(ours.expired, theirs.expired);
        prop_assert_eq!(ours.ids, theirs.ids);
        prop_assert!(!ours.fates.contains(&Fate::Unsent));
        Ok(())
    }

    /// Everything a reader can be asked.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        let store = self.store.as_ref().expect("a store is open between steps");
        let (mut ours, mut theirs) = (store.reader().unwrap(), self.model.reader().unwrap());
        let counts = ours.counts().unwrap();
        prop_assert_eq!(&counts, &theirs.counts().unwrap());
        let mut rows = std::collections::BTreeMap::new();
        for task in self.disk.tasks() {
            let sort = (task.state.status.kind(), task.spec.band, task.spec.task_type.clone());
            *rows.entry(sort).or_insert(0u64) += 1;
        }
        let counted: Vec<_> = counts
            .into_iter()
            .map(|count| ((count.status, count.band, count.task_type), count.tasks))
            .collect();
        prop_assert_eq!(counted, rows.into_iter().collect::<Vec<_>>(), "counters equal rows");
        let minutes = NOW.minute() - 1..self.now.minute() + 1;
        prop_assert_eq!(ours.buckets(minutes.clone()), theirs.buckets(minutes));
        prop_assert_eq!(ours.oldest_free(self.now), theirs.oldest_free(self.now));
        prop_assert_eq!(ours.leases(9), theirs.leases(9));
        for field in FIELDS {
            for filter in filters() {
                let ask = PageAsk { place: Place::Offset(2), ..ask(field, true, filter) };
                prop_assert_eq!(ours.page(&ask), theirs.page(&ask), "{:?}", ask);
            }
        }
        let ask = ScheduledAsk {
            due_by: self.now.plus_ms(500),
            offset: 1,
            size: 50,
            payloads: false,
            budget_ms: 60_000,
        };
        prop_assert_eq!(ours.scheduled(&ask), theirs.scheduled(&ask));
        Ok(())
    }
}

fn status(choice: usize, now: TimeMs, epoch: Epoch) -> Status {
    match choice {
        0 => Status::Scheduled { due: now.plus_ms(20_000) },
        1 => Status::Running { epoch },
        2 => Status::Retrying { due: now.plus_ms(1) },
        3 => Status::Paused { due: TimeMs::ZERO },
        4 => Status::Pending,
        _ => Status::Queued,
    }
}

pub(crate) fn random_histories_agree_with_the_memory_store(fresh: Fresh<'_>) {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let histories = prop::collection::vec(step(), 1..40);
    let result = TestRunner::new(config).run(&histories, |steps| {
        let mut world = World::new(fresh);
        steps.iter().try_for_each(|step| world.take(step))?;
        world.compare()
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
