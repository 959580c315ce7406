//! The same server as a library, with handlers that can be measured from inside.
//!
//! It is this program itself, started again with [`STARTS`] in its environment.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use taskscheduler::execution::{Attempt, Registry};

/// Names the file that STAMP writes to; only then this program is a server.
const STARTS: &str = "BENCH_STARTS";
const DATA: &str = "BENCH_DATA";
/// The URL of the database, where it is not the embedded one.
pub const DATABASE: &str = "BENCH_DATABASE";

/// Its payload is when it was sent; it writes down how long that was before its start.
pub const STAMP: &str = "STAMP";
/// Holds its core until it is told to stop.
pub const HOLD: &str = "HOLD";

pub fn server(data: &Path, starts: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path of its own"));
    command.env(STARTS, starts).env(DATA, data);
    command
}

/// Serves if the environment says so; the exit code of that.
pub fn serve_if_asked() -> Option<ExitCode> {
    let starts = std::env::var_os(STARTS)?;
    let data = std::env::var_os(DATA)?;
    let file = OpenOptions::new().create(true).append(true).open(starts).expect("a file");
    let mut registry = Registry::with_builtins();
    let stamp = move |attempt: &Attempt<'_>| {
        let now = now_us();
        let sent = attempt.payload().map_or("", |payload| &payload.bytes);
        let sent: u64 = sent.parse().expect("a payload that is a time");
        writeln!(&file, "{}", now.saturating_sub(sent)).expect("the file takes a line");
    };
    registry.register(STAMP, stamp).expect("a type of its own");
    let hold = |attempt: &Attempt<'_>| {
        while !attempt.cancelled() {
            thread::park_timeout(Duration::from_millis(20));
        }
    };
    registry.register(HOLD, hold).expect("a type of its own");
    let args = ["taskscheduler", "serve", "--listen", "127.0.0.1:0", "--data"].map(OsString::from);
    let database = std::env::var_os(DATABASE);
    let database = database.into_iter().flat_map(|url| ["--database-url".into(), url]);
    let args = args.into_iter().chain([data]).chain(database);
    Some(taskscheduler::cli::serve_with(registry, args))
}

/// A clock that all processes of the machine share, in microseconds.
pub fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}
