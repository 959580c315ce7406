//! What a task type does.

use std::time::Duration;

use super::Attempt;
use crate::domain::{Failure, Outcome, Payload};

/// What a task type does. Registered once, called by many cores at a time.
///
/// A handler runs on a pinned core, so while it waits the core does nothing else. One that blocks
/// is registered as such ([`Registry::register_blocking`](super::Registry::register_blocking)) and
/// runs on a thread that may wait. It may be called more than once for
/// one task (the server crashed, or the attempt failed), so it should bear that.
///
/// Closures are handlers: they return anything that is [`Into<Doing>`].
///
/// ```
/// use taskscheduler::domain::{Failure, FailureKind, Payload};
/// use taskscheduler::execution::{Attempt, Registry};
///
/// let mut registry = Registry::with_builtins();
/// registry.register("GREET", |attempt: &Attempt<'_>| match attempt.payload() {
///     Some(name) => Ok(Some(Payload::text(&format!("Hello, {}!", name.bytes)))),
///     None => Err(Failure::new(FailureKind::Permanent, "whom?")),
/// })?;
/// # Ok::<(), taskscheduler::execution::RegistryError>(())
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt. A panic in here ends the attempt, nothing else.
    fn run(&self, attempt: &Attempt<'_>) -> Doing;

    /// Whether a run surely ends within microseconds. Before any other run, the core reports what
    /// it has done so far, so that nobody waits for that as long as the run takes.
    fn is_brief(&self) -> bool {
        false
    }

    /// What people see as the executor of its tasks.
    fn executor(&self) -> &'static str {
        "builtin"
    }
}

/// What a handler has made of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// The attempt ended like this.
    Ended(Outcome),
    /// The attempt needs only time now, and no core: after this long it is done.
    SleepFor(Duration),
    /// Somebody outside goes on with it, and reports by the token of the attempt's lease. That has
    /// until the attempt's time is up.
    GoesOn,
}

impl<F, R> Handler for F
where
    F: Fn(&Attempt<'_>) -> R + Send + Sync + 'static,
    R: Into<Doing>,
{
    fn run(&self, attempt: &Attempt<'_>) -> Doing {
        self(attempt).into()
    }
}

impl From<Outcome> for Doing {
    fn from(outcome: Outcome) -> Doing {
        Doing::Ended(outcome)
    }
}

impl From<()> for Doing {
    fn from((): ()) -> Doing {
        Doing::Ended(Outcome::Done(None))
    }
}

impl From<Result<(), Failure>> for Doing {
    fn from(result: Result<(), Failure>) -> Doing {
        result.map(|()| None).into()
    }
}

impl From<Result<Payload, Failure>> for Doing {
    fn from(result: Result<Payload, Failure>) -> Doing {
        result.map(Some).into()
    }
}

impl From<Result<Option<Payload>, Failure>> for Doing {
    fn from(result: Result<Option<Payload>, Failure>) -> Doing {
        Doing::Ended(result.map_or_else(Outcome::Failed, Outcome::Done))
    }
}
