//! What can be submitted, and the documented answer to everything that cannot.

use proptest::prelude::*;

use super::*;
use crate::domain::{Band, Form, Spec, TimeMs};

fn rules(limits: &Limits, compatibility: Compatibility) -> Rules<'_> {
    Rules { limits, compatibility, batch_tasks_max: 300 }
}

fn read(body: &str) -> Result<Submission, Problem> {
    one(body.as_bytes(), rules(&Limits::default(), Compatibility::Own))
}

fn read_many(body: &str, framing: Framing) -> Result<Vec<Submission>, Problem> {
    many(body.as_bytes(), framing, rules(&Limits::default(), Compatibility::Own))
}

fn spec(submission: Submission) -> Spec {
    let task_type = submission.task_type().into();
    submission.into_spec(task_type, TimeMs(0))
}

/// Status and the places of what is wrong, as `index:field`.
fn wrong<T: std::fmt::Debug>(read: Result<T, Problem>) -> (u16, Vec<String>) {
    let problem = read.unwrap_err();
    let place = |fault: &Fault| match fault.index {
        Some(index) => format!("{index}:{}", fault.field),
        None => fault.field.to_string(),
    };
    (problem.kind.status, problem.faults.iter().map(place).collect())
}

const GOOD: &str = r#"{"taskName":"n","taskType":"NOOP"}"#;

#[test]
fn every_field_is_read() {
    let spec = spec(
        read(
            r#" { "taskName": "n\u00e4", "taskType": "T", "priority": "high", "payload": "a\nb",
            "description": "d", "scheduledTime": "2030-01-01T00:00:00Z",
            "executionTimeoutSeconds": 7, "maxRetryAttempts": 0, "retryDelayMs": 10,
            "retryBackoffMultiplier": 1.5, "tags": {"k": "v\"", "l" : "w"}, "uniqueKey": "u" } "#,
        )
        .unwrap(),
    );
    assert_eq!((&*spec.name, &*spec.task_type, spec.band), ("nä", "T", Band::High));
    assert_eq!(spec.payload, Some(Payload::text("a\nb")));
    assert_eq!(spec.scheduled_for, Some(TimeMs(1_893_456_000_000)));
    assert_eq!((spec.timeout_s, spec.retry.retries_max, spec.retry.delay_ms), (7, 0, 10));
    assert_eq!(spec.tags.as_deref(), Some(r#"{"k":"v\"","l":"w"}"#));
    assert_eq!((spec.description.as_deref(), spec.unique_key.as_deref()), (Some("d"), Some("u")));
}

#[test]
fn null_means_absent_for_every_field() {
    let nulls: Vec<String> = FIELDS[2..].iter().map(|field| format!("\"{field}\":null")).collect();
    let body = format!(r#"{{"taskName":"n","taskType":"NOOP",{}}}"#, nulls.join(","));
    assert_eq!(read(&body).unwrap(), read(GOOD).unwrap());
    assert_eq!(
        wrong(read(r#"{"taskName":null}"#)),
        (400, vec!["taskName".into(), "taskType".into()])
    );
}

#[test]
fn a_payload_is_kept_byte_for_byte() {
    for json in ["{ \"b\" : 1.00, \"a\":[1e400] }", "12345678901234567890123", "[]", "false"] {
        let body = format!(r#"{{"taskName":"n","taskType":"T","payload": {json} }}"#);
        let payload = spec(read(&body).unwrap()).payload.unwrap();
        assert_eq!((payload.form, &*payload.bytes), (Form::Json, json));
    }
}

#[test]
fn bad_tasks_get_their_documented_answer() {
    let with = |more: &str| format!(r#"{{"taskName":"n","taskType":"T",{more}}}"#);
    let table = [
        (String::new(), 400, vec![]),
        ("{".into(), 400, vec![]),
        (format!("{GOOD} x"), 400, vec![]),
        (format!("{GOOD}{GOOD}"), 400, vec![]),
        ("[]".into(), 400, vec![""]),
        ("null".into(), 400, vec![""]),
        ("{}".into(), 400, vec!["taskName", "taskType"]),
        (with(r#""priority":"URGENT""#), 400, vec!["priority"]),
        (with(r#""priority":1"#), 400, vec!["priority"]),
        (with(r#""taskName":"m""#), 400, vec!["taskName"]),
        (with(r#""maxRetryAttempts":1.5"#), 400, vec!["maxRetryAttempts"]),
        (with(r#""maxRetryAttempts":1e0"#), 400, vec!["maxRetryAttempts"]),
        (with(r#""maxRetryAttempts":"1""#), 400, vec!["maxRetryAttempts"]),
        (with(r#""maxRetryAttempts":99999999999999999999"#), 400, vec!["maxRetryAttempts"]),
        (with(r#""executionTimeoutSeconds":-1"#), 400, vec!["executionTimeoutSeconds"]),
        (with(r#""retryBackoffMultiplier":1e999"#), 400, vec!["retryBackoffMultiplier"]),
        (with(r#""scheduledTime":"tomorrow""#), 400, vec!["scheduledTime"]),
        (with(r#""scheduledTime":0"#), 400, vec!["scheduledTime"]),
        (with(r#""tags":{"a":1}"#), 400, vec!["tags"]),
        (with(r#""tags":["a"]"#), 400, vec!["tags"]),
        (with(r#""tags":{"a":"1","a":"2"}"#), 400, vec!["tags"]),
        (with(r#""description":"\u0000""#), 400, vec!["description"]),
        (with(r#""task_name":"x""#), 400, vec!["task_name"]),
        (with(r#""payload":"\ud800""#), 400, vec![]),
        (with(&format!(r#""payload":"{}""#, "x".repeat(65_537))), 413, vec!["payload"]),
        (with(&format!(r#""payload":{}1{}"#, "[".repeat(128), "]".repeat(128))), 400, vec![]),
        (
            r#"{"taskName":1,"taskType":" ","retryDelayMs":true,"colour":"red"}"#.into(),
            400,
            vec!["taskName", "retryDelayMs", "colour", "taskType"],
        ),
    ];
    for (body, status, fields) in table {
        let fields = fields.into_iter().map(String::from).collect();
        assert_eq!(wrong(read(&body)), (status, fields), "{body:.100}");
    }
    let not_utf8 = one(b"{\"taskName\":\"\xff\"}", rules(&Limits::default(), Compatibility::Own));
    assert_eq!(wrong(not_utf8), (400, vec![]));
}

#[test]
fn an_unknown_field_is_told_its_nearest_name_and_passed_over_in_java_mode() {
    let body = r#"{"taskName":"n","taskType":"NOOP","prioritty":"HIGH"}"#;
    let problem = read(body).unwrap_err();
    assert!(problem.faults[0].message.ends_with("did you mean priority?"), "{problem:?}");
    let java = one(body.as_bytes(), rules(&Limits::default(), Compatibility::Java));
    assert_eq!(java, read(GOOD));
}

#[test]
fn a_batch_is_an_array_or_one_task_a_line() {
    let array = format!(" [ {GOOD} ,\n{GOOD}]");
    assert_eq!(read_many(&array, Framing::Array).map(|items| items.len()), Ok(2));
    let lines = format!("{GOOD}\r\n\n  {GOOD}\n");
    assert_eq!(read_many(&lines, Framing::Lines).map(|items| items.len()), Ok(2));
    assert_eq!(read_many("[]", Framing::Array), Ok(vec![]));
    assert_eq!(read_many("", Framing::Lines), Ok(vec![]));
}

#[test]
fn one_bad_item_refuses_the_batch_and_all_bad_items_are_named() {
    let batch = format!(r#"[{GOOD}, {{"taskName":"n"}}, {GOOD}, 7]"#);
    let places = vec!["1:taskType".to_string(), "3:".into()];
    assert_eq!(wrong(read_many(&batch, Framing::Array)), (400, places));
    let lines = format!("{GOOD}\n{{\n{GOOD} x");
    let places = vec!["1:".to_string(), "2:".into()];
    assert_eq!(wrong(read_many(&lines, Framing::Lines)), (400, places));
    assert_eq!(wrong(read_many(GOOD, Framing::Array)).0, 400);
    assert_eq!(wrong(read_many(&format!("[{GOOD},]"), Framing::Array)).0, 400);
}

#[test]
fn a_batch_beyond_the_limit_is_413_and_the_largest_is_read_in_order() {
    let item = |n: usize| format!(r#"{{"taskName":"n{n}","taskType":"T"}}"#);
    let batch = |count: usize| format!("[{}]", (0..count).map(item).collect::<Vec<_>>().join(","));
    assert_eq!(wrong(read_many(&batch(301), Framing::Array)), (413, vec![]));
    let lines = batch(301).replace("},{", "}\n{").replace(['[', ']'], "");
    assert_eq!(wrong(read_many(&lines, Framing::Lines)), (413, vec![]));
    let read = read_many(&batch(300), Framing::Array).unwrap();
    let names: Vec<_> = read.into_iter().map(|item| spec(item).name.to_string()).collect();
    assert_eq!(names, (0..300).map(|n| format!("n{n}")).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn no_body_upsets_the_reader(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let limits = Limits::default();
        for compatibility in [Compatibility::Own, Compatibility::Java] {
            let rules = rules(&limits, compatibility);
            let _ = one(&body, rules);
            let _ = many(&body, Framing::Array, rules);
            let _ = many(&body, Framing::Lines, rules);
        }
    }

    #[test]
    fn no_value_of_any_field_upsets_it_or_is_refused_without_a_reason(
        field in prop::sample::select(FIELDS.to_vec()),
        value in prop::sample::select(vec![
            "null", "true", "-1", "0", "1.5", "1e99", "-99999999999999999999", "\"\"", "\" \"",
            "\"HIGH\"", "\"\\u0000\"", "\"2025-01-20T10:30:00\"", "{}", "[]", "[{}]",
            "{\"a\":\"b\"}", "{\"a\":null}", "tru", "\"",
        ]),
    ) {
        let body = format!(r#"{{"{field}":{value},"taskName":"n","taskType":"T"}}"#);
        if let Err(problem) = read(&body) {
            prop_assert!(problem.kind.status == 400);
            prop_assert!(!problem.detail.is_empty());
        }
    }
}
