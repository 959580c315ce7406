//! Pages, lists and retention.

use std::collections::BTreeSet;

use super::sample::{NOW, Sample, commit, finish, id, insert};
use super::{Fresh, Ground, start};
use crate::domain::{Band, Status, StatusKind, Task, TimeMs};
use crate::store::memory::MemoryDisk;
use crate::store::{
    Cursor, Filter, PageAsk, Place, PruneAsk, Reader, ScheduledAsk, SortField, Sorting, Store,
    StoreError, Unit,
};

pub(super) const FIELDS: [SortField; 8] = [
    SortField::Id,
    SortField::CreatedAt,
    SortField::UpdatedAt,
    SortField::Priority,
    SortField::Status,
    SortField::TaskName,
    SortField::TaskType,
    SortField::NextExecutionTime,
];

pub(super) fn ask(field: SortField, descending: bool, filter: Filter) -> PageAsk {
    let sorting = Sorting { field, descending };
    let place = Place::Offset(0);
    PageAsk { filter, sorting, place, size: 7, payloads: true, budget_ms: 60_000 }
}

/// Tasks of all sorts, live and ended, whose ids are mixed.
fn mixture() -> Vec<Unit> {
    let due = |n: u64| NOW.plus_ms(n % 5 * 1000);
    let mut units = Vec::new();
    let mut ends = Vec::new();
    for n in 1..=90u64 {
        let band = Band::ALL[(n % 4) as usize];
        let status = match n % 7 {
            0 => Status::Scheduled { due: due(n) },
            1 => Status::Retrying { due: due(n / 2) },
            2 => Status::Paused { due: if n % 2 == 0 { TimeMs::ZERO } else { due(n) } },
            3 => Status::Running { epoch: crate::domain::Epoch(1) },
            _ => Status::Queued,
        };
        let sample = Sample::new(n)
            .band(band)
            .of_type(["NOOP", "b", "Ä", "a"][(n % 3 + n % 2) as usize])
            .named(&format!("n{}", n % 11))
            .status(status)
            .state(|state| state.updated_at = NOW.plus_ms(n * 7919 % 23));
        let sample = if n % 5 == 0 { sample.free() } else { sample };
        units.push(insert(&sample));
        let kind = [StatusKind::Completed, StatusKind::Failed, StatusKind::Cancelled];
        if n % 3 == 0 {
            let to = kind[(n / 3 % 3) as usize];
            ends.push(finish(&mut sample.task(), to, NOW.plus_ms(n)));
        }
    }
    units.extend(ends);
    units
}

/// The store and the model with the same content; the store's ground must outlive it.
fn both(ground: &dyn Ground) -> (Box<dyn Store>, Box<dyn Reader>) {
    let (mut store, _) = start(ground, NOW);
    let mut model = MemoryDisk::new().open();
    commit(&mut *store, mixture());
    commit(&mut model, mixture());
    let model = model.reader().unwrap();
    (store, model)
}

pub(super) fn filters() -> Vec<Filter> {
    let mut filters = vec![Filter::default()];
    for status in StatusKind::ALL {
        filters.push(Filter { status: Some(status), ..Filter::default() });
        filters.push(Filter { status: Some(status), band: Some(Band::High), task_type: None });
    }
    for band in Band::ALL {
        filters.push(Filter { band: Some(band), ..Filter::default() });
        filters.push(Filter { band: Some(band), task_type: Some("b".into()), status: None });
    }
    for name in ["NOOP", "Ä", "unheard of"] {
        filters.push(Filter { task_type: Some(name.into()), ..Filter::default() });
    }
    filters
}

pub(crate) fn pages_agree_with_a_naive_model(fresh: Fresh<'_>) {
    let ground = fresh();
    let (store, mut model) = both(&*ground);
    let mut reader = store.reader().unwrap();
    for field in FIELDS {
        for (filter, descending) in
            filters().into_iter().flat_map(|f| [(f.clone(), true), (f, false)])
        {
            for offset in [0, 3, 6, 7, 29, 60, 89, 90, 1000] {
                let place = Place::Offset(offset);
                let ask = PageAsk { place, ..ask(field, descending, filter.clone()) };
                let (page, expected) = (reader.page(&ask).unwrap(), model.page(&ask).unwrap());
                assert_eq!(page, expected, "{ask:?}");
            }
        }
    }
    assert_eq!(reader.counts().unwrap(), model.counts().unwrap());
}

fn walk(reader: &mut dyn Reader, mut ask: PageAsk, mut between: impl FnMut()) -> Vec<Task> {
    let mut all = Vec::new();
    loop {
        let page = reader.page(&ask).unwrap();
        assert!(page.tasks.len() <= ask.size as usize);
        all.extend(page.tasks);
        match page.next {
            Some(cursor) => ask.place = Place::After(cursor),
            None => return all,
        }
        between();
    }
}

pub(crate) fn walking_by_cursor_meets_every_task_once(fresh: Fresh<'_>) {
    let ground = fresh();
    let (store, mut model) = both(&*ground);
    let mut reader = store.reader().unwrap();
    for field in FIELDS {
        for filter in filters() {
            for descending in [false, true] {
                let ask = ask(field, descending, filter.clone());
                let whole = PageAsk { size: 100, ..ask.clone() };
                let expected = model.page(&whole).unwrap().tasks;
                assert_eq!(walk(&mut *reader, ask, || ()), expected, "{field:?} {filter:?}");
            }
        }
    }
}

pub(crate) fn a_cursor_stands_while_tasks_come_and_end(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    commit(&mut *store, (1..=40).map(|n| insert(&Sample::new(n))).collect());
    let mut reader = store.reader().unwrap();
    let mut step = 0;
    let walked = walk(&mut *reader, ask(SortField::Id, true, Filter::default()), || {
        step += 1;
        // Newer ones come before the cursor, and one on each side of it ends.
        let mut units = vec![insert(&Sample::new(100 + step))];
        for number in [40 - step, step] {
            units.push(finish(&mut Sample::new(number).task(), StatusKind::Completed, NOW));
        }
        commit(&mut *store, units);
    });
    let ids: Vec<u64> = walked.iter().map(|task| task.id.get()).collect();
    assert_eq!(ids, (1..=40).rev().collect::<Vec<_>>());
}

pub(crate) fn a_cursor_of_another_order_is_refused(fresh: Fresh<'_>) {
    let ground = fresh();
    let (store, _) = both(&*ground);
    let mut reader = store.reader().unwrap();
    for (field, value) in
        [(SortField::Id, "7"), (SortField::Priority, "x"), (SortField::Status, "")]
    {
        let place = Place::After(Cursor { value: value.into(), id: id(3) });
        let ask = PageAsk { place, ..ask(field, false, Filter::default()) };
        assert!(matches!(reader.page(&ask), Err(StoreError::Data(_))), "{field:?} {value:?}");
    }
}

pub(crate) fn waiting_tasks_come_by_band_time_and_id(fresh: Fresh<'_>) {
    let ground = fresh();
    let (store, mut model) = both(&*ground);
    let mut reader = store.reader().unwrap();
    for due_by in [TimeMs(0), NOW, NOW.plus_ms(2000), TimeMs::MAX] {
        for (offset, size) in [(0, 100), (0, 5), (3, 4), (7, 9), (50, 5)] {
            let ask = ScheduledAsk { due_by, offset, size, payloads: true, budget_ms: 60_000 };
            let (page, expected) = (reader.scheduled(&ask), model.scheduled(&ask));
            assert_eq!(page, expected, "{ask:?}");
        }
    }
}

pub(crate) fn payloads_stay_behind_unless_wanted(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = start(&*ground, NOW);
    let sample = Sample::new(1).full();
    commit(&mut *store, vec![insert(&sample), insert(&Sample::new(2).full())]);
    commit(&mut *store, vec![finish(&mut sample.task(), StatusKind::Completed, NOW)]);
    let mut reader = store.reader().unwrap();
    let mut ask = ask(SortField::Id, false, Filter::default());
    for task in reader.page(&ask).unwrap().tasks {
        assert!(task.spec.payload.is_some() && task.state.result.is_some());
    }
    ask.payloads = false;
    let tasks = reader.page(&ask).unwrap().tasks;
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        assert_eq!((&task.spec.payload, &task.state.result), (&None, &None));
        assert_eq!(task.spec.tags, sample.task().spec.tags);
    }
}

pub(crate) fn tasks_are_found_by_id_in_the_order_asked(fresh: Fresh<'_>) {
    let ground = fresh();
    let (store, _) = both(&*ground);
    let mut reader = store.reader().unwrap();
    let wanted = [90, 3, 500, 42, 3].map(id);
    let found: Vec<_> = reader.find_all(&wanted).unwrap().iter().map(|task| task.id).collect();
    assert_eq!(found, [90, 3, 42, 3].map(id));
    assert_eq!(reader.find(id(500)).unwrap(), None);
    assert_eq!(reader.find(id(42)).unwrap().unwrap().id, id(42));
}

pub(crate) fn ended_tasks_are_pruned_by_age_and_status(fresh: Fresh<'_>) {
    let ground = fresh();
    let (mut store, _) = both(&*ground);
    let mut reader = store.reader().unwrap();
    let ended = |reader: &mut dyn Reader| -> BTreeSet<u64> {
        let mut all = Vec::new();
        for status in [StatusKind::Completed, StatusKind::Failed, StatusKind::Cancelled] {
            let filter = Filter { status: Some(status), ..Filter::default() };
            all.extend(walk(reader, ask(SortField::Id, true, filter), || ()));
        }
        all.iter().map(|task| task.id.get()).collect()
    };
    let all = ended(&mut *reader);
    let mut prune = PruneAsk {
        statuses: vec![StatusKind::Completed, StatusKind::Cancelled],
        ended_before: NOW.plus_ms(60),
        limit: 5,
    };
    // n / 3 % 3 == 1 is FAILED; those that ended at NOW + 60 or later stay.
    let old = |n: &u64| *n < 60 && n / 3 % 3 != 1;
    let expected: BTreeSet<u64> = all.iter().copied().filter(|n| !old(n)).collect();
    let goners = (all.len() - expected.len()) as u64;
    let mut deleted = Vec::new();
    while deleted.last() != Some(&0) {
        deleted.push(store.prune(&prune).unwrap());
    }
    assert_eq!(deleted.iter().sum::<u64>(), goners);
    assert!(deleted.iter().all(|slice| *slice <= 5));
    assert_eq!(ended(&mut *reader), expected);
    prune.ended_before = TimeMs::MAX;
    prune.statuses.push(StatusKind::Failed);
    prune.limit = 1000;
    assert_eq!(store.prune(&prune).unwrap(), expected.len() as u64);
    assert!(reader.counts().unwrap().iter().all(|count| !count.status.is_terminal()));
}
