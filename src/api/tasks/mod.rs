//! The requests about tasks: each checks what was sent and hands it to the engine.

pub(crate) mod cleanup;
pub(crate) mod command;
pub(crate) mod list;
pub(crate) mod submit;
