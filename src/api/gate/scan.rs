//! Finds the end of a request's head as bytes arrive, each byte looked at once.
//!
//! What can never become a head (control bytes, lines without CR LF, too much of it) is refused at
//! its first wrong byte and not only when a deadline ends, so random bytes and TLS cost nothing.

use super::limits::GateLimits;
use super::refusal::{LARGE_HEAD, LONG_LINE, Refusal, bad};

/// Empty lines allowed before a request; some clients send one after a body.
const EMPTY_LINES_MAX: usize = 4;

/// How far the search has come.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadScan {
    at: usize,
    start: usize,
    line_start: usize,
    has_first_line: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The head goes on beyond the bytes there are.
    More,
    /// The head, with the empty line that ends it.
    Head { start: usize, end: usize },
}

impl HeadScan {
    /// Whether, of `held` bytes, some belong to a request and not to the empty lines before it.
    pub(super) fn has_begun(&self, held: usize) -> bool {
        held > self.start
    }

    /// Looks at the bytes of `held` that are new since the last call; `held` begins where it began.
    pub(super) fn scan(&mut self, held: &[u8], limits: &GateLimits) -> Result<Found, Refusal> {
        while let Some(&byte) = held.get(self.at) {
            match byte {
                b' '..=b'~' | b'\t' => {}
                b'\r' => match held.get(self.at + 1) {
                    Some(b'\n') => {
                        if self.end_line(limits)? {
                            let end = self.at;
                            return self.check_size(
                                end,
                                limits,
                                Found::Head { start: self.start, end },
                            );
                        }
                        continue;
                    }
                    Some(_) => return Err(bad("a line ends with CR alone")),
                    None => break,
                },
                b'\n' => return Err(bad("a line ends without CR")),
                _ => return Err(bad("the head has a control byte or one outside ASCII")),
            }
            self.at += 1;
        }
        if !self.has_first_line && held.len() - self.start > limits.request_line_bytes_max {
            return Err(LONG_LINE);
        }
        self.check_size(held.len(), limits, Found::More)
    }

    /// Takes the line end at `at`; true if it was the empty line after the head.
    fn end_line(&mut self, limits: &GateLimits) -> Result<bool, Refusal> {
        let length = self.at - self.line_start;
        self.at += 2;
        self.line_start = self.at;
        match (length, self.has_first_line) {
            (0, true) => return Ok(true),
            (0, false) if self.at / 2 > EMPTY_LINES_MAX => return Err(bad("only empty lines")),
            (0, false) => self.start = self.at,
            (1.., false) if length > limits.request_line_bytes_max => return Err(LONG_LINE),
            (1.., _) => self.has_first_line = true,
        }
        Ok(false)
    }

    fn check_size(&self, end: usize, limits: &GateLimits, found: Found) -> Result<Found, Refusal> {
        if end - self.start > limits.head_bytes_max { Err(LARGE_HEAD) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `bytes` one more at a time until something is found.
    fn scan_slowly(bytes: &[u8]) -> Result<Found, Refusal> {
        let (mut scan, limits) = (HeadScan::default(), GateLimits::default());
        for end in 0..=bytes.len() {
            match scan.scan(&bytes[..end], &limits) {
                Ok(Found::More) => {}
                other => return other,
            }
        }
        Ok(Found::More)
    }

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_arrives() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nbody";
        let expected = Ok(Found::Head { start: 2, end: bytes.len() - 4 });
        assert_eq!(scan_slowly(bytes), expected);
        assert_eq!(HeadScan::default().scan(bytes, &GateLimits::default()), expected);
    }

    #[test]
    fn what_can_never_be_a_head_is_refused_at_once() {
        for bytes in [
            "\u{16}\u{3}\u{1}",
            "GET /\0",
            "GET / HTTP/1.1\n",
            "GET /\rX",
            "\r\n\r\n\r\n\r\n\r\n",
            "G\u{e9}T",
        ] {
            assert_eq!(scan_slowly(bytes.as_bytes()).unwrap_err().status, 400, "{bytes:?}");
        }
    }

    #[test]
    fn a_long_first_line_and_a_long_head_are_told_apart() {
        let line = format!("GET /{}", "x".repeat(9000));
        assert_eq!(scan_slowly(line.as_bytes()), Err(LONG_LINE));
        let whole = format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000));
        assert_eq!(
            HeadScan::default().scan(whole.as_bytes(), &GateLimits::default()),
            Err(LONG_LINE)
        );
        let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000));
        assert_eq!(scan_slowly(head.as_bytes()), Err(LARGE_HEAD));
        let whole = format!("{head}\r\n\r\n");
        assert_eq!(
            HeadScan::default().scan(whole.as_bytes(), &GateLimits::default()),
            Err(LARGE_HEAD)
        );
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_never_matters(
            bytes in prop::collection::vec(prop::sample::select(&b"\r\na\0"[..]), 0..40),
        ) {
            let at_once = HeadScan::default().scan(&bytes, &GateLimits::default());
            prop_assert_eq!(scan_slowly(&bytes), at_once);
        }
    }
}
