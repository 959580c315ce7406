//! The table of all settings.
//!
//! Where a number was measured or promised elsewhere the entry says so; everything that speaks of
//! settings is derived from here.

use std::path::PathBuf;
use std::time::Duration;

use super::cores::Cores;
use super::database::DatabaseUrl;
use super::listen::Listen;
use super::redis::RedisUrl;
use super::secret::Secret;
use super::setting::{Bare, Setting};
use super::size::{GIB, KIB, MIB, Size, SizeLimit};
use super::table::{Key, ends, read_within, settings};
use super::tokens::Tokens;
use super::words::{Choice, Compatibility, LogFormat, LogLevel, Migrate};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const CENTURY: Duration = Duration::from_hours(36_525 * 24);

settings! {
    /// What belongs to the whole node.
    "" node: Node {
        /// The directory that holds the embedded store and the node's identity. One server each.
        data: PathBuf = "./data";
        /// How many tasks a blocking pool takes from its queue at once.
        batch_size: usize = "100" in 1..=10_000;
        /// How long an idle node waits between claims when nothing wakes it.
        poll_interval: Duration = "50ms" bare Millis in MS..=HOUR;
    }

    /// The HTTP API.
    "api" api: Api {
        /// Where the server listens.
        listen: Listen = "127.0.0.1:8080";
        /// Lets everyone who can reach an address outside this machine use the whole API.
        insecure_no_auth: bool = "false";
        /// Who may do what, each as NAME:SCOPE+SCOPE:TOKEN with the scopes read, submit, worker and
        /// admin; sha256= and the digest may stand for the token. With none everybody may do all.
        tokens: Tokens = "";
        /// Names beside localhost by which a server without tokens may be called; "*" means all.
        allowed_hosts: Vec<String> = "";
        /// Whose habits the API keeps: those of the documented contract or of the Java system.
        compatibility: Compatibility = "standard";
        /// The origins whose pages may call the API from a browser; "*" means all.
        cors_origins: Vec<String> = "";
        /// How many client connections are held at most; beyond, the longest idle one is closed.
        max_connections: usize = "4096" in 16..=1_000_000;
        /// The longest payload of a task.
        payload_bytes_max: Size = "64KiB" in Size(1)..=Size(MIB);
        /// The most tasks in one batch.
        batch_tasks_max: usize = "10000" in 1..=16_384;
        /// The longest body of a batch.
        batch_bytes_max: Size = "16MiB" in Size(64 * KIB)..=Size(256 * MIB);
    }

    /// The cores that run tasks.
    "engine" engine: Engine {
        /// The engine cores: auto (the allowed CPUs less one), how many, or which CPUs.
        cores: Cores = "auto";
        /// How many tickets a core moves from the intake into its own lane at once.
        steal_batch: usize = "8" in 1..=256;
        /// How many crashes of the server a task may be running alone in before it has FAILED.
        max_crashes: u32 = "3" in 1..=100;
        /// How long running work may go on after a polite request to stop.
        drain_timeout: Duration = "25s" bare Seconds in Duration::ZERO..=HOUR;
    }

    /// The queue of ready tasks in memory. What does not fit waits in the store.
    "priority-queue" priority_queue: PriorityQueue {
        /// The most tasks in memory.
        max_size: usize = "100000" in 256..=10_000_000;
        /// The most bytes of tasks in memory.
        max_bytes: Size = "64MiB" in Size(MIB)..=Size(1024 * GIB);
    }

    /// How priorities share the cores.
    "priority" priority: Priority {
        /// Every so many takes of a core begin below the highest priority that has work, so that
        /// none starves; 0 keeps the order strictly.
        share: u32 = "64" in 0..=1_000_000;
    }

    /// What a task gets that does not say otherwise, and the most it may ask for.
    "task" task: TaskDefaults {
        /// How long one attempt may take.
        default_timeout: Duration = "300s" bare Seconds in SECOND..=DAY;
        /// The longest timeout that a task may ask for.
        timeout_cap: Duration = "3600s" bare Seconds in SECOND..=DAY;
        /// How many retries a task has after its first attempt.
        max_retry_attempts: u32 = "3" in 0..=1000;
        /// The most retries that a task may ask for.
        retry_attempts_cap: u32 = "10" in 0..=1000;
        /// The wait before the first retry.
        retry_delay: Duration = "5000ms" bare Millis in Duration::ZERO..=HOUR;
        /// By how much each further wait is longer; no wait exceeds an hour.
        retry_backoff_multiplier: f64 = "2.0" in 1.0..=100.0;
        /// The most distinct task types that a store takes.
        types_max: usize = "10000" in 1..=1_000_000;
    }

    /// The threads of executors that block: processes and HTTP calls.
    "thread-pool" thread_pool: ThreadPool {
        /// The threads that are kept.
        core_pool_size: usize = "20" in 1..=4096;
        /// The most threads.
        max_pool_size: usize = "100" in 1..=4096;
        /// The most tasks that wait for a thread.
        queue_capacity: usize = "10000" in 1..=10_000_000;
        /// How long a surplus thread waits for work before it ends.
        keep_alive_seconds: Duration = "60s" bare Seconds in SECOND..=DAY;
    }

    /// The old names for the number of engine cores.
    "workers" workers: Workers {
        /// Engine cores at start, where engine.cores is auto.
        initial_count: Choice<usize> = "auto";
        /// Engine cores at most, when they are resized while running.
        max_count: Choice<usize> = "auto";
    }

    /// When a task type whose executor keeps failing is held back.
    "circuit-breaker" circuit_breaker: CircuitBreaker {
        /// How many of the latest calls are judged.
        sliding_window_size: u32 = "10" in 1..=100_000;
        /// How many calls there must be before any judgement.
        minimum_number_of_calls: u32 = "5" in 1..=100_000;
        /// The percentage of failures that opens the breaker.
        failure_rate_threshold: f64 = "50.0" in 1.0..=100.0;
        /// How long an open breaker holds calls back.
        wait_duration_in_open_state: Duration = "30s" bare Millis in MS..=DAY;
        /// How many trial calls decide whether it closes again.
        permitted_number_of_calls_in_half_open_state: u32 = "3" in 1..=1000;
    }

    /// The store.
    "database" database: Database {
        /// Where tasks are kept: sqlite means the embedded store in the data directory.
        url: DatabaseUrl = "sqlite";
        /// The user of a PostgreSQL server, where the URL names none.
        username: String = "";
        /// The password of a PostgreSQL server, where the URL holds none. Better set by variable.
        password: Secret = "";
        /// The most connections to a PostgreSQL server.
        pool_max: u32 = "10" in 2..=1000;
        /// The connections to a PostgreSQL server that are kept open.
        pool_min: u32 = "2" in 0..=1000;
        /// Whether serve brings the schema up to date or only checks it.
        migrate: Migrate = "apply";
    }

    /// How the server treats its store.
    "store" store: Store {
        /// How long a commit may be silent before a PostgreSQL store is opened anew in its place.
        stall_limit: Duration = "5s" in SECOND..=HOUR;
    }

    /// The second level beside a PostgreSQL store. Never the truth: losing it costs only speed.
    "redis" redis: Redis {
        /// The Redis server; none means that there is none, unless redis.host is set.
        url: RedisUrl = "none";
        /// The host, in place of a URL.
        host: String = "";
        /// The port that goes with redis.host.
        port: u16 = "6379" in 1..=u16::MAX;
        /// The user, where the URL names none.
        username: String = "";
        /// The password, where the URL holds none. Better set by variable.
        password: Secret = "";
        /// The most connections.
        pool_max: u32 = "8" in 1..=1000;
        /// How long one exchange may take.
        timeout_ms: Duration = "500ms" bare Millis in MS..=Duration::from_mins(1);
        /// How long the document of a task that has ended is kept there; after a gap Redis is not
        /// believed for as long.
        document_ttl: Duration = "60s" bare Seconds in SECOND..=HOUR;
    }

    /// How long tasks that have ended are kept.
    "retention" retention: Retention {
        /// Tasks that ended well.
        completed: Duration = "7d" bare Days in SECOND..=CENTURY;
        /// Tasks that failed for good.
        failed: Duration = "30d" bare Days in SECOND..=CENTURY;
        /// Tasks that were cancelled.
        cancelled: Duration = "7d" bare Days in SECOND..=CENTURY;
        /// The size of the store beyond which the oldest ended tasks go earlier.
        max_bytes: SizeLimit = "10GiB";
    }

    /// What the server says on standard error.
    "log" log: Log {
        /// The least important lines that are still written.
        level: LogLevel = "info";
        /// Text for people and the journal, or one JSON object a line.
        format: LogFormat = "text";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_default_is_a_legal_value_and_is_written_as_it_is_shown() {
        for key in KEYS {
            // Retries are given in milliseconds in every document of the API; all else is minimal.
            let shown = (key.show)(key.default).unwrap_or_else(|e| panic!("{}: {e}", key.name()));
            assert_eq!((key.show)(&shown).as_deref(), Ok(shown.as_str()), "{}", key.name());
        }
        assert!(Config::from_texts(KEYS.iter().map(|key| key.default)).is_ok());
    }

    #[test]
    fn names_and_variables_are_unambiguous() {
        let names: BTreeSet<String> = KEYS.iter().map(Key::name).collect();
        let variables: BTreeSet<String> = KEYS.iter().map(Key::variable).collect();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
        assert!(variables.contains("TASK_SCHEDULER_THREAD_POOL_CORE_POOL_SIZE"));
    }

    #[test]
    fn a_value_beyond_its_range_is_refused_with_the_range() {
        let key = KEYS.iter().find(|key| key.name() == "api.payload-bytes-max").unwrap();
        assert!((key.show)("2MiB").unwrap_err().ends_with("from 1B to 1MiB"));
        assert_eq!((key.show)("128KiB").as_deref(), Ok("128KiB"));
    }
}
