//! A core: takes a ticket, runs its handler behind a fence, reports what happened.
//!
//! Promise: every ticket it takes leads to exactly one report, but for a run that was given up
//! (somebody else reports) or that stopped because the server ends (its claim is released).
//! Absent on purpose: verdicts, and any lock or allocation of its own per ticket.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, Doing, Handler, Mail, Registry};
use crate::clock::{Clock, Mono};
use crate::domain::{Failure, FailureKind, Outcome, Run};
use crate::persistence::{Happened, Report, Ticket, Work};
use crate::queue::{Moment, RunEnd, Seat, Take, Taken};
use crate::stop::Stop;

/// One core's body; a thread is a loop around [`Core::step`].
pub struct Core {
    seat: Seat<Work>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    mail: Mail,
    halt: Stop,
    /// When the run before ended. The next one starts then, if it follows at once: reading the
    /// clock is a good part of what a take costs.
    ended: Option<Mono>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It ran a task.
    Ran,
    /// It dropped a ticket that had been withdrawn.
    SkippedWithdrawn,
    /// There is nothing to do until somebody wakes the core.
    Idle,
    /// The writer takes no more reports at the moment; until it does, no ticket is taken.
    MailFull,
    /// The task it ran was given up, and another core has the CPU: this one ends.
    GivenUp,
}

impl Core {
    /// A core on this seat. `halt` asks running handlers to stop because the server ends.
    pub fn new(
        seat: Seat<Work>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        mail: Mail,
        halt: Stop,
    ) -> Core {
        Core { seat, registry, clock, mail, halt, ended: None }
    }

    /// Which seat it sits on.
    pub fn seat(&self) -> usize {
        self.seat.index()
    }

    /// Takes and runs one ticket.
    pub fn step(&mut self) -> Step {
        let mono = self.ended.take().unwrap_or_else(|| self.clock.mono());
        let now = Moment { mono, wall: self.clock.now() };
        if self.mail.is_due(now.mono) && !self.mail.flush() {
            return Step::MailFull;
        }
        match self.seat.take(now) {
            Take::Taken(taken) => self.run(&taken, now),
            Take::Withdrawn => Step::SkippedWithdrawn,
            Take::Nothing if self.mail.flush() => Step::Idle,
            Take::Nothing => Step::MailFull,
        }
    }

    /// Sleeps until there are tickets or `stop` is asked (and the lanes are woken).
    pub fn sleep(&mut self, stop: &Stop) {
        self.seat.sleep(None, || stop.asked());
    }

    /// Waits until the writer takes the reports, at most this long. Whether it did.
    pub fn wait_for_mail(&mut self, at_most: Duration) -> bool {
        self.mail.flush_within(at_most)
    }

    fn run(&mut self, taken: &Taken<Work>, now: Moment) -> Step {
        let ticket = &*taken.ticket;
        let deadline = now.mono.plus(time_limit(ticket));
        self.seat.set_deadline(deadline);
        let handler = self.registry.handler(ticket.work.slot);
        if !handler.is_some_and(Handler::is_brief) {
            // In vain if the channel is full; then they wait for the next step.
            self.mail.flush();
        }
        let doing = handler.map_or_else(no_handler, |handler| {
            let (seat, halt, run) = (&self.seat, &self.halt, taken.run);
            let clock = &*self.clock;
            fenced(handler, &Attempt { ticket, seat, run, deadline, clock, halt })
        });
        let end = self.clock.mono();
        let took_us = end.since(now.mono).as_micros() as u64;
        let asked = self.seat.is_asked_to_stop(taken.run);
        if self.seat.end(took_us) == RunEnd::GivenUp {
            return Step::GivenUp;
        }
        let waited_us = now.wall.since_ms(ticket.ready_at) * 1000;
        let run = Run { started_at: now.wall, took_us, waited_us };
        let what = self.what_happened(ticket, doing, run, asked, end > deadline);
        if let Some(what) = what {
            self.mail.post(Report { id: ticket.id, epoch: ticket.epoch, what }, end);
        }
        self.ended = Some(end);
        Step::Ran
    }

    /// `None`: it stopped because the server ends, and is as if it had not been started.
    fn what_happened(
        &self,
        ticket: &Ticket,
        doing: Doing,
        run: Run,
        asked: bool,
        late: bool,
    ) -> Option<Happened> {
        let outcome = match doing {
            Doing::Ended(Outcome::Cancelled) if asked => Outcome::Cancelled,
            Doing::Ended(Outcome::Cancelled) if !late && self.halt.asked() => return None,
            _ if late => Outcome::Failed(timed_out(ticket)),
            Doing::Ended(Outcome::Cancelled) => {
                let message = "the handler stopped although nobody asked it to";
                Outcome::Failed(Failure::new(FailureKind::Error, message))
            }
            Doing::Ended(outcome) => outcome,
            Doing::SleepFor(time) => {
                let until = self.clock.now().plus_ms(time.as_millis() as u64);
                let (at, waited_us) = (run.started_at, run.waited_us);
                return Some(Happened::Sleeps { at, waited_us, until });
            }
        };
        Some(Happened::Ended(run, outcome))
    }
}

/// How long an attempt may take.
pub(super) fn time_limit(ticket: &Ticket) -> Duration {
    Duration::from_secs(u64::from(ticket.work.spec.timeout_s))
}

/// The failure of an attempt that took too long.
fn timed_out(ticket: &Ticket) -> Failure {
    timeout_failure(time_limit(ticket))
}

/// The failure of an attempt that took longer than this.
pub(super) fn timeout_failure(limit: Duration) -> Failure {
    Failure::new(FailureKind::Timeout, &format!("took longer than {} s", limit.as_secs()))
}

/// The writer makes tickets only for slots of this registry.
fn no_handler() -> Doing {
    let failure = Failure::new(FailureKind::Error, "this server has no handler for the type");
    Doing::Ended(Outcome::Failed(failure))
}

/// Runs the handler; a panic ends the attempt and nothing else.
fn fenced(handler: &dyn Handler, attempt: &Attempt<'_>) -> Doing {
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
