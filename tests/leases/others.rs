//! Workers that are processes of their own and do not do as they should, and a server that is
//! killed while they work.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use super::{Ground, token};

/// Leases one task for a second, says its token, and completes it when it is told to.
const WORKER: &str = r#"
import json, sys, urllib.request
def call(path, body):
    heads = {"Content-Type": "application/json"}
    request = urllib.request.Request(sys.argv[1] + path, json.dumps(body).encode(), heads)
    return json.load(urllib.request.urlopen(request))
lease = call("", {"workerId": sys.argv[2], "waitMs": 20000, "leaseMs": 1000})["leases"][0]
print(lease["leaseToken"], flush=True)
sys.stdin.readline()
print(json.dumps(call("/complete", {"leases": [{"leaseToken": lease["leaseToken"]}]})), flush=True)
"#;

struct Worker {
    child: Child,
    stdin: ChildStdin,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Worker {
    fn start(ground: &Ground, name: &str) -> Worker {
        let url = format!("http://{}/api/v1/leases", ground.server.address);
        let mut child = Command::new("python3")
            .args(["-c", WORKER, &url, name])
            .env_remove("http_proxy")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let stdin = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Worker { child, stdin, said }
    }

    fn says(&mut self) -> String {
        self.said.next().expect("a line").expect("a line")
    }

    /// Lets it complete its task; what that was answered.
    fn complete(&mut self) -> Value {
        self.stdin.write_all(b"\n").unwrap();
        serde_json::from_str(&self.says()).unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_late_worker_changes_nothing() {
    let mut ground = Ground::start();
    let id = ground.submit("FAR");
    let mut late = Worker::start(&ground, "late");
    late.says();
    let queued = ground.await_status(id, "QUEUED");
    assert_eq!(queued["lastErrorMessage"], "late let its lease run out");
    assert_eq!(queued["currentRetryCount"], 0);
    assert_eq!(late.complete()["leases"][0]["lost"], true);
    assert_eq!(ground.task(id)["status"], "QUEUED");
    let next = ground.lease("next", json!({"waitMs": 2000}));
    assert_eq!(next[0]["task"]["id"], id);
    assert_eq!(ground.report("complete", json!({"leaseToken": token(&next[0])}))["ok"], true);
    assert_eq!(ground.task(id)["worker"], "next");
}

#[test]
fn a_dead_workers_task_goes_to_the_next_one() {
    let mut ground = Ground::start();
    let id = ground.submit("FAR");
    let mut dead = Worker::start(&ground, "dead");
    dead.says();
    dead.child.kill().unwrap();
    let mut next = Worker::start(&ground, "next");
    next.says();
    assert_eq!(next.complete()["leases"][0]["ok"], true);
    let task = ground.task(id);
    assert_eq!((&task["status"], &task["worker"]), (&json!("COMPLETED"), &json!("next")));
}

#[test]
fn a_killed_server_comes_back_with_its_leases_and_runs_no_task_twice() {
    let mut ground = Ground::start();
    let ids: Vec<u64> = (0..20).map(|_| ground.submit("FAR")).collect();
    let leases = ground.lease("w", json!({"maxTasks": 1000, "leaseMs": 60000}));
    assert_eq!(leases.len(), ids.len());
    let mut ground = ground.restart();
    assert!(ground.lease("other", json!({"maxTasks": 1000, "waitMs": 1500})).is_empty());
    let beaten = ground.report("heartbeat", json!({"leaseToken": token(&leases[0])}));
    assert!(beaten["expiresAt"].is_string(), "{beaten}");
    for lease in &leases {
        assert_eq!(ground.report("complete", json!({"leaseToken": token(lease)}))["ok"], true);
    }
    for id in ids {
        assert_eq!(ground.task(id)["status"], "COMPLETED");
    }
}
