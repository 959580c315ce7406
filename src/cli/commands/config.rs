//! `config check`, `config show` and `config default`.

use std::io::{self, Write};

use crate::cli::args::{ConfigArgs, ShowArgs};
use crate::cli::commands::{database, serve, types};
use crate::cli::config::{
    DatabaseUrl, Loaded, Origins, RedisUrl, Surroundings, as_json, as_toml, defaults, load,
};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::note;
use crate::execution::Registry;

/// Says everything that is wrong, and everything that would keep `serve` from starting.
pub fn check(
    args: &ConfigArgs,
    registry: Registry,
    around: &Surroundings,
) -> Result<Exit, Failure> {
    let loaded = load(&args.asked(), around)?;
    types::register(registry, &loaded)?;
    warn(&loaded);
    let mut refusals = loaded.config.refusals();
    // What the stores' own readers find in an address; nobody is connected to.
    if let DatabaseUrl::Postgres(url) = &loaded.config.database.url
        && let Err(error) = database::target(&loaded.config, url)
    {
        refusals.push(format!("database.url {}: {error}", url.masked()));
    }
    if let RedisUrl::Server(url) = &loaded.config.redis.url
        && let Err(why) = serve::redis_address(url)
    {
        refusals.push(format!("redis.url {}: {why}", url.masked()));
    }
    if !refusals.is_empty() {
        let message = format!("serve would not start\n{}", refusals.join("\n"));
        return Err(Failure::new(Exit::Conflict, message));
    }
    let files: Vec<String> = loaded.files.iter().map(|path| path.display().to_string()).collect();
    let from = if files.is_empty() { "no file".into() } else { files.join(", ") };
    writeln!(io::stdout().lock(), "the configuration is in order ({from})")?;
    Ok(Exit::Done)
}

/// Shows the settings that hold, with every secret masked.
pub fn show(args: &ShowArgs, around: &Surroundings) -> Result<Exit, Failure> {
    let loaded = load(&args.config.asked(), around)?;
    warn(&loaded);
    let origins = if args.origin { Origins::Shown } else { Origins::Hidden };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", as_json(&loaded))?;
    } else {
        write!(out, "{}", as_toml(&loaded, origins))?;
    }
    Ok(Exit::Done)
}

/// Prints a file to start from.
pub fn default() -> Result<Exit, Failure> {
    write!(io::stdout().lock(), "{}", defaults())?;
    Ok(Exit::Done)
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        note(&format!("warning: {warning}"));
    }
}
