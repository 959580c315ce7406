//! An answer before it is sent, and its bytes on the wire.
//!
//! Head and body go out in one write: through tiny_http's own response each head would be a write
//! of its own and a date would be formatted for every answer.

use std::sync::Arc;

use super::json::push_number;
use crate::domain::{Epoch, TaskId};

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`
    Json,
    /// `application/problem+json`
    Problem,
    /// `text/html`
    Html,
    /// `text/css`
    Css,
    /// `text/javascript`
    Script,
    /// `image/svg+xml`
    Svg,
}

impl Media {
    /// The value of the `Content-Type` head.
    fn name(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Problem => "application/problem+json",
            Media::Html => "text/html; charset=utf-8",
            Media::Css => "text/css; charset=utf-8",
            Media::Script => "text/javascript; charset=utf-8",
            Media::Svg => "image/svg+xml",
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// What the body is.
    pub media: Media,
    /// The body.
    pub body: Vec<u8>,
    /// The task that was made.
    pub location: Option<TaskId>,
    /// The state of the task that is shown.
    pub etag: Option<(Epoch, u32)>,
    /// When a refused request may be sent again, in seconds.
    pub retry_after_s: Option<u32>,
    /// The methods that are allowed; empty to say nothing.
    pub allow: &'static str,
    /// Whether this was answered before, under the same idempotency key.
    pub replayed: bool,
    /// What a browser may do with it; empty for what is no page.
    pub policy: &'static str,
}

/// What every answer's head needs from outside it.
#[derive(Debug, Clone)]
pub(crate) struct HeadFacts<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The value of the `Date` head.
    pub date: &'a Arc<str>,
    /// Whether only the head was asked for.
    pub head_only: bool,
}

impl Reply {
    /// A JSON answer.
    pub(crate) fn new(status: u16, body: Vec<u8>) -> Reply {
        Reply {
            status,
            media: Media::Json,
            body,
            location: None,
            etag: None,
            retry_after_s: None,
            allow: "",
            replayed: false,
            policy: "",
        }
    }

    /// An answer whose head says everything.
    pub(crate) fn empty(status: u16) -> Reply {
        Reply::new(status, Vec::new())
    }

    /// Appends the answer as it goes over the wire.
    pub(crate) fn write(&self, wire: &mut Vec<u8>, facts: &HeadFacts<'_>) {
        let no_body = matches!(self.status, 204 | 304);
        wire.extend_from_slice(b"HTTP/1.1 ");
        push_number(wire, self.status.into());
        wire.push(b' ');
        wire.extend_from_slice(reason(self.status).as_bytes());
        push_head(wire, "Date", facts.date);
        push_head(wire, "X-Request-Id", facts.request_id);
        push_head(wire, "X-Content-Type-Options", "nosniff");
        if !no_body {
            push_head(wire, "Content-Type", self.media.name());
            wire.extend_from_slice(b"\r\nContent-Length: ");
            push_number(wire, self.body.len() as u64);
        }
        if let Some(id) = self.location {
            wire.extend_from_slice(b"\r\nLocation: /api/v1/tasks/");
            push_number(wire, id.get());
        }
        if let Some(etag) = self.etag {
            wire.extend_from_slice(b"\r\nETag: ");
            push_etag(wire, etag);
        }
        if let Some(seconds) = self.retry_after_s {
            wire.extend_from_slice(b"\r\nRetry-After: ");
            push_number(wire, seconds.into());
        }
        if !self.allow.is_empty() {
            push_head(wire, "Allow", self.allow);
        }
        if self.replayed {
            push_head(wire, "Idempotency-Replayed", "true");
        }
        if !self.policy.is_empty() {
            push_head(wire, "Content-Security-Policy", self.policy);
            push_head(wire, "Referrer-Policy", "no-referrer");
            // A new version of the server brings a new page.
            push_head(wire, "Cache-Control", "no-cache");
        }
        wire.extend_from_slice(b"\r\n\r\n");
        if !no_body && !facts.head_only {
            wire.extend_from_slice(&self.body);
        }
    }
}

/// Appends `"epoch.version"`, quotes included.
pub(crate) fn push_etag(buffer: &mut Vec<u8>, (epoch, version): (Epoch, u32)) {
    buffer.push(b'"');
    push_number(buffer, epoch.0);
    buffer.push(b'.');
    push_number(buffer, version.into());
    buffer.push(b'"');
}

fn push_head(wire: &mut Vec<u8>, name: &str, value: &str) {
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(name.as_bytes());
    wire.extend_from_slice(b": ");
    wire.extend_from_slice(value.as_bytes());
}

/// The reason phrase of a status we use.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        503 => "Service Unavailable",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, head_only: bool) -> String {
        let mut wire = Vec::new();
        let date: Arc<str> = "today".into();
        reply.write(&mut wire, &HeadFacts { request_id: "r1", date: &date, head_only });
        String::from_utf8(wire).unwrap()
    }

    #[test]
    fn a_created_task_is_announced_in_the_head() {
        let reply = Reply {
            location: TaskId::new(7),
            etag: Some((Epoch(2), 3)),
            replayed: true,
            ..Reply::new(201, b"{}".to_vec())
        };
        let expected = "HTTP/1.1 201 Created\r\nDate: today\r\nX-Request-Id: r1\r\n\
            X-Content-Type-Options: nosniff\r\nContent-Type: application/json\r\n\
            Content-Length: 2\r\nLocation: /api/v1/tasks/7\r\nETag: \"2.3\"\r\n\
            Idempotency-Replayed: true\r\n\r\n";
        assert_eq!(written(&reply, false), format!("{expected}{{}}"));
        assert_eq!(written(&reply, true), expected);
    }

    #[test]
    fn an_answer_that_may_have_no_body_has_none() {
        for status in [204, 304] {
            let reply = Reply { allow: "GET", ..Reply::new(status, b"x".to_vec()) };
            let text = written(&reply, false);
            assert!(
                text.ends_with("Allow: GET\r\n\r\n") && !text.contains("Content-Length"),
                "{text}"
            );
        }
    }
}
