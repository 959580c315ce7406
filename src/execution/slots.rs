//! The slots: threads for types whose runs block, so that no core ever waits.
//!
//! There are as many as there is work for, within bounds; whoever takes a ticket and leaves nobody
//! behind starts the next one. They keep off the engine's CPUs where there are others, and so does
//! whatever they start. A run that ignores its deadline for too long is given up, as on a core: its
//! outcome is reported in its name, and its thread is lost until it comes back.
//!
//! Promise: every ticket taken leads to exactly one report, and every breaker hears of every call.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::alarm::Alarm;
use super::attempt::Place;
use super::ending::{self, End};
use super::watch::Watch;
use super::{Attempt, Mail, Registry, Stopped, Tick, pin};
use crate::clock::Clock;
use crate::domain::{Outcome, Run};
use crate::persistence::{Happened, Report, Ticket, Work};
use crate::queue::{Pool, PoolRunning, RunEnd, Started, Wake};
use crate::stop::Stop;

/// The threads of types whose runs block.
pub struct Slots {
    shared: Arc<Shared>,
    mail: Mail,
}

struct Shared {
    pool: Arc<Pool<Work>>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    mail: Mail,
    halt: Stop,
    cpus: Vec<usize>,
    hired: AtomicU64,
    /// A thread has panicked outside any handler, which is a defect of ours.
    died: AtomicBool,
}

/// How long a run of this ticket may take; for [`Pool::new`].
pub fn time_limit(ticket: &Ticket) -> Duration {
    ending::time_limit(ticket)
}

impl Slots {
    /// Starts the first thread, if the pool has any line. `cpus`: where they may run.
    pub fn start(
        pool: Arc<Pool<Work>>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        mail: Mail,
        cpus: &[usize],
    ) -> io::Result<Slots> {
        let shared = Arc::new(Shared {
            pool,
            registry,
            clock,
            mail: mail.another(),
            halt: Stop::new(),
            cpus: cpus.to_vec(),
            hired: AtomicU64::new(0),
            died: AtomicBool::new(false),
        });
        if shared.pool.lines() > 0 && shared.pool.hire() {
            start_thread(&shared)?;
        }
        Ok(Slots { shared, mail })
    }

    /// Shows long runs to the writer and gives up those that ignore their deadline. To be called
    /// about every 25 ms.
    pub fn tick(&mut self) -> Tick {
        let Shared { pool, clock, .. } = &*self.shared;
        let now = clock.mono();
        let (lasting, overdue) = pool.look(now, Watch::MOMENT, Watch::GRACE);
        let mut tick = Tick::default();
        for running in lasting {
            let what = Happened::Began { at: running.since.wall };
            self.mail.post(Report { id: running.id, epoch: running.epoch, what }, now);
        }
        for running in overdue {
            if pool.give_up(running.run, now) {
                tick.given_up += 1;
                self.mail.post(given_up(&running, &**clock), now);
                log::error!("task {} ignores its deadline and is given up", running.id);
            }
        }
        if tick.given_up > 0 {
            hire(&self.shared);
        }
        // If the channel is full they wait here; bounded, as a run is told of twice at most.
        self.mail.flush();
        let crew = pool.crew();
        tick.stuck = crew.stuck;
        let is_dead = self.shared.died.load(Ordering::Relaxed);
        tick.must_exit = is_dead || crew.stuck > 2 * crew.threads_max;
        tick
    }

    /// No ticket is taken from now on.
    pub fn close(&self) {
        self.shared.pool.stop();
    }

    /// Lets what runs finish, within `budget`; then asks it to stop, and waits as long as `grace`.
    pub fn stop(&mut self, budget: Duration, grace: Duration) -> Stopped {
        self.close();
        let mut left = self.shared.pool.await_threads(budget);
        if left > 0 {
            self.shared.halt.ask();
            self.shared.pool.wake_runs();
            left = self.shared.pool.await_threads(grace);
        }
        self.mail.flush_within(grace);
        if left == 0 { Stopped::Clean } else { Stopped::Left(left) }
    }
}

/// The report of a run that was given up, in its name.
fn given_up(running: &PoolRunning, clock: &dyn Clock) -> Report {
    let run = Run {
        started_at: running.since.wall,
        took_us: clock.mono().since(running.since.mono).as_micros() as u64,
        waited_us: running.since.wall.since_ms(running.ready_at) * 1000,
    };
    let limit = running.deadline.since(running.since.mono);
    let what = Happened::Ended(run, Outcome::Failed(ending::timeout_failure(limit)));
    Report { id: running.id, epoch: running.epoch, what }
}

/// Starts another thread if none waits for work.
fn hire(shared: &Arc<Shared>) {
    if shared.pool.hire() {
        start_hired(shared);
    }
}

fn start_hired(shared: &Arc<Shared>) {
    if let Err(error) = start_thread(shared) {
        // The others go on, and hire again when they take the next ticket.
        shared.pool.not_hired();
        log::error!("failed to start a thread for a task: {error}");
    }
}

fn start_thread(shared: &Arc<Shared>) -> io::Result<()> {
    let alarm = Arc::new(Alarm::new()?);
    let number = shared.hired.fetch_add(1, Ordering::Relaxed);
    let shared = Arc::clone(shared);
    thread::Builder::new().name(format!("exec-{number}")).spawn(move || {
        pin::confine(&shared.cpus);
        if catch_unwind(AssertUnwindSafe(|| serve(&shared, &alarm))).is_err() {
            shared.died.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

/// A thread's life.
fn serve(shared: &Arc<Shared>, alarm: &Arc<Alarm>) {
    let ringing = Arc::clone(alarm);
    let wake: Wake = Arc::new(move || ringing.ring());
    let mut mail = shared.mail.another();
    while let Some(started) = shared.pool.next(&*shared.clock, &wake) {
        if started.hire {
            start_hired(shared);
        }
        alarm.silence();
        if run(shared, &started, alarm, &mut mail) == RunEnd::GivenUp {
            return;
        }
        // While the writer takes nothing, nothing more is started here.
        while !mail.flush_within(Duration::from_millis(100)) {
            if shared.halt.asked() {
                return;
            }
        }
    }
}

fn run(shared: &Shared, started: &Started<Work>, alarm: &Alarm, mail: &mut Mail) -> RunEnd {
    let Started { ticket, wishes, deadline, at, .. } = started;
    let clock = &*shared.clock;
    let attempt = Attempt {
        ticket,
        place: Place::Slot(wishes, alarm),
        deadline: *deadline,
        clock,
        halt: &shared.halt,
        key: shared.registry.key(),
    };
    let handler = shared.registry.handler(ticket.work.slot);
    let doing = handler.map_or_else(ending::no_handler, |h| ending::fenced(h, &attempt));
    let mono = clock.mono();
    let run = Run {
        started_at: at.wall,
        took_us: mono.since(at.mono).as_micros() as u64,
        waited_us: at.wall.since_ms(ticket.ready_at) * 1000,
    };
    let end = End {
        asked: wishes.is_asked_to_stop(),
        late: mono > *deadline,
        halted: shared.halt.asked(),
        clock,
    };
    let what = ending::happened(ticket, doing, run, end);
    let ended = shared.pool.end(started.run, ending::call_of(what.as_ref()), mono);
    if let (RunEnd::Own, Some(what)) = (ended, what) {
        mail.post(Report { id: ticket.id, epoch: ticket.epoch, what }, mono);
    }
    ended
}
