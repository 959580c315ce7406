//! `submit`: one task, or a file of tasks.

mod batch;
mod body;
mod wait;

use crate::cli::args::SubmitArgs;
use crate::cli::client::{Answer, Client, JSON, Task};
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Colour, note};
use crate::clock::{Clock, SystemClock};

use super::get;
use std::io::Write;

/// Submits what the arguments say.
pub fn run(args: &SubmitArgs, around: &Surroundings) -> Result<Exit, Failure> {
    let client = Client::new(&args.remote, around)?;
    if let Some(path) = &args.batch {
        return batch::run(&client, path, args.key.as_deref(), args.format.chosen());
    }
    let clock = SystemClock::new();
    let body = body::body(args, clock.now())?;
    let asked_at = clock.mono();
    let answer = client.post("/api/v1/tasks", JSON, args.key.as_deref(), &body)?.good()?;
    let colour = Colour::choose(|name| around.variable(name));
    let Some(patience) = args.wait else {
        print_accepted(&answer, args, colour)?;
        return Ok(Exit::Done);
    };
    let id = answer.read::<Task>()?.id();
    let deadline = asked_at.plus(patience);
    let (answer, task) = wait::until_ended(&client, &id, deadline, &clock)?;
    get::print(&answer, args.format.chosen(), colour)?;
    if !task.has_ended() {
        note(&format!("taskscheduler: task {id} is {} and has not ended in time", task.status()));
        return Ok(Exit::WaitTimedOut);
    }
    Ok(if task.status() == "COMPLETED" { Exit::Done } else { Exit::TaskFailed })
}

/// A short line for people; the answer itself for programs.
fn print_accepted(answer: &Answer, args: &SubmitArgs, colour: Colour) -> Result<(), Failure> {
    use crate::cli::args::Format;
    if args.format.chosen() != Format::Table {
        return get::print(answer, args.format.chosen(), colour);
    }
    let task: Task = answer.read()?;
    let existing = if answer.status == 200 { " (it existed already)" } else { "" };
    let status = colour.status(&task.status());
    writeln!(std::io::stdout().lock(), "task {} is {status}{existing}", task.id())?;
    Ok(())
}
