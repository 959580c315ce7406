//! Who may do what, and that no output shows a token or a body.

use super::{Api, assert_problem};

const READS: &str = "canary-reads-7f3a9c";
const READS_NEW: &str = "canary-reads-again-51";
const SUBMITS: &str = "canary-submits-0b77";
const RULES: &str = "canary-rules-93d1ee";

fn guarded() -> Api {
    let tokens =
        format!("old:read:{READS},new:read:{READS_NEW},ci:submit:{SUBMITS},ops:admin:{RULES}");
    Api::start(&[
        ("TASK_SCHEDULER_API_TOKENS", &tokens),
        ("TASK_SCHEDULER_LOG_LEVEL", "trace"),
        ("TASK_SCHEDULER_API_CORS_ORIGINS", "https://pages.example"),
    ])
}

const TASK: &str = r#"{"taskName":"t","taskType":"ECHO","payload":"canary-payload-44"}"#;

#[test]
fn each_request_needs_its_scope_and_nothing_shows_a_token_or_a_body() {
    let mut api = guarded();
    let table = [
        ("GET", "/api/v1/tasks", "", [200, 401, 403, 200]),
        ("GET", "/api/v1/tasks/1", "", [404, 401, 403, 404]),
        ("GET", "/api/v1/tasks/statistics", "", [200, 401, 403, 200]),
        ("GET", "/metrics", "", [200, 401, 403, 200]),
        ("GET", "/actuator/metrics", "", [200, 401, 403, 200]),
        ("GET", "/actuator/health/detailed", "", [200, 401, 403, 200]),
        ("GET", "/actuator/loggers", "", [200, 401, 403, 200]),
        ("GET", "/nothing/here", "", [404, 401, 403, 404]),
        ("POST", "/api/v1/tasks/999/cancel", "", [403, 401, 404, 404]),
        ("POST", "/api/v1/tasks/999/retry", "", [403, 401, 404, 404]),
        ("POST", "/api/v1/tasks", TASK, [403, 401, 201, 201]),
        ("PUT", "/api/v1/tasks/999/status?status=QUEUED", "", [403, 401, 403, 404]),
        ("DELETE", "/api/v1/tasks/cleanup", "", [403, 401, 403, 400]),
        ("POST", "/actuator/loggers/ROOT", r#"{"configuredLevel":"TRACE"}"#, [403, 401, 403, 204]),
        ("GET", "/actuator/health", "", [200; 4]),
        ("GET", "/actuator/health/liveness", "", [200; 4]),
        ("GET", "/actuator/health/readiness", "", [200; 4]),
        ("GET", "/api/v1/tasks/health", "", [200; 4]),
        ("GET", "/actuator", "", [200; 4]),
        ("GET", "/", "", [200; 4]),
    ];
    let mut shown = String::new();
    for (method, path, body, codes) in table {
        shown.push_str(&api.server.output());
        for (token, code) in [READS, "canary-of-nobody", SUBMITS, RULES].into_iter().zip(codes) {
            let bearer = format!("Bearer {token}");
            let heads = [("Authorization", &*bearer), ("Content-Type", "application/json")];
            let answer = api.send(method, path, &heads, body);
            assert_eq!(answer.code, code, "{method} {path} with {token}: {}", answer.body);
            shown.push_str(&answer.body);
            shown.extend(answer.head.into_iter().map(|(_, value)| value));
        }
    }
    for token in [READS_NEW, RULES] {
        let bearer = format!("Bearer {token}");
        assert_eq!(api.send("GET", "/metrics", &[("Authorization", &bearer)], "").code, 200);
    }
    assert!(shown.contains("GET /api/v1/tasks/statistics"), "the log says what was asked");
    let kept: Vec<_> = shown.match_indices("canary").map(|(at, _)| &shown[at..at + 25]).collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn whoever_is_refused_is_told_what_is_wanted() {
    let mut api = guarded();
    let answer = api.get("/api/v1/tasks");
    assert_problem(&answer, 401, "token-missing");
    assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer realm=\"taskscheduler\""));
    let bearer = format!("bearer {READS}");
    let answer = api.send("POST", "/api/v1/tasks", &[("Authorization", &bearer)], TASK);
    assert_problem(&answer, 403, "token-not-sufficient");
    let told = answer.header("WWW-Authenticate").unwrap();
    assert!(told.contains("error=\"insufficient_scope\", scope=\"submit\""), "{told}");
}

#[test]
fn a_page_of_a_named_origin_may_call_and_is_never_sent_credentials() {
    let mut api = guarded();
    let asks = [
        ("Origin", "https://pages.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let answer = api.send("OPTIONS", "/api/v1/tasks", &asks, "");
    assert_eq!(answer.code, 204);
    let head = |name| answer.header(name);
    assert_eq!(head("Access-Control-Allow-Origin"), Some("https://pages.example"));
    assert_eq!(head("Access-Control-Allow-Methods"), Some("GET, HEAD, POST, OPTIONS"));
    assert!(head("Access-Control-Allow-Headers").unwrap().contains("Authorization"));
    assert_eq!(head("Access-Control-Allow-Credentials"), None);
    assert!(head("Vary").is_some());
    let refused = api.get("/api/v1/tasks");
    assert_eq!(refused.header("Access-Control-Allow-Origin"), None);
    let heads = [("Origin", "https://pages.example")];
    let refused = api.send("GET", "/api/v1/tasks", &heads, "");
    assert_eq!(refused.code, 401);
    assert_eq!(refused.header("Access-Control-Allow-Origin"), Some("https://pages.example"));
    let stranger = api.send("OPTIONS", "/api/v1/tasks", &[("Origin", "https://evil.example")], "");
    assert_eq!(stranger.header("Access-Control-Allow-Origin"), None);
}

#[test]
fn a_local_server_without_tokens_is_out_of_reach_for_pages_of_others() {
    let mut api = Api::shared();
    let address = api.server.address;
    let json = ("Content-Type", "application/json");
    let own = format!("http://{address}");
    let evil = ("Origin", "http://evil.example");
    let code = |api: &mut Api, heads: &[(&str, &str)]| {
        api.send("POST", "/api/v1/tasks", heads, r#"{"taskName":"t","taskType":"NOOP"}"#).code
    };
    assert_eq!(code(&mut api, &[json]), 201);
    assert_eq!(code(&mut api, &[json, ("Origin", &own)]), 201);
    assert_eq!(code(&mut api, &[json, ("Origin", "x"), ("Sec-Fetch-Site", "same-origin")]), 201);
    assert_eq!(code(&mut api, &[json, evil]), 403);
    assert_eq!(code(&mut api, &[json, evil, ("Sec-Fetch-Site", "cross-site")]), 403);
    let refused = api.send("POST", "/api/v1/tasks/1/cancel", &[evil], "");
    assert_problem(&refused, 403, "origin-not-allowed");
    // A name that leads to 127.0.0.1 and is not ours.
    let rebound = api.send("GET", "/api/v1/tasks", &[("Host", "evil.example:8080")], "");
    assert_problem(&rebound, 403, "host-not-allowed");
    let name = format!("localhost:{}", address.port());
    let called = api.send("GET", "/api/v1/tasks", &[("Host", &name)], "");
    assert_eq!(called.code, 200);
}

#[test]
fn every_answer_has_the_heads_that_keep_browsers_from_mischief() {
    let mut api = Api::shared();
    for path in ["/", "/api/v1/tasks", "/api/v1/tasks/abc", "/metrics", "/nothing"] {
        let answer = api.get(path);
        let head = |name| answer.header(name).unwrap_or_else(|| panic!("{path} lacks {name}"));
        assert_eq!(head("X-Content-Type-Options"), "nosniff");
        assert_eq!(head("X-Frame-Options"), "DENY");
        assert_eq!(head("Referrer-Policy"), "no-referrer");
        assert!(head("Content-Security-Policy").contains("default-src 'none'"), "{path}");
        assert!(head("Cache-Control").starts_with("no-"), "{path}");
        assert!(!head("X-Request-Id").is_empty());
    }
}
