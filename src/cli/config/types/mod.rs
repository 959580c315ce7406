//! The task types of the configuration: `[types.NAME]` says what a type does and how much of it at
//! a time.
//!
//! Unlike all other settings these have names that users choose, so they stand outside the table
//! of keys; they are read by the same rules, and what is wrong is told with its place.

mod raw;
mod read;

use std::time::Duration;

use crate::domain::{BreakerPolicy, Rate};
use crate::execution::{Blocking, HttpSetup, ProcessSetup};
use crate::queue::Guard;

pub use raw::RawTypes;
pub(super) use raw::RawValue;
pub(super) use read::read_all;

use super::keys::CircuitBreaker;

/// One task type as the configuration describes it.
#[derive(Debug, Clone)]
pub struct TypeSetting {
    /// The task type.
    pub name: String,
    /// What runs it.
    pub executor: Executor,
    /// At most so many of its tasks run at a time.
    pub max_concurrency: Option<usize>,
    /// How often one may start.
    pub rate: Option<Rate>,
    /// Whether a breaker holds it back while it keeps failing.
    pub breaker: bool,
}

/// What runs a type.
#[derive(Debug, Clone)]
pub enum Executor {
    /// A handler that is compiled in; only its limit is set here.
    Builtin,
    /// A command.
    Process(ProcessSetup),
    /// Requests to an endpoint.
    Http(HttpSetup),
}

impl TypeSetting {
    /// What holds the type back.
    pub fn blocking(&self, breaker: &CircuitBreaker) -> Blocking {
        let policy = BreakerPolicy {
            window: breaker.sliding_window_size,
            calls_min: breaker.minimum_number_of_calls,
            failures_percent: breaker.failure_rate_threshold,
            open_us: micros(breaker.wait_duration_in_open_state),
            trials: breaker.permitted_number_of_calls_in_half_open_state,
        };
        let mut guards = Vec::new();
        if self.breaker {
            guards.push(Guard { name: self.name.as_str().into(), policy });
            if let Executor::Http(setup) = &self.executor {
                guards.push(Guard { name: setup.host().into(), policy });
            }
        }
        Blocking { limit: self.max_concurrency, rate: self.rate, guards }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
