//! Submitting: one task and batches, keys, and what is answered.

use serde_json::json;

use crate::{Api, assert_problem};

const WAITS: &str = r#"{"taskName":"n","taskType":"NOBODY","payload":"p"}"#;

#[test]
fn a_submit_is_answered_with_the_task_and_its_place() {
    let mut api = Api::shared();
    let body = r#"{"taskName":"first","taskType":"NOBODY","priority":"high","payload":{"a": 1.00},
        "description":"d","tags":{"k":"v"},"scheduledTime":null}"#;
    let answer = api.post("/api/v1/tasks", body);
    let task = answer.json();
    let id = task["id"].as_u64().unwrap();
    assert_eq!(answer.code, 201);
    assert_eq!(answer.header("Location"), Some(&*format!("/api/v1/tasks/{id}")));
    assert_eq!((&task["priority"], &task["status"]), (&json!("HIGH"), &json!("QUEUED")));
    assert_eq!((&task["tags"]["k"], &task["payload"]), (&json!("v"), &json!(null)));
    let shown = api.get(&format!("/api/v1/tasks/{id}"));
    assert!(shown.body.contains(r#""payload":{"a": 1.00}"#), "{}", shown.body);
    assert_eq!(shown.json()["waitingFor"], "worker");
    let with = api.post("/api/v1/tasks?include=payload", WAITS).json();
    assert_eq!(with["payload"], "p");
}

#[test]
fn a_task_runs_and_completes() {
    let mut api = Api::shared();
    let id = api.submit(r#"{"taskName":"n","taskType":"ECHO","payload":"héllo\n"}"#);
    let task = api.wait_for(id, "COMPLETED");
    assert_eq!((&task["result"], &task["completionPercentage"]), (&json!("héllo\n"), &json!(100)));
    assert_eq!((&task["completed"], &task["executor"]), (&json!(true), &json!("builtin")));
    assert!(task["completedAt"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_batch_is_answered_in_the_order_sent_as_an_array_or_as_lines() {
    let mut api = Api::shared();
    let item = |n: usize| format!(r#"{{"taskName":"b{n}","taskType":"NOBODY"}}"#);
    let items: Vec<_> = (0..600).map(item).collect();
    let lines = [("Content-Type", "application/x-ndjson")];
    for answer in [
        api.post("/api/v1/tasks/batch", &format!("[{}]", items.join(","))),
        api.send("POST", "/api/v1/tasks/batch", &lines, &items.join("\n")),
    ] {
        assert_eq!(answer.code, 201, "{:.500}", answer.body);
        let tasks = answer.json();
        let tasks = tasks.as_array().unwrap();
        let names: Vec<_> = tasks.iter().map(|task| task["taskName"].as_str().unwrap()).collect();
        assert_eq!(names, (0..600).map(|n| format!("b{n}")).collect::<Vec<_>>());
        let ids: Vec<_> = tasks.iter().map(|task| task["id"].as_u64().unwrap()).collect();
        assert!(ids.is_sorted());
    }
    let empty = api.post("/api/v1/tasks/batch", "[]");
    assert_eq!((empty.code, &*empty.body), (201, "[]"));
}

#[test]
fn one_bad_item_refuses_a_whole_batch() {
    let mut api = Api::shared();
    let before = api.get("/api/v1/tasks").json()["totalElements"].clone();
    let body = format!(r#"[{WAITS},{{"taskName":"n"}},{WAITS},"x"]"#);
    let told = assert_problem(&api.post("/api/v1/tasks/batch", &body), 400, "invalid-request");
    let expected = [(1, json!("taskType")), (3, json!(null))];
    for (error, (index, field)) in told["errors"].as_array().unwrap().iter().zip(expected) {
        assert_eq!((&error["index"], &error["field"]), (&json!(index), &field));
    }
    let many = format!("[{}]", vec![WAITS; 10_001].join(","));
    assert_problem(&api.post("/api/v1/tasks/batch", &many), 413, "too-large");
    assert_eq!(api.get("/api/v1/tasks").json()["totalElements"], before);
}

#[test]
fn the_same_key_and_body_lead_to_the_same_task_and_another_body_is_refused() {
    let mut api = Api::shared();
    let heads = [("Content-Type", "application/json"), ("Idempotency-Key", "key-1")];
    let first = api.send("POST", "/api/v1/tasks", &heads, WAITS);
    assert_eq!((first.code, first.header("Idempotency-Replayed")), (201, None));
    let again = api.send("POST", "/api/v1/tasks", &heads, WAITS);
    assert_eq!((again.code, again.header("Idempotency-Replayed")), (201, Some("true")));
    assert_eq!(again.json()["id"], first.json()["id"]);
    let other = api.send("POST", "/api/v1/tasks", &heads, &WAITS.replace("\"n\"", "\"m\""));
    assert_problem(&other, 422, "idempotency-key-reused");

    let heads = [("Content-Type", "application/json"), ("Idempotency-Key", "key-2")];
    let batch = format!("[{WAITS},{WAITS}]");
    let first = api.send("POST", "/api/v1/tasks/batch", &heads, &batch).json();
    let again = api.send("POST", "/api/v1/tasks/batch", &heads, &batch).json();
    assert_eq!(first[1]["id"], again[1]["id"]);
    assert_eq!(again.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_unique_key_stands_for_one_unfinished_task() {
    let mut api = Api::shared();
    let body = r#"{"taskName":"n","taskType":"NOBODY","uniqueKey":"only"}"#;
    let id = api.submit(body);
    let again = api.post("/api/v1/tasks", body);
    assert_eq!((again.code, again.json()["id"].as_u64()), (200, Some(id)), "{}", again.body);
    let batch = api.post("/api/v1/tasks/batch", &format!("[{WAITS},{body},{body}]"));
    assert_eq!(batch.code, 201, "{}", batch.body);
    let tasks = batch.json();
    assert_eq!((&tasks[1]["id"], &tasks[2]["id"]), (&json!(id), &json!(id)));
    assert_eq!(tasks[2]["taskName"], "n");
    assert_eq!(api.post(&format!("/api/v1/tasks/{id}/cancel"), "").code, 200);
    assert_ne!(api.submit(body), id);
    let taken = api.post(&format!("/api/v1/tasks/{id}/retry"), "");
    assert_problem(&taken, 409, "unique-key-taken");
}
