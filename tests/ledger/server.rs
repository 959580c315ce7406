//! A server process: started, found by the address it prints, killed from outside.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use taskscheduler::clock::{Clock, Mono, SystemClock};

/// The longest that a start may take, recovery of the test's few thousand tasks included.
const START_WAIT: Duration = Duration::from_mins(1);
/// How many of its last lines a server's failure is shown with.
const LINES_SHOWN: usize = 60;
/// How many of them are kept.
const LINES_KEPT: usize = 20_000;

/// A point in time after which a test gives up.
pub struct Deadline {
    clock: SystemClock,
    until: Mono,
}

impl Deadline {
    pub fn after(wait: Duration) -> Deadline {
        let clock = SystemClock::new();
        let until = clock.mono().plus(wait);
        Deadline { clock, until }
    }

    pub fn left(&self) -> Duration {
        self.until.since(self.clock.mono())
    }

    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

/// A process that has not said yet where it listens.
pub struct Starting {
    child: Child,
    said: Receiver<SocketAddr>,
    /// Gets nothing; its senders hang up when the process's outputs end.
    ended: Receiver<()>,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Starting {
    pub fn new(mut command: Command) -> Starting {
        // The environment of whoever runs the test must not configure the server.
        for (key, _) in std::env::vars_os() {
            let name = key.to_string_lossy();
            if name.starts_with("TASK_SCHEDULER_") || name.starts_with("SPRING_") {
                command.env_remove(&key);
            }
        }
        for key in ["SERVER_PORT", "DATABASE_URL", "REDIS_URL"] {
            command.env_remove(key);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server's process starts");
        let (say, said) = sync_channel(1);
        let (live, ended) = sync_channel(1);
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped above")),
            Box::new(child.stderr.take().expect("piped above")),
        ];
        for output in outputs {
            let (say, live, lines) = (say.clone(), live.clone(), Arc::clone(&lines));
            thread::spawn(move || read_lines(output, &lines, &say, live));
        }
        Starting { child, said, ended, lines }
    }

    /// Waits for the line with the address.
    pub fn ready(self) -> Server {
        let lines = Arc::clone(&self.lines);
        self.ready_or_dead().unwrap_or_else(|| {
            panic!("the server ended in its start:\n{}", joined(&lines));
        })
    }

    /// The same for a server that may die of what it starts with: then there is none.
    pub fn ready_or_dead(self) -> Option<Server> {
        match self.said.recv_timeout(START_WAIT) {
            Ok(address) => Some(Server { starting: self, address }),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no address was said:\n{}", self.output()),
        }
    }

    /// SIGKILL, without any notice.
    pub fn kill(mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("a process to wait for");
    }

    /// Waits so long; false if the process ended meanwhile.
    pub fn lives_for(&self, wait: Duration) -> bool {
        matches!(self.ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    /// Its last lines, for the message of a failure.
    pub fn output(&self) -> String {
        joined(&self.lines)
    }
}

impl Drop for Starting {
    /// A failing test must leave no process behind; after `kill` both calls do nothing.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Server {
    starting: Starting,
    pub address: SocketAddr,
}

impl Server {
    pub fn id(&self) -> u32 {
        self.starting.child.id()
    }

    pub fn lives_for(&self, wait: Duration) -> bool {
        self.starting.lives_for(wait)
    }

    /// Everything it has said, but for the beginning of a very long talk.
    pub fn output(&self) -> String {
        Vec::from(self.starting.lines.lock().expect("no reader panicked").clone()).join("\n")
    }

    pub fn kill(self) {
        self.starting.kill();
    }

    /// SIGTERM, and how it ended, with its last lines if that was not well.
    pub fn terminate(self) -> Result<(), String> {
        let id = i32::try_from(self.id()).expect("a process id");
        let process = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(process, rustix::process::Signal::TERM)
            .expect("a process to signal");
        self.wait_for_end(START_WAIT)
    }

    /// How it ended by itself, within this time.
    pub fn wait_for_end(mut self, wait: Duration) -> Result<(), String> {
        if self.lives_for(wait) {
            return Err(format!("the server did not end:\n{}", self.starting.output()));
        }
        let status = self.starting.child.wait().expect("a process to wait for");
        let ended = || format!("the server ended with {status}:\n{}", self.starting.output());
        if status.success() { Ok(()) } else { Err(ended()) }
    }
}

/// The stock binary on this data directory, on a port that the kernel chooses.
pub fn stock(data: &Path) -> Command {
    stock_at(data, 0)
}

/// The same on this port.
pub fn stock_at(data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskscheduler"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(data);
    command
}

fn read_lines(
    output: impl Read,
    lines: &Mutex<VecDeque<String>>,
    say: &SyncSender<SocketAddr>,
    live: SyncSender<()>,
) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(address) = address_in(&line) {
            // Only the first address is waited for.
            let _ = say.try_send(address);
        }
        keep(lines, line);
    }
    drop(live);
}

fn joined(lines: &Mutex<VecDeque<String>>) -> String {
    let lines = lines.lock().expect("no reader panicked");
    let last = lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN));
    last.map(String::as_str).collect::<Vec<_>>().join("\n")
}

fn keep(lines: &Mutex<VecDeque<String>>, line: String) {
    let mut lines = lines.lock().expect("no reader panicked");
    if lines.len() == LINES_KEPT {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// The address in a line such as `listening on http://127.0.0.1:8080, SQLite ...`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']');
    let end = rest.find(|c| !of_address(c)).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}
