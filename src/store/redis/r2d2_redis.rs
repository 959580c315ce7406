//! Connections to Redis for an r2d2 pool, in the place of the crate `r2d2_redis`.
//!
//! That crate is abandoned (its maintainer points to `redis` itself), holds `redis` of 2021, sets
//! no timeout, so that a frozen server stops its callers for ever, and will not build on future
//! compilers. This is its one idea over today's `redis`: [`RedisConnector`] makes, checks
//! and drops connections for r2d2, and every one of its steps ends in time.
//!
//! A connection is made to a server that can be used, or not at all: no Cluster, no replica, no
//! server before 6.0. With Sentinels they are asked for the server each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{RedisResult, Value};

use super::address::{RedisAddress, Sentinel};
use super::error::Level2Error;
use super::greeting::Greeting;
use super::line::Line;
use crate::clock::Clock;

/// Makes connections for a pool.
pub struct RedisConnector {
    address: RedisAddress,
    clock: Arc<dyn Clock>,
    patience: Duration,
    failures: Arc<AtomicU64>,
}

impl RedisConnector {
    /// Connections to `address`; connecting may take `patience`, and so may each exchange.
    pub fn new(address: RedisAddress, clock: Arc<dyn Clock>, patience: Duration) -> RedisConnector {
        RedisConnector { address, clock, patience, failures: Arc::default() }
    }

    /// From now on each line says how often this had been counted up before it was made.
    pub(super) fn counting(self, failures: &Arc<AtomicU64>) -> RedisConnector {
        RedisConnector { failures: Arc::clone(failures), ..self }
    }

    /// Connects and looks whether the server can be used.
    pub fn greet(&self) -> Result<(Line, Greeting), Level2Error> {
        let Some(sentinel) = &self.address.sentinel else {
            return self.first_of(|host| self.enter(host));
        };
        let server = self.first_of(|host| self.ask(sentinel, host))?;
        self.enter(&server)
    }

    /// What the first host gives that gives anything.
    fn first_of<T>(
        &self,
        try_host: impl Fn(&(String, u16)) -> Result<T, Level2Error>,
    ) -> Result<T, Level2Error> {
        let mut last = Level2Error::Unreachable("no host is named".into());
        for host in &self.address.hosts {
            match try_host(host) {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn dial(&self, host: &(String, u16)) -> Result<Line, Level2Error> {
        Line::dial(host, self.address.tls.as_ref(), &self.clock, self.patience)
            .map_err(|error| Level2Error::Unreachable(format!("{}:{}: {error}", host.0, host.1)))
    }

    fn enter(&self, host: &(String, u16)) -> Result<(Line, Greeting), Level2Error> {
        // Relaxed: at worst a line counts as older than it is, and is made anew.
        let after_failures = self.failures.load(Ordering::Relaxed);
        let mut line = self.dial(host)?;
        let RedisAddress { user, password, database, .. } = &self.address;
        authenticate(&mut line, user, password)?;
        if *database != 0 {
            redis::cmd("SELECT").arg(*database).exec(&mut line)?;
        }
        let greeting = Greeting::of(&mut line)?;
        greeting.check()?;
        line.run = Arc::clone(&greeting.run);
        line.after_failures = after_failures;
        Ok((line, greeting))
    }

    /// Asks a Sentinel where the server is.
    fn ask(&self, sentinel: &Sentinel, host: &(String, u16)) -> Result<(String, u16), Level2Error> {
        let mut line = self.dial(host)?;
        authenticate(&mut line, &sentinel.user, &sentinel.password)?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(&sentinel.name);
        let found: RedisResult<Option<(String, u16)>> = ask.query(&mut line);
        found?.ok_or_else(|| {
            let Sentinel { name, .. } = sentinel;
            Level2Error::Unready(format!("the Sentinel at {} knows no server {name:?}", host.0))
        })
    }
}

fn authenticate(line: &mut Line, user: &str, password: &str) -> Result<(), Level2Error> {
    if password.is_empty() {
        return Ok(());
    }
    let mut auth = redis::cmd("AUTH");
    if !user.is_empty() {
        auth.arg(user);
    }
    match auth.arg(password).query(line)? {
        Value::Okay => Ok(()),
        other => Err(Level2Error::Unready(format!("it answered {other:?} to AUTH"))),
    }
}

impl r2d2::ManageConnection for RedisConnector {
    type Connection = Line;
    type Error = Level2Error;

    fn connect(&self) -> Result<Line, Level2Error> {
        self.greet().map(|(line, _)| line)
    }

    fn is_valid(&self, line: &mut Line) -> Result<(), Level2Error> {
        match redis::cmd("PING").query::<String>(line)?.as_str() {
            "PONG" => Ok(()),
            other => Err(Level2Error::Odd(format!("it answered {other:?} to PING"))),
        }
    }

    fn has_broken(&self, line: &mut Line) -> bool {
        line.is_broken()
    }
}
