//! The engine in process, without HTTP: batches of 1,000 at the writer and the drain of what they
//! stored, beside bare SQL that writes the same rows.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use taskscheduler::clock::{Clock, SystemClock};
use taskscheduler::domain::{Draft, Limits, Payload, StatusKind, Submission};
use taskscheduler::engine::{Engine, EngineSettings, Fatal, Question};
use taskscheduler::execution::Registry;
use taskscheduler::persistence::{Answer, Order, Receipt, Refusal};
use taskscheduler::store::migration::Migrate;
use taskscheduler::store::postgres::{Address, Options, PostgresStore, Target};
use test_servers::Account;

use super::floor::Floor;
use super::ground::{ground, pause, rate};
use crate::Effort;
use crate::http::report::{Goal, Report, Row};

/// Tasks in one batch.
pub const BATCH: u64 = 1000;
/// Rounds; the one in the middle counts.
const ROUNDS: usize = 3;
/// Batches under way at a time.
const UNDER_WAY: usize = 8;

/// The engine and the floor take turns, each round on databases of its own, so that a change in
/// the machine's mood meets both.
pub fn writer(effort: Effort, report: &mut Report) {
    let tasks = effort.tasks / BATCH * BATCH;
    let mut figures: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let (cluster, account) = ground();
        let data = tempfile::tempdir().expect("a folder");
        let stored = batches(&account, data.path(), tasks);
        let rows = Floor::live_rows(&account);
        let drained = drain(&account, data.path(), tasks);
        let ended = Floor::ended_rows(&account);
        let bare = cluster.account();
        drop(engine(&bare, tempfile::tempdir().expect("a folder").path(), Registry::new()));
        let mut floor = Floor::new(&bare);
        let figure = [stored, floor.insert(&rows), drained, floor.drain(&ended)];
        for (figures, figure) in figures.iter_mut().zip(figure) {
            figures.push(figure);
        }
    }
    let middle = |figures: &[f64]| {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let ratios = |of: &[f64], to: &[f64]| {
        let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
        middle(&ratios)
    };
    let [stored, insert, drained, floor] = &figures;
    for (what, figures, goal) in [
        ("batches of 1,000 at the writer, tasks/s", stored, Some(90_000.0)),
        ("bare SQL: the same rows inserted, tasks/s", insert, None),
        ("drain of the stored backlog, tasks/s", drained, Some(65_000.0)),
        ("bare SQL: the same rows claimed and completed, tasks/s", floor, None),
    ] {
        let mut row = Row::new("writer", what, middle(figures)).with("rounds", figures.clone());
        row.goal = goal.map(Goal::AtLeast);
        report.add(row.with("tasks", tasks));
    }
    for (what, ratio) in [
        ("batches, of bare SQL", ratios(stored, insert)),
        ("drain, of bare SQL", ratios(drained, floor)),
    ] {
        report.add(Row::new("writer", what, ratio).goal(Goal::AtLeast(0.8)));
    }
}

fn engine(account: &Account, data: &Path, registry: Registry) -> Engine {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let address = Address {
        hosts: format!("127.0.0.1:{}", account.port),
        user: account.user.clone(),
        password: account.password.clone(),
        database: account.database.clone(),
        params: Vec::new(),
    };
    let options = Options {
        target: Target::new(&address).expect("an address"),
        migrate: Migrate::Apply,
        data: data.to_owned(),
        name: "bench".into(),
        readers_max: 4,
        readers_min: 1,
        lease: Duration::from_secs(12),
        clock: Arc::clone(&clock),
    };
    let store = PostgresStore::open(options).expect("a store");
    let fatal: Fatal = Arc::new(|why| panic!("{why}"));
    let settings = EngineSettings { path: Some(data.to_owned()), ..EngineSettings::default() };
    Engine::boot(settings, Box::new(store), registry, clock, fatal).expect("an engine")
}

fn submission() -> Submission {
    let draft = Draft {
        name: Some("bench".into()),
        task_type: Some("NOOP".into()),
        payload: Some(Payload::text(&"x".repeat(100))),
        ..Draft::default()
    };
    draft.check(&Limits::default()).expect("a valid submission")
}

type Told = Receiver<Result<Answer, Refusal>>;

fn stored(told: &Told) {
    let answer = told.recv().expect("an answer");
    assert!(matches!(answer, Ok(Answer::Stored { .. })), "not stored: {answer:?}");
}

/// Nobody runs them, so this is the way in alone.
fn batches(account: &Account, data: &Path, tasks: u64) -> f64 {
    let engine = engine(account, data, Registry::new());
    let ready: Vec<Vec<Submission>> =
        (0..tasks / BATCH).map(|_| vec![submission(); BATCH as usize]).collect();
    let clock = SystemClock::new();
    let from = clock.mono();
    let mut under_way = VecDeque::new();
    for items in ready {
        let (tell, told) = bounded(1);
        let receipt = Receipt::new(move |answer| drop(tell.send(answer)));
        engine.submit(Order { items, key: None }, receipt);
        under_way.push_back(told);
        if under_way.len() >= UNDER_WAY {
            stored(&under_way.pop_front().expect("just counted"));
        }
    }
    under_way.iter().for_each(stored);
    let rate = rate(tasks, &clock, from);
    engine.drain(Duration::from_secs(10));
    rate
}

/// Runs the backlog that [`batches`] left in the store; its start is part of it.
fn drain(account: &Account, data: &Path, tasks: u64) -> f64 {
    let clock = SystemClock::new();
    let from = clock.mono();
    let engine = engine(account, data, Registry::with_builtins());
    while completed(&engine) < tasks {
        assert!(clock.mono().since(from) < Duration::from_mins(5), "it does not end");
        pause(Duration::from_millis(20));
    }
    let rate = rate(tasks, &clock, from);
    engine.drain(Duration::from_secs(10));
    rate
}

/// What the store's counters say.
fn completed(engine: &Engine) -> u64 {
    let (tell, told) = bounded(1);
    let question = move |reader: &mut dyn taskscheduler::store::Reader| {
        let counts = reader.counts().expect("the counters");
        let completed = counts.iter().filter(|count| count.status == StatusKind::Completed);
        let _ = tell.send(completed.map(|count| count.tasks).sum::<u64>());
    };
    assert!(engine.read(Question::new(question)), "the readers are busy");
    told.recv().expect("an answer")
}
