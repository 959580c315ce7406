//! The store stops growing.

use super::Disk;
use crate::domain::{StatusKind, TimeMs};
use crate::store::conformance::NOW;
use crate::store::conformance::sample::{Sample, batch, finish, insert};
use crate::store::{Batch, PruneAsk, Store};

const DAY: u64 = 86_400_000;

/// One day: 400 tasks come and end, what is older than three days goes, keys older than one.
fn day(store: &mut dyn Store, number: u64) {
    let now = NOW.plus_ms(number * DAY);
    let samples: Vec<Sample> = (0..400)
        .map(|n| {
            Sample::new(1 + number * 400 + n).spec(|spec| {
                spec.payload = Some(crate::domain::Payload::text(&"x".repeat(1500)));
            })
        })
        .collect();
    let mut units: Vec<_> = samples.iter().map(insert).collect();
    for (n, unit) in units.iter_mut().enumerate() {
        let mut key = [number as u8; 32];
        key[..8].copy_from_slice(&(number * 400 + n as u64).to_le_bytes());
        unit.key = Some(crate::store::KeyClaim { key, body: [1; 32] });
    }
    store.commit(&Batch { now, ..batch(units) }).unwrap();
    let ends = samples.iter().map(|s| finish(&mut s.task(), StatusKind::Completed, now)).collect();
    store.commit(&Batch { now, ..batch(ends) }).unwrap();
    let statuses = vec![StatusKind::Completed];
    let ended_before = TimeMs(now.0 - 3 * DAY as i64);
    let slice = PruneAsk { statuses, ended_before, limit: 100 };
    while store.prune(&slice).unwrap() > 0 {}
    store.upkeep(TimeMs(now.0 - DAY as i64)).unwrap();
}

/// Keys went in slices of 4,000 every five seconds, however many came.
#[test]
fn old_idempotency_keys_go_as_fast_as_they_come() {
    let disk = Disk::new();
    let mut store = disk.store();
    for round in 0..5u64 {
        let mut units: Vec<_> =
            (0..2000).map(|n| insert(&Sample::new(1 + round * 2000 + n))).collect();
        for (n, unit) in units.iter_mut().enumerate() {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&(round * 2000 + n as u64).to_le_bytes());
            unit.key = Some(crate::store::KeyClaim { key, body: [1; 32] });
        }
        store.commit(&Batch { now: NOW, ..batch(units) }).unwrap();
    }
    store.upkeep(NOW.plus_ms(1)).unwrap();
    let left = "SELECT count(*) FROM idempotency_keys";
    assert_eq!(store.conn.query_row(left, (), |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn with_retention_the_store_stops_growing() {
    let disk = Disk::new();
    let mut store = disk.store();
    let mut reader = store.reader().unwrap();
    let size = |store: &super::SqliteStore| {
        // Without the log, which is bounded by itself and moves in steps.
        store.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
        std::fs::metadata(super::super::files::database(disk.path())).unwrap().len()
    };
    (0..10).for_each(|number| day(&mut store, number));
    let settled = size(&store);
    (10..120).for_each(|number| day(&mut store, number));
    let later = size(&store);
    assert!(later <= settled + settled / 20, "{settled} bytes grew to {later}");
    let kept: u64 = reader.counts().unwrap().iter().map(|count| count.tasks).sum();
    assert_eq!(kept, 4 * 400);
    let rows = |table: &str| -> i64 {
        store
            .conn
            .query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0))
            .unwrap()
    };
    assert!(rows("idempotency_keys") <= 800, "{}", rows("idempotency_keys"));
    assert!(rows("minutes") <= 93, "{}", rows("minutes"));
    assert!(rows("history_blocks") <= 2, "{}", rows("history_blocks"));
}

#[test]
fn space_beyond_a_reserve_is_given_back() {
    let disk = Disk::new();
    let mut store = disk.store();
    let big = |n| {
        insert(&Sample::new(n).spec(|spec| {
            spec.payload = Some(crate::domain::Payload::text(&"x".repeat(60_000)));
        }))
    };
    store.commit(&batch((1..=500).map(big).collect())).unwrap();
    let ends = (1..=500).map(|n| finish(&mut Sample::new(n).task(), StatusKind::Failed, NOW));
    store.commit(&batch(ends.collect())).unwrap();
    let pages = |store: &super::SqliteStore| -> i64 {
        store.conn.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap()
    };
    let full = pages(&store);
    (0..20).for_each(|_| store.upkeep(NOW).unwrap());
    assert!(full > 7000 && pages(&store) < 3000, "{full} pages became {}", pages(&store));
}

#[test]
fn the_log_is_bounded_even_when_a_reader_held_it_up() {
    let disk = Disk::new();
    let mut store = disk.store();
    let other = super::super::files::connect_read_only(disk.path()).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM tasks").unwrap();
    for round in 0..30u64 {
        let big = |n| {
            insert(&Sample::new(round * 50 + n).spec(|spec| {
                spec.payload = Some(crate::domain::Payload::text(&"x".repeat(60_000)));
            }))
        };
        store.commit(&batch((1..=50).map(big).collect())).unwrap();
    }
    let log = || std::fs::metadata(super::super::files::log(disk.path())).unwrap().len();
    assert!(log() > super::super::files::LOG_BYTES_MAX, "the reader held nothing up");
    other.execute_batch("ROLLBACK").unwrap();
    store.upkeep(NOW).unwrap();
    assert!(log() <= super::super::files::LOG_BYTES_MAX);
}
