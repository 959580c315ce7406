//! `taskscheduler worker`: commands as workers, each a process of its own, kind and hostile.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::ledger::server::Deadline;
use super::{Ground, PATIENCE, token};

/// A worker of the real program.
struct Worker {
    child: Child,
    said: Receiver<String>,
}

impl Worker {
    /// One that runs this script for each task of type FAR.
    fn start(ground: &Ground, flags: &[&str], script: &str) -> Worker {
        let url = format!("http://{}", ground.server.address);
        Worker::of(&url, flags, &["/bin/sh", "-c", script], &[])
    }

    fn of(url: &str, flags: &[&str], command: &[&str], variables: &[(&str, &str)]) -> Worker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_taskscheduler"))
            .args(["worker", "--server", url, "--type", "FAR"])
            .args(flags)
            .arg("--")
            .args(command)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the worker starts");
        let (say, said) = channel();
        let lines = BufReader::new(child.stderr.take().expect("piped above")).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        Worker { child, said }
    }

    /// Waits until it says something with this in it.
    fn awaits_word(&self, part: &str) {
        while !self.said.recv_timeout(PATIENCE).expect("it says so").contains(part) {}
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process to signal");
    }

    fn end(&mut self) -> ExitStatus {
        let deadline = Deadline::after(PATIENCE);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(!deadline.is_over(), "the worker does not end");
            thread::yield_now();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Deadline::after(PATIENCE);
    while !is_so() {
        assert!(!deadline.is_over(), "{what}");
        thread::yield_now();
    }
}

fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

/// A task of type FAR with this payload.
fn submit(ground: &mut Ground, payload: &Value) -> u64 {
    let task = json!({
        "taskName": "t", "taskType": "FAR", "payload": payload, "maxRetryAttempts": 1,
        "retryDelayMs": 3_600_000,
    });
    let answer = ground.post("tasks", &task);
    assert_eq!(answer.code, 201, "{}", answer.body);
    answer.json()["id"].as_u64().expect("an id")
}

#[test]
fn a_command_gets_the_payload_and_its_end_decides_the_tasks() {
    let mut ground = Ground::start();
    let script = "case $(cat) in \
        bad) echo why >&2; exit 65;; \
        again) echo later >&2; exit 3;; \
        killed) kill -9 $$;; \
        facts) echo \"$TASK_ID $TASK_TYPE $TASK_ATTEMPT $TASK_EPOCH ${TASK_DEADLINE:+d} \
            $TASK_SCHEDULER_TOKEN$TASK_SCHEDULER_TOKEN_FILE\";; \
        *) echo well;; esac";
    let url = format!("http://{}", ground.server.address);
    let token = [("TASK_SCHEDULER_TOKEN", "canary")];
    let command = ["/bin/sh", "-c", script];
    let flags = ["--concurrency", "3", "--name", "crew"];
    let _worker = Worker::of(&url, &flags, &command, &token);
    let task = ground.await_ended("again", "RETRYING");
    assert_eq!(task["lastErrorMessage"], "exit code 3: later");
    let task = ground.await_ended("killed", "RETRYING");
    assert_eq!(task["lastErrorMessage"], "killed by signal 9");
    let task = ground.await_ended("bad", "FAILED");
    assert_eq!(
        (&task["lastErrorMessage"], &task["attempt"]),
        (&json!("exit code 65: why"), &json!(1))
    );
    let task = ground.await_ended("facts", "COMPLETED");
    assert_eq!(task["result"], format!("{} FAR 1 {} d ", task["id"], task["epoch"]));
    assert_eq!(task["worker"], "crew");
}

impl Ground {
    fn await_ended(&mut self, payload: &str, status: &str) -> Value {
        let id = submit(self, &json!(payload));
        self.await_status(id, status)
    }
}

#[test]
fn no_shell_sees_a_payload_and_json_goes_in_as_it_was_sent() {
    let mut ground = Ground::start();
    let url = format!("http://{}", ground.server.address);
    let _worker = Worker::of(&url, &[], &["cat"], &[]);
    let hostile = "$(touch /tmp/pwned); `id` | rm -rf / & \"'\\ \n * ${HOME} \u{1}ä";
    assert_eq!(ground.await_ended(hostile, "COMPLETED")["result"], hostile);
    let id = submit(&mut ground, &json!({"a": [1.0, null]}));
    let task = ground.await_status(id, "COMPLETED");
    assert_eq!(task["result"], "{\"a\":[1.0,null]}");
}

#[test]
fn hostile_output_ends_in_a_failure_or_in_text_and_the_next_task_is_served() {
    let mut ground = Ground::start();
    let script = "case $(cat) in \
        flood) exec yes;; \
        errors) head -c 3000000 /dev/zero | tr '\\0' x >&2; echo 'the end' >&2; exit 1;; \
        bytes) printf '\\377\\000ok';; \
        control) head -c 65536 /dev/zero | tr '\\0' '\\1';; \
        behind) sleep 1000 & echo $!;; esac";
    let _worker = Worker::start(&ground, &[], script);
    let task = ground.await_ended("flood", "FAILED");
    assert_eq!(task["lastErrorMessage"], "wrote more than 65536 bytes to its standard output");
    let task = ground.await_ended("errors", "RETRYING");
    let said = task["lastErrorMessage"].as_str().unwrap();
    assert!(said.ends_with("the end") && said.len() <= 4096, "{said}");
    assert_eq!(ground.await_ended("bytes", "COMPLETED")["result"], "\u{fffd}\u{fffd}ok");
    let task = ground.await_ended("control", "COMPLETED");
    assert_eq!(task["result"].as_str().map(str::len), Some(65536));
    // What a command leaves behind neither delays its end nor outlives it.
    let task = ground.await_ended("behind", "COMPLETED");
    let left = task["result"].as_str().unwrap().to_owned();
    wait_for("what was left behind lives on", || is_gone(&left));
}

#[test]
fn a_command_that_runs_longer_than_its_lease_keeps_it() {
    let mut ground = Ground::start();
    // Longer than leases rest after the server's start, too.
    let _worker = Worker::start(&ground, &["--lease", "1s"], "sleep 8; echo done");
    let id = ground.submit("FAR");
    let task = ground.await_status(id, "COMPLETED");
    assert_eq!((&task["result"], &task["epoch"]), (&json!("done"), &json!(1)), "{task}");
    assert!(task["lastErrorMessage"].is_null(), "{task}");
}

#[test]
fn a_cancel_ends_the_command_with_all_that_it_started() {
    let mut ground = Ground::start();
    let file = ground.folder.path().join("pids");
    let script = format!("sleep 1000 & echo $! > {0}; echo $$ >> {0}; wait", file.display());
    let _worker = Worker::start(&ground, &[], &script);
    let id = ground.submit("FAR");
    wait_for("the command does not start", || lines(&file).len() == 2);
    assert_eq!(ground.post(&format!("tasks/{id}/cancel"), &Value::Null).code, 202);
    ground.await_status(id, "CANCELLED");
    for pid in lines(&file) {
        wait_for("a process lives on", || is_gone(&pid));
    }
}

#[test]
fn a_command_past_its_time_is_ended_and_its_attempt_has_failed() {
    let mut ground = Ground::start();
    let _worker = Worker::start(&ground, &[], "exec sleep 1000");
    let task = json!({"taskName": "t", "taskType": "FAR", "executionTimeoutSeconds": 1,
        "maxRetryAttempts": 0});
    let id = ground.post("tasks", &task).json()["id"].as_u64().unwrap();
    let task = ground.await_status(id, "FAILED");
    let said = task["lastErrorMessage"].as_str().unwrap();
    assert!(
        said.ends_with("did not report within 1 s") || said == "took longer than 1 s",
        "{said}"
    );
    // The hand is free again.
    let next = json!({"taskName": "t", "taskType": "FAR", "executionTimeoutSeconds": 30});
    let id = ground.post("tasks", &next).json()["id"].as_u64().unwrap();
    ground.await_status(id, "RUNNING");
}

#[test]
fn on_sigterm_it_takes_no_more_and_what_runs_finishes() {
    let mut ground = Ground::start();
    let (began, go) = (ground.folder.path().join("began"), ground.folder.path().join("go"));
    let script = format!(
        "echo >> {}; while [ ! -e {} ]; do sleep 0.05; done; echo done",
        began.display(),
        go.display()
    );
    let mut worker = Worker::start(&ground, &[], &script);
    let (first, second) = (ground.submit("FAR"), ground.submit("FAR"));
    wait_for("the command does not start", || lines(&began).len() == 1);
    worker.signal(Signal::TERM);
    worker.awaits_word("taking no more tasks");
    std::fs::write(&go, "").unwrap();
    assert!(worker.end().success());
    assert_eq!(ground.task(first)["result"], "done");
    let second = ground.task(second);
    assert_eq!((&second["status"], lines(&began).len()), (&json!("QUEUED"), 1));
}

#[test]
fn what_does_not_finish_in_the_drain_is_stopped_and_given_back_at_no_cost() {
    let mut ground = Ground::start();
    let file = ground.folder.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
    let mut worker = Worker::start(&ground, &["--drain-timeout", "0s"], &script);
    let id = ground.submit("FAR");
    wait_for("the command does not start", || file.exists());
    worker.signal(Signal::TERM);
    assert!(worker.end().success());
    assert!(is_gone(&lines(&file)[0]));
    let task = ground.task(id);
    assert_eq!((&task["status"], &task["currentRetryCount"]), (&json!("QUEUED"), &json!(0)));
    assert!(task["lastErrorMessage"].is_null(), "{task}");
}

#[test]
fn a_killed_workers_task_goes_to_the_next_one() {
    let mut ground = Ground::start();
    let file = ground.folder.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
    let mut first = Worker::start(&ground, &["--lease", "1s", "--name", "first"], &script);
    let id = ground.submit("FAR");
    wait_for("the command does not start", || file.exists());
    first.signal(Signal::KILL);
    first.end();
    let _second = Worker::start(&ground, &[], "echo second");
    let task = ground.await_status(id, "COMPLETED");
    assert_eq!((&task["result"], &task["currentRetryCount"]), (&json!("second"), &json!(0)));
    // Nobody is there to end what a killed worker has started.
    let left = lines(&file)[0].parse().ok().and_then(Pid::from_raw).unwrap();
    kill_process(left, Signal::KILL).unwrap();
}

#[test]
fn a_worker_that_was_silent_too_long_stops_its_command_and_changes_nothing() {
    let mut ground = Ground::start();
    let file = ground.folder.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
    let silent = Worker::start(&ground, &["--lease", "1s", "--name", "silent"], &script);
    let id = ground.submit("FAR");
    wait_for("the command does not start", || file.exists());
    silent.signal(Signal::STOP);
    let lease = ground.lease("other", json!({"waitMs": 20000}));
    assert_eq!(lease[0]["task"]["id"], id);
    silent.signal(Signal::CONT);
    silent.awaits_word("its lease was lost");
    assert!(is_gone(&lines(&file)[0]));
    let done =
        ground.report("complete", json!({"leaseToken": token(&lease[0]), "result": "other"}));
    assert_eq!(done["ok"], true);
    let task = ground.task(id);
    assert_eq!((&task["status"], &task["result"]), (&json!("COMPLETED"), &json!("other")));
}

#[test]
fn a_server_that_is_away_is_waited_for_and_its_restart_runs_nothing_twice() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut ground = Ground::start_at(port);
    let (ran, go) = (ground.folder.path().join("ran"), ground.folder.path().join("go"));
    let script = format!(
        "echo $TASK_ID >> {}; while [ ! -e {} ]; do sleep 0.05; done; echo done",
        ran.display(),
        go.display()
    );
    let worker = Worker::start(&ground, &["--concurrency", "4"], &script);
    let ids: Vec<u64> = (0..12).map(|_| ground.submit("FAR")).collect();
    wait_for("four do not start", || lines(&ran).len() == 4);
    let folder = ground.kill();
    worker.awaits_word("trying again");
    // The commands end while nobody is there to be told.
    std::fs::write(&go, "").unwrap();
    let mut ground = Ground::on(folder, port);
    for id in &ids {
        let task = ground.await_status(*id, "COMPLETED");
        assert_eq!((&task["result"], &task["attempt"]), (&json!("done"), &json!(1)));
    }
    let mut all: Vec<u64> = lines(&ran).iter().map(|line| line.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, ids, "a task ran twice, or not at all");
}

#[test]
fn a_server_that_refuses_for_good_ends_it_with_the_reason() {
    let mut ground = Ground::start();
    // A type that the server runs itself.
    let url = format!("http://{}", ground.server.address);
    let mut worker = Worker::of(&url, &["--type", "ECHO"], &["cat"], &[]);
    assert_eq!(worker.end().code(), Some(2));
    worker.awaits_word("ECHO is run by the server itself");
    assert_eq!(ground.post("tasks", &json!({"taskName": "t", "taskType": "ECHO"})).code, 201);
}
