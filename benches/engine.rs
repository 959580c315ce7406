//! The engine without a store: no-op tickets through intake, take, handler and report.
//!
//! `cargo bench --bench engine` prints tasks a second on one core and on two, and how many
//! allocations a take costs. The writer's part is played by a thread that only counts reports.
//! `unsafe` is here because a counting allocator cannot be written without.

#[expect(dead_code, reason = "of the machine only its facts are wanted here")]
#[path = "http/machine.rs"]
mod machine;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use taskscheduler::clock::{Clock, SystemClock};
use taskscheduler::domain::{Band, Draft, Epoch, Limits, Spec, TaskId, TimeMs};
use taskscheduler::execution::{Core, CoreWish, Cores, Mail, Registry, Step, allowed_cpus, choose};
use taskscheduler::persistence::{Bell, Report, Slot, Ticket, Work};
use taskscheduler::queue::{Entrance, LaneSettings};
use taskscheduler::stop::Stop;

/// Tickets in one measurement.
const TICKETS: usize = 2_000_000;
const ROUNDS: usize = 5;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above, for `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    println!("{}", machine::facts());
    println!("{TICKETS} NOOP tickets, median of {ROUNDS} rounds");
    let stepped = (0..ROUNDS).map(|_| step_one_core());
    let (rates, allocations): (Vec<f64>, Vec<f64>) = stepped.unzip();
    println!("one core, stepped, nobody else at work: {:>9.0} tasks/s", median(rates));
    println!("allocations for each block of {} takes: {:.3}", Mail::BLOCK, median(allocations));
    for cores in 1..=allowed_cpus().len().min(2) {
        let rates = (0..ROUNDS).map(|_| run_cores(cores)).collect();
        println!("{cores} pinned core(s), reports counted: {:>9.0} tasks/s", median(rates));
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn rate(took: Duration) -> f64 {
    TICKETS as f64 / took.as_secs_f64()
}

fn tickets(slot: Slot) -> Vec<Arc<Ticket>> {
    let spec = Arc::new(spec());
    let ticket = |n: usize| {
        let id = TaskId::new(n as u64 + 1).expect("not nought");
        let work = Work { spec: Arc::clone(&spec), slot, attempt: 1 };
        Arc::new(Ticket::new(id, Epoch(1), Band::Medium, TimeMs::ZERO, work))
    };
    (0..TICKETS).map(ticket).collect()
}

fn spec() -> Spec {
    let (name, task_type) = (Some("bench".into()), Some("NOOP".into()));
    let draft = Draft { name, task_type, ..Draft::default() };
    draft
        .check(&Limits::default())
        .expect("a valid submission")
        .into_spec("NOOP".into(), TimeMs::ZERO)
}

/// One core's body on this thread: tasks a second, and allocations for each block of reports.
fn step_one_core() -> (f64, f64) {
    let clock = Arc::new(SystemClock::new());
    let registry = Arc::new(Registry::with_builtins());
    let (entrance, mut seats) = Entrance::new(3, LaneSettings::default());
    // Held by the writer in earnest, so that a core never frees one.
    let held = tickets(registry.slot("NOOP").expect("builtin"));
    for ticket in &held {
        entrance.push(Arc::clone(ticket));
    }
    // A core that loses its CPU for a moment sends blocks that are not full.
    let (reports, reported) = bounded(TICKETS);
    let (bell, _heard) = Bell::new();
    let mail = Mail::new(reports, bell);
    let core_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let mut core = Core::new(seats.remove(0), registry, core_clock, mail, Stop::new());

    let (from, before) = (clock.mono(), ALLOCATIONS.get());
    loop {
        match core.step() {
            Step::Ran => {}
            Step::Idle => break,
            other => panic!("{other:?}"),
        }
    }
    let (took, after) = (clock.mono().since(from), ALLOCATIONS.get());
    let blocks = reported.len();
    assert_eq!(count(&reported, TICKETS), TICKETS);
    (rate(took), (after - before) as f64 / blocks as f64)
}

/// Pinned threads; this thread takes the reports.
fn run_cores(cores: usize) -> f64 {
    let clock = Arc::new(SystemClock::new());
    let registry = Arc::new(Registry::with_builtins());
    let seats = Cores::seats_for(cores);
    let (entrance, seats) = Entrance::new(seats, LaneSettings::default());
    let held = tickets(registry.slot("NOOP").expect("builtin"));
    for ticket in &held {
        entrance.push(Arc::clone(ticket));
    }
    let (reports, reported) = bounded(256);
    let (bell, _heard) = Bell::new();
    let mail = Mail::new(reports, bell);
    let pins = choose(&CoreWish::Count(cores), &allowed_cpus(), None);
    let core_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;

    let from = clock.mono();
    let started = Cores::start(&pins, seats, entrance, registry, core_clock, mail);
    let mut running = started.expect("threads");
    assert_eq!(count(&reported, TICKETS), TICKETS);
    let took = clock.mono().since(from);
    running.stop(Duration::from_secs(5), Duration::from_secs(1));
    rate(took)
}

fn count(reported: &Receiver<Vec<Report>>, wanted: usize) -> usize {
    let mut seen = 0;
    while seen < wanted {
        seen += reported.recv_timeout(Duration::from_secs(20)).expect("reports come").len();
    }
    seen
}
