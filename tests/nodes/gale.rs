//! A gale over two nodes and their database: clients submit under idempotency keys and send again
//! what was not acknowledged, while sessions are ended, the database is killed, stopped and
//! started, and a node dies and comes back. In the calm after it every request has led to one task,
//! each has ended once, and the counters say what the rows say.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;
use test_servers::Cluster;

use super::town::{Town, statistics, wait_until};
use crate::ledger::http::Client;
use crate::ledger::random::Random;
use crate::ledger::reckoning::{all_tasks, miscounts};
use crate::ledger::server::Server;

const CLIENTS: u64 = 3;
const ROUNDS: u64 = 8;
/// How long a client goes on with one request.
const TRIES_MAX: u32 = 600;

pub struct Gale {
    seed: u64,
}

/// What is known when it is over.
#[derive(Default)]
pub struct Reckoning {
    sessions_ended: u64,
    restarts: u64,
    freezes: u64,
    kills: u64,
    acknowledged: usize,
    not_at_first: u64,
    pub breaches: Vec<String>,
}

/// Where the nodes are now.
struct Signpost {
    addresses: Mutex<Vec<SocketAddr>>,
    is_over: AtomicBool,
}

impl Gale {
    pub fn new(seed: u64) -> Gale {
        Gale { seed }
    }

    pub fn run(&self) -> Reckoning {
        let cluster = Cluster::start(&[]);
        let town = Town::on(&cluster);
        let mut nodes = vec![town.node("a"), town.node("b")];
        let signpost = Signpost::to(&nodes);
        let mut reckoning = Reckoning::default();
        let mut sent: Vec<(String, u64, u32)> = Vec::new();
        thread::scope(|scope| {
            let signpost = &signpost;
            let clients: Vec<_> =
                (0..CLIENTS).map(|name| scope.spawn(move || client(name, signpost))).collect();
            let mut random = Random::new(self.seed);
            for round in 0..ROUNDS {
                Gale::befall(&town, &cluster, &mut nodes, (round, &mut random), &mut reckoning);
                signpost.show(&nodes);
            }
            signpost.is_over.store(true, Ordering::Relaxed);
            for client in clients {
                sent.extend(client.join().expect("a client's ledger"));
            }
        });
        reckon(&nodes, &sent, &mut reckoning);
        reckoning
    }

    /// One blow, and a moment of peace.
    fn befall(
        town: &Town,
        cluster: &Cluster,
        nodes: &mut Vec<Server>,
        (round, random): (u64, &mut Random),
        reckoning: &mut Reckoning,
    ) {
        match round % 4 {
            0 => {
                cluster.stop();
                cluster.start_again();
                reckoning.restarts += 1;
            }
            1 => {
                cluster.freeze();
                // Longer than a commit may be silent.
                assert!(nodes[0].lives_for(Duration::from_secs(7)), "{}", nodes[0].output());
                cluster.thaw();
                reckoning.freezes += 1;
            }
            2 => {
                nodes.remove(0).kill();
                let name = if reckoning.kills.is_multiple_of(2) { "a" } else { "b" };
                nodes.push(town.node(name));
                reckoning.kills += 1;
            }
            _ => {
                let mut admin = cluster.admin("postgres");
                let ended = admin.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name LIKE 'taskscheduler%' AND random() < 0.7",
                    &[],
                );
                reckoning.sessions_ended += ended.map_or(0, |rows| rows.len() as u64);
            }
        }
        let peace = Duration::from_millis(300 + random.below(1500));
        for node in nodes {
            assert!(node.lives_for(peace / 2), "it died by itself:\n{}", node.output());
        }
    }
}

impl Signpost {
    fn to(nodes: &[Server]) -> Signpost {
        let signpost = Signpost { addresses: Mutex::default(), is_over: AtomicBool::new(false) };
        signpost.show(nodes);
        signpost
    }

    fn show(&self, nodes: &[Server]) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        *addresses = nodes.iter().map(|node| node.address).collect();
    }

    fn address(&self, turn: usize) -> SocketAddr {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses[turn % addresses.len()]
    }
}

/// Submits one task after the other until it is over, each until it is acknowledged: name, id, and
/// how often it was sent.
fn client(name: u64, signpost: &Signpost) -> Vec<(String, u64, u32)> {
    let mut sent = Vec::new();
    let mut turn = name as usize;
    let (_keep, nothing) = std::sync::mpsc::channel::<()>();
    while !signpost.is_over.load(Ordering::Relaxed) {
        let task = format!("c{name}-{}", sent.len());
        let body = json!({ "taskName": task, "taskType": "NOOP" }).to_string();
        let heads = [("Content-Type", "application/json"), ("Idempotency-Key", &*task)];
        let mut tries = 0;
        let id = loop {
            tries += 1;
            turn += 1;
            assert!(tries < TRIES_MAX, "{task} is never acknowledged");
            let mut client = Client::new(signpost.address(turn));
            match client.send("POST", "/api/v1/tasks", &heads, &body) {
                Ok(answer) if matches!(answer.code, 200 | 201) => {
                    break answer.json()["id"].as_u64().expect("an id");
                }
                Ok(answer) => {
                    let again = matches!(answer.code, 409 | 502..=504);
                    assert!(again, "{} {}", answer.code, answer.body);
                }
                Err(_) => {}
            }
            let _ = nothing.recv_timeout(Duration::from_millis(100));
        };
        sent.push((task, id, tries));
    }
    sent
}

fn reckon(nodes: &[Server], sent: &[(String, u64, u32)], reckoning: &mut Reckoning) {
    let total = sent.len() as u64;
    wait_until("all have ended", Duration::from_mins(2), || {
        let statistics = statistics(&nodes[0]);
        statistics["completedTasks"].as_u64().is_some_and(|completed| completed >= total)
    });
    let tasks = all_tasks(&mut Client::new(nodes[1].address));
    let mut by_name: HashMap<&str, Vec<u64>> = HashMap::new();
    for task in &tasks {
        by_name.entry(&task.name).or_default().push(task.id);
        if task.status != "COMPLETED" {
            reckoning.breaches.push(format!("{task:?} has not completed"));
        }
    }
    for (name, id, _) in sent {
        let found = by_name.remove(name.as_str()).unwrap_or_default();
        if found != [*id] {
            reckoning.breaches.push(format!("{name} was acknowledged as {id} and is {found:?}"));
        }
    }
    reckoning.breaches.extend(by_name.keys().map(|name| format!("{name} was never acknowledged")));
    for node in nodes {
        reckoning.breaches.extend(miscounts(node, &tasks));
    }
    reckoning.acknowledged = sent.len();
    reckoning.not_at_first = sent.iter().filter(|(_, _, tries)| *tries > 1).count() as u64;
}

impl Reckoning {
    /// A gale that hit nobody proves nothing.
    pub fn assert_faults_were_real(&self) {
        let blows = self.sessions_ended + self.restarts + self.freezes + self.kills;
        assert!(blows >= ROUNDS && self.acknowledged > 100 && self.not_at_first > 0, "{self}");
    }
}

impl fmt::Display for Reckoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} sessions ended, {} restarts of the database, {} freezes, {} kills of a node: {} \
             acknowledged, {} of them not at first; {} breaches",
            self.sessions_ended,
            self.restarts,
            self.freezes,
            self.kills,
            self.acknowledged,
            self.not_at_first,
            self.breaches.len()
        )?;
        self.breaches.iter().take(20).try_for_each(|breach| writeln!(f, "  {breach}"))
    }
}
