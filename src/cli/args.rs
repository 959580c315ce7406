//! The command line as it is typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args as Flags, Parser, Subcommand, ValueEnum};

use super::config::{Asked, Bare, Setting};
use super::exit::EXIT_CODES;

/// A durable, priority-ordered task scheduler. Without a command it serves.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
#[command(max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`, which is what runs without a command.
    #[command(flatten)]
    pub serve: ConfigArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    #[command(after_help = "Example: taskscheduler serve --data /var/lib/taskscheduler --cores 4")]
    Serve(ConfigArgs),
    /// Submit a task, or a file of tasks.
    #[command(after_help = "Examples:
  taskscheduler submit ECHO --payload '{\"to\":\"me\"}' --priority HIGH --wait
  taskscheduler submit REPORT --name monthly --in 5m --key monthly-2025-01
  taskscheduler submit --batch tasks.ndjson")]
    Submit(SubmitArgs),
    /// Show one task.
    #[command(after_help = "Example: taskscheduler get 42 -o json")]
    Get(GetArgs),
    /// List tasks, page by page.
    #[command(
        after_help = "Example: taskscheduler list --status FAILED --type REPORT --sort id,asc"
    )]
    List(ListArgs),
    /// Cancel tasks.
    #[command(after_help = "Example: taskscheduler cancel 42 43")]
    Cancel(IdsArgs),
    /// Queue failed or cancelled tasks again.
    #[command(after_help = "Example: taskscheduler list --status FAILED -o name | \
        xargs taskscheduler retry")]
    Retry(IdsArgs),
    /// Lease tasks from a server and run a command for each.
    #[command(after_help = WORKER_NOTES)]
    Worker(WorkerArgs),
    /// Check and show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// See to the store's schema.
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Copy the embedded store to a file, while a server uses it or not.
    #[command(after_help = "Example: taskscheduler backup --data /var/lib/taskscheduler \
        /backup/tasks-$(date +%F).db")]
    Backup(BackupArgs),
    /// Look for what would keep a server from starting, being quick, or keeping its promises.
    #[command(after_help = "Example: taskscheduler doctor --data /var/lib/taskscheduler")]
    Doctor(DoctorArgs),
    /// Ask a server how it is.
    #[command(after_help = "Example: taskscheduler health --ready && echo ready")]
    Health(HealthArgs),
    /// Print what a shell needs to complete the command line.
    #[command(after_help = "Example: taskscheduler completions bash \
        > /etc/bash_completion.d/taskscheduler")]
    Completions(CompletionsArgs),
    /// Write the manual pages.
    #[command(after_help = "Example: taskscheduler man /usr/local/share/man/man1")]
    Man(ManArgs),
    /// Show the version.
    #[command(after_help = "Example: taskscheduler version --json")]
    Version(VersionArgs),
}

/// What decides the configuration. A flag goes over the environment, that over the files.
#[derive(Debug, Clone, Default, Flags)]
pub struct ConfigArgs {
    /// Read this file and no other main file [env: TASK_SCHEDULER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Read these profile files after it, in order [env: TASK_SCHEDULER_PROFILE]
    #[arg(long, value_name = "NAME[,NAME]")]
    pub profile: Option<String>,
    /// Listen here: 127.0.0.1:8080, [::1]:8080 or unix:/path
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Keep the store and the node's identity in this directory
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Keep tasks there; passwords belong in a file or in the environment
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Use this Redis; passwords belong in a file or in the environment
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Run tasks on so many cores, or on these: 4, 0-3, auto
    #[arg(long, value_name = "N|LIST")]
    pub cores: Option<String>,
    /// Let everyone who can reach the address use the whole API
    #[arg(long)]
    pub insecure_no_auth: bool,
}

impl ConfigArgs {
    /// The flags in the words of the configuration.
    pub fn asked(&self) -> Asked {
        let insecure = self.insecure_no_auth.then(|| "true".to_owned());
        let flags = [
            ("api.listen", "--listen", &self.listen),
            ("data", "--data", &self.data),
            ("database.url", "--database-url", &self.database_url),
            ("redis.url", "--redis-url", &self.redis_url),
            ("engine.cores", "--cores", &self.cores),
            ("api.insecure-no-auth", "--insecure-no-auth", &insecure),
        ];
        let set = |(key, flag, value): (&'static str, &'static str, &Option<String>)| {
            value.clone().map(|value| (key, flag, value))
        };
        Asked {
            config: self.config.clone(),
            profile: self.profile.clone(),
            flags: flags.into_iter().filter_map(set).collect(),
        }
    }
}

/// Which server to speak to.
#[derive(Debug, Clone, Flags)]
pub struct RemoteArgs {
    /// The server [env: TASK_SCHEDULER_SERVER] [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Send the token in this file [env: TASK_SCHEDULER_TOKEN or TASK_SCHEDULER_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How long one request may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// How the answer is printed.
#[derive(Debug, Clone, Flags)]
pub struct FormatArgs {
    /// Print a table, the server's JSON as it came, or only ids
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Format,
    /// The same as -o json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// The server's JSON as it came.
    Json,
    /// Only ids, one a line.
    Name,
}

impl FormatArgs {
    /// The form that was chosen.
    pub fn chosen(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// The arguments of `submit`.
#[derive(Debug, Flags)]
pub struct SubmitArgs {
    /// The type of the task, which decides what runs it
    #[arg(value_name = "TYPE", required_unless_present = "batch")]
    pub task_type: Option<String>,
    /// What people call it; the type if left out
    #[arg(long)]
    pub name: Option<String>,
    /// JSON or plain text, @FILE to read a file, - to read standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub payload: Option<String>,
    /// CRITICAL, HIGH, MEDIUM, LOW or BULK
    #[arg(long)]
    pub priority: Option<String>,
    /// Start at this time: 2025-01-20T10:30:00Z; without a zone it is UTC
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Start after this time: 5m
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at", value_parser = duration)]
    pub after: Option<Duration>,
    /// What people note about it
    #[arg(long)]
    pub description: Option<String>,
    /// How often it is tried again
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// How long one attempt may take, in whole seconds: 90s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub execution_timeout: Option<Duration>,
    /// At most one unfinished task has this key
    #[arg(long, value_name = "KEY")]
    pub unique_key: Option<String>,
    /// Sent again with the same key, the same tasks are answered and no new ones made
    #[arg(long)]
    pub key: Option<String>,
    /// Wait until it has ended [default: 30s]
    #[arg(
        long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
        default_missing_value = "30s", value_parser = duration
    )]
    pub wait: Option<Duration>,
    /// Submit every line of this file, one JSON object each; - reads standard input
    #[arg(
        long, value_name = "FILE|-",
        conflicts_with_all = [
            "task_type", "name", "payload", "priority", "at", "after", "description", "retries",
            "execution_timeout", "unique_key", "wait",
        ]
    )]
    pub batch: Option<PathBuf>,
    /// Which server.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Which output.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// The arguments of `get`.
#[derive(Debug, Flags)]
pub struct GetArgs {
    /// The task's number
    #[arg(value_parser = id())]
    pub id: u64,
    /// Which server.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Which output.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// The arguments of `list`.
#[derive(Debug, Flags)]
pub struct ListArgs {
    /// Only tasks of this status
    #[arg(long)]
    pub status: Option<String>,
    /// Only tasks of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub task_type: Option<String>,
    /// Only tasks of this priority
    #[arg(long)]
    pub priority: Option<String>,
    /// Which page, from 0
    #[arg(long)]
    pub page: Option<u64>,
    /// How many tasks a page has, up to 100
    #[arg(long)]
    pub size: Option<u64>,
    /// The order: createdAt,desc or id,asc
    #[arg(long, value_name = "FIELD[,asc|desc]")]
    pub sort: Option<String>,
    /// Which server.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Which output.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// The arguments of `cancel` and `retry`.
#[derive(Debug, Flags)]
pub struct IdsArgs {
    /// The tasks' numbers
    #[arg(value_name = "ID", required = true, value_parser = id())]
    pub ids: Vec<u64>,
    /// Which server.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Which output.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// What `worker --help` says at its end.
const WORKER_NOTES: &str = "\
The command gets the payload on standard input, and TASK_ID, TASK_TYPE, TASK_ATTEMPT, \
TASK_EPOCH and TASK_DEADLINE (seconds since 1970) in its environment; no shell sees it. Exit code \
0: the task is done, and standard output is its result (up to 64 KiB). Exit code 65: it has \
failed, and no retry will help. Any other: it has failed and is tried again. The end of standard \
error is the reason.

Example: taskscheduler worker --type REPORT --concurrency 4 -- /usr/local/bin/report --quiet";

/// The arguments of `worker`.
#[derive(Debug, Flags)]
pub struct WorkerArgs {
    /// Take tasks of this type; can be given more than once
    #[arg(long = "type", value_name = "TYPE", required = true, value_delimiter = ',')]
    pub types: Vec<String>,
    /// Run so many commands at a time
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,
    /// What people see as the worker [default: the host and the process]
    #[arg(long)]
    pub name: Option<String>,
    /// How long a task stays this worker's when it falls silent; renewed all the time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub lease: Duration,
    /// How long commands may go on after SIGTERM; what is not done by then is given back
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Which server.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with the configuration.
    #[command(after_help = "Example: taskscheduler config check --config taskscheduler.toml")]
    Check(ConfigArgs),
    /// Show the settings that hold.
    #[command(after_help = "Example: taskscheduler config show --origin")]
    Show(ShowArgs),
    /// Print a file with every setting, its meaning and its default.
    #[command(after_help = "Example: taskscheduler config default > taskscheduler.toml")]
    Default,
}

/// The arguments of `config show`.
#[derive(Debug, Flags)]
pub struct ShowArgs {
    /// Say where each value comes from
    #[arg(long)]
    pub origin: bool,
    /// Print JSON, with values and origins
    #[arg(long)]
    pub json: bool,
    /// What decides the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// The commands about the store's schema.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Bring the schema up to date.
    #[command(after_help = "Example: taskscheduler migrate apply --dry-run --show-sql")]
    Apply(ApplyArgs),
    /// Show which migrations have been applied.
    #[command(after_help = "Example: taskscheduler migrate info --data /var/lib/taskscheduler")]
    Info(ConfigArgs),
    /// Make a store that was restored from a copy fit to be used. To be run before its first start.
    #[command(after_help = "Example: taskscheduler migrate restored --data /var/lib/taskscheduler")]
    Restored(ConfigArgs),
    /// Delete everything and start with an empty store.
    #[command(after_help = "Example: taskscheduler migrate reset --yes")]
    Reset(ResetArgs),
}

/// The arguments of `migrate apply`.
#[derive(Debug, Flags)]
pub struct ApplyArgs {
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Print the statements
    #[arg(long)]
    pub show_sql: bool,
    /// What decides the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// The arguments of `migrate reset`.
#[derive(Debug, Flags)]
pub struct ResetArgs {
    /// Yes, delete every task
    #[arg(long)]
    pub yes: bool,
    /// What decides the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// The arguments of `backup`.
#[derive(Debug, Flags)]
pub struct BackupArgs {
    /// The file to make
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What decides the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// The arguments of `doctor`.
#[derive(Debug, Flags)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What decides the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// The arguments of `health`.
#[derive(Debug, Flags)]
pub struct HealthArgs {
    /// Ask whether it takes requests now, not only whether it is well
    #[arg(long)]
    pub ready: bool,
    /// Print the server's JSON
    #[arg(long)]
    pub json: bool,
    /// Which server.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// The arguments of `completions`.
#[derive(Debug, Flags)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// The arguments of `man`.
#[derive(Debug, Flags)]
pub struct ManArgs {
    /// Where the pages go
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The arguments of `version`.
#[derive(Debug, Flags)]
pub struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::read(text, Bare::Refused)
}

/// Task ids are positive and signed 64-bit in the stores.
fn id() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(1..=i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_without_a_command_are_those_of_serve() {
        let args = Args::try_parse_from(["taskscheduler", "--cores", "2", "--data", "d"]).unwrap();
        assert!(args.command.is_none());
        let flags = args.serve.asked().flags;
        let expected = [("data", "--data", "d"), ("engine.cores", "--cores", "2")];
        assert_eq!(flags, expected.map(|(key, flag, value)| (key, flag, value.to_owned())));
    }
}
