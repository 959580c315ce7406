//! The second level as the rest of the program sees it: never the truth, and never in the way.
//!
//! Promise: each call ends within about twice the patience it was made with, and at once while the
//! server is known not to answer. Trials of such a server are made by [`Level2::tend`] alone, so no
//! request waits for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use sha2::{Digest, Sha256};

use super::address::RedisAddress;
use super::counters::{Counted, Counters};
use super::error::Level2Error;
use super::greeting::Greeting;
use super::line::Line;
use super::r2d2_redis::RedisConnector;
use super::scripts::Scripts;
use super::standing::Standing;
use crate::clock::{Clock, Mono};
use crate::metrics::{DURATIONS_US, Histogram, SharedHistogram};

/// How the second level is used.
#[derive(Clone)]
pub struct Level2Settings {
    /// Where it is.
    pub address: RedisAddress,
    /// How long connecting, and each exchange, may take.
    pub patience: Duration,
    /// The most connections, beside the one that listens.
    pub pool_max: u32,
    /// How long the document of an ended task is kept, and anything else there.
    pub ttl: Duration,
    /// The number the store was given when it was made: what tells its keys from those of any
    /// other store, and proves that a document comes from one of its nodes.
    pub secret: [u8; 16],
    /// Different for each node and each of its starts.
    pub seed: u64,
}

/// The second level. Shared by everyone who asks something of it.
pub struct Level2 {
    pool: r2d2::Pool<RedisConnector>,
    pub(super) connector: RedisConnector,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Level2Settings,
    pub(super) counters: Counters,
    took: SharedHistogram,
    standing: Mutex<Standing>,
    /// Why no connection could be made, as the pool's own error does not tell it.
    refused: Refused,
    /// A line that is older than the last failure is not used again: it would be the next one.
    failures: Arc<AtomicU64>,
    pub(super) scripts: Scripts,
    /// Part of each key; it does not betray the secret.
    realm: String,
    marks: AtomicU64,
}

/// How the second level is, from memory.
#[derive(Debug, Clone)]
pub struct Level2Vitals {
    /// Whether it is asked.
    pub is_up: bool,
    /// Where it is, without secrets.
    pub description: String,
    /// Why it is not asked.
    pub why: Option<String>,
    /// What it was asked and gave.
    pub counted: Counted,
    /// How long exchanges took, in microseconds.
    pub took: Histogram,
    /// Connections in the pool.
    pub connections: u32,
    /// Of these, not in use.
    pub idle: u32,
}

#[derive(Debug, Clone, Default)]
struct Refused(Arc<Mutex<Option<Level2Error>>>);

impl r2d2::HandleError<Level2Error> for Refused {
    fn handle_error(&self, error: Level2Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl Level2 {
    /// Nothing is connected yet: a server that is down does not stop a start.
    pub fn new(settings: Level2Settings, clock: Arc<dyn Clock>) -> Level2 {
        let failures = Arc::new(AtomicU64::new(0));
        let connector = || {
            let address = settings.address.clone();
            let connector = RedisConnector::new(address, Arc::clone(&clock), settings.patience);
            connector.counting(&failures)
        };
        let refused = Refused::default();
        // One thread makes connections; by itself the pool would start three.
        let threads = scheduled_thread_pool::ScheduledThreadPool::builder()
            .num_threads(1)
            .thread_name_pattern("redis-{}")
            .build();
        let pool = r2d2::Pool::builder()
            .max_size(settings.pool_max.max(1))
            .min_idle(Some(0))
            // A broken line is noticed by its next exchange, which costs no round trip before.
            .test_on_check_out(false)
            .connection_timeout(settings.patience)
            .error_handler(Box::new(refused.clone()))
            .thread_pool(Arc::new(threads))
            .build_unchecked(connector());
        let realm = Sha256::digest(settings.secret);
        let realm = realm.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        let realm = format!("{realm:016x}");
        Level2 {
            pool,
            connector: connector(),
            clock,
            settings,
            counters: Counters::default(),
            took: SharedHistogram::new(DURATIONS_US),
            standing: Mutex::new(Standing::new()),
            refused,
            failures,
            scripts: Scripts::new(),
            realm,
            marks: AtomicU64::new(0),
        }
    }

    /// Connects once, past the pool: what a start wants to know.
    pub fn greet(&self) -> Result<Greeting, Level2Error> {
        self.connector.greet().map(|(_, greeting)| greeting)
    }

    /// How it is, from memory.
    pub fn vitals(&self) -> Level2Vitals {
        let pool = self.pool.state();
        let standing = self.standing();
        Level2Vitals {
            is_up: standing.is_up(),
            description: self.settings.address.to_string(),
            why: standing.why().map(Level2Error::to_string),
            counted: self.counters.read(),
            took: self.took.read(),
            connections: pool.connections,
            idle: pool.idle_connections,
        }
    }

    /// Whether it is asked.
    pub fn is_up(&self) -> bool {
        self.standing().is_up()
    }

    /// Tries again a server that did not answer, if it is time to. Only a thread that may wait
    /// calls this.
    pub fn tend(&self) {
        let now = self.clock.mono();
        if self.standing().trial_is_due(now) {
            let ping = |line: &mut Line| redis::cmd("PING").query::<String>(line).map(drop);
            let _ = self.attempt(ping);
        }
    }

    /// One exchange, unless the server is known not to answer.
    pub(super) fn call<T>(
        &self,
        exchange: impl FnOnce(&mut Line) -> RedisResult<T>,
    ) -> Result<T, Level2Error> {
        if !self.standing().is_up() {
            return Err(Level2Error::Resting);
        }
        self.attempt(exchange)
    }

    /// One exchange that a commit waits for.
    pub(super) fn call_quickly<T>(
        &self,
        exchange: impl FnOnce(&mut Line) -> RedisResult<T>,
    ) -> Result<T, Level2Error> {
        if !self.standing().is_up() {
            return Err(Level2Error::Resting);
        }
        self.attempt_within(self.settings.patience.min(QUICK), exchange)
    }

    fn attempt<T>(
        &self,
        exchange: impl FnOnce(&mut Line) -> RedisResult<T>,
    ) -> Result<T, Level2Error> {
        self.attempt_within(self.settings.patience, exchange)
    }

    fn attempt_within<T>(
        &self,
        patience: Duration,
        exchange: impl FnOnce(&mut Line) -> RedisResult<T>,
    ) -> Result<T, Level2Error> {
        let mut line = self.take_line(patience).map_err(|error| self.note(error))?;
        line.patience = patience;
        let from = self.clock.mono();
        let exchanged = exchange(&mut line);
        let now = self.clock.mono();
        self.took.add(now.since(from).as_micros() as u64);
        match exchanged {
            Ok(found) => {
                if self.standing().succeeded(now, now.since(from), &line.run) {
                    log::info!("Redis at {} answers", self.settings.address);
                }
                Ok(found)
            }
            Err(error) => {
                let error = Level2Error::from(error);
                if !matches!(error, Level2Error::Odd(_)) {
                    // It may have become a replica, or lead to another server now.
                    line.give_up();
                }
                Err(self.note(error))
            }
        }
    }

    /// A line that was made after the last failure.
    fn take_line(
        &self,
        patience: Duration,
    ) -> Result<r2d2::PooledConnection<RedisConnector>, Level2Error> {
        let failures = self.failures.load(Ordering::Relaxed);
        for _ in 0..=self.settings.pool_max {
            match self.pool.get_timeout(patience) {
                Ok(line) if line.after_failures >= failures => return Ok(line),
                Ok(mut old) => old.give_up(),
                Err(late) => {
                    let mut refused = self.refused.0.lock().unwrap_or_else(PoisonError::into_inner);
                    let unreachable = || Level2Error::Unreachable(late.to_string());
                    return Err(refused.take().unwrap_or_else(unreachable));
                }
            }
        }
        Err(Level2Error::Unreachable("all its connections are old".into()))
    }

    /// Draws the consequences of a failure.
    fn note(&self, error: Level2Error) -> Level2Error {
        self.counters.failures.add(1);
        match &error {
            Level2Error::Odd(why) => {
                self.counters.odd_answers.add(1);
                log::debug!("Redis refused one exchange: {why}");
            }
            Level2Error::Resting => {}
            _ => {
                let now = self.clock.mono();
                self.failures.fetch_add(1, Ordering::Relaxed);
                if self.standing().failed(now, error.clone()) {
                    log::warn!("failed to {error}; going on without it");
                }
            }
        }
        error
    }

    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its documents are believed at this moment.
    pub(super) fn is_trusted(&self) -> bool {
        let now = self.clock.mono();
        self.standing().is_trusted(now, self.settings.ttl)
    }

    pub(super) fn now(&self) -> Mono {
        self.clock.mono()
    }

    /// A text that no other start of any node makes again.
    pub(super) fn fresh_mark(&self) -> String {
        let (now, seed) = (self.clock.now().0, self.settings.seed);
        format!("{now:x}-{seed:x}-{:x}", self.marks.fetch_add(1, Ordering::Relaxed))
    }

    /// The key of this name, among this store's.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{PREFIX}{}:{name}", self.realm)
    }
}

/// How long a commit waits for Redis, at most twice: for a connection and for an answer.
const QUICK: Duration = Duration::from_millis(100);

/// All keys and channels begin so; what an access list has to name.
pub const PREFIX: &str = "taskscheduler:";

impl std::fmt::Debug for Level2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Level2").field("address", &self.settings.address).finish_non_exhaustive()
    }
}
