//! The line between servers and their database, and the database itself, at fault: answers that are
//! cut off, lines that fall silent, a node stopped in the middle of a COPY, a promotion, a freeze.
//!
//! `TASKSCHEDULER_SEED` chooses where lines are cut, `TASKSCHEDULER_COPY_STOP_S` how long the node
//! in the COPY is stopped at least (as long as it takes until another one has ended it).

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;
#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod nodes {
    pub mod load;
    pub mod town;
    pub mod weather;
}

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use test_servers::{Cluster, Fault, Plan, Proxy};

use ledger::http::Client;
use ledger::server::Server;
use nodes::load::under_load;
use nodes::town::{Town, metric, pause, signal, statistics, submit_all, timed, wait_until};
use nodes::weather::Weather;

const PATIENCE: Duration = Duration::from_mins(1);

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn nothing_is_lost_or_doubled_whatever_the_line_to_the_database_does() {
    let (weather, reckoning) = Weather::run(from_environment("TASKSCHEDULER_SEED").unwrap_or(1));
    println!("{weather}: {reckoning}");
    weather.assert_it_was_real(&reckoning);
    assert!(reckoning.breaches.is_empty(), "{reckoning}");
}

#[test]
fn a_node_stopped_in_the_middle_of_a_copy_holds_nobody_up_and_changes_nothing_when_it_wakes() {
    let town = Town::new();
    let cluster = Cluster::shared();
    let proxy = proxy(cluster.port());
    let a = town.node_by("a", &town.url_by(proxy.address().port()));
    let b = town.node("b");
    wait_until("both are there", PATIENCE, || statistics(&b)["nodes"] == 2);
    let filler = "x".repeat(1000);
    let tasks: Vec<Value> = (0..8000)
        .map(|n| json!({ "taskName": format!("t{n}"), "taskType": "NOOP", "payload": filler }))
        .collect();
    let body = Value::Array(tasks).to_string();
    // So slow a line that the COPY of the batch takes its time.
    proxy.plan(Plan::All(Fault::Delay(Duration::from_millis(20))));
    let submit = |address: SocketAddr| {
        let heads = [("Content-Type", "application/json"), ("Idempotency-Key", "the-batch")];
        Client::new(address).send("POST", "/api/v1/tasks/batch", &heads, &body)
    };
    let mut admin = cluster.admin(&town.account.database);
    let address = a.address;
    thread::scope(|scope| {
        scope.spawn(|| drop(submit(address)));
        wait_until("it copies", PATIENCE, || {
            let sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                       AND query LIKE 'COPY taskscheduler.tasks%' AND state = 'active'";
            !admin.query(sql, &[]).expect("what is under way").is_empty()
        });
        signal(&a, Signal::STOP);
        // What it had sent arrives, and no more.
        proxy.plan(Plan::Through);
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                       AND query LIKE 'COPY taskscheduler.tasks%' AND wait_event = 'ClientRead'";
        wait_until("the server waits for the rest", PATIENCE, || {
            !admin.query(waiting, &[]).expect("what is under way").is_empty()
        });
        // The same batch under the same key elsewhere: its key is held by the transaction that
        // stands still, until the node is ended and its sessions with it.
        let mut refused = 0;
        let taken = || {
            let answer = submit(b.address).expect("an answer");
            assert!(matches!(answer.code, 201 | 409 | 503), "{} {}", answer.code, answer.body);
            refused += u64::from(answer.code != 201);
            answer.code == 201
        };
        let took = wait_until("it is taken elsewhere", PATIENCE, taken);
        println!("1 node stopped in a COPY: its batch was taken elsewhere after {took:?}");
        println!("(refused {refused} times before that)");
        assert!(refused > 0 && took < Duration::from_secs(30), "{took:?}");
        wait_until("it is ended", PATIENCE, || town.unended() == 1);
        if let Some(seconds) = from_environment("TASKSCHEDULER_COPY_STOP_S") {
            pause(Duration::from_secs(seconds).saturating_sub(took));
        }
        signal(&a, Signal::CONT);
    });
    let ended = a.wait_for_end(PATIENCE).expect_err("it must not end well");
    assert!(ended.contains("declared dead"), "{ended}");
    wait_until("all have completed", PATIENCE, || statistics(&b)["completedTasks"] == 8000);
    assert_eq!(statistics(&b)["totalTasks"], 8000);
}

#[test]
fn the_promotion_of_a_standby_loses_nothing_and_is_followed_by_itself() {
    let primary = Cluster::start(&[]);
    let town = Town::on(&primary).set("TASK_SCHEDULER_STORE_STALL_LIMIT", "2s");
    let standby = primary.standby();
    let test_servers::Account { database, user, password, port } = &town.account;
    let hosts = format!("127.0.0.1:{port},127.0.0.1:{}", standby.port());
    let url = format!("postgres://{user}:{password}@{hosts}/{database}");
    let mut nodes = vec![town.node_by("a", &url), town.node_by("b", &url)];
    let mut admin = primary.admin("postgres");
    let reckoning = under_load(&mut nodes, |nodes, _| {
        peace(nodes, Duration::from_secs(3));
        // The one before is put out of use as such: it still runs, and every session of it meets
        // a refusal with its next write.
        for sql in
            ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"]
        {
            admin.execute(sql, &[]).expect("a superuser may do this");
        }
        peace(nodes, Duration::from_secs(2));
        standby.promote();
        peace(nodes, Duration::from_secs(8));
        // No claim was lost, and none made twice.
        0
    });
    println!("1 promotion: {reckoning}");
    assert!(reckoning.breaches.is_empty(), "{reckoning}");
    assert!(reckoning.again > 0 && reckoning.acknowledged > 500, "{reckoning}");
    let count = "SELECT count(*) FROM taskscheduler.task_history";
    let of = |cluster: &Cluster| -> i64 {
        cluster.admin(database).query_one(count, &[]).expect("a count").get(0)
    };
    let (before, after) = (of(&primary), of(&standby));
    assert!(after > before, "{after} there, and {before} on the server before");
}

#[test]
fn a_frozen_database_is_said_within_seconds_and_forgotten_once_it_answers() {
    let cluster = Cluster::start(&[]);
    let town = Town::on(&cluster);
    let node = town.node("a");
    let id = submit_all(&node, &[json!({ "taskName": "one", "taskType": "NOOP" })])[0];
    wait_until("it has ended", PATIENCE, || statistics(&node)["completedTasks"] == 1);
    let get = |path: &str| Client::new(node.address).get(path).expect("an answer");
    let questions = [
        format!("/api/v1/tasks/{id}"),
        "/api/v1/tasks?status=COMPLETED".to_owned(),
        "/api/v1/tasks/statistics".to_owned(),
        "/api/v1/tasks/metrics".to_owned(),
        "/api/v1/tasks/scheduled".to_owned(),
    ];
    cluster.freeze();
    thread::scope(|scope| {
        for path in questions.iter().cycle().take(20) {
            scope.spawn(move || {
                let (answer, took) = timed(|| get(path));
                assert_eq!(answer.code, 503, "{path}: {}", answer.body);
                assert!(answer.header("Retry-After").is_some(), "{:?}", answer.head);
                assert!(took < Duration::from_secs(12), "{path}: {took:?}");
            });
        }
    });
    let (answer, took) = timed(|| get(&questions[0]));
    println!("a question in the freeze was answered {} after {took:?}", answer.code);
    assert!(answer.code == 503 && took < Duration::from_secs(1), "{} {took:?}", answer.code);
    assert_eq!(get("/actuator/health/liveness").code, 200);
    assert_eq!(get("/actuator/health/readiness").code, 503);
    let health = get("/actuator/health/detailed");
    assert_eq!((health.code, &health.json()["components"]["db"]["status"]), (503, &json!("DOWN")));
    assert_eq!(metric(&node, "taskscheduler_serving"), 1);
    cluster.thaw();
    for path in &questions {
        wait_until(path, PATIENCE, || get(path).code == 200);
    }
    wait_until("it is ready", PATIENCE, || get("/actuator/health/readiness").code == 200);
    submit_all(&node, &[json!({ "taskName": "two", "taskType": "NOOP" })]);
    assert!(node.lives_for(Duration::from_millis(1)), "{}", node.output());
}

fn proxy(port: u16) -> Proxy {
    Proxy::to(SocketAddr::from(([127, 0, 0, 1], port))).expect("a proxy")
}

/// Lets time pass in which no node may end.
fn peace(nodes: &[Server], time: Duration) {
    for node in nodes {
        let share = time / nodes.len() as u32;
        assert!(node.lives_for(share), "it died by itself:\n{}", node.output());
    }
}
