//! A circuit breaker: stops calling what keeps failing, and finds out carefully when it works
//! again.
//!
//! Closed: calls go through, and the latest are judged. Open: none goes through for a while. Half
//! open: a few trials go through, and when all of them have ended they decide. A trial cannot get
//! lost: whoever began a call ends it, and a trial that ends without a word has failed.
//!
//! Time is any count of microseconds that only goes forward.

use std::collections::VecDeque;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// How many of the latest calls are judged.
    pub window: u32,
    /// How many calls there must be before any judgement.
    pub calls_min: u32,
    /// The percentage of failures that opens it.
    pub failures_percent: f64,
    /// How long it stays open, in microseconds.
    pub open_us: u64,
    /// How many trials decide whether it closes again.
    pub trials: u32,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            window: 10,
            calls_min: 5,
            failures_percent: 50.0,
            open_us: 30_000_000,
            trials: 3,
        }
    }
}

/// What a call that ended says about whoever was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It works.
    Worked,
    /// It does not.
    Failed,
    /// Nothing: somebody stopped the call.
    Stopped,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through before this time.
    Open {
        /// In microseconds.
        until_us: u64,
    },
    /// So many trials may still begin.
    HalfOpen {
        /// How many.
        trials_left: u32,
    },
}

/// The right to one call, to be given back with what came of it.
#[derive(Debug)]
#[must_use = "a call that never ends would leave a breaker half open"]
pub struct Pass(u64);

/// Guards one thing that can be called.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    inner: Inner,
    /// Rises with every change of state, so that a call that began before says nothing after.
    era: u64,
    opened: u64,
}

#[derive(Debug)]
enum Inner {
    Closed { latest: VecDeque<bool>, failed: u32 },
    Open { until_us: u64 },
    HalfOpen { begun: u32, ended: u32, failed: u32 },
}

impl Breaker {
    /// A closed one.
    pub fn new(policy: BreakerPolicy) -> Breaker {
        Breaker { policy, inner: Inner::closed(), era: 0, opened: 0 }
    }

    /// Where it stands.
    pub fn state(&self, now_us: u64) -> BreakerState {
        let trials = self.policy.trials.max(1);
        match self.inner {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { until_us } if until_us > now_us => BreakerState::Open { until_us },
            Inner::Open { .. } => BreakerState::HalfOpen { trials_left: trials },
            Inner::HalfOpen { begun, .. } => {
                BreakerState::HalfOpen { trials_left: trials.saturating_sub(begun) }
            }
        }
    }

    /// How often it has opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// The percentage of failures among the calls that are judged now; `None` while it is open or
    /// there are too few.
    pub fn failures_percent(&self) -> Option<f64> {
        match &self.inner {
            Inner::Closed { latest, failed } => {
                let calls = latest.len() as u32;
                let judged = calls >= self.policy.calls_min.clamp(1, self.policy.window.max(1));
                judged.then(|| percent(*failed, calls))
            }
            Inner::Open { .. } | Inner::HalfOpen { .. } => None,
        }
    }

    /// Begins a call, if one may begin now.
    pub fn begin(&mut self, now_us: u64) -> Option<Pass> {
        if let Inner::Open { until_us } = self.inner
            && until_us <= now_us
        {
            self.turn(Inner::HalfOpen { begun: 0, ended: 0, failed: 0 });
        }
        match &mut self.inner {
            Inner::Closed { .. } => {}
            Inner::Open { .. } => return None,
            Inner::HalfOpen { begun, .. } if *begun >= self.policy.trials.max(1) => return None,
            Inner::HalfOpen { begun, .. } => *begun += 1,
        }
        Some(Pass(self.era))
    }

    /// Ends a call.
    pub fn end(&mut self, pass: Pass, call: Call, now_us: u64) {
        if pass.0 != self.era {
            return;
        }
        match &mut self.inner {
            Inner::Open { .. } => {}
            Inner::Closed { .. } if call == Call::Stopped => {}
            Inner::Closed { latest, failed } => {
                if latest.len() as u32 >= self.policy.window.max(1) {
                    *failed -= u32::from(latest.pop_front() == Some(true));
                }
                latest.push_back(call == Call::Failed);
                *failed += u32::from(call == Call::Failed);
                let share = self.failures_percent();
                if share.is_some_and(|share| share >= self.policy.failures_percent) {
                    self.open(now_us);
                }
            }
            Inner::HalfOpen { ended, failed, .. } => {
                *ended += 1;
                *failed += u32::from(call != Call::Worked);
                let trials = self.policy.trials.max(1);
                if *ended < trials {
                    return;
                }
                if percent(*failed, trials) >= self.policy.failures_percent {
                    self.open(now_us);
                } else {
                    self.turn(Inner::closed());
                }
            }
        }
    }

    fn open(&mut self, now_us: u64) {
        self.opened += 1;
        self.turn(Inner::Open { until_us: now_us.saturating_add(self.policy.open_us) });
    }

    fn turn(&mut self, inner: Inner) {
        self.inner = inner;
        self.era += 1;
    }
}

impl Inner {
    fn closed() -> Inner {
        Inner::Closed { latest: VecDeque::new(), failed: 0 }
    }
}

fn percent(part: u32, whole: u32) -> f64 {
    f64::from(part) * 100.0 / f64::from(whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;

    fn call(breaker: &mut Breaker, call: Call, now_us: u64) -> bool {
        let pass = breaker.begin(now_us);
        let began = pass.is_some();
        if let Some(pass) = pass {
            breaker.end(pass, call, now_us);
        }
        began
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        (0..5).for_each(|_| assert!(call(&mut breaker, Call::Failed, 0)));
        breaker
    }

    #[test]
    fn half_of_at_least_five_calls_open_it_for_thirty_seconds() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for (n, said) in
            [Call::Failed, Call::Worked, Call::Failed, Call::Stopped].iter().enumerate()
        {
            assert!(call(&mut breaker, *said, 0), "call {n}");
        }
        assert!(call(&mut breaker, Call::Worked, 0), "four calls are no judgement");
        assert_eq!(breaker.state(0), BreakerState::Closed);
        assert!(call(&mut breaker, Call::Failed, 0));
        assert_eq!(breaker.state(0), BreakerState::Open { until_us: 30 * SECOND });
        assert!(!call(&mut breaker, Call::Worked, 30 * SECOND - 1));
        assert!(call(&mut breaker, Call::Worked, 30 * SECOND));
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn only_the_latest_calls_are_judged() {
        let mut breaker = Breaker::new(BreakerPolicy { window: 4, calls_min: 4, ..policy(75.0) });
        for said in [Call::Failed, Call::Failed, Call::Worked, Call::Worked, Call::Worked] {
            call(&mut breaker, said, 0);
        }
        assert_eq!(breaker.failures_percent(), Some(25.0));
        call(&mut breaker, Call::Failed, 0);
        assert_eq!(breaker.failures_percent(), Some(25.0));
    }

    fn policy(failures_percent: f64) -> BreakerPolicy {
        BreakerPolicy { failures_percent, ..BreakerPolicy::default() }
    }

    #[test]
    fn three_trials_close_it_or_open_it_again() {
        for (said, closes) in [(Call::Worked, true), (Call::Failed, false), (Call::Stopped, false)]
        {
            let mut breaker = opened();
            let now = 31 * SECOND;
            let passes: Vec<_> = (0..4).map_while(|_| breaker.begin(now)).collect();
            assert_eq!(passes.len(), 3, "no fourth trial at a time");
            assert_eq!(breaker.state(now), BreakerState::HalfOpen { trials_left: 0 });
            for pass in passes {
                breaker.end(pass, said, now);
            }
            assert_eq!(breaker.state(now) == BreakerState::Closed, closes, "{said:?}");
        }
    }

    #[test]
    fn a_call_that_began_before_it_opened_says_nothing_after() {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        let old = breaker.begin(0).unwrap();
        (0..5).for_each(|_| assert!(call(&mut breaker, Call::Failed, 0)));
        let trial = breaker.begin(31 * SECOND).unwrap();
        breaker.end(old, Call::Failed, 31 * SECOND);
        assert_eq!(breaker.state(31 * SECOND), BreakerState::HalfOpen { trials_left: 2 });
        breaker.end(trial, Call::Worked, 31 * SECOND);
    }

    proptest! {
        /// Whatever calls come to, as long as each ends, calls go through again some time.
        #[test]
        fn no_row_of_calls_keeps_it_shut_for_ever(
            calls in prop::collection::vec((0..3u8, 0..20_000_000u64), 0..200),
        ) {
            let mut breaker = Breaker::new(BreakerPolicy::default());
            let mut now = 0;
            let mut under_way = Vec::new();
            for (said, passes) in calls {
                now += passes;
                under_way.extend(breaker.begin(now));
                if under_way.len() > 4 || said == 2 {
                    let said = [Call::Worked, Call::Failed, Call::Stopped][usize::from(said)];
                    under_way.drain(..).for_each(|pass| breaker.end(pass, said, now));
                }
            }
            under_way.drain(..).for_each(|pass| breaker.end(pass, Call::Failed, now));
            // What was half open may open once more for what had failed before.
            for _ in 0..2 {
                now += 31 * SECOND;
                for _ in 0..4 {
                    call(&mut breaker, Call::Worked, now);
                }
            }
            prop_assert_eq!(breaker.state(now), BreakerState::Closed);
            prop_assert!(call(&mut breaker, Call::Worked, now));
        }
    }
}
