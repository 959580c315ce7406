//! The board: what every seat runs now, and what it has done so far.
//!
//! One padded row for each seat, written by that seat alone but for two wishes of others: *please
//! stop* and *you are given up*. Counters are each seat's own and summed when somebody reads.
//!
//! A row names its present run by a number that never comes back, so a wish meant for one run is
//! never taken for the next, even of the same task. The other fields of a row belong to the run
//! that a reader saw before **and** after reading them; else the reading is thrown away.

use crossbeam_utils::CachePadded;

use super::Ticket;
use super::sync::{AtomicU64, Ordering, fence};
use crate::clock::Mono;
use crate::domain::{Epoch, Run, TaskId, TimeMs};

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// For durations and limits.
    pub mono: Mono,
    /// For people.
    pub wall: TimeMs,
}

/// What a seat runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The seat.
    pub seat: usize,
    /// The number of the run on this seat.
    pub run: RunNumber,
    /// The task.
    pub id: TaskId,
    /// The claim it runs under.
    pub epoch: Epoch,
    /// Since when.
    pub since: Moment,
    /// When its time is up; `None` as long as the core has not said.
    pub deadline: Option<Mono>,
    /// Since when the task could start.
    pub ready_at: TimeMs,
}

/// Names one run on one seat; later runs have greater numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunNumber(u64);

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// As usual: the seat reports what became of it.
    Own,
    /// It was given up before: somebody else has reported, and another seat has the CPU.
    GivenUp,
}

/// What a seat has done, or all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tickets taken.
    pub taken: u64,
    /// Of these, from another seat's lane.
    pub stolen: u64,
    /// Of these, straight from the intake.
    pub from_intake: u64,
    /// Of these, in the share of the lower bands.
    pub by_share: u64,
    /// Tickets that had been withdrawn before.
    pub withdrawn: u64,
    /// How often it went to sleep.
    pub parked: u64,
    /// Time inside handlers, in microseconds.
    pub busy_us: u64,
}

/// What every seat runs now, and has done.
pub struct Board {
    rows: Box<[CachePadded<Row>]>,
}

impl Board {
    pub(super) fn new(seats: usize) -> Board {
        Board { rows: (0..seats).map(|_| CachePadded::new(Row::new())).collect() }
    }

    pub(super) fn row(&self, seat: usize) -> &Row {
        &self.rows[seat]
    }

    /// How many seats there are.
    pub fn seats(&self) -> usize {
        self.rows.len()
    }

    /// What runs now, seat by seat.
    pub fn running(&self) -> impl Iterator<Item = Running> {
        self.rows.iter().enumerate().filter_map(|(seat, row)| row.read(seat))
    }

    /// The times of a task that runs now; `None` if it does not, or just ended.
    pub fn run_of(&self, id: TaskId, ready_at: TimeMs) -> Option<Run> {
        let running = self.running().find(|running| running.id == id)?;
        let started_at = running.since.wall;
        Some(Run { started_at, took_us: 0, waited_us: started_at.since_ms(ready_at) * 1000 })
    }

    /// How far a task that runs now says it is, in percent.
    pub fn progress_of(&self, id: TaskId) -> Option<u8> {
        let running = self.running().find(|running| running.id == id)?;
        self.rows[running.seat].progress_of(running.run)
    }

    /// Asks the run of this claim to stop. `false`: it has ended.
    ///
    /// A taker puts its run on the board before it takes the ticket, so whoever failed to withdraw
    /// the ticket finds the run here unless it is over.
    pub fn ask_stop(&self, id: TaskId, epoch: Epoch) -> bool {
        let is_it = |running: &Running| running.id == id && running.epoch == epoch;
        let Some(running) = self.running().find(is_it) else { return false };
        // Max: a late wish for an older run must not undo one for a newer. Release: the run that
        // sees the wish also sees what led to it.
        self.rows[running.seat].stop_for.fetch_max(running.run.0, Ordering::Release);
        true
    }

    /// Gives a run up: from now on its seat reports nothing for it. `false`: it ended first.
    pub fn give_up(&self, running: &Running) -> bool {
        let (from, to) = (running.run.0, running.run.0 | GIVEN_UP);
        // AcqRel: decides, against the seat's own end of the run, who reports.
        let run = &self.rows[running.seat].run;
        run.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// What each seat has done.
    pub fn counts(&self) -> Vec<Counts> {
        self.rows.iter().map(|row| row.counts()).collect()
    }

    /// What all seats have done.
    pub fn total(&self) -> Counts {
        self.rows.iter().map(|row| row.counts()).fold(Counts::default(), Counts::plus)
    }
}

impl Counts {
    fn plus(self, other: Counts) -> Counts {
        Counts {
            taken: self.taken + other.taken,
            stolen: self.stolen + other.stolen,
            from_intake: self.from_intake + other.from_intake,
            by_share: self.by_share + other.by_share,
            withdrawn: self.withdrawn + other.withdrawn,
            parked: self.parked + other.parked,
            busy_us: self.busy_us + other.busy_us,
        }
    }
}

/// The lowest bit of a run word marks a run that was given up; numbers go up in twos.
const GIVEN_UP: u64 = 1;
const NEVER: u64 = u64::MAX;

/// One seat's row.
pub(super) struct Row {
    /// Nought: nothing runs.
    run: AtomicU64,
    id: AtomicU64,
    epoch: AtomicU64,
    since_us: AtomicU64,
    since_ms: AtomicU64,
    ready_ms: AtomicU64,
    deadline_us: AtomicU64,
    stop_for: AtomicU64,
    /// The run that last told how far it is, and that: in the eight lowest bits.
    progress: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) stolen: AtomicU64,
    pub(super) from_intake: AtomicU64,
    pub(super) by_share: AtomicU64,
    pub(super) withdrawn: AtomicU64,
    pub(super) parked: AtomicU64,
    pub(super) busy_us: AtomicU64,
}

impl Row {
    fn new() -> Row {
        let nought = || AtomicU64::new(0);
        Row {
            run: nought(),
            id: nought(),
            epoch: nought(),
            since_us: nought(),
            since_ms: nought(),
            ready_ms: nought(),
            deadline_us: nought(),
            stop_for: nought(),
            progress: nought(),
            taken: nought(),
            stolen: nought(),
            from_intake: nought(),
            by_share: nought(),
            withdrawn: nought(),
            parked: nought(),
            busy_us: nought(),
        }
    }

    /// The number of a seat's `count`-th run.
    pub fn number(count: u64) -> RunNumber {
        RunNumber(count << 1)
    }

    /// Puts the ticket's run on the board, then takes the ticket; takes the run off again if the
    /// ticket was withdrawn. In this order, for [`Board::ask_stop`] rests on it.
    pub fn start<W>(&self, run: RunNumber, ticket: &Ticket<W>, at: Moment) -> bool {
        self.begin(run, ticket.id, ticket.epoch, at, ticket.ready_at);
        let is_ours = ticket.take();
        if !is_ours {
            self.end();
        }
        is_ours
    }

    /// Puts a run on the board. Only the seat itself calls this, and only when nothing runs.
    pub(super) fn begin(
        &self,
        run: RunNumber,
        id: TaskId,
        epoch: Epoch,
        at: Moment,
        ready_at: TimeMs,
    ) {
        // The run word is nought since the last end. A reader that sees one of these stores also
        // sees, behind its own fence, that the run word has changed.
        fence(Ordering::Release);
        self.id.store(id.get(), Ordering::Relaxed);
        self.epoch.store(epoch.0, Ordering::Relaxed);
        self.since_us.store(at.mono.0, Ordering::Relaxed);
        self.since_ms.store(at.wall.0 as u64, Ordering::Relaxed);
        self.ready_ms.store(ready_at.0 as u64, Ordering::Relaxed);
        self.deadline_us.store(NEVER, Ordering::Relaxed);
        // Release: who sees the number sees the fields.
        self.run.store(run.0, Ordering::Release);
    }

    /// Says when the present run's time is up.
    pub fn set_deadline(&self, deadline: Mono) {
        self.deadline_us.store(deadline.0, Ordering::Relaxed);
    }

    /// Takes the run off the board.
    pub fn end(&self) -> RunEnd {
        // AcqRel: decides, against `give_up`, who reports.
        match self.run.swap(0, Ordering::AcqRel) & GIVEN_UP {
            0 => RunEnd::Own,
            _ => RunEnd::GivenUp,
        }
    }

    /// Whether this run was asked to stop.
    pub fn is_asked(&self, run: RunNumber) -> bool {
        self.stop_for.load(Ordering::Acquire) == run.0
    }

    /// Says how far this run is, in percent.
    pub fn set_progress(&self, run: RunNumber, percent: u8) {
        // Relaxed: the number says which run it is about, and nothing is published with it.
        self.progress.store(run.0 << 8 | u64::from(percent.min(100)), Ordering::Relaxed);
    }

    fn progress_of(&self, run: RunNumber) -> Option<u8> {
        let told = self.progress.load(Ordering::Relaxed);
        (told >> 8 == run.0).then_some(told as u8)
    }

    /// Whether a handler runs here, as far as can be seen without waiting.
    pub fn is_busy(&self) -> bool {
        // Relaxed: it only chooses whom to rob first.
        self.run.load(Ordering::Relaxed) != 0
    }

    fn read(&self, seat: usize) -> Option<Running> {
        // A few tries: each failure means that a run just ended.
        for _ in 0..4 {
            let word = self.run.load(Ordering::Acquire);
            if word == 0 || word & GIVEN_UP != 0 {
                return None;
            }
            let (id, epoch) = (&self.id, &self.epoch);
            let (id, epoch) = (id.load(Ordering::Relaxed), epoch.load(Ordering::Relaxed));
            let mono = Mono(self.since_us.load(Ordering::Relaxed));
            let wall = TimeMs(self.since_ms.load(Ordering::Relaxed) as i64);
            let ready_at = TimeMs(self.ready_ms.load(Ordering::Relaxed) as i64);
            let deadline = self.deadline_us.load(Ordering::Relaxed);
            // Pairs with the fence in `begin`: if any field was newer, so is the run word.
            fence(Ordering::Acquire);
            if self.run.load(Ordering::Relaxed) & !GIVEN_UP == word {
                let deadline = (deadline != NEVER).then_some(Mono(deadline));
                let (run, since) = (RunNumber(word), Moment { mono, wall });
                let (id, epoch) = (TaskId::new(id)?, Epoch(epoch));
                return Some(Running { seat, run, id, epoch, since, deadline, ready_at });
            }
        }
        None
    }

    fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            taken: read(&self.taken),
            stolen: read(&self.stolen),
            from_intake: read(&self.from_intake),
            by_share: read(&self.by_share),
            withdrawn: read(&self.withdrawn),
            parked: read(&self.parked),
            busy_us: read(&self.busy_us),
        }
    }
}

/// Adds to a counter that only the calling seat writes: cheaper than an atomic addition.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}
