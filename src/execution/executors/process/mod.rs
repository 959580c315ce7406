//! The process executor: a task is one run of a command that the configuration names.
//!
//! The command is a list of arguments and no shell ever sees it; what a client sends only goes to
//! its standard input. It runs in a process group of its own, with an environment that holds
//! nothing of the server's. At its deadline, or when somebody cancels the task, the whole group is
//! asked to end and soon after made to; when the command has ended, so has whatever it left behind.
//
//!
//! Absent on purpose: how a program is watched and ended; see `program`.

#[cfg(all(test, not(modelled)))]
mod tests;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::domain::{Failure, FailureKind, Outcome};
use crate::execution::program::{
    self, Bounds, Leash, PERMANENT_CODE, ProcessLimits, TaskFacts, find_program,
};
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

impl ProcessSetup {
    /// Longer than this nobody waits between the request to end and the end, so that the end comes
    /// before the attempt is given up.
    pub const STOP_GRACE_MAX: Duration = Duration::from_secs(4);

    /// This command, with the defaults for all else.
    pub fn new(command: Vec<OsString>) -> ProcessSetup {
        ProcessSetup {
            command,
            directory: None,
            environment: Vec::new(),
            permanent_codes: vec![PERMANENT_CODE],
            output_bytes_max: 64 * 1024,
            stop_grace: Duration::from_secs(2),
            limits: ProcessLimits::default(),
        }
    }
}

/// Runs a command for each task of its type.
pub struct Process {
    setup: ProcessSetup,
}

impl Process {
    /// What a command has to end by itself when the server itself ends.
    const HALT_GRACE: Duration = Duration::from_millis(300);

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
            .env("PATH", program::PATH)
            .env("LANG", "C.UTF-8")
            .envs(setup.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &setup.directory {
            command.current_dir(directory);
        }
        let facts = TaskFacts {
            id: attempt.id(),
            task_type: &attempt.spec().task_type,
            attempt: attempt.number(),
            epoch: attempt.epoch(),
            deadline: attempt.deadline(),
        };
        facts.tell(&mut command);
        command
    }
}

impl Handler for Process {
    fn run(&self, attempt: &Attempt<'_>) -> Doing {
        if attempt.cancelled() {
            return Doing::Ended(Outcome::Cancelled);
        }
        let setup = &self.setup;
        let bounds = Bounds { limits: setup.limits, output_bytes_max: setup.output_bytes_max };
        let grace = setup.stop_grace;
        let leash = Leash {
            clock: attempt.clock,
            deadline: attempt.deadline,
            grace,
            stop: &|| match (attempt.is_unwanted(), attempt.is_halted()) {
                (false, _) => None,
                (true, false) => Some(grace),
                (true, true) => Some(grace.min(Self::HALT_GRACE)),
            },
            alarm: attempt.alarm(),
        };
        let payload = attempt.payload().map(|payload| payload.bytes.clone());
        Doing::Ended(match program::run(self.command(attempt), payload, &bounds, &leash) {
            Ok(ended) => ended.outcome(&setup.permanent_codes),
            Err(error) => {
                let program = setup.command.first().map(|name| name.to_string_lossy());
                let text = format!("failed to run {}: {error}", program.unwrap_or_default());
                Outcome::Failed(Failure::new(FailureKind::Error, &text))
            }
        })
    }

    fn executor(&self) -> &'static str {
        "process"
    }
}
