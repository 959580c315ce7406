//! `retry`: queues tasks again that have failed, were cancelled or wait for their next attempt.

use super::cancel::for_each;
use crate::cli::args::IdsArgs;
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};

/// Queues every task named, even if one of them cannot be.
pub fn run(args: &IdsArgs, around: &Surroundings) -> Result<Exit, Failure> {
    for_each(args, around, "retry")
}
