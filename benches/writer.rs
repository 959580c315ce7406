//! The engine without HTTP, on the embedded store: batches of 1,000 at the writer, the drain of a
//! stored backlog, and submit-run-complete; beside the bare insert of the same rows into the same
//! schema by one thread.
//!
//! `cargo bench --bench writer` prints a table; every figure is tasks a second, durable.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use taskscheduler::clock::{Clock, Mono, SystemClock};
use taskscheduler::domain::{Draft, Limits, Payload, Submission};
use taskscheduler::engine::{Engine, EngineSettings, Fatal, Question};
use taskscheduler::execution::Registry;
use taskscheduler::persistence::{Answer, Order, Receipt, Refusal};
use taskscheduler::store::sqlite::{Migrate, Options, SqliteStore};

/// Tasks in one measurement.
const TASKS: usize = 200_000;
/// Tasks in one batch.
const BATCH: usize = 1000;

fn main() {
    let clock = Arc::new(SystemClock::new());
    println!("{TASKS} tasks, payload 100 bytes, batches of {BATCH}");
    let mut ratios = Vec::new();
    for round in 1..=3 {
        let folder = tempfile::tempdir().expect("a folder");
        let through = batches(folder.path(), &clock);
        let bare_folder = tempfile::tempdir().expect("a folder");
        let bare = bare_insert(bare_folder.path(), folder.path(), &clock);
        let drained = drain(folder.path(), &clock);
        let whole = submit_and_run(&clock);
        ratios.push(through / bare);
        println!(
            "round {round}: batches {through:.0}/s, bare insert {bare:.0}/s ({:.2}), \
             drain {drained:.0}/s, submit-run-complete in batches {whole:.0}/s",
            through / bare
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("batches through the writer: {:.2} of the bare insert (median)", ratios[1]);
}

fn engine(folder: &Path, registry: Registry, clock: &Arc<SystemClock>) -> Engine {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let options = Options { migrate: Migrate::Apply, clock: Arc::clone(&clock) };
    let store = SqliteStore::open(folder, options).expect("a store");
    let fatal: Fatal = Arc::new(|why| panic!("{why}"));
    let settings = EngineSettings { path: Some(folder.into()), ..EngineSettings::default() };
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

fn send(engine: &Engine, batch: Vec<Submission>) -> Told {
    let (tell, told) = bounded(1);
    let receipt = Receipt::new(move |answer| drop(tell.send(answer)));
    engine.submit(Order { items: batch, key: None }, receipt);
    told
}

fn stored(told: &Told) {
    let answer = told.recv().expect("an answer");
    assert!(matches!(answer, Ok(Answer::Stored { .. })), "not stored: {answer:?}");
}

fn rate(clock: &SystemClock, from: Mono) -> f64 {
    TASKS as f64 / clock.mono().since(from).as_secs_f64()
}

/// Submits everything in batches, a few of them under way at a time.
fn submit_all(engine: &Engine) {
    let ready: Vec<Vec<Submission>> =
        (0..TASKS / BATCH).map(|_| vec![submission(); BATCH]).collect();
    let mut under_way = std::collections::VecDeque::new();
    for batch in ready {
        under_way.push_back(send(engine, batch));
        if under_way.len() >= 8 {
            stored(&under_way.pop_front().expect("just counted"));
        }
    }
    under_way.iter().for_each(stored);
}

/// Nobody runs them, so this is the way in alone.
fn batches(folder: &Path, clock: &Arc<SystemClock>) -> f64 {
    let engine = engine(folder, Registry::new(), clock);
    let from = clock.mono();
    submit_all(&engine);
    let rate = rate(clock, from);
    engine.drain(Duration::from_secs(10));
    rate
}

/// The rows of `source`, inserted into the same schema by plain SQL, a transaction a batch.
fn bare_insert(folder: &Path, source: &Path, clock: &Arc<SystemClock>) -> f64 {
    drop(engine(folder, Registry::new(), clock));
    let database = |folder: &Path| {
        let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.unwrap().path());
        files
            .into_iter()
            .find(|path| path.extension().is_some_and(|end| end == "db"))
            .expect("a database")
    };
    let from = rusqlite::Connection::open(database(source)).expect("the rows");
    let to = rusqlite::Connection::open(database(folder)).expect("an empty store");
    to.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 10000").unwrap();
    let mut rows = from.prepare("SELECT * FROM tasks ORDER BY id").unwrap();
    let columns = rows.column_count();
    let read = |row: &rusqlite::Row<'_>| (0..columns).map(|n| row.get(n)).collect();
    let rows: Vec<Vec<rusqlite::types::Value>> =
        rows.query_map((), read).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), TASKS);
    let marks = vec!["?"; columns].join(",");
    let mut insert = to.prepare(&format!("INSERT INTO tasks VALUES ({marks})")).unwrap();
    let began = clock.mono();
    for batch in rows.chunks(BATCH) {
        to.execute_batch("BEGIN IMMEDIATE").unwrap();
        for row in batch {
            insert.execute(rusqlite::params_from_iter(row)).unwrap();
        }
        to.execute_batch("COMMIT").unwrap();
    }
    rate(clock, began)
}

/// Runs the backlog that `batches` left in the store.
fn drain(folder: &Path, clock: &Arc<SystemClock>) -> f64 {
    let from = clock.mono();
    let engine = engine(folder, Registry::with_builtins(), clock);
    await_completed(&engine);
    let rate = rate(clock, from);
    engine.drain(Duration::from_secs(10));
    rate
}

fn submit_and_run(clock: &Arc<SystemClock>) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), Registry::with_builtins(), clock);
    let from = clock.mono();
    submit_all(&engine);
    await_completed(&engine);
    let rate = rate(clock, from);
    engine.drain(Duration::from_secs(10));
    rate
}

/// Asks the store's counters until all tasks are completed.
fn await_completed(engine: &Engine) {
    use taskscheduler::domain::StatusKind::Completed;
    loop {
        let (tell, told) = bounded(1);
        let question = move |reader: &mut dyn taskscheduler::store::Reader| {
            let counts = reader.counts().expect("the counters");
            let completed = counts.iter().filter(|count| count.status == Completed);
            let _ = tell.send(completed.map(|count| count.tasks).sum::<u64>());
        };
        assert!(engine.read(Question::new(question)), "the readers are busy");
        if told.recv().expect("an answer") >= TASKS as u64 {
            return;
        }
        // Nothing is ever sent here: a wait of 5 ms.
        let _ = bounded::<()>(0).1.recv_timeout(Duration::from_millis(5));
    }
}
