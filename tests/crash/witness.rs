//! A server with handlers that tell the outside world of every start.
//!
//! It is this test program itself, started again with [`LOG`] in its environment: the library's
//! own server with three more task types. A start is one line, written with one call to a file
//! opened for appending, so the lines of all incarnations stand in the order of the starts and a
//! kill of the process takes none of them back.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use taskscheduler::domain::{Failure, FailureKind};
use taskscheduler::execution::{Attempt, Registry};

use crate::ledger::book::{Entry, Fate, Found};

/// Names the file of the starts; only then this program is a server.
const LOG: &str = "WITNESS_LOG";
const ARGS: &str = "WITNESS_DATA";
/// The test that is the server, if the environment says so.
const SERVER_TEST: &str = "this_program_is_also_the_server_that_it_kills";

/// Notes its start and is done.
pub const WITNESS: &str = "WITNESS";
/// Notes its start and fails as often as its payload says, as FAIL does.
pub const WITNESS_FAIL: &str = "WITNESS_FAIL";
/// Notes its start and takes the process down.
pub const ABORT: &str = "ABORT";
/// Notes its start and holds its core for the milliseconds in its payload.
pub const LONG: &str = "LONG";

/// The command that starts this program as a server on this data directory.
pub fn server(data: &Path, log: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path of its own"));
    command.args([SERVER_TEST, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(LOG, log).env(ARGS, data);
    command
}

/// Serves if the environment says so, and does not come back from that.
pub fn serve_if_asked() {
    let (Some(log), Some(data)) = (std::env::var_os(LOG), std::env::var_os(ARGS)) else { return };
    let args = ["taskscheduler", "serve", "--listen", "127.0.0.1:0", "--data"].map(OsString::from);
    let args = args.into_iter().chain([data]);
    let exit = taskscheduler::cli::serve_with(registry(&PathBuf::from(log)), args);
    std::process::exit(i32::from(exit != ExitCode::SUCCESS));
}

fn registry(log: &Path) -> Registry {
    let log = OpenOptions::new().create(true).append(true).open(log).expect("a log to append to");
    let log = Arc::new(log);
    let mut registry = Registry::with_builtins();
    let mut add = |task_type: &str, act: fn(&Attempt<'_>) -> Result<(), Failure>| {
        let log = Arc::clone(&log);
        let handler = move |attempt: &Attempt<'_>| {
            note(&log, attempt);
            act(attempt)
        };
        registry.register(task_type, handler).expect("a type of its own");
    };
    add(WITNESS, |_| Ok(()));
    add(WITNESS_FAIL, |attempt| {
        if u64::from(attempt.number()) > payload_number(attempt) {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Error, "as its payload says"))
    });
    add(ABORT, |_| std::process::abort());
    add(LONG, |attempt| {
        let wait = Duration::from_millis(payload_number(attempt));
        let deadline = crate::ledger::server::Deadline::after(wait);
        while !deadline.is_over() && !attempt.cancelled() {
            thread::park_timeout(deadline.left().min(Duration::from_millis(5)));
        }
        Ok(())
    });
    registry
}

/// One line, one write: it is whole or not there.
fn note(log: &File, attempt: &Attempt<'_>) {
    let line = format!("{} {} {}\n", attempt.id(), attempt.epoch().0, attempt.number());
    let mut log = log;
    log.write_all(line.as_bytes()).expect("the log takes a line");
}

fn payload_number(attempt: &Attempt<'_>) -> u64 {
    let text = attempt.payload().map_or("", |payload| &payload.bytes);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a payload with a number")
}

/// The epochs under which each task was started, in order.
pub type Starts = BTreeMap<u64, Vec<u64>>;

pub fn starts(log: &Path) -> Starts {
    let mut starts = Starts::new();
    let text = std::fs::read_to_string(log).expect("the log");
    for line in text.lines() {
        let numbers: Vec<u64> = line.split(' ').map(|part| part.parse().expect(line)).collect();
        starts.entry(numbers[0]).or_default().push(numbers[1]);
    }
    starts
}

/// What the starts say against the server; empty is right.
pub fn breaches(entries: &[Entry], found: &[Found], starts: &Starts, kills: u64) -> Vec<String> {
    let mut breaches = Vec::new();
    let tasks: HashMap<u64, &Found> = found.iter().map(|task| (task.id, task)).collect();
    let by_name: HashMap<&str, &Entry> = entries.iter().map(|e| (e.name.as_str(), e)).collect();
    for (id, epochs) in starts {
        let Some(task) = tasks.get(id) else {
            breaches.push(format!("{id} was started and does not exist"));
            continue;
        };
        if !epochs.is_sorted_by(|a, b| a < b) {
            breaches.push(format!("the epochs of {id} do not rise: {epochs:?}"));
        }
        let Some(entry) = by_name.get(task.name.as_str()) else { continue };
        let bound = 1 + u64::from(entry.retries.0) + (kills - entry.kills_before);
        if epochs.len() as u64 > bound {
            breaches.push(format!("{id} was started {} times over {bound}", epochs.len()));
        }
    }
    for entry in entries {
        let Fate::Acknowledged(id) = entry.fate else { continue };
        let completed = tasks.get(&id).is_some_and(|task| task.status == "COMPLETED");
        if completed && entry.task_type.starts_with(WITNESS) && !starts.contains_key(&id) {
            breaches.push(format!("{id} is completed and was never started"));
        }
    }
    breaches
}
