//! `migrate apply`, `info`, `restored` and `reset`: thin over what the store does itself.

use std::io::{self, Write};

use crate::cli::args::{ConfigArgs, MigrateCommand};
use crate::cli::config::{Config, DatabaseUrl, Surroundings, load};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::note;
use crate::clock::SystemClock;
use crate::store::StoreError;
use crate::store::sqlite;
use crate::store::sqlite::migrate::{self, Migration, Schema};

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
    if loaded.config.database.url != DatabaseUrl::Sqlite {
        let message = "this version migrates only the embedded store; set database.url to sqlite";
        return Err(Failure::new(Exit::Conflict, message));
    }
    let told = act_on(&loaded.config, act)?;
    write!(io::stdout().lock(), "{told}")?;
    Ok(Exit::Done)
}

/// Calls the store's migrations and says in lines what they did.
fn act_on(config: &Config, act: Act) -> Result<String, Failure> {
    let data = &config.node.data;
    let failed = |error: StoreError| Failure::new(Exit::Failed, format!("failed to {error}"));
    match act {
        Act::Apply { dry_run: true, show_sql } => {
            let pending = migrate::info(data).map_err(failed)?.pending;
            Ok(steps("would apply", &pending, show_sql))
        }
        Act::Apply { dry_run: false, show_sql } => {
            let applied = migrate::apply(data, &SystemClock::new()).map_err(failed)?;
            Ok(steps("applied", &applied, show_sql))
        }
        Act::Info => migrate::info(data).map(|schema| standing(&schema)).map_err(failed),
        Act::Restored => {
            sqlite::restored(data).map_err(failed)?;
            Ok(format!(
                "the store in {} can be used: ids go on {} later, and no claim or token from \
                 after the copy holds\n",
                data.display(),
                sqlite::ID_JUMP,
            ))
        }
        Act::Reset => {
            migrate::reset(data).map_err(failed)?;
            Ok(format!("deleted the store in {}\n", data.display()))
        }
    }
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
