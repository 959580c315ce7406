//! The data directory: rights, the lock, and schemas of other programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::{Disk, Migrate, Options, SqliteStore, options};
use crate::clock::ManualClock;
use crate::store::conformance::NOW;
use crate::store::conformance::sample::{Sample, commit, insert};
use crate::store::sqlite::migrate::{self, MIGRATIONS};
use crate::store::{Cure, Store, StoreError};

fn refusal(disk: &Disk, options: Options) -> String {
    match SqliteStore::open(disk.path(), options) {
        Ok(_) => panic!("it was opened"),
        Err(StoreError::Unusable(why)) => why,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_second_server_is_refused_by_name_until_the_first_is_gone() {
    let disk = Disk::new();
    let first = disk.store();
    let why = refusal(&disk, options());
    assert!(why.contains("another server uses"), "{why}");
    assert!(why.contains(&std::process::id().to_string()), "{why}");
    assert!(migrate::apply(disk.path(), &*ManualClock::at(NOW)).is_err());
    assert!(migrate::reset(disk.path()).is_err());
    drop(first);
    disk.store();
}

#[test]
fn only_the_owner_can_read_what_is_stored() {
    let disk = Disk::new();
    let inner = disk.path().join("a/b");
    let mut store = SqliteStore::open(&inner, options()).unwrap();
    commit(&mut store, vec![insert(&Sample::new(1))]);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(inner.clone()), 0o700);
    let names: Vec<_> = fs::read_dir(&inner).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(names.len() >= 4, "the database, its log and index, the lock: {names:?}");
    for path in names {
        assert_eq!(mode(path.clone()), 0o600, "{}", path.display());
    }
}

#[test]
fn a_directory_that_everybody_can_write_to_is_refused() {
    let disk = Disk::new();
    fs::write(disk.path().join("somebody's"), "").unwrap();
    fs::set_permissions(disk.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(refusal(&disk, options()).contains("everybody can write"));
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let disk = Disk::new();
    let path = disk.path().join("tasks.db");
    let content = "something else entirely, and longer than a header. ".repeat(200);
    fs::write(&path, &content).unwrap();
    refusal(&disk, options());
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
}

#[test]
fn the_settings_that_durability_rests_on_are_on() {
    let store = Disk::new().store();
    let setting = |name: &str| -> String {
        let value = store.conn.query_row(&format!("PRAGMA {name}"), (), |row| {
            row.get::<_, rusqlite::types::Value>(0)
        });
        format!("{:?}", value.unwrap())
    };
    assert_eq!(setting("journal_mode"), "Text(\"wal\")");
    assert_eq!(setting("synchronous"), "Integer(2)");
    assert_eq!(setting("auto_vacuum"), "Integer(2)");
}

#[test]
fn a_check_refuses_an_empty_store_and_accepts_a_migrated_one() {
    let disk = Disk::new();
    let check = || Options { migrate: Migrate::Check, clock: ManualClock::at(NOW) };
    assert_eq!(migrate::info(disk.path()).unwrap().pending, MIGRATIONS);
    assert!(refusal(&disk, check()).contains("apply the migrations"));
    let applied = migrate::apply(disk.path(), &*ManualClock::at(NOW)).unwrap();
    assert_eq!(applied, MIGRATIONS);
    assert_eq!(migrate::apply(disk.path(), &*ManualClock::at(NOW)).unwrap(), []);
    let info = migrate::info(disk.path()).unwrap();
    assert_eq!((info.version(), info.pending.len()), (MIGRATIONS.len() as i64, 0));
    assert_eq!(info.applied[0].at, NOW);
    SqliteStore::open(disk.path(), check()).unwrap();
}

#[test]
fn a_newer_schema_is_refused_only_when_it_says_so() {
    let disk = Disk::new();
    let store = disk.store();
    let newer = |compatible_from: i64| {
        store.conn.execute(
            "INSERT OR REPLACE INTO schema_migrations VALUES (99, 'later', '', ?1, 0)",
            [compatible_from],
        )
    };
    newer(1).unwrap();
    drop(store);
    let store = disk.store();
    store.conn.execute("UPDATE schema_migrations SET compatible_from = 99", ()).unwrap();
    drop(store);
    assert!(refusal(&disk, options()).contains("needs a program of version 99"));
}

#[test]
fn a_migration_that_was_edited_afterwards_is_noticed() {
    let disk = Disk::new();
    let store = disk.store();
    store.conn.execute("UPDATE schema_migrations SET checksum = 'x'", ()).unwrap();
    drop(store);
    assert!(refusal(&disk, options()).contains("another content"));
}

#[test]
fn a_reset_store_is_empty_but_works() {
    let disk = Disk::new();
    let mut store = disk.store();
    commit(&mut store, vec![insert(&Sample::new(1))]);
    drop(store);
    migrate::reset(disk.path()).unwrap();
    let mut store = disk.store();
    assert!(store.reader().unwrap().counts().unwrap().is_empty());
    assert_eq!(store.take_ids(1).unwrap(), 1..2);
}

#[test]
fn a_locked_database_is_waited_for_and_then_called_unavailable() {
    let disk = Disk::new();
    let mut store = disk.store();
    store.conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    let other = rusqlite::Connection::open(disk.path().join("tasks.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.take_ids(1).unwrap_err();
    assert_eq!(error.cure(), Cure::RetryBatch);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.take_ids(1).unwrap(), 1..2);
}

#[test]
fn a_log_that_was_laid_out_does_not_grow_and_holds_what_a_crash_leaves() {
    let disk = Disk::new();
    let mut store = disk.store();
    let log = || fs::metadata(super::super::files::log(disk.path())).unwrap().len();
    commit(&mut store, vec![insert(&Sample::new(1))]);
    store.lay_out_log();
    let room = log();
    assert!(room > 40 << 20, "{room}");
    (2..=50).for_each(|n| drop(commit(&mut store, vec![insert(&Sample::new(n))])));
    store.lay_out_log();
    assert_eq!(log(), room);
    // The files as a power cut would leave them.
    let after = Disk::new();
    for name in ["tasks.db", "tasks.db-wal"] {
        fs::copy(disk.path().join(name), after.path().join(name)).unwrap();
    }
    assert_eq!(rows(&after.store()), 50);
    drop(store);
    assert_eq!(rows(&disk.store()), 50);
}

fn rows(store: &SqliteStore) -> i64 {
    store.conn.query_row("SELECT count(*) FROM tasks", (), |row| row.get(0)).unwrap()
}
