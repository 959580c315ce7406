//! Cores: one, stepped on the test's thread with a manual clock; several, on their own threads.

mod core;
mod cores;
mod pin;
mod slots;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::alarm::Alarm;
use super::attempt::Place;
use super::{Attempt, Core, Handler, Mail, Registry, Step};
use crate::clock::{Clock, ManualClock, Mono, SystemClock};
use crate::domain::{Band, Draft, Epoch, Limits, Payload, TaskId, TimeMs};
use crate::persistence::{Bell, Happened, Report, Slot, Ticket, Work};
use crate::queue::{Entrance, LaneSettings, Seat, Wishes};
use crate::stop::Stop;

const NOW: TimeMs = TimeMs(1_000_000);
/// Longer than any test should take.
const LONG: Duration = Duration::from_secs(20);

/// Lanes, a registry and a mailbox, for as many seats as a test wants.
struct Stage {
    clock: Arc<ManualClock>,
    entrance: Arc<Entrance<Work>>,
    seats: Vec<Seat<Work>>,
    registry: Registry,
    reports: (crossbeam_channel::Sender<Vec<Report>>, Receiver<Vec<Report>>),
    halt: Stop,
    pushed: u64,
}

impl Stage {
    fn new(seats: usize) -> Stage {
        let (entrance, seats) = Entrance::new(seats, LaneSettings::default());
        Stage {
            clock: ManualClock::at(NOW),
            entrance,
            seats,
            registry: Registry::with_builtins(),
            reports: bounded(64),
            halt: Stop::new(),
            pushed: 0,
        }
    }

    fn with(mut self, task_type: &str, handler: impl Handler) -> Stage {
        self.registry.register(task_type, handler).unwrap();
        self
    }

    fn mail(&self) -> Mail {
        Mail::new(self.reports.0.clone(), Bell::new().0)
    }

    /// Takes the first seat.
    fn core(&mut self) -> Core {
        let registry = Arc::new(std::mem::take(&mut self.registry));
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Core::new(self.seats.remove(0), registry, clock, self.mail(), self.halt.clone())
    }

    /// A ticket that has been ready for 20 ms and may run for 10 s.
    fn ticket(&mut self, task_type: &str, payload: Option<Payload>, attempt: u32) -> Arc<Ticket> {
        let slot = self.registry.slot(task_type).unwrap_or(Slot(u16::MAX));
        self.ticket_for(task_type, payload, attempt, slot)
    }

    fn ticket_for(
        &mut self,
        task_type: &str,
        payload: Option<Payload>,
        attempt: u32,
        slot: Slot,
    ) -> Arc<Ticket> {
        self.pushed += 1;
        let draft = Draft {
            name: Some("test".into()),
            task_type: Some(task_type.into()),
            payload,
            timeout_s: Some(10),
            ..Draft::default()
        };
        let spec = draft.check(&Limits::default()).unwrap();
        let spec = Arc::new(spec.into_spec(task_type.into(), NOW));
        let id = TaskId::new(self.pushed).unwrap();
        let work = Work { spec, slot, attempt };
        Arc::new(Ticket::new(id, Epoch(4), Band::Medium, TimeMs(NOW.0 - 20), work))
    }

    fn push(&mut self, task_type: &str) -> TaskId {
        let ticket = self.ticket(task_type, None, 1);
        let id = ticket.id;
        self.entrance.push(ticket);
        self.entrance.wake(1);
        id
    }

    fn push_all(&mut self, task_type: &str, n: usize) {
        for _ in 0..n {
            self.push(task_type);
        }
    }

    /// All reports that have been mailed so far.
    fn reported(&self) -> Vec<Report> {
        self.reports.1.try_iter().flatten().collect()
    }

    fn next_block(&self) -> Vec<Report> {
        self.reports.1.recv_timeout(LONG).expect("a block of reports")
    }
}

/// One attempt by itself, as on a slot, by the real clock: task 7, epoch 4, attempt 2.
pub(in crate::execution) struct Solo {
    ticket: Arc<Ticket>,
    wishes: Arc<Wishes>,
    alarm: Arc<Alarm>,
    clock: SystemClock,
    halt: Stop,
    deadline: Mono,
}

impl Solo {
    pub fn new(payload: Option<&str>, timeout_s: i64) -> Solo {
        let clock = SystemClock::new();
        let draft = Draft {
            name: Some("solo".into()),
            task_type: Some("SOLO".into()),
            payload: payload.map(Payload::text),
            timeout_s: Some(timeout_s),
            ..Draft::default()
        };
        let limits = Limits { payload_bytes_max: 1 << 20, ..Limits::default() };
        let spec = Arc::new(draft.check(&limits).unwrap().into_spec("SOLO".into(), clock.now()));
        let work = Work { spec, slot: Slot(0), attempt: 2 };
        let id = TaskId::new(7).unwrap();
        let ticket = Arc::new(Ticket::new(id, Epoch(4), Band::Medium, clock.now(), work));
        let alarm = Arc::new(Alarm::new().unwrap());
        let ringing = Arc::clone(&alarm);
        let wishes = Arc::new(Wishes::new(Arc::new(move || ringing.ring())));
        let deadline = clock.mono().plus(Duration::from_secs(timeout_s as u64));
        Solo { ticket, wishes, alarm, clock, halt: Stop::new(), deadline }
    }

    pub fn attempt(&self) -> Attempt<'_> {
        let (ticket, clock, halt) = (&*self.ticket, &self.clock, &self.halt);
        let place = Place::Slot(&self.wishes, &self.alarm);
        Attempt { ticket, place, deadline: self.deadline, clock, halt, key: &[7; 16] }
    }

    pub fn cancel(&self) {
        self.wishes.ask_stop();
    }
}

/// How long ago this clock was made.
pub(in crate::execution) fn elapsed(clock: &SystemClock) -> Duration {
    clock.mono().since(Mono(0))
}

/// What one attempt of this type comes to.
fn happened(stage: Stage, task_type: &str, payload: Option<Payload>, attempt: u32) -> Happened {
    let mut stage = stage;
    let ticket = stage.ticket(task_type, payload, attempt);
    stage.entrance.push(ticket);
    let mut core = stage.core();
    assert_eq!((core.step(), core.step()), (Step::Ran, Step::Idle));
    let mut reports = stage.reported();
    let report = reports.pop().expect("a report");
    assert!(reports.is_empty(), "more than one: {reports:?}");
    assert_eq!((report.id.get(), report.epoch), (1, Epoch(4)));
    report.what
}
