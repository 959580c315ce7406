//! What the end of a handler means for its attempt.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{Attempt, Doing, Handler};
use crate::clock::Clock;
use crate::domain::{Call, Failure, FailureKind, Outcome, Run};
use crate::persistence::{Happened, Ticket};

/// How a handler came to its end.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    /// Somebody asked this run to stop.
    pub asked: bool,
    /// Its time was up.
    pub late: bool,
    /// The server ends.
    pub halted: bool,
    /// Read only if somebody has to know: that is a good part of what a run costs.
    pub clock: &'a dyn Clock,
}

/// What is to be reported. `None`: it stopped because the server ends, and is as if it had not been
/// started.
pub(super) fn happened(ticket: &Ticket, doing: Doing, run: Run, end: End<'_>) -> Option<Happened> {
    let outcome = match doing {
        Doing::Ended(Outcome::Cancelled) if end.asked => Outcome::Cancelled,
        Doing::Ended(Outcome::Cancelled) if !end.late && end.halted => return None,
        _ if end.late => Outcome::Failed(timeout_failure(time_limit(ticket))),
        Doing::Ended(Outcome::Cancelled) => {
            let message = "the handler stopped although nobody asked it to";
            Outcome::Failed(Failure::new(FailureKind::Error, message))
        }
        Doing::GoesOn if end.asked => Outcome::Cancelled,
        Doing::GoesOn => {
            return Some(Happened::GoesOn { at: run.started_at, waited_us: run.waited_us });
        }
        Doing::Ended(outcome) => outcome,
        Doing::SleepFor(time) => {
            let until = end.clock.now().plus_ms(time.as_millis() as u64);
            let (at, waited_us) = (run.started_at, run.waited_us);
            return Some(Happened::Sleeps { at, waited_us, until });
        }
    };
    Some(Happened::Ended(run, outcome))
}

/// What it says about whoever was called. A failure that no retry mends is the task's own.
pub(super) fn call_of(happened: Option<&Happened>) -> Call {
    match happened {
        Some(Happened::Ended(_, Outcome::Failed(failure))) => match failure.kind {
            FailureKind::Permanent => Call::Worked,
            _ => Call::Failed,
        },
        Some(Happened::Ended(_, Outcome::Cancelled)) | None => Call::Stopped,
        Some(_) => Call::Worked,
    }
}

/// How long an attempt may take.
pub(super) fn time_limit(ticket: &Ticket) -> Duration {
    Duration::from_secs(u64::from(ticket.work.spec.timeout_s))
}

/// The failure of an attempt that took longer than this.
pub(super) fn timeout_failure(limit: Duration) -> Failure {
    Failure::new(FailureKind::Timeout, &format!("took longer than {} s", limit.as_secs()))
}

/// The writer makes tickets only for slots of this registry.
pub(super) fn no_handler() -> Doing {
    let failure = Failure::new(FailureKind::Error, "this server has no handler for the type");
    Doing::Ended(Outcome::Failed(failure))
}

/// Runs the handler; a panic ends the attempt and nothing else.
pub(super) fn fenced(handler: &dyn Handler, attempt: &Attempt<'_>) -> Doing {
    // The attempt is not used again, and a handler that breaks its own state must mind that itself.
    catch_unwind(AssertUnwindSafe(|| handler.run(attempt))).unwrap_or_else(|panic| {
        let failure = Failure::new(FailureKind::Panic, &panic_message(&*panic));
        // What was thrown may panic again when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        Doing::Ended(Outcome::Failed(failure))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("it gave no message"))
}
