//! Redis beside PostgreSQL, as users run it: two servers on one database, what Redis gains them,
//! and what becomes of them while it is flushed, killed, frozen, full, read-only or lying.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;
#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod nodes {
    pub mod load;
    pub mod mirage;
    pub mod town;
}

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use test_servers::RedisServer;

use ledger::http::Client;
use ledger::reckoning::{all_tasks, miscounts};
use ledger::server::Server;
use nodes::mirage::Mirage;
use nodes::town::{Town, later, metric, statistics, submit_all, task, timed, wait_until};

const PATIENCE: Duration = Duration::from_mins(1);
/// A look of a node's own that comes so late proves who woke it.
const RARELY: (&str, &str) = ("TASK_SCHEDULER_POLL_INTERVAL", "20s");

const HEARD: &str = "taskscheduler_redis_notices_total{way=\"heard\"}";
const CLAIMED: &str = "taskscheduler_redis_hints_total{what=\"claimed\"}";

fn town(redis: &RedisServer) -> Town {
    Town::new().with_redis(&redis.url())
}

/// Both are connected, so that no notice of a start is taken for another one.
fn settled(nodes: &[&Server]) {
    for node in nodes {
        wait_until("Redis answers", PATIENCE, || metric(node, "taskscheduler_redis_up") == 1);
        wait_until("both are there", PATIENCE, || statistics(node)["nodes"] == 2);
    }
}

fn workers_waiting(node: &Server) -> u64 {
    let list = Client::new(node.address).get("/api/v1/workers").expect("an answer").json();
    let workers = list["workers"].as_array().expect("workers");
    workers.iter().filter_map(|worker| worker["waiting"].as_u64()).sum()
}

fn noop() -> Value {
    json!({ "taskName": "one", "taskType": "NOOP" })
}

#[test]
fn a_command_reaches_the_node_that_holds_the_task_by_a_notice() {
    let redis = RedisServer::start(&[]);
    let town = town(&redis);
    let (a, b) = (town.node("a"), town.node("b"));
    settled(&[&a, &b]);
    let ids = submit_all(&a, &vec![later(60_000); 40]);
    let heard = metric(&a, HEARD);
    let mut client = Client::new(b.address);
    let mut times: Vec<Duration> = Vec::new();
    for id in &ids {
        let path = format!("/api/v1/tasks/{id}/cancel");
        let (answer, took) = timed(|| client.post(&path, "").expect("an answer"));
        assert_eq!((answer.code, &answer.json()["status"]), (200, &json!("CANCELLED")));
        times.push(took);
    }
    times.sort_unstable();
    let (half, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!("40 commands to another node, with Redis: p50 {half:?}, longest {most:?}");
    assert!(metric(&a, HEARD) >= heard + 40, "they were not told");
    // Where nobody tells them, nodes look ten times a second: half of that on average.
    assert!(half < Duration::from_millis(100), "{times:?}");
}

#[test]
fn without_redis_a_command_is_answered_within_a_second() {
    let town = Town::new();
    let (a, b) = (town.node("a"), town.node("b"));
    let ids = submit_all(&a, &vec![later(60_000); 9]);
    let mut client = Client::new(b.address);
    let mut times: Vec<Duration> = Vec::new();
    for id in &ids {
        let path = format!("/api/v1/tasks/{id}/cancel");
        let (answer, took) = timed(|| client.post(&path, "").expect("an answer"));
        // 202: nobody answered in time, and the wish stands.
        assert_eq!(answer.code, 200, "{}", answer.body);
        times.push(took);
    }
    times.sort_unstable();
    println!("9 commands to another node, without Redis: {times:?}");
    assert!(times[4] < Duration::from_secs(1), "{times:?}");
}

#[test]
fn what_one_node_takes_is_leased_and_started_at_another_by_a_notice() {
    let redis = RedisServer::start(&[]);
    let town = town(&redis).set(RARELY.0, RARELY.1);
    let a = town.node("a");
    // Only this one can run it.
    let b = town.node_with("b", "[types.PRESS]\nexecutor = \"process\"\ncommand = [\"cat\"]\n");
    settled(&[&a, &b]);
    let heard = metric(&b, HEARD);
    let address = b.address;
    for round in 0..5 {
        let worker = thread::spawn(move || {
            let ask = json!({ "workerId": "w", "taskTypes": ["FAR"], "waitMs": 15_000 });
            let answer = Client::new(address).post("/api/v1/leases", &ask.to_string());
            answer.expect("an answer").json()
        });
        wait_until("the worker waits", PATIENCE, || workers_waiting(&b) == 1);
        let submit = || {
            let id = submit_all(&a, &[json!({ "taskName": "far", "taskType": "FAR" })])[0];
            (id, worker.join().expect("an answer"))
        };
        let ((id, leased), took) = timed(submit);
        assert_eq!(leased["leases"][0]["task"]["id"], id, "{leased}");
        let start = || {
            let id = submit_all(&a, &[json!({ "taskName": "p", "taskType": "PRESS" })])[0];
            wait_until("it ran", PATIENCE, || task(&a, id)["status"] == "COMPLETED");
        };
        let ((), started) = timed(start);
        println!("round {round}: leased elsewhere after {took:?}, run elsewhere after {started:?}");
        assert!(took < Duration::from_secs(1) && started < Duration::from_secs(2));
    }
    assert!(metric(&b, HEARD) >= heard + 10, "it was not told");
}

#[test]
fn a_backlog_is_claimed_by_hints_and_nothing_runs_twice() {
    let redis = RedisServer::start(&[]);
    let town = town(&redis);
    let (a, b) = (town.node("a"), town.node("b"));
    settled(&[&a, &b]);
    for _ in 0..10 {
        submit_all(&a, &vec![noop(); 1000]);
    }
    wait_until("all have completed", PATIENCE, || statistics(&b)["completedTasks"] == 10_000);
    let claimed = metric(&a, CLAIMED) + metric(&b, CLAIMED);
    let taken = "taskscheduler_redis_hints_total{what=\"taken\"}";
    let taken = metric(&a, taken) + metric(&b, taken);
    println!("of 10,000 tasks {claimed} were claimed by a hint, {taken} hints were taken");
    assert!(claimed > 100, "{claimed}");
    let tasks = all_tasks(&mut Client::new(a.address));
    let twice = tasks.iter().filter(|task| task.epoch != 1).count();
    assert_eq!((tasks.len(), twice), (10_000, 0));
    assert_eq!(miscounts(&b, &tasks), Vec::<String>::new());
}

#[test]
fn each_level_answers_its_reads_and_says_so() {
    let redis = RedisServer::start(&[]);
    let town = town(&redis).set("TASK_SCHEDULER_REDIS_DOCUMENT_TTL", "2s");
    let (a, b) = (town.node("a"), town.node("b"));
    settled(&[&a, &b]);
    let reads =
        |level: &str| metric(&b, &format!("taskscheduler_task_reads_total{{level=\"{level}\"}}"));
    // Memory: what this node holds.
    let own = submit_all(&b, &[later(60_000)])[0];
    let before = reads("memory");
    task(&b, own);
    wait_until("it is counted", PATIENCE, || reads("memory") == before + 1);
    // The store: what another one holds.
    let before = reads("store");
    let others = submit_all(&a, &[later(60_000)])[0];
    assert_eq!(task(&b, others)["status"], "SCHEDULED");
    assert_eq!(reads("store"), before + 1);
    // Redis: what has ended elsewhere, once Redis was there for as long as a document lasts.
    let before = reads("redis");
    wait_until("a read is answered by Redis", PATIENCE, || {
        let id = submit_all(&a, &[noop()])[0];
        wait_until("it has ended", PATIENCE, || task(&a, id)["status"] == "COMPLETED");
        (0..5).for_each(|_| assert_eq!(task(&b, id)["status"], "COMPLETED"));
        reads("redis") > before
    });
    // Nothing of it stays there.
    wait_until("its documents are gone", PATIENCE, || redis_keys(&redis, ":done:").is_empty());
    redis.kill();
    let before = reads("store");
    let page = Client::new(b.address).get("/api/v1/tasks?status=COMPLETED&size=1");
    let id = page.expect("a page").json()["content"][0]["id"].as_u64().expect("an id");
    assert_eq!(task(&b, id)["status"], "COMPLETED");
    assert_eq!(reads("store"), before + 1, "with Redis gone the same reads answer");
}

/// The keys there that have this in their name.
fn redis_keys(redis: &RedisServer, part: &str) -> Vec<String> {
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut line = client.get_connection().expect("a connection");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut line).expect("its keys");
    keys.into_iter().filter(|key| key.contains(part)).collect()
}

#[test]
fn nothing_is_lost_or_doubled_whatever_befalls_redis() {
    let mirage = Mirage::run(1);
    println!("{mirage}");
    mirage.assert_faults_were_real();
    assert!(mirage.reckoning.breaches.is_empty(), "{mirage}");
}
