//! The real server, killed from outside at random moments, against a ledger that survives it.
//!
//! Clients submit over the real port while tasks run and the process gets SIGKILL again and again.
//! Afterwards nothing acknowledged may be missing, nothing may have ended twice or under another
//! id, and nothing may have been started oftener than failures and kills explain.
//!
//! `TASKSCHEDULER_KILLS` sets how many kills (30), `TASKSCHEDULER_SEED` which moments and requests.

mod crash {
    pub mod load;
    pub mod storm;
    pub mod witness;
}
mod ledger;

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use taskscheduler::clock::{Clock, SystemClock};

use crash::load::Types;
use crash::storm::{Storm, number_from_environment, poll_task, submit_one};
use crash::witness::{self, ABORT, LONG, WITNESS, WITNESS_FAIL};
use ledger::http::{Broken, Client};
use ledger::random::Random;
use ledger::server::{Deadline, Server, Starting, stock};

fn kills() -> u64 {
    number_from_environment("TASKSCHEDULER_KILLS", 30)
}

fn seed() -> u64 {
    number_from_environment("TASKSCHEDULER_SEED", 1)
}

#[test]
fn this_program_is_also_the_server_that_it_kills() {
    witness::serve_if_asked();
}

#[test]
fn nothing_acknowledged_is_lost_or_ends_twice_however_often_the_server_is_killed() {
    let data = tempfile::tempdir().expect("a folder");
    let types = Types { plain: &["NOOP", "ECHO", "LOAD_TEST"], failing: "FAIL" };
    let command = &|| stock(data.path());
    let result = Storm { seed: seed(), kills: kills(), types, command }.run();
    println!("{result}");
    result.assert_faults_were_real();
    assert!(result.breaches.is_empty(), "seed {}: {result}", seed());
}

#[test]
fn no_task_is_started_oftener_than_its_failures_and_the_kills_explain() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("starts"));
    let types = Types { plain: &[WITNESS], failing: WITNESS_FAIL };
    let kills = kills().div_ceil(2);
    let command = &|| witness::server(&data, &log);
    let mut result = Storm { seed: seed() + 1, kills, types, command }.run();
    let starts = witness::starts(&log);
    let found = witness::breaches(&result.entries, &result.tasks, &starts, kills);
    result.breaches.extend(found);
    let again = starts.values().filter(|epochs| epochs.len() > 1).count();
    println!("{} tasks were started, {again} of them more than once; {result}", starts.len());
    result.assert_faults_were_real();
    assert!(result.breaches.is_empty(), "seed {}: {result}", seed());
}

#[test]
fn two_random_kills_during_a_long_task_do_not_poison_it() {
    let mut random = Random::new(seed());
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("starts"));
    let patience = Deadline::after(Duration::from_mins(1));
    let start = || Starting::new(witness::server(&data, &log)).ready();
    let mut server = start();
    let long = json!({ "taskName": "long", "taskType": LONG, "payload": "1500" });
    let id = submit_one(&mut Client::new(server.address), &long);
    for _ in 0..2 {
        poll_task(&server, id, &patience, |task| task["status"] == "RUNNING");
        assert!(server.lives_for(Duration::from_millis(random.below(500))), "it died by itself");
        server.kill();
        server = start();
    }
    let task = poll_task(&server, id, &patience, |task| is_over(&task["status"]));
    assert_eq!(task["status"], "COMPLETED", "{task}");
    assert_eq!(task["currentRetryCount"], 0, "a crash uses up no retry: {task}");
    assert_eq!(witness::starts(&log)[&id].len(), 3, "one start, and one after each kill");
}

#[test]
fn two_poisoned_tasks_side_by_side_both_end_and_the_others_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("starts"));
    let mut server = Starting::new(witness::server(&data, &log)).ready();
    let mut client = Client::new(server.address);
    // Due together, so that both and the others are stored before the first one strikes.
    let due_ms = SystemClock::new().now().0 + 1500;
    let due = jiff::Timestamp::from_millisecond(due_ms).expect("a time of this age").to_string();
    let mut submit = |task_type: &str| {
        let task = json!({ "taskName": task_type, "taskType": task_type, "scheduledTime": due });
        submit_one(&mut client, &task)
    };
    let others: Vec<u64> = (0..20).map(|_| submit(WITNESS)).collect();
    let poisons = [submit(ABORT), submit(ABORT)];
    let patience = Deadline::after(Duration::from_mins(1));
    let mut crashes = 0;
    while !have_ended(&server, &poisons) {
        assert!(!patience.is_over(), "after {crashes} crashes they have not ended");
        if !server.lives_for(Duration::from_millis(10)) {
            crashes += 1;
            server = start_again(&data, &log, &mut crashes, &patience);
        }
    }
    for id in poisons {
        let task = poll_task(&server, id, &patience, |task| is_over(&task["status"]));
        assert_eq!(task["status"], "FAILED", "{task}");
        let error = task["lastErrorMessage"].as_str().unwrap_or_default();
        assert!(error.contains("crashed"), "{task}");
    }
    for id in others {
        let task = poll_task(&server, id, &patience, |task| is_over(&task["status"]));
        assert_eq!(task["status"], "COMPLETED", "{task}");
    }
    // Each: the first crash, perhaps one that only made it a suspect, and three alone.
    assert!((6..=10).contains(&crashes), "{crashes} crashes");
}

/// Starts the server until one start is fast enough to say that it is ready.
fn start_again(data: &Path, log: &Path, crashes: &mut u32, patience: &Deadline) -> Server {
    loop {
        match Starting::new(witness::server(data, log)).ready_or_dead() {
            Some(server) => return server,
            None => *crashes += 1,
        }
        assert!(!patience.is_over(), "after {crashes} crashes it does not start");
    }
}

/// False also if the server died before it could tell.
fn have_ended(server: &Server, ids: &[u64]) -> bool {
    let mut client = Client::new(server.address);
    ids.iter().all(|id| match client.get(&format!("/api/v1/tasks/{id}")) {
        Ok(answer) => answer.code == 200 && is_over(&answer.json()["status"]),
        Err(Broken::Unsent | Broken::Unknown) => false,
    })
}

fn is_over(status: &serde_json::Value) -> bool {
    status.as_str().is_some_and(ledger::book::is_terminal)
}
