//! The backend's connections: opened one at a time, probed, lent, taken back.
//!
//! tiny_http may park a connection of a burst behind busy ones for ever, and its accept loop can
//! die without a word. So at most one connection is being opened, it counts only once it has
//! answered a probe, and a probe that fails makes a new backend on a new socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mio::Registry;
use mio::net::UnixStream;

use crate::clock::Mono;

use super::answer::Outbound;
use super::class::Class;
use super::limits::GateLimits;
use super::slab::{Key, Side, Slab};
use super::stream::{Stream, is_starved};
use super::{BackendSource, PROBE_HEAD};

/// What a backend connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Asked whether it is served.
    Probing,
    Idle,
    /// Has the request of this client.
    Lent(Key),
    /// Its client is gone; it is busy until its answer has come and been thrown away.
    Orphaned,
}

/// One backend connection.
pub(super) struct Backend {
    pub(super) stream: Stream,
    pub(super) usage: Use,
    /// Which backend it leads to.
    era: u32,
    pub(super) is_readable: bool,
    /// The backend will send nothing more.
    pub(super) is_read_closed: bool,
    pub(super) wants_room: bool,
    /// Not read from until its client has taken what it has.
    pub(super) is_paused: bool,
    /// Whether the question was HEAD.
    pub(super) to_head: bool,
    pub(super) answer: Outbound,
    pub(super) charged: usize,
    pub(super) since: Mono,
}

/// All of them.
pub(super) struct Pool {
    pub(super) slab: Slab<Backend>,
    idle: Vec<Key>,
    opening: Option<Key>,
    era: u32,
    path: PathBuf,
    source: Box<dyn BackendSource>,
    /// No connection is opened before; grows with failures in a row.
    not_before: Mono,
    failures: u32,
    /// Long answers under way.
    pub(super) streams: usize,
    /// Backends made after the first.
    pub(super) rebuilds: u64,
}

/// The first wait after a failed attempt to open a connection; it doubles with each.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// The longest wait after failed attempts to open a connection.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// An idle connection beyond the least number is closed after this long.
const IDLE_MAX: Duration = Duration::from_secs(30);

impl Pool {
    pub(super) fn new(mut source: Box<dyn BackendSource>) -> io::Result<Pool> {
        let path = source.fresh()?;
        Ok(Pool {
            slab: Slab::new(),
            idle: Vec::new(),
            opening: None,
            era: 0,
            path,
            source,
            not_before: Mono(0),
            failures: 0,
            streams: 0,
            rebuilds: 0,
        })
    }

    /// Connections that have answered their probe.
    pub(super) fn served(&self) -> usize {
        self.slab.len() - usize::from(self.opening.is_some())
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Backend> {
        self.slab.get_mut(key)
    }

    /// An idle connection for a request of `class`, if it may have one now.
    pub(super) fn take(&mut self, class: Class, limits: &GateLimits) -> Option<Key> {
        if self.idle.len() > class.leaves(limits.backends_reserved) {
            self.idle.pop()
        } else {
            None
        }
    }

    /// Opens a connection and asks whether it is served, if none is being opened and there may be
    /// one more.
    pub(super) fn grow(&mut self, registry: &Registry, limits: &GateLimits, now: Mono) {
        let may_grow = self.opening.is_none()
            && self.slab.len() < limits.backends_max
            && self.not_before <= now;
        if !may_grow {
            return;
        }
        match self.open(registry, now) {
            Ok(()) => {}
            // A new backend would not be easier to come by.
            Err(error) if is_starved(&error) => self.not_before = now.plus(BACK_OFF_MIN),
            Err(_) => self.rebuild(now),
        }
    }

    fn open(&mut self, registry: &Registry, now: Mono) -> io::Result<()> {
        let mut stream = Stream::Unix(UnixStream::connect(&self.path)?);
        let probe = format!("GET / HTTP/1.1\r\nHost: gate\r\n{PROBE_HEAD}: 1\r\n\r\n");
        let era = self.era;
        let mut outcome = Ok(());
        let key = self.slab.insert_with(|key| {
            outcome = stream.register(registry, key.token(Side::Backend));
            Backend {
                stream,
                usage: Use::Probing,
                era,
                is_readable: false,
                is_read_closed: false,
                wants_room: false,
                is_paused: false,
                to_head: false,
                answer: Outbound::default(),
                charged: 0,
                since: now,
            }
        });
        self.opening = Some(key);
        outcome?;
        match self.get_mut(key).map(|backend| backend.stream.write(probe.as_bytes())) {
            Some(Ok(written)) if written == probe.len() => Ok(()),
            Some(Err(error)) => Err(error),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Notes that a probe was answered, well or badly.
    pub(super) fn probed(&mut self, key: Key, is_served: bool, now: Mono) {
        if !is_served {
            self.opening = Some(key);
            self.rebuild(now);
            return;
        }
        self.opening = None;
        self.failures = 0;
        self.put_back(key, now);
    }

    /// Gives up the connection being opened if it has taken too long.
    pub(super) fn check_probe(&mut self, limits: &GateLimits, now: Mono) {
        let Some(key) = self.opening else { return };
        let late =
            self.slab.get_mut(key).is_none_or(|b| now.since(b.since) >= limits.probe_deadline);
        if late {
            self.rebuild(now);
        }
    }

    /// Makes a new backend. Connections that are lent stay until their answer, idle ones are
    /// closed; if it cannot be made, those that were served before are kept.
    fn rebuild(&mut self, now: Mono) {
        if let Some(key) = self.opening.take() {
            self.slab.remove(key);
        }
        let back_off = BACK_OFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACK_OFF_MAX);
        self.failures += 1;
        self.not_before = now.plus(back_off);
        match self.source.fresh() {
            Ok(path) => {
                log::warn!("the backend did not answer; it was rebuilt");
                self.path = path;
                self.era = self.era.wrapping_add(1);
                self.rebuilds += 1;
                for key in std::mem::take(&mut self.idle) {
                    self.slab.remove(key);
                }
            }
            Err(error) => log::error!("cannot rebuild the backend: {error}"),
        }
    }

    /// Takes a connection back whose answer is complete, for the next request.
    pub(super) fn put_back(&mut self, key: Key, now: Mono) {
        let era = self.era;
        let Some(backend) = self.slab.get_mut(key) else { return };
        if backend.era != era {
            self.slab.remove(key);
            return;
        }
        backend.usage = Use::Idle;
        backend.is_paused = false;
        backend.since = now;
        backend.answer.next();
        self.idle.push(key);
    }

    /// Closes a connection, whatever it was doing.
    pub(super) fn remove(&mut self, key: Key) -> Option<Backend> {
        self.idle.retain(|idle| *idle != key);
        if self.opening == Some(key) {
            self.opening = None;
        }
        self.slab.remove(key)
    }

    /// Closes one connection that has not been needed for long, if there are more than the least.
    pub(super) fn shrink(&mut self, limits: &GateLimits, now: Mono) {
        let Some(&oldest) = self.idle.first() else { return };
        let long = self.slab.get_mut(oldest).is_some_and(|b| now.since(b.since) >= IDLE_MAX);
        if long && self.slab.len() > limits.backends_min {
            self.remove(oldest);
        }
    }
}
