//! `version`.

use std::io::{self, Write};

use crate::cli::args::VersionArgs;
use crate::cli::exit::{Exit, Failure};

/// Shows the version and what the program was built for.
pub fn run(args: &VersionArgs) -> Result<Exit, Failure> {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let mut out = io::stdout().lock();
    if args.json {
        let json = serde_json::json!({ "name": name, "version": version, "os": os, "arch": arch });
        writeln!(out, "{json}")?;
    } else {
        writeln!(out, "{name} {version} ({arch}-{os})")?;
    }
    Ok(Exit::Done)
}
