//! What operators and their tools see: measures, health, logs.

use serde_json::json;

use super::Api;

/// The value of a row of the text that Prometheus reads.
fn value(text: &str, row: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.strip_prefix(row).is_some_and(|v| v.starts_with(' ')));
    line?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn what_happens_to_a_task_can_be_read_from_the_measures() {
    let mut api = Api::start(&[]);
    for _ in 0..3 {
        let id = api.submit(r#"{"taskName":"m","taskType":"NOOP","priority":"HIGH"}"#);
        api.wait_for(id, "COMPLETED");
    }
    let body = r#"{"taskName":"m","taskType":"FAIL","retryDelayMs":0,"maxRetryAttempts":1,
        "payload":{"times":2}}"#;
    let id = api.submit(body);
    api.wait_for(id, "FAILED");
    let rows = [
        (r#"taskscheduler_tasks_submitted_total{band="HIGH",type="NOOP"}"#, 3.0),
        (r#"taskscheduler_tasks_started_total{band="HIGH",type="NOOP"}"#, 3.0),
        (r#"taskscheduler_tasks_finished_total{outcome="completed",band="HIGH",type="NOOP"}"#, 3.0),
        (r#"taskscheduler_tasks_finished_total{outcome="failed",band="MEDIUM",type="FAIL"}"#, 1.0),
        (r#"taskscheduler_tasks_started_total{band="MEDIUM",type="FAIL"}"#, 2.0),
        (r#"taskscheduler_tasks_retried_total{outcome="error",band="MEDIUM",type="FAIL"}"#, 1.0),
        (r#"taskscheduler_task_run_seconds_count{band="HIGH"}"#, 3.0),
        (r#"taskscheduler_task_end_to_end_seconds_bucket{band="HIGH",le="60"}"#, 3.0),
        ("taskscheduler_store_up", 1.0),
        ("taskscheduler_serving", 1.0),
    ];
    // The writer shows its books a few times a second.
    let text = api.until(|api| {
        let text = api.get("/actuator/prometheus").body;
        rows.iter().all(|(row, wanted)| value(&text, row) == Some(*wanted)).then_some(text)
    });
    let text = text.unwrap_or_else(|| panic!("{}", api.get("/metrics").body));
    let posted = concat!(
        r#"http_server_requests_seconds_count{method="POST",uri="/api/v1/tasks","#,
        r#"status="201",outcome="SUCCESS"}"#
    );
    assert_eq!(value(&text, posted), Some(4.0));
    for name in ["process_open_fds", "process_resident_memory_bytes", "taskscheduler_cores"] {
        assert!(value(&text, name).is_some_and(|value| value > 0.0), "{name}");
    }
    assert!(value(&text, r#"taskscheduler_core_executed_total{core="0"}"#) >= Some(5.0));
    let told = api.get("/actuator/metrics/http.server.requests?tag=status:201").json();
    assert_eq!(told["measurements"][0], json!({"statistic": "COUNT", "value": 4}));
    assert_eq!(api.get("/actuator/metrics/nothing.such").code, 404);
    assert_eq!(api.get("/actuator/metrics/http.server.requests?tag=x").code, 400);
}

#[test]
fn an_endless_number_of_types_makes_no_endless_number_of_rows() {
    let mut api = Api::start(&[]);
    let items: Vec<_> =
        (0..300).map(|n| json!({"taskName": "t", "taskType": format!("T{n}")})).collect();
    assert_eq!(api.post("/api/v1/tasks/batch", &json!(items).to_string()).code, 201);
    let other = r#"taskscheduler_tasks_submitted_total{band="MEDIUM",type="other"}"#;
    let text = api.until(|api| {
        let text = api.get("/metrics").body;
        value(&text, other).is_some().then_some(text)
    });
    let text = text.expect("other types");
    assert_eq!(value(&text, other), Some(200.0));
    let rows = text.lines().filter(|l| l.starts_with("taskscheduler_tasks_submitted_total{"));
    assert_eq!(rows.count(), 101);
}

#[test]
fn the_operators_paths_have_the_shapes_of_boot() {
    let mut api = Api::shared();
    let links = api.get("/actuator").json();
    assert_eq!(links["_links"]["self"], json!({"href": "/actuator", "templated": false}));
    assert_eq!(links["_links"]["health-path"]["templated"], true);
    let about = api.get("/actuator/info").json();
    assert_eq!(about["build"]["version"], env!("CARGO_PKG_VERSION"));
    let names = api.get("/actuator/metrics").json();
    let names = names["names"].as_array().unwrap();
    assert!(names.iter().any(|name| name == "http_server_requests_seconds"), "{names:?}");
    let samples = api.get("/metrics");
    assert_eq!(samples.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[test]
fn what_is_logged_changes_while_the_server_runs() {
    let mut api = Api::start(&[]);
    let part = "/actuator/loggers/taskscheduler.api";
    let before = api.get(part).json();
    assert_eq!(before, json!({"effectiveLevel": "INFO"}));
    assert_eq!(api.post(part, r#"{"configuredLevel":"debug"}"#).code, 204);
    let all = api.get("/actuator/loggers").json();
    let own = json!({"configuredLevel": "DEBUG", "effectiveLevel": "DEBUG"});
    assert_eq!(all["loggers"]["taskscheduler::api"], own);
    assert_eq!(all["loggers"]["taskscheduler::engine"], json!({"effectiveLevel": "INFO"}));
    let heads = [("X-Request-Id", "seen-in-the-log")];
    assert_eq!(api.send("GET", "/api/v1/tasks?status=FAILED", &heads, "").code, 200);
    let line = api.until(|api| {
        let log = api.server.output();
        log.lines().find(|line| line.contains("seen-in-the-log")).map(str::to_owned)
    });
    let line = line.expect("a line of this request");
    assert!(line.contains("GET /api/v1/tasks ") && line.contains("status=200"), "{line}");
    assert_eq!(api.post(part, r#"{"configuredLevel":null}"#).code, 204);
    assert_eq!(api.get(part).json(), json!({"effectiveLevel": "INFO"}));
    for bad in [r#"{"configuredLevel":"LOUD"}"#, r#"{"level":"INFO"}"#, "[]", ""] {
        assert_eq!(api.post(part, bad).code, 400, "{bad}");
    }
    assert_eq!(api.post("/actuator/loggers/a%20b", "{}").code, 400);
}

#[test]
fn long_answers_are_packed_for_those_who_ask() {
    let mut api = Api::shared();
    let plain = api.get("/metrics");
    assert_eq!(
        (plain.header("Content-Encoding"), plain.header("Vary")),
        (None, Some("Accept-Encoding"))
    );
    let packed = api.send("GET", "/metrics", &[("Accept-Encoding", "gzip")], "");
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert_eq!(packed.packed[..2], [0x1f, 0x8b]);
    assert!(packed.packed.len() * 3 < plain.body.len());
    let body = r#"{"taskName":"p","taskType":"NOOP"}"#;
    let heads = [("Content-Type", "application/json"), ("Accept-Encoding", "gzip")];
    assert_eq!(api.send("POST", "/api/v1/tasks", &heads, body).header("Content-Encoding"), None);
}

#[test]
fn the_document_and_its_page_are_served_and_need_nothing_else() {
    let mut api = Api::shared();
    let told = api.get("/openapi.json");
    assert_eq!((told.code, told.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(told.json()["openapi"], "3.1.0");
    let page = api.get("/docs");
    let policy = page.header("Content-Security-Policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    for file in ["/ui/docs.js", "/ui/docs.css"] {
        assert!(page.body.contains(file) && api.get(file).code == 200, "{file}");
    }
}
