//! Wall time as the engine counts it.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeMs(pub i64);

impl TimeMs {
    /// The start of 1970: earlier than everything a task can be due at.
    pub const ZERO: TimeMs = TimeMs(0);
    /// Later than everything: the year 9999 ends before it.
    pub const MAX: TimeMs = TimeMs(253_402_300_799_999);

    /// This moment and `ms` milliseconds, never beyond [`TimeMs::MAX`].
    pub fn plus_ms(self, ms: u64) -> TimeMs {
        TimeMs(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)).min(TimeMs::MAX.0))
    }

    /// Milliseconds from `earlier` to `self`; nought if `earlier` is later.
    pub fn since_ms(self, earlier: TimeMs) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// The minute this moment lies in, counted from 1970.
    pub fn minute(self) -> i64 {
        self.0.div_euclid(60_000)
    }

    /// The day this moment lies in (UTC), counted from 1970.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }
}

impl fmt::Display for TimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
