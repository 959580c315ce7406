//! What is written comes back, and what is stale is not written.

use super::sample::{NOW, Sample, before, commit, fate, fetch, finish, id, insert, revive, update};
use super::{Fresh, start};
use crate::domain::{Change, ChangeKind, Epoch, Holding, Payload, Run, Status, StatusKind, TimeMs};
use crate::store::{Batch, Cure, Fate, Stored, Unit};

pub(crate) fn what_was_inserted_comes_back_in_every_field(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let due = NOW.plus_ms(60_000);
    let statuses = [
        Status::Pending,
        Status::Scheduled { due },
        Status::Queued,
        Status::Running { epoch: Epoch(1) },
        Status::Retrying { due },
        Status::Paused { due },
        Status::Paused { due: TimeMs::ZERO },
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
    let ends = [StatusKind::Completed, StatusKind::Failed, StatusKind::Cancelled];
    for (sample, to) in samples.iter().zip(ends.into_iter().cycle()) {
        let mut task = sample.task();
        let unit = finish(&mut task, to, NOW.plus_ms(9));
        assert_eq!(fate(&mut *store, unit), Fate::Applied);
        let expected = Stored::Ended(Box::new(task.clone()));
        assert_eq!(fetch(&mut *store, &[task.id.get()]), [expected]);
    }
    assert_eq!(fetch(&mut *store, &[99, u64::MAX]), [Stored::Missing, Stored::Missing]);
}

pub(crate) fn a_stale_change_leaves_nothing(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let sample = Sample::new(1).unique("mine");
    assert_eq!(fate(&mut *store, insert(&sample)), Fate::Applied);
    let kept = fetch(&mut *store, &[1]);
    let counts = store.reader().unwrap().counts().unwrap();

    let mut older = sample.task();
    older.state.epoch = Epoch(0);
    let stale = [
        finish(&mut older.clone(), StatusKind::Completed, NOW),
        update(&mut older, Holding::Held, |state| state.version += 1),
        update(&mut sample.clone().status(Status::Pending).task(), Holding::Free, |_| ()),
        revive(&mut Sample::new(1).status(Status::Failed).task(), Holding::Held),
        finish(&mut Sample::new(2).task(), StatusKind::Failed, NOW),
    ];
    for unit in stale {
        assert_eq!(fate(&mut *store, unit.clone()), Fate::Stale, "{unit:?}");
    }
    assert_eq!(fetch(&mut *store, &[1]), kept);
    assert_eq!(store.reader().unwrap().counts().unwrap(), counts);
    let again = Sample::new(3).unique("mine");
    assert_eq!(fate(&mut *store, insert(&again)), Fate::AppliedBut(vec![(0, id(1))]));
}

pub(crate) fn fates_come_in_the_order_of_units(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let (first, second) = (Sample::new(1), Sample::new(2));
    let mut running = first.task();
    let run =
        update(&mut running, Holding::Held, |s| s.status = Status::Running { epoch: s.epoch });
    let done = finish(&mut running, StatusKind::Completed, NOW);
    let units = vec![insert(&first), done.clone(), run, done.clone(), done, insert(&second)];
    let fates = commit(&mut *store, units);
    let (yes, no) = (Fate::Applied, Fate::Stale);
    assert_eq!(fates, [&yes, &no, &yes, &yes, &no, &yes].map(Clone::clone));
    assert_eq!(fetch(&mut *store, &[1]), [Stored::Ended(Box::new(running))]);
}

pub(crate) fn odd_texts_come_back_as_they_were(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let odd = "a\u{fffd}\u{202e}\u{1f9ff}e\u{301}\r\n\t'\"\\;--%_\u{10ffff}";
    let sample = Sample::new(1).named(odd).of_type(odd).unique(odd).spec(|spec| {
        spec.payload = Some(Payload::text("with\0a NUL and a line\nand another"));
        spec.description = Some("".into());
        spec.tags = Some(format!("{{\"{odd}\":\"\"}}").into());
    });
    let empty = Sample::new(2).spec(|spec| spec.payload = Some(Payload::json("")));
    let mut task = sample.task();
    commit(&mut *store, vec![insert(&sample), insert(&empty)]);
    let (one, two) = (Box::new(task.clone()), Box::new(empty.task()));
    let expected = [Stored::Live(one, Holding::Held), Stored::Live(two, Holding::Held)];
    assert_eq!(fetch(&mut *store, &[1, 2]), expected);
    let failed = update(&mut task, Holding::Free, |state| {
        state.last_error = Some((crate::domain::FailureKind::Timeout, odd.into()));
        state.result = Some(Payload::text(odd));
    });
    assert_eq!(fate(&mut *store, failed), Fate::Applied);
    assert_eq!(fetch(&mut *store, &[1]), [Stored::Live(Box::new(task), Holding::Free)]);
}

pub(crate) fn every_kind_of_failure_comes_back(fresh: Fresh<'_>) {
    use crate::domain::FailureKind;
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    for (id, kind) in (1..).zip(FailureKind::ALL) {
        let sample = Sample::new(id);
        let mut task = sample.task();
        commit(&mut *store, vec![insert(&sample)]);
        let failed = update(&mut task, Holding::Free, |state| {
            state.last_error = Some((kind, "why".into()));
        });
        assert_eq!(fate(&mut *store, failed), Fate::Applied);
        assert_eq!(fetch(&mut *store, &[id]), [Stored::Live(Box::new(task), Holding::Free)]);
    }
}

pub(crate) fn after_bad_data_nothing_of_the_batch_is_stored(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let (old, other) = (Sample::new(1), Sample::new(5));
    commit(&mut *store, vec![insert(&old), insert(&other)]);
    let counts = store.reader().unwrap().counts().unwrap();
    let mut done = other.task();
    let batch = Batch {
        units: vec![
            insert(&Sample::new(2).of_type("NEW").unique("taken")),
            finish(&mut done, StatusKind::Completed, NOW),
            insert(&old),
        ],
        ids_wanted: 10,
        ..super::sample::batch(Vec::new())
    };
    let error = store.commit(&batch).expect_err("an id cannot be stored twice");
    assert_eq!(error.cure(), Cure::BisectBatch);
    let kept = Stored::Live(Box::new(old.task()), Holding::Held);
    let live = Stored::Live(Box::new(other.task()), Holding::Held);
    assert_eq!(fetch(&mut *store, &[1, 2, 5]), [kept, Stored::Missing, live]);
    assert_eq!(store.reader().unwrap().counts().unwrap(), counts);
    // The store goes on, and what was rolled back can be stored again.
    let again = insert(&Sample::new(2).of_type("NEW").unique("taken"));
    assert_eq!(fate(&mut *store, again), Fate::Applied);
    assert_eq!(store.take_ids(1).unwrap(), 1..2);
}

pub(crate) fn a_retried_task_leaves_the_history_and_comes_back(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let mut task = Sample::new(7).full().task();
    commit(&mut *store, vec![insert(&Sample::new(7).full())]);
    commit(&mut *store, vec![finish(&mut task, StatusKind::Failed, NOW)]);
    let retried = revive(&mut task, Holding::Free);
    assert_eq!(fate(&mut *store, retried), Fate::Applied);
    assert_eq!(fetch(&mut *store, &[7]), [Stored::Live(Box::new(task.clone()), Holding::Free)]);
    let counts = store.reader().unwrap().counts().unwrap();
    assert_eq!(
        counts.iter().map(|c| (c.status, c.tasks)).collect::<Vec<_>>(),
        [(StatusKind::Queued, 1)]
    );
    // A retry that waits for its time is the only way to RETRYING that is no failed attempt.
    let unit = finish(&mut task, StatusKind::Failed, NOW);
    commit(&mut *store, vec![unit]);
    let kind = ChangeKind::Revive(before(&task), Holding::Held);
    task.state.status = Status::Retrying { due: NOW.plus_ms(5000) };
    let unit = Unit { changes: vec![Change { task, kind }], key: None };
    assert_eq!(fate(&mut *store, unit), Fate::Applied);
    let buckets = store.reader().unwrap().buckets(NOW.minute()..NOW.minute() + 1).unwrap();
    assert_eq!((buckets[0].failed, buckets[0].retried), (2, 0));
}

pub(crate) fn minutes_count_what_happened_in_them(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let samples: Vec<Sample> = (1..=4).map(Sample::new).collect();
    commit(&mut *store, samples.iter().map(insert).collect());
    let run = |took_us| Some(Run { started_at: NOW, took_us, waited_us: 2 * took_us });
    let ends = [StatusKind::Completed, StatusKind::Failed, StatusKind::Cancelled];
    let mut units = Vec::new();
    for ((sample, to), took_us) in samples.iter().zip(ends).zip([1000, 3000, 9000]) {
        let mut task = sample.task();
        task.state.run = run(took_us);
        units.push(finish(&mut task, to, NOW.plus_ms(1)));
    }
    let mut retried = samples[3].task();
    units.push(update(&mut retried, Holding::Held, |state| {
        state.status = Status::Retrying { due: NOW.plus_ms(9) };
    }));
    commit(&mut *store, units);
    // Ended in the next minute, although the batch is of this one.
    let late = finish(&mut retried, StatusKind::Completed, NOW.plus_ms(60_000));
    commit(&mut *store, vec![late]);
    let mut reader = store.reader().unwrap();
    let minute = NOW.minute();
    let buckets = reader.buckets(minute - 1..minute + 9).unwrap();
    let [first, second] = &buckets[..] else { panic!("two minutes: {buckets:?}") };
    let counts = [first.submitted, first.completed, first.failed, first.cancelled, first.retried];
    assert_eq!((first.minute, counts), (minute, [4, 1, 1, 1, 1]));
    assert_eq!((first.run.count, first.run.sum_us), (2, 4000));
    assert_eq!((first.wait.min_us, first.wait.max_us), (2000, 6000));
    assert!(first.run.percentile_us(0.99) >= 2900);
    assert_eq!((second.minute, second.completed, second.run.count), (minute + 1, 1, 0));
    assert!(reader.buckets(minute + 1..minute + 1).unwrap().is_empty());
}
