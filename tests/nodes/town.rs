//! Several servers on one database of their own, and what is asked of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use taskscheduler::clock::{Clock, SystemClock};
use test_servers::{Account, Cluster};

use crate::ledger::http::Client;
use crate::ledger::server::{Deadline, Server, Starting, stock};

/// A database and the directories of its nodes.
pub struct Town {
    pub account: Account,
    folder: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
    redis: Option<String>,
}

impl Town {
    pub fn new() -> Town {
        Town::on(Cluster::shared())
    }

    pub fn on(cluster: &Cluster) -> Town {
        let (account, folder) = (cluster.account(), tempfile::tempdir().expect("a folder"));
        Town { account, folder, settings: Vec::new(), redis: None }
    }

    /// A Redis beside the database.
    pub fn with_redis(mut self, url: &str) -> Town {
        self.redis = Some(url.to_owned());
        self
    }

    /// What every node started from now on is told by its environment.
    pub fn set(mut self, key: &'static str, value: &str) -> Town {
        self.settings.push((key, value.to_owned()));
        self
    }

    /// How many nodes are not ended; one whose lease is over can still renew it until it is.
    pub fn unended(&self) -> i64 {
        let sql = "SELECT count(*) FROM taskscheduler.nodes WHERE state = 'alive'";
        self.account.connect().query_one(sql, &[]).expect("a count").get(0)
    }

    /// Starts the node of this name, again or for the first time.
    pub fn node(&self, name: &str) -> Server {
        Starting::new(self.command(name, &self.account.url())).ready()
    }

    /// The same, with another way to the database.
    pub fn node_by(&self, name: &str, database_url: &str) -> Server {
        Starting::new(self.command(name, database_url)).ready()
    }

    /// The same, with a configuration file of its own.
    pub fn node_with(&self, name: &str, config: &str) -> Server {
        let file = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, config).expect("a file");
        let mut command = self.command(name, &self.account.url());
        command.arg("--config").arg(file);
        Starting::new(command).ready()
    }

    /// How the database is reached through this port.
    pub fn url_by(&self, port: u16) -> String {
        Account { port, ..self.account.clone() }.url()
    }

    fn command(&self, name: &str, database_url: &str) -> Command {
        let data: PathBuf = self.folder.path().join(name);
        let mut command = stock(&data);
        command.args(["--database-url", database_url, "--cores", "1"]);
        if let Some(url) = &self.redis {
            command.args(["--redis-url", url]);
        }
        command.envs(self.settings.iter().map(|(key, value)| (*key, value)));
        command
    }
}

/// Makes the key of each batch its own.
static SENT: AtomicU64 = AtomicU64::new(0);

/// Submits tasks in one batch and says their ids.
pub fn submit_all(server: &Server, tasks: &[Value]) -> Vec<u64> {
    submit_all_at(server.address, tasks)
}

/// The same, for threads that share no server.
pub fn submit_all_at(address: SocketAddr, tasks: &[Value]) -> Vec<u64> {
    let body = Value::Array(tasks.to_vec()).to_string();
    let mut client = Client::new(address);
    let mut accepted = None;
    let key = format!("batch-{}", SENT.fetch_add(1, Ordering::Relaxed));
    let heads = [("Content-Type", "application/json"), ("Idempotency-Key", &*key)];
    // Where a busy machine is slow it is sent again, as the answers say.
    wait_until("it is accepted", Duration::from_mins(1), || {
        let answer = client.send("POST", "/api/v1/tasks/batch", &heads, &body).expect("an answer");
        assert!(matches!(answer.code, 201 | 409 | 503 | 504), "{}", answer.body);
        accepted = (answer.code == 201).then(|| answer.json());
        accepted.is_some()
    });
    let tasks = accepted.expect("waited for above");
    let tasks = tasks.as_array().expect("a list");
    tasks.iter().map(|task| task["id"].as_u64().expect("an id")).collect()
}

/// A task that a node holds until so many milliseconds from now.
pub fn later(ms: i64) -> Value {
    let due = jiff::Timestamp::from_millisecond(SystemClock::new().now().0 + ms);
    let due = due.expect("a time of this age").to_string();
    json!({ "taskName": "later", "taskType": "NOOP", "scheduledTime": due })
}

pub fn statistics(server: &Server) -> Value {
    let answer = Client::new(server.address).get("/api/v1/tasks/statistics");
    answer.expect("an answer").json()
}

pub fn task(server: &Server, id: u64) -> Value {
    let answer = Client::new(server.address).get(&format!("/api/v1/tasks/{id}"));
    answer.expect("an answer").json()
}

/// What the metric on the line that starts with this says; nought where there is none.
pub fn metric(server: &Server, line: &str) -> u64 {
    let answer = Client::new(server.address).get("/metrics").expect("an answer");
    let value = answer.body.lines().find_map(|told| told.strip_prefix(line));
    value.and_then(|value| value.trim().parse::<f64>().ok()).map_or(0, |value| value as u64)
}

/// How long something took.
pub fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let clock = SystemClock::new();
    let done = what();
    (done, Duration::from_micros(clock.mono().0))
}

/// Lets time pass.
pub fn pause(time: Duration) {
    let (_keep, nothing) = std::sync::mpsc::channel::<()>();
    let _ = nothing.recv_timeout(time);
}

/// Waits until it is so.
pub fn wait_until(what: &str, wait: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let deadline = Deadline::after(wait);
    let (_keep, nothing) = std::sync::mpsc::channel::<()>();
    while !is_so() {
        assert!(!deadline.is_over(), "not within {wait:?}: {what}");
        let _ = nothing.recv_timeout(Duration::from_millis(20));
    }
    wait.saturating_sub(deadline.left())
}

pub fn signal(server: &Server, signal: Signal) {
    let id = i32::try_from(server.id()).expect("a process id");
    kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("a process to signal");
}
