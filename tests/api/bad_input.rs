//! Everything a client can get wrong, and the answer the contract gives to it.

use proptest::prelude::*;

use crate::{Api, assert_problem};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
const GOOD: &str = r#"{"taskName":"n","taskType":"NOBODY"}"#;

#[test]
fn requests_that_ask_for_nothing_there_is_get_their_documented_answer() {
    let mut api = Api::shared();
    let table = [
        ("GET", "/nothing", 404, "no-such-path"),
        ("GET", "/api/v1/tasks/", 404, "no-such-path"),
        ("GET", "/api/v1/tasks/999999999", 404, "task-not-found"),
        ("GET", "/api/v1/tasks/9007199254740993", 404, "task-not-found"),
        ("GET", "/api/v1/tasks/abc", 400, "invalid-request"),
        ("GET", "/api/v1/tasks/0", 400, "invalid-request"),
        ("GET", "/api/v1/tasks/-1", 400, "invalid-request"),
        ("GET", "/api/v1/tasks/9223372036854775808", 400, "invalid-request"),
        ("POST", "/api/v1/tasks/999999999/cancel", 404, "task-not-found"),
        ("POST", "/api/v1/tasks/999999999/retry", 404, "task-not-found"),
        ("PUT", "/api/v1/tasks/999999999/status?status=QUEUED", 404, "task-not-found"),
        ("PUT", "/api/v1/tasks/1/status", 400, "invalid-request"),
        ("PUT", "/api/v1/tasks/1/status?status=", 400, "invalid-request"),
        ("PUT", "/api/v1/tasks/1/status?status=DONE", 400, "invalid-request"),
        ("DELETE", "/api/v1/tasks/cleanup", 400, "invalid-request"),
        ("DELETE", "/api/v1/tasks/cleanup?olderThan=yesterday", 400, "invalid-request"),
        (
            "DELETE",
            "/api/v1/tasks/cleanup?olderThan=2020-01-01T00:00:00Z&status=QUEUED",
            400,
            "invalid-request",
        ),
        ("GET", "/api/v1/tasks?page=-1", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?size=0", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?page=99999999999999999999", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?sort=payload", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?sort=id,up", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?status=DONE", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?priority=URGENT", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?cursor=AAAA", 400, "invalid-request"),
        ("GET", "/api/v1/tasks?taskType=%ff", 400, "invalid-request"),
        ("GET", "/api/v1/tasks/scheduled?beforeTime=soon", 400, "invalid-request"),
        ("GET", "/api/v1/tasks/metrics?fromTime=x&step=1", 400, "invalid-request"),
        ("DELETE", "/api/v1/tasks/1", 405, "method-not-allowed"),
        ("PUT", "/api/v1/tasks", 405, "method-not-allowed"),
        ("GET", "/api/v1/tasks/batch", 405, "method-not-allowed"),
    ];
    for (method, path, status, code) in table {
        let answer = api.send(method, path, &[], "");
        assert_problem(&answer, status, code);
        assert_eq!(answer.header("Allow").is_some(), status == 405, "{method} {path}");
    }
}

#[test]
fn bodies_that_are_no_task_get_their_documented_answer() {
    let mut api = Api::shared();
    let with = |more: &str| format!(r#"{{"taskName":"n","taskType":"NOBODY",{more}}}"#);
    let deep = format!(r#""payload":{}{}"#, "[".repeat(128), "]".repeat(128));
    let large = format!(r#""payload":"{}""#, "x".repeat((64 << 10) + 1));
    let table = [
        (String::new(), 400, "malformed-json", None),
        ("{".into(), 400, "malformed-json", None),
        (format!("{GOOD}{GOOD}"), 400, "malformed-json", None),
        (with(&deep), 400, "malformed-json", None),
        ("[1]".into(), 400, "invalid-request", None),
        ("{}".into(), 400, "invalid-request", Some("taskName")),
        (with(r#""taskName":"m""#), 400, "invalid-request", Some("taskName")),
        (with(r#""priority":"URGENT""#), 400, "invalid-request", Some("priority")),
        (with(r#""maxRetryAttempts":1.0"#), 400, "invalid-request", Some("maxRetryAttempts")),
        (with(r#""maxRetryAttempts":11"#), 400, "invalid-request", Some("maxRetryAttempts")),
        (
            with(r#""executionTimeoutSeconds":0"#),
            400,
            "invalid-request",
            Some("executionTimeoutSeconds"),
        ),
        (with(r#""scheduledTime":"1/2/2030""#), 400, "invalid-request", Some("scheduledTime")),
        (with(r#""uniqueKey":" ""#), 400, "invalid-request", Some("uniqueKey")),
        (with(r#""description":"a\u0000b""#), 400, "invalid-request", Some("description")),
        (with(r#""tags":{"a":null}"#), 400, "invalid-request", Some("tags")),
        (with(r#""colour":"red""#), 400, "invalid-request", Some("colour")),
        (with(&large), 413, "too-large", Some("payload")),
    ];
    let before = api.get("/api/v1/tasks").json()["totalElements"].clone();
    for (body, status, code, field) in table {
        let told = assert_problem(&api.post("/api/v1/tasks", &body), status, code);
        if let Some(field) = field {
            assert_eq!(told["errors"][0]["field"], field, "{told}");
        }
    }
    assert_eq!(api.get("/api/v1/tasks").json()["totalElements"], before, "nothing was stored");
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let mut api = Api::shared();
    let body = r#"{"taskName":7,"priority":"X","maxRetryAttempts":-1,"prioritty":1}"#;
    let told = assert_problem(&api.post("/api/v1/tasks", body), 400, "invalid-request");
    let errors = told["errors"].as_array().unwrap();
    let mut fields: Vec<_> = errors.iter().map(|e| e["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["maxRetryAttempts", "prioritty", "priority", "taskName", "taskType"]);
    assert!(told.to_string().contains("did you mean priority?"));
}

#[test]
fn heads_that_do_not_fit_get_their_documented_answer() {
    let mut api = Api::shared();
    let xml = [("Content-Type", "application/xml")];
    assert_problem(&api.send("POST", "/api/v1/tasks", &xml, GOOD), 415, "unsupported-media-type");
    let lines = [("Content-Type", "application/x-ndjson")];
    assert_problem(&api.send("POST", "/api/v1/tasks", &lines, GOOD), 415, "unsupported-media-type");
    let html = [("Accept", "text/html")];
    assert_problem(&api.send("GET", "/api/v1/tasks", &html, ""), 406, "not-acceptable");
    for heads in [&[("Accept", "")][..], &[html[0], ("Accept", "application/json")]] {
        assert_eq!(api.send("GET", "/api/v1/tasks", heads, "").code, 200, "{heads:?}");
    }
    for key in ["", "a b", &"k".repeat(256)] {
        let heads = [JSON[0], ("Idempotency-Key", key)];
        assert_problem(&api.send("POST", "/api/v1/tasks", &heads, GOOD), 400, "invalid-request");
    }
    // Without any Content-Type a body counts as JSON.
    assert_eq!(api.send("POST", "/api/v1/tasks", &[], GOOD).code, 201);
}

#[test]
fn a_request_id_is_taken_over_if_it_is_plain_and_made_otherwise() {
    let mut api = Api::shared();
    let answer = api.send("GET", "/nothing", &[("X-Request-Id", "mine-1")], "");
    assert_eq!(assert_problem(&answer, 404, "no-such-path")["requestId"], "mine-1");
    let answer = api.send("GET", "/nothing", &[("X-Request-Id", "not{mine}")], "");
    assert_ne!(assert_problem(&answer, 404, "no-such-path")["requestId"], "not{mine}");
    assert!(api.get("/api/v1/tasks").header("X-Request-Id").is_some());
}

#[test]
fn what_a_path_knows_is_told_and_a_head_has_no_body() {
    let mut api = Api::shared();
    let answer = api.send("OPTIONS", "/api/v1/tasks", &[], "");
    assert_eq!((answer.code, answer.header("Allow")), (204, Some("GET, HEAD, POST, OPTIONS")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_body_and_no_query_gives_500(
        body in "[{}\\[\\]\",:a-z0-9 .\\\\-]{0,60}",
        query in "[a-z=&%0-9,+]{0,30}",
    ) {
        let mut api = Api::shared();
        for path in ["/api/v1/tasks", "/api/v1/tasks/batch"] {
            let answer = api.post(&format!("{path}?{query}"), &body);
            prop_assert!(answer.code < 500, "{} to {body:?}: {}", answer.code, answer.body);
        }
        for path in ["/api/v1/tasks", "/api/v1/tasks/scheduled", "/api/v1/tasks/metrics"] {
            let answer = api.get(&format!("{path}?{query}"));
            prop_assert!(answer.code < 500, "{} to {query:?}: {}", answer.code, answer.body);
        }
    }
}
