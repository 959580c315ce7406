//! The only reader of real time.
//!
//! Everything else takes time as an argument: a [`Clock`] is handed in at boot, tests hand in a
//! [`ManualClock`] and decide themselves when a second has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::TimeMs;

/// A point on the monotonic clock, in microseconds since the clock was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This point moved forward by `by`.
    pub fn plus(self, by: Duration) -> Mono {
        Mono(self.0.saturating_add(by.as_micros() as u64))
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Wall time: decides when a task is due and what users see.
    fn now(&self) -> TimeMs;
    /// Monotonic time that also runs while the machine is suspended: decides durations and limits.
    fn mono(&self) -> Mono;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin_us: u64,
}

impl SystemClock {
    /// A clock whose [`Mono`] starts at nought now.
    pub fn new() -> SystemClock {
        SystemClock { origin_us: boottime_us() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> TimeMs {
        let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        TimeMs(wall.tv_sec * 1000 + wall.tv_nsec / 1_000_000)
    }

    fn mono(&self) -> Mono {
        Mono(boottime_us().saturating_sub(self.origin_us))
    }
}

/// CLOCK_BOOTTIME rather than CLOCK_MONOTONIC: a lease does not stand still while a laptop sleeps.
fn boottime_us() -> u64 {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    boot.tv_sec as u64 * 1_000_000 + boot.tv_nsec as u64 / 1000
}

/// The clock of a store that several machines share: by it all of them agree when a task is due and
/// when a lease ends. It is this machine's, put right whenever the store has told its time.
pub struct StoreClock {
    here: Arc<dyn Clock>,
    ahead_ms: AtomicI64,
}

impl StoreClock {
    /// So little is not worth a jump.
    const TOLERANCE_MS: u64 = 20;

    /// This machine's time, as long as the store has not told its own.
    pub fn over(here: Arc<dyn Clock>) -> StoreClock {
        StoreClock { here, ahead_ms: AtomicI64::new(0) }
    }

    /// The store says that it is `there`; it was asked at `asked_at`, and this is the moment of its
    /// answer.
    pub fn adjust(&self, there: TimeMs, asked_at: TimeMs) {
        let trip = self.now().since_ms(asked_at);
        let here = asked_at.plus_ms(trip / 2);
        // The store may have looked at its clock at any moment of the trip.
        if there.0.abs_diff(here.0) <= Self::TOLERANCE_MS + trip / 2 {
            return;
        }
        let by = there.0.saturating_sub(here.0);
        // Relaxed: one number, and nothing is published with it.
        let ahead = self.ahead_ms.fetch_add(by, Ordering::Relaxed).saturating_add(by);
        log::info!("the store's clock is {ahead} ms ahead of this machine's; tasks go by it");
    }
}

impl Clock for StoreClock {
    fn now(&self) -> TimeMs {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        TimeMs(self.here.now().0.saturating_add(ahead))
    }

    fn mono(&self) -> Mono {
        self.here.mono()
    }
}

/// A clock that moves only when a test says so.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicI64,
    mono_us: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: TimeMs) -> Arc<ManualClock> {
        Arc::new(ManualClock { now_ms: AtomicI64::new(now.0), mono_us: AtomicU64::new(0) })
    }

    /// Lets `by` pass on both clocks.
    pub fn advance(&self, by: Duration) {
        // SeqCst: a test's one clock, never on a hot path; the strongest order is the simplest.
        self.now_ms.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
        self.mono_us.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimeMs {
        TimeMs(self.now_ms.load(Ordering::SeqCst))
    }

    fn mono(&self) -> Mono {
        Mono(self.mono_us.load(Ordering::SeqCst))
    }
}
