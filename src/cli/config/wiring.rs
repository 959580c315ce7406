//! From settings to what the floors below take.

use super::keys::Config;
use super::url::Url;
use super::{Choice, Cores, DatabaseUrl, RedisUrl};
use crate::domain::{Limits, RetryPolicy};

impl Config {
    /// What a submission may be at most.
    pub fn limits(&self) -> Limits {
        let task = &self.task;
        Limits {
            payload_bytes_max: self.api.payload_bytes_max.as_usize(),
            timeout_s_max: task.timeout_cap.as_secs() as u32,
            retries_max: task.retry_attempts_cap,
            timeout_s_default: task.default_timeout.as_secs() as u32,
            retry_default: RetryPolicy {
                retries_max: task.max_retry_attempts,
                delay_ms: task.retry_delay.as_millis() as u64,
                multiplier: task.retry_backoff_multiplier,
            },
        }
    }

    /// The cores asked for: `engine.cores`, or else the old `workers.initial-count`.
    pub fn cores(&self) -> Cores {
        match (&self.engine.cores, self.workers.initial_count) {
            (Cores::Auto, Choice::Set(count)) => Cores::Count(count),
            (cores, _) => cores.clone(),
        }
    }

    /// Puts what was given in parts into the URLs: user and password, the host of Redis.
    pub(super) fn with_parts_joined(mut self) -> Result<Config, String> {
        let database = &mut self.database;
        if let DatabaseUrl::Postgres(url) = &mut database.url {
            fill(url, &database.username, &database.password);
        }
        let redis = &mut self.redis;
        if redis.url == RedisUrl::None && !redis.host.is_empty() {
            let host = if redis.host.contains(':') && !redis.host.starts_with('[') {
                format!("[{}]", redis.host)
            } else {
                redis.host.clone()
            };
            let url = Url::read(&format!("redis://{host}:{}", redis.port));
            redis.url = RedisUrl::Server(url.map_err(|wrong| format!("redis.host {wrong}"))?);
        }
        if let RedisUrl::Server(url) = &mut redis.url {
            fill(url, &redis.username, &redis.password);
        }
        Ok(self)
    }
}

fn fill(url: &mut Url, user: &str, password: &super::Secret) {
    if url.user.is_empty() {
        url.user = user.into();
    }
    if url.password.is_empty() {
        url.password = password.clone();
    }
}
