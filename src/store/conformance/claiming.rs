//! Taking free rows, and taking ids.

use std::sync::Arc;

use super::sample::{NOW, Sample, batch, commit, fate, fetch, finish, insert};
use super::{Fresh, start};
use crate::domain::{Band, Epoch, Holding, Status, StatusKind, Task, TimeMs};
use crate::store::{Bands, Batch, ClaimAsk, Fate, Store, Stored, Taker};

fn ask(band: Band, limit: u32, types: &[&str]) -> ClaimAsk {
    let types = types.iter().map(|name| Arc::from(*name)).collect();
    let (bands, taker) = (Bands::One(band), Taker::Node);
    ClaimAsk { bands, limit, bytes_max: usize::MAX, due_by: NOW, types, taker }
}

fn claim(store: &mut dyn Store, asks: Vec<ClaimAsk>) -> Vec<Vec<Task>> {
    let committed = store.commit(&Batch { claims: asks, ..batch(Vec::new()) }).unwrap();
    committed.claimed.into_iter().map(|claimed| claimed.tasks).collect()
}

fn ids(tasks: &[Task]) -> Vec<u64> {
    tasks.iter().map(|task| task.id.get()).collect()
}

pub(crate) fn claims_take_due_rows_in_the_order_of_time_and_id(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let earlier = |ms| TimeMs(NOW.0 - ms);
    let units = [
        Sample::new(1).ready_at(earlier(10)),
        Sample::new(2).ready_at(earlier(30)).of_type("B"),
        Sample::new(3).ready_at(earlier(20)).status(Status::Scheduled { due: earlier(25) }),
        Sample::new(4).status(Status::Retrying { due: NOW.plus_ms(1) }),
        Sample::new(5).ready_at(earlier(10)).of_type("B"),
        Sample::new(6).status(Status::Pending).ready_at(earlier(5)),
    ];
    commit(&mut *store, units.into_iter().map(|s| insert(&s.free())).collect());
    let claimed = claim(&mut *store, vec![ask(Band::Medium, 100, &["NOOP", "B", "UNHEARD"])]);
    assert_eq!(ids(&claimed[0]), [2, 3, 1, 5, 6]);
    let due = ClaimAsk { due_by: NOW.plus_ms(1), ..ask(Band::Medium, 9, &["NOOP"]) };
    assert_eq!(ids(&claim(&mut *store, vec![due])[0]), [4]);
}

pub(crate) fn a_claim_names_its_types_and_band_and_limit(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let mut units = Vec::new();
    for number in 1..=600u64 {
        let band = if number.is_multiple_of(2) { Band::High } else { Band::Low };
        let name = format!("T{}", number % 50);
        units.push(insert(&Sample::new(number).free().band(band).of_type(&name)));
    }
    // A claim sees what its own batch inserted.
    let all: Vec<String> = (0..50).map(|n| format!("T{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let asks = vec![
        ask(Band::High, 5, &["T4"]),
        ask(Band::High, 40, &all),
        ask(Band::Low, 7, &["T3", "T1", "T3"]),
        ask(Band::Bulk, 7, &all),
        ask(Band::Low, 0, &all),
        ask(Band::Low, 7, &[]),
    ];
    let committed = store.commit(&Batch { claims: asks, ..batch(units) }).unwrap();
    let claimed: Vec<Vec<u64>> = committed.claimed.iter().map(|c| ids(&c.tasks)).collect();
    assert_eq!(claimed[0], [4, 54, 104, 154, 204]);
    let expected: Vec<u64> =
        (2..).step_by(2).filter(|n| !claimed[0].contains(n)).take(40).collect();
    assert_eq!(claimed[1], expected);
    assert_eq!(claimed[2], [1, 3, 51, 53, 101, 103, 151]);
    assert!(claimed[3..].iter().all(Vec::is_empty));
}

pub(crate) fn a_claim_over_all_bands_takes_the_higher_ones_first(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let earlier = |ms| TimeMs(NOW.0 - ms);
    let units = [
        Sample::new(1).band(Band::Low).ready_at(earlier(90)),
        Sample::new(2).band(Band::High).ready_at(earlier(10)).of_type("B"),
        Sample::new(3).band(Band::High).ready_at(earlier(20)),
        Sample::new(4).band(Band::Bulk).ready_at(earlier(99)),
        Sample::new(5).band(Band::Critical),
    ];
    commit(&mut *store, units.into_iter().map(|s| insert(&s.free())).collect());
    let all = |limit| ClaimAsk { bands: Bands::All, ..ask(Band::Bulk, limit, &["B", "NOOP"]) };
    assert_eq!(ids(&claim(&mut *store, vec![all(4)])[0]), [5, 3, 2, 1]);
    assert_eq!(ids(&claim(&mut *store, vec![all(4)])[0]), [4]);
}

pub(crate) fn a_claimed_row_has_the_next_epoch_and_is_not_claimed_again(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let sample = Sample::new(1).full().free().status(Status::Queued).ready_at(NOW);
    commit(&mut *store, vec![insert(&sample)]);
    let asks = vec![ask(Band::Medium, 9, &["NOOP"]), ask(Band::Medium, 9, &["NOOP"])];
    let claimed = claim(&mut *store, asks);
    let mut expected = sample.task();
    expected.state.epoch = Epoch(2);
    assert_eq!(claimed, [vec![expected.clone()], Vec::new()]);
    let stored = Stored::Live(Box::new(expected.clone()), Holding::Held);
    assert_eq!(fetch(&mut *store, &[1]), [stored]);
    let stale = finish(&mut sample.task(), StatusKind::Completed, NOW);
    assert_eq!(fate(&mut *store, stale), Fate::Stale);
    let done = finish(&mut expected, StatusKind::Completed, NOW);
    assert_eq!(fate(&mut *store, done), Fate::Applied);
}

pub(crate) fn paused_and_held_rows_are_not_claimed(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let paused = Sample::new(1).free().status(Status::Paused { due: TimeMs::ZERO });
    let mut task = paused.task();
    commit(&mut *store, vec![insert(&paused), insert(&Sample::new(2))]);
    assert_eq!(claim(&mut *store, vec![ask(Band::Medium, 9, &["NOOP"])]), [vec![]]);
    let resumed = super::sample::update(&mut task, Holding::Free, |state| {
        state.status = Status::Queued;
    });
    commit(&mut *store, vec![resumed]);
    let claimed = claim(&mut *store, vec![ask(Band::Medium, 9, &["NOOP"])]);
    assert_eq!(ids(&claimed[0]), [1]);
}

pub(crate) fn ids_are_never_given_twice(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    assert_eq!(store.take_ids(10).unwrap(), 1..11);
    let committed = store.commit(&Batch { ids_wanted: 5, ..batch(Vec::new()) }).unwrap();
    assert_eq!(committed.ids, Some(11..16));
    assert_eq!(store.commit(&batch(Vec::new())).unwrap().ids, None);
    drop(store);
    let (mut store, _) = start(&*ground, NOW);
    assert_eq!(store.take_ids(1).unwrap(), 16..17);
    // Not even when everything that had an id is gone.
    commit(&mut *store, vec![insert(&Sample::new(16))]);
    let done = finish(&mut Sample::new(16).task(), StatusKind::Completed, NOW);
    commit(&mut *store, vec![done]);
    let all = crate::store::PruneAsk {
        statuses: vec![StatusKind::Completed],
        ended_before: TimeMs::MAX,
        limit: 10,
    };
    assert_eq!(store.prune(&all).unwrap(), 1);
    drop(store);
    let (mut store, _) = start(&*ground, NOW);
    assert_eq!(store.take_ids(1).unwrap(), 17..18);
}

pub(crate) fn the_oldest_free_row_is_known(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.oldest_free(NOW).unwrap(), None);
    let earlier = |ms| TimeMs(NOW.0 - ms);
    let units = [
        Sample::new(1).ready_at(earlier(90)),
        Sample::new(2).ready_at(earlier(20)).free().of_type("B"),
        Sample::new(3).ready_at(earlier(30)).free().band(Band::Bulk).of_type("C"),
        Sample::new(4).free().status(Status::Scheduled { due: NOW.plus_ms(5) }),
        Sample::new(5).free().status(Status::Paused { due: earlier(99) }),
    ];
    commit(&mut *store, units.iter().map(insert).collect());
    assert_eq!(reader.oldest_free(NOW).unwrap(), Some(earlier(30)));
    assert_eq!(reader.oldest_free(earlier(31)).unwrap(), None);
}
