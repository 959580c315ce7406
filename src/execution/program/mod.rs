//! One run of a program outside: input in, bounded output out, nothing left behind.
//!
//! It runs in a process group of its own and is watched by one thread, which waits for its end, its
//! pipes, the clock and whoever may stop it, all at once. Past its deadline, or when it is to stop,
//! the whole group is asked to end and soon after made to; when the program has ended, so has
//! whatever it left behind.
//!
//! Promise: however a run ends, no process of its group, no zombie and no descriptor is left. A
//! process that moves to another group is out of reach.
//!
//! Absent on purpose: tasks, a shell, threads.

mod ended;
mod group;
mod pump;
mod sink;

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use group::Group;
use pump::Pump;

pub use ended::Ended;

use crate::clock::{Clock, Mono};
use crate::domain::{Epoch, TaskId, TimeMs};

/// What the system grants a program and each process it starts; `None`: what this process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessLimits {
    /// Bytes of address space.
    pub memory_bytes: Option<u64>,
    /// Seconds of processor time.
    pub cpu_s: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Bytes in a file it writes.
    pub file_bytes: Option<u64>,
    /// Processes of its user, all together; the system does not hold root to it.
    pub processes: Option<u64>,
}

/// How long a program may run.
pub struct Leash<'a> {
    /// The clock that counts.
    pub clock: &'a dyn Clock,
    /// When its time is up.
    pub deadline: Mono,
    /// How long it has between the request to end and the end.
    pub grace: Duration,
    /// Whether it is to stop at once; then how long it has for that.
    pub stop: &'a dyn Fn() -> Option<Duration>,
    /// Becomes readable, and stays so, when `stop` has something to say.
    pub alarm: Option<BorrowedFd<'a>>,
}

/// What a run may take and leave.
pub struct Bounds {
    /// What the system grants it.
    pub limits: ProcessLimits,
    /// The most bytes it may write to its standard output.
    pub output_bytes_max: usize,
}

/// What a program is told of its task.
pub struct TaskFacts<'a> {
    /// The task.
    pub id: TaskId,
    /// Its type.
    pub task_type: &'a str,
    /// The number of the attempt.
    pub attempt: u32,
    /// The claim it runs under.
    pub epoch: Epoch,
    /// When its time is up.
    pub deadline: TimeMs,
}

/// Runs a program with this input until it has ended.
pub fn run(
    command: Command,
    input: Option<Arc<str>>,
    bounds: &Bounds,
    leash: &Leash<'_>,
) -> io::Result<Ended> {
    let group = Group::spawn(command, &bounds.limits)?;
    Pump::new(group, input, bounds.output_bytes_max)?.run(leash)
}

impl TaskFacts<'_> {
    /// Puts them into the environment.
    pub fn tell(&self, command: &mut Command) {
        command
            .env("TASK_ID", self.id.to_string())
            .env("TASK_TYPE", self.task_type)
            .env("TASK_ATTEMPT", self.attempt.to_string())
            .env("TASK_EPOCH", self.epoch.0.to_string())
            .env("TASK_DEADLINE", (self.deadline.0 / 1000).to_string());
    }
}

/// The exit code that says that no retry will help: EX_DATAERR.
pub const PERMANENT_CODE: i32 = 65;

/// Where programs are looked for.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The whole path of a program, as [`PATH`] leads to it; `None`: there is none that can be run.
pub fn find_program(name: &str) -> Option<OsString> {
    use std::os::unix::fs::PermissionsExt;
    let can_run = |path: &PathBuf| {
        let found = std::fs::metadata(path);
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let path = if name.contains('/') {
        Some(PathBuf::from(name)).filter(can_run)
    } else {
        PATH.split(':').map(|folder| PathBuf::from(folder).join(name)).find(can_run)
    };
    path.map(PathBuf::into_os_string)
}
