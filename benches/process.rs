//! Tasks that run a command, beside the floor: starting the same command and waiting for it, and
//! nothing else, from as many threads on the same CPUs.
//!
//! `cargo bench --bench process` prints both in tasks a second; the tasks are durable and their
//! history is kept. The commands run off the engine's CPUs, so the floor is shown for these CPUs
//! and for all.

#[expect(dead_code, reason = "of the machine only its facts are wanted here")]
#[path = "http/machine.rs"]
mod machine;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use taskscheduler::clock::{Clock, Mono, SystemClock};
use taskscheduler::domain::{Draft, Limits, StatusKind, Submission};
use taskscheduler::engine::{Engine, EngineSettings, Fatal, Question};
use taskscheduler::execution::{
    Blocking, Process, ProcessSetup, Registry, allowed_cpus, confine, find_program,
};
use taskscheduler::persistence::{Order, Receipt};
use taskscheduler::store::sqlite::{Migrate, Options, SqliteStore};

const ROUNDS: usize = 5;

fn main() {
    let tasks = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(3000);
    println!("{}", machine::facts());
    println!("{tasks} runs of true in each of {ROUNDS} rounds, each a task of its own");
    let mut shares = Vec::new();
    for round in 1..=ROUNDS {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(SystemClock::new());
        let engine = engine(folder.path(), &clock);
        let cpus = engine.other_cpus().to_vec();
        let threads = 2 * cpus.len();
        let through = through(&engine, &clock, tasks);
        engine.drain(Duration::from_secs(10));
        let floor = bare(tasks, threads, &cpus, &clock);
        let all = allowed_cpus();
        let anywhere = bare(tasks, 2 * all.len(), &all, &clock);
        shares.push(through / floor);
        println!(
            "round {round}: tasks {through:.0}/s, bare on the same {} CPUs {floor:.0}/s ({:.2}), \
             bare on all {} CPUs {anywhere:.0}/s",
            cpus.len(),
            through / floor,
            all.len()
        );
    }
    shares.sort_by(f64::total_cmp);
    println!("a process type: {:.2} of bare fork and exec (median)", shares[ROUNDS / 2]);
}

fn engine(folder: &Path, clock: &Arc<SystemClock>) -> Engine {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let options = Options { migrate: Migrate::Apply, clock: Arc::clone(&clock) };
    let store = SqliteStore::open(folder, options).expect("a store");
    let fatal: Fatal = Arc::new(|why| panic!("{why}"));
    let settings = EngineSettings { path: Some(folder.into()), ..EngineSettings::default() };
    let mut registry = Registry::new();
    let command = vec![find_program("true").expect("the command")];
    let blocking = Blocking { limit: Some(2), ..Blocking::default() };
    let process = Process::new(ProcessSetup::new(command));
    registry.register_blocking("TRUE", process, blocking).expect("a free name");
    Engine::boot(settings, Box::new(store), registry, clock, fatal).expect("an engine")
}

fn submission() -> Submission {
    let draft =
        Draft { name: Some("bench".into()), task_type: Some("TRUE".into()), ..Draft::default() };
    draft.check(&Limits::default()).expect("a good draft")
}

/// Runs so many tasks, from the first submit to the last end.
fn through(engine: &Engine, clock: &SystemClock, tasks: usize) -> f64 {
    let from = clock.mono();
    let (tell, told) = bounded(1);
    let receipt = Receipt::new(move |answer| drop(tell.send(answer)));
    let items = (0..tasks).map(|_| submission()).collect();
    engine.submit(Order { items, key: None }, receipt);
    told.recv().expect("an answer").expect("stored");
    let (_keep, never) = bounded::<()>(0);
    loop {
        let line = &engine.slots().lines[0];
        if line.started == tasks as u64 && line.running == 0 {
            let rate = rate(tasks, clock.mono().since(from));
            await_completed(engine, tasks);
            return rate;
        }
        let _ = never.recv_timeout(Duration::from_millis(2));
    }
}

/// A run that failed at once would be quick, and would say nothing.
fn await_completed(engine: &Engine, tasks: usize) {
    let (tell, told) = bounded(1);
    let (_keep, never) = bounded::<()>(0);
    let mut last = 0;
    for _ in 0..1000 {
        let tell = tell.clone();
        let asked = engine.read(Question::new(move |reader| {
            let counts = reader.counts().expect("counts");
            let done = counts.iter().filter(|count| count.status == StatusKind::Completed);
            let _ = tell.send(done.map(|count| count.tasks).sum::<u64>());
        }));
        assert!(asked, "a reader has room");
        last = told.recv_timeout(Duration::from_secs(5)).expect("an answer");
        if last == tasks as u64 {
            return;
        }
        let _ = never.recv_timeout(Duration::from_millis(5));
    }
    panic!("only {last} of {tasks} tasks have completed");
}

/// The floor.
fn bare(runs: usize, threads: usize, cpus: &[usize], clock: &SystemClock) -> f64 {
    let program = find_program("true").expect("the command");
    let from: Mono = clock.mono();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                confine(cpus);
                for _ in 0..runs / threads {
                    let mut command = Command::new(&program);
                    // The task's command has no environment of ours either; what cargo puts there
                    // makes every program slow to link.
                    command.env_clear();
                    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    assert!(command.status().expect("a start").success());
                }
            });
        }
    });
    rate(runs / threads * threads, clock.mono().since(from))
}

fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
