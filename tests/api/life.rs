//! What a person can do with one task, and what is told of the whole.

use serde_json::json;

use crate::ledger::http::Client;
use crate::ledger::server::{Starting, stock};
use crate::{Api, assert_problem};

const WAITS: &str = r#"{"taskName":"n","taskType":"NOBODY"}"#;
const LATER: &str =
    r#"{"taskName":"n","taskType":"NOOP","scheduledTime":"2099-01-01T00:00:00+01:00"}"#;

#[test]
fn a_waiting_task_is_cancelled_and_tried_again() {
    let mut api = Api::shared();
    let id = api.submit(WAITS);
    let cancelled = api.post(&format!("/api/v1/tasks/{id}/cancel"), "");
    assert_eq!(cancelled.code, 200, "{}", cancelled.body);
    let told = cancelled.json();
    assert_eq!((&told["status"], &told["taskId"]), (&json!("CANCELLED"), &json!(id.to_string())));
    assert!(told["message"].is_string());
    let again = api.post(&format!("/api/v1/tasks/{id}/cancel"), "");
    assert_problem(&again, 409, "illegal-move");
    let retried = api.post(&format!("/api/v1/tasks/{id}/retry"), "");
    assert_eq!((retried.code, &retried.json()["status"]), (200, &json!("QUEUED")));
    let again = api.post(&format!("/api/v1/tasks/{id}/retry"), "");
    assert_problem(&again, 409, "illegal-move");
}

#[test]
fn a_running_task_is_asked_to_stop() {
    let mut api = Api::shared();
    let id = api.submit(r#"{"taskName":"n","taskType":"SLEEP","payload":{"ms":60000}}"#);
    api.wait_for(id, "RUNNING");
    let asked = api.post(&format!("/api/v1/tasks/{id}/cancel"), "");
    assert!([200, 202].contains(&asked.code), "{}", asked.body);
    if asked.code == 202 {
        assert_eq!(asked.json()["cancelRequested"], true);
    }
    api.wait_for(id, "CANCELLED");
}

#[test]
fn a_status_is_moved_along_the_legal_moves_only() {
    let mut api = Api::shared();
    let id = api.submit(LATER);
    let mut put = |status: &str| {
        api.send("PUT", &format!("/api/v1/tasks/{id}/status?status={status}"), &[], "")
    };
    assert_eq!(put("paused").json()["status"], "PAUSED");
    let same = put("PAUSED");
    assert_eq!((same.code, &same.json()["status"]), (200, &json!("PAUSED")));
    assert_problem(&put("COMPLETED"), 409, "illegal-move");
    // Resumed before its time it waits for that again.
    assert_eq!(put("QUEUED").json()["status"], "SCHEDULED");
    assert_eq!(put("CANCELLED").json()["status"], "CANCELLED");
    assert_problem(&put("RUNNING"), 409, "illegal-move");
}

#[test]
fn a_state_that_is_known_is_not_sent_again() {
    let mut api = Api::shared();
    let id = api.submit(LATER);
    let path = format!("/api/v1/tasks/{id}");
    let etag = api.get(&path).header("ETag").unwrap().to_owned();
    let known = api.send("GET", &path, &[("If-None-Match", &etag)], "");
    assert_eq!((known.code, &*known.body, known.header("ETag")), (304, "", Some(&*etag)));
    let other = ("If-None-Match", "\"0.0\"");
    let listed = api.send("GET", &path, &[other, ("If-None-Match", &etag)], "");
    assert_eq!(listed.code, 304, "several heads are one list");
    api.send("PUT", &format!("{path}/status?status=PAUSED"), &[], "");
    let changed = api.send("GET", &path, &[("If-None-Match", &etag)], "");
    assert_eq!(changed.code, 200);
    assert_ne!(changed.header("ETag"), Some(&*etag));
}

#[test]
fn a_task_whose_time_has_come_says_that_it_waits_for_a_worker_who_can_take_it() {
    let mut api = Api::shared();
    let soon = jiff::Timestamp::now() + std::time::Duration::from_millis(300);
    let id =
        api.submit(&format!(r#"{{"taskName":"n","taskType":"NOBODY","scheduledTime":"{soon}"}}"#));
    let path = format!("/api/v1/tasks/{id}");
    let alone = api.wait_until(&path, |task| task["waitingFor"] == "worker");
    // A list says the same of it, under the status that both show.
    let list =
        format!("/api/v1/tasks?status={}&taskType=NOBODY", alone["status"].as_str().unwrap());
    let listed = api.wait_until(&list, |page| page["content"][0]["id"] == id)["content"][0].clone();
    for field in ["status", "waitingFor", "nextExecutionTime", "version", "epoch"] {
        assert_eq!(alone[field], listed[field], "{field}");
    }
    let taken = api.send("PUT", &format!("{path}/status?status=RUNNING"), &[], "");
    assert_eq!((taken.code, &taken.json()["status"]), (200, &json!("RUNNING")), "{}", taken.body);
}

#[test]
fn a_data_directory_with_a_long_path_puts_the_socket_where_only_this_user_may_enter() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("t");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = stock(&folder.path().join("d".repeat(120)));
    command.current_dir(folder.path()).env("TMPDIR", &temporary);
    let server = Starting::new(command).ready();
    assert_eq!(Client::new(server.address).get("/api/v1/tasks").unwrap().code, 200);
    let made: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(Result::unwrap).collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].metadata().unwrap().permissions().mode() & 0o777, 0o700);
    server.terminate().unwrap_or_else(|how| panic!("{how}"));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "it is tidied away");
}

#[test]
fn a_failed_task_says_why_and_uses_its_retries() {
    let mut api = Api::shared();
    let id =
        api.submit(r#"{"taskName":"n","taskType":"FAIL","payload":{"times":1},"retryDelayMs":1}"#);
    let task = api.wait_for(id, "COMPLETED");
    assert_eq!((&task["currentRetryCount"], &task["attempt"]), (&json!(1), &json!(2)));
    let id = api.submit(
        r#"{"taskName":"n","taskType":"FAIL","payload":{"times":1},
        "maxRetryAttempts":0}"#,
    );
    let task = api.wait_for(id, "FAILED");
    assert!(task["lastErrorMessage"].is_string(), "{task}");
}

#[test]
fn cleanup_deletes_what_has_ended_before_and_says_how_many() {
    // A server of its own: on the shared one it would delete other tests' tasks.
    let mut api = Api::start(&[]);
    let id = api.submit(r#"{"taskName":"n","taskType":"NOOP"}"#);
    let waiting = api.submit(WAITS);
    api.wait_for(id, "COMPLETED");
    let early = api.send("DELETE", "/api/v1/tasks/cleanup?olderThan=2020-01-01T00:00:00", &[], "");
    assert_eq!(early.json()["deletedCount"], 0);
    let done = api.send("DELETE", "/api/v1/tasks/cleanup?olderThan=2099-01-01T00:00:00Z", &[], "");
    assert_eq!((done.code, &done.json()["deletedCount"]), (200, &json!(1)), "{}", done.body);
    assert_eq!(done.json()["olderThan"], "2099-01-01T00:00:00.000Z");
    assert_eq!(api.get(&format!("/api/v1/tasks/{id}")).code, 404);
    assert_eq!(api.get(&format!("/api/v1/tasks/{waiting}")).code, 200);
    let total = api.get("/api/v1/tasks/statistics").json()["totalTasks"].clone();
    assert_eq!(total, 1);
}

#[test]
fn statistics_and_metrics_tell_of_the_whole() {
    let mut api = Api::shared();
    let id = api.submit(r#"{"taskName":"n","taskType":"NOOP","priority":"CRITICAL"}"#);
    api.wait_for(id, "COMPLETED");
    let told = api.wait_until("/api/v1/tasks/statistics", |told| told["completedTasks"] != 0);
    let statuses = ["pending", "scheduled", "queued", "running", "retrying", "paused", "completed"];
    let sum: u64 = statuses
        .iter()
        .chain(&["failed", "cancelled"])
        .map(|status| told[format!("{status}Tasks")].as_u64().expect("a count"))
        .sum();
    assert_eq!(told["totalTasks"], sum);
    for field in ["byPriority", "byType", "queueDepth", "cores", "oldestQueuedAgeMs", "node"] {
        assert!(!told[field].is_null(), "{field} in {told}");
    }
    let told = api.wait_until("/api/v1/tasks/metrics", |told| told["completedCount"] != 0);
    assert!(told["p99ExecutionTimeMs"].is_number() && told["averageQueueWaitMs"].is_number());
    assert!(!told["series"].as_array().unwrap().is_empty());
    let past = "/api/v1/tasks/metrics?fromTime=2020-01-01T00:00:00Z&toTime=2020-01-02T00:00:00Z";
    let told = api.get(past).json();
    assert_eq!((&told["completedCount"], &told["series"]), (&json!(0), &json!([])));
    assert!(told["message"].is_string());
}

#[test]
fn a_well_server_says_so_on_every_path_of_health() {
    let mut api = Api::shared();
    for path in [
        "/api/v1/tasks/health",
        "/actuator/health",
        "/actuator/health/detailed",
        "/actuator/health/liveness",
        "/actuator/health/readiness",
    ] {
        let answer = api.get(path);
        assert_eq!((answer.code, &answer.json()["status"]), (200, &json!("UP")), "{path}");
    }
    let told = api.get("/actuator/health/detailed").json();
    for part in ["db", "redis", "diskSpace", "ping", "circuitBreakers", "queue", "cores"] {
        assert!(told["components"][part]["status"].is_string(), "{part} in {told}");
    }
}
