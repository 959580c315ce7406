//! Days that go as a whole, and schemas that this program does not know.

use super::Database;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::domain::StatusKind;
use crate::store::conformance::sample::{NOW, Sample, commit, finish, insert};
use crate::store::conformance::{Ground, start};
use crate::store::postgres::{Options, PostgresStore};
use crate::store::{PruneAsk, Store};

const DAY_MS: u64 = 24 * 3_600_000;

/// The same database some days later.
struct Later<'d>(&'d Database);

impl Ground for Later<'_> {
    fn open(&self) -> Box<dyn Store> {
        let clock = ManualClock::at(NOW.plus_ms(4 * DAY_MS));
        let options = Options { clock, ..self.0.options() };
        Box::new(PostgresStore::open(options).unwrap())
    }
}

#[test]
fn retention_drops_the_tables_of_old_days_with_their_counts_and_no_others() {
    let database = Database::new();
    let (mut store, _) = start(&Later(&database), NOW);
    for day in 0..4 {
        let samples: Vec<Sample> = (1..=3).map(|n| Sample::new(day * 10 + n)).collect();
        commit(&mut *store, samples.iter().map(insert).collect());
        let end = NOW.plus_ms(day * DAY_MS);
        let ended = samples.iter().map(|one| finish(&mut one.task(), StatusKind::Completed, end));
        commit(&mut *store, ended.collect());
    }
    let completed = |store: &dyn Store| -> u64 {
        store.reader().unwrap().counts().unwrap().iter().map(|count| count.tasks).sum()
    };
    assert_eq!(completed(&*store), 12);
    // The third day is not over then, and of it nothing has ended so early.
    let ended_before = NOW.plus_ms(2 * DAY_MS);
    let ask = PruneAsk { statuses: vec![StatusKind::Completed], ended_before, limit: 100 };
    assert_eq!(store.prune(&ask).unwrap(), 6);
    assert_eq!(completed(&*store), 6);
    let mut client = database.account.connect();
    let days = "SELECT (SELECT count(*) FROM taskscheduler.history_days
                        WHERE status = 6 AND day < $1),
                       (SELECT count(*) FROM taskscheduler.task_history),
                       to_regclass('taskscheduler.task_history_6_' || $2::text) IS NULL";
    let (third, first) = (ended_before.day() as i32, NOW.day().to_string());
    let row = client.query_one(days, &[&third, &first]).unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (0_i64, 6_i64, true));
}

/// Its table was dropped with counts that were not folded yet, and what came afterwards was counted
/// on top of them.
#[test]
fn a_day_that_is_not_over_is_emptied_and_counted_right_again() {
    let database = Database::new();
    let now = SystemClock::new().now();
    let (mut store, _) = start(&database, now);
    let ended_before = now.plus_ms(7000 * 365 * DAY_MS);
    let ask = PruneAsk { statuses: vec![StatusKind::Completed], ended_before, limit: 100 };
    let all = |store: &dyn Store| -> u64 {
        store.reader().unwrap().counts().unwrap().iter().map(|count| count.tasks).sum()
    };
    for round in 0..3 {
        let samples: Vec<Sample> = (1..=3).map(|n| Sample::new(round * 10 + n)).collect();
        commit(&mut *store, samples.iter().map(insert).collect());
        let ended = samples.iter().map(|one| finish(&mut one.task(), StatusKind::Completed, now));
        commit(&mut *store, ended.collect());
        assert_eq!(all(&*store), 3);
        assert_eq!(store.prune(&ask).unwrap(), 3);
        assert_eq!(all(&*store), 0);
    }
}

#[test]
fn a_schema_of_a_later_program_is_refused_unless_it_says_that_this_one_may_use_it() {
    let database = Database::new();
    drop(database.store());
    let mut client = database.account.connect();
    let later = "INSERT INTO taskscheduler.schema_migrations VALUES (99, 'later', 'x', $1, 0)";
    client.execute(later, &[&99_i64]).unwrap();
    let refused = PostgresStore::open(database.options()).err().unwrap();
    assert!(refused.to_string().contains("99"), "{refused}");
    let usable =
        "UPDATE taskscheduler.schema_migrations SET compatible_from = 1 WHERE version = 99";
    client.execute(usable, &[]).unwrap();
    drop(database.store());
}
