//! What single values cannot tell: whether they fit together, and whether `serve` may start.

use super::keys::Config;
use super::{Choice, DatabaseUrl, RedisUrl};

/// Values that contradict each other, each in one sentence.
pub fn contradictions(config: &Config) -> Vec<String> {
    let (task, pool) = (&config.task, &config.thread_pool);
    let breaker = &config.circuit_breaker;
    let workers_fit = match (config.workers.initial_count, config.workers.max_count) {
        (Choice::Set(initial), Choice::Set(max)) => initial <= max,
        _ => true,
    };
    let rules = [
        (
            config.database.pool_min <= config.database.pool_max,
            "database.pool-min must not exceed database.pool-max",
        ),
        (
            pool.core_pool_size <= pool.max_pool_size,
            "thread-pool.core-pool-size must not exceed thread-pool.max-pool-size",
        ),
        (
            task.default_timeout <= task.timeout_cap,
            "task.default-timeout must not exceed task.timeout-cap",
        ),
        (
            task.max_retry_attempts <= task.retry_attempts_cap,
            "task.max-retry-attempts must not exceed task.retry-attempts-cap",
        ),
        (workers_fit, "workers.initial-count must not exceed workers.max-count"),
        (
            breaker.minimum_number_of_calls <= breaker.sliding_window_size,
            "circuit-breaker.minimum-number-of-calls must not exceed \
             circuit-breaker.sliding-window-size",
        ),
        (
            config.api.payload_bytes_max <= config.api.batch_bytes_max,
            "api.payload-bytes-max must not exceed api.batch-bytes-max",
        ),
    ];
    rules.into_iter().filter(|(fits, _)| !fits).map(|(_, rule)| rule.into()).collect()
}

impl super::Api {
    /// Whether everybody who can reach it may do everything.
    pub fn asks_nobody(&self) -> bool {
        self.tokens.0.is_empty()
    }
}

impl Config {
    /// Why `serve` must not start with this configuration, each reason with its cure.
    pub fn refusals(&self) -> Vec<String> {
        let mut refusals = Vec::new();
        if !self.api.listen.is_local() && self.api.asks_nobody() && !self.api.insecure_no_auth {
            refusals.push(format!(
                "api.listen {} can be reached from outside this machine and the API asks nobody \
                 who they are: set api.tokens, listen on 127.0.0.1 or a Unix \
                 path behind a proxy, or accept the risk with --insecure-no-auth",
                self.api.listen
            ));
        }
        let redis = matches!(self.redis.url, RedisUrl::Server(_));
        if redis && self.database.url == DatabaseUrl::Sqlite {
            refusals.push(
                "a Redis server is configured, and beside the embedded store it would only be \
                 slower: leave redis.url and redis.host out, or name a PostgreSQL server with \
                 database.url"
                    .into(),
            );
        }
        refusals
    }
}
