//! What the service manager is told: systemd, or whoever else speaks its protocol.
//!
//! Promise: READY=1 comes after recovery, when the port answers, and WATCHDOG=1 only if the writer
//! and the cores have moved on since the last one. No timer alone ever feeds the watchdog: it would
//! go on feeding a server that only looks alive.
//!
//! Without a manager (no `NOTIFY_SOCKET`) nothing is sent and no thread started.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sd_notify::NotifyState;

use crate::engine::{Engine, Pulse, Standstill};

/// The service manager, if there is one.
pub struct Supervisor {
    is_there: bool,
    watchdog: Option<Duration>,
}

/// Feeds the watchdog until it is dropped.
pub struct Feeding {
    _stop: Option<Sender<()>>,
}

impl Supervisor {
    /// The manager that the environment names.
    pub fn find() -> Supervisor {
        let is_there = std::env::var_os("NOTIFY_SOCKET").is_some();
        Supervisor { is_there, watchdog: sd_notify::watchdog_enabled() }
    }

    /// The store is being opened and taken over.
    pub fn starting(&self) {
        self.tell(&[NotifyState::Status("taking over what the store holds")]);
    }

    /// It serves.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// It takes no new work and needs up to `drain` for what runs.
    pub fn stopping(&self, drain: Duration) {
        // What comes after the drain: the last batch, the mark, the last answers.
        let longest = drain.saturating_add(Duration::from_secs(10)).as_micros();
        let longest = u32::try_from(longest).unwrap_or(u32::MAX);
        let status = NotifyState::Status("letting what runs finish");
        self.tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(longest), status]);
    }

    /// Starts feeding the watchdog, where the manager has one.
    pub fn feed(&self, engine: Arc<Engine>) -> std::io::Result<Feeding> {
        let Some(limit) = self.watchdog.filter(|_| self.is_there) else {
            return Ok(Feeding { _stop: None });
        };
        let (stop, stopped) = bounded(0);
        std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || feed_all(&engine, limit / 3, &stopped))?;
        Ok(Feeding { _stop: Some(stop) })
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if self.is_there {
            tell(states);
        }
    }
}

/// A manager that does not listen is no reason to stop.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("failed to tell the service manager: {error}");
    }
}

/// Looks `every` so often; what has moved is fed, and what stands still is said once.
fn feed_all(engine: &Engine, every: Duration, stopped: &Receiver<()>) {
    let mut before = engine.pulse();
    let mut said = None;
    while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let now = engine.pulse();
        let standstill = now.standstill_since(&before);
        report(standstill, &now);
        if let Some(who) = standstill.filter(|_| said != standstill) {
            log::error!("{who}; the watchdog is not fed");
        }
        (before, said) = (now, standstill);
    }
}

fn report(standstill: Option<Standstill>, now: &Pulse) {
    let status = match standstill {
        Some(who) => who.to_string(),
        None => format!("{} tasks wait in memory, {} cores run one", now.waiting, now.running),
    };
    let status = NotifyState::Status(&status);
    match standstill {
        Some(_) => tell(&[status]),
        None => tell(&[NotifyState::Watchdog, status]),
    }
}
