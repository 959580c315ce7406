//! What a client asked for, kept while the engine works on it.

use crate::domain::TaskId;

/// What the client asked for, as far as its answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// One task stored.
    Submit { payloads: bool },
    /// Several tasks stored.
    Batch { payloads: bool },
    /// One task shown.
    Show(TaskId),
    /// One task cancelled.
    Cancel(TaskId),
    /// One task tried again.
    Retry(TaskId),
    /// One task moved to a status.
    Put,
    /// Tasks leased to a worker.
    Lease,
    /// What a worker says about its leases taken.
    Report,
    /// The workers listed.
    Workers,
}
