//! Clients of several nodes: they submit under idempotency keys, one by one and in batches, send
//! again what was not acknowledged, cancel at one node what another one holds, read what they have
//! sent, and work on what is leased. What they are told goes into the ledger; when it is over, the
//! ledger is held against what is there.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::town::{later, statistics, wait_until};
use crate::ledger::book::{Cancel, Entry, Fate, Retries, breaches, is_terminal};
use crate::ledger::http::{Answer, Client};
use crate::ledger::reckoning::{all_tasks, miscounts};
use crate::ledger::server::Server;

const CLIENTS: u64 = 3;
/// How long a client goes on with one request.
const TRIES_MAX: u32 = 900;
/// How long all that was sent may take to end once it is over.
const CALM: Duration = Duration::from_mins(2);
/// What no node runs by itself.
const OUTSIDE: &str = "OUTSIDE";
/// How long the worker's leases last: longer than any blow, or whoever lost three to the weather
/// would end the task.
const LEASE_MS: u64 = 10_000;
/// Leases may run out as often as this.
const LOST_LEASES_MAX: u32 = 100;

/// Where the nodes are now, and whether clients and workers go on.
#[derive(Default)]
pub struct Signpost {
    addresses: Mutex<Vec<SocketAddr>>,
    clients_end: AtomicBool,
    workers_end: AtomicBool,
}

/// What is known when it is over.
#[derive(Debug, Default)]
pub struct Reckoning {
    pub acknowledged: usize,
    /// How many requests were not acknowledged at first.
    pub again: u64,
    pub cancelled: usize,
    pub leased: u64,
    pub breaches: Vec<String>,
}

impl fmt::Display for Reckoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} acknowledged, {} requests not at first, {} cancelled, {} leased; {} breaches",
            self.acknowledged,
            self.again,
            self.cancelled,
            self.leased,
            self.breaches.len(),
        )?;
        self.breaches.iter().take(20).try_for_each(|breach| writeln!(f, "  {breach}"))
    }
}

/// Lets clients and a worker loose on the nodes while `blows` fall. A claim more than the ledger
/// explains is a breach, but for so many as `blows` says.
pub fn under_load(
    nodes: &mut Vec<Server>,
    blows: impl FnOnce(&mut Vec<Server>, &Signpost) -> u64,
) -> Reckoning {
    let signpost = Signpost::default();
    signpost.show(nodes);
    let (mut told, mut reckoning) = (Told::default(), Reckoning::default());
    let mut claims = 0;
    thread::scope(|scope| {
        // Whatever fails here, nobody is waited for in vain.
        let ending = Ending(&signpost);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|name| {
                let signpost = &signpost;
                scope.spawn(move || Told::by(name, signpost))
            })
            .collect();
        let worker = scope.spawn(|| work(&signpost));
        claims = blows(nodes, &signpost);
        signpost.clients_end.store(true, Ordering::Relaxed);
        for client in clients {
            told.add(client.join().expect("a client's ledger"));
        }
        wait_until("all has ended", CALM, || ended(&nodes[0]) >= told.entries.len() as u64);
        drop(ending);
        reckoning.leased = worker.join().expect("a worker's count");
    });
    let tasks = all_tasks(&mut Client::new(nodes[nodes.len() - 1].address));
    reckoning.breaches = told.breaches;
    reckoning.breaches.extend(breaches(&told.entries, &tasks, claims));
    for node in nodes {
        reckoning.breaches.extend(miscounts(node, &tasks));
    }
    reckoning.acknowledged = told.entries.len();
    reckoning.cancelled = told.entries.iter().filter(|e| e.cancel == Cancel::Done).count();
    reckoning.again = told.again;
    reckoning
}

fn ended(node: &Server) -> u64 {
    let statistics = statistics(node);
    let of = |key: &str| statistics[key].as_u64().unwrap_or(0);
    of("completedTasks") + of("failedTasks") + of("cancelledTasks")
}

struct Ending<'s>(&'s Signpost);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.clients_end.store(true, Ordering::Relaxed);
        self.0.workers_end.store(true, Ordering::Relaxed);
    }
}

impl Signpost {
    /// These are the nodes now.
    pub fn show(&self, nodes: &[Server]) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        *addresses = nodes.iter().map(|node| node.address).collect();
    }

    fn client(&self, turn: usize) -> Client {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        Client::new(addresses[turn % addresses.len()])
    }
}

/// What a client sent and was told.
#[derive(Debug, Default)]
struct Told {
    entries: Vec<Entry>,
    again: u64,
    breaches: Vec<String>,
    turn: usize,
}

impl Told {
    fn by(name: u64, signpost: &Signpost) -> Told {
        let mut told = Told { turn: name as usize, ..Told::default() };
        let mut number = 0;
        while !signpost.clients_end.load(Ordering::Relaxed) {
            number += 1;
            let first = format!("c{name}-{number}");
            match number % 12 {
                0 => {
                    told.submit(&first, vec![(OUTSIDE, task(&first, OUTSIDE))], signpost);
                }
                3 | 9 => {
                    let name = |n| format!("{first}.{n}");
                    let tasks = (0..60).map(|n| ("NOOP", task(&name(n), "NOOP"))).collect();
                    told.submit(&first, tasks, signpost);
                }
                6 => {
                    let mut soon = later(2000);
                    soon["taskName"] = json!(first);
                    told.submit(&first, vec![("NOOP", soon)], signpost);
                    told.cancel(signpost);
                }
                _ => told.submit(&first, vec![("NOOP", task(&first, "NOOP"))], signpost),
            }
            told.look(number as usize, signpost);
        }
        told
    }

    fn add(&mut self, other: Told) {
        self.entries.extend(other.entries);
        self.breaches.extend(other.breaches);
        self.again += other.again;
    }

    /// Submits until it is acknowledged.
    fn submit(&mut self, key: &str, tasks: Vec<(&'static str, Value)>, signpost: &Signpost) {
        let (path, body) = match &tasks[..] {
            [(_, task)] => ("/api/v1/tasks", task.to_string()),
            all => {
                let all = all.iter().map(|(_, task)| task.clone()).collect();
                ("/api/v1/tasks/batch", Value::Array(all).to_string())
            }
        };
        let heads = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let (_keep, nothing) = std::sync::mpsc::channel::<()>();
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            self.turn += 1;
            assert!(tries < TRIES_MAX, "{key} is never acknowledged");
            match signpost.client(self.turn).send("POST", path, &heads, &body) {
                Ok(answer) if matches!(answer.code, 200 | 201) => break answer.json(),
                // 409: the key is just being used, by what this client sent before.
                Ok(answer) if matches!(answer.code, 409 | 429 | 502..=504) => {}
                Ok(answer) => panic!("{} {}", answer.code, answer.body),
                Err(_) => {}
            }
            let _ = nothing.recv_timeout(Duration::from_millis(100));
        };
        self.again += u64::from(tries > 1);
        let answers = answer.as_array().cloned().unwrap_or_else(|| vec![answer]);
        let request = self.entries.len() as u64;
        for ((task_type, task), answer) in tasks.into_iter().zip(answers) {
            let retries = if task_type == OUTSIDE { LOST_LEASES_MAX } else { 0 };
            self.entries.push(Entry {
                name: task["taskName"].as_str().expect("a name").to_owned(),
                task_type,
                fate: Fate::Acknowledged(answer["id"].as_u64().expect("an id")),
                cancel: Cancel::NotAsked,
                retries: Retries(retries),
                seen_ended: None,
                kills_before: 0,
                request,
            });
        }
    }

    /// Cancels what was sent last, at another node.
    fn cancel(&mut self, signpost: &Signpost) {
        self.turn += 1;
        let Some(entry) = self.entries.last_mut() else { return };
        let Fate::Acknowledged(id) = entry.fate else { return };
        let answer = signpost.client(self.turn).post(&format!("/api/v1/tasks/{id}/cancel"), "");
        entry.cancel = match answer {
            Ok(Answer { code: 200, .. }) => Cancel::Done,
            Ok(Answer { code: 404, .. }) => {
                self.breaches.push(format!("{} was stored as {id} and is not found", entry.name));
                Cancel::Open
            }
            _ => Cancel::Open,
        };
    }

    /// Reads something that was sent before.
    fn look(&mut self, number: usize, signpost: &Signpost) {
        self.turn += 1;
        let back = 1 + (number * 7) % self.entries.len().min(300);
        let at = self.entries.len() - back;
        let entry = &mut self.entries[at];
        let Fate::Acknowledged(id) = entry.fate else { return };
        let Ok(answer) = signpost.client(self.turn).get(&format!("/api/v1/tasks/{id}")) else {
            return;
        };
        if answer.code == 404 {
            self.breaches.push(format!("{} was stored as {id} and is not found", entry.name));
        }
        let Some(status) = (answer.code == 200).then(|| answer.json()["status"].clone()) else {
            return;
        };
        let status = status.as_str().unwrap_or_default().to_owned();
        match &entry.seen_ended {
            Some(seen) if *seen != status => {
                let name = &entry.name;
                self.breaches.push(format!("{name} was shown {seen} and then {status}"));
            }
            None if is_terminal(&status) => entry.seen_ended = Some(status),
            _ => {}
        }
    }
}

fn task(name: &str, task_type: &str) -> Value {
    json!({ "taskName": name, "taskType": task_type })
}

/// Leases and completes what there is until all is over; how many tasks it completed.
fn work(signpost: &Signpost) -> u64 {
    let (mut turn, mut done) = (0, 0);
    let (_keep, nothing) = std::sync::mpsc::channel::<()>();
    let ask = json!({
        "workerId": "w", "taskTypes": [OUTSIDE], "maxTasks": 50, "waitMs": 500, "leaseMs": LEASE_MS,
    });
    while !signpost.workers_end.load(Ordering::Relaxed) {
        turn += 1;
        let answer = signpost.client(turn).post("/api/v1/leases", &ask.to_string());
        let Some(leased) = answer.ok().filter(|answer| answer.code == 200) else {
            let _ = nothing.recv_timeout(Duration::from_millis(100));
            continue;
        };
        let leased = leased.json();
        let tokens = leased["leases"].as_array().cloned().unwrap_or_default();
        if tokens.is_empty() {
            continue;
        }
        let token = |lease: &Value| json!({ "leaseToken": lease["leaseToken"] });
        let tokens: Vec<Value> = tokens.iter().map(token).collect();
        let report = json!({ "workerId": "w", "leases": tokens }).to_string();
        // Another node knows these leases too; what is not answered is sent again, as any worker
        // does, for as long as the leases last.
        for _ in 0..LEASE_MS / 100 {
            turn += 1;
            match signpost.client(turn).post("/api/v1/leases/complete", &report) {
                Ok(answer) if answer.code == 200 => {
                    let ok = |item: &&Value| item["ok"] == true;
                    let items = answer.json()["leases"].as_array().cloned().unwrap_or_default();
                    done += items.iter().filter(ok).count() as u64;
                    break;
                }
                _ => drop(nothing.recv_timeout(Duration::from_millis(100))),
            }
        }
    }
    done
}
