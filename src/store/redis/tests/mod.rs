//! The second level on real servers.

mod documents;
mod faults;
mod house;
pub(crate) mod sample;
mod server;
mod through;

use std::sync::Arc;
use std::time::Duration;

use super::{Level2, Level2Settings, RedisAddress};
use crate::clock::{Clock, SystemClock};
use server::Server;

pub(super) const PATIENCE: Duration = Duration::from_millis(200);

pub(super) fn address(port: u16) -> RedisAddress {
    RedisAddress {
        hosts: vec![("127.0.0.1".into(), port)],
        sentinel: None,
        user: String::new(),
        password: String::new(),
        database: 0,
        tls: None,
    }
}

pub(super) fn settings(port: u16, ttl: Duration, seed: u64) -> Level2Settings {
    let address = address(port);
    Level2Settings { address, patience: PATIENCE, pool_max: 4, ttl, secret: [7; 16], seed }
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// A second level that is connected and knows the life of the server.
pub(super) fn level2(server: &Server, ttl: Duration) -> Level2 {
    of(settings(server.port, ttl, u64::from(server.port)))
}

pub(super) fn of(settings: Level2Settings) -> Level2 {
    let level2 = Level2::new(settings, clock());
    until("it is connected", || {
        level2.tend();
        level2.is_up() && level2.life().is_some()
    });
    level2
}

/// Waits until something holds that a server brings about.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let (_keep, never) = crossbeam_channel::bounded::<()>(0);
    while !holds() {
        assert!(clock.mono().0 < 20_000_000, "{what}: not within 20 s");
        let _ = never.recv_timeout(Duration::from_millis(5));
    }
}

/// How long something took.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let clock = SystemClock::new();
    let found = work();
    (Duration::from_micros(clock.mono().0), found)
}
