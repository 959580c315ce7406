//! What the gate has done, for metrics and tests. Only the gate's thread writes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The statuses the gate gives by itself.
pub const OWN_STATUSES: [u16; 12] = [400, 408, 411, 413, 414, 417, 431, 501, 502, 503, 504, 505];

/// Counters of one gate. All are read with `Relaxed`: none orders anything else.
#[derive(Debug, Default)]
pub struct GateCounters {
    pub(super) connections: AtomicUsize,
    pub(super) parked: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) resets: AtomicU64,
    pub(super) backends: AtomicUsize,
    pub(super) rebuilds: AtomicU64,
    pub(super) buffered_bytes: AtomicUsize,
    refusals: [AtomicU64; OWN_STATUSES.len()],
}

impl GateCounters {
    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests that wait for the application without a backend connection.
    pub fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Client connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Complete, valid requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes read from clients so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Idle connections closed to make room for new ones.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Connections reset in the middle of an answer.
    pub fn resets(&self) -> u64 {
        self.resets.load(Ordering::Relaxed)
    }

    /// Backend connections that are open and have answered their probe.
    pub fn backends(&self) -> usize {
        self.backends.load(Ordering::Relaxed)
    }

    /// How often the backend had to be rebuilt.
    pub fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    /// Bytes in the gate's buffers, as of the last look.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered_bytes.load(Ordering::Relaxed)
    }

    /// Answers the gate gave by itself, by status.
    pub fn refusals(&self) -> impl Iterator<Item = (u16, u64)> {
        OWN_STATUSES
            .into_iter()
            .zip(&self.refusals)
            .map(|(status, count)| (status, count.load(Ordering::Relaxed)))
    }

    /// Answers with `status` the gate gave by itself.
    pub fn refused(&self, status: u16) -> u64 {
        self.refusals().find(|(own, _)| *own == status).map_or(0, |(_, count)| count)
    }

    pub(super) fn count_refusal(&self, status: u16) {
        if let Some(at) = OWN_STATUSES.iter().position(|own| *own == status) {
            self.refusals[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}
