//! The process executor: a task is one run of a command that the configuration names.
//!
//! The command is a list of arguments and no shell ever sees it; what a client sends only goes to
//! its standard input. It runs in a process group of its own, with an environment that holds
//! nothing of the server's. At its deadline, or when somebody cancels the task, the whole group is
//! asked to end and soon after made to; when the command has ended, so has whatever it left behind.
//!
//! Promise: however a run ends, no process of its group, no zombie and no descriptor is left.
//! A process that moves to another group is out of reach.

mod group;
mod pump;
mod sink;

#[cfg(all(test, not(modelled)))]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use std::os::unix::process::{CommandExt, ExitStatusExt};

use group::Group;
use pump::{Ended, Pump};

use crate::domain::{Failure, FailureKind, Outcome, Payload};
use crate::execution::{Attempt, Doing, Handler};

/// What to run, and within which bounds.
#[derive(Debug, Clone)]
pub struct ProcessSetup {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Where it runs; `None`: where the server does.
    pub directory: Option<PathBuf>,
    /// What its environment holds beside PATH and what the task is called.
    pub environment: Vec<(OsString, OsString)>,
    /// The exit codes that say that no retry will help.
    pub permanent_codes: Vec<i32>,
    /// The most bytes it may write to its standard output.
    pub output_bytes_max: usize,
    /// How long it has between the request to end and the end.
    pub stop_grace: Duration,
    /// What the system grants it.
    pub limits: ProcessLimits,
}

/// What the system grants a command and each process it starts; `None`: what the server has.
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

impl ProcessSetup {
    /// The exit code that says that no retry will help, unless others are named: EX_DATAERR.
    pub const PERMANENT_CODE: i32 = 65;
    /// Longer than this nobody waits between the request to end and the end, so that the end comes
    /// before the attempt is given up.
    pub const STOP_GRACE_MAX: Duration = Duration::from_secs(4);

    /// This command, with the defaults for all else.
    pub fn new(command: Vec<OsString>) -> ProcessSetup {
        ProcessSetup {
            command,
            directory: None,
            environment: Vec::new(),
            permanent_codes: vec![Self::PERMANENT_CODE],
            output_bytes_max: 64 * 1024,
            stop_grace: Duration::from_secs(2),
            limits: ProcessLimits::default(),
        }
    }
}

/// Where programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The whole path of a program, as the command's own PATH would find it; `None`: there is none that
/// can be run.
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

/// Runs a command for each task of its type.
pub struct Process {
    setup: ProcessSetup,
}

impl Process {
    /// A handler for this command.
    pub fn new(setup: ProcessSetup) -> Process {
        let stop_grace = setup.stop_grace.min(ProcessSetup::STOP_GRACE_MAX);
        let mut setup = ProcessSetup { stop_grace, ..setup };
        // Looked up once; and a whole path is started by the quickest way there is.
        if let Some(program) = setup.command.first_mut()
            && let Some(found) = program.to_str().and_then(find_program)
        {
            *program = found;
        }
        Process { setup }
    }

    fn command(&self, attempt: &Attempt<'_>) -> Command {
        let setup = &self.setup;
        let program = setup.command.first().cloned().unwrap_or_default();
        let mut command = Command::new(program);
        command
            .args(setup.command.iter().skip(1))
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .envs(setup.environment.iter().map(|(name, value)| (name, value)))
            .env("TASK_ID", attempt.id().to_string())
            .env("TASK_TYPE", &*attempt.spec().task_type)
            .env("TASK_ATTEMPT", attempt.number().to_string())
            .env("TASK_EPOCH", attempt.epoch().0.to_string())
            .env("TASK_DEADLINE", (attempt.deadline().0 / 1000).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &setup.directory {
            command.current_dir(directory);
        }
        command
    }

    fn outcome(&self, ended: Ended) -> Outcome {
        let failed = |kind, message: &str| Outcome::Failed(Failure::new(kind, message));
        if ended.flooded {
            let most = self.setup.output_bytes_max;
            let message = format!("wrote more than {most} bytes to its standard output");
            return failed(FailureKind::Permanent, &message);
        }
        if ended.stopped {
            return Outcome::Cancelled;
        }
        let (status, said) = (ended.status, ended.errors.text());
        match (status.code(), status.signal()) {
            (Some(0), _) => Outcome::Done(ended.output.payload()),
            (Some(code), _) => {
                let permanent = self.setup.permanent_codes.contains(&code);
                let kind = if permanent { FailureKind::Permanent } else { FailureKind::Error };
                failed(kind, &with_tail(&format!("exit code {code}"), &said))
            }
            (None, signal) => {
                failed(FailureKind::Crash, &with_tail(&killed(status, signal), &said))
            }
        }
    }
}

impl Handler for Process {
    fn run(&self, attempt: &Attempt<'_>) -> Doing {
        let error = |what: &str, error: std::io::Error| {
            let program = self.setup.command.first().map(|name| name.to_string_lossy());
            let text = format!("failed to {what} {}: {error}", program.unwrap_or_default());
            Doing::Ended(Outcome::Failed(Failure::new(FailureKind::Error, &text)))
        };
        if attempt.cancelled() {
            return Doing::Ended(Outcome::Cancelled);
        }
        let group = match Group::spawn(self.command(attempt), &self.setup.limits) {
            Ok(group) => group,
            Err(wrong) => return error("start", wrong),
        };
        let payload = attempt.payload().map(|payload| payload.bytes.clone());
        match Pump::new(group, payload, self.setup.output_bytes_max)
            .and_then(|pump| pump.run(attempt, self.setup.stop_grace))
        {
            Ok(ended) => Doing::Ended(self.outcome(ended)),
            Err(wrong) => error("watch", wrong),
        }
    }

    fn executor(&self) -> &'static str {
        "process"
    }
}

fn killed(status: ExitStatus, signal: Option<i32>) -> String {
    let core = if status.core_dumped() { ", core dumped" } else { "" };
    match signal {
        Some(signal) => format!("killed by signal {signal}{core}"),
        None => format!("ended with {status}"),
    }
}

/// What happened, and what the command said about it.
fn with_tail(what: &str, said: &str) -> String {
    let said = said.trim_end();
    if said.is_empty() { what.into() } else { format!("{what}: {said}") }
}

/// What a command wrote, as a result: text, without the line's end; nothing for nothing.
fn result_of(bytes: &[u8]) -> Option<Payload> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    // Not every store can keep a NUL.
    (!text.is_empty()).then(|| Payload::text(&text.replace('\0', "\u{fffd}")))
}
