//! Idempotency keys and unique keys.

use super::sample::{NOW, Sample, commit, fate, fetch, finish, id, insert, revive};
use super::{Fresh, start};
use crate::domain::{Holding, StatusKind, TaskId};
use crate::store::{Batch, Fate, KeyClaim, Replay, Stored, Unit};

fn keyed(samples: &[Sample], key: u8, body: u8) -> Unit {
    let changes = samples.iter().map(Sample::insert).collect();
    Unit { changes, key: Some(KeyClaim { key: [key; 32], body: [body; 32] }) }
}

fn replayed(ids: &[u64], created: bool) -> Fate {
    let ids: Vec<TaskId> = ids.iter().map(|number| id(*number)).collect();
    Fate::Replayed(Replay { ids, created })
}

pub(crate) fn the_same_key_and_body_replay_what_they_led_to(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let batch = [Sample::new(3), Sample::new(9), Sample::new(4)];
    let again = [Sample::new(11), Sample::new(12), Sample::new(13)];
    // The second comes in the same batch, the third after a restart.
    let units = vec![keyed(&batch, 1, 1), keyed(&again, 1, 1), keyed(&[], 2, 2)];
    let fates = commit(&mut *store, units);
    assert_eq!(fates, [Fate::Applied, replayed(&[3, 9, 4], true), Fate::Applied]);
    drop(store);
    let (mut store, _) = start(&*ground, NOW);
    assert_eq!(fate(&mut *store, keyed(&again, 1, 1)), replayed(&[3, 9, 4], true));
    assert_eq!(fetch(&mut *store, &[11]), [Stored::Missing]);
}

pub(crate) fn the_same_key_with_another_body_is_refused(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    assert_eq!(fate(&mut *store, keyed(&[Sample::new(1)], 1, 1)), Fate::Applied);
    assert_eq!(fate(&mut *store, keyed(&[Sample::new(2)], 1, 2)), Fate::KeyReused);
    assert_eq!(fate(&mut *store, keyed(&[Sample::new(2)], 2, 2)), Fate::Applied);
}

pub(crate) fn a_unique_key_has_one_unfinished_task(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let mut first = Sample::new(1).unique("k").task();
    commit(&mut *store, vec![insert(&Sample::new(1).unique("k"))]);
    let second = keyed(&[Sample::new(2).unique("k")], 1, 1);
    assert_eq!(fate(&mut *store, second.clone()), Fate::AppliedBut(vec![(0, id(1))]));
    assert_eq!(fetch(&mut *store, &[2]), [Stored::Missing]);
    let end = finish(&mut first, StatusKind::Cancelled, NOW);
    commit(&mut *store, vec![end]);
    // The idempotency key remembers the first answer, even now that the unique key is free.
    assert_eq!(fate(&mut *store, second), replayed(&[1], false));
    assert_eq!(fate(&mut *store, insert(&Sample::new(3).unique("k"))), Fate::Applied);
}

pub(crate) fn unique_keys_are_settled_inside_one_batch(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let tasks: Vec<Sample> = ["a", "b", "a", "c", "b"]
        .iter()
        .zip(1..)
        .map(|(key, number)| Sample::new(number).unique(key))
        .collect();
    let expected = Fate::AppliedBut(vec![(2, id(1)), (4, id(2))]);
    assert_eq!(fate(&mut *store, keyed(&tasks, 5, 5)), expected);
    assert_eq!(fate(&mut *store, keyed(&tasks, 5, 5)), replayed(&[1, 2, 1, 4, 2], true));
    let total: u64 = store.reader().unwrap().counts().unwrap().iter().map(|c| c.tasks).sum();
    assert_eq!(total, 3);
    // Freed and taken again in one batch.
    let end = finish(&mut tasks[0].task(), StatusKind::Completed, NOW);
    let fates = commit(&mut *store, vec![end, insert(&Sample::new(8).unique("a"))]);
    assert_eq!(fates, [Fate::Applied, Fate::Applied]);
}

pub(crate) fn a_revived_task_takes_its_unique_key_again_or_is_refused(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let mut first = Sample::new(1).unique("k").task();
    commit(&mut *store, vec![insert(&Sample::new(1).unique("k"))]);
    commit(&mut *store, vec![finish(&mut first, StatusKind::Failed, NOW)]);
    let mut second = Sample::new(2).unique("k").task();
    commit(&mut *store, vec![insert(&Sample::new(2).unique("k"))]);
    let retry = revive(&mut first.clone(), Holding::Held);
    assert_eq!(fate(&mut *store, retry.clone()), Fate::UniqueTaken(id(2)));
    assert_eq!(fetch(&mut *store, &[1]), [Stored::Ended(Box::new(first.clone()))]);
    commit(&mut *store, vec![finish(&mut second, StatusKind::Completed, NOW)]);
    assert_eq!(fate(&mut *store, retry), Fate::Applied);
    let third = insert(&Sample::new(3).unique("k"));
    assert_eq!(fate(&mut *store, third), Fate::AppliedBut(vec![(0, id(1))]));
}

pub(crate) fn old_idempotency_keys_are_forgotten(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let later = NOW.plus_ms(1000);
    let at = |now, unit| Batch { now, ..super::sample::batch(vec![unit]) };
    store.commit(&at(NOW, keyed(&[Sample::new(1)], 1, 1))).unwrap();
    store.commit(&at(later, keyed(&[Sample::new(2)], 2, 2))).unwrap();
    store.upkeep(later).unwrap();
    assert_eq!(fate(&mut *store, keyed(&[Sample::new(3)], 1, 1)), Fate::Applied);
    assert_eq!(fate(&mut *store, keyed(&[Sample::new(4)], 2, 2)), replayed(&[2], true));
}
