//! What an endpoint's answer means.

use ureq::http::HeaderMap;

use crate::domain::{Payload, TimeMs};

/// What a status means for the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did the work.
    Done,
    /// It did not; another time it may.
    Again,
    /// It did not, and will not.
    Hopeless,
    /// It says that it will, and tell later.
    Later,
}

/// Success is success; what is wrong with the request stays wrong; all else may pass.
pub(super) fn judge(status: u16) -> Verdict {
    match status {
        202 => Verdict::Later,
        200..=299 => Verdict::Done,
        408 | 425 | 429 => Verdict::Again,
        300..=499 => Verdict::Hopeless,
        _ => Verdict::Again,
    }
}

/// How long the endpoint wants to be left alone, in milliseconds: `Retry-After` of a 429 or a 503,
/// in seconds or as a date.
pub(super) fn retry_after_ms(status: u16, headers: &HeaderMap, now: TimeMs) -> Option<u64> {
    if !matches!(status, 429 | 503) {
        return None;
    }
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(TimeMs(date.timestamp().as_millisecond()).since_ms(now))
}

/// A body as a result: JSON where it says that it is and it is so, else text; nothing for nothing.
pub(super) fn result_of(bytes: &[u8], is_json: bool) -> Option<Payload> {
    let text = String::from_utf8_lossy(bytes);
    if text.is_empty() {
        return None;
    }
    if is_json && serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() {
        return Some(Payload::json(text.trim()));
    }
    // Not every store can keep a NUL.
    Some(Payload::text(&text.replace('\0', "\u{fffd}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_request_is_not_tried_again() {
        let verdicts = |statuses: &[u16]| statuses.iter().map(|s| judge(*s)).collect::<Vec<_>>();
        assert_eq!(verdicts(&[200, 201, 204]), [Verdict::Done; 3]);
        assert_eq!(verdicts(&[202]), [Verdict::Later]);
        assert_eq!(verdicts(&[301, 400, 404, 410, 422]), [Verdict::Hopeless; 5]);
        assert_eq!(verdicts(&[408, 425, 429, 500, 503, 599]), [Verdict::Again; 6]);
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now = TimeMs(784_111_770_000);
        let after = |status, text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            retry_after_ms(status, &headers, now)
        };
        assert_eq!(after(503, "120"), Some(120_000));
        assert_eq!(after(429, "Sun, 06 Nov 1994 08:49:37 GMT"), Some(7000));
        assert_eq!(after(429, "Tue, 06 Nov 1984 08:49:37 GMT"), Some(0));
        assert_eq!((after(500, "120"), after(503, "soon"), after(503, "-1")), (None, None, None));
    }

    #[test]
    fn a_body_is_json_only_if_it_is_json() {
        assert_eq!(result_of(b"{\"a\":1}\n", true), Some(Payload::json("{\"a\":1}")));
        assert_eq!(result_of(b"{\"a\":", true), Some(Payload::text("{\"a\":")));
        assert_eq!(result_of(b"[1]", false), Some(Payload::text("[1]")));
        assert_eq!(result_of(b"a\0\xff", false), Some(Payload::text("a\u{fffd}\u{fffd}")));
        assert_eq!(result_of(b"", true), None);
    }
}
