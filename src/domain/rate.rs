//! A limit on how often something starts: so many a second, and some at once.
//!
//! The generic cell rate algorithm: one number, the time at which everything started so far would
//! have been due at an even pace. A start may be early by the burst and no more.
//!
//! Time is any count of microseconds that only goes forward.

/// So many a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Starts a second, above nought.
    pub per_second: f64,
    /// Most starts at once, at least 1.
    pub burst: u32,
}

/// What was started so far under a rate.
#[derive(Debug)]
pub struct Pace {
    interval_ns: u64,
    /// By how much a start may be early.
    early_ns: u64,
    /// When the next start is due at an even pace.
    due_ns: u64,
}

impl Pace {
    /// Nothing was started yet.
    pub fn new(rate: Rate) -> Pace {
        // A start a year is slow enough, and its nanoseconds stay far from the end of u64.
        let interval_ns = (1e9 / rate.per_second.max(3e-8)).max(1.0) as u64;
        let early_ns = interval_ns.saturating_mul(u64::from(rate.burst.saturating_sub(1)));
        Pace { interval_ns, early_ns, due_ns: 0 }
    }

    /// When the next start may be.
    pub fn next_us(&self) -> u64 {
        self.due_ns.saturating_sub(self.early_ns).div_ceil(1000)
    }

    /// Starts one, if that may be now.
    pub fn start(&mut self, now_us: u64) -> bool {
        let may = self.next_us() <= now_us;
        if may {
            let now_ns = now_us.saturating_mul(1000);
            self.due_ns = self.due_ns.max(now_ns).saturating_add(self.interval_ns);
        }
        may
    }

    /// How many may start from `now_us` until `within_us` later.
    pub fn starts_within(&self, now_us: u64, within_us: u64) -> usize {
        let now_ns = now_us.saturating_mul(1000);
        let end_ns = now_ns.saturating_add(within_us.saturating_mul(1000));
        let latest_ns = end_ns.saturating_add(self.early_ns);
        let due_ns = self.due_ns.max(now_ns);
        if latest_ns < due_ns {
            return 0;
        }
        ((latest_ns - due_ns) / self.interval_ns + 1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_goes_at_once_and_then_the_pace_is_even() {
        let mut pace = Pace::new(Rate { per_second: 10.0, burst: 3 });
        let now = 5_000_000;
        assert_eq!(pace.starts_within(now, 0), 3);
        assert_eq!((0..9).filter(|_| pace.start(now)).count(), 3);
        assert_eq!(pace.next_us(), now + 100_000);
        assert_eq!(pace.starts_within(now, 1_000_000), 10);
        assert!(!pace.start(now + 99_999) && pace.start(now + 100_000));
        assert!(!pace.start(now + 100_000));
        // After a pause the burst is there again, and no more than that.
        assert_eq!((0..9).filter(|_| pace.start(now + 10_000_000)).count(), 3);
    }

    proptest! {
        /// In no second do more start than the rate and the burst allow, and what is foretold is
        /// what then happens.
        #[test]
        fn no_second_has_more_than_its_share(
            per_second in 0.5..500.0f64, burst in 1..20u32,
            steps in prop::collection::vec(0..50_000u64, 1..400),
        ) {
            let mut pace = Pace::new(Rate { per_second, burst });
            let (mut now, mut started) = (1_000_000, Vec::new());
            for step in steps {
                now += step;
                prop_assert_eq!(pace.starts_within(now, 0) > 0, pace.next_us() <= now);
                while pace.start(now) {
                    started.push(now);
                }
            }
            for (n, from) in started.iter().enumerate() {
                let within = started[n..].iter().take_while(|at| **at < from + 1_000_000).count();
                prop_assert!(within as f64 <= per_second + f64::from(burst) + 1.0);
            }
        }
    }
}
