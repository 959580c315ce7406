//! What a start finds of the life before.

use super::sample::{NOW, Sample, batch, commit, fetch, insert};
use super::{Fresh, start};
use crate::domain::{Epoch, Holding, Status, StatusKind, Suspicion};
use crate::store::{Store, Stored};

fn samples() -> Vec<Sample> {
    let suspicions = [
        Suspicion::None,
        Suspicion::Suspect { started: false },
        Suspicion::Suspect { started: true },
        Suspicion::Loner { started: false, crashes: 1 },
        Suspicion::Loner { started: true, crashes: 1 },
    ];
    let statuses = [
        Status::Queued,
        Status::Running { epoch: Epoch(1) },
        Status::Retrying { due: NOW.plus_ms(7) },
    ];
    let mut samples = Vec::new();
    for suspicion in suspicions {
        for status in statuses {
            let number = samples.len() as u64 + 1;
            let sample = Sample::new(number).status(status);
            samples.push(sample.state(|state| state.suspicion = suspicion));
        }
    }
    samples.push(Sample::new(100).free());
    samples
}

fn crash(fresh: Fresh<'_>, end: impl FnOnce(&mut dyn Store)) -> Vec<(Sample, crate::domain::Task)> {
    let ground = fresh();
    let (mut store, first) = start(&*ground, NOW);
    assert!(first.held.is_empty());
    let before = samples();
    // Out of order, because the order of the answer must not be the order of writing.
    commit(&mut *store, before.iter().rev().map(insert).collect());
    end(&mut *store);
    drop(store);
    let later = NOW.plus_ms(500);
    let (mut store, recovered) = start(&*ground, later);
    assert_eq!(recovered.held.len(), before.len() - 1);
    for task in &recovered.held {
        let stored = Stored::Live(Box::new(task.clone()), Holding::Held);
        assert_eq!(fetch(&mut *store, &[task.id.get()]), [stored]);
        assert_eq!(task.state.epoch, Epoch(2));
    }
    let rows = store.reader().unwrap().counts().unwrap();
    assert!(rows.iter().all(|count| count.status != StatusKind::Running), "{rows:?}");
    assert_eq!(rows.iter().map(|count| count.tasks).sum::<u64>(), before.len() as u64);
    before.into_iter().zip(recovered.held).collect()
}

pub(crate) fn a_crash_makes_suspects_and_raises_epochs(fresh: Fresh<'_>) {
    for (before, after) in crash(fresh, |_| ()) {
        let mut expected = before.task();
        expected.state.suspicion = expected.state.suspicion.after_crash();
        expected.state.epoch = Epoch(2);
        if expected.state.status.kind() == StatusKind::Running {
            expected.state.status = Status::Queued;
            expected.state.version += 1;
            expected.state.updated_at = NOW.plus_ms(500);
        }
        assert_eq!(after, expected);
    }
}

pub(crate) fn a_release_makes_none(fresh: Fresh<'_>) {
    for (before, after) in crash(fresh, |store| store.release().unwrap()) {
        assert_eq!(after.state.suspicion, Suspicion::None, "{:?}", before.task().state);
    }
    // Only the life that gave its rows back is excused, not the next one.
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    store.release().unwrap();
    drop(store);
    let (mut store, _) = start(&*ground, NOW);
    commit(&mut *store, vec![insert(&Sample::new(1))]);
    drop(store);
    let (_, recovered) = start(&*ground, NOW);
    assert_eq!(recovered.held[0].state.suspicion, Suspicion::Suspect { started: false });
}

pub(crate) fn free_rows_and_types_outlive_a_restart(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, first) = start(&*ground, NOW);
    assert!(first.types.is_empty());
    let free = Sample::new(1).free().of_type("B");
    commit(&mut *store, vec![insert(&free), insert(&Sample::new(2).of_type("A"))]);
    drop(store);
    let (mut store, recovered) = start(&*ground, NOW);
    assert_eq!(recovered.types.iter().map(|name| &**name).collect::<Vec<_>>(), ["B", "A"]);
    assert_eq!(fetch(&mut *store, &[1]), [Stored::Live(Box::new(free.task()), Holding::Free)]);
    store.commit(&batch(vec![insert(&Sample::new(3).of_type("C"))])).unwrap();
    drop(store);
    assert_eq!(start(&*ground, NOW).1.types.len(), 3);
}
