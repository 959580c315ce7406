//! Claims after many others.

use std::sync::Arc;
use std::time::Duration;

use super::Database;
use crate::clock::ManualClock;
use crate::domain::TimeMs;
use crate::store::conformance::sample::{NOW, Sample, batch, commit, insert};
use crate::store::postgres::{Options, PostgresStore};
use crate::store::{Bands, Batch, ClaimAsk, Store, Taker};

fn claim(store: &mut PostgresStore, limit: u32) -> usize {
    let types = Arc::from([Arc::from("NOOP")]);
    let (bands, taker, due_by) = (Bands::All, Taker::Node, NOW);
    let ask = ClaimAsk { bands, limit, bytes_max: usize::MAX, due_by, types, taker };
    let committed = store.commit(&Batch { claims: vec![ask], ..batch(Vec::new()) }).unwrap();
    committed.claimed[0].tasks.len()
}

/// Claims begin where the last one came to; a row that comes to lie before that is found all the
/// same: at once if this node put it there, and else with the next look at everything.
#[test]
fn rows_before_what_many_claims_have_taken_are_found() {
    let database = Database::new();
    let clock = ManualClock::at(NOW);
    let options = Options { clock: clock.clone(), ..database.options() };
    let mut store = PostgresStore::open(options).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    store.recover(NOW, &pool).unwrap();
    // Long due, so that the floor is not held back by the present.
    let free = |n: u64, ms: i64| Sample::new(n).ready_at(TimeMs(NOW.0 - 60_000 + ms)).free();
    commit(&mut store, (1..=1500).map(|n| insert(&free(n, n as i64))).collect());
    assert_eq!(claim(&mut store, 1500), 1500);
    commit(&mut store, vec![insert(&free(2000, 5000)), insert(&free(2001, 1))]);
    assert_eq!(claim(&mut store, 10), 2, "one of them lies before");
    commit(&mut store, vec![insert(&free(2002, 6000))]);
    assert_eq!(claim(&mut store, 10), 1);
    let mut elsewhere = database.account.connect();
    let back = "UPDATE taskscheduler.tasks SET owner = NULL WHERE id = 7";
    elsewhere.execute(back, &[]).unwrap();
    assert_eq!(claim(&mut store, 10), 0, "nobody told this node");
    clock.advance(Duration::from_secs(2));
    assert_eq!(claim(&mut store, 10), 1);
}
