//! The old system's calls, in both modes: what they need works in either, and where the contract is
//! stricter the Java mode restores the old answer.

use serde_json::{Value, json};

use crate::{Api, assert_problem};

const WAITS: &str = r#"{"taskName":"n","taskType":"NOBODY"}"#;

fn both(mut check: impl FnMut(&mut Api, bool)) {
    check(&mut Api::shared(), false);
    check(&mut Api::shared_java(), true);
}

#[test]
fn an_old_client_submits_reads_and_lists_in_both_modes() {
    both(|api, _| {
        let id = api.submit(
            r#"{"taskName":"old","taskType":"LOAD_TEST","priority":"MEDIUM",
            "payload":"{\"key\":\"value\"}","description":"d","scheduledTime":null,
            "executionTimeoutSeconds":300,"maxRetryAttempts":3}"#,
        );
        let task = api.wait_for(id, "COMPLETED");
        assert_eq!(task["payload"], r#"{"key":"value"}"#);
        for field in ["createdAt", "updatedAt", "version", "completed", "completionPercentage"] {
            assert!(!task[field].is_null(), "{field}");
        }
        let page = api.get("/api/v1/tasks?page=0&size=20&sort=createdAt,desc").json();
        for field in ["content", "totalElements", "totalPages", "number", "pageable", "sort"] {
            assert!(!page[field].is_null(), "{field}");
        }
    });
}

#[test]
fn a_local_time_is_taken_in_both_modes_and_written_back_as_each_mode_does() {
    both(|api, java| {
        let body = r#"{"taskName":"n","taskType":"NOOP","scheduledTime":"2099-01-20T10:30:00"}"#;
        let id = api.submit(body);
        let told = api.get(&format!("/api/v1/tasks/{id}")).json();
        let expected = if java { "2099-01-20T10:30:00" } else { "2099-01-20T10:30:00.000Z" };
        assert_eq!(told["scheduledTime"], expected);
        let health = api.get("/api/v1/tasks/health").json();
        assert_eq!(health["timestamp"].as_str().unwrap().ends_with('Z'), !java);
    });
}

#[test]
fn absent_values_are_null_in_java_mode_and_left_out_otherwise() {
    both(|api, java| {
        let id = api.submit(WAITS);
        let told = api.get(&format!("/api/v1/tasks/{id}")).json();
        for field in ["payload", "description", "scheduledTime", "lastErrorMessage", "result"] {
            assert_eq!(told.get(field), java.then_some(&Value::Null), "{field}");
        }
    });
}

#[test]
fn unknown_fields_are_passed_over_in_java_mode_and_refused_otherwise() {
    both(|api, java| {
        let body = r#"{"id":7,"status":"DONE","taskName":"n","taskType":"NOBODY"}"#;
        let answer = api.post("/api/v1/tasks", body);
        assert_eq!(answer.code, if java { 201 } else { 400 }, "{}", answer.body);
        // What is wrong with known fields is wrong in either mode.
        assert_eq!(api.post("/api/v1/tasks", r#"{"taskName":"n"}"#).code, 400);
    });
}

#[test]
fn a_refused_cancel_or_retry_is_told_as_each_mode_does() {
    both(|api, java| {
        let id = api.submit(WAITS);
        assert_eq!(api.post(&format!("/api/v1/tasks/{id}/cancel"), "").code, 200);
        let again = api.post(&format!("/api/v1/tasks/{id}/cancel"), "");
        if java {
            let told = again.json();
            assert_eq!((again.code, &told["taskId"]), (400, &json!(id.to_string())));
            assert!(told["error"].is_string() && told.as_object().unwrap().len() == 2, "{told}");
        } else {
            assert_problem(&again, 409, "illegal-move");
        }
        assert_eq!(api.post(&format!("/api/v1/tasks/{id}/retry"), "").code, 200);
        let again = api.post(&format!("/api/v1/tasks/{id}/retry"), "");
        assert_eq!(again.code, if java { 400 } else { 409 });
    });
}
