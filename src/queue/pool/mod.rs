//! The pool's queue: ready tasks of the types whose runs block, one line for each type.
//!
//! A slot takes the ticket of the highest band among the types that may start one now, the earliest
//! within a band. A type may start one while it has fewer runs than its limit, its rate allows it,
//! and no breaker of its holds it back; one that may not delays no other.
//!
//! One lock guards all of it. A run takes a process or a request, beside which a lock is nothing;
//! nothing here is on the way through the cores.

mod crew;
mod line;
mod runs;

#[cfg(all(test, not(modelled)))]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crew::Crew;
use line::Line;
use runs::{Row, Runs};

pub use crew::{CrewLook, CrewSizes};
pub use line::{Guard, LineLook, LineSetup};
pub use runs::{PoolRun, PoolRunning, Wake, Wishes};

use super::{Moment, RunEnd, Tenure, Ticket};
use crate::clock::{Clock, Mono};
use crate::domain::{Breaker, BreakerState, Call, Epoch, Run, TaskId, TimeMs};

/// Ready tasks whose runs block, and the runs under way.
pub struct Pool<W> {
    inner: Mutex<Inner<W>>,
    /// Rings when there may be something for a thread that waits.
    work: Condvar,
    /// Rings when a thread has left.
    left: Condvar,
    /// How long a run of this ticket may take.
    time_limit: fn(&Ticket<W>) -> Duration,
    waiting_max: usize,
    /// Until when tickets may be taken.
    tenure: Tenure,
}

struct Inner<W> {
    lines: Vec<Line<W>>,
    breakers: Vec<(Arc<str>, Breaker)>,
    runs: Runs,
    crew: Crew,
    /// Numbers the tickets in the order they came.
    pushed: u64,
    /// No ticket is taken any more.
    stopping: bool,
    /// When the thread that watches the clock wakes up.
    alarm: Option<Mono>,
}

/// A ticket that was taken, and its run.
pub struct Started<W> {
    /// The ticket.
    pub ticket: Arc<Ticket<W>>,
    /// Its run, to be ended with [`Pool::end`].
    pub run: PoolRun,
    /// When it started.
    pub at: Moment,
    /// When its time is up.
    pub deadline: Mono,
    /// What others want of it.
    pub wishes: Arc<Wishes>,
    /// Nobody waits for the next ticket: whoever took this one starts another thread first.
    pub hire: bool,
}

/// What a breaker does, as others may see it.
#[derive(Debug, Clone)]
pub struct BreakerLook {
    /// What it guards: a task type, or a host.
    pub name: Arc<str>,
    /// Where it stands.
    pub state: BreakerState,
    /// The percentage of failures that are judged now, where there are enough.
    pub failures_percent: Option<f64>,
    /// How often it has opened.
    pub opened: u64,
}

/// What a look at a line for a ticket comes to.
enum Found {
    Ticket(usize),
    /// There are tickets, but none may start before this time.
    NotBefore(Mono),
    Nothing,
}

/// How often a thread looks whether its node may start something again.
const BARRED: Duration = Duration::from_millis(20);

/// How far ahead tickets are worth having in memory.
const AHEAD: Duration = Duration::from_secs(1);

impl<W> Pool<W> {
    /// An empty queue with these lines. `waiting_max`: most tickets that wait in memory.
    pub fn new(
        lines: Vec<LineSetup>,
        crew: CrewSizes,
        waiting_max: usize,
        time_limit: fn(&Ticket<W>) -> Duration,
    ) -> Pool<W> {
        let mut breakers: Vec<(Arc<str>, Breaker)> = Vec::new();
        let mut line = |setup: LineSetup| {
            let mut guards = Vec::new();
            for guard in &setup.guards {
                let known = breakers.iter().position(|(name, _)| *name == guard.name);
                guards.push(known.unwrap_or(breakers.len()));
                if known.is_none() {
                    breakers.push((Arc::clone(&guard.name), Breaker::new(guard.policy)));
                }
            }
            Line::new(setup, guards)
        };
        let lines = lines.into_iter().map(&mut line).collect();
        let (runs, crew) = (Runs::default(), Crew::new(crew));
        let inner = Inner { lines, breakers, runs, crew, pushed: 0, stopping: false, alarm: None };
        let (work, left) = (Condvar::new(), Condvar::new());
        let (inner, tenure) = (Mutex::new(inner), Tenure::for_ever());
        Pool { inner, work, left, time_limit, waiting_max, tenure }
    }

    /// Until when tickets may be taken.
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.lock().lines.len()
    }

    /// Puts a ticket behind all others of its line and band.
    pub fn push(&self, line: usize, ticket: Arc<Ticket<W>>) {
        let mut inner = self.lock();
        inner.pushed += 1;
        let number = inner.pushed;
        inner.lines[line].push(number, ticket);
        if inner.crew.idle > 0 {
            self.work.notify_one();
        }
    }

    /// Says that a ticket of this line was withdrawn; it is dropped before long.
    pub fn withdrawn(&self, line: usize) {
        self.lock().lines[line].withdrawn();
    }

    /// How many tasks of each line are worth having in memory now, those that run among them.
    pub fn capacities(&self, now: Mono) -> Vec<usize> {
        let inner = self.lock();
        let waiting: usize = inner.lines.iter().map(Line::waiting).sum();
        let room = self.waiting_max.saturating_sub(waiting);
        let free = inner.crew.sizes.threads_max.saturating_sub(inner.runs.len());
        let of = |line: &Line<W>| line.capacity(now, AHEAD, free, room, &inner.breakers);
        inner.lines.iter().map(of).collect()
    }

    /// Waits for a ticket, takes it and starts its run. `None`: the thread is to end.
    pub fn next(&self, clock: &dyn Clock, wake: &Wake) -> Option<Started<W>> {
        let mut inner = self.lock();
        let since = clock.mono();
        loop {
            let now = Moment { mono: clock.mono(), wall: clock.now() };
            if inner.stopping {
                return self.leave(inner);
            }
            let not_before = match self.find(&inner, now.mono) {
                Found::Ticket(line) => {
                    if let Some(started) = self.start(&mut inner, line, now, wake) {
                        return Some(started);
                    }
                    continue;
                }
                Found::NotBefore(at) => Some(at),
                Found::Nothing => None,
            };
            let waited = now.mono.since(since);
            let Some(patience) = inner.crew.patience(waited) else { return self.leave(inner) };
            // One thread watches the clock for all.
            let watches = not_before.filter(|at| inner.alarm.is_none_or(|alarm| *at < alarm));
            let time = watches.map_or(patience, |at| at.since(now.mono).min(patience));
            if watches.is_some() {
                inner.alarm = watches;
            }
            inner.crew.idle += 1;
            inner = match self.work.wait_timeout(inner, time) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            };
            inner.crew.idle -= 1;
            if watches.is_some() && inner.alarm == watches {
                inner.alarm = None;
            }
        }
    }

    fn find(&self, inner: &Inner<W>, now: Mono) -> Found {
        if self.tenure.is_over(now) {
            return Found::NotBefore(now.plus(BARRED));
        }
        inner.find(now)
    }

    /// Takes a ticket and starts its run, if one may start now.
    pub fn try_next(&self, now: Moment, wake: &Wake) -> Option<Started<W>> {
        let mut inner = self.lock();
        while let Found::Ticket(line) = self.find(&inner, now.mono) {
            if let Some(started) = self.start(&mut inner, line, now, wake) {
                return Some(started);
            }
        }
        None
    }

    /// Ends a run. `GivenUp`: somebody else has reported it, and its thread is to end.
    pub fn end(&self, run: PoolRun, call: Call, now: Mono) -> RunEnd {
        let mut inner = self.lock();
        let Some(row) = inner.runs.remove(run) else {
            inner.crew.stuck -= 1;
            return RunEnd::GivenUp;
        };
        inner.ended(row, call, now);
        RunEnd::Own
    }

    /// Gives a run up: from now on its thread reports nothing for it, and counts as lost. `false`:
    /// it ended first.
    pub fn give_up(&self, run: PoolRun, now: Mono) -> bool {
        let mut inner = self.lock();
        let Some(row) = inner.runs.remove(run) else { return false };
        inner.ended(row, Call::Failed, now);
        inner.crew.threads -= 1;
        inner.crew.stuck += 1;
        self.work.notify_one();
        true
    }

    /// Whether a thread should be started although none has asked: the last one was given up.
    pub fn hire(&self) -> bool {
        let mut inner = self.lock();
        !inner.stopping && inner.crew.hire()
    }

    /// A thread that was to be started could not be.
    pub fn not_hired(&self) {
        self.lock().crew.threads -= 1;
    }

    /// Asks the run of this claim to stop. `false`: it has ended.
    pub fn ask_stop(&self, id: TaskId, epoch: Epoch) -> bool {
        let inner = self.lock();
        let row = inner.runs.of(id).filter(|row| row.epoch == epoch);
        row.inspect(|row| row.wishes.ask_stop()).is_some()
    }

    /// The times of a task that runs now; `None` if it does not, or just ended.
    pub fn run_of(&self, id: TaskId) -> Option<Run> {
        let inner = self.lock();
        inner.runs.of(id).map(Row::times)
    }

    /// How far a task that runs now says it is, in percent.
    pub fn progress_of(&self, id: TaskId) -> Option<u8> {
        self.lock().runs.of(id)?.wishes.progress()
    }

    /// The runs that have lasted for `moment`, each told once, and those that are `grace` past
    /// their deadline.
    pub fn look(
        &self,
        now: Mono,
        moment: Duration,
        grace: Duration,
    ) -> (Vec<PoolRunning>, Vec<PoolRunning>) {
        self.lock().runs.look(now, moment, grace)
    }

    /// No ticket is taken from now on; threads end once their runs have.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.work.notify_all();
    }

    /// Wakes all runs, so that they look whether they are to stop.
    pub fn wake_runs(&self) {
        self.lock().runs.wake_all();
    }

    /// Waits until all threads have left, at most this long. How many have not.
    pub fn await_threads(&self, at_most: Duration) -> usize {
        let inner = self.lock();
        let waited = self.left.wait_timeout_while(inner, at_most, |inner| inner.crew.threads > 0);
        let (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inner.crew.threads + inner.crew.stuck
    }

    /// What the breakers do.
    pub fn breakers(&self, now: Mono) -> Vec<BreakerLook> {
        let look = |(name, breaker): &(Arc<str>, Breaker)| BreakerLook {
            name: Arc::clone(name),
            state: breaker.state(now.0),
            failures_percent: breaker.failures_percent(),
            opened: breaker.opened(),
        };
        self.lock().breakers.iter().map(look).collect()
    }

    /// What each line does.
    pub fn line_looks(&self) -> Vec<LineLook> {
        self.lock().lines.iter().map(Line::look).collect()
    }

    /// What the threads do.
    pub fn crew(&self) -> CrewLook {
        let inner = self.lock();
        inner.crew.look(inner.runs.len())
    }

    /// When the longest waiting ticket became ready.
    pub fn oldest(&self) -> Option<TimeMs> {
        self.lock().lines.iter().filter_map(Line::oldest).min()
    }

    fn start(
        &self,
        inner: &mut Inner<W>,
        line: usize,
        now: Moment,
        wake: &Wake,
    ) -> Option<Started<W>> {
        let ticket = inner.lines[line].pop()?;
        if !ticket.take() {
            inner.lines[line].forgot_withdrawn();
            return None;
        }
        let guards = inner.lines[line].begin(now.mono);
        let mut passes = Vec::with_capacity(guards.len());
        for guard in guards {
            passes.extend(inner.breakers[guard].1.begin(now.mono.0).map(|pass| (guard, pass)));
        }
        let deadline = now.mono.plus((self.time_limit)(&ticket));
        let wishes = Arc::new(Wishes::new(Arc::clone(wake)));
        let row = Row {
            line,
            id: ticket.id,
            epoch: ticket.epoch,
            since: now,
            ready_at: ticket.ready_at,
            deadline,
            wishes: Arc::clone(&wishes),
            passes,
            is_told: false,
        };
        let run = inner.runs.insert(row);
        let hire = inner.crew.hire();
        if inner.crew.idle > 0 && inner.lines.iter().any(|line| line.waiting() > 0) {
            // There may be more to start, or a time to watch for.
            self.work.notify_one();
        }
        Some(Started { ticket, run, at: now, deadline, wishes, hire })
    }

    fn leave(&self, mut inner: MutexGuard<'_, Inner<W>>) -> Option<Started<W>> {
        inner.crew.threads -= 1;
        self.left.notify_all();
        None
    }

    /// A panic under the lock is a defect that ends its thread; the others go on with what is
    /// there.
    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Inner<W> {
    fn find(&self, now: Mono) -> Found {
        let mut best = None;
        let mut earliest = None::<Mono>;
        for (place, line) in self.lines.iter().enumerate() {
            let Some(head) = line.head() else { continue };
            match line.may_start(now, &self.breakers) {
                line::Start::Now if best.is_none_or(|(best, _)| head < best) => {
                    best = Some((head, place));
                }
                line::Start::At(at) => earliest = Some(earliest.map_or(at, |e| e.min(at))),
                line::Start::Now | line::Start::AfterAnEnd => {}
            }
        }
        match (best, earliest) {
            (Some((_, line)), _) => Found::Ticket(line),
            (None, Some(at)) => Found::NotBefore(at),
            (None, None) => Found::Nothing,
        }
    }

    fn ended(&mut self, row: Row, call: Call, now: Mono) {
        self.lines[row.line].ended(now.since(row.since.mono));
        for (guard, pass) in row.passes {
            self.breakers[guard].1.end(pass, call, now.0);
        }
    }
}
