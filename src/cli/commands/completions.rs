//! `completions`: what a shell needs to complete this program's command line.

use clap::CommandFactory;
use clap_complete::Shell;

use std::io::{self, Write};

use crate::cli::args::{Args, CompletionsArgs};
use crate::cli::exit::{Exit, Failure};

/// Prints the script of one shell.
pub fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    // Into memory first: the generator panics where a reader has gone away.
    let mut script = Vec::new();
    let shell: Shell = args.shell;
    clap_complete::generate(shell, &mut Args::command(), "taskscheduler", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}
