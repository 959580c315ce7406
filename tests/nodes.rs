//! Several servers as one system: processes of the real binary on one throw-away database, killed,
//! stopped and cut off from outside.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;
#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod nodes {
    pub mod gale;
    pub mod load;
    pub mod town;
}

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use test_servers::Cluster;

use ledger::http::Client;
use nodes::gale::Gale;
use nodes::town::{Town, later, signal, statistics, submit_all, task, wait_until};

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_killed_nodes_tasks_start_elsewhere_within_14_seconds() {
    let town = Town::new();
    let (a, b) = (town.node("a"), town.node("b"));
    let tasks: Vec<_> = (0..500).map(|_| later(1000)).collect();
    submit_all(&a, &tasks);
    assert_eq!(statistics(&b)["scheduledTasks"], 500);
    a.kill();
    let took =
        wait_until("all have completed", PATIENCE, || statistics(&b)["completedTasks"] == 500);
    println!("1 node killed; its 500 tasks completed elsewhere after {took:?}");
    assert!(took < Duration::from_secs(14), "{took:?}");
    wait_until("it is counted out", PATIENCE, || statistics(&b)["nodes"] == 1);
}

#[test]
fn a_node_that_was_stopped_beyond_its_lease_finds_itself_fenced() {
    let town = Town::new();
    let (a, b) = (town.node("a"), town.node("b"));
    let tasks: Vec<_> = (0..200).map(|_| later(3000)).collect();
    let ids = submit_all(&a, &tasks);
    signal(&a, Signal::STOP);
    wait_until("they have completed elsewhere", PATIENCE, || {
        statistics(&b)["completedTasks"] == 200
    });
    signal(&a, Signal::CONT);
    let ended = a.wait_for_end(PATIENCE).expect_err("it must not end well");
    assert!(ended.contains("declared dead"), "{ended}");
    for id in ids {
        let task = task(&b, id);
        assert_eq!((&task["status"], &task["epoch"]), (&json!("COMPLETED"), &json!(3)), "{task}");
    }
    println!("1 node stopped for longer than its lease; 200 tasks ran once, elsewhere");
}

#[test]
fn any_node_cancels_pauses_and_shows_what_another_one_holds() {
    let town = Town::new();
    let (a, b) = (town.node("a"), town.node("b"));
    let ids = submit_all(&a, &[later(60_000), later(60_000)]);
    let mut client = Client::new(b.address);
    let answer = client.post(&format!("/api/v1/tasks/{}/cancel", ids[0]), "").expect("an answer");
    assert_eq!((answer.code, &answer.json()["status"]), (200, &json!("CANCELLED")));
    let path = format!("/api/v1/tasks/{}/status?status=PAUSED", ids[1]);
    let answer = client.send("PUT", &path, &[], "").expect("an answer");
    assert_eq!((answer.code, &answer.json()["status"]), (200, &json!("PAUSED")));
    let again = client.post(&format!("/api/v1/tasks/{}/cancel", ids[0]), "").expect("an answer");
    assert_eq!(again.code, 409, "{}", again.body);
    assert_eq!(task(&a, ids[1])["status"], "PAUSED");
    assert_eq!(statistics(&a)["nodes"], 2);
}

#[test]
fn one_idempotency_key_sent_to_two_nodes_at_once_inserts_once() {
    let town = Town::new();
    let nodes = [town.node("a"), town.node("b")];
    for round in 0..50 {
        let key = format!("key-{round}");
        let submit = |address| {
            let heads = [("Content-Type", "application/json"), ("Idempotency-Key", &*key)];
            let body = json!({ "taskName": "once", "taskType": "NOOP" }).to_string();
            let answer = Client::new(address).send("POST", "/api/v1/tasks", &heads, &body);
            let answer = answer.expect("an answer");
            assert!(matches!(answer.code, 200 | 201), "{}", answer.body);
            answer.json()["id"].as_u64()
        };
        let submit = &submit;
        let ids = thread::scope(|scope| {
            let sent = [&nodes[0], &nodes[1]].map(|node| {
                let address = node.address;
                scope.spawn(move || submit(address))
            });
            sent.map(|sent| sent.join().expect("an id"))
        });
        assert_eq!(ids[0], ids[1], "round {round}");
    }
    assert_eq!(statistics(&nodes[0])["totalTasks"], 50);
}

#[test]
fn a_backlog_given_to_one_node_is_run_by_both() {
    let town = Town::new();
    let (a, b) = (town.node("a"), town.node("b"));
    let ran = |server| statistics(server)["cores"][0]["executed"].as_u64().unwrap_or(0);
    let tasks: Vec<_> =
        (0..2000).map(|_| json!({ "taskName": "one", "taskType": "NOOP" })).collect();
    for _ in 0..50 {
        submit_all(&a, &tasks);
    }
    wait_until("all have completed", PATIENCE, || statistics(&a)["completedTasks"] == 100_000);
    println!("of 100,000 tasks given to one node it ran {}, the other {}", ran(&a), ran(&b));
    assert!(ran(&a) > 0 && ran(&b) >= 256, "{} and {}", ran(&a), ran(&b));
}

#[test]
fn after_an_outage_longer_than_the_lease_no_living_node_is_ended() {
    let cluster = Cluster::start(&[]);
    let town = Town::on(&cluster);
    let (a, b) = (town.node("a"), town.node("b"));
    let ids = [submit_all(&a, &[later(60_000)]), submit_all(&b, &[later(60_000)])].concat();
    cluster.freeze();
    let mut refused = 0;
    for _ in 0..8 {
        let body = json!({ "taskName": "in the outage", "taskType": "NOOP" }).to_string();
        let answer = Client::new(a.address).post("/api/v1/tasks", &body).expect("an answer");
        assert!(matches!(answer.code, 503 | 504), "{} {}", answer.code, answer.body);
        refused += 1;
        assert!(a.lives_for(Duration::from_secs(2)), "it ended: {}", a.output());
    }
    cluster.thaw();
    wait_until("submits are taken again", PATIENCE, || {
        let body = json!({ "taskName": "after", "taskType": "NOOP" }).to_string();
        Client::new(a.address).post("/api/v1/tasks", &body).is_ok_and(|answer| answer.code == 201)
    });
    assert!(b.lives_for(Duration::from_secs(15)), "it ended: {}", b.output());
    assert!(a.lives_for(Duration::from_millis(1)), "it ended: {}", a.output());
    assert_eq!(statistics(&a)["nodes"], 2);
    for id in ids {
        let task = task(&b, id);
        assert_eq!((&task["status"], &task["epoch"]), (&json!("SCHEDULED"), &json!(1)), "{task}");
    }
    println!("the database was frozen for 16 s or more; {refused} submits were refused in it");
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_whatever_befalls_nodes_and_database() {
    let (blows, reckoning) = Gale::new(1).run();
    println!("{blows}: {reckoning}");
    blows.assert_they_were_real(&reckoning);
    assert!(reckoning.breaches.is_empty(), "{reckoning}");
}
