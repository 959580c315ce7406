//! A task as the server shows it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::output::safe;

/// A task's fields, each kept as the JSON it came as, so that no number loses a digit.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Task(BTreeMap<String, Box<RawValue>>);

/// The fields in the order in which people want to read them.
const FIELDS: [&str; 30] = [
    "id",
    "taskName",
    "taskType",
    "status",
    "priority",
    "waitingFor",
    "cancelRequested",
    "attempt",
    "epoch",
    "node",
    "executor",
    "currentRetryCount",
    "maxRetryAttempts",
    "lastErrorMessage",
    "createdAt",
    "updatedAt",
    "scheduledTime",
    "nextExecutionTime",
    "lastExecutedAt",
    "completedAt",
    "executionDurationMs",
    "executionTimeoutSeconds",
    "completionPercentage",
    "uniqueKey",
    "tags",
    "version",
    "description",
    "message",
    "payload",
    "result",
];

impl Task {
    /// A field as text; `None` if it is absent or null.
    pub fn field(&self, name: &str) -> Option<String> {
        let raw = self.0.get(name)?.get();
        match serde_json::from_str::<Option<String>>(raw) {
            Ok(text) => text,
            Err(_) => Some(raw.to_owned()),
        }
    }

    /// The task's number, as text.
    pub fn id(&self) -> String {
        self.field("id").map_or_else(|| "?".into(), |id| safe(&id, 20))
    }

    /// The task's status.
    pub fn status(&self) -> String {
        self.field("status").map_or_else(|| "?".into(), |status| safe(&status, 20))
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.status().as_str(), "COMPLETED" | "FAILED" | "CANCELLED")
    }

    /// All fields that are there, in reading order, made safe for a terminal.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let shown = |name: &&'static str| Some((*name, safe(&self.field(name)?, 2000)));
        FIELDS.iter().filter_map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_text_without_losing_a_digit() {
        let body = r#"{"id":7,"status":"FAILED","payload":{"n":12345678901234567890123},
            "description":null,"taskName":"a\u001b[0m","unknown":1}"#;
        let task: Task = serde_json::from_str(body).unwrap();
        assert_eq!(
            (task.id(), task.status(), task.has_ended()),
            ("7".into(), "FAILED".into(), true)
        );
        let names: Vec<&str> = task.fields().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["id", "taskName", "status", "payload"]);
        assert_eq!(task.field("payload").unwrap(), r#"{"n":12345678901234567890123}"#);
        assert!(!task.fields()[1].1.contains('\x1b'));
    }
}
