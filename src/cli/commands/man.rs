//! `man`: the manual pages, one for the program and one for each command.

use clap::CommandFactory;

use crate::cli::args::{Args, ManArgs};
use crate::cli::exit::{Exit, Failure};

/// Writes the pages into a directory, which is made if it is not there.
pub fn run(args: &ManArgs) -> Result<Exit, Failure> {
    std::fs::create_dir_all(&args.directory)?;
    clap_mangen::generate_to(Args::command(), &args.directory)?;
    Ok(Exit::Done)
}
