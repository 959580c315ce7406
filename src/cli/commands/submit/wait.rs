//! Waiting for a task to end.

use std::time::Duration;

use crate::cli::client::{Answer, Client, Task};
use crate::cli::exit::Failure;
use crate::clock::{Clock, Mono};

/// The first pause between two looks; a no-op task has ended by then.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Looks at the task until it has ended or the time is over, and gives what was seen last.
pub fn until_ended(
    client: &Client,
    id: &str,
    deadline: Mono,
    clock: &impl Clock,
) -> Result<(Answer, Task), Failure> {
    let mut pause = PAUSE_MIN;
    loop {
        let answer = client.get(&format!("/api/v1/tasks/{id}"), &[])?.good()?;
        let task: Task = answer.read()?;
        let left = deadline.since(clock.mono());
        if task.has_ended() || left.is_zero() {
            return Ok((answer, task));
        }
        // A channel that nobody sends on is a wait without a sleep.
        let _ = crossbeam_channel::after(pause.min(left)).recv();
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
