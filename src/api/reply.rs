//! An answer before it is sent, and its bytes on the wire.
//!
//! Head and body go out in one write: through tiny_http's own response each head would be a write
//! of its own and a date would be formatted for every answer.

use std::borrow::Cow;
use std::sync::Arc;

use super::gate::{DELIVER_HEAD, PARK_HEAD};
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
    /// The text that Prometheus reads.
    Samples,
}

impl Media {
    /// Whether it shrinks when it is packed.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Media::Json | Media::Problem | Media::Samples | Media::Html | Media::Script)
    }

    /// The value of the `Content-Type` head.
    fn name(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Problem => "application/problem+json",
            Media::Html => "text/html; charset=utf-8",
            Media::Css => "text/css; charset=utf-8",
            Media::Script => "text/javascript; charset=utf-8",
            Media::Svg => "image/svg+xml",
            Media::Samples => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// One line of an answer's head.
pub(crate) type Head = (&'static str, Cow<'static, str>);

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
    /// What the gate is told beside.
    pub to_gate: Option<ToGate>,
    /// What a browser may do with it; empty for what is no page.
    pub policy: &'static str,
    /// What else the head says.
    pub heads: Vec<Head>,
}

/// A word to the gate, which no client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToGate {
    /// Keep the request under this token, and send it again when that is woken.
    Park(u64),
    /// Say so if this answer cannot be delivered.
    Deliver(u64),
}

/// What every answer's head needs from outside it.
#[derive(Debug, Clone)]
pub(crate) struct HeadFacts<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The value of the `Date` head.
    pub date: &'a Arc<str>,
    /// What a page of another origin is told: the origin that may read this.
    pub welcome: Option<&'a str>,
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
            to_gate: None,
            policy: "",
            heads: Vec::new(),
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
        wire.extend_from_slice(ALWAYS);
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
        if self.policy.is_empty() {
            wire.extend_from_slice(NO_PAGE);
        } else {
            push_head(wire, "Content-Security-Policy", self.policy);
            // A new version of the server brings a new page.
            push_head(wire, "Cache-Control", "no-cache");
        }
        for (name, value) in &self.heads {
            push_head(wire, name, value);
        }
        if let Some(origin) = facts.welcome {
            push_head(wire, "Access-Control-Allow-Origin", origin);
            push_head(wire, "Access-Control-Expose-Headers", READABLE);
            push_head(wire, "Vary", "Origin");
        }
        match self.to_gate {
            None => {}
            Some(ToGate::Park(token)) => push_head(wire, PARK_HEAD, &token.to_string()),
            Some(ToGate::Deliver(token)) => push_head(wire, DELIVER_HEAD, &token.to_string()),
        }
        wire.extend_from_slice(b"\r\n\r\n");
        if !no_body && !facts.head_only {
            wire.extend_from_slice(&self.body);
        }
    }
}

/// What stands in the head of every answer: nobody guesses its type, frames it or learns from it
/// where its reader came from.
const ALWAYS: &[u8] = b"\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\
    \r\nReferrer-Policy: no-referrer";

/// What stands in the head of every answer that is no page: it does nothing in a browser, and no
/// cache keeps it, for a moment later it says something else.
const NO_PAGE: &[u8] = b"\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'\
    \r\nCache-Control: no-store";

/// What a page of another origin may read beside what it always may.
const READABLE: &str = "ETag, Location, Retry-After, Idempotency-Replayed, X-Request-Id";

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
    STATUSES.iter().find(|(known, _)| *known == status).map_or("", |(_, reason)| reason)
}

/// The statuses we use, with their reason phrases.
pub(crate) const STATUSES: [(u16, &str); 20] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (204, "No Content"),
    (304, "Not Modified"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (409, "Conflict"),
    (413, "Content Too Large"),
    (415, "Unsupported Media Type"),
    (422, "Unprocessable Content"),
    (500, "Internal Server Error"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (507, "Insufficient Storage"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, head_only: bool) -> String {
        let mut wire = Vec::new();
        let date: Arc<str> = "today".into();
        reply.write(
            &mut wire,
            &HeadFacts { request_id: "r1", date: &date, welcome: None, head_only },
        );
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
            X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
            Referrer-Policy: no-referrer\r\nContent-Type: application/json\r\n\
            Content-Length: 2\r\nLocation: /api/v1/tasks/7\r\nETag: \"2.3\"\r\n\
            Idempotency-Replayed: true\r\n\
            Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n\
            Cache-Control: no-store\r\n\r\n";
        assert_eq!(written(&reply, false), format!("{expected}{{}}"));
        assert_eq!(written(&reply, true), expected);
    }

    #[test]
    fn an_answer_that_may_have_no_body_has_none() {
        for status in [204, 304] {
            let reply = Reply { allow: "GET", ..Reply::new(status, b"x".to_vec()) };
            let text = written(&reply, false);
            assert!(text.contains("Allow: GET\r\n") && !text.contains("Content-Length"), "{text}");
        }
    }
}
