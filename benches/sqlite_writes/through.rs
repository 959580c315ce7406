//! The ways through the store.

use std::path::Path;
use std::sync::Arc;

use taskscheduler::clock::Clock;
use taskscheduler::domain::{
    Band, Before, Change, ChangeKind, Epoch, Holding, Payload, RetryPolicy, Run, Spec, State,
    Status, StatusKind, Suspicion, Task, TaskId, TimeMs,
};
use taskscheduler::store::sqlite::{Migrate, Options, SqliteStore};
use taskscheduler::store::{Bands, Batch, ClaimAsk, Fate, Store, Taker, Unit};

use crate::{BATCH, CLAIM, Rate, Stopwatch, TASKS};

const NOW: TimeMs = TimeMs(1_764_000_000_000);

/// A store in its own folder, ready for batches.
pub fn open(folder: &Path, watch: &Stopwatch) -> SqliteStore {
    let clock = Arc::clone(&watch.0) as Arc<dyn Clock>;
    let options = Options { migrate: Migrate::Apply, clock };
    SqliteStore::open(folder, options).expect("a store")
}

/// The tasks of all measurements.
pub fn tasks() -> Vec<Task> {
    let task_type: Arc<str> = "NOOP".into();
    let payload = Payload::text(&"x".repeat(100));
    let task = |number: usize| Task {
        id: TaskId::new(number as u64 + 1).expect("not nought"),
        spec: Arc::new(Spec {
            name: "a task to measure".into(),
            task_type: task_type.clone(),
            band: Band::ALL[number % 5],
            payload: Some(payload.clone()),
            description: None,
            scheduled_for: None,
            timeout_s: 300,
            retry: RetryPolicy::default(),
            tags: None,
            unique_key: None,
            created_at: NOW,
        }),
        state: State {
            status: Status::Queued,
            epoch: Epoch(1),
            retries: 0,
            version: 1,
            updated_at: NOW,
            ready_at: NOW,
            run: None,
            last_error: None,
            result: None,
            completed_at: None,
            leased_until: None,
            worker: None,
            progress: None,
            cancel_requested: false,
            suspicion: Suspicion::None,
        },
    };
    (0..TASKS).map(task).collect()
}

fn unit(task: Task, kind: ChangeKind) -> Unit {
    Unit { changes: vec![Change { task, kind }], key: None }
}

fn batch(units: Vec<Unit>) -> Batch {
    Batch { seq: 1, now: NOW, units, ..Batch::default() }
}

fn inserts(holding: Holding) -> Vec<Batch> {
    let insert = |task: &Task| unit(task.clone(), ChangeKind::Insert(holding));
    tasks().chunks(BATCH).map(|part| batch(part.iter().map(insert).collect())).collect()
}

fn finish(mut task: Task) -> Unit {
    let before = Before { status: StatusKind::Queued, epoch: task.state.epoch };
    task.state.status = Status::Completed;
    task.state.version += 1;
    task.state.updated_at = NOW.plus_ms(3);
    task.state.completed_at = Some(NOW.plus_ms(3));
    task.state.run = Some(Run { started_at: NOW.plus_ms(2), took_us: 37, waited_us: 1900 });
    unit(task, ChangeKind::Finish(before))
}

fn commit_all(store: &mut SqliteStore, batches: &[Batch]) {
    for batch in batches {
        let committed = store.commit(batch).expect("committed");
        assert!(committed.fates.iter().all(|fate| *fate == Fate::Applied));
    }
}

/// Fills a store with all tasks, unfinished or ended.
pub fn fill(folder: &Path, watch: &Stopwatch, ended: bool) {
    let mut store = open(folder, watch);
    commit_all(&mut store, &inserts(Holding::Held));
    if ended {
        for part in tasks().chunks(BATCH) {
            let units = part.iter().cloned().map(finish).collect();
            commit_all(&mut store, &[batch(units)]);
        }
    }
}

fn insert(watch: &Stopwatch, holding: Holding) -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path(), watch);
    let batches = inserts(holding);
    let from = watch.start();
    commit_all(&mut store, &batches);
    watch.rate(from)
}

pub fn insert_held(watch: &Stopwatch) -> Rate {
    insert(watch, Holding::Held)
}

pub fn insert_free(watch: &Stopwatch) -> Rate {
    insert(watch, Holding::Free)
}

/// Each commit inserts a batch and finishes the one before.
pub fn life(watch: &Stopwatch) -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path(), watch);
    let mut batches = inserts(Holding::Held);
    batches.push(batch(Vec::new()));
    for (place, part) in tasks().chunks(BATCH).enumerate() {
        batches[place + 1].units.extend(part.iter().cloned().map(finish));
    }
    let from = watch.start();
    commit_all(&mut store, &batches);
    watch.rate(from)
}

fn asks() -> Vec<ClaimAsk> {
    let ask = |band| ClaimAsk {
        bands: Bands::One(band),
        limit: CLAIM as u32 / 5,
        bytes_max: usize::MAX,
        due_by: NOW,
        types: Arc::new(["NOOP".into()]),
        taker: Taker::Node,
    };
    Band::ALL.map(ask).into()
}

/// Claims everything in a store of free rows; with `finishing`, each commit also finishes what the
/// one before claimed, as a drain does.
fn claims(watch: &Stopwatch, finishing: bool) -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path(), watch);
    commit_all(&mut store, &inserts(Holding::Free));
    let from = watch.start();
    let (mut taken, mut done) = (0, Vec::new());
    while taken < TASKS || !done.is_empty() {
        let units = std::mem::take(&mut done);
        let asked = Batch { claims: asks(), ..batch(units) };
        let committed = store.commit(&asked).expect("committed");
        let tasks = committed.claimed.into_iter().flat_map(|claimed| claimed.tasks);
        if finishing {
            done = tasks.map(finish).collect();
            taken += done.len();
        } else {
            taken += tasks.count();
        }
    }
    watch.rate(from)
}

pub fn claim(watch: &Stopwatch) -> Rate {
    claims(watch, false)
}

pub fn drain(watch: &Stopwatch) -> Rate {
    claims(watch, true)
}

/// A start that finds everything held by a life that crashed.
pub fn recover(watch: &Stopwatch) -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    let mut store = open(folder.path(), watch);
    store.recover(NOW, &pool).expect("recovered");
    commit_all(&mut store, &inserts(Holding::Held));
    drop(store);
    let from = watch.start();
    let mut store = open(folder.path(), watch);
    let recovered = store.recover(NOW, &pool).expect("recovered");
    assert_eq!(recovered.held.len(), TASKS);
    watch.rate(from)
}
