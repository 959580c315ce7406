//! Cores on their own pinned threads. Time stands still here too; what waits, waits for others.

use std::fs;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use crossbeam_channel::bounded;

use super::{LONG, Stage};
use crate::clock::Clock;
use crate::domain::{FailureKind, Outcome, Payload, TaskId};
use crate::execution::{Attempt, CoreWish, Cores, Stopped, allowed_cpus, choose};
use crate::persistence::{Happened, Report};
use crate::queue::{LaneSettings, Moment, Take};

fn start(stage: &mut Stage, cores: usize) -> Cores {
    let allowed = allowed_cpus();
    // A machine with one CPU can still run two cores; they share it.
    let pins = choose(&CoreWish::Count(cores), &allowed, None);
    let cpus = pins.cpus.iter().copied().cycle().take(cores).collect();
    let pins = crate::execution::Pins { cpus, ..pins };
    let registry = Arc::new(std::mem::take(&mut stage.registry));
    let clock: Arc<dyn Clock> = Arc::clone(&stage.clock) as Arc<dyn Clock>;
    let seats = std::mem::take(&mut stage.seats);
    let entrance = Arc::clone(&stage.entrance);
    Cores::start(&pins, seats, entrance, registry, clock, stage.mail()).unwrap()
}

fn results(stage: &Stage, n: usize) -> Vec<Report> {
    let mut reports = Vec::new();
    while reports.len() < n {
        reports.extend(stage.next_block());
    }
    reports
}

#[test]
fn each_core_runs_on_its_own_cpu_and_is_named() {
    let both = Arc::new(Barrier::new(2));
    let mut stage = Stage::new(2).with("WHERE", move |_: &Attempt<'_>| {
        // Two at a time, so that each core has one of them.
        both.wait();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let text = format!("{} {}", field("Name:"), field("Cpus_allowed_list:"));
        Outcome::Done(Some(Payload::text(&text)))
    });
    stage.push("WHERE");
    stage.push("WHERE");
    let mut cores = start(&mut stage, 2);
    let reports = results(&stage, 2);
    let mut texts = reports.into_iter().map(|report| match report.what {
        Happened::Ended(_, Outcome::Done(Some(text))) => text.bytes.to_string(),
        other => panic!("{other:?}"),
    });
    let mut seen = [texts.next().unwrap(), texts.next().unwrap()];
    seen.sort();
    let pins = choose(&CoreWish::Count(2), &allowed_cpus(), None);
    let cpu = |place: usize| pins.cpus[place % pins.cpus.len()];
    assert_eq!(seen, [format!("core-0 {}", cpu(0)), format!("core-1 {}", cpu(1))]);
    assert_eq!(cores.stop(LONG, LONG), Stopped::Clean);
}

#[test]
fn a_load_that_lands_in_one_lane_is_shared_by_all_cores() {
    let both = Arc::new(Barrier::new(2));
    let mut stage = Stage::new(3).with("PAIR", move |_: &Attempt<'_>| {
        both.wait();
    });
    stage.push_all("PAIR", 17);
    // The first seat moves some into its lane and stays inside its handler.
    let mut first = stage.seats.remove(0);
    let Take::Taken(_) = first.take(Moment::default()) else { panic!("nothing taken") };
    let lane = LaneSettings::default().steal_batch as u64 - 1;
    let mut cores = start(&mut stage, 2);
    assert_eq!(results(&stage, 16).len(), 16);
    assert_eq!(cores.stop(LONG, LONG), Stopped::Clean);
    let counts = stage.entrance.board().counts();
    assert_eq!((counts[1].taken, counts[2].taken), (8, 8), "{counts:?}");
    assert!(counts[1].stolen + counts[2].stolen >= lane, "{counts:?}");
}

/// A handler that hears nothing until it is let go.
fn deaf(stage: Stage) -> (Stage, crossbeam_channel::Sender<()>) {
    let (let_go, gone) = bounded::<()>(0);
    let stage = stage.with("DEAF", move |_: &Attempt<'_>| {
        let _ = gone.recv();
    });
    (stage, let_go)
}

fn await_began(stage: &Stage, cores: &mut Cores) -> TaskId {
    while stage.entrance.board().running().all(|running| running.deadline.is_none()) {
        std::thread::yield_now();
    }
    stage.clock.advance(Duration::from_millis(50));
    cores.tick();
    let block = stage.next_block();
    assert!(matches!(block[0].what, Happened::Began { .. }), "{block:?}");
    block[0].id
}

#[test]
fn a_stuck_core_is_given_up_reported_once_and_replaced() {
    let (mut stage, let_go) = deaf(Stage::new(Cores::seats_for(1)));
    let stuck = stage.push("DEAF");
    let noop = stage.ticket("NOOP", None, 1);
    let mut cores = start(&mut stage, 1);
    assert_eq!(await_began(&stage, &mut cores), stuck);
    assert_eq!(cores.tick().given_up, 0);

    stage.clock.advance(Duration::from_secs(15));
    let tick = cores.tick();
    assert_eq!((tick.given_up, tick.stuck, tick.must_exit), (1, 1, false));
    let block = stage.next_block();
    let Happened::Ended(run, Outcome::Failed(failure)) = &block[0].what else { panic!() };
    assert_eq!((block[0].id, failure.kind), (stuck, FailureKind::Timeout));
    assert_eq!(failure.message, "took longer than 10 s");
    assert_eq!(run.waited_us, 20_000);

    // The CPU is free for others although the handler is still there.
    let id = noop.id;
    stage.entrance.push(noop);
    stage.entrance.wake(1);
    assert_eq!(stage.next_block()[0].id, id);

    // It comes back, says nothing, and is a spare.
    drop(let_go);
    while cores.tick().stuck > 0 {
        std::thread::yield_now();
    }
    assert_eq!(cores.stop(LONG, LONG), Stopped::Clean);
    assert!(stage.reported().is_empty());
}

#[test]
fn when_the_last_spare_is_stuck_the_process_must_exit() {
    let (mut stage, let_go) = deaf(Stage::new(Cores::seats_for(1)));
    stage.push_all("DEAF", 3);
    let mut cores = start(&mut stage, 1);
    for stuck in 1..=3 {
        await_began(&stage, &mut cores);
        stage.clock.advance(Duration::from_secs(15));
        let tick = cores.tick();
        assert_eq!((tick.given_up, tick.stuck), (1, stuck));
        assert_eq!(tick.must_exit, stuck == 3);
        stage.next_block();
    }
    drop(let_go);
    assert_eq!(cores.stop(LONG, LONG), Stopped::Clean);
}

#[test]
fn a_stop_waits_for_what_runs_then_asks_it_to_stop_then_leaves_it() {
    let stage = Stage::new(1).with("ASKS", |attempt: &Attempt<'_>| {
        while !attempt.cancelled() {
            std::thread::yield_now();
        }
        Outcome::Cancelled
    });
    let (mut stage, let_go) = deaf(stage);
    stage.push("ASKS");
    let mut cores = start(&mut stage, 1);
    while stage.entrance.board().running().next().is_none() {
        std::thread::yield_now();
    }
    stage.push("NOOP");
    assert_eq!(cores.stop(Duration::from_millis(20), LONG), Stopped::Clean);
    // Neither the stopped one nor one that was not taken is reported: both are to start again.
    assert!(stage.reported().is_empty());
    assert_eq!(stage.entrance.waiting(), 1);

    let (mut stage, let_go_too) = deaf(Stage::new(1));
    stage.push("DEAF");
    let mut cores = start(&mut stage, 1);
    while stage.entrance.board().running().next().is_none() {
        std::thread::yield_now();
    }
    let short = Duration::from_millis(20);
    assert_eq!(cores.stop(short, short), Stopped::Left(1));
    drop((let_go, let_go_too));
}
