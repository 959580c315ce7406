//! `health`: for people, scripts and containers without curl.

use std::io::{self, Write};

use serde::Deserialize;

use crate::cli::args::HealthArgs;
use crate::cli::client::Client;
use crate::cli::config::Surroundings;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Colour, safe};

#[derive(Debug, Deserialize)]
struct Health {
    status: String,
}

/// Asks the server; anything but UP ends with the code of a failed check.
pub fn run(args: &HealthArgs, around: &Surroundings) -> Result<Exit, Failure> {
    let client = Client::new(&args.remote, around)?;
    let path = if args.ready { "/actuator/health/readiness" } else { "/actuator/health" };
    let answer = client.get(path, &[])?;
    // A server that is down says so with 503, and that is an answer.
    let answer = if answer.status == 503 { answer } else { answer.good()? };
    let health: Health = answer.read()?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", answer.body.trim_end())?;
    } else {
        let colour = Colour::choose(|name| around.variable(name));
        writeln!(out, "{}", colour.status(&safe(&health.status, 30)))?;
    }
    let up = answer.status == 200 && health.status == "UP";
    Ok(if up { Exit::Done } else { Exit::Conflict })
}
