//! What all requests share: the engine, the settings, the way to the replier, and the count of
//! requests under way.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::Sender;

use super::replier::Job;
use super::settings::ApiSettings;
use crate::engine::Engine;

/// What all requests share.
pub(crate) struct Desk {
    /// The machine.
    pub engine: Arc<Engine>,
    /// How it is shown.
    pub settings: ApiSettings,
    /// This node's name.
    pub node: Arc<str>,
    /// The way to the replier; it has room for every request that may be under way.
    pub replies: Sender<Job>,
    /// Requests under way.
    pub under_way: AtomicUsize,
    /// Request ids made.
    pub request_ids: AtomicU64,
}

impl Desk {
    /// Hands a job to the replier. Only when that is gone the job is dropped, and tiny_http ends
    /// the request with a 500.
    pub(crate) fn post(&self, job: Job) {
        if self.replies.try_send(job).is_err() {
            log::error!("an answer came after the replier had ended");
        }
    }

    /// Whether more requests are under way than may be.
    pub(crate) fn is_full(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > self.settings.in_flight_max
    }

    /// An id for a request that brought none.
    pub(crate) fn next_request_id(&self) -> Box<str> {
        let number = self.request_ids.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:08x}", self.settings.request_id_seed).into_boxed_str()
    }
}

/// A request's place among those under way; dropped, it is free again.
pub(crate) struct Seat(Arc<Desk>);

impl Seat {
    /// Takes a place.
    pub(crate) fn take(desk: &Arc<Desk>) -> Seat {
        // Relaxed, here and in `drop`: a count that orders nothing else.
        desk.under_way.fetch_add(1, Ordering::Relaxed);
        Seat(desk.clone())
    }
}

impl Deref for Seat {
    type Target = Arc<Desk>;

    fn deref(&self) -> &Arc<Desk> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}
