//! Connections that end at any moment, servers that restart, and a node that was declared dead.

use std::sync::atomic::{AtomicBool, Ordering};

use test_servers::{Account, Cluster, Fault, Plan, Proxy};

use super::{Database, Options, PostgresStore};
use crate::domain::{StatusKind, Task};
use crate::store::conformance::sample::{NOW, Sample, batch, commit, finish, insert};
use crate::store::conformance::start;
use crate::store::{Batch, Cure, Fate, PruneAsk, Store, StoreError, Unit, Wish};

/// Commits as the persist thread does: what is in doubt is settled before it is sent again.
fn insist(store: &mut dyn Store, batch: &Batch) -> (Vec<Fate>, u32) {
    let mut faults = 0;
    let mut in_doubt = false;
    loop {
        let result = if in_doubt {
            store.settle(batch).and_then(|settled| {
                in_doubt = false;
                settled.map_or_else(|| store.commit(batch), Ok)
            })
        } else {
            store.commit(batch)
        };
        match result {
            Ok(committed) => return (committed.fates, faults),
            Err(error) => {
                faults += 1;
                assert!(faults < 10_000, "never again: {error}");
                match error.cure() {
                    Cure::SettleBatch => in_doubt = true,
                    Cure::RetryBatch => {}
                    _ => panic!("{error}"),
                }
            }
        }
    }
}

/// Once a COMMIT whose answer was lost was sent again, and its tasks were refused as duplicates
/// although they were stored.
#[test]
fn backends_terminated_at_any_moment_store_each_batch_exactly_once() {
    let database = Database::new();
    let (mut store, _) = start(&database, NOW);
    let over = AtomicBool::new(false);
    let (mut faults, mut live) = (0, Vec::<Task>::new());
    // Connected before the first round: a busy machine may be done with them before it is.
    let mut admin = Cluster::shared().admin(&database.account.database);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            // Bounded by the loop below, which ends in any case.
            while !over.load(Ordering::SeqCst) {
                let killed = admin.execute(
                    "SELECT pg_terminate_backend(pid), pg_sleep(0.002 * random())
                     FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name LIKE 'taskscheduler writer%'",
                    &[],
                );
                kills += killed.unwrap();
            }
            kills
        });
        for round in 0..60u64 {
            let samples: Vec<Sample> = (1..=5).map(|n| Sample::new(round * 5 + n)).collect();
            let mut units: Vec<Unit> = samples.iter().map(insert).collect();
            let done = live.drain(..live.len().min(4));
            let done = done.map(|mut task| finish(&mut task, StatusKind::Completed, NOW));
            units.extend(done.collect::<Vec<_>>());
            let batch = Batch { seq: (round + 1) * Batch::PARTS, ..batch(units) };
            let (fates, met) = insist(&mut *store, &batch);
            assert!(fates.iter().all(|fate| *fate == Fate::Applied), "{round}: {fates:?}");
            faults += met;
            live.extend(samples.iter().map(Sample::task));
        }
        over.store(true, Ordering::SeqCst);
        let kills = killer.join().unwrap();
        println!("{kills} connections ended, {faults} errors met");
        assert!(kills > 0);
    });
    let mut counts = store.reader().unwrap().counts().unwrap();
    counts.sort_by_key(|count| count.status);
    let counts: Vec<(StatusKind, u64)> = counts.iter().map(|c| (c.status, c.tasks)).collect();
    let ended = 300 - live.len() as u64;
    let expected = [(StatusKind::Queued, live.len() as u64), (StatusKind::Completed, ended)];
    assert_eq!(counts, expected);
    let mut admin = Cluster::shared().admin(&database.account.database);
    let rows = admin.query_one(
        "SELECT (SELECT count(*) FROM taskscheduler.tasks),
                (SELECT count(*) FROM taskscheduler.task_history)",
        &[],
    );
    let rows = rows.unwrap();
    assert_eq!((rows.get::<_, i64>(0), rows.get::<_, i64>(1)), (live.len() as i64, ended as i64));
}

/// Fewer keys were forgotten in a second than could come in, so they became more and more.
#[test]
fn old_keys_are_forgotten_as_fast_as_they_come() {
    let database = Database::new();
    let (mut store, _) = start(&database, NOW);
    let mut admin = Cluster::shared().admin(&database.account.database);
    let many = "INSERT INTO taskscheduler.idempotency_keys
                SELECT int8send(n), '', $1, true, '' FROM generate_series(1, 30000) n";
    admin.execute(many, &[&NOW.0]).unwrap();
    store.upkeep(NOW.plus_ms(1)).unwrap();
    let left = "SELECT count(*) FROM taskscheduler.idempotency_keys";
    assert_eq!(admin.query_one(left, &[]).unwrap().get::<_, i64>(0), 0);
}

/// The client was told that its wish was surely not left, and then it was carried out.
#[test]
fn a_wish_whose_commit_was_not_answered_may_have_been_left() {
    let database = Database::new();
    let proxy = Proxy::to(([127, 0, 0, 1], database.account.port).into()).unwrap();
    let port = proxy.address().port();
    let through = Database {
        account: Account { port, ..database.account.clone() },
        data: tempfile::tempdir().unwrap(),
    };
    let (store, _) = start(&through, NOW);
    let mut nodes = store.nodes().unwrap().expect("many share it");
    nodes.renew().unwrap();
    proxy.plan(Plan::All(Fault::LoseAnswerTo(b"COMMIT".to_vec())));
    let task = crate::domain::TaskId::new(1).unwrap();
    let wish = Wish { holder: nodes.own(), task, command: crate::domain::Command::Cancel };
    let told = nodes.post(&[wish]);
    assert!(matches!(told, Err(StoreError::Unknown(_))), "{told:?}");
    proxy.plan(Plan::Through);
    assert_eq!(nodes.inbox(9).unwrap().len(), 1);
}

/// A row without a partition was taken for damaged data, and the task ended as failed.
#[test]
fn a_task_that_ended_on_a_day_which_another_node_has_dropped_is_stored() {
    let database = Database::new();
    let (mut store, _) = start(&database, NOW);
    let sample = Sample::new(1);
    commit(&mut *store, vec![insert(&sample)]);
    let folder = tempfile::tempdir().unwrap();
    let options = Options { data: folder.path().to_owned(), ..database.options() };
    let mut other = PostgresStore::open(options).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    other.recover(NOW, &pool).unwrap();
    let statuses = StatusKind::ALL.into_iter().filter(|status| status.is_terminal()).collect();
    let ended_before = NOW.plus_ms(10 * 24 * 3_600_000);
    other.prune(&PruneAsk { statuses, ended_before, limit: 1000 }).unwrap();
    let done = finish(&mut sample.task(), StatusKind::Completed, NOW);
    assert_eq!(commit(&mut *store, vec![done]), [Fate::Applied]);
    assert_eq!(store.reader().unwrap().counts().unwrap()[0].status, StatusKind::Completed);
}

#[test]
fn a_server_that_crashed_is_found_again_with_everything_that_was_committed() {
    let cluster = Cluster::start(&[]);
    let database = Database::on(&cluster);
    let (mut store, _) = start(&database, NOW);
    let mut reader = store.reader().unwrap();
    commit(&mut *store, vec![insert(&Sample::new(1))]);
    cluster.stop();
    let refused = store.commit(&batch(vec![insert(&Sample::new(2))])).unwrap_err();
    assert_eq!(refused.cure(), Cure::RetryBatch, "{refused}");
    assert!(matches!(reader.counts(), Err(StoreError::Unavailable(_))));
    cluster.start_again();
    commit(&mut *store, vec![insert(&Sample::new(2))]);
    assert_eq!(reader.counts().unwrap()[0].tasks, 2);
    // The next one comes while nothing is asked.
    cluster.stop();
    cluster.start_again();
    commit(&mut *store, vec![insert(&Sample::new(3))]);
    assert_eq!(reader.counts().unwrap()[0].tasks, 3);
}

#[test]
fn a_server_that_became_read_only_is_left_until_it_is_not() {
    let database = Database::new();
    let name = &database.account.database;
    let (mut store, _) = start(&database, NOW);
    let mut admin = Cluster::shared().admin("postgres");
    let mut read_only = |on: &str| {
        let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
        admin.batch_execute(&alter).unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        admin.execute(end, &[name]).unwrap();
    };
    read_only("on");
    let refused = store.commit(&batch(vec![insert(&Sample::new(1))])).unwrap_err();
    assert_eq!(refused.cure(), Cure::RetryBatch, "{refused}");
    read_only("off");
    commit(&mut *store, vec![insert(&Sample::new(1))]);
}

/// Once the number of a deletion whose answer was lost was given to the next batch, which was then
/// refused as if its data were at fault.
#[test]
fn a_deletion_whose_answer_was_lost_leaves_the_next_batch_its_own_number() {
    let mut database = Database::new();
    let server = ([127, 0, 0, 1], database.account.port).into();
    let proxy = Proxy::to(server).unwrap();
    database.account.port = proxy.address().port();
    let (mut store, _) = start(&database, NOW);
    commit(&mut *store, vec![insert(&Sample::new(1)), insert(&Sample::new(2))]);
    let done = finish(&mut Sample::new(1).task(), StatusKind::Completed, NOW);
    commit(&mut *store, vec![done]);
    let ask =
        PruneAsk { statuses: vec![StatusKind::Completed], ended_before: NOW.plus_ms(1), limit: 10 };
    proxy.plan(Plan::Next(1, Fault::LoseAnswerTo(b"COMMIT".to_vec())));
    let unknown = store.prune(&ask).unwrap_err();
    assert_eq!((unknown.cure(), proxy.injected()), (Cure::RetryBatch, 1), "{unknown}");
    assert_eq!(store.prune(&ask).unwrap(), 0, "it was carried out");
    commit(&mut *store, vec![insert(&Sample::new(3))]);
    // The same where a batch comes next, and its own answer is lost as well.
    let done = finish(&mut Sample::new(2).task(), StatusKind::Completed, NOW);
    commit(&mut *store, vec![done]);
    proxy.plan(Plan::Next(2, Fault::LoseAnswerTo(b"COMMIT".to_vec())));
    store.prune(&ask).unwrap_err();
    let (fates, _) = insist(&mut *store, &batch(vec![insert(&Sample::new(4))]));
    assert_eq!((fates, proxy.injected()), (vec![Fate::Applied], 3));
    assert_eq!(store.reader().unwrap().counts().unwrap()[0].tasks, 2);
}
