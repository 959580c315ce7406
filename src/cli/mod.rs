//! Floor 7: the command line and its configuration.
//!
//! [`main`] parses the arguments, runs one command and turns its end into an exit code. Data goes
//! to standard output, everything said about it to standard error. The client commands know the
//! server only through its HTTP API, so they work from any machine.
//!
//! Absent on purpose: decisions about tasks. Only here is the environment read.

mod args;
mod client;
mod commands;
pub mod config;
mod exit;
mod logging;
mod output;
mod signals;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command, ConfigCommand};
use config::Surroundings;
use exit::{Exit, Failure};

use crate::execution::Registry;

/// Runs the program.
pub fn main() -> ExitCode {
    serve_with(Registry::with_builtins(), std::env::args_os())
}

/// Runs the program with these arguments, the first of which is its name; `serve` runs the tasks
/// of these handlers.
pub fn serve_with(registry: Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are asked for, everything else is a usage error; a reader that has
            // gone away changes neither.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    match run(args, registry, &Surroundings::real()) {
        Ok(exit) => exit.into(),
        Err(Failure::ReaderGone) => Exit::Done.into(),
        Err(Failure::Said { exit, message }) => {
            let _ = writeln!(std::io::stderr(), "taskscheduler: {message}");
            exit.into()
        }
    }
}

fn run(args: Args, registry: Registry, around: &Surroundings) -> Result<Exit, Failure> {
    use commands::{
        backup, cancel, completions, doctor, get, health, list, man, migrate, retry, serve, submit,
        version, worker,
    };
    match args.command {
        None => serve::run(&args.serve, registry, around),
        Some(Command::Serve(args)) => serve::run(&args, registry, around),
        Some(Command::Submit(args)) => submit::run(&args, around),
        Some(Command::Get(args)) => get::run(&args, around),
        Some(Command::List(args)) => list::run(&args, around),
        Some(Command::Worker(args)) => worker::run(&args, around),
        Some(Command::Cancel(args)) => cancel::run(&args, around),
        Some(Command::Retry(args)) => retry::run(&args, around),
        Some(Command::Config(ConfigCommand::Check(args))) => {
            commands::config::check(&args, registry, around)
        }
        Some(Command::Config(ConfigCommand::Show(args))) => commands::config::show(&args, around),
        Some(Command::Config(ConfigCommand::Default)) => commands::config::default(),
        Some(Command::Migrate(command)) => migrate::run(&command, around),
        Some(Command::Backup(args)) => backup::run(&args, around),
        Some(Command::Doctor(args)) => doctor::run(&args, registry, around),
        Some(Command::Health(args)) => health::run(&args, around),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
        Some(Command::Version(args)) => version::run(&args),
    }
}
