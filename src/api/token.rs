//! Lease tokens as they come in a request, to be repeated in its answer.

use crate::domain::LeaseToken;

/// A lease token of a request.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    /// As it was sent.
    pub token: String,
    /// What it says, if it is one of ours.
    pub known: Option<LeaseToken>,
}
