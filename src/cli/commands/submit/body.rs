//! The body of a submit, from the arguments.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::cli::args::SubmitArgs;
use crate::cli::exit::{Exit, Failure};
use crate::domain::TimeMs;

/// No server takes a longer payload.
const PAYLOAD_BYTES_MAX: u64 = 1024 * 1024;

/// The fields as they go over the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    task_name: &'a str,
    task_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_retry_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<&'a str>,
}

/// The body; `now` is what a relative time counts from.
pub fn body(args: &SubmitArgs, now: TimeMs) -> Result<Vec<u8>, Failure> {
    let task_type = args.task_type.as_deref().unwrap_or_default();
    let timeout = args.execution_timeout.map(whole_seconds).transpose()?;
    let after = args.after.map(|after| after_now(now, after)).transpose()?;
    let body = Body {
        task_name: args.name.as_deref().unwrap_or(task_type),
        task_type,
        priority: args.priority.as_deref(),
        payload: args.payload.as_deref().map(payload).transpose()?,
        description: args.description.as_deref(),
        scheduled_time: args.at.clone().or(after),
        execution_timeout_seconds: timeout,
        max_retry_attempts: args.retries,
        unique_key: args.unique_key.as_deref(),
    };
    serde_json::to_vec(&body).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn whole_seconds(duration: Duration) -> Result<u64, Failure> {
    if duration.subsec_nanos() == 0 {
        return Ok(duration.as_secs());
    }
    Err(Failure::new(Exit::Usage, "--execution-timeout must be whole seconds"))
}

fn after_now(now: TimeMs, after: Duration) -> Result<String, Failure> {
    let then = now.plus_ms(after.as_millis() as u64);
    let time = jiff::Timestamp::from_millisecond(then.0);
    let time = time.map_err(|_| Failure::new(Exit::Usage, "--in is too far away"))?;
    Ok(time.to_string())
}

/// The payload as JSON, byte for byte as it was given; what is no JSON becomes a string.
fn payload(given: &str) -> Result<Box<RawValue>, Failure> {
    let text = match given.strip_prefix('@') {
        _ if given == "-" => read(io::stdin().lock(), "standard input")?,
        Some(path) => {
            let file = File::open(path)
                .map_err(|error| Failure::new(Exit::Usage, format!("{path}: {error}")))?;
            read(file, path)?
        }
        None => given.to_owned(),
    };
    match serde_json::from_str::<Box<RawValue>>(&text) {
        Ok(json) => Ok(json),
        Err(_) => {
            to_raw_value(&text).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
        }
    }
}

fn read(from: impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let wrong = |why: String| Failure::new(Exit::Usage, format!("{name}: {why}"));
    let read = from.take(PAYLOAD_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > PAYLOAD_BYTES_MAX {
        return Err(wrong("a payload is at most 1 MiB".into()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_as_it_is_and_other_text_becomes_a_string() {
        let sent = |text| payload(text).unwrap().get().to_owned();
        assert_eq!(sent("{\"n\": 12345678901234567890123}"), "{\"n\": 12345678901234567890123}");
        assert_eq!(sent("\"text\""), "\"text\"");
        assert_eq!(sent("plain \"text\""), "\"plain \\\"text\\\"\"");
    }

    #[test]
    fn a_relative_time_counts_from_now() {
        let time = after_now(TimeMs(1_000), Duration::from_mins(5)).unwrap();
        assert_eq!(time, "1970-01-01T00:05:01Z");
    }
}
