//! The pool's order and its limits, taken on one thread with a clock that stands still; the crew on
//! real threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::domain::{Band, BreakerPolicy, Rate};

const SECOND: Duration = Duration::from_secs(1);

fn line(name: &str, limit: usize) -> LineSetup {
    LineSetup { name: name.into(), limit, rate: None, guards: Vec::new() }
}

fn guarded(name: &str) -> LineSetup {
    let guard = Guard { name: "host".into(), policy: BreakerPolicy::default() };
    LineSetup { guards: vec![guard], ..line(name, 10) }
}

fn sizes(threads_kept: usize, threads_max: usize) -> CrewSizes {
    CrewSizes { threads_kept, threads_max, keep_alive: Duration::from_millis(20) }
}

struct Stage {
    pool: Pool<()>,
    clock: Arc<ManualClock>,
    wake: Wake,
    pushed: u64,
}

impl Stage {
    fn new(lines: Vec<LineSetup>) -> Stage {
        let pool = Pool::new(lines, sizes(4, 100), 1000, |_| Duration::from_secs(10));
        let clock = ManualClock::at(TimeMs(1_000_000));
        Stage { pool, clock, wake: Arc::new(|| ()), pushed: 0 }
    }

    fn push(&mut self, line: usize, band: Band) -> Arc<Ticket<()>> {
        self.pushed += 1;
        let id = TaskId::new(self.pushed).unwrap();
        let ticket = Arc::new(Ticket::new(id, Epoch(1), band, TimeMs::ZERO, ()));
        self.pool.push(line, Arc::clone(&ticket));
        ticket
    }

    fn take(&self) -> Option<Started<()>> {
        let now = Moment { mono: self.clock.mono(), wall: self.clock.now() };
        self.pool.try_next(now, &self.wake)
    }

    fn taken(&self) -> Option<u64> {
        self.take().map(|started| started.ticket.id.get())
    }

    fn end(&self, started: &Started<()>, call: Call) -> RunEnd {
        self.pool.end(started.run, call, self.clock.mono())
    }

    fn room(&self, line: usize) -> usize {
        self.pool.capacities(self.clock.mono())[line]
    }
}

#[test]
fn a_node_whose_lease_may_be_over_starts_nothing_that_blocks() {
    let mut stage = Stage::new(vec![line("A", 10)]);
    stage.push(0, Band::High);
    stage.pool.tenure().set_end(stage.clock.mono().plus(SECOND));
    stage.clock.advance(SECOND);
    assert_eq!(stage.taken(), None);
    stage.pool.tenure().set_end(stage.clock.mono().plus(SECOND));
    assert_eq!(stage.taken(), Some(1));
}

#[test]
fn the_highest_band_goes_first_and_within_a_band_who_came_first() {
    let mut stage = Stage::new(vec![line("A", 10), line("B", 10)]);
    for (line, band) in
        [(0, Band::Low), (1, Band::High), (0, Band::High), (1, Band::Critical), (1, Band::Low)]
    {
        stage.push(line, band);
    }
    let order: Vec<_> = std::iter::from_fn(|| stage.taken()).collect();
    assert_eq!(order, [4, 2, 3, 1, 5]);
}

#[test]
fn a_line_at_its_limit_holds_back_no_other_and_goes_on_after_an_end() {
    let mut stage = Stage::new(vec![line("A", 1), line("B", 10)]);
    stage.push(0, Band::Critical);
    stage.push(0, Band::Critical);
    stage.push(1, Band::Bulk);
    let first = stage.take().unwrap();
    assert_eq!((stage.taken(), stage.taken()), (Some(3), None));
    assert_eq!(stage.end(&first, Call::Worked), RunEnd::Own);
    assert_eq!(stage.taken(), Some(2));
}

#[test]
fn a_withdrawn_ticket_is_not_taken_and_not_kept_for_ever() {
    let mut stage = Stage::new(vec![line("A", 1)]);
    let running = stage.push(0, Band::High);
    assert_eq!(stage.taken(), Some(1));
    assert!(!running.withdraw());
    for _ in 0..1000 {
        let ticket = stage.push(0, Band::High);
        assert!(ticket.withdraw());
        stage.pool.withdrawn(0);
        let weak = Arc::downgrade(&ticket);
        drop(ticket);
        assert!(weak.strong_count() <= 1);
    }
    assert!(stage.pool.line_looks()[0].waiting[Band::High] < 40, "dead tickets pile up");
    assert_eq!(stage.pool.lock().lines[0].waiting(), 0);
}

#[test]
fn a_rate_lets_a_burst_start_and_then_one_after_the_other() {
    let rate = Some(Rate { per_second: 10.0, burst: 2 });
    let mut stage = Stage::new(vec![LineSetup { rate, ..line("A", 10) }]);
    (0..5).for_each(|_| drop(stage.push(0, Band::Medium)));
    stage.clock.advance(SECOND);
    assert_eq!((stage.taken(), stage.taken(), stage.taken()), (Some(1), Some(2), None));
    stage.clock.advance(Duration::from_millis(99));
    assert_eq!(stage.taken(), None);
    stage.clock.advance(Duration::from_millis(1));
    assert_eq!((stage.taken(), stage.taken()), (Some(3), None));
    assert!(stage.room(0) <= 3 + 10, "no more than the rate lets start within a second");
}

#[test]
fn an_open_breaker_holds_all_lines_back_that_share_it_and_trials_let_them_go() {
    let mut stage = Stage::new(vec![guarded("A"), guarded("B"), line("C", 10)]);
    for _ in 0..5 {
        stage.push(0, Band::High);
        let started = stage.take().unwrap();
        stage.end(&started, Call::Failed);
    }
    assert!(matches!(stage.pool.breakers(stage.clock.mono())[0].state, BreakerState::Open { .. }));
    (0..5).for_each(|_| drop(stage.push(1, Band::High)));
    let other = stage.push(2, Band::Bulk);
    assert_eq!((stage.taken(), stage.taken()), (Some(other.id.get()), None));
    assert_eq!((stage.room(0), stage.room(1)), (0, 0));
    stage.clock.advance(30 * SECOND);
    assert_eq!((stage.room(0), stage.room(1)), (3, 3));
    let trials: Vec<_> = std::iter::from_fn(|| stage.take()).collect();
    assert_eq!(trials.len(), 3);
    // One is given up by the watch, which counts as an end too.
    assert!(stage.pool.give_up(trials[0].run, stage.clock.mono()));
    assert_eq!(stage.end(&trials[0], Call::Worked), RunEnd::GivenUp);
    for trial in &trials[1..] {
        assert_eq!(stage.end(trial, Call::Worked), RunEnd::Own);
    }
    let look = &stage.pool.breakers(stage.clock.mono())[0];
    assert_eq!((look.state, look.opened), (BreakerState::Closed, 1));
    assert!(stage.taken().is_some());
}

#[test]
fn room_is_what_can_start_and_what_started_within_a_second() {
    let mut stage = Stage::new(vec![line("A", 3)]);
    assert_eq!(stage.room(0), 3);
    (0..3).for_each(|_| drop(stage.push(0, Band::High)));
    let runs: Vec<_> = std::iter::from_fn(|| stage.take()).collect();
    assert_eq!(stage.room(0), 3 + 3);
    stage.clock.advance(5 * SECOND);
    assert_eq!(stage.room(0), 3, "long runs need nobody to wait behind them");
    for run in &runs {
        assert_eq!(stage.end(run, Call::Worked), RunEnd::Own);
    }
    assert_eq!(stage.room(0), 3);
}

#[test]
fn a_run_can_be_asked_to_stop_by_its_claim_and_tells_its_progress() {
    let mut stage = Stage::new(vec![line("A", 3)]);
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    stage.wake = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let ticket = stage.push(0, Band::High);
    assert!(!stage.pool.ask_stop(ticket.id, Epoch(1)), "it does not run yet");
    let started = stage.take().unwrap();
    assert!(!stage.pool.ask_stop(ticket.id, Epoch(2)) && !started.wishes.is_asked_to_stop());
    assert!(stage.pool.ask_stop(ticket.id, Epoch(1)) && started.wishes.is_asked_to_stop());
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    assert_eq!(stage.pool.progress_of(ticket.id), None);
    started.wishes.set_progress(120);
    assert_eq!(stage.pool.progress_of(ticket.id), Some(100));
    assert_eq!(stage.pool.run_of(ticket.id).unwrap().started_at, TimeMs(1_000_000));
    stage.end(&started, Call::Worked);
    assert!(stage.pool.run_of(ticket.id).is_none());
}

#[test]
fn the_watch_is_told_of_a_long_run_once_and_of_an_overdue_one_until_it_is_given_up() {
    let mut stage = Stage::new(vec![line("A", 3)]);
    stage.push(0, Band::High);
    let started = stage.take().unwrap();
    let look = |stage: &Stage| {
        let (moment, grace) = (Duration::from_millis(50), 5 * SECOND);
        let (lasting, overdue) = stage.pool.look(stage.clock.mono(), moment, grace);
        (lasting.len(), overdue.len())
    };
    assert_eq!(look(&stage), (0, 0));
    stage.clock.advance(Duration::from_millis(50));
    assert_eq!((look(&stage), look(&stage)), ((1, 0), (0, 0)));
    stage.clock.advance(15 * SECOND);
    assert_eq!((look(&stage), look(&stage)), ((0, 1), (0, 1)));
    assert!(stage.pool.give_up(started.run, stage.clock.mono()));
    assert_eq!(look(&stage), (0, 0));
    assert_eq!(stage.pool.crew().stuck, 1);
}

/// Threads of a pool that are hired as it says, each run waiting for a word of the test.
struct Crowd {
    pool: Arc<Pool<()>>,
    go: crossbeam_channel::Receiver<()>,
    began: crossbeam_channel::Sender<()>,
}

fn hire(crowd: &Arc<Crowd>) {
    let crowd = Arc::clone(crowd);
    std::thread::spawn(move || {
        let clock = SystemClock::new();
        let wake: Wake = Arc::new(|| ());
        while let Some(started) = crowd.pool.next(&clock, &wake) {
            if started.hire {
                hire(&crowd);
            }
            crowd.began.send(()).unwrap();
            crowd.go.recv().unwrap();
            crowd.pool.end(started.run, Call::Worked, clock.mono());
        }
    });
}

#[test]
fn threads_come_as_they_are_needed_and_leave_when_they_are_not() {
    const LONG: Duration = Duration::from_secs(20);
    let mut stage = Stage::new(vec![line("A", 100)]);
    stage.pool = Pool::new(vec![line("A", 100)], sizes(2, 6), 1000, |_| Duration::from_secs(10));
    let pool = Arc::new(stage.pool);
    let (tell, go) = crossbeam_channel::bounded(100);
    let (began, begun) = crossbeam_channel::bounded(100);
    let crowd = Arc::new(Crowd { pool: Arc::clone(&pool), go, began });
    assert!(pool.hire());
    hire(&crowd);
    for n in 1..=10 {
        let id = TaskId::new(n).unwrap();
        pool.push(0, Arc::new(Ticket::new(id, Epoch(1), Band::High, TimeMs::ZERO, ())));
    }
    (0..6).for_each(|_| begun.recv_timeout(LONG).unwrap());
    assert_eq!((pool.crew().threads, pool.crew().running), (6, 6));
    (0..10).for_each(|_| tell.send(()).unwrap());
    (0..4).for_each(|_| begun.recv_timeout(LONG).unwrap());
    // Down to those that are kept, without a word from anybody.
    let inner = pool.lock();
    let shrunk = pool.left.wait_timeout_while(inner, LONG, |inner| inner.crew.threads > 2);
    drop(shrunk.unwrap());
    assert_eq!(pool.crew().threads, 2);
    pool.stop();
    assert_eq!(pool.await_threads(LONG), 0);
}
