//! One read by level, through the engine as a request goes, and one notice.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use taskscheduler::clock::{Clock, Mono, SystemClock};
use taskscheduler::domain::{Draft, Limits, Payload, Submission, TaskId, TimeMs};
use taskscheduler::engine::{Engine, EngineSettings, Fatal, Question};
use taskscheduler::execution::Registry;
use taskscheduler::persistence::{Answer, Order, Receipt, Refusal};
use taskscheduler::store::redis::{Level2, Listener, Notice};
use taskscheduler::store::sqlite::{Migrate, Options, SqliteStore};
use test_servers::RedisServer;

use crate::{TTL, level2, print, times, wait_for};

const READS: u64 = 5000;

pub fn measure(server: &RedisServer) {
    for with_redis in [false, true] {
        let redis = with_redis.then(|| level2(server, 1));
        reads(redis.as_ref());
    }
    notices(server);
}

/// Live tasks from memory, ended ones from Redis where there is one, else from the store.
fn reads(redis: Option<&Arc<Level2>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), redis.cloned());
    if redis.is_some() {
        // Nothing is believed of a server before it was reached for so long without a gap.
        let clock = SystemClock::new();
        wait_for(|| clock.mono().since(Mono::default()) > TTL + Duration::from_millis(200));
    }
    // Near enough to be kept in memory.
    let later = TimeMs(engine.now().0 + 300_000);
    let live = submit(&engine, submission("NOOP", Some(later)));
    let name = if redis.is_some() { "with Redis" } else { "without" };
    let mut memory = times();
    for _ in 0..READS {
        memory.saturating_record(time(|| assert!(matches!(look(&engine, live), Answer::Seen(_)))));
    }
    print(&format!("read from memory, {name}"), &memory);

    let before = engine.vitals().reads;
    let mut ended = times();
    while ended.len() < READS {
        let id = submit(&engine, submission("NOOP", None));
        wait_for(|| matches!(look(&engine, id), Answer::NotLive));
        // The document is there a moment after the end; a read before that is one of the store.
        for _ in 0..50 {
            ended.saturating_record(time(|| read(&engine, id)));
        }
    }
    let reads = engine.vitals().reads;
    print(&format!("read of an ended task, {name}"), &ended);
    let (redis, store) = (reads.redis - before.redis, reads.store - before.store);
    println!("    of these {redis} by Redis and {store} by the embedded store");
    engine.drain(Duration::from_secs(5));
}

/// From telling to hearing, over one server.
fn notices(server: &RedisServer) {
    let (here, there) = (level2(server, 2), level2(server, 3));
    let mut listener = Listener::new(there);
    let wait = Duration::from_millis(200);
    wait_for(|| listener.step(wait).is_ok() && listener.is_listening());
    let mut heard = times();
    for _ in 0..2000 {
        heard.saturating_record(time(|| {
            here.tell(&[Notice::Free]);
            while listener.step(wait).expect("a server that answers").is_none() {}
        }));
    }
    print("a notice from node to node, told and heard", &heard);
}

fn engine(folder: &std::path::Path, level2: Option<Arc<Level2>>) -> Engine {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = Options { migrate: Migrate::Apply, clock: Arc::clone(&clock) };
    let store = SqliteStore::open(folder, options).expect("a store");
    let fatal: Fatal = Arc::new(|why| panic!("{why}"));
    let settings =
        EngineSettings { path: Some(folder.into()), level2, ..EngineSettings::default() };
    let registry = Registry::with_builtins();
    Engine::boot(settings, Box::new(store), registry, clock, fatal).expect("an engine")
}

fn submission(task_type: &str, scheduled_for: Option<TimeMs>) -> Submission {
    let draft = Draft {
        name: Some("bench".into()),
        task_type: Some(task_type.into()),
        payload: Some(Payload::text(&"x".repeat(100))),
        scheduled_for,
        ..Draft::default()
    };
    draft.check(&Limits::default()).expect("a valid submission")
}

fn answered(ask: impl FnOnce(Receipt)) -> Result<Answer, Refusal> {
    let (tell, told) = bounded(1);
    ask(Receipt::new(move |answer| drop(tell.send(answer))));
    told.recv().expect("an answer")
}

fn submit(engine: &Engine, task: Submission) -> TaskId {
    let order = Order { items: vec![task], key: None };
    match answered(|receipt| engine.submit(order, receipt)) {
        Ok(Answer::Stored { tasks, .. }) => tasks[0].id,
        other => panic!("not stored: {other:?}"),
    }
}

fn look(engine: &Engine, id: TaskId) -> Answer {
    answered(|receipt| engine.look(id, receipt)).expect("a look")
}

fn read(engine: &Engine, id: TaskId) {
    let (tell, told) = bounded(1);
    assert!(engine.read(Question::new(move |reader| drop(tell.send(reader.find(id))))));
    let found = told.recv().expect("an answer").expect("a store that answers");
    assert!(found.is_some(), "task {id} is gone");
}

fn time(work: impl FnOnce()) -> u64 {
    let clock = SystemClock::new();
    work();
    clock.mono().0
}
