//! The program under a service manager, played by the test: what it tells, and when it stops
//! telling that it is alive.
//!
//! Single threads of the real program are stopped with strace, which holds a thread back at its
//! next system call while all others go on.

#[expect(dead_code, reason = "shared by several test programs, each of which uses a part")]
mod ledger;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use ledger::http::Client;
use ledger::server::{Deadline, Server, Starting, stock};

const PATIENCE: Duration = Duration::from_secs(20);

/// The service manager's end of the conversation.
struct ServiceHost {
    socket: UnixDatagram,
    path: PathBuf,
}

impl ServiceHost {
    fn new(folder: &Path) -> ServiceHost {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        ServiceHost { socket, path }
    }

    /// Starts the program so that it knows of this manager; its watchdog has 1.5 s.
    fn employ(&self, mut command: Command) -> Starting {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "1500000");
        Starting::new(command)
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("the server says something in time");
        String::from_utf8_lossy(&buffer[..length]).into()
    }

    /// Listens until a message contains this; the messages before it, and it.
    fn hear_until(&self, words: &str) -> (Vec<String>, String) {
        let (deadline, mut before) = (Deadline::after(PATIENCE), Vec::new());
        while !deadline.is_over() {
            let message = self.hear();
            if message.contains(words) {
                return (before, message);
            }
            before.push(message);
        }
        panic!("never heard {words}, only {before:?}");
    }

    fn hears_of_life(&self) {
        self.hear_until("WATCHDOG=1");
    }

    /// From the first complaint on, none of the next messages says that the server is alive.
    fn hears_only_complaints(&self, words: &str) {
        let (_, first) = self.hear_until(words);
        for message in std::iter::once(first).chain((0..4).map(|_| self.hear())) {
            assert!(message.contains(words) && !message.contains("WATCHDOG=1"), "{message}");
        }
    }
}

/// One thread of a server that stands still until this is dropped.
struct Stopped(Child);

impl Stopped {
    fn thread(server: &Server, name: &str) -> Stopped {
        let tasks = format!("/proc/{}/task", server.id());
        let thread = std::fs::read_dir(tasks).unwrap().find_map(|entry| {
            let entry = entry.unwrap();
            let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            (comm.trim() == name).then(|| entry.file_name().into_string().unwrap())
        });
        let thread = thread.unwrap_or_else(|| panic!("no thread is called {name}"));
        let mut strace = Command::new("strace")
            .args(["--inject=all:delay_enter=600s", "-p", &thread, "-o", "/dev/null"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is there");
        let mut said = String::new();
        let mut lines = BufReader::new(strace.stderr.take().unwrap());
        lines.read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "strace cannot hold a thread here: {said}");
        Stopped(strace)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn submit(server: &Server, task_type: &str) -> u64 {
    let task = json!({ "taskName": "t", "taskType": task_type }).to_string();
    let answer = Client::new(server.address).post("/api/v1/tasks", &task).unwrap();
    assert_eq!(answer.code, 201, "{}", answer.json());
    answer.json()["id"].as_u64().unwrap()
}

#[test]
fn it_is_ready_only_once_it_has_taken_over_what_was_left() {
    let ground = tempfile::tempdir().unwrap();
    let data = ground.path().join("data");
    let first = Starting::new(stock(&data)).ready();
    let id = submit(&first, "NOBODY_RUNS_THIS");
    first.kill();

    // Each sync takes seconds, so taking over takes much longer than answering.
    let manager = ServiceHost::new(ground.path());
    let mut command = Command::new("strace");
    // -D: the tracer is a grandchild, so that the process started here is the server itself.
    command.args(["-D", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", "/dev/null"]);
    command.arg("--inject=fsync,fdatasync:delay_enter=2s");
    command.arg(stock(&data).get_program()).args(stock(&data).get_args());
    let starting = manager.employ(command);
    let (before, ready) = manager.hear_until("READY=1");
    assert!(before.iter().any(|said| said.contains("STATUS=taking over")), "{before:?}");
    assert!(ready.contains("STATUS=serving http://127.0.0.1:"), "{ready}");
    let at_once = Deadline::after(Duration::from_millis(1900));
    let server = starting.ready();
    let task = Client::new(server.address).get(&format!("/api/v1/tasks/{id}")).unwrap();
    assert_eq!(task.code, 200);
    assert!(!at_once.is_over(), "it was called ready before it could answer");
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let ground = tempfile::tempdir().unwrap();
    let manager = ServiceHost::new(ground.path());
    let data = ground.path().join("data");
    std::fs::write(&data, "a file, where a directory should be").unwrap();
    assert!(manager.employ(stock(&data)).ready_or_dead().is_none());
    manager.socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = manager.socket.recv(&mut buffer) {
        let said = String::from_utf8_lossy(&buffer[..length]);
        assert!(!said.contains("READY=1"), "{said}");
    }
}

#[test]
fn the_watchdog_goes_unfed_while_the_writer_stands_still() {
    let ground = tempfile::tempdir().unwrap();
    let manager = ServiceHost::new(ground.path());
    let server = manager.employ(stock(&ground.path().join("data"))).ready();
    manager.hears_of_life();
    let stopped = Stopped::thread(&server, "writer");
    manager.hears_only_complaints("STATUS=the writer stands still");
    drop(stopped);
    manager.hears_of_life();
}

#[test]
fn the_watchdog_goes_unfed_while_tasks_wait_and_no_core_takes_them() {
    let ground = tempfile::tempdir().unwrap();
    let manager = ServiceHost::new(ground.path());
    let mut command = stock(&ground.path().join("data"));
    command.args(["--cores", "1"]);
    let server = manager.employ(command).ready();
    manager.hears_of_life();
    let stopped = Stopped::thread(&server, "core-0");
    // A core that has nothing to do owes nothing.
    manager.hears_of_life();
    submit(&server, "NOOP");
    manager.hears_only_complaints("STATUS=tasks wait and no core takes them");
    drop(stopped);
    manager.hears_of_life();
}

#[test]
fn a_polite_end_is_announced_with_the_time_it_may_take() {
    let ground = tempfile::tempdir().unwrap();
    let manager = ServiceHost::new(ground.path());
    let server = manager.employ(stock(&ground.path().join("data"))).ready();
    manager.hear_until("READY=1");
    server.terminate().unwrap_or_else(|how| panic!("{how}"));
    let (_, stopping) = manager.hear_until("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=35000000"), "{stopping}");
}
