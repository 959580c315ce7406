//! A copy made under load, restored elsewhere, and what is never mixed up afterwards.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use ledger::http::Client;
use ledger::server::{Deadline, Server, Starting, stock};

const PATIENCE: Duration = Duration::from_secs(30);

fn program(arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskscheduler"));
    command.args(arguments).arg("--data").arg(data).env_clear().output().unwrap()
}

fn good(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn submit(client: &mut Client, task: &Value) -> u64 {
    let answer = client.post("/api/v1/tasks", &task.to_string()).unwrap();
    assert_eq!(answer.code, 201, "{}", answer.json());
    answer.json()["id"].as_u64().unwrap()
}

fn task(client: &mut Client, id: u64) -> Option<Value> {
    let answer = client.get(&format!("/api/v1/tasks/{id}")).unwrap();
    (answer.code == 200).then(|| answer.json())
}

fn until_status(client: &mut Client, id: u64, status: &str) -> Value {
    let deadline = Deadline::after(PATIENCE);
    loop {
        let found = task(client, id).unwrap_or_else(|| panic!("task {id} is gone"));
        if found["status"] == status {
            return found;
        }
        assert!(!deadline.is_over(), "it does not become {status}: {found}");
    }
}

/// Submits one task after the other, and counts the last one that was acknowledged.
fn load(server: &Server, over: Arc<AtomicBool>) -> (Arc<AtomicU64>, thread::JoinHandle<()>) {
    let (last, address) = (Arc::new(AtomicU64::new(0)), server.address);
    let told = Arc::clone(&last);
    let run = move || {
        let mut client = Client::new(address);
        while !over.load(Ordering::Relaxed) {
            let id = submit(&mut client, &json!({ "taskName": "l", "taskType": "NOOP" }));
            told.store(id, Ordering::Release);
        }
    };
    (last, thread::spawn(run))
}

#[test]
fn a_copy_made_under_load_holds_everything_acknowledged_before_and_runs_elsewhere() {
    let ground = tempfile::tempdir().unwrap();
    let (data, copy) = (ground.path().join("data"), ground.path().join("copy.db"));
    let server = Starting::new(stock(&data)).ready();
    let mut client = Client::new(server.address);
    let later = json!({ "taskName": "later", "taskType": "ECHO", "payload": "kept",
        "scheduledTime": "2099-01-01T00:00:00Z" });
    let later = submit(&mut client, &later);
    let long = json!({ "taskName": "long", "taskType": "SLEEP", "payload": { "ms": 600_000 } });
    let long = submit(&mut client, &long);
    until_status(&mut client, long, "RUNNING");

    let over = Arc::new(AtomicBool::new(false));
    let (last, loading) = load(&server, Arc::clone(&over));
    let deadline = Deadline::after(PATIENCE);
    while last.load(Ordering::Acquire) < long + 50 {
        assert!(!deadline.is_over(), "no load");
        thread::yield_now();
    }
    let before = last.load(Ordering::Acquire);
    let said = good(&program(&["backup", copy.to_str().unwrap()], &data));
    assert!(said.contains("tasks"), "{said}");
    over.store(true, Ordering::Relaxed);
    loading.join().unwrap();
    let newest = last.load(Ordering::Acquire);
    assert!(newest > before, "the server went on meanwhile");
    let again = program(&["backup", copy.to_str().unwrap()], &data);
    assert!(!again.status.success(), "a copy never takes the place of another");
    server.kill();

    let other = ground.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::rename(&copy, other.join("tasks.db")).unwrap();
    good(&program(&["migrate", "restored"], &other));
    let server = Starting::new(stock(&other)).ready();
    let mut client = Client::new(server.address);
    for id in later..=before {
        assert!(task(&mut client, id).is_some(), "task {id} was acknowledged before the copy");
    }
    assert_eq!(task(&mut client, later).unwrap()["payload"], "kept");
    // It ran when the copy was made; it runs again, as if it had been given back.
    let long = until_status(&mut client, long, "RUNNING");
    assert!(long["epoch"].as_u64().unwrap() > 1_000_000, "{long}");
    assert_eq!(long["currentRetryCount"], 0, "{long}");
    let next = submit(&mut client, &json!({ "taskName": "n", "taskType": "NOOP" }));
    assert!(next > newest + 1_000_000_000, "{next} could have been given out after the copy");
}

#[test]
fn a_restored_store_is_not_touched_while_a_server_uses_it() {
    let ground = tempfile::tempdir().unwrap();
    let data = ground.path().join("data");
    let server = Starting::new(stock(&data)).ready();
    let refused = program(&["migrate", "restored"], &data);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another server uses"));
    drop(server);
}

#[test]
fn where_there_is_no_store_nothing_is_copied_and_nothing_restored() {
    let ground = tempfile::tempdir().unwrap();
    let (data, copy) = (ground.path().join("data"), ground.path().join("copy.db"));
    assert!(!program(&["backup", copy.to_str().unwrap()], &data).status.success());
    assert!(!copy.exists() && !data.exists());
    assert!(!program(&["migrate", "restored"], &data).status.success());
}
