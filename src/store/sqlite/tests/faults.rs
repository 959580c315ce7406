//! A database that may not grow. What a failing disk does to the whole process is tested from
//! outside, in `tests/disk.rs`.

use super::Disk;
use crate::domain::{Payload, StatusKind};
use crate::store::conformance::NOW;
use crate::store::conformance::sample::{Sample, batch, finish, insert};
use crate::store::{Cure, Fate, Store, Unit};

/// A task with a payload, so that a few of them fill something.
fn bulky(number: u64) -> Unit {
    insert(&Sample::new(number).spec(|spec| spec.payload = Some(Payload::text(&"x".repeat(9000)))))
}

#[test]
fn a_full_database_refuses_and_takes_outcomes_again() {
    let disk = Disk::new();
    let mut store = disk.store();
    store.conn.pragma_update(None, "max_page_count", 200).unwrap();
    let mut stored = 0;
    let error = loop {
        match store.commit(&batch(vec![bulky(stored + 1), bulky(1000 + stored)])) {
            Ok(committed) => assert_eq!(committed.fates, [Fate::Applied, Fate::Applied]),
            Err(error) => break error,
        }
        stored += 1;
    };
    assert_eq!(error.cure(), Cure::RefuseInserts, "{error}");
    assert!(stored > 10);
    let counted: u64 = store.reader().unwrap().counts().unwrap().iter().map(|c| c.tasks).sum();
    assert_eq!(counted, 2 * stored, "a refused batch was counted");
    // Outcomes free as much as they take.
    for number in 1..=stored {
        let mut task = Sample::new(number).task();
        let end = finish(&mut task, StatusKind::Completed, NOW);
        assert_eq!(store.commit(&batch(vec![end])).unwrap().fates, [Fate::Applied]);
    }
    assert_eq!(store.commit(&batch(vec![bulky(5000)])).unwrap().fates, [Fate::Applied]);
}
