//! The requests about the server: its health, its statistics, its past, and what it measures.

pub(crate) mod actuator;
pub(crate) mod health;
pub(crate) mod loggers;
pub(crate) mod meters;
pub(crate) mod metrics;
mod slots;
pub(crate) mod statistics;
