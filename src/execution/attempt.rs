//! An attempt: what a handler knows about the one run it is called for.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::alarm::{Alarm, Waking};
use crate::clock::{Clock, Mono};
use crate::domain::{Epoch, LeaseToken, Payload, Spec, TaskId, TimeMs};
use crate::persistence::{Ticket, Work};
use crate::queue::{RunNumber, Seat, Wishes};
use crate::stop::Stop;

/// One run of one task.
pub struct Attempt<'a> {
    pub(super) ticket: &'a Ticket,
    pub(super) place: Place<'a>,
    pub(super) deadline: Mono,
    pub(super) clock: &'a dyn Clock,
    pub(super) halt: &'a Stop,
    /// What lease tokens are signed with.
    pub(super) key: &'a [u8; 16],
}

/// Where an attempt runs.
pub(super) enum Place<'a> {
    /// On a core.
    Seat(&'a Seat<Work>, RunNumber),
    /// On a thread for types whose runs block.
    Slot(&'a Wishes, &'a Alarm),
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

    /// Speaks for this attempt at `/api/v1/leases` once the handler has handed it over
    /// ([`Doing::GoesOn`](super::Doing::GoesOn)).
    pub fn lease_token(&self) -> String {
        let lease_ms = u64::from(self.spec().timeout_s) * 1000;
        LeaseToken { id: self.id(), epoch: self.epoch(), lease_ms }.write(self.key)
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

    /// When the time is up.
    pub fn deadline(&self) -> TimeMs {
        self.clock.now().plus_ms(self.time_left().as_millis() as u64)
    }

    /// Says how far the run is, in percent: people see it while the task runs.
    pub fn progress(&self, percent: u8) {
        match self.place {
            Place::Seat(seat, run) => seat.set_progress(run, percent),
            Place::Slot(wishes, _) => wishes.set_progress(percent),
        }
    }

    /// Whether the handler is to stop: somebody cancelled the task, its time is up, or the server
    /// ends. A long run should ask now and then, and return [`Outcome::Cancelled`] when it is so.
    ///
    /// [`Outcome::Cancelled`]: crate::domain::Outcome::Cancelled
    pub fn cancelled(&self) -> bool {
        self.is_unwanted() || self.time_left().is_zero()
    }

    /// The time of day.
    pub(super) fn wall(&self) -> TimeMs {
        self.clock.now()
    }

    /// Whether the server ends, and soon.
    pub(super) fn is_halted(&self) -> bool {
        self.halt.asked()
    }

    /// Calls `word` when somebody cancels the task or the server ends, as long as what is returned
    /// lives; that must not wait.
    pub(super) fn when_woken(&self, word: impl Fn() + Send + 'static) -> Waking<'_> {
        match self.place {
            Place::Seat(..) => Waking::never(),
            Place::Slot(_, alarm) => alarm.when_rung(word),
        }
    }

    /// Whether somebody cancelled the task or the server ends.
    pub(super) fn is_unwanted(&self) -> bool {
        let asked = match self.place {
            Place::Seat(seat, run) => seat.is_asked_to_stop(run),
            Place::Slot(wishes, _) => wishes.is_asked_to_stop(),
        };
        asked || self.halt.asked()
    }

    /// Becomes readable when somebody cancels the task or the server ends, for handlers that wait
    /// for descriptors; `None` on a core, where nothing waits.
    pub fn alarm(&self) -> Option<BorrowedFd<'_>> {
        match self.place {
            Place::Seat(..) => None,
            Place::Slot(_, alarm) => Some(alarm.as_fd()),
        }
    }
}
