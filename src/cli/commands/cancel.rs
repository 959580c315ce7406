//! `cancel`: ends tasks before they have ended by themselves.

use std::io::{self, Write};

use crate::cli::args::{Format, IdsArgs};
use crate::cli::client::{Answer, Client, JSON, Task};
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Colour, note};

/// Cancels every task named, even if one of them cannot be.
pub fn run(args: &IdsArgs, around: &Surroundings) -> Result<Exit, Failure> {
    for_each(args, around, "cancel")
}

/// Sends one order about each task. All are tried; the first failure decides the exit code.
pub fn for_each(args: &IdsArgs, around: &Surroundings, verb: &str) -> Result<Exit, Failure> {
    let client = Client::new(&args.remote, around)?;
    let colour = Colour::choose(|name| around.variable(name));
    let mut end = Exit::Done;
    for id in &args.ids {
        let answer = client.post(&format!("/api/v1/tasks/{id}/{verb}"), JSON, None, b"");
        match answer.and_then(Answer::good) {
            Ok(answer) => print(*id, &answer, args.format.chosen(), colour)?,
            Err(Failure::Said { exit, message }) => {
                note(&format!("taskscheduler: task {id}: {message}"));
                end = if end == Exit::Done { exit } else { end };
                // Nobody there for one task is nobody there for the others.
                if exit == Exit::Unreachable {
                    break;
                }
            }
            Err(gone @ Failure::ReaderGone) => return Err(gone),
        }
    }
    Ok(end)
}

/// One line for each task; in JSON one document a line.
fn print(id: u64, answer: &Answer, format: Format, colour: Colour) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", answer.body.trim_end())?,
        Format::Name => writeln!(out, "{id}")?,
        Format::Table if answer.status == 202 => {
            writeln!(out, "task {id} has been asked to stop")?;
        }
        Format::Table => {
            let task: Task = answer.read()?;
            writeln!(out, "task {id} is {}", colour.status(&task.status()))?;
        }
    }
    Ok(())
}
