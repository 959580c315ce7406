//! The requests about the server: its health, its statistics and its past.

pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod statistics;
