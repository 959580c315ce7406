//! `backup`: a copy of the embedded store, made while a server uses it.

use std::io::{self, Write};

use crate::cli::args::BackupArgs;
use crate::cli::config::{DatabaseUrl, Surroundings, load};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::note;
use crate::store::sqlite;

/// Makes the copy and says what it holds.
pub fn run(args: &BackupArgs, around: &Surroundings) -> Result<Exit, Failure> {
    let loaded = load(&args.config.asked(), around)?;
    for warning in &loaded.warnings {
        note(&format!("warning: {warning}"));
    }
    if loaded.config.database.url != DatabaseUrl::Sqlite {
        let message = "tasks are kept in PostgreSQL, which has its own tools: pg_dump for a copy, \
            base backups and archived logs for any moment; after either is restored, run \
            taskscheduler migrate restored";
        return Err(Failure::new(Exit::Conflict, message));
    }
    let copied = sqlite::backup(&loaded.config.node.data, &args.file)
        .map_err(|error| Failure::new(Exit::Failed, format!("failed to {error}")))?;
    let (file, sqlite::Copied { bytes, tasks, schema }) = (args.file.display(), copied);
    writeln!(io::stdout().lock(), "{file}: {tasks} tasks, {bytes} bytes, schema {schema}")?;
    note("restore: stop the server, put the file in place of tasks.db in an empty data directory");
    note("and run taskscheduler migrate restored before the first start");
    Ok(Exit::Done)
}
