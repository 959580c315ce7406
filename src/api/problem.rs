//! What a client is told when it does not get what it asked for (RFC 9457, with the fields that
//! clients of Spring's error body read).
//!
//! Promise: every refusal of the engine and every fault of a request has one stable code here.
//! Absent on purpose: texts of panics, of SQL and of paths on disk.

use std::borrow::Cow;

use super::json::Json;
use super::reply::{Media, Reply, reason};
use super::time::{TimeStyle, write_time};
use crate::domain::TimeMs;
use crate::persistence::Refusal;
use crate::store::StoreError;

/// A kind of problem: its stable code, its HTTP status and its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// What programs tell problems apart by.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What people read first.
    pub title: &'static str,
}

macro_rules! kinds {
    ($($name:ident $status:literal $code:literal $title:literal)*) => {
        $(pub(crate) const $name: Kind =
            Kind { code: $code, status: $status, title: $title };)*
        /// Every kind there is.
        #[cfg(test)]
        pub(crate) const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    INVALID 400 "invalid-request" "The request is not valid"
    MALFORMED 400 "malformed-json" "The body is not JSON"
    WHO 401 "token-missing" "The server wants to know who asks"
    MAY_NOT 403 "token-not-sufficient" "The token is not good for this"
    HOST 403 "host-not-allowed" "The server does not go by this name"
    ORIGIN 403 "origin-not-allowed" "A page of another origin may not do this"
    NO_ROUTE 404 "no-such-path" "There is nothing at this path"
    NO_TASK 404 "task-not-found" "No task has this id"
    METHOD 405 "method-not-allowed" "This path does not know this method"
    ACCEPT 406 "not-acceptable" "The answer is JSON"
    ILLEGAL_MOVE 409 "illegal-move" "The task cannot take this step"
    UNIQUE_TAKEN 409 "unique-key-taken" "Another unfinished task has this unique key"
    KEY_IN_FLIGHT 409 "idempotency-key-in-flight" "The first request with this key is under way"
    TOO_LARGE 413 "too-large" "The request is too large"
    MEDIA 415 "unsupported-media-type" "The body must be JSON"
    KEY_REUSED 422 "idempotency-key-reused" "This key was used for another request"
    TOO_MANY_TYPES 422 "too-many-task-types" "No more task types are allowed"
    INTERNAL 500 "internal" "The server made a mistake"
    UNKNOWN 502 "outcome-unknown" "Whether the request took effect is not known"
    IN_DOUBT 504 "outcome-unknown" "Whether the request took effect is not known yet"
    BUSY 503 "busy" "The server is busy"
    STOPPING 503 "stopping" "The server is stopping"
    STORE_DOWN 503 "store-down" "The store does not answer"
    TOO_BROAD 503 "query-too-broad" "The query would take too long"
    NO_SPACE 507 "disk-full" "The disk is full"
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The item of a batch, from nought.
    pub index: Option<usize>,
    /// The field, parameter or head; empty where it is the whole item.
    pub field: Cow<'static, str>,
    /// What is wrong with it.
    pub message: String,
}

impl Fault {
    /// A fault of one field.
    pub(crate) fn new(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Fault {
        Fault { index: None, field: field.into(), message: message.into() }
    }
}

/// Everything a problem answer says beside where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What kind it is.
    pub kind: Kind,
    /// What exactly is wrong, in a sentence.
    pub detail: Cow<'static, str>,
    /// What is wrong with single fields.
    pub faults: Vec<Fault>,
    /// The methods that would be allowed, or the scope that would be enough.
    pub allow: &'static str,
}

/// Where and when a problem occurred.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'a> {
    /// The path asked for, without its query.
    pub path: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// When.
    pub now: TimeMs,
    /// How times are written.
    pub style: TimeStyle,
}

impl Problem {
    /// More faults than these are counted, not listed.
    const FAULTS_TOLD_MAX: usize = 100;

    /// A problem of this kind.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { kind, detail: detail.into(), faults: Vec::new(), allow: "" }
    }

    /// A request with these faults.
    pub(crate) fn invalid(faults: Vec<Fault>) -> Problem {
        let detail = match faults.as_slice() {
            [only] if only.index.is_none() && !only.field.is_empty() => {
                format!("{} {}", only.field, only.message)
            }
            [_] => "one field is not valid, see errors".into(),
            many if many.len() > Problem::FAULTS_TOLD_MAX => {
                format!("{} fields are not valid, see errors for the first 100", many.len())
            }
            many => format!("{} fields are not valid, see errors", many.len()),
        };
        Problem { faults, ..Problem::new(INVALID, detail) }
    }

    /// A path that does not know the method.
    pub(crate) fn method(allow: &'static str) -> Problem {
        Problem { allow, ..Problem::new(METHOD, format!("allowed: {allow}")) }
    }

    /// What the writer's refusal means to a client.
    pub(crate) fn refused(refusal: &Refusal) -> Problem {
        let kind = match refusal {
            Refusal::Busy | Refusal::HeldElsewhere(_) => BUSY,
            Refusal::Stopping => STOPPING,
            Refusal::StoreDown => STORE_DOWN,
            Refusal::Unknown | Refusal::InDoubt => {
                let detail = "it may have been stored: send it again with the same Idempotency-Key";
                let kind = if *refusal == Refusal::Unknown { UNKNOWN } else { IN_DOUBT };
                return Problem::new(kind, detail);
            }
            Refusal::NoSpace => NO_SPACE,
            Refusal::NotFound => NO_TASK,
            Refusal::IllegalMove { .. } => ILLEGAL_MOVE,
            Refusal::UniqueTaken(_) => UNIQUE_TAKEN,
            Refusal::KeyReused => KEY_REUSED,
            Refusal::KeyInFlight => KEY_IN_FLIGHT,
            Refusal::TooManyTypes { .. } => TOO_MANY_TYPES,
            Refusal::Bad(_) => INVALID,
        };
        Problem::new(kind, refusal.to_string())
    }

    /// What a reader's failure means to a client. The store's own words go to the log only.
    pub(crate) fn unread(error: &StoreError) -> Problem {
        if let StoreError::TooBroad { budget_ms } = error {
            let detail = format!(
                "the page was not found within {budget_ms} ms; sort by id or createdAt, or walk \
                 from page to page with cursor"
            );
            return Problem::new(TOO_BROAD, detail);
        }
        log::error!("failed to {error}");
        Problem::new(STORE_DOWN, "the store could not be read")
    }

    /// The answer.
    pub(crate) fn reply(&self, occasion: &Occasion<'_>) -> Reply {
        let mut json = Json::default();
        let Kind { code, status, title } = self.kind;
        json.open().key("type").plain(|buffer| {
            buffer.extend_from_slice(b"/problems/");
            buffer.extend_from_slice(code.as_bytes());
        });
        json.key("title").text(title).key("status").number(status.into());
        json.key("detail").text(&self.detail).key("instance").text(occasion.path);
        json.key("code").text(code).key("error").text(reason(status));
        write_time(json.key("timestamp"), occasion.now, occasion.style);
        json.key("path").text(occasion.path).key("requestId").text(occasion.request_id);
        if !self.faults.is_empty() {
            json.key("errors").open_array();
            for fault in self.faults.iter().take(Problem::FAULTS_TOLD_MAX) {
                json.open();
                if let Some(index) = fault.index {
                    json.key("index").number(index as u64);
                }
                if !fault.field.is_empty() {
                    json.key("field").text(&fault.field);
                }
                json.key("message").text(&fault.message).close();
            }
            json.close_array();
        }
        json.close();
        let mut reply = Reply { media: Media::Problem, ..Reply::new(status, json.into_bytes()) };
        reply.retry_after_s = (status == 503).then_some(1);
        match self.kind {
            METHOD => reply.allow = self.allow,
            WHO | MAY_NOT => reply.heads.push(("WWW-Authenticate", self.challenge())),
            _ => {}
        }
        reply
    }

    /// What kind of proof is wanted (RFC 6750).
    fn challenge(&self) -> Cow<'static, str> {
        let realm = "Bearer realm=\"taskscheduler\"";
        match self.allow {
            "" => realm.into(),
            scope => format!("{realm}, error=\"insufficient_scope\", scope=\"{scope}\"").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(problem: &Problem) -> serde_json::Value {
        let occasion = Occasion {
            path: "/api/v1/tasks",
            request_id: "r1",
            now: TimeMs(1_737_369_000_000),
            style: TimeStyle::Utc,
        };
        serde_json::from_slice(&problem.reply(&occasion).body).unwrap()
    }

    #[test]
    fn codes_are_stable_names_and_no_two_are_equal() {
        let mut codes: Vec<_> = ALL.iter().map(|kind| kind.code).collect();
        codes.sort_unstable();
        codes.dedup();
        // One meaning under two statuses: the answer was lost, or has not come.
        assert_eq!((codes.len() + 1, UNKNOWN.code), (ALL.len(), IN_DOUBT.code));
        assert!(ALL.iter().all(|kind| !reason(kind.status).is_empty()));
    }

    #[test]
    fn a_problem_is_written_for_people_programs_and_spring() {
        let problem = Problem::invalid(vec![Fault::new("page", "must be a whole number")]);
        assert_eq!(
            told(&problem),
            serde_json::json!({
                "type": "/problems/invalid-request",
                "title": "The request is not valid",
                "status": 400,
                "detail": "page must be a whole number",
                "instance": "/api/v1/tasks",
                "code": "invalid-request",
                "error": "Bad Request",
                "timestamp": "2025-01-20T10:30:00.000Z",
                "path": "/api/v1/tasks",
                "requestId": "r1",
                "errors": [{"field": "page", "message": "must be a whole number"}],
            })
        );
    }

    #[test]
    fn ten_thousand_faults_make_a_short_answer() {
        let faults = (0..10_000).map(|n| Fault { index: Some(n), ..Fault::new("tags", "bad") });
        let told = told(&Problem::invalid(faults.collect()));
        assert_eq!(told["errors"].as_array().map(Vec::len), Some(100));
        assert!(told["detail"].as_str().unwrap().starts_with("10000 "));
    }

    #[test]
    fn every_refusal_has_its_documented_status() {
        use crate::domain::{StatusKind, TaskId};
        let table = [
            (Refusal::Busy, 503, "busy"),
            (Refusal::Stopping, 503, "stopping"),
            (Refusal::StoreDown, 503, "store-down"),
            (Refusal::Unknown, 502, "outcome-unknown"),
            (Refusal::InDoubt, 504, "outcome-unknown"),
            (Refusal::NoSpace, 507, "disk-full"),
            (Refusal::NotFound, 404, "task-not-found"),
            (Refusal::IllegalMove { from: StatusKind::Completed }, 409, "illegal-move"),
            (Refusal::UniqueTaken(TaskId::parse("7").unwrap()), 409, "unique-key-taken"),
            (Refusal::KeyReused, 422, "idempotency-key-reused"),
            (Refusal::KeyInFlight, 409, "idempotency-key-in-flight"),
            (Refusal::TooManyTypes { limit: 5 }, 422, "too-many-task-types"),
            (Refusal::Bad("x".into()), 400, "invalid-request"),
        ];
        for (refusal, status, code) in table {
            let kind = Problem::refused(&refusal).kind;
            assert_eq!((kind.status, kind.code), (status, code), "{refusal:?}");
        }
    }
}
