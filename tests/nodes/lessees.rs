//! Remote workers of several servers: a worker at one gets what is submitted at another, a flood
//! that nobody serves delays nobody, and a server that is killed with leases out ends none.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use taskscheduler::clock::{Clock, Mono, SystemClock};
use test_servers::RedisServer;

use crate::ledger::http::Client;
use crate::ledger::server::Server;
use crate::nodes::town::{Town, metric, statistics, submit_all, task, wait_until};

const PATIENCE: Duration = Duration::from_mins(1);

fn far() -> Value {
    json!({ "taskName": "t", "taskType": "FAR" })
}

fn lease(client: &mut Client, tasks: u32, wait_ms: u32) -> Vec<Value> {
    let wish = json!({"workerId": "w", "taskTypes": ["FAR"], "maxTasks": tasks, "waitMs": wait_ms,
        "leaseMs": 60_000});
    let answer = client.post("/api/v1/leases", &wish.to_string()).expect("an answer");
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.json()["leases"].as_array().expect("leases").clone()
}

/// Completes leases; how many of the reports counted.
fn complete(client: &mut Client, leases: &[Value]) -> usize {
    let items: Vec<Value> =
        leases.iter().map(|lease| json!({"leaseToken": lease["leaseToken"]})).collect();
    let body = json!({"workerId": "w", "leases": items}).to_string();
    let answer = client.post("/api/v1/leases/complete", &body).expect("an answer");
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.json()["leases"].as_array().unwrap().iter().filter(|item| item["ok"] == true).count()
}

/// The times from a submit at one server, as soon as it is acknowledged, to the lease at another,
/// where a worker waits; in order.
fn handed_on(submits: &Server, leases: &Server) -> Vec<Duration> {
    const TASKS: usize = 20;
    let clock = SystemClock::new();
    let address = leases.address;
    let (tell, told) = channel::<Mono>();
    let mut took = thread::scope(|scope| {
        let clock = &clock;
        scope.spawn(move || {
            let mut client = Client::new(address);
            for _ in 0..TASKS {
                let leased = lease(&mut client, 1, 30_000);
                let _ = tell.send(clock.mono());
                assert_eq!(complete(&mut client, &leased), 1);
            }
        });
        let waits = || Client::new(address).get("/api/v1/workers").expect("an answer").json();
        let mut took = Vec::with_capacity(TASKS);
        for _ in 0..TASKS {
            wait_until("the worker waits", PATIENCE, || waits()["workers"][0]["waiting"] == 1);
            submit_all(submits, &[far()]);
            let from = clock.mono();
            took.push(told.recv_timeout(PATIENCE).expect("it is leased").since(from));
        }
        took
    });
    took.sort_unstable();
    println!("submitted at one node, leased at another: {took:?}");
    took
}

#[test]
fn a_worker_at_one_node_has_what_is_submitted_at_another_within_a_second() {
    let town = Town::new();
    let (a, b) = (town.node("a"), town.node("b"));
    let took = handed_on(&a, &b);
    assert!(took[took.len() - 1] < Duration::from_secs(1), "{took:?}");
}

/// The nodes' own looks come far too late to be what brings the tasks.
#[test]
fn with_redis_a_worker_at_one_node_has_what_is_submitted_at_another_within_100_ms() {
    let redis = RedisServer::start(&[]);
    let town = Town::new().with_redis(&redis.url()).set("TASK_SCHEDULER_POLL_INTERVAL", "20s");
    let (a, b) = (town.node("a"), town.node("b"));
    for node in [&a, &b] {
        wait_until("Redis answers", PATIENCE, || metric(node, "taskscheduler_redis_up") == 1);
        wait_until("both are there", PATIENCE, || statistics(node)["nodes"] == 2);
    }
    let took = handed_on(&a, &b);
    // A busy machine may hold up one of them.
    assert!(took[took.len() * 3 / 4] < Duration::from_millis(100), "{took:?}");
    assert!(took[took.len() - 1] < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_hundred_thousand_tasks_that_nobody_serves_delay_no_other_type() {
    let town = Town::new();
    let server = town.node("a");
    let flood = vec![far(); 10_000];
    for _ in 0..10 {
        submit_all(&server, &flood);
    }
    assert_eq!(statistics(&server)["queuedTasks"], 100_000);
    let clock = SystemClock::new();
    let mut took = Vec::new();
    for _ in 0..50 {
        let from = clock.mono();
        let id = submit_all(&server, &[json!({"taskName": "t", "taskType": "NOOP"})])[0];
        wait_until("it completes", PATIENCE, || task(&server, id)["status"] == "COMPLETED");
        took.push(clock.mono().since(from));
    }
    took.sort_unstable();
    println!("beside 100,000 tasks of another type: {took:?}");
    assert!(took[took.len() / 2] < Duration::from_millis(500), "{took:?}");
    assert!(took[took.len() - 1] < Duration::from_secs(5), "{took:?}");
    // And the one worker that comes is served at once.
    let mut client = Client::new(server.address);
    let from = clock.mono();
    let leased = lease(&mut client, 100, 0);
    assert_eq!(leased.len(), 100);
    assert!(clock.mono().since(from) < Duration::from_secs(2));
    assert_eq!(complete(&mut client, &leased), 100);
}

#[test]
fn a_server_killed_with_leases_out_ends_none_and_no_task_is_leased_twice() {
    let town = Town::new();
    let (a, b) = (town.node("a"), town.node("b"));
    let ids = submit_all(&a, &vec![far(); 30]);
    let leased = lease(&mut Client::new(a.address), 1000, 5000);
    assert_eq!(leased.len(), ids.len());
    a.kill();
    // Another node takes the reports of the leases that a dead one granted.
    assert_eq!(complete(&mut Client::new(b.address), &leased[..10]), 10);
    let a = town.node("a");
    let mut client = Client::new(a.address);
    assert_eq!(complete(&mut client, &leased[10..20]), 10);
    assert!(lease(&mut client, 1000, 500).is_empty(), "leased twice");
    assert!(lease(&mut Client::new(b.address), 1000, 500).is_empty(), "leased twice");
    assert_eq!(complete(&mut client, &leased[20..]), 10);
    for id in ids {
        let task = task(&b, id);
        assert_eq!((&task["status"], &task["attempt"]), (&json!("COMPLETED"), &json!(1)), "{task}");
    }
}
