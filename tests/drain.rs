//! SIGTERM: no new work, what runs may finish within the budget, and what is left is given back as
//! if it had never started.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use ledger::http::Client;
use ledger::server::{Deadline, Server, Starting, stock};

fn server(data: &Path, budget: &str) -> Server {
    let config = data.with_extension("toml");
    std::fs::write(&config, format!("[engine]\ndrain-timeout = \"{budget}\"\n")).unwrap();
    let mut command: Command = stock(data);
    command.arg("--config").arg(config);
    Starting::new(command).ready()
}

fn submit_sleep(client: &mut Client, ms: u64) -> u64 {
    let task = json!({ "taskName": "long", "taskType": "SLEEP", "payload": { "ms": ms } });
    let answer = client.post("/api/v1/tasks", &task.to_string()).unwrap();
    assert_eq!(answer.code, 201, "{}", answer.json());
    answer.json()["id"].as_u64().unwrap()
}

/// The task, once it is in this status.
fn once(client: &mut Client, id: u64, status: &str) -> Value {
    let deadline = Deadline::after(Duration::from_secs(20));
    loop {
        let task = client.get(&format!("/api/v1/tasks/{id}")).unwrap().json();
        if task["status"] == status {
            return task;
        }
        assert!(!deadline.is_over(), "it does not become {status}: {task}");
    }
}

fn ask_to_stop(server: &Server) {
    let id = rustix::process::Pid::from_raw(server.id() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn what_does_not_finish_in_the_budget_is_given_back_and_costs_no_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = server(&data, "3s");
    let mut client = Client::new(first.address);
    let id = submit_sleep(&mut client, 600_000);
    once(&mut client, id, "RUNNING");
    ask_to_stop(&first);
    let ended = first.wait_for_end(Duration::from_secs(30));
    ended.unwrap_or_else(|how| panic!("{how}"));

    let second = server(&data, "3s");
    let task = once(&mut Client::new(second.address), id, "RUNNING");
    assert_eq!((&task["currentRetryCount"], &task["epoch"]), (&json!(0), &json!(2)), "{task}");
}

#[test]
fn while_it_drains_it_takes_nothing_new_and_lets_what_runs_finish() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = server(&data, "25s");
    let mut client = Client::new(first.address);
    // Long enough for the few questions below on the busiest machine, and well within the budget.
    let id = submit_sleep(&mut client, 8000);
    once(&mut client, id, "RUNNING");
    ask_to_stop(&first);
    let deadline = Deadline::after(Duration::from_secs(20));
    loop {
        let ready = client.get("/actuator/health/readiness").unwrap();
        if ready.code == 503 {
            break;
        }
        assert!(!deadline.is_over(), "readiness stays on");
    }
    let task = json!({ "taskName": "late", "taskType": "NOOP" });
    let refused = client.post("/api/v1/tasks", &task.to_string()).unwrap();
    assert_eq!(refused.code, 503, "{}", refused.json());
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(client.get("/actuator/health/liveness").unwrap().code, 200);
    let ended = first.wait_for_end(Duration::from_secs(30));
    ended.unwrap_or_else(|how| panic!("{how}"));

    let second = server(&data, "3s");
    let task = once(&mut Client::new(second.address), id, "COMPLETED");
    assert_eq!(task["epoch"], 1, "it finished under its first claim: {task}");
}
