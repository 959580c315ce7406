//! The workers this node has heard of lately, for people to see.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::lease::WorkerSeen;
use crate::domain::TimeMs;

/// The workers.
#[derive(Debug, Default)]
pub(super) struct Crew(HashMap<Arc<str>, (TimeMs, u32), RandomState>);

impl Crew {
    /// Above this number those seen longest ago are forgotten.
    const MAX: usize = 4096;

    /// One was heard of.
    pub fn saw(&mut self, worker: &Arc<str>, now: TimeMs) {
        if let Some(seen) = self.0.get_mut(worker) {
            seen.0 = now;
            return;
        }
        if self.0.len() >= Crew::MAX {
            self.forget_half();
        }
        self.0.insert(Arc::clone(worker), (now, 0));
    }

    /// One of its wishes begins or ends to wait.
    pub fn waits(&mut self, worker: &str, begins: bool) {
        if let Some((_, waiting)) = self.0.get_mut(worker) {
            *waiting = if begins { *waiting + 1 } else { waiting.saturating_sub(1) };
        }
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<WorkerSeen> {
        let seen = self.0.iter().map(|(worker, &(last_seen, waiting))| WorkerSeen {
            worker: Arc::clone(worker),
            last_seen,
            waiting,
        });
        let mut all: Vec<WorkerSeen> = seen.collect();
        all.sort_unstable_by(|a, b| a.worker.cmp(&b.worker));
        all
    }

    /// Those that wait stay; of the others, the half that was seen longest ago goes.
    fn forget_half(&mut self) {
        let mut times: Vec<TimeMs> = self.0.values().map(|(at, _)| *at).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        self.0.retain(|_, (at, waiting)| *at > middle || *waiting > 0);
        // All at one time, or all waiting: then nobody is remembered rather than too many.
        if self.0.len() >= Crew::MAX {
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_workers_are_remembered_and_the_latest_are() {
        let mut crew = Crew::default();
        for number in 0..20_000i64 {
            crew.saw(&number.to_string().into(), TimeMs(number));
            assert!(crew.0.len() <= Crew::MAX);
        }
        assert!(crew.list().iter().any(|seen| &*seen.worker == "19999"));
        for number in 0..20_000 {
            crew.saw(&format!("x{number}").into(), TimeMs(7));
        }
        assert!(crew.0.len() <= Crew::MAX);
    }
}
