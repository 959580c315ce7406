//! How a task looks on the wire in both modes of compatibility.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::api::settings::{ApiSettings, Compatibility, parse_pool};
use crate::clock::ManualClock;
use crate::domain::{Band, Epoch, FailureKind, RetryPolicy, Run, Spec, State, Suspicion, TaskId};

const CREATED: TimeMs = TimeMs(1_737_369_000_007);

fn settings(compatibility: Compatibility) -> ApiSettings {
    let executor_of = Arc::new(|name: &str| (name == "NOOP").then_some("builtin"));
    let pool = Arc::new(parse_pool(&[]).unwrap());
    let settings = ApiSettings::new(executor_of, pool, ManualClock::at(CREATED));
    ApiSettings { compatibility, ..settings }
}

fn task(status: Status) -> Task {
    Task {
        id: TaskId::new(7).unwrap(),
        spec: Arc::new(Spec {
            name: "n\"".into(),
            task_type: "NOOP".into(),
            band: Band::High,
            payload: Some(Payload::json("{ \"a\":1.0 }")),
            description: None,
            scheduled_for: None,
            timeout_s: 300,
            retry: RetryPolicy::default(),
            tags: None,
            unique_key: None,
            created_at: CREATED,
        }),
        state: State {
            status,
            epoch: Epoch(1),
            retries: 0,
            version: 2,
            updated_at: CREATED,
            ready_at: CREATED,
            run: None,
            last_error: None,
            result: None,
            completed_at: None,
            leased_until: None,
            worker: None,
            progress: None,
            cancel_requested: false,
            suspicion: Suspicion::None,
        },
    }
}

fn text(task: &Task, compatibility: Compatibility, payloads: bool, waits: Option<bool>) -> String {
    let settings = settings(compatibility);
    let mut json = Json::default();
    write(&mut json, task, &View { settings: &settings, node: "n1", payloads }, waits);
    String::from_utf8(json.into_bytes()).unwrap()
}

fn told(task: &Task) -> Value {
    serde_json::from_str(&text(task, Compatibility::Own, true, None)).unwrap()
}

#[test]
fn a_new_task_says_what_is_known_and_leaves_out_the_rest() {
    assert_eq!(
        text(&task(Status::Queued), Compatibility::Own, true, None),
        concat!(
            r#"{"id":7,"taskName":"n\"","taskType":"NOOP","priority":"HIGH","status":"QUEUED","#,
            r#""payload":{ "a":1.0 },"executionTimeoutSeconds":300,"maxRetryAttempts":3,"#,
            r#""currentRetryCount":0,"createdAt":"2025-01-20T10:30:00.007Z","#,
            r#""updatedAt":"2025-01-20T10:30:00.007Z","version":2,"completed":false,"#,
            r#""running":false,"completionPercentage":0,"epoch":1,"executor":"builtin","#,
            r#""cancelRequested":false}"#
        )
    );
}

#[test]
fn in_java_mode_absent_values_are_null_and_times_have_no_zone() {
    assert_eq!(
        text(&task(Status::Queued), Compatibility::Java, false, None),
        concat!(
            r#"{"id":7,"taskName":"n\"","taskType":"NOOP","priority":"HIGH","status":"QUEUED","#,
            r#""payload":null,"description":null,"scheduledTime":null,"nextExecutionTime":null,"#,
            r#""executionTimeoutSeconds":300,"maxRetryAttempts":3,"currentRetryCount":0,"#,
            r#""lastErrorMessage":null,"lastExecutedAt":null,"executionDurationMs":null,"#,
            r#""createdAt":"2025-01-20T10:30:00","updatedAt":"2025-01-20T10:30:00","version":2,"#,
            r#""completed":false,"running":false,"completionPercentage":0,"completedAt":null,"#,
            r#""result":null,"attempt":null,"epoch":1,"node":null,"worker":null,"#,
            r#""executor":"builtin","#,
            r#""waitingFor":null,"cancelRequested":false,"tags":null,"uniqueKey":null}"#
        )
    );
}

#[test]
fn an_ended_task_tells_how_it_went() {
    let mut task = task(Status::Failed);
    task.state.run = Some(Run { started_at: CREATED, took_us: 12_900, waited_us: 0 });
    task.state.retries = 3;
    task.state.last_error = Some((FailureKind::Error, "boom".into()));
    task.state.completed_at = Some(CREATED);
    task.state.result = Some(Payload::text("r"));
    let told = told(&task);
    assert_eq!(told["executionDurationMs"], 12);
    assert_eq!(told["lastErrorMessage"], "boom");
    assert_eq!((&told["attempt"], &told["currentRetryCount"]), (&json!(4), &json!(3)));
    assert_eq!((&told["result"], &told["completed"]), (&json!("r"), &json!(false)));
    task.state.status = Status::Completed;
    assert_eq!(self::told(&task)["completionPercentage"], 100);
}

#[test]
fn a_running_task_names_its_node_and_has_no_duration_yet() {
    let mut task = task(Status::Running { epoch: Epoch(1) });
    task.state.run = Some(Run { started_at: CREATED, took_us: 0, waited_us: 0 });
    let told = told(&task);
    assert_eq!((&told["node"], &told["completionPercentage"]), (&json!("n1"), &json!(50)));
    assert_eq!((&told["attempt"], &told["executionDurationMs"]), (&json!(1), &Value::Null));
}

#[test]
fn a_task_nobody_can_start_says_so_while_it_waits() {
    let waiting = |status, waits| {
        let text = text(&task(status), Compatibility::Own, false, waits);
        text.contains(r#""waitingFor":"worker""#)
    };
    assert!(waiting(Status::Queued, Some(true)));
    assert!(!waiting(Status::Queued, None));
    assert!(!waiting(Status::Completed, Some(true)));
}
