//! `get`: one task with everything that is known about it.

use std::io::{self, Write};

use crate::cli::args::{Format, GetArgs};
use crate::cli::client::{Answer, Client, Task};
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Colour;

/// Shows the task.
pub fn run(args: &GetArgs, around: &Surroundings) -> Result<Exit, Failure> {
    let client = Client::new(&args.remote, around)?;
    let answer = client.get(&format!("/api/v1/tasks/{}", args.id), &[])?.good()?;
    print(&answer, args.format.chosen(), Colour::choose(|name| around.variable(name)))?;
    Ok(Exit::Done)
}

/// Prints an answer that holds one task.
pub fn print(answer: &Answer, format: Format, colour: Colour) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        return Ok(writeln!(out, "{}", answer.body.trim_end())?);
    }
    let task: Task = answer.read()?;
    if format == Format::Name {
        return Ok(writeln!(out, "{}", task.id())?);
    }
    for (name, value) in task.fields() {
        let value = if name == "status" { colour.status(&value) } else { value };
        writeln!(out, "{name:<24} {value}")?;
    }
    Ok(())
}
