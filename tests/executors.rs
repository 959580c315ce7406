//! Commands as tasks of a real server: cancelled, drained, and held back while they keep failing.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;

#[path = "executors/endpoints.rs"]
mod endpoints;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use ledger::http::Client;
use ledger::server::{Deadline, Server, Starting, stock};

/// A server with a command that runs long and says who it is, one that works only once a file is
/// there, and one that always works.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "[engine]\ndrain-timeout = \"3s\"\n\
             [circuit-breaker]\nwait-duration-in-open-state = \"2s\"\n\
             [types.LONG]\nexecutor = \"process\"\n\
             command = [\"/bin/sh\", \"-c\", \"echo $$ > {0}.new; mv {0}.new {0}; sleep 1000\"]\n\
             [types.SHAKY]\nexecutor = \"process\"\nmax-concurrency = 1\n\
             command = [\"test\", \"-e\", \"{1}\"]\n\
             [types.WELL]\nexecutor = \"process\"\ncommand = [\"cat\"]\n",
            path("pid"),
            path("works"),
        );
        std::fs::write(folder.path().join("taskscheduler.toml"), config).unwrap();
        Scene { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self) -> Server {
        let mut command = stock(&self.path("data"));
        command.arg("--config").arg(self.path("taskscheduler.toml"));
        Starting::new(command).ready()
    }
}

fn submit(client: &mut Client, task_type: &str, count: usize) -> Vec<u64> {
    let task = json!({ "taskName": "t", "taskType": task_type, "maxRetryAttempts": 0 });
    let batch = Value::Array(vec![task; count]);
    let answer = client.post("/api/v1/tasks/batch", &batch.to_string()).unwrap();
    assert_eq!(answer.code, 201, "{}", answer.json());
    answer.json().as_array().unwrap().iter().map(|task| task["id"].as_u64().unwrap()).collect()
}

fn task(client: &mut Client, id: u64) -> Value {
    client.get(&format!("/api/v1/tasks/{id}")).unwrap().json()
}

fn total(client: &mut Client, status: &str) -> u64 {
    let page = client.get(&format!("/api/v1/tasks?status={status}&size=1")).unwrap().json();
    page["totalElements"].as_u64().unwrap()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Deadline::after(Duration::from_secs(30));
    while !is_so() {
        assert!(!deadline.is_over(), "{what}");
    }
}

/// The number of the running command.
fn pid(file: &Path) -> String {
    wait_for("the command does not start", || file.exists());
    let pid = std::fs::read_to_string(file).unwrap();
    std::fs::remove_file(file).unwrap();
    pid.trim().to_owned()
}

fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.contains(") Z ")) || !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_running_command_is_cancelled_with_all_that_it_started() {
    let scene = Scene::new();
    let server = scene.server();
    let mut client = Client::new(server.address);
    let id = submit(&mut client, "LONG", 1)[0];
    let pid = pid(&scene.path("pid"));
    let running = task(&mut client, id);
    assert_eq!((&running["status"], &running["executor"]), (&json!("RUNNING"), &json!("process")));
    let answer = client.post(&format!("/api/v1/tasks/{id}/cancel"), "").unwrap();
    assert_eq!(answer.code, 202, "{}", answer.body);
    wait_for("it is not cancelled", || task(&mut client, id)["status"] == "CANCELLED");
    wait_for("the command lives on", || is_gone(&pid));
    server.terminate().unwrap();
}

#[test]
fn a_drain_ends_commands_and_gives_their_tasks_back_at_no_cost() {
    let scene = Scene::new();
    let first = scene.server();
    let mut client = Client::new(first.address);
    let id = submit(&mut client, "LONG", 1)[0];
    let command = pid(&scene.path("pid"));
    first.terminate().unwrap();
    wait_for("the command outlives the server", || is_gone(&command));
    let second = scene.server();
    let mut client = Client::new(second.address);
    pid(&scene.path("pid"));
    let again = task(&mut client, id);
    assert_eq!((&again["status"], &again["attempt"]), (&json!("RUNNING"), &json!(1)), "{again}");
    assert_eq!(again["currentRetryCount"], 0);
}

#[test]
fn a_type_that_keeps_failing_is_held_back_uses_no_attempts_and_comes_back_by_trials() {
    let scene = Scene::new();
    let server = scene.server();
    let mut client = Client::new(server.address);
    let shaky = submit(&mut client, "SHAKY", 40);
    wait_for("the first ones do not fail", || total(&mut client, "FAILED") == 5);
    let well = submit(&mut client, "WELL", 20);
    wait_for("it delays another type", || {
        task(&mut client, *well.last().unwrap())["status"] == "COMPLETED"
    });
    // Held back, not failed: exactly those that opened the breaker have run.
    assert_eq!(total(&mut client, "FAILED"), 5);
    let breaker = |client: &mut Client| {
        let told = client.get("/api/v1/tasks/statistics").unwrap().json();
        let all = told["circuitBreakers"].as_array().unwrap().clone();
        all.into_iter().find(|breaker| breaker["name"] == "SHAKY").expect("its breaker")
    };
    assert_eq!(
        (&breaker(&mut client)["state"], &breaker(&mut client)["opened"]),
        (&json!("OPEN"), &json!(1))
    );
    let told = client.get("/actuator/health/detailed").unwrap().json();
    assert_eq!(
        (&told["status"], &told["components"]["circuitBreakers"]["status"]),
        (&json!("UP"), &json!("DOWN"))
    );
    let measures = client.get("/metrics").unwrap().body;
    assert!(measures.contains("taskscheduler_breaker_state{type=\"SHAKY\"} 2"), "{measures}");
    let held = task(&mut client, shaky[39]);
    assert_eq!((&held["status"], &held["currentRetryCount"]), (&json!("QUEUED"), &json!(0)));
    std::fs::write(scene.path("works"), "").unwrap();
    wait_for("it does not come back", || total(&mut client, "COMPLETED") == 35 + 20);
    assert_eq!(total(&mut client, "FAILED"), 5);
    wait_for("its breaker stays open", || breaker(&mut client)["state"] == "CLOSED");
    server.terminate().unwrap();
}
