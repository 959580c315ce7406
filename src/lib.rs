#![doc = include_str!("ARCHITECTURE.md")]

pub mod domain;

pub mod clock;
pub mod metrics;
pub mod stop;

pub mod queue;
pub mod store;

pub mod persistence;

pub mod execution;

pub mod engine;

pub mod api;

pub mod cli;

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
