//! Slots on their own threads: what runs there, what stops it, and what becomes of one that does
//! not stop.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{LONG, NOW, Stage};
use crate::clock::{Clock, SystemClock};
use crate::domain::{FailureKind, Outcome};
use crate::execution::{Attempt, Blocking, Handler, Slots, Stopped, time_limit};
use crate::persistence::{Happened, Report, Slot, Work};
use crate::queue::{CrewSizes, Pool};

struct Bench {
    stage: Stage,
    pool: Arc<Pool<Work>>,
    slots: Slots,
    slot: Slot,
}

fn bench(handler: impl Handler) -> Bench {
    let mut stage = Stage::new(1);
    let blocking = Blocking::default();
    stage.registry.register_blocking("SLOW", handler, blocking).unwrap();
    let crew = CrewSizes { threads_kept: 2, threads_max: 4, keep_alive: LONG };
    let pool = Arc::new(Pool::new(stage.registry.lines(4), crew, 100, time_limit));
    let clock: Arc<dyn Clock> = Arc::clone(&stage.clock) as Arc<dyn Clock>;
    let registry = Arc::new(std::mem::take(&mut stage.registry));
    let slot = registry.slot("SLOW").unwrap();
    let cpus = crate::execution::allowed_cpus();
    let slots = Slots::start(Arc::clone(&pool), registry, clock, stage.mail(), &cpus).unwrap();
    Bench { stage, pool, slots, slot }
}

impl Bench {
    fn push(&mut self) {
        let ticket = self.stage.ticket_for("SLOW", None, 1, self.slot);
        self.pool.push(0, ticket);
    }

    fn outcome(&self) -> Outcome {
        let report = self.report();
        match report.what {
            Happened::Ended(run, outcome) => {
                assert_eq!((run.started_at, run.waited_us), (NOW, 20_000));
                outcome
            }
            other => panic!("{other:?}"),
        }
    }

    fn report(&self) -> Report {
        let mut block = self.stage.next_block();
        assert_eq!(block.len(), 1);
        block.remove(0)
    }
}

/// A handler that says when it begins and ends when it is told to.
fn told() -> (impl Handler, Receiver<()>, Sender<()>) {
    let (begins, begun) = bounded(100);
    let (tell, told) = bounded(100);
    let handler = move |_: &Attempt<'_>| {
        begins.send(()).unwrap();
        told.recv_timeout(LONG).unwrap();
    };
    (handler, begun, tell)
}

#[test]
fn as_many_run_at_a_time_as_there_may_be_threads() {
    let (handler, begun, tell) = told();
    let mut bench = bench(handler);
    (0..6).for_each(|_| bench.push());
    (0..4).for_each(|_| begun.recv_timeout(LONG).unwrap());
    assert_eq!((bench.pool.crew().threads, bench.pool.crew().running), (4, 4));
    (0..6).for_each(|_| tell.send(()).unwrap());
    (0..6).for_each(|_| assert_eq!(bench.outcome(), Outcome::Done(None)));
    assert_eq!(bench.slots.stop(LONG, LONG), Stopped::Clean);
}

#[test]
fn a_panic_ends_the_run_and_nothing_else_and_the_attempt_knows_its_time() {
    let mut bench = bench(|attempt: &Attempt<'_>| -> () {
        assert_eq!(attempt.deadline(), NOW.plus_ms(10_000));
        assert!(attempt.alarm().is_some());
        panic!("no");
    });
    for _ in 0..2 {
        bench.push();
        let Outcome::Failed(failure) = bench.outcome() else { panic!("it did not fail") };
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Panic, PANICKED));
    }
    assert!(!bench.slots.tick().must_exit);
}

const PANICKED: &str = "the handler panicked: no";

#[test]
fn a_run_is_woken_and_told_when_somebody_cancels_it() {
    let (begins, begun) = bounded(1);
    let mut bench = bench(move |attempt: &Attempt<'_>| {
        begins.send(attempt.id()).unwrap();
        let alarm = attempt.alarm().unwrap();
        let mut fds = [rustix::event::PollFd::new(&alarm, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&limit)).unwrap();
        assert!(attempt.cancelled());
        Outcome::Cancelled
    });
    for _ in 0..2 {
        bench.push();
        let id = begun.recv_timeout(LONG).unwrap();
        assert!(bench.pool.ask_stop(id, crate::domain::Epoch(4)));
        assert_eq!(bench.outcome(), Outcome::Cancelled);
    }
}

#[test]
fn a_run_that_ignores_its_deadline_is_given_up_and_another_thread_goes_on() {
    let (handler, begun, tell) = told();
    let mut bench = bench(handler);
    bench.push();
    begun.recv_timeout(LONG).unwrap();
    bench.stage.clock.advance(Duration::from_millis(14_999));
    assert_eq!(bench.slots.tick().given_up, 0);
    assert!(matches!(bench.report().what, Happened::Began { at: NOW }));
    bench.stage.clock.advance(Duration::from_millis(2));
    let tick = bench.slots.tick();
    assert_eq!((tick.given_up, tick.stuck, tick.must_exit), (1, 1, false));
    let Outcome::Failed(failure) = bench.outcome() else { panic!("it did not fail") };
    assert_eq!(failure.kind, FailureKind::Timeout);
    bench.push();
    begun.recv_timeout(LONG).unwrap();
    (0..2).for_each(|_| tell.send(()).unwrap());
    assert!(matches!(bench.report().what, Happened::Ended(_, Outcome::Done(None))));
    // The thread that was given up says nothing when it comes back; it only no longer counts.
    let real = SystemClock::new();
    let latest = real.mono().plus(LONG);
    while bench.slots.tick().stuck > 0 {
        assert!(real.mono() < latest, "the thread did not come back");
        std::thread::yield_now();
    }
    assert_eq!(bench.slots.stop(LONG, LONG), Stopped::Clean);
    assert!(bench.stage.reported().is_empty());
}

#[test]
fn what_stops_because_the_server_ends_reports_nothing() {
    let (begins, begun) = bounded(1);
    let mut bench = bench(move |attempt: &Attempt<'_>| {
        begins.send(()).unwrap();
        while !attempt.cancelled() {
            std::thread::yield_now();
        }
        Outcome::Cancelled
    });
    bench.push();
    begun.recv_timeout(LONG).unwrap();
    assert_eq!(bench.slots.stop(Duration::from_millis(1), LONG), Stopped::Clean);
    assert!(bench.stage.reported().is_empty());
}
