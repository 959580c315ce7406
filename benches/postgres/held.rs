//! What time and size do to it: a snapshot that somebody holds open, and a store that is full.

use std::time::Duration;

use taskscheduler::clock::{Clock, SystemClock};
use test_servers::Account;

use super::ground::{closed, ground, node_on, warm_up};
use crate::Effort;
use crate::http::client::Until;
use crate::http::report::{Goal, Report, Row};
use crate::http::requests::batch;
use crate::ledger::http::Client;

/// The rate while somebody's snapshot keeps every dead row from being cleared away, of the rate
/// before. Batches, so that bands overflow and rows are claimed too.
pub fn snapshot(effort: Effort, report: &mut Report) {
    let (cluster, account) = ground();
    let mut node = node_on(&account, &[]);
    let mut done = warm_up(&mut node);
    let window = Duration::from_secs(if effort.is_long { 20 } else { effort.seconds });
    let mut rate = || {
        let clock = SystemClock::new();
        let from = clock.mono();
        let answers = closed(&node, 4, Until::Passed(window), &mut batch(100, "LOAD_TEST", ""));
        assert_eq!(answers.errors(), 0, "{:?}, {} broken", answers.refused, answers.broken);
        let tasks = answers.times_us.len() * 100;
        done += tasks;
        node.wait_completed(done);
        super::ground::rate(tasks, &clock, from)
    };
    rate();
    let before = rate();
    let mut admin = cluster.admin(&account.database);
    let mut elsewhere = admin.transaction().expect("a transaction");
    elsewhere.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").expect("a level");
    elsewhere.query("SELECT count(*) FROM taskscheduler.tasks", &[]).expect("a snapshot");
    let windows = if effort.is_long { 30 } else { 3 };
    let rates: Vec<f64> = (0..windows).map(|_| rate()).collect();
    let last = rates[rates.len() - 1];
    let dead = "SELECT sum(n_dead_tup)::bigint FROM pg_stat_all_tables
                WHERE schemaname = 'taskscheduler'";
    let dead: Option<i64> = elsewhere.query_one(dead, &[]).expect("a count").get(0);
    elsewhere.rollback().expect("an end");
    report.add(Row::new("snapshot", "run and completed/s before", before));
    let what = format!("the same, a snapshot open for {} s", window.as_secs() * windows);
    report.add(Row::new("snapshot", what, last).with("windows", rates).with("deadRows", dead));
    report.add(Row::new("snapshot", "of the rate before", last / before).goal(Goal::AtLeast(0.95)));
    node.stop();
}

/// Memory and the time of a page with many tasks in the store, half of them ended.
pub fn full(effort: Effort, report: &mut Report) {
    let tasks: i64 = if effort.is_long { 10_000_000 } else { 400_000 };
    let (_cluster, account) = ground();
    let mut node = node_on(&account, &[]);
    closed(&node, 1, Until::Sent(1), &mut batch(1000, "LOAD_TEST", ""));
    closed(&node, 1, Until::Sent(1), &mut batch(1000, "NOBODY", ""));
    node.wait_completed(1000);
    node.stop();
    multiply(&account, tasks / 2000);
    let mut node = node_on(&account, &[]);
    assert_eq!(node.count("totalTasks"), tasks as u64);
    let mut client = Client::new(node.address());
    let mut worst = ("", 0.0);
    for path in [
        "/api/v1/tasks",
        "/api/v1/tasks?page=100&size=100",
        "/api/v1/tasks?status=COMPLETED",
        "/api/v1/tasks?status=QUEUED&size=100",
        "/api/v1/tasks?status=FAILED",
        "/api/v1/tasks?priority=MEDIUM",
        "/api/v1/tasks?taskType=NOBODY",
    ] {
        let clock = SystemClock::new();
        let mut times: Vec<u64> = Vec::new();
        let mut refused = 0;
        for _ in 0..11 {
            let from = clock.mono();
            let answer = client.get(path).expect("an answer");
            times.push(clock.mono().since(from).as_micros() as u64);
            // A page that takes longer than 100 ms is refused, so its time counts as it is.
            refused += u32::from(answer.code != 200);
        }
        let first = times[0] as f64 / 1000.0;
        times.sort_unstable();
        let median = times[times.len() / 2] as f64 / 1000.0;
        let row = Row::new("full", format!("{path}, ms"), median).with("firstMs", first);
        report.add(row.with("refused", refused));
        if first.max(median) > worst.1 {
            worst = (path, first.max(median));
        }
    }
    let what = format!("the slowest page, cold or warm, ms, {tasks} tasks: {}", worst.0);
    report.add(Row::new("full", what, worst.1).goal(Goal::AtMost(100.0)));
    let idle = node.usage();
    let until = Until::Passed(Duration::from_secs(effort.seconds));
    let answers = closed(&node, 4, until, &mut batch(1_000, "LOAD_TEST", ""));
    let rate = answers.per_second() * 1000.0;
    let after = node.usage();
    let what = format!("MiB at most, {tasks} tasks in the store, under load");
    let row = Row::new("full", what, after.peak_mib).goal(Goal::AtMost(400.0));
    report.add(row.usage(idle, after).with("idleMiB", idle.resident_mib));
    report.add(Row::new("full", "submits/s in batches meanwhile", rate).answers(&answers));
    node.stop();
}

/// Each task becomes so many, by SQL: through the port it would take an hour.
fn multiply(account: &Account, times: i64) {
    let mut client = account.connect();
    for table in ["tasks", "task_history"] {
        let columns = "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
             FROM information_schema.columns
             WHERE table_schema = 'taskscheduler' AND table_name = $1 AND column_name <> 'id'";
        let columns: String = client.query_one(columns, &[&table]).expect("columns").get(0);
        client
            .batch_execute(&format!(
                "INSERT INTO taskscheduler.{table} (id, {columns})
                 SELECT id + n * 1000000, {columns}
                 FROM taskscheduler.{table}, generate_series(1, {times} - 1) n ORDER BY n, id"
            ))
            .expect("rows");
    }
    client
        .batch_execute(&format!(
            "INSERT INTO taskscheduler.count_deltas (incarnation, seq, batch, counts, minutes)
             SELECT 0, 1 + type_id + 100 * status, 0, ARRAY[status, band, type_id, day,
                    ({times} - 1) * tasks], ''
             FROM (SELECT status, band, type_id, 0 AS day, count(*) AS tasks
                   FROM taskscheduler.tasks WHERE id < 1000000 GROUP BY 1, 2, 3
                   UNION ALL
                   SELECT status, band, type_id, ended_day, count(*)
                   FROM taskscheduler.task_history WHERE id < 1000000 GROUP BY 1, 2, 3, 4) own;
             SELECT setval('taskscheduler.task_ids', {times} * 1000000 + 1000000)"
        ))
        .expect("counts");
    // As autovacuum has done long since where so many came one after the other.
    client
        .batch_execute("VACUUM ANALYZE taskscheduler.tasks")
        .and_then(|()| client.batch_execute("VACUUM ANALYZE taskscheduler.task_history"))
        .expect("a clean table");
}
