//! What a client asks for, before and after it is checked.

use std::sync::Arc;

use super::{Band, Payload, RetryPolicy, Spec, TimeMs};

/// What a submission may be at most; set by configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Longest payload, in bytes.
    pub payload_bytes_max: usize,
    /// Longest `executionTimeoutSeconds`.
    pub timeout_s_max: u32,
    /// Most `maxRetryAttempts`.
    pub retries_max: u32,
    /// What a task gets that names no timeout, in seconds.
    pub timeout_s_default: u32,
    /// What a task gets that says nothing of retries.
    pub retry_default: RetryPolicy,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            payload_bytes_max: 64 * 1024,
            timeout_s_max: 3600,
            retries_max: 10,
            timeout_s_default: 300,
            retry_default: RetryPolicy::default(),
        }
    }
}

/// The fields of a request as they were sent, types right, rules unchecked.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields of the request, each under its own name")]
pub struct Draft {
    pub name: Option<String>,
    pub task_type: Option<String>,
    pub priority: Option<String>,
    pub payload: Option<Payload>,
    pub description: Option<String>,
    pub scheduled_for: Option<TimeMs>,
    pub timeout_s: Option<i64>,
    pub retries_max: Option<i64>,
    pub retry_delay_ms: Option<i64>,
    pub retry_multiplier: Option<f64>,
    pub tags: Option<Vec<(String, String)>>,
    /// The tags as JSON, kept beside their parsed form.
    pub tags_json: Option<String>,
    pub unique_key: Option<String>,
}

/// One thing wrong with one field, told to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name on the wire.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// A checked request: whoever holds one may store it.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    name: Box<str>,
    task_type: Box<str>,
    band: Band,
    payload: Option<Payload>,
    description: Option<Box<str>>,
    scheduled_for: Option<TimeMs>,
    timeout_s: u32,
    retry: RetryPolicy,
    tags: Option<Box<str>>,
    unique_key: Option<Box<str>>,
}

impl Submission {
    /// The longest `taskType`, in characters.
    pub const TYPE_CHARS_MAX: usize = 100;

    /// The type asked for.
    pub fn task_type(&self) -> &str {
        &self.task_type
    }

    /// The band asked for.
    pub fn band(&self) -> Band {
        self.band
    }

    /// The time asked for.
    pub fn scheduled_for(&self) -> Option<TimeMs> {
        self.scheduled_for
    }

    /// The key that no other unfinished task may have.
    pub fn unique_key(&self) -> Option<&str> {
        self.unique_key.as_deref()
    }

    /// The task's unchanging part, accepted at `created_at`; `task_type` is the shared text equal
    /// to [`Submission::task_type`].
    pub fn into_spec(self, task_type: Arc<str>, created_at: TimeMs) -> Spec {
        debug_assert_eq!(*task_type, *self.task_type);
        Spec {
            name: self.name,
            task_type,
            band: self.band,
            payload: self.payload,
            description: self.description,
            scheduled_for: self.scheduled_for,
            timeout_s: self.timeout_s,
            retry: self.retry,
            tags: self.tags,
            unique_key: self.unique_key,
            created_at,
        }
    }
}

impl Draft {
    /// Checks every field and names everything that is wrong at once.
    pub fn check(self, limits: &Limits) -> Result<Submission, Vec<FieldError>> {
        let mut check = Check::default();
        let name = check.required("taskName", self.name, 255);
        let task_type = check.required("taskType", self.task_type, Submission::TYPE_CHARS_MAX);
        let band = match self.priority.as_deref().map(Band::parse) {
            None => Band::default(),
            Some(Ok(band)) => band,
            Some(Err(error)) => check.wrong("priority", error.to_string(), Band::default()),
        };
        if self.payload.as_ref().is_some_and(|p| p.len() > limits.payload_bytes_max) {
            let limit = format!("must be at most {} bytes", limits.payload_bytes_max);
            check.wrong("payload", limit, ());
        }
        let description = check.text("description", self.description, 500);
        let unique_key = check.text("uniqueKey", self.unique_key, 255);
        if unique_key.as_deref().is_some_and(|key| key.trim().is_empty()) {
            check.wrong("uniqueKey", "must not be blank".into(), ());
        }
        let timeout_s =
            check.range("executionTimeoutSeconds", self.timeout_s, 1, limits.timeout_s_max.into());
        let retries_max =
            check.range("maxRetryAttempts", self.retries_max, 0, limits.retries_max.into());
        let delay_max = RetryPolicy::DELAY_MAX_MS as i64;
        let delay_ms = check.range("retryDelayMs", self.retry_delay_ms, 0, delay_max);
        let multiplier = self.retry_multiplier;
        if multiplier.is_some_and(|m| !(1.0..=100.0).contains(&m)) {
            check.wrong("retryBackoffMultiplier", "must be from 1 to 100".into(), ());
        }
        check.tags(self.tags.as_deref().unwrap_or_default());
        if !check.errors.is_empty() {
            return Err(check.errors);
        }
        let default = limits.retry_default;
        Ok(Submission {
            name,
            task_type,
            band,
            payload: self.payload,
            description,
            scheduled_for: self.scheduled_for,
            timeout_s: timeout_s.map_or(limits.timeout_s_default, |s| s as u32),
            retry: RetryPolicy {
                retries_max: retries_max.map_or(default.retries_max, |n| n as u32),
                delay_ms: delay_ms.map_or(default.delay_ms, |n| n as u64),
                multiplier: multiplier.unwrap_or(default.multiplier),
            },
            tags: self.tags_json.map(String::into_boxed_str),
            unique_key,
        })
    }
}

/// Collects what is wrong.
#[derive(Default)]
struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    fn wrong<T>(&mut self, field: &'static str, message: String, instead: T) -> T {
        self.errors.push(FieldError { field, message });
        instead
    }

    fn required(&mut self, field: &'static str, text: Option<String>, max: usize) -> Box<str> {
        match self.text(field, text, max) {
            Some(text) if !text.trim().is_empty() => text,
            Some(_) => self.wrong(field, "must not be blank".into(), "".into()),
            None if self.errors.iter().any(|e| e.field == field) => "".into(),
            None => self.wrong(field, "is required".into(), "".into()),
        }
    }

    fn text(&mut self, field: &'static str, text: Option<String>, max: usize) -> Option<Box<str>> {
        let text = text?;
        // Bytes bound characters, so most texts are never counted.
        if text.len() > max && text.chars().count() > max {
            return self.wrong(field, format!("must be at most {max} characters"), None);
        }
        if text.contains('\0') {
            return self.wrong(field, "must not contain the character U+0000".into(), None);
        }
        Some(text.into_boxed_str())
    }

    fn range(&mut self, field: &'static str, n: Option<i64>, min: i64, max: i64) -> Option<i64> {
        let n = n?;
        if (min..=max).contains(&n) {
            return Some(n);
        }
        self.wrong(field, format!("must be from {min} to {max}"), None)
    }

    fn tags(&mut self, tags: &[(String, String)]) {
        if tags.len() > 16 {
            self.wrong("tags", "must have at most 16 entries".into(), ());
        }
        let long = tags.iter().any(|(key, value)| key.len() > 255 || value.len() > 255);
        if long {
            self.wrong("tags", "keys and values must be at most 255 bytes".into(), ());
        }
        if tags.iter().any(|(key, value)| key.contains('\0') || value.contains('\0')) {
            self.wrong("tags", "must not contain the character U+0000".into(), ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let (name, task_type) = (Some("a".into()), Some("NOOP".into()));
        Draft { name, task_type, ..Draft::default() }
    }

    fn wrong_fields(draft: Draft) -> Vec<&'static str> {
        let errors = draft.check(&Limits::default()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.field).collect()
    }

    #[test]
    fn a_name_and_a_type_are_enough() {
        let submission = draft().check(&Limits::default()).unwrap();
        let spec = submission.into_spec("NOOP".into(), TimeMs(5));
        assert_eq!((spec.band, spec.timeout_s), (Band::Medium, 300));
        assert_eq!(spec.retry, RetryPolicy::default());
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let bad = Draft {
            name: Some("  ".into()),
            task_type: None,
            priority: Some("URGENT".into()),
            payload: Some(Payload::text(&"x".repeat(70_000))),
            description: Some("d".repeat(501)),
            timeout_s: Some(0),
            retries_max: Some(11),
            retry_delay_ms: Some(-1),
            retry_multiplier: Some(0.5),
            tags: Some((0..17).map(|n| (n.to_string(), String::new())).collect()),
            unique_key: Some(" ".into()),
            ..Draft::default()
        };
        assert_eq!(
            wrong_fields(bad),
            [
                "taskName",
                "taskType",
                "priority",
                "payload",
                "description",
                "uniqueKey",
                "executionTimeoutSeconds",
                "maxRetryAttempts",
                "retryDelayMs",
                "retryBackoffMultiplier",
                "tags",
            ]
        );
    }

    #[test]
    fn lengths_count_characters_and_nul_is_refused() {
        assert!(wrong_fields(Draft { name: Some("ä".repeat(255)), ..draft() }).is_empty());
        assert_eq!(wrong_fields(Draft { name: Some("ä".repeat(256)), ..draft() }), ["taskName"]);
        assert_eq!(wrong_fields(Draft { name: Some("a\0".into()), ..draft() }), ["taskName"]);
    }
}
