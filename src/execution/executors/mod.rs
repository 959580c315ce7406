//! The ways to run a task type.

pub(super) mod builtin;
