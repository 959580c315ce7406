//! The builtin types, for trying the server and for load tests: they run inline on the core.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::{Failure, FailureKind, Outcome};
use crate::execution::{Attempt, Doing, Handler};

/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// All builtin types with their handlers.
pub fn all() -> [(&'static str, Box<dyn Handler>); 5] {
    [
        ("NOOP", Box::new(Noop)),
        ("ECHO", Box::new(Echo)),
        ("SLEEP", Box::new(Sleep)),
        ("FAIL", Box::new(Fail)),
        ("LOAD_TEST", Box::new(Noop)),
    ]
}

/// Does nothing, well.
struct Noop;

impl Handler for Noop {
    fn run(&self, _: &Attempt<'_>) -> Doing {
        Doing::Ended(Outcome::Done(None))
    }

    fn is_brief(&self) -> bool {
        true
    }
}

/// Gives its payload back as its result.
struct Echo;

impl Handler for Echo {
    fn run(&self, attempt: &Attempt<'_>) -> Doing {
        Doing::Ended(Outcome::Done(attempt.payload().cloned()))
    }

    fn is_brief(&self) -> bool {
        true
    }
}

/// `{"ms": n}`: is done after so many milliseconds. A timer, so it holds no core.
struct Sleep;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SleepPayload {
    ms: u64,
}

impl Handler for Sleep {
    fn run(&self, attempt: &Attempt<'_>) -> Doing {
        match read::<SleepPayload>(attempt, "SLEEP", r#"{"ms": 1000}"#) {
            Err(failure) => Doing::Ended(Outcome::Failed(failure)),
            Ok(SleepPayload { ms }) if Duration::from_millis(ms) > SLEEP_MAX => {
                let message = format!("SLEEP takes at most {} ms", SLEEP_MAX.as_millis());
                Doing::Ended(Outcome::Failed(permanent(&message)))
            }
            Ok(SleepPayload { ms }) => Doing::SleepFor(Duration::from_millis(ms)),
        }
    }

    fn is_brief(&self) -> bool {
        true
    }
}

/// `{"times": n}`: fails so many times, then is done.
struct Fail;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailPayload {
    times: u64,
}

impl Handler for Fail {
    fn run(&self, attempt: &Attempt<'_>) -> Doing {
        let result = read::<FailPayload>(attempt, "FAIL", r#"{"times": 2}"#);
        let number = u64::from(attempt.number());
        result
            .and_then(|FailPayload { times }| {
                let message = format!("attempt {number} of {times} that are meant to fail");
                let fails = number <= times;
                if fails { Err(Failure::new(FailureKind::Error, &message)) } else { Ok(()) }
            })
            .into()
    }

    fn is_brief(&self) -> bool {
        true
    }
}

/// The payload, which must be JSON of this shape.
fn read<T: DeserializeOwned>(
    attempt: &Attempt<'_>,
    task_type: &str,
    example: &str,
) -> Result<T, Failure> {
    let text = attempt.payload().map_or("", |payload| &payload.bytes);
    // A string that holds the JSON is as good as the JSON: some clients can only send strings.
    serde_json::from_str(text).map_err(|error| {
        permanent(&format!("the payload of {task_type} must look like {example}: {error}"))
    })
}

fn permanent(message: &str) -> Failure {
    Failure::new(FailureKind::Permanent, message)
}
