//! Plans and budgets: what must not walk does not, and what walks too long is given up.

use super::{Disk, SqliteStore, timed};
use crate::domain::{Band, StatusKind};
use crate::store::conformance::NOW;
use crate::store::conformance::sample::{Sample, batch, finish, insert};
use crate::store::{Filter, PageAsk, Place, SortField, Sorting, Store, StoreError};

/// A store with so many live tasks, and as many that ended.
fn filled(disk: &Disk, each: u64) -> SqliteStore {
    let mut store = SqliteStore::open(disk.path(), timed()).unwrap();
    for part in 0..each / 1000 {
        let samples: Vec<Sample> = (1..=2000).map(|n| Sample::new(part * 2000 + n)).collect();
        store.commit(&batch(samples.iter().map(insert).collect())).unwrap();
        let ends =
            samples.iter().step_by(2).map(|s| finish(&mut s.task(), StatusKind::Completed, NOW));
        store.commit(&batch(ends.collect())).unwrap();
    }
    store
}

fn ask(field: SortField, filter: Filter, place: Place, budget_ms: u32) -> PageAsk {
    let sorting = Sorting { field, descending: true };
    PageAsk { filter, sorting, place, size: 20, payloads: false, budget_ms }
}

/// Whether a question was given up. A budget of nought ends it as soon as it has
/// taken 50,000 steps of SQLite's machine, so the clock of a busy test machine plays no part. Steps
/// are counted over the life of a statement, so each question gets a reader of its own.
fn given_up(store: &SqliteStore, ask: &PageAsk) -> bool {
    let mut reader = store.reader().unwrap();
    matches!(reader.page(ask), Err(StoreError::TooBroad { .. }))
}

#[test]
fn a_page_by_id_does_not_walk_and_one_by_name_is_given_up() {
    let disk = Disk::new();
    let store = filled(&disk, 20_000);
    let start = || Place::Offset(0);
    let completed = Filter { status: Some(StatusKind::Completed), ..Filter::default() };
    let medium = Filter { band: Some(Band::Medium), ..Filter::default() };
    for (field, filter) in [
        (SortField::Id, Filter::default()),
        (SortField::CreatedAt, completed),
        (SortField::Id, medium),
        (SortField::Priority, Filter::default()),
        (SortField::TaskType, Filter::default()),
    ] {
        let asked = ask(field, filter, start(), 0);
        assert!(!given_up(&store, &asked), "{asked:?}");
    }
    for field in [SortField::TaskName, SortField::UpdatedAt, SortField::NextExecutionTime] {
        let asked = ask(field, Filter::default(), start(), 0);
        assert!(given_up(&store, &asked), "{asked:?}");
        assert!(!given_up(&store, &PageAsk { budget_ms: 60_000, ..asked }));
    }
    let deep = ask(SortField::Id, Filter::default(), Place::Offset(30_000), 0);
    assert!(given_up(&store, &deep));
    // A reader that gave up can be asked again.
    let mut reader = store.reader().unwrap();
    assert!(reader.page(&deep).is_err());
    assert_eq!(
        reader.page(&ask(SortField::Id, Filter::default(), start(), 9)).unwrap().total,
        40_000
    );
}

/// A walk through all pages by id once failed on a machine so busy that 100 ms passed while the
/// reading thread waited for its turn.
#[test]
fn a_full_page_by_id_is_not_given_up_however_long_it_waits_for_a_cpu() {
    let disk = Disk::new();
    let store = filled(&disk, 2000);
    let page = ask(SortField::Id, Filter::default(), Place::Offset(0), 0);
    assert!(!given_up(&store, &PageAsk { size: 100, payloads: true, ..page }));
}

#[test]
fn a_page_of_few_running_tasks_among_many_does_not_walk() {
    let disk = Disk::new();
    let mut store = filled(&disk, 20_000);
    let units = (2..=40).step_by(2).map(|n| {
        super::super::super::conformance::sample::update(
            &mut Sample::new(n).task(),
            crate::domain::Holding::Held,
            |state| state.status = crate::domain::Status::Running { epoch: state.epoch },
        )
    });
    store.commit(&batch(units.collect())).unwrap();
    let mut reader = store.reader().unwrap();
    let running = Filter { status: Some(StatusKind::Running), ..Filter::default() };
    let page = reader.page(&ask(SortField::Id, running, Place::Offset(0), 0)).unwrap();
    assert_eq!((page.total, page.tasks.len()), (20, 20));
    assert_eq!(page.tasks[0].id.get(), 40);
}

/// Says how SQLite would run a statement.
fn plan(store: &SqliteStore, sql: &str) -> String {
    let mut plan = store.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let lines = plan.query_map((), |row| row.get::<_, String>(3)).unwrap();
    lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
}

#[test]
fn both_tables_are_merged_as_they_come() {
    let store = Disk::new().store();
    let plan = plan(
        &store,
        "SELECT id, 0 AS ended FROM tasks NOT INDEXED WHERE id < 9 UNION ALL
         SELECT id, 1 AS ended FROM task_history NOT INDEXED WHERE id < 9
         ORDER BY id DESC LIMIT 1 OFFSET 2",
    );
    assert!(plan.contains("MERGE (UNION ALL)") && !plan.contains("TEMP B-TREE"), "{plan}");
}
