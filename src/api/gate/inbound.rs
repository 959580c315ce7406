//! A request as it arrives: bytes in, one whole re-framed request out, the rest kept for later.
//!
//! It holds no socket and reads no clock, so every way of cutting the bytes can be tried in a test.
//! Of a client that sends several requests at once only one is taken; the bytes behind it wait and
//! nothing more is read meanwhile, so a client cannot make the gate collect requests.

use super::chunked::{ChunkError, Chunked};
use super::class::Class;
use super::head::{Framing, Head, read_head, set_length};
use super::limits::GateLimits;
use super::refusal::{LARGE_BODY, Refusal, bad};
use super::scan::{Found, HeadScan};

/// What to do after bytes were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// Nothing but empty lines so far.
    Nothing,
    /// A head has begun.
    InHead,
    /// A head is complete, its body is not.
    InBody,
    /// The request is complete; it lies in [`Inbound::request`].
    Whole,
}

enum Body {
    Length { left: u64 },
    Chunked(Chunked),
}

/// One client's incoming side.
#[derive(Default)]
pub(super) struct Inbound {
    /// Bytes of an unfinished head, or behind a whole request.
    rest: Vec<u8>,
    scan: HeadScan,
    /// What the backend gets.
    request: Vec<u8>,
    head_bytes: usize,
    head: Option<Head>,
    body: Option<Body>,
}

/// Buffers larger than this are given back between requests.
const KEPT_BYTES_MAX: usize = 4096;

impl Inbound {
    /// The head of the request under way, from the moment it is complete.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The path that is asked for, without its query, from the moment the head is complete.
    pub(super) fn path(&self) -> Option<&str> {
        self.head?;
        let line = self.request.split(|byte| *byte == b'\r').next()?;
        let target = std::str::from_utf8(line).ok()?.split(' ').nth(1)?;
        target.split('?').next()
    }

    /// The request for the backend; whole once [`Fed::Whole`] was said.
    pub(super) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Whether bytes of a following request have arrived.
    pub(super) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Whether some of the body has arrived.
    pub(super) fn has_body_bytes(&self) -> bool {
        self.request.len() > self.head_bytes
            || matches!(&self.body, Some(Body::Chunked(chunks)) if chunks.has_begun())
    }

    /// Bytes held in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.rest.capacity() + self.request.capacity()
    }

    /// Adds a head to the kept request, which goes out once more, now as one of those that end
    /// work and are let through.
    pub(super) fn resume_with(&mut self, name: &str, token: u64) {
        // Before the empty line.
        let at = self.head_bytes.saturating_sub(2);
        let line = format!("{name}: {token}\r\n");
        self.head_bytes += line.len();
        self.request.splice(at..at, line.into_bytes());
        if let Some(head) = &mut self.head {
            head.class = Class::Report;
        }
    }

    /// Frees the request where it cannot be needed again.
    pub(super) fn forget_request(&mut self) {
        shrink(&mut self.request);
    }

    /// Frees everything; nothing more will be read.
    pub(super) fn forget_all(&mut self) {
        *self = Inbound::default();
    }

    /// Makes ready for the next request; bytes that came early stay.
    pub(super) fn next(&mut self) {
        shrink(&mut self.request);
        if self.rest.is_empty() {
            shrink(&mut self.rest);
        }
        self.scan = HeadScan::default();
        self.head = None;
        self.body = None;
        self.head_bytes = 0;
    }

    /// Goes on with the bytes that came early.
    pub(super) fn feed_rest(&mut self, peer: &str, limits: &GateLimits) -> Result<Fed, Refusal> {
        let rest = std::mem::take(&mut self.rest);
        self.feed(&rest, peer, limits)
    }

    /// Takes `bytes` that have arrived.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        peer: &str,
        limits: &GateLimits,
    ) -> Result<Fed, Refusal> {
        if self.head.is_some() {
            return self.feed_body(bytes);
        }
        if self.rest.is_empty() {
            return self.feed_head(bytes, peer, limits);
        }
        let mut held = std::mem::take(&mut self.rest);
        held.extend_from_slice(bytes);
        self.feed_head(&held, peer, limits)
    }

    fn feed_head(&mut self, held: &[u8], peer: &str, limits: &GateLimits) -> Result<Fed, Refusal> {
        match self.scan.scan(held, limits)? {
            Found::More => {
                self.rest.extend_from_slice(held);
                Ok(if self.scan.has_begun(held.len()) { Fed::InHead } else { Fed::Nothing })
            }
            Found::Head { start, end } => {
                self.request.clear();
                let head = read_head(&held[start..end], peer, limits, &mut self.request)?;
                self.head = Some(head);
                self.head_bytes = self.request.len();
                self.body = match head.framing {
                    Framing::Empty => None,
                    Framing::Length(left) => Some(Body::Length { left }),
                    Framing::Chunked => Some(Body::Chunked(Chunked::new(limits.body_bytes_max))),
                };
                self.feed_body(&held[end..])
            }
        }
    }

    fn feed_body(&mut self, bytes: &[u8]) -> Result<Fed, Refusal> {
        let used = match &mut self.body {
            None => 0,
            Some(Body::Length { left }) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                self.request.extend_from_slice(&bytes[..take]);
                *left -= take as u64;
                if *left == 0 {
                    self.body = None;
                }
                take
            }
            Some(Body::Chunked(chunks)) => {
                let used =
                    chunks.decode(bytes, &mut self.request).map_err(|error| match error {
                        ChunkError::Malformed => bad("the chunked body is malformed"),
                        ChunkError::TooLarge => LARGE_BODY,
                    })?;
                if chunks.is_done() {
                    self.body = None;
                    let length = self.request.len() - self.head_bytes;
                    set_length(&mut self.request, self.head_bytes, length);
                }
                used
            }
        };
        self.rest.extend_from_slice(&bytes[used..]);
        Ok(if self.body.is_none() { Fed::Whole } else { Fed::InBody })
    }
}

fn shrink(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The requests that `bytes`, cut at `cuts`, make, as the backend would see them.
    fn requests(bytes: &[u8], cuts: &[usize]) -> Result<Vec<String>, Refusal> {
        let (mut inbound, limits) = (Inbound::default(), GateLimits::default());
        let (mut seen, mut from) = (Vec::new(), 0);
        for to in cuts.iter().copied().chain([bytes.len()]) {
            let to = to.clamp(from, bytes.len());
            let mut fed = inbound.feed(&bytes[from..to], "p", &limits)?;
            from = to;
            while fed == Fed::Whole {
                seen.push(String::from_utf8_lossy(inbound.request()).into_owned());
                inbound.next();
                fed = inbound.feed_rest("p", &limits)?;
            }
        }
        Ok(seen)
    }

    const THREE: &[u8] = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
        POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nde\r\n1\r\nf\r\n0\r\n\r\n\
        \r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn several_requests_at_once_come_out_one_after_another() {
        let seen = requests(THREE, &[]).unwrap();
        assert_eq!(seen.len(), 3);
        assert!(seen[0].ends_with("Content-Length: 3\r\n\r\nabc"), "{}", seen[0]);
        assert!(seen[1].ends_with("Content-Length: 000000000003\r\n\r\ndef"), "{}", seen[1]);
        assert!(seen[2].starts_with("GET /c HTTP/1.1\r\n"), "{}", seen[2]);
    }

    #[test]
    fn early_bytes_wait_until_the_request_before_is_done_with() {
        let (mut inbound, limits) = (Inbound::default(), GateLimits::default());
        assert_eq!(inbound.feed(THREE, "p", &limits), Ok(Fed::Whole));
        assert!(inbound.has_rest());
        assert!(inbound.request().ends_with(b"abc"));
    }

    #[test]
    fn states_are_told_apart() {
        let (mut inbound, limits) = (Inbound::default(), GateLimits::default());
        let mut feed = |bytes: &str| inbound.feed(bytes.as_bytes(), "p", &limits);
        assert_eq!(feed(""), Ok(Fed::Nothing));
        assert_eq!(feed("\r\n"), Ok(Fed::Nothing));
        assert_eq!(feed("PO"), Ok(Fed::InHead));
        assert_eq!(feed("ST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"), Ok(Fed::InBody));
        assert_eq!(feed("a"), Ok(Fed::InBody));
        assert_eq!(feed("b"), Ok(Fed::Whole));
    }

    proptest! {
        #[test]
        fn how_requests_are_cut_never_matters(
            mut cuts in prop::collection::vec(0..THREE.len(), 0..8),
        ) {
            cuts.sort_unstable();
            prop_assert_eq!(requests(THREE, &cuts), requests(THREE, &[]));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = requests(&bytes, &[bytes.len() / 2]);
        }
    }
}
