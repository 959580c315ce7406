//! An attempt: what a handler knows about the one run it is called for.

use std::time::Duration;

use crate::clock::{Clock, Mono};
use crate::domain::{Epoch, Payload, Spec, TaskId};
use crate::persistence::{Ticket, Work};
use crate::queue::{RunNumber, Seat};
use crate::stop::Stop;

/// One run of one task.
pub struct Attempt<'a> {
    pub(super) ticket: &'a Ticket,
    pub(super) seat: &'a Seat<Work>,
    pub(super) run: RunNumber,
    pub(super) deadline: Mono,
    pub(super) clock: &'a dyn Clock,
    pub(super) halt: &'a Stop,
}

impl Attempt<'_> {
    /// The task.
    pub fn id(&self) -> TaskId {
        self.ticket.id
    }

    /// The number of this attempt, from 1; it does not count attempts that a crash undid.
    pub fn number(&self) -> u32 {
        self.ticket.work.attempt
    }

    /// The claim this attempt runs under. It rises with each claim, so whatever the handler writes
    /// elsewhere can name it, and refuse what an older one still tries to write.
    pub fn epoch(&self) -> Epoch {
        self.ticket.epoch
    }

    /// What the task was given.
    pub fn payload(&self) -> Option<&Payload> {
        self.spec().payload.as_ref()
    }

    /// All that was asked for.
    pub fn spec(&self) -> &Spec {
        &self.ticket.work.spec
    }

    /// How much time is left; nought once it is up.
    pub fn time_left(&self) -> Duration {
        self.deadline.since(self.clock.mono())
    }

    /// Whether the handler is to stop: somebody cancelled the task, its time is up, or the server
    /// ends. A long run should ask now and then, and return [`Outcome::Cancelled`] when it is so.
    ///
    /// [`Outcome::Cancelled`]: crate::domain::Outcome::Cancelled
    pub fn cancelled(&self) -> bool {
        self.seat.is_asked_to_stop(self.run) || self.halt.asked() || self.time_left().is_zero()
    }
}
