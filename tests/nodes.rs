//! Several servers as one system: processes of the real binary on one throw-away database, killed,
//! stopped and cut off from outside.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;
#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod nodes {
    pub mod gale;
    pub mod lessees;
    pub mod load;
    pub mod town;
}

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use taskscheduler::clock::{Clock, SystemClock};
use test_servers::Cluster;

use ledger::http::Client;
use ledger::server::Server;
use nodes::gale::Gale;
use nodes::load::under_load;
use nodes::town::{
    Town, later, pause, signal, statistics, submit_all, submit_all_at, task, wait_until,
};

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
    wait_until("both are there", PATIENCE, || statistics(&a)["nodes"] == 2);
    let clock = SystemClock::new();
    let (send, acknowledged) = std::sync::mpsc::sync_channel(64);
    let (both, all) = thread::scope(|scope| {
        let (address, tasks, clock) = (a.address, &tasks, &clock);
        scope.spawn(move || {
            for _ in 0..50 {
                submit_all_at(address, tasks);
                send.send(clock.mono()).expect("somebody hears");
            }
        });
        let first = acknowledged.recv_timeout(PATIENCE).expect("a batch is taken");
        wait_until("both run them", PATIENCE, || ran(&a) > 0 && ran(&b) > 0);
        let both = clock.mono().since(first);
        wait_until("all have completed", PATIENCE, || statistics(&a)["completedTasks"] == 100_000);
        (both, clock.mono().since(first))
    });
    let (by_a, by_b) = (ran(&a), ran(&b));
    println!(
        "of 100,000 tasks given to one node it ran {by_a}, the idle one {by_b}; both ran them \
         {both:?} after the first was stored, and had run all after {all:?}"
    );
    assert!(both < Duration::from_secs(2), "{both:?}");
    assert!(by_a > 0 && by_b >= 256, "{by_a} and {by_b}");
}

#[test]
fn of_three_nodes_one_is_killed_and_one_sleeps_beyond_its_lease_and_nothing_is_lost() {
    let town = Town::new();
    let mut nodes = vec![town.node("a"), town.node("b"), town.node("c")];
    wait_until("all are there", PATIENCE, || statistics(&nodes[0])["nodes"] == 3);
    // They run on one machine, so all have its name; who they are is in their directories.
    let sql = "SELECT count(DISTINCT name), count(*) FROM taskscheduler.nodes
               WHERE state = 'alive'";
    let names = town.account.connect().query_one(sql, &[]).expect("a count");
    assert_eq!((names.get::<_, i64>(0), names.get::<_, i64>(1)), (1, 3));
    let mut gone = Duration::ZERO;
    let reckoning = under_load(&mut nodes, |nodes, signpost| {
        pause(Duration::from_secs(2));
        let (killed, asleep) = (nodes.remove(2), nodes.remove(1));
        signal(&asleep, Signal::STOP);
        killed.kill();
        signpost.show(nodes);
        gone = wait_until("both are ended", PATIENCE, || town.unended() == 1);
        signal(&asleep, Signal::CONT);
        let ended = asleep.wait_for_end(PATIENCE).expect_err("it must not end well");
        assert!(ended.contains("declared dead"), "{ended}");
        nodes.extend(["b", "c"].map(|name| town.node(name)));
        signpost.show(nodes);
        wait_until("all are back", PATIENCE, || statistics(&nodes[0])["nodes"] == 3);
        pause(Duration::from_secs(2));
        // What a node held that is ended is freed under one epoch and claimed under the next.
        2
    });
    println!("1 node killed, 1 stopped beyond its lease; both were ended {gone:?} later");
    println!("{reckoning}");
    assert!(gone < Duration::from_secs(14), "{gone:?}");
    assert!(reckoning.breaches.is_empty(), "{reckoning}");
    assert!(reckoning.acknowledged > 1000 && reckoning.leased > 10, "{reckoning}");
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

#[test]
fn a_second_node_nearly_doubles_what_a_limited_type_gets_done() {
    let town = Town::new();
    let config = "[types.SLEEP]\nexecutor = \"builtin\"\nmax-concurrency = 20\n";
    let nodes = [town.node_with("a", config)];
    let nap = json!({ "taskName": "nap", "taskType": "SLEEP", "payload": { "ms": 25 } });
    let mut ended = 0;
    let mut rate = |node: &Server| {
        ended += 4000;
        let clock = SystemClock::new();
        for _ in 0..2 {
            submit_all(node, &vec![nap.clone(); 2000]);
        }
        wait_until("all have slept", PATIENCE, || statistics(node)["completedTasks"] == ended);
        4000.0 / Duration::from_micros(clock.mono().0).as_secs_f64()
    };
    let alone = rate(&nodes[0]);
    let second = town.node_with("b", config);
    wait_until("both are there", PATIENCE, || statistics(&second)["nodes"] == 2);
    let both = rate(&nodes[0]);
    println!("25 ms naps, 20 at once: {alone:.0}/s on one node, {both:.0}/s on two");
    assert!(both > 1.5 * alone, "{both} and {alone}");
}
