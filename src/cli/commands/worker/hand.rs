//! A hand: runs the command for one task and reports how that ended.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::held::{Lease, Word};
use super::link::{Answered, Problem, Report, Task};
use super::pause::Pause;
use crate::cli::output::note;
use crate::clock::Clock;
use crate::domain::{Epoch, FailureKind, Outcome, TaskId};
use crate::execution::program::{
    self, Bounds, Leash, PERMANENT_CODE, ProcessLimits, TaskFacts, find_program,
};

/// What is kept of standard output, as the result: what a server takes unless it is set otherwise.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// How long a command has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// What is for the worker and not for its commands.
const SECRET: [&str; 2] = ["TASK_SCHEDULER_TOKEN", "TASK_SCHEDULER_TOKEN_FILE"];

/// One of a worker's hands.
pub struct Hand {
    program: OsString,
    arguments: Vec<OsString>,
    shared: Arc<Shared>,
}

impl Hand {
    pub fn new(command: &[OsString], shared: Arc<Shared>) -> Hand {
        let (program, arguments) =
            command.split_first().map_or_else(Default::default, |(p, a)| (p.clone(), a.to_vec()));
        // A whole path is started by the quickest way there is.
        let found = program.to_str().and_then(find_program);
        Hand { program: found.unwrap_or(program), arguments, shared }
    }

    /// Runs one task to its end.
    pub fn run(&self, lease: &Lease, task: &Task) {
        let report = self.attempt(lease, task);
        if let Some(report) = report {
            self.tell(lease, task, report);
        }
        self.shared.held.leave(&lease.token);
    }

    /// Runs the command. `None`: the lease was lost, so there is nobody to report to.
    fn attempt(&self, lease: &Lease, task: &Task) -> Option<Report> {
        let clock = &self.shared.clock;
        let time = Duration::from_secs(task.execution_timeout_seconds);
        let leash = Leash {
            clock,
            deadline: clock.mono().plus(time),
            grace: GRACE,
            stop: &|| (lease.word() != Word::GoOn).then_some(GRACE),
            alarm: Some(lease.alarm()),
        };
        if lease.word() == Word::GiveBack {
            return Some(Report::Released);
        }
        let bounds =
            Bounds { limits: ProcessLimits::default(), output_bytes_max: OUTPUT_BYTES_MAX };
        let input = input_of(task).map(Arc::from);
        let ran = program::run(self.command(task, time), input, &bounds, &leash);
        match ran.map(|ended| ended.outcome(&[PERMANENT_CODE])) {
            Ok(Outcome::Done(result)) => {
                Some(Report::Done(result.map(|result| result.bytes.to_string())))
            }
            Ok(Outcome::Failed(failure)) => {
                let retryable = failure.kind != FailureKind::Permanent;
                Some(Report::Failed { error: failure.message, retryable })
            }
            Ok(Outcome::Cancelled) => match lease.word() {
                Word::Lost => {
                    lost(task);
                    None
                }
                // The server knows whether somebody cancelled it.
                Word::Cancel | Word::GiveBack => Some(Report::Released),
                Word::GoOn => {
                    let error = format!("took longer than {} s", time.as_secs());
                    Some(Report::Failed { error, retryable: true })
                }
            },
            Err(error) => {
                let error = format!("failed to run {}: {error}", self.program.to_string_lossy());
                Some(Report::Failed { error, retryable: true })
            }
        }
    }

    /// Reports until the server has taken it. Meanwhile the lease is kept alive.
    fn tell(&self, lease: &Lease, task: &Task, mut report: Report) {
        let mut pause = Pause::default();
        while lease.word() != Word::Lost {
            match self.shared.link.report(&lease.token, &report) {
                Ok(Answered::Kept) => return,
                Ok(Answered::Lost) => break,
                Err(Problem::Passing(why)) => pause.after(&why, &self.shared.never),
                Err(Problem::Lasting(why)) if matches!(report, Report::Done(_)) => {
                    let error = format!("the server did not take the result: {why}");
                    report = Report::Failed { error, retryable: false };
                }
                Err(Problem::Lasting(why)) => {
                    return note(&format!("taskscheduler: task {}: {why}", task.id));
                }
            }
        }
        lost(task);
    }

    fn command(&self, task: &Task, time: Duration) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in SECRET {
            command.env_remove(name);
        }
        if let Some(id) = TaskId::new(task.id) {
            let facts = TaskFacts {
                id,
                task_type: &task.task_type,
                attempt: task.attempt,
                epoch: Epoch(task.epoch),
                deadline: self.shared.clock.now().plus_ms(time.as_millis() as u64),
            };
            facts.tell(&mut command);
        }
        command
    }
}

fn lost(task: &Task) {
    note(&format!("taskscheduler: task {}: its lease was lost", task.id));
}

/// A payload that is a string goes in as that text, any other as its JSON.
fn input_of(task: &Task) -> Option<String> {
    let payload = task.payload.as_ref()?;
    let text = serde_json::from_str::<String>(payload.get());
    Some(text.unwrap_or_else(|_| payload.get().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_in_as_it_is_and_json_as_json() {
        for (payload, input) in [
            (r#""a\nb""#, Some("a\nb")),
            (r#"{"n": 1.0}"#, Some(r#"{"n": 1.0}"#)),
            ("null", None),
            (r#""""#, Some("")),
        ] {
            let text = format!(
                r#"{{"id":1,"taskType":"T","payload":{payload},"epoch":1,
                    "executionTimeoutSeconds":9}}"#
            );
            let task: Task = serde_json::from_str(&text).unwrap();
            assert_eq!(input_of(&task).as_deref(), input, "{payload}");
        }
    }
}
