//! Floor 0: the values the scheduler is about, and the rules that need nothing but values.
//!
//! Absent on purpose: I/O, clocks, threads, serde, logging and randomness. Time and random numbers
//! come in as arguments; [`Status::on`] is the only function that makes a status from a status.

mod breaker;
mod change;
mod command;
mod id;
mod lease;
mod outcome;
mod payload;
mod priority;
mod rate;
mod retry;
mod status;
mod submission;
mod summary;
mod task;
mod time;
mod token;

pub use breaker::{Breaker, BreakerPolicy, BreakerState, Call, Pass};
pub use change::{Before, Change, ChangeKind, Holding};
pub use command::Command;
pub use id::{Epoch, ParseIdError, TaskId};
pub use lease::Terms;
pub use outcome::{Failure, FailureKind, Outcome, Verdict};
pub use payload::{Form, Payload};
pub use priority::{Band, BandMap, ParseBandError};
pub use rate::{Pace, Rate};
pub use retry::RetryPolicy;
pub use status::{Event, IllegalMove, ParseStatusError, Status, StatusKind};
pub use submission::{Draft, FieldError, Limits, Submission};
pub use summary::Summary;
pub use task::{Run, Spec, State, Suspicion, Task};
pub use time::TimeMs;
pub use token::LeaseToken;
