//! Remote workers over a real port: waiting, leasing, reporting, falling silent, and a server that
//! is killed with leases out.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
#[path = "../ledger/mod.rs"]
mod ledger;

mod command;
mod crowd;
mod others;
mod protocol;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use ledger::http::{Answer, Client};
use ledger::server::{Deadline, Server, Starting, stock_at};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a data directory of its own.
struct Ground {
    server: Server,
    client: Client,
    folder: TempDir,
}

impl Ground {
    fn start() -> Ground {
        Ground::start_at(0)
    }

    fn start_at(port: u16) -> Ground {
        Ground::on(tempfile::tempdir().expect("a directory"), port)
    }

    fn on(folder: TempDir, port: u16) -> Ground {
        let server = serve(folder.path(), port);
        Ground { client: Client::new(server.address), server, folder }
    }

    /// Kills the server; its data stays.
    fn kill(self) -> TempDir {
        self.server.kill();
        self.folder
    }

    /// Kills the server and starts it again on the same data.
    fn restart(self) -> Ground {
        Ground::on(self.kill(), 0)
    }

    fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.client.post(&format!("/api/v1/{path}"), &body.to_string()).expect("an answer")
    }

    fn submit(&mut self, task_type: &str) -> u64 {
        let answer = self.post("tasks", &json!({"taskName": "t", "taskType": task_type}));
        assert_eq!(answer.code, 201, "{}", answer.body);
        answer.json()["id"].as_u64().expect("an id")
    }

    fn lease(&mut self, worker: &str, wish: Value) -> Vec<Value> {
        let mut body = json!({"workerId": worker});
        for (key, value) in wish.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let answer = self.post("leases", &body);
        assert_eq!(answer.code, 200, "{}", answer.body);
        answer.json()["leases"].as_array().expect("leases").clone()
    }

    /// What one item of a report was answered.
    fn report(&mut self, what: &str, item: Value) -> Value {
        let answer =
            self.post(&format!("leases/{what}"), &json!({"workerId": "w", "leases": [item]}));
        assert_eq!(answer.code, 200, "{}", answer.body);
        answer.json()["leases"][0].clone()
    }

    fn task(&mut self, id: u64) -> Value {
        self.client.get(&format!("/api/v1/tasks/{id}")).expect("an answer").json()
    }

    fn await_status(&mut self, id: u64, status: &str) -> Value {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let task = self.task(id);
            if task["status"] == status {
                return task;
            }
            assert!(!deadline.is_over(), "task {id} does not become {status}: {task}");
        }
    }
}

fn serve(data: &Path, port: u16) -> Server {
    let mut command = stock_at(data, port);
    // The directory of the test must not configure the server.
    command.current_dir(data);
    Starting::new(command).ready()
}

fn token(lease: &Value) -> Value {
    lease["leaseToken"].clone()
}
