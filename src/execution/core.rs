//! A core: takes a ticket, runs its handler behind a fence, reports what happened.
//!
//! Promise: every ticket it takes leads to exactly one report, but for a run that was given up
//! (somebody else reports) or that stopped because the server ends (its claim is released).
//! Absent on purpose: verdicts, and any lock or allocation of its own per ticket.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::Place;
use super::ending::{self, End};
use super::{Attempt, Handler, Mail, Registry};
use crate::clock::{Clock, Mono};
use crate::domain::Run;
use crate::persistence::{Report, Work};
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
        let deadline = now.mono.plus(ending::time_limit(ticket));
        self.seat.set_deadline(deadline);
        let handler = self.registry.handler(ticket.work.slot);
        if !handler.is_some_and(Handler::is_brief) {
            // In vain if the channel is full; then they wait for the next step.
            self.mail.flush();
        }
        let doing = handler.map_or_else(ending::no_handler, |handler| {
            let place = Place::Seat(&self.seat, taken.run);
            let (clock, halt, key) = (&*self.clock, &self.halt, self.registry.key());
            ending::fenced(handler, &Attempt { ticket, place, deadline, clock, halt, key })
        });
        let end = self.clock.mono();
        let took_us = end.since(now.mono).as_micros() as u64;
        let asked = self.seat.is_asked_to_stop(taken.run);
        if self.seat.end(took_us) == RunEnd::GivenUp {
            return Step::GivenUp;
        }
        let waited_us = now.wall.since_ms(ticket.ready_at) * 1000;
        let run = Run { started_at: now.wall, took_us, waited_us };
        let (late, halted) = (end > deadline, self.halt.asked());
        let ended = End { asked, late, halted, clock: &*self.clock };
        if let Some(what) = ending::happened(ticket, doing, run, ended) {
            self.mail.post(Report { id: ticket.id, epoch: ticket.epoch, what }, end);
        }
        self.ended = Some(end);
        Step::Ran
    }
}
