//! The real server, killed from outside at random moments, against a ledger that survives it.
//!
//! Clients submit over the real port while tasks run and the process gets SIGKILL again and again.
//! Afterwards nothing acknowledged may be missing, nothing may have ended twice or under another
//! id, and nothing may have been claimed oftener than failures and kills explain.
//!
//! `TASKSCHEDULER_KILLS` sets how many kills (30), `TASKSCHEDULER_SEED` which moments and requests.

mod crash {
    pub mod load;
    pub mod storm;
}
mod ledger;

use std::time::Duration;

use serde_json::json;

use crash::storm::{Storm, number_from_environment, poll_task, submit_one};
use ledger::http::Client;
use ledger::random::Random;
use ledger::server::{Deadline, Starting, stock};

const BUILTINS: &[&str] = &["NOOP", "ECHO", "LOAD_TEST"];

#[test]
fn nothing_acknowledged_is_lost_or_done_twice_however_often_the_server_is_killed() {
    let kills = number_from_environment("TASKSCHEDULER_KILLS", 30);
    let seed = number_from_environment("TASKSCHEDULER_SEED", 1);
    let data = tempfile::tempdir().expect("a folder");
    let result = Storm { seed, kills, types: BUILTINS, command: &|| stock(data.path()) }.run();
    println!("{result}");
    result.assert_faults_were_real();
    assert!(result.breaches.is_empty(), "seed {seed}: {result}");
}

#[test]
fn two_random_kills_during_a_long_task_do_not_poison_it() {
    let seed = number_from_environment("TASKSCHEDULER_SEED", 1);
    let mut random = Random::new(seed);
    let data = tempfile::tempdir().expect("a folder");
    let patience = Deadline::after(Duration::from_mins(1));
    let mut server = Starting::new(stock(data.path())).ready();
    let long = json!({ "taskName": "long", "taskType": "SLEEP", "payload": { "ms": 1500 } });
    let id = submit_one(&mut Client::new(server.address), &long);
    for _ in 0..2 {
        poll_task(&server, id, &patience, |task| task["status"] == "RUNNING");
        assert!(server.lives_for(Duration::from_millis(random.below(500))), "it died by itself");
        server.kill();
        server = Starting::new(stock(data.path())).ready();
    }
    let task = poll_task(&server, id, &patience, |task| task["completed"] == true);
    assert_eq!(task["status"], "COMPLETED", "{task}");
    assert_eq!(task["currentRetryCount"], 0, "a crash uses up no retry: {task}");
}
