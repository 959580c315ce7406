//! The answers the gate gives by itself: small problem documents.

use std::io::Write as _;

use crate::api::json::Json;
use crate::domain::TimeMs;

/// Why the gate answers instead of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Stable, for programs.
    pub(super) code: &'static str,
    /// For people.
    pub(super) detail: &'static str,
}

/// Where and when the gate answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occasion<'a> {
    pub(super) now: TimeMs,
    /// The answer's own id, by which people find it again.
    pub(super) request_id: &'a str,
    /// The path that was asked for, where a whole head has arrived.
    pub(super) path: Option<&'a str>,
}

/// Makes the ids of answers that no application has seen.
#[derive(Debug)]
pub(super) struct RequestIds {
    start: TimeMs,
    made: u64,
}

impl RequestIds {
    /// Those of a gate that starts at this time, which tells them from those of other starts.
    pub(super) fn new(start: TimeMs) -> RequestIds {
        RequestIds { start, made: 0 }
    }

    pub(super) fn next(&mut self) -> String {
        self.made += 1;
        format!("gate-{:x}-{:x}", self.start.0, self.made)
    }
}

/// What happens to the connection after an answer of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The request was whole; the next one may follow.
    Keep,
    /// Where the next request would begin is unknown, or unwanted.
    Close,
}

/// The request's framing or syntax is wrong.
pub(super) const fn bad(detail: &'static str) -> Refusal {
    Refusal { status: 400, code: "bad-request", detail }
}

const fn refusal(status: u16, code: &'static str, detail: &'static str) -> Refusal {
    Refusal { status, code, detail }
}

pub(super) const SLOW_HEAD: Refusal =
    refusal(408, "request-timeout", "the head of the request did not arrive in time");
pub(super) const SLOW_BODY: Refusal =
    refusal(408, "request-timeout", "the body of the request did not arrive in time");
pub(super) const NO_LENGTH: Refusal =
    refusal(411, "length-required", "a request with a body needs a Content-Length");
pub(super) const LARGE_BODY: Refusal =
    refusal(413, "payload-too-large", "the body of the request is larger than allowed");
pub(super) const LONG_LINE: Refusal =
    refusal(414, "uri-too-long", "the first line of the request is longer than allowed");
pub(super) const ODD_EXPECTATION: Refusal =
    refusal(417, "expectation-failed", "only the expectation 100-continue can be met");
pub(super) const LARGE_HEAD: Refusal =
    refusal(431, "head-too-large", "the head of the request is larger than allowed");
pub(super) const ODD_CODING: Refusal =
    refusal(501, "transfer-coding-unknown", "the only transfer coding accepted is chunked");
pub(super) const OUTCOME_UNKNOWN: Refusal =
    refusal(502, "outcome-unknown", "the server lost this request; it may have been carried out");
pub(super) const LOST: Refusal =
    refusal(502, "backend-lost", "the server lost this request; it changed nothing, ask again");
pub(super) const NO_BUFFER: Refusal =
    refusal(503, "overloaded", "the server's buffers are full; nothing was carried out");
pub(super) const NO_BACKEND: Refusal =
    refusal(503, "overloaded", "the server is busy; nothing was carried out");
pub(super) const NO_CONNECTION: Refusal =
    refusal(503, "too-many-connections", "the server has no room for another connection");
pub(super) const NO_STREAM: Refusal =
    refusal(503, "overloaded", "too many long answers are under way; ask again or for less");
pub(super) const NO_ANSWER: Refusal =
    refusal(504, "timeout", "the server did not answer in time; the request changed nothing");
pub(super) const NO_ANSWER_UNKNOWN: Refusal = refusal(
    504,
    "outcome-unknown",
    "the server did not answer in time; the request may have been carried out",
);
pub(super) const ODD_VERSION: Refusal =
    refusal(505, "http-version-not-supported", "this server speaks HTTP/1.1 and HTTP/1.0");

impl Refusal {
    fn reason(self) -> &'static str {
        match self.status {
            400 => "Bad Request",
            408 => "Request Timeout",
            411 => "Length Required",
            413 => "Content Too Large",
            414 => "URI Too Long",
            417 => "Expectation Failed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            _ => "HTTP Version Not Supported",
        }
    }

    /// Writes the whole answer. `bodiless` leaves the document out, as an answer to HEAD must.
    pub(super) fn render(
        self,
        occasion: &Occasion<'_>,
        after: After,
        bodiless: bool,
        out: &mut Vec<u8>,
    ) {
        let (status, reason, id) = (self.status, self.reason(), occasion.request_id);
        let document = self.document(occasion);
        let retry = if status == 503 { "Retry-After: 1\r\n" } else { "" };
        let close = if after == After::Close { "Connection: close\r\n" } else { "" };
        // Writing into a vector cannot fail.
        let _ = write!(
            out,
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\n\
             Content-Length: {}\r\nX-Request-Id: {id}\r\n{retry}{close}\r\n",
            document.len()
        );
        if !bodiless {
            out.extend_from_slice(&document);
        }
    }

    fn document(self, occasion: &Occasion<'_>) -> Vec<u8> {
        let time = jiff::Timestamp::from_millisecond(occasion.now.0).unwrap_or_default();
        let reason = self.reason();
        let mut json = Json::default();
        json.open().key("type").text("about:blank").key("title").text(reason);
        json.key("status").number(self.status.into()).key("detail").text(self.detail);
        json.key("code").text(self.code).key("error").text(reason);
        json.key("timestamp").text(&format!("{time:.3}"));
        json.key("requestId").text(occasion.request_id);
        if let Some(path) = occasion.path {
            json.key("instance").text(path).key("path").text(path);
        }
        json.close();
        json.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_document_with_its_length() {
        let mut out = Vec::new();
        let path = Some("/a\"b");
        let occasion = Occasion { now: TimeMs(1_737_369_000_000), request_id: "r1", path };
        NO_BACKEND.render(&occasion, After::Close, false, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, document) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Retry-After: 1\r\nConnection: close"), "{head}");
        assert!(head.contains("X-Request-Id: r1\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", document.len())), "{head}");
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        assert_eq!(document["timestamp"], "2025-01-20T10:30:00.000Z");
        assert_eq!(document["status"], 503);
        assert_eq!((&document["path"], &document["requestId"]), (&"/a\"b".into(), &"r1".into()));
    }
}
