//! Leases: granted in a claim, renewed, taken back, counted, and older than the server.

use std::sync::Arc;

use super::sample::{NOW, Sample, batch, commit, fate, fetch, finish, id, insert, update};
use super::{Fresh, start};
use crate::domain::{Band, Epoch, Holding, Status, StatusKind, Task, Terms, TimeMs};
use crate::store::{
    Bands, Batch, Beat, Beaten, ClaimAsk, Committed, ExpiredAsk, Fate, LeaseCount, Store, Stored,
    Taker,
};

fn terms(worker: &str, for_ms: u64) -> Terms {
    Terms { worker: worker.into(), until: NOW.plus_ms(for_ms) }
}

fn ask(terms: Terms, limit: u32, types: &[&str]) -> ClaimAsk {
    ClaimAsk {
        bands: Bands::All,
        limit,
        bytes_max: usize::MAX,
        due_by: NOW,
        types: types.iter().map(|name| Arc::from(*name)).collect(),
        taker: Taker::Worker(terms),
    }
}

fn claim(store: &mut dyn Store, asks: Vec<ClaimAsk>) -> Vec<Task> {
    let committed = store.commit(&Batch { claims: asks, ..batch(Vec::new()) }).unwrap();
    committed.claimed.into_iter().flat_map(|claimed| claimed.tasks).collect()
}

fn beat(number: u64, epoch: u64, for_ms: u64, progress: Option<u8>) -> Beat {
    Beat { id: id(number), epoch: Epoch(epoch), until: NOW.plus_ms(for_ms), progress }
}

fn beats(store: &mut dyn Store, beats: Vec<Beat>) -> Vec<Option<Beaten>> {
    store.commit(&Batch { beats, ..batch(Vec::new()) }).unwrap().beaten
}

fn take_back(store: &mut dyn Store, after_ms: u64, limit: u32) -> Committed {
    let expired = Some(ExpiredAsk { due_by: NOW.plus_ms(after_ms), limit });
    store.commit(&Batch { expired, ..batch(Vec::new()) }).unwrap()
}

pub(crate) fn a_claim_for_a_worker_starts_its_tasks_and_leaves_them_free(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let earlier = |ms| TimeMs(NOW.0 - ms);
    let samples = [
        Sample::new(1).ready_at(earlier(40)),
        Sample::new(2).band(Band::High),
        Sample::new(3).status(Status::Retrying { due: earlier(7) }).ready_at(earlier(7)),
        Sample::new(4).status(Status::Scheduled { due: NOW.plus_ms(1) }),
        Sample::new(5).of_type("B"),
    ]
    .map(Sample::free);
    // The tasks of one and the same batch can be leased.
    let units = samples.iter().map(insert).collect();
    let asks = vec![ask(terms("w", 5000), 2, &["NOOP"]), ask(terms("v", 9000), 9, &["NOOP"])];
    let claimed = store.commit(&Batch { claims: asks, ..batch(units) }).unwrap().claimed;
    assert!(claimed[0].has_more && !claimed[1].has_more);
    let tasks: Vec<&Task> = claimed.iter().flat_map(|claimed| &claimed.tasks).collect();
    let expected = [(1, "w", 5000), (0, "w", 5000), (2, "v", 9000)].map(|(at, worker, ms)| {
        let mut task = samples[at].task();
        task.lease(&terms(worker, ms), NOW).unwrap();
        task
    });
    assert_eq!(tasks, [&expected[0], &expected[1], &expected[2]].map(|t| t).to_vec());
    assert_eq!(expected[2].state.run.map(|run| run.waited_us), Some(7000));
    for task in &expected {
        assert_eq!(task.state.status, Status::Running { epoch: Epoch(2) });
        let stored = Stored::Live(Box::new(task.clone()), Holding::Free);
        assert_eq!(fetch(&mut *store, &[task.id.get()]), [stored]);
    }
    // Nobody claims them again, and they are counted as running.
    let node = ClaimAsk { taker: Taker::Node, ..ask(terms("", 0), 9, &["NOOP"]) };
    assert_eq!(claim(&mut *store, vec![node]), []);
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.oldest_free(NOW).unwrap(), Some(NOW), "only the other type is left");
    let running = |count: &&crate::store::Count| count.status == StatusKind::Running;
    let counts = reader.counts().unwrap();
    assert_eq!(counts.iter().filter(running).map(|count| count.tasks).sum::<u64>(), 3);
    assert_eq!(counts.iter().map(|count| count.tasks).sum::<u64>(), 5);
}

pub(crate) fn a_change_that_has_not_heard_of_a_cancel_is_stale(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    commit(&mut *store, vec![insert(&Sample::new(1).free())]);
    let mut task = claim(&mut *store, vec![ask(terms("w", 5000), 1, &["NOOP"])]).remove(0);
    let mut unaware = task.clone();
    let wish = update(&mut task, Holding::Free, |state| state.cancel_requested = true);
    assert_eq!(fate(&mut *store, wish), Fate::Applied);
    let again = |state: &mut crate::domain::State| {
        state.status = Status::Retrying { due: NOW.plus_ms(9) };
        state.leased_until = None;
    };
    let late = update(&mut unaware, Holding::Free, again);
    assert_eq!(fate(&mut *store, late), Fate::Stale);
    let stored = Stored::Live(Box::new(task.clone()), Holding::Free);
    assert_eq!(fetch(&mut *store, &[1]), [stored]);
    // Who knows of it may change the task, and a person who wants it again may take it back.
    let aware = update(&mut task, Holding::Free, again);
    assert_eq!(fate(&mut *store, aware), Fate::Applied);
    let taken_back = update(&mut task, Holding::Free, |state| state.cancel_requested = false);
    assert_eq!(fate(&mut *store, taken_back), Fate::Applied);
}

pub(crate) fn a_renewed_lease_ends_later_but_never_after_its_attempt(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let sample = Sample::new(1).free().spec(|spec| spec.timeout_s = 60);
    commit(&mut *store, vec![insert(&sample), insert(&Sample::new(2))]);
    let mut task = claim(&mut *store, vec![ask(terms("w", 5000), 1, &["NOOP"])]).remove(0);
    let version = task.state.version;
    let beaten = |ms, cancel_requested, version| {
        Some(Beaten { ends: NOW.plus_ms(ms), cancel_requested, version })
    };
    let asked = vec![
        beat(1, 2, 30_000, None),
        beat(1, 2, 90_000, Some(40)),
        beat(1, 2, 90_000, Some(40)),
        beat(1, 1, 30_000, None),
        beat(2, 1, 30_000, None),
        beat(3, 1, 30_000, None),
    ];
    let answers = beats(&mut *store, asked);
    let (first, second) = (beaten(30_000, false, version), beaten(60_000, false, version + 1));
    assert_eq!(answers, [first, second, second, None, None, None]);
    task.state.leased_until = Some(NOW.plus_ms(90_000));
    task.state.progress = Some(40);
    task.state.version += 1;
    let stored = Stored::Live(Box::new(task.clone()), Holding::Free);
    assert_eq!(fetch(&mut *store, &[1]), [stored]);
    let wish = update(&mut task, Holding::Free, |state| state.cancel_requested = true);
    // Units come before the leases of the same batch.
    let both = Batch { beats: vec![beat(1, 2, 20_000, None)], ..batch(vec![wish]) };
    assert_eq!(store.commit(&both).unwrap().beaten, [beaten(20_000, true, version + 1)]);
    let done = finish(&mut task, StatusKind::Completed, NOW);
    let both = Batch { beats: vec![beat(1, 2, 20_000, None)], ..batch(vec![done]) };
    assert_eq!(store.commit(&both).unwrap().beaten, [None]);
}

pub(crate) fn what_runs_out_is_taken_back_under_the_next_epoch(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let short = Sample::new(1).free().spec(|spec| spec.timeout_s = 2);
    let others = [2, 3].map(|number| Sample::new(number).free().of_type("B"));
    commit(&mut *store, vec![insert(&short), insert(&others[0]), insert(&others[1])]);
    let granted = [("w", 5000, "NOOP"), ("w", 1000, "B"), ("v", 3000, "B")];
    let asks = granted.map(|(worker, ms, name)| ask(terms(worker, ms), 1, &[name]));
    let leased = claim(&mut *store, asks.into());
    assert_eq!(leased.len(), 3);
    assert_eq!(take_back(&mut *store, 999, 9).expired, []);
    let back = |number: usize| {
        let mut task = leased.iter().find(|task| task.id == id(number as u64)).unwrap().clone();
        task.take_back().unwrap();
        task
    };
    assert_eq!(take_back(&mut *store, 3000, 2).expired, [back(2), back(1)]);
    assert_eq!(back(2).state.status, Status::Running { epoch: Epoch(3) });
    let late = beats(&mut *store, vec![beat(2, 2, 90_000, None), beat(3, 2, 90_000, None)]);
    assert!(late[0].is_none() && late[1].is_some(), "{late:?}");
    let too_late = finish(&mut leased[1].clone(), StatusKind::Completed, NOW);
    assert_eq!(fate(&mut *store, too_late), Fate::Stale);
    // A node that dies before it decides leaves the row to the next.
    let again = take_back(&mut *store, 3000, 9).expired;
    assert_eq!(again.iter().map(|task| task.id.get()).collect::<Vec<_>>(), [2, 1]);
    let mut task = again[0].clone();
    let queued = update(&mut task, Holding::Free, |state| {
        state.status = Status::Queued;
        state.leased_until = None;
    });
    assert_eq!(fate(&mut *store, queued), Fate::Applied);
    let next = claim(&mut *store, vec![ask(terms("u", 1), 9, &["B"])]);
    assert_eq!((next[0].id, next[0].state.epoch), (id(2), Epoch(5)));
}

pub(crate) fn leases_are_counted_by_worker_and_type(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let samples = (1..=6).map(|number| Sample::new(number).free());
    let samples = samples.map(|sample| insert(&sample)).chain([insert(&Sample::new(7))]);
    let other = Sample::new(8).free().of_type("B");
    commit(&mut *store, samples.chain([insert(&other)]).collect());
    let asks = [("w", 2, 900), ("v", 1, 500), ("w", 1, 300)];
    let asks = asks.map(|(worker, limit, ms)| ask(terms(worker, ms), limit, &["NOOP"]));
    claim(&mut *store, asks.into());
    claim(&mut *store, vec![ask(terms("w", 100), 9, &["B"])]);
    let count = |worker: &str, task_type: &str, tasks, ms| LeaseCount {
        worker: worker.into(),
        task_type: task_type.into(),
        tasks,
        until: NOW.plus_ms(ms),
    };
    let expected = [count("v", "NOOP", 1, 500), count("w", "NOOP", 3, 300)];
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.leases(2).unwrap(), expected);
    assert_eq!(reader.leases(9).unwrap()[2..], [count("w", "B", 1, 100)]);
}

pub(crate) fn a_lease_goes_on_over_a_restart_and_so_does_the_key(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let key = store.signing_key().unwrap();
    commit(&mut *store, vec![insert(&Sample::new(1).free())]);
    let leased = claim(&mut *store, vec![ask(terms("w", 5000), 9, &["NOOP"])]);
    drop(store);
    let (mut store, recovered) = start(&*ground, NOW.plus_ms(700));
    assert_eq!(recovered.held, []);
    assert_eq!(store.signing_key().unwrap(), key);
    let stored = Stored::Live(Box::new(leased[0].clone()), Holding::Free);
    assert_eq!(fetch(&mut *store, &[1]), [stored]);
    assert!(beats(&mut *store, vec![beat(1, 2, 9000, None)])[0].is_some());
    assert_eq!(take_back(&mut *store, 9000, 9).expired.len(), 1);
}
