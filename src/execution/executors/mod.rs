//! The ways to run a task type.

pub(super) mod builtin;
pub(super) mod http;
pub(super) mod process;
