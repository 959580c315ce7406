//! The cores on their threads: start, watch, stop.
//!
//! Each core has a thread, pinned to its CPU. A task that ignores its deadline for too long is
//! given up: its outcome is reported in its name, and a spare core takes the CPU over. The stuck
//! thread ends when its handler returns, and its core is a spare from then on.
//!
//! Absent on purpose: a thread that watches. [`Cores::tick`] is called by one that has other
//! periodic work.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::ending::timeout_failure;
use super::watch::{Found, Watch};
use super::{Core, Mail, Pins, Registry, Step, pin};
use crate::clock::Clock;
use crate::domain::{Outcome, Run};
use crate::persistence::{Happened, Report, Work};
use crate::queue::{Entrance, Running, Seat};
use crate::stop::Stop;

/// The engine's pinned threads.
pub struct Cores {
    entrance: Arc<Entrance<Work>>,
    clock: Arc<dyn Clock>,
    stop: Stop,
    halt: Stop,
    cpus: Vec<usize>,
    /// Which of the CPUs each seat's thread has, if it has one.
    place_of: Vec<Option<usize>>,
    spares: Vec<Core>,
    /// Threads that have not ended.
    threads: usize,
    /// Threads that are inside a handler that was given up.
    stuck: usize,
    over: (Sender<Over>, Receiver<Over>),
    watch: Watch,
    mail: Mail,
}

/// A thread's last word.
enum Over {
    /// Its core, for others to use.
    Ended(Box<Core>),
    /// It panicked outside any handler, which is a defect of ours.
    Died,
}

/// What a tick found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tick {
    /// Runs that were given up just now.
    pub given_up: usize,
    /// Threads that are stuck in handlers that were given up.
    pub stuck: usize,
    /// There is no spare core left, or a core's thread has died: the process must exit, to be
    /// started again.
    pub must_exit: bool,
}

/// How the stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// All threads have ended, and all their reports are with the writer.
    Clean,
    /// So many threads are still inside handlers that do not stop.
    Left(usize),
}

impl Stopped {
    /// How many threads are still inside handlers.
    pub fn left(self) -> usize {
        match self {
            Stopped::Clean => 0,
            Stopped::Left(threads) => threads,
        }
    }
}

impl Cores {
    /// How many seats the lanes need for so many cores: each may be stuck twice over.
    pub fn seats_for(cores: usize) -> usize {
        3 * cores
    }

    /// Starts a thread for each of the CPUs. `seats` are all those of `entrance`.
    pub fn start(
        pins: &Pins,
        seats: Vec<Seat<Work>>,
        entrance: Arc<Entrance<Work>>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        mail: Mail,
    ) -> io::Result<Cores> {
        let halt = Stop::new();
        let count = entrance.board().seats();
        let make = |seat| {
            let (registry, clock) = (Arc::clone(&registry), Arc::clone(&clock));
            Core::new(seat, registry, clock, mail.another(), halt.clone())
        };
        // The last one is the first to be used.
        let spares: Vec<Core> = seats.into_iter().rev().map(make).collect();
        let mut cores = Cores {
            entrance,
            clock,
            stop: Stop::new(),
            halt,
            cpus: pins.cpus.clone(),
            place_of: vec![None; count],
            spares,
            threads: 0,
            stuck: 0,
            over: bounded(count),
            watch: Watch::new(count),
            mail,
        };
        for place in 0..cores.cpus.len() {
            cores.start_on(place)?;
        }
        Ok(cores)
    }

    /// Shows long runs to the writer, gives up those that ignore their deadline, and puts spare
    /// cores in their place. To be called about every 25 ms.
    pub fn tick(&mut self) -> Tick {
        let mut tick = Tick::default();
        while let Ok(over) = self.over.1.try_recv() {
            // Only a stuck thread ends before the stop.
            self.stuck = self.stuck.saturating_sub(1);
            tick.must_exit |= !self.take_back(over);
        }
        let now = self.clock.mono();
        for found in self.watch.look(self.entrance.board(), now) {
            match found {
                Found::Began(running) => {
                    let at = running.since.wall;
                    self.report(&running, Happened::Began { at });
                }
                Found::Overdue(running) if self.entrance.board().give_up(&running) => {
                    tick.given_up += 1;
                    tick.must_exit |= !self.replace(&running);
                }
                Found::Overdue(_) => {}
            }
        }
        // If the channel is full they wait here for the next tick; bounded, because a run is told
        // of twice at most and there are only so many seats.
        self.mail.flush();
        tick.stuck = self.stuck;
        tick
    }

    /// Lets the cores finish what they run, within `budget`; then asks the handlers to stop, and
    /// waits as long as `grace`. No ticket is taken from now on.
    pub fn stop(&mut self, budget: Duration, grace: Duration) -> Stopped {
        self.stop.ask();
        self.entrance.wake_all();
        self.await_threads(budget);
        self.halt.ask();
        self.await_threads(grace);
        self.mail.flush_within(grace);
        match self.threads {
            0 => Stopped::Clean,
            left => Stopped::Left(left),
        }
    }

    fn await_threads(&mut self, at_most: Duration) {
        let from = self.clock.mono();
        while self.threads > 0 {
            let left = at_most.saturating_sub(self.clock.mono().since(from));
            match self.over.1.recv_timeout(left) {
                Ok(over) => self.take_back(over),
                Err(_) => return,
            };
        }
    }

    /// A thread has ended. `false`: its core is lost with it.
    fn take_back(&mut self, over: Over) -> bool {
        self.threads -= 1;
        match over {
            Over::Ended(core) => self.spares.push(*core),
            Over::Died => return false,
        }
        true
    }

    /// Reports a run that was given up in its name and puts a spare core on its CPU. `false`: there
    /// is none.
    fn replace(&mut self, running: &Running) -> bool {
        self.stuck += 1;
        let took = self.clock.mono().since(running.since.mono);
        let limit = running.deadline.map_or(took, |deadline| deadline.since(running.since.mono));
        let run = Run {
            started_at: running.since.wall,
            took_us: took.as_micros() as u64,
            waited_us: running.since.wall.since_ms(running.ready_at) * 1000,
        };
        let outcome = Outcome::Failed(timeout_failure(limit));
        self.report(running, Happened::Ended(run, outcome));
        log::error!(
            "task {} ignores its deadline and is given up; core {} goes on without it",
            running.id,
            running.seat
        );
        let Some(place) = self.place_of[running.seat].take() else { return false };
        match self.start_on(place) {
            Ok(started) => started,
            Err(error) => {
                log::error!("failed to start a spare core: {error}");
                false
            }
        }
    }

    fn report(&mut self, running: &Running, what: Happened) {
        let report = Report { id: running.id, epoch: running.epoch, what };
        self.mail.post(report, self.clock.mono());
    }

    /// Puts a spare core on the CPU of this place. `false`: there is none.
    fn start_on(&mut self, place: usize) -> io::Result<bool> {
        let Some(core) = self.spares.pop() else { return Ok(false) };
        let (cpu, seat) = (self.cpus[place], core.seat());
        let (stop, over) = (self.stop.clone(), self.over.0.clone());
        thread::Builder::new().name(format!("core-{place}")).spawn(move || {
            if !pin::pin(cpu) {
                log::warn!("core {place} could not be pinned to CPU {cpu}");
            }
            let ended = catch_unwind(AssertUnwindSafe(|| work(core, &stop)));
            let last_word = ended.map_or(Over::Died, |core| Over::Ended(Box::new(core)));
            // The channel has room for every core there is.
            let _ = over.send(last_word);
        })?;
        self.place_of[seat] = Some(place);
        self.threads += 1;
        Ok(true)
    }
}

/// A core's thread.
fn work(mut core: Core, stop: &Stop) -> Core {
    /// How often a core that waits for the writer looks whether it is to stop.
    const LOOK_UP: Duration = Duration::from_millis(100);
    while !stop.asked() {
        match core.step() {
            Step::Ran | Step::SkippedWithdrawn => {}
            Step::Idle => core.sleep(stop),
            Step::MailFull => {
                core.wait_for_mail(LOOK_UP);
            }
            Step::GivenUp => break,
        }
    }
    // The writer outlives the cores; if it does not take the reports in this time, its store is
    // down, and the tasks run once more after the next start.
    core.wait_for_mail(Duration::from_secs(5));
    core
}
