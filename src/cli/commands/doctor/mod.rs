//! `doctor`: looks for what would keep a server from starting, from being quick, or from keeping
//! its promises, and says what to do about it.
//!
//! Promise: it changes nothing; the one file it writes, to see how quick the disk is, is gone
//! afterwards. It may run beside a server.

mod disk;
mod machine;
mod stores;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde::Serialize;

use super::types;
use crate::cli::args::DoctorArgs;
use crate::cli::config::{Loaded, Surroundings, load};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Colour;
use crate::clock::SystemClock;
use crate::execution::Registry;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It works, less well than it could.
    Warn,
    /// The server would not start, or would promise what it cannot keep.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    verdict: Verdict,
    about: &'static str,
    found: String,
    /// What to do; nothing where all is well.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, found: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Ok, about, found: found.into(), cure: None }
    }

    fn warn(about: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
        let cure = Some(cure.into());
        Finding { verdict: Verdict::Warn, about, found: found.into(), cure }
    }

    fn fail(about: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fail, ..Finding::warn(about, found, cure) }
    }
}

/// Looks at everything; a failure ends with the code of a failed check.
pub fn run(args: &DoctorArgs, registry: Registry, around: &Surroundings) -> Result<Exit, Failure> {
    let findings = match load(&args.config.asked(), around) {
        Ok(loaded) => examine(&loaded, registry),
        // Without a configuration nobody knows where to look further.
        Err(error) => {
            let cure = "mend it; taskscheduler config default shows every setting";
            let each = |problem: &crate::cli::config::Problem| {
                Finding::fail("configuration", problem.to_string(), cure)
            };
            error.0.iter().map(each).collect()
        }
    };
    let mut out = io::stdout().lock();
    if args.json {
        let text = serde_json::to_string_pretty(&findings).map_err(io::Error::from)?;
        writeln!(out, "{text}")?;
    } else {
        let colour = Colour::choose(|name| around.variable(name));
        findings.iter().try_for_each(|finding| show(&mut out, finding, colour))?;
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    Ok(if worst == Some(Verdict::Fail) { Exit::Conflict } else { Exit::Done })
}

fn examine(loaded: &Loaded, registry: Registry) -> Vec<Finding> {
    let config = &loaded.config;
    let clock = SystemClock::new();
    let mut findings = configuration(loaded, registry);
    findings.extend(disk::look(config, &clock));
    findings.extend(stores::look(config, &clock));
    findings.extend(machine::look(config));
    findings
}

fn configuration(loaded: &Loaded, registry: Registry) -> Vec<Finding> {
    const ABOUT: &str = "configuration";
    let mut findings: Vec<Finding> = Vec::new();
    for warning in &loaded.warnings {
        findings.push(Finding::warn(ABOUT, warning, "see taskscheduler config show --origin"));
    }
    for refusal in loaded.config.refusals() {
        let (what, cure) = refusal.split_once(": ").unwrap_or((&refusal, "change it"));
        findings.push(Finding::fail(ABOUT, what, cure));
    }
    if let Err(failure) = types::register(registry, loaded) {
        findings.push(Finding::fail(ABOUT, failure.to_string(), "mend the section [types]"));
    }
    if findings.is_empty() {
        let files: Vec<_> = loaded.files.iter().map(|path| path.display().to_string()).collect();
        let from = if files.is_empty() { "no file".into() } else { files.join(", ") };
        findings.push(Finding::ok(ABOUT, format!("in order, from {from}")));
    }
    findings
}

fn show(out: &mut impl Write, finding: &Finding, colour: Colour) -> io::Result<()> {
    let word = match finding.verdict {
        Verdict::Ok => colour.paint("ok  ", 32),
        Verdict::Warn => colour.paint("warn", 33),
        Verdict::Fail => colour.paint("fail", 31),
    };
    let Finding { about, found, cure, .. } = finding;
    match cure {
        None => writeln!(out, "{word}  {about:<14} {found}"),
        Some(cure) => writeln!(out, "{word}  {about:<14} {found}. To do: {cure}"),
    }
}
