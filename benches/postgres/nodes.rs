//! Two nodes on one database.

use std::time::Duration;

use serde_json::{Value, json};
use taskscheduler::clock::{Clock, SystemClock};
use test_servers::{Account, RedisServer};

use super::ground::{closed, ground, node_on, pause, rate};
use crate::Effort;
use crate::http::client::Until;
use crate::http::node::Node;
use crate::http::report::{Goal, Report, Row};
use crate::http::requests::{batch, due_in};
use crate::ledger::http::Client;

/// Wake-ups in one measurement.
const WAKE_UPS: usize = 200;

/// What Redis gains two nodes.
pub fn redis(effort: Effort, report: &mut Report) {
    for with_redis in [false, true] {
        let server = with_redis.then(|| RedisServer::start(&[]));
        let more = server.iter().flat_map(|server| ["--redis-url".to_owned(), server.url()]);
        let more: Vec<String> = more.collect();
        let with = if with_redis { "with Redis" } else { "without Redis" };
        let (_cluster, account) = ground();
        let mut nodes = [node_on(&account, &more), node_on(&account, &more)];
        let waits = wake_ups(&nodes);
        let quantile = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize] as f64 / 1000.0;
        for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
            let what = format!("submit here to lease there, {with}, {name} ms");
            report.add(Row::new("redis", what, quantile(q)).with("us", waits.clone()));
        }
        let (tasks, rate) = claims(&mut nodes, effort.tasks);
        let what = format!("tasks/s claimed and run by two nodes, {with}, of {tasks}");
        report.add(Row::new("redis", what, rate));
        nodes.into_iter().for_each(Node::stop);
    }
}

/// A worker waits at one node for a task that is submitted at the other: microseconds from the
/// sending of the submit to the lease, sorted.
fn wake_ups([here, there]: &[Node; 2]) -> Vec<u64> {
    let (mut submits, mut leases) = (Client::new(here.address()), Client::new(there.address()));
    let ask = json!({ "workerId": "w", "taskTypes": ["REMOTE"], "maxTasks": 1, "waitMs": 20_000 });
    let ask = ask.to_string();
    let task = json!({ "taskName": "woken", "taskType": "REMOTE" }).to_string();
    let mut waits = Vec::new();
    for _ in 0..WAKE_UPS {
        let (tell, told) = crossbeam_channel::bounded(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let clock = SystemClock::new();
                let answer = leases.post("/api/v1/leases", &ask).expect("an answer");
                assert_eq!(answer.code, 200, "{}", answer.body);
                let lease = answer.json()["leases"][0]["leaseToken"].clone();
                assert!(lease.is_string(), "no lease: {}", answer.body);
                let _ = tell.send(clock.mono().0);
                let done = json!({ "leases": [{ "leaseToken": lease }] }).to_string();
                assert_eq!(
                    leases.post("/api/v1/leases/complete", &done).expect("an answer").code,
                    200
                );
            });
            let clock = SystemClock::new();
            // Until the worker surely waits, and not in step with anybody's polling.
            pause(Duration::from_micros(20_000 + (waits.len() as u64 * 7919) % 50_000));
            let sent = clock.mono().0;
            let answer = submits.post("/api/v1/tasks", &task).expect("an answer");
            assert_eq!(answer.code, 201, "{}", answer.body);
            let leased: u64 = told.recv().expect("a lease");
            waits.push(leased.saturating_sub(sent));
        });
    }
    waits.sort_unstable();
    waits
}

/// Both nodes take what is stored free and becomes due at once.
fn claims(nodes: &mut [Node; 2], tasks: u64) -> (u64, f64) {
    let tasks = tasks / 1000 * 1000;
    let (due, due_ms) = due_in(Duration::from_secs(4 + tasks / 20_000));
    let answers =
        closed(&nodes[0], 4, Until::Sent(tasks / 1000), &mut batch(1000, "LOAD_TEST", &due));
    assert_eq!(answers.errors(), 0, "{:?}", answers.refused);
    let clock = SystemClock::new();
    assert!(clock.now().0 < due_ms, "the backlog was not stored in time");
    nodes[0].wait_completed(tasks);
    (tasks, tasks as f64 / ((clock.now().0 - due_ms) as f64 / 1000.0))
}

/// Tasks of a type with a limit for each node: two nodes run twice as many.
pub fn second(effort: Effort, report: &mut Report) {
    let (_cluster, account) = ground();
    let mut rates = Vec::new();
    for count in [1, 2] {
        rates.push(sleepers(&account, count, effort.seconds));
    }
    let gain = rates[1] / rates[0];
    report.add(Row::new("second", "SLEEP of 5 ms, 8 at once a node, one node, tasks/s", rates[0]));
    report.add(Row::new("second", "the same, two nodes, tasks/s", rates[1]));
    report.add(Row::new("second", "gain of the second node", gain).goal(Goal::AtLeast(1.9)));
}

fn sleepers(account: &Account, count: usize, seconds: u64) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("taskscheduler.toml");
    let limit = "[types.SLEEP]\nexecutor = \"builtin\"\nmax-concurrency = 8\n";
    std::fs::write(&config, limit).expect("a file");
    let limited = ["--config".to_owned(), config.display().to_string()];
    let mut nodes: Vec<Node> = (0..count).map(|_| node_on(account, &limited)).collect();
    let done = nodes[0].count("completedTasks");
    let body = sleep_batch(1000);
    let mut client = Client::new(nodes[0].address());
    let tasks = seconds.max(2) * count as u64;
    let clock = SystemClock::new();
    let from = clock.mono();
    for _ in 0..tasks {
        let answer = client.post("/api/v1/tasks/batch", &body).expect("an answer");
        assert_eq!(answer.code, 201, "{}", answer.body);
    }
    nodes[0].wait_completed(done + tasks * 1000);
    let rate = rate(tasks * 1000, &clock, from);
    nodes.into_iter().for_each(Node::stop);
    rate
}

fn sleep_batch(size: u64) -> String {
    let task = json!({ "taskName": "s", "taskType": "SLEEP", "payload": "{\"ms\": 5}" });
    Value::Array((0..size).map(|_| task.clone()).collect()).to_string()
}
