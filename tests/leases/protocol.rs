//! The calls of the contract, one after the other.

use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::http::Client;
use super::ledger::server::Deadline;
use super::{Ground, PATIENCE, token};

#[test]
fn a_task_is_leased_kept_alive_and_completed() {
    let mut ground = Ground::start();
    let id = ground.submit("DATA_PROCESSING");
    let task = ground.task(id);
    assert_eq!((&task["status"], &task["waitingFor"]), (&json!("QUEUED"), &json!("worker")));
    let leases = ground.lease("w", json!({"taskTypes": ["DATA_PROCESSING"], "leaseMs": 20000}));
    assert_eq!(leases.len(), 1);
    let task = ground.task(id);
    for (field, value) in [
        ("status", json!("RUNNING")),
        ("worker", json!("w")),
        ("executor", json!("remote")),
        ("node", Value::Null),
        ("waitingFor", Value::Null),
        ("completionPercentage", json!(50)),
    ] {
        assert_eq!(task[field], value, "{field} of {task}");
    }
    let beaten =
        ground.report("heartbeat", json!({"leaseToken": token(&leases[0]), "progress": 30}));
    assert_eq!(beaten["cancelRequested"], false, "{beaten}");
    assert_eq!(ground.task(id)["completionPercentage"], 30);
    let item = json!({"leaseToken": token(&leases[0]), "result": {"rows": 7}});
    assert_eq!(ground.report("complete", item.clone())["ok"], true);
    assert_eq!(ground.report("complete", item)["ok"], true, "sent twice, counted once");
    let task = ground.task(id);
    assert_eq!((&task["status"], &task["result"]), (&json!("COMPLETED"), &json!({"rows": 7})));
}

#[test]
fn a_waiting_worker_has_the_task_a_moment_after_its_submit() {
    let mut ground = Ground::start();
    let address = ground.server.address;
    let (send, woken) = std::sync::mpsc::sync_channel(1);
    let waiting = std::thread::spawn(move || {
        let wish = json!({"workerId": "w", "taskTypes": ["FAR"], "waitMs": 4000});
        let answer = Client::new(address).post("/api/v1/leases", &wish.to_string()).unwrap();
        send.send(answer.json()).unwrap();
    });
    ground.await_waiting(1);
    let deadline = Deadline::after(Duration::from_secs(2));
    let id = ground.submit("FAR");
    let answer = woken.recv_timeout(deadline.left()).expect("the worker is not woken");
    assert_eq!(answer["leases"][0]["task"]["id"], id);
    waiting.join().unwrap();
}

#[test]
fn a_failure_is_retried_unless_the_worker_says_not_to() {
    let mut ground = Ground::start();
    for (say, status) in [(json!({}), "RETRYING"), (json!({"retryable": false}), "FAILED")] {
        let id = ground.submit("FAR");
        let leases = ground.lease("w", json!({}));
        let mut item = json!({"leaseToken": token(&leases[0]), "error": "no luck"});
        say.as_object().unwrap().iter().for_each(|(key, value)| item[key] = value.clone());
        assert_eq!(ground.report("fail", item)["ok"], true);
        let task = ground.task(id);
        assert_eq!(
            (&task["status"], &task["lastErrorMessage"]),
            (&json!(status), &json!("no luck"))
        );
    }
}

#[test]
fn a_cancel_waits_for_the_worker_that_is_told_of_it() {
    let mut ground = Ground::start();
    let id = ground.submit("FAR");
    let leases = ground.lease("w", json!({}));
    let answer = ground.post(&format!("tasks/{id}/cancel"), &json!({}));
    assert_eq!((answer.code, &answer.json()["cancelRequested"]), (202, &json!(true)));
    let beaten = ground.report("heartbeat", json!({"leaseToken": token(&leases[0])}));
    assert_eq!(beaten["cancelRequested"], true);
    assert_eq!(ground.report("release", json!({"leaseToken": token(&leases[0])}))["ok"], true);
    assert_eq!(ground.task(id)["status"], "CANCELLED");
}

#[test]
fn tokens_that_are_not_ours_change_nothing_and_bad_bodies_are_named() {
    let mut ground = Ground::start();
    let id = ground.submit("FAR");
    let leases = ground.lease("w", json!({}));
    let good = token(&leases[0]).as_str().unwrap().to_owned();
    let forged =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
    for bad in [forged.as_str(), "", "1.1.1000.00", &"x".repeat(10_000)] {
        let answer = ground.report("complete", json!({"leaseToken": bad}));
        assert_eq!(answer["lost"], true, "{bad}");
    }
    assert_eq!(ground.task(id)["status"], "RUNNING");
    for (path, body, field) in [
        ("leases", json!({}), "workerId"),
        ("leases", json!({"workerId": "w", "maxTasks": 1001}), "maxTasks"),
        ("leases", json!({"workerId": "w", "waitMs": 30001}), "waitMs"),
        ("leases", json!({"workerId": "w", "taskTypes": ["NOOP"]}), "taskTypes"),
        ("leases/fail", json!({"leases": [{"error": "e"}]}), "leaseToken"),
        ("leases/heartbeat", json!({"leases": []}), "workerId"),
    ] {
        let answer = ground.post(path, &body);
        assert_eq!(
            (answer.code, &answer.json()["errors"][0]["field"]),
            (400, &json!(field)),
            "{body}"
        );
    }
    // A client cannot speak in the gate's name.
    let heads = [("X-Gate-Resume", "1"), ("Content-Type", "application/json")];
    let answer = ground.client.send("POST", "/api/v1/leases", &heads, "{}").unwrap();
    assert_eq!(answer.code, 400);
}

#[test]
fn workers_are_listed_with_what_they_lease() {
    let mut ground = Ground::start();
    for name in ["FAR", "FAR", "NEAR"] {
        ground.submit(name);
    }
    ground.lease("w", json!({"maxTasks": 10}));
    let list = ground.client.get("/api/v1/workers").unwrap().json();
    let worker = &list["workers"][0];
    assert_eq!((&worker["workerId"], &worker["leased"]), (&json!("w"), &json!(3)), "{list}");
    assert_eq!(worker["byType"], json!({"FAR": 2, "NEAR": 1}));
    assert!(worker["lastSeen"].is_string() && worker["firstExpiresAt"].is_string());
}

#[test]
fn an_answer_holds_no_more_than_eight_mebibytes_and_the_rest_is_free_again() {
    let mut ground = Ground::start();
    let payload = "\u{1}".repeat(60_000);
    let task = json!({"taskName": "t", "taskType": "FAR", "payload": payload});
    let answer = ground.post("tasks/batch", &Value::Array(vec![task; 40]));
    assert_eq!(answer.code, 201, "{}", answer.body);
    let wish = json!({"workerId": "w", "maxTasks": 1000}).to_string();
    let (mut leased, mut rounds) = (0, 0);
    while leased < 40 {
        let answer = ground.client.post("/api/v1/leases", &wish).unwrap();
        assert!(answer.body.len() < 9 << 20, "{} bytes", answer.body.len());
        let count = answer.json()["leases"].as_array().unwrap().len();
        leased += count;
        rounds += 1;
        assert!(rounds < 200, "only {leased} of 40 tasks were leased");
    }
    assert_eq!(leased, 40);
}

impl Ground {
    /// Waits until so many wishes wait.
    pub(crate) fn await_waiting(&mut self, count: u64) {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let list = self.client.get("/api/v1/workers").expect("an answer").json();
            let workers = list["workers"].as_array().expect("workers");
            let waiting: u64 = workers.iter().filter_map(|w| w["waiting"].as_u64()).sum();
            if waiting == count {
                return;
            }
            assert!(!deadline.is_over(), "{waiting} wait, not {count}");
        }
    }
}
