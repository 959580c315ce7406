//! Leases: how a worker outside the server has a task, and for how long.
//!
//! A leased task runs and no node holds it, so the lease outlives the server that granted it. Its
//! claim ends when the worker reports, when the lease runs out unrenewed, or when the attempt has
//! had its time, whichever comes first.

use std::sync::Arc;

use super::{Event, IllegalMove, Run, Task, TimeMs};

/// On which terms a worker gets tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What the worker calls itself.
    pub worker: Arc<str>,
    /// When the lease runs out, unless it is renewed.
    pub until: TimeMs,
}

impl Task {
    /// Starts an attempt under a lease, with the next epoch. The task may start by `now`.
    pub fn lease(&mut self, terms: &Terms, now: TimeMs) -> Result<(), IllegalMove> {
        let state = &mut self.state;
        let epoch = state.epoch.next();
        let ready = state.status.on(Event::Tick { now }).unwrap_or(state.status);
        state.status = ready.on(Event::Start { epoch })?;
        state.epoch = epoch;
        let waited_us = now.since_ms(state.ready_at) * 1000;
        state.run = Some(Run { started_at: now, took_us: 0, waited_us });
        state.leased_until = Some(terms.until);
        state.worker = Some(Arc::clone(&terms.worker));
        state.progress = None;
        state.version = state.version.saturating_add(1);
        state.updated_at = now;
        Ok(())
    }

    /// Takes the task from whoever has it: from now on only the new epoch speaks for it.
    pub fn take_back(&mut self) -> Result<(), IllegalMove> {
        let epoch = self.state.epoch.next();
        self.state.status = self.state.status.on(Event::Release)?.on(Event::Start { epoch })?;
        self.state.epoch = epoch;
        Ok(())
    }

    /// When a leased task needs attention: its lease runs out, or its attempt has had its time.
    /// `None` for a task that nobody leases.
    pub fn lease_ends(&self) -> Option<TimeMs> {
        let until = self.state.leased_until.filter(|_| self.state.status.is_running())?;
        Some(self.attempt_ends().map_or(until, |end| end.min(until)))
    }

    /// When the attempt under way has had its time.
    pub fn attempt_ends(&self) -> Option<TimeMs> {
        let run = self.state.run?;
        Some(run.started_at.plus_ms(u64::from(self.spec.timeout_s) * 1000))
    }
}
