//! What is believed of the server at this moment: whether it is asked at all (a circuit breaker),
//! and whether what it remembers can be trusted.
//!
//! Whoever could not reach it may have missed telling it that a document is no longer true; so its
//! documents are believed only after it was reached without a gap for as long as one can last. A
//! server that was restarted, or another one after a fail-over, may have forgotten what it was
//! told: that is a gap too, and shows by the run that each connection leads to.

use std::sync::Arc;
use std::time::Duration;

use super::error::Level2Error;
use crate::clock::Mono;

/// What is believed of the server.
#[derive(Debug)]
pub(super) struct Standing {
    open: Option<Open>,
    slow: u32,
    /// The run of the server that was met last.
    run: Option<Arc<str>>,
    /// What tells the time since the last flush from any other; see `documents`.
    life: Option<Arc<str>>,
    gapless_since: Option<Mono>,
}

/// It is not asked.
#[derive(Debug)]
struct Open {
    try_at: Mono,
    wait: Duration,
    why: Level2Error,
}

/// One time between two flushes of one run of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    pub run: Arc<str>,
    pub mark: Arc<str>,
}

impl Standing {
    const WAIT_MIN: Duration = Duration::from_millis(250);
    const WAIT_MAX: Duration = Duration::from_secs(5);
    /// An exchange that takes longer is slow, and so many in a row are as good as no answer.
    const SLOW: Duration = Duration::from_millis(100);
    const SLOW_MAX: u32 = 3;

    /// Nothing is known yet, and the first trial is due.
    pub fn new() -> Standing {
        let why = Level2Error::Unreachable("it was not asked yet".into());
        let open = Some(Open { try_at: Mono(0), wait: Self::WAIT_MIN, why });
        Standing { open, slow: 0, run: None, life: None, gapless_since: None }
    }

    /// Whether it is asked.
    pub fn is_up(&self) -> bool {
        self.open.is_none()
    }

    /// Why it is not asked.
    pub fn why(&self) -> Option<&Level2Error> {
        self.open.as_ref().map(|open| &open.why)
    }

    /// Whether a trial is due.
    pub fn trial_is_due(&self, now: Mono) -> bool {
        self.open.as_ref().is_some_and(|open| now >= open.try_at)
    }

    /// Whether its documents are believed, which last for `ttl`.
    pub fn is_trusted(&self, now: Mono, ttl: Duration) -> bool {
        self.open.is_none() && self.gapless_since.is_some_and(|since| now.since(since) >= ttl)
    }

    /// What it was told may not have been heard.
    pub fn distrust(&mut self, now: Mono) {
        if self.gapless_since.is_some() {
            self.gapless_since = Some(now);
        }
    }

    /// The life that is under way, as far as it is known.
    pub fn life(&self) -> Option<Life> {
        Some(Life { run: Arc::clone(self.run.as_ref()?), mark: Arc::clone(self.life.as_ref()?) })
    }

    /// A new mark was found in a run.
    pub fn found_life(&mut self, run: &Arc<str>, mark: Option<Arc<str>>) {
        if self.run.as_ref() == Some(run) {
            self.life = mark;
        }
    }

    /// An exchange went well and took this long; `true`: that is news.
    pub fn succeeded(&mut self, now: Mono, took: Duration, run: &Arc<str>) -> bool {
        if took > Self::SLOW {
            self.slow += 1;
            if self.slow >= Self::SLOW_MAX {
                let why = format!("{} exchanges in a row took over {:?}", self.slow, Self::SLOW);
                self.failed(now, Level2Error::Unreachable(why));
                return false;
            }
        } else {
            self.slow = 0;
        }
        if self.run.as_ref() != Some(run) {
            self.run = Some(Arc::clone(run));
            self.life = None;
            self.gapless_since = Some(now);
        }
        self.gapless_since.get_or_insert(now);
        self.open.take().is_some()
    }

    /// It did not answer, or is none that can be used; `true`: that is news.
    pub fn failed(&mut self, now: Mono, why: Level2Error) -> bool {
        let wait = match &self.open {
            Some(open) if now < open.try_at => open.wait,
            Some(open) => (open.wait * 2).min(Self::WAIT_MAX),
            None => Self::WAIT_MIN,
        };
        let news = self.open.as_ref().is_none_or(|open| kind(&open.why) != kind(&why));
        self.gapless_since = None;
        self.life = None;
        self.open = Some(Open { try_at: now.plus(wait), wait, why });
        news
    }
}

fn kind(error: &Level2Error) -> std::mem::Discriminant<Level2Error> {
    std::mem::discriminant(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(1);
    const TTL: Duration = Duration::from_mins(1);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1000)
    }

    fn gone() -> Level2Error {
        Level2Error::Unreachable("gone".into())
    }

    #[test]
    fn a_failure_opens_the_breaker_and_trials_come_ever_later_up_to_a_bound() {
        let (mut standing, run) = (Standing::new(), Arc::from("r"));
        assert!(!standing.is_up() && standing.trial_is_due(at(0)));
        assert!(standing.succeeded(at(0), FAST, &run) && standing.is_up());
        let (mut now, mut waits) = (10, Vec::new());
        for _ in 0..7 {
            standing.failed(at(now), gone());
            let wait = (0..10_000).find(|ms| standing.trial_is_due(at(now + ms))).unwrap();
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert!(standing.succeeded(at(now), FAST, &run) && standing.is_up());
    }

    #[test]
    fn documents_are_believed_only_after_a_time_without_gap() {
        let (mut standing, run) = (Standing::new(), Arc::from("r"));
        standing.succeeded(at(1000), FAST, &run);
        assert!(!standing.is_trusted(at(60_999), TTL));
        assert!(standing.is_trusted(at(61_000), TTL));
        standing.distrust(at(70_000));
        assert!(!standing.is_trusted(at(129_999), TTL) && standing.is_trusted(at(130_000), TTL));
        standing.failed(at(140_000), gone());
        standing.succeeded(at(150_000), FAST, &run);
        assert!(!standing.is_trusted(at(209_999), TTL) && standing.is_trusted(at(210_000), TTL));
    }

    #[test]
    fn another_run_of_the_server_is_a_gap_and_another_life() {
        let mut standing = Standing::new();
        let (first, second) = (Arc::from("a"), Arc::from("b"));
        standing.succeeded(at(0), FAST, &first);
        standing.found_life(&first, Some("m".into()));
        assert!(standing.is_trusted(at(60_000), TTL) && standing.life().is_some());
        standing.succeeded(at(60_001), FAST, &second);
        assert!(!standing.is_trusted(at(60_002), TTL) && standing.life().is_none());
        // A mark that was read in the former run says nothing about this one.
        standing.found_life(&first, Some("m".into()));
        assert_eq!(standing.life(), None);
    }

    #[test]
    fn three_slow_answers_in_a_row_are_as_good_as_none() {
        let (mut standing, run) = (Standing::new(), Arc::from("r"));
        let slow = Duration::from_millis(300);
        standing.succeeded(at(0), FAST, &run);
        for took in [slow, slow, FAST, slow, slow] {
            standing.succeeded(at(1), took, &run);
            assert!(standing.is_up());
        }
        standing.succeeded(at(2), slow, &run);
        assert!(!standing.is_up());
    }
}
