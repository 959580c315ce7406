//! What the gate allows, and how that fits into the descriptors the process may have.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most header lines any configuration allows.
pub(super) const HEADERS_CAP: usize = 64;

/// Every limit of the gate. The defaults serve a public port; tests use shorter times.
#[derive(Debug, Clone)]
pub struct GateLimits {
    /// Open client connections; above it the longest idle one is closed.
    pub connections_max: usize,
    /// Bytes of a request's head, and of its first line.
    pub head_bytes_max: usize,
    /// Bytes of the first line: method, target and version.
    pub request_line_bytes_max: usize,
    /// Header lines of a request; never more than 64.
    pub headers_max: usize,
    /// Bytes of a request's body, decoded.
    pub body_bytes_max: u64,
    /// From the first byte of a head to its end.
    pub head_deadline: Duration,
    /// A body must be complete within this time, or bring `body_rate_min` in each such time.
    pub body_window: Duration,
    /// Bytes a second below which a body that outlives its window is given up.
    pub body_rate_min: u64,
    /// How long a kept connection may be idle while there is room.
    pub idle_max: Duration,
    /// How long it may be idle when three quarters of the connections are taken.
    pub idle_min: Duration,
    /// How long a client may take no byte of its answer.
    pub write_stall: Duration,
    /// Bytes a second below which a client that reads its answer is given up.
    pub answer_rate_min: u64,
    /// The time over which `answer_rate_min` is judged.
    pub answer_window: Duration,
    /// How long the application may take to begin, or go on with, an answer.
    pub answer_deadline: Duration,
    /// How long a complete request may wait for a backend connection.
    pub backend_wait: Duration,
    /// How long a refused client's remaining bytes are thrown away before it is closed.
    pub linger: Duration,
    /// Answers up to this size are taken whole, which frees the backend connection.
    pub answer_whole_bytes_max: usize,
    /// Bytes of all buffers together; above it 503.
    pub buffer_bytes_max: usize,
    /// Backend connections kept open.
    pub backends_min: usize,
    /// Backend connections at most; each is a thread of the backend.
    pub backends_max: usize,
    /// Of the open backend connections, those left for health, metrics and workers' reports.
    pub backends_reserved: usize,
    /// How long a new backend connection may take to answer its probe.
    pub probe_deadline: Duration,
    /// How often deadlines are looked at; they end up to this much late.
    pub tick: Duration,
}

impl Default for GateLimits {
    fn default() -> GateLimits {
        GateLimits {
            connections_max: 1024,
            head_bytes_max: 16 << 10,
            request_line_bytes_max: 8 << 10,
            headers_max: 64,
            body_bytes_max: 16 << 20,
            head_deadline: Duration::from_secs(10),
            body_window: Duration::from_secs(30),
            body_rate_min: 8 << 10,
            idle_max: Duration::from_mins(1),
            idle_min: Duration::from_secs(15),
            write_stall: Duration::from_secs(5),
            answer_rate_min: 8 << 10,
            answer_window: Duration::from_secs(30),
            answer_deadline: Duration::from_mins(1),
            backend_wait: Duration::from_secs(2),
            linger: Duration::from_secs(1),
            answer_whole_bytes_max: 256 << 10,
            buffer_bytes_max: 64 << 20,
            backends_min: 16,
            backends_max: 256,
            backends_reserved: 4,
            probe_deadline: Duration::from_secs(2),
            tick: Duration::from_millis(250),
        }
    }
}

/// A backend connection costs the gate's end, the backend's end and the backend's duplicate of it.
const DESCRIPTORS_PER_BACKEND: usize = 3;

impl GateLimits {
    /// These limits with as many connections as `descriptors` allow, leaving some to the rest of
    /// the process (store files, read connections, children).
    pub fn within(mut self, descriptors: usize) -> GateLimits {
        let others = (descriptors / 4).clamp(24, 512);
        let ours = descriptors.saturating_sub(others);
        self.backends_max = self.backends_max.min(ours / 2 / DESCRIPTORS_PER_BACKEND).max(2);
        self.backends_min = self.backends_min.clamp(1, self.backends_max);
        self.backends_reserved = self.backends_reserved.min(self.backends_max / 2);
        let left = ours.saturating_sub(self.backends_max * DESCRIPTORS_PER_BACKEND);
        self.connections_max = self.connections_max.min(left).max(1);
        self.headers_max = self.headers_max.min(HEADERS_CAP);
        self
    }

    /// Long answers that may be under way at once, each holding a backend connection.
    pub(super) fn streams_max(&self) -> usize {
        (self.backends_max / 4).max(1)
    }
}

/// Raises the soft limit of descriptors to the hard one and says what holds then.
pub(super) fn raise_descriptors() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: maximum, maximum };
    let reached = if current != maximum && setrlimit(Resource::Nofile, wanted).is_ok() {
        maximum
    } else {
        current
    };
    // No limit at all is as good as a large one.
    reached.map_or(1 << 20, |n| usize::try_from(n).unwrap_or(usize::MAX).min(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_give_fewer_connections_of_both_kinds() {
        for descriptors in [32, 64, 128, 256, 1024, 4096, 20_000] {
            let limits = GateLimits::default().within(descriptors);
            let cost = limits.connections_max + 3 * limits.backends_max;
            assert!(cost + 24 <= descriptors.max(40), "{descriptors}: {limits:?}");
            assert!(limits.backends_reserved < limits.backends_max, "{descriptors}");
        }
    }

    #[test]
    fn a_usual_limit_leaves_the_defaults_as_they_are() {
        let limits = GateLimits::default().within(20_000);
        assert_eq!((limits.connections_max, limits.backends_max), (1024, 256));
    }
}
