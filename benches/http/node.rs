//! A server under measurement: its process, its directory, and what it says about itself.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use taskscheduler::clock::{Clock, Mono, SystemClock};
use tempfile::TempDir;

use super::machine::{Usage, usage};
use crate::ledger::http::Client;
use crate::ledger::server::{Deadline, Server, Starting, stock};

/// Between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The longest that work which was accepted may take to end.
const DRAIN_WAIT: Duration = Duration::from_mins(5);

pub struct Node {
    server: Server,
    data: TempDir,
    client: Client,
}

impl Node {
    /// The stock release binary on a fresh directory.
    pub fn stock() -> Node {
        Node::start(stock)
    }

    pub fn start(command: impl FnOnce(&Path) -> Command) -> Node {
        let data = tempfile::tempdir().expect("a folder");
        let server = Starting::new(command(data.path())).ready();
        let client = Client::new(server.address);
        Node { server, data, client }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn usage(&self) -> Usage {
        usage(self.server.id())
    }

    /// Submits one task; the body of the answer.
    pub fn submit(&mut self, task: &Value) -> String {
        let answer = self.client.post("/api/v1/tasks", &task.to_string()).expect("an answer");
        assert_eq!(answer.code, 201, "{}", answer.body);
        answer.body
    }

    pub fn get(&mut self, path: &str) -> Value {
        let answer = self.client.get(path).expect("an answer");
        assert_eq!(answer.code, 200, "{path}: {}", answer.body);
        answer.json()
    }

    pub fn count(&mut self, status: &str) -> u64 {
        self.get("/api/v1/tasks/statistics")[status].as_u64().expect("a count")
    }

    /// Waits until so many tasks have completed; returns when that was.
    pub fn wait_completed(&mut self, count: u64) -> Mono {
        let clock = SystemClock::new();
        self.wait_count("completedTasks", count);
        clock.mono()
    }

    pub fn wait_count(&mut self, status: &str, count: u64) {
        let deadline = Deadline::after(DRAIN_WAIT);
        loop {
            let now = self.count(status);
            if now >= count {
                return;
            }
            assert!(!deadline.is_over(), "{status} stays at {now} of {count}");
            self.pause(LOOK_EVERY);
        }
    }

    /// Waits, and fails if the server dies meanwhile.
    pub fn pause(&self, wait: Duration) {
        assert!(self.server.lives_for(wait), "the server died:\n{}", self.server.output());
    }

    /// Bytes on disk, of everything in its directory.
    pub fn disk_bytes(&self) -> u64 {
        let entries = std::fs::read_dir(self.data.path()).expect("the server's folder");
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
    }

    pub fn stop(self) {
        self.server.terminate().expect("a clean end");
    }
}
