//! `migrate apply`, `info`, `restored` and `reset`: thin over what the store does itself.

use std::io::{self, Write};
use std::path::Path;

use crate::cli::args::{ConfigArgs, MigrateCommand};
use crate::cli::commands::database;
use crate::cli::config::{Config, DatabaseUrl, Surroundings, load};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::note;
use crate::clock::{Clock, SystemClock};
use crate::store::StoreError;
use crate::store::migration::{ID_JUMP, Migration, Schema};
use crate::store::postgres::{self, Target};
use crate::store::sqlite;

/// What is to be done to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Bring it up to date.
    Apply { dry_run: bool, show_sql: bool },
    /// Tell how it stands.
    Info,
    /// Make a restored copy fit to be used.
    Restored,
    /// Delete everything.
    Reset,
}

/// Does it, on the store that the configuration names.
pub fn run(command: &MigrateCommand, around: &Surroundings) -> Result<Exit, Failure> {
    let (act, args): (Act, &ConfigArgs) = match command {
        MigrateCommand::Apply(args) => {
            (Act::Apply { dry_run: args.dry_run, show_sql: args.show_sql }, &args.config)
        }
        MigrateCommand::Info(args) => (Act::Info, args),
        MigrateCommand::Restored(args) => (Act::Restored, args),
        MigrateCommand::Reset(args) if args.yes => (Act::Reset, &args.config),
        MigrateCommand::Reset(_) => {
            let message = "reset deletes every task; if that is meant, add --yes";
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    let loaded = load(&args.asked(), around)?;
    for warning in &loaded.warnings {
        note(&format!("warning: {warning}"));
    }
    let told = act_on(&loaded.config, act)?;
    write!(io::stdout().lock(), "{told}")?;
    Ok(Exit::Done)
}

/// Calls the store's migrations and says in lines what they did.
fn act_on(config: &Config, act: Act) -> Result<String, Failure> {
    let failed = |error: StoreError| Failure::new(Exit::Failed, format!("failed to {error}"));
    match &config.database.url {
        DatabaseUrl::Sqlite => act_on_sqlite(&config.node.data, act).map_err(failed),
        DatabaseUrl::Postgres(url) => {
            let target = database::target(config, url).map_err(failed)?;
            act_on_postgres(&target, act).map_err(failed)
        }
    }
}

fn act_on_sqlite(data: &Path, act: Act) -> Result<String, StoreError> {
    Ok(match act {
        Act::Apply { dry_run: true, show_sql } => {
            steps("would apply", &sqlite::migrate::info(data)?.pending, show_sql)
        }
        Act::Apply { dry_run: false, show_sql } => {
            steps("applied", &sqlite::migrate::apply(data, &SystemClock::new())?, show_sql)
        }
        Act::Info => standing(&sqlite::migrate::info(data)?),
        Act::Restored => {
            sqlite::restored(data)?;
            can_be_used(&data.display())
        }
        Act::Reset => {
            sqlite::migrate::reset(data)?;
            format!("deleted the store in {}\n", data.display())
        }
    })
}

fn act_on_postgres(target: &Target, act: Act) -> Result<String, StoreError> {
    Ok(match act {
        Act::Apply { dry_run: true, show_sql } => {
            steps("would apply", &postgres::migrate::info(target)?.pending, show_sql)
        }
        Act::Apply { dry_run: false, show_sql } => {
            let applied = postgres::migrate::apply(target, SystemClock::new().now())?;
            steps("applied", &applied, show_sql)
        }
        Act::Info => standing(&postgres::migrate::info(target)?),
        Act::Restored => {
            postgres::migrate::restored(target)?;
            can_be_used(target)
        }
        Act::Reset => {
            postgres::migrate::reset(target)?;
            format!("deleted the schema taskscheduler in {target}\n")
        }
    })
}

fn can_be_used(place: &dyn std::fmt::Display) -> String {
    format!(
        "the store in {place} can be used: ids go on {ID_JUMP} later, and no claim or token from \
         after the copy holds\n"
    )
}

fn steps(done: &str, steps: &[Migration], show_sql: bool) -> String {
    if steps.is_empty() {
        return "the schema is up to date\n".into();
    }
    let line = |step: &Migration| {
        let sql = if show_sql { step.sql } else { "" };
        format!("{done} {} {}\n{sql}", step.version, step.name)
    };
    steps.iter().map(line).collect()
}

fn standing(schema: &Schema) -> String {
    let applied = schema.applied.iter();
    let applied = applied.map(|step| format!("applied {} {}\n", step.version, step.name));
    let pending = schema.pending.iter();
    let pending = pending.map(|step| format!("pending {} {}\n", step.version, step.name));
    applied.chain(pending).collect()
}
