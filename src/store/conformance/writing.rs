//! What is written comes back, and what is stale is not written.

use super::sample::{Sample, batch, commit, fate, fetch, finish, insert, update};
use super::{Ground, NOW};
use crate::domain::{Holding, Status, StatusKind};
use crate::store::{Batch, Fate, Stored};

pub(crate) fn what_was_inserted_comes_back_in_every_field(ground: &dyn Ground) {
    let mut store = ground.open();
    let due = NOW.plus_ms(60_000);
    let statuses = [
        Status::Pending,
        Status::Scheduled { due },
        Status::Queued,
        Status::Running { epoch: crate::domain::Epoch(1) },
        Status::Retrying { due },
        Status::Paused { due },
        Status::Paused { due: crate::domain::TimeMs::ZERO },
    ];
    let mut samples = vec![Sample::new(1), Sample::new(2).free(), Sample::new(3).full()];
    for (number, status) in (4..).zip(statuses) {
        let sample = Sample::new(number).full().status(status).unique(&format!("key {number}"));
        samples.push(if number % 2 == 0 { sample.free() } else { sample });
    }
    commit(&mut *store, samples.iter().map(insert).collect());
    for sample in &samples {
        let task = sample.task();
        let expected = Stored::Live(Box::new(task.clone()), sample.holding());
        assert_eq!(fetch(&mut *store, &[task.id.get()]), [expected]);
    }
    for (sample, to) in samples.iter().zip([
        StatusKind::Completed,
        StatusKind::Failed,
        StatusKind::Cancelled,
        StatusKind::Completed,
    ]) {
        let mut task = sample.task();
        let unit = finish(&mut task, to, NOW.plus_ms(9));
        assert_eq!(fate(&mut *store, unit), Fate::Applied);
        let expected = Stored::Ended(Box::new(task.clone()));
        assert_eq!(fetch(&mut *store, &[task.id.get()]), [expected]);
    }
    assert_eq!(fetch(&mut *store, &[99]), [Stored::Missing]);
}

pub(crate) fn a_stale_change_leaves_nothing(ground: &dyn Ground) {
    let mut store = ground.open();
    let sample = Sample::new(1);
    assert_eq!(fate(&mut *store, insert(&sample)), Fate::Applied);
    let kept = fetch(&mut *store, &[1]);

    let mut older = sample.task();
    older.state.epoch = crate::domain::Epoch(0);
    let stale = finish(&mut older.clone(), StatusKind::Completed, NOW);
    assert_eq!(fate(&mut *store, stale), Fate::Stale);
    let stale = update(&mut older, Holding::Held, |state| state.version += 1);
    assert_eq!(fate(&mut *store, stale), Fate::Stale);
    let mut elsewhere = sample.clone().status(Status::Pending).task();
    let stale = update(&mut elsewhere, Holding::Free, |state| state.version += 1);
    assert_eq!(fate(&mut *store, stale), Fate::Stale);
    assert_eq!(fetch(&mut *store, &[1]), kept);
    assert_eq!(store.commit(&Batch { ids_wanted: 3, ..batch(vec![]) }).unwrap().ids, Some(1..4));
}
