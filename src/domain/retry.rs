//! When a failed task is tried again.

use super::{FailureKind, TimeMs, Verdict};

/// How a task wants to be retried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// How many retries after the first attempt.
    pub retries_max: u32,
    /// The wait before the first retry, in milliseconds.
    pub delay_ms: u64,
    /// By how much each further wait is longer.
    pub multiplier: f64,
}

impl RetryPolicy {
    /// No wait is longer than an hour, whatever the multiplier says.
    pub const DELAY_MAX_MS: u64 = 3_600_000;

    /// The wait before retry number `retry` (from 1), in milliseconds.
    ///
    /// Exponential with jitter: the full wait is `delay_ms * multiplier^(retry - 1)`, capped at an
    /// hour; of that, the upper half is spread by `random`, so that tasks that failed together do
    /// not come back together.
    pub fn delay_ms(&self, retry: u32, random: u64) -> u64 {
        let exponent = f64::from(retry.saturating_sub(1));
        let full = self.delay_ms as f64 * self.multiplier.max(1.0).powf(exponent);
        // A power beyond f64 is infinite, and min() brings it back to the cap.
        let full = full.min(Self::DELAY_MAX_MS as f64) as u64;
        let half = full / 2;
        full - half + random % (half + 1)
    }

    /// What a failure of kind `kind` means after `retries` retries were used.
    pub fn verdict(
        &self,
        kind: FailureKind,
        retries: u32,
        after_ms: Option<u64>,
        now: TimeMs,
        random: u64,
    ) -> Verdict {
        let hopeless = matches!(kind, FailureKind::Permanent | FailureKind::Poison);
        if hopeless || retries >= self.retries_max {
            return Verdict::GiveUp;
        }
        let wait = after_ms.unwrap_or_else(|| self.delay_ms(retries + 1, random));
        Verdict::RetryAt(now.plus_ms(wait.min(Self::DELAY_MAX_MS)))
    }
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { retries_max: 3, delay_ms: 5000, multiplier: 2.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_until_the_hour() {
        let policy = RetryPolicy::default();
        let longest = |retry| (0..64).map(|r| policy.delay_ms(retry, r * 79)).max().unwrap();
        assert!((2500..=5000).contains(&policy.delay_ms(1, 7)));
        assert!(longest(2) > 5000 && longest(2) <= 10_000);
        assert_eq!(policy.delay_ms(40, 1_800_000), RetryPolicy::DELAY_MAX_MS);
    }

    #[test]
    fn a_permanent_failure_is_not_retried() {
        let verdict = |kind| RetryPolicy::default().verdict(kind, 0, None, TimeMs(0), 0);
        assert_eq!(verdict(FailureKind::Permanent), Verdict::GiveUp);
        assert!(matches!(verdict(FailureKind::Timeout), Verdict::RetryAt(_)));
    }

    proptest! {
        /// Whatever a client asks for, a wait neither overflows nor exceeds the cap (the back-off
        /// of another queue overflowed at attempt 310).
        #[test]
        fn no_wait_is_out_of_bounds(
            delay_ms in 0..u64::MAX, multiplier in 0.0..1e300f64, retry in 0..u32::MAX, random: u64,
        ) {
            let policy = RetryPolicy { retries_max: 3, delay_ms, multiplier };
            let wait = policy.delay_ms(retry, random);
            prop_assert!(wait <= RetryPolicy::DELAY_MAX_MS);
            prop_assert!(wait >= delay_ms.min(RetryPolicy::DELAY_MAX_MS) / 2);
        }

        /// Retries used never exceed retries granted.
        #[test]
        fn retries_end(retries_max in 0..20u32, retries in 0..40u32, random: u64) {
            let policy = RetryPolicy { retries_max, ..RetryPolicy::default() };
            let verdict = policy.verdict(FailureKind::Error, retries, None, TimeMs(0), random);
            prop_assert_eq!(verdict == Verdict::GiveUp, retries >= retries_max);
        }
    }
}
