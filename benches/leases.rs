//! Remote workers: how many no-op tasks they get through, and how soon a waiting one has a task.
//!
//! `cargo bench --bench leases` starts the release binary on SQLite and on a throw-away PostgreSQL;
//! 8 workers lease batches of up to 100 tasks over HTTP and complete them at once. First they drain
//! a backlog (a number after `--` says how large: 50,000), then they wait, and tasks are submitted
//! one by one, a hundred a second. The workers take processor time from the server.

#[path = "../tests/ledger/mod.rs"]
#[expect(dead_code, reason = "shared with the tests; only the process and the client are used")]
mod ledger;
#[path = "http/machine.rs"]
#[expect(dead_code, reason = "of the machine only its facts are wanted here")]
mod machine;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::{Value, json};
use taskscheduler::clock::{Clock, Mono, SystemClock};
use test_servers::Cluster;

use ledger::http::Client;
use ledger::server::{Server, Starting, stock};

const WORKERS: usize = 8;
const BATCH: u64 = 100;
/// Tasks that are submitted one by one, and how long there is between two.
const SINGLE: u64 = 1000;
const BETWEEN: Duration = Duration::from_millis(10);

#[derive(Deserialize)]
struct Leases {
    leases: Vec<Lease>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lease {
    lease_token: String,
    task: Task,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    created_at: String,
    /// Its number, where it was submitted by itself.
    task_name: String,
}

fn main() {
    let tasks: u64 = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(50_000);
    println!("{:#}", machine::facts());
    println!("{WORKERS} workers, up to {BATCH} tasks a lease, over HTTP");
    let folder = tempfile::tempdir().expect("a folder");
    measure("SQLite", Starting::new(stock(folder.path())).ready(), tasks);
    let (cluster, folder) = (Cluster::shared(), tempfile::tempdir().expect("a folder"));
    let mut command = stock(folder.path());
    command.args(["--database-url", &cluster.account().url()]);
    measure("PostgreSQL", Starting::new(command).ready(), tasks);
}

fn measure(store: &str, server: Server, tasks: u64) {
    let clock = SystemClock::new();
    let address = server.address;
    submit(address, tasks);
    let from = clock.mono();
    work(address, tasks, |_| ());
    let took = clock.mono().since(from).as_secs_f64();
    println!("{store:<12} {tasks} tasks leased and completed: {:.0}/s", tasks as f64 / took);

    let waited = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("valid bounds");
    let (ready, sent) = (std::sync::Mutex::new(waited.clone()), std::sync::Mutex::new(waited));
    let sent_at: Vec<AtomicU64> = (0..SINGLE).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let (clock, sent_at, ready, sent) = (&clock, &sent_at, &ready, &sent);
        scope.spawn(move || submit_singly(address, clock, sent_at));
        work(address, SINGLE, move |lease: &Lease| {
            let ready_at: jiff::Timestamp = lease.task.created_at.parse().expect("a time");
            let since_ready = clock.now().0 - ready_at.as_millisecond();
            let us = since_ready.max(0) as u64 * 1000;
            ready.lock().expect("no worker panicked").saturating_record(us.max(1));
            let number: usize = lease.task.task_name.parse().expect("a number");
            let asked = Mono(sent_at[number].load(Ordering::Acquire));
            let us = clock.mono().since(asked).as_micros() as u64;
            sent.lock().expect("no worker panicked").saturating_record(us.max(1));
        });
    });
    for (what, times) in [("ready to leased (by the ms)", ready), ("submit sent to leased", sent)] {
        let times = times.into_inner().expect("no worker panicked");
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        println!("{store:<12} {what}: p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
    }
    server.terminate().expect("a clean end");
}

/// Leases and completes until so many tasks are done, by all workers together.
fn work(address: SocketAddr, tasks: u64, seen: impl Fn(&Lease) + Sync) {
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (done, seen) = (&done, &seen);
            scope.spawn(move || {
                let mut client = Client::new(address);
                let wish = json!({"workerId": format!("w{worker}"), "taskTypes": ["FAR"],
                    "maxTasks": BATCH, "waitMs": 500})
                .to_string();
                // Relaxed: a count that orders nothing else.
                while done.load(Ordering::Relaxed) < tasks {
                    let leases: Leases =
                        serde_json::from_str(&post(&mut client, "leases", &wish)).expect("leases");
                    if leases.leases.is_empty() {
                        continue;
                    }
                    done.fetch_add(leases.leases.len() as u64, Ordering::Relaxed);
                    leases.leases.iter().for_each(&seen);
                    let items: Vec<Value> = leases
                        .leases
                        .iter()
                        .map(|lease| json!({"leaseToken": lease.lease_token}))
                        .collect();
                    post(&mut client, "leases/complete", &json!({"leases": items}).to_string());
                }
            });
        }
    });
}

fn submit(address: SocketAddr, tasks: u64) {
    let mut client = Client::new(address);
    let task = json!({"taskName": "t", "taskType": "FAR", "payload": "x".repeat(100)});
    for start in (0..tasks).step_by(1000) {
        let count = (tasks - start).min(1000) as usize;
        let body = Value::Array(vec![task.clone(); count]).to_string();
        let answer = client.post("/api/v1/tasks/batch", &body).expect("an answer");
        assert_eq!(answer.code, 201, "{}", answer.body);
    }
}

/// Submits one task after the other, by the clock, each with its number as its name.
fn submit_singly(address: SocketAddr, clock: &SystemClock, sent_at: &[AtomicU64]) {
    let mut client = Client::new(address);
    let never = crossbeam_channel::never::<()>();
    // The workers wait first.
    let _ = never.recv_timeout(Duration::from_millis(300));
    let from = clock.mono();
    for (number, at) in (0u32..).zip(sent_at) {
        let due = from.plus(BETWEEN * number);
        let task = json!({"taskName": number.to_string(), "taskType": "FAR"}).to_string();
        let _ = never.recv_timeout(due.since(clock.mono()));
        // Release: pairs with the acquire of the worker that gets the task.
        at.store(clock.mono().0, Ordering::Release);
        let answer = client.post("/api/v1/tasks", &task).expect("an answer");
        assert_eq!(answer.code, 201, "{}", answer.body);
    }
}

fn post(client: &mut Client, path: &str, body: &str) -> String {
    let answer = client.post(&format!("/api/v1/{path}"), body).expect("an answer");
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.body
}
