//! Reports: what became of an attempt, and what that means for its task.

use super::Writer;
use crate::domain::{
    Change, ChangeKind, Event, Failure, FailureKind, Outcome, Run, State, Status, StatusKind,
    Suspicion, TaskId, TimeMs, Verdict,
};
use crate::persistence::live::{Doing, LiveTask, Room, Waiting};
use crate::persistence::pending::Sequel;
use crate::persistence::{Happened, Report, Way};

impl Writer {
    pub(super) fn take_reports(&mut self, now: TimeMs) -> bool {
        let mut ran = false;
        while !self.pending.is_full() {
            let Ok(block) = self.inbox.reports.try_recv() else { break };
            ran = true;
            for report in block {
                self.report(report, now);
            }
        }
        ran
    }

    pub(super) fn report(&mut self, report: Report, now: TimeMs) {
        let Report { id, epoch, .. } = report;
        let Some(live) = self.live.get_mut(id) else { return self.stale(report, now) };
        if live.busy {
            return live.waiting.push_back(Waiting::Report(report));
        }
        if live.task.state.epoch != epoch || matches!(live.doing, Doing::Nothing) {
            return self.stale(report, now);
        }
        match report.what {
            Happened::Began { at } => self.began(id, at, 0),
            Happened::Sleeps { at, waited_us, until } => self.sleeps(id, at, waited_us, until),
            Happened::GoesOn { at, waited_us } => self.goes_on(id, at, waited_us, now),
            Happened::Ended(run, outcome) => self.ended(id, run, outcome, Sequel::Ended, now),
        }
    }

    /// A report of an older claim says nothing about the task, but that its attempt is over.
    fn stale(&mut self, report: Report, now: TimeMs) {
        self.view.stale_reports += 1;
        // What only sleeps has no execution any more.
        let over = !matches!(report.what, Happened::Began { .. });
        if over && self.left_behind.get(&report.id) == Some(&report.epoch) {
            self.left_behind.remove(&report.id);
            if self.live.get(report.id).is_some_and(|live| !live.busy) {
                self.place(report.id, now);
            }
        }
    }

    /// The attempt runs, and lasts: the store is told with the next batch.
    fn began(&mut self, id: TaskId, at: TimeMs, waited_us: u64) {
        let Some(live) = self.live.get_mut(id) else { return };
        let state = &mut live.task.state;
        if let Ok(running) = state.status.on(Event::Start { epoch: state.epoch }) {
            state.status = running;
            state.run = Some(Run { started_at: at, took_us: 0, waited_us });
            self.unwritten.push_front((crate::clock::Mono(0), id));
        }
    }

    fn sleeps(&mut self, id: TaskId, at: TimeMs, waited_us: u64, until: TimeMs) {
        let Some(live) = self.live.get_mut(id) else { return };
        let state = &mut live.task.state;
        let Ok(running) = state.status.on(Event::Start { epoch: state.epoch }) else { return };
        state.status = running;
        state.run = Some(Run { started_at: at, took_us: 0, waited_us });
        let deadline = at.plus_ms(u64::from(live.task.spec.timeout_s) * 1000);
        let timed_out = deadline < until;
        live.doing = Doing::Sleep { timed_out };
        // It needs no core, so it should not keep others of its band from them either.
        if let (Room::Window(weight), true) = (live.room, self.window.try_admit_due()) {
            live.room = Room::Due;
            self.window.leave(live.task.spec.band, weight);
        }
        let cancelled = state.cancel_requested;
        self.unwritten.push_back((self.clock.mono(), id));
        self.set_timer(id, if cancelled { at } else { until.min(deadline) });
    }

    /// A sleeping attempt has slept enough.
    pub(super) fn time_is_up(&mut self, id: TaskId, now: TimeMs) {
        let Some(live) = self.live.get(id) else { return };
        let timeout = |what: &str| {
            let text = format!("{what} within {} s", live.task.spec.timeout_s);
            Outcome::Failed(Failure::new(FailureKind::Timeout, &text))
        };
        let outcome = match live.doing {
            Doing::Sleep { .. } if live.task.state.cancel_requested => Outcome::Cancelled,
            Doing::Sleep { timed_out: false, .. } => Outcome::Done(None),
            Doing::Sleep { .. } => timeout("did not end"),
            Doing::Nothing | Doing::Turn | Doing::Ticket(_) | Doing::Leased => return,
        };
        let run = run_until(live, now);
        self.ended(id, run, outcome, Sequel::Ended, now);
    }

    pub(super) fn ended(
        &mut self,
        id: TaskId,
        run: Run,
        outcome: Outcome,
        sequel: Sequel,
        now: TimeMs,
    ) {
        let random = self.next_random();
        let closing = self.views.closing();
        let Some(live) = self.live.get_mut(id) else { return };
        let wanted = live.task.state.cancel_requested;
        let policy = live.task.spec.retry;
        let retries = live.task.state.retries;
        let verdict = match &outcome {
            Outcome::Done(_) => Verdict::Done,
            Outcome::Cancelled | Outcome::Failed(_) if wanted => Verdict::Cancelled,
            // Stopped by a drain: the row is given back as it is, and costs no attempt.
            Outcome::Cancelled if closing => return live.doing = Doing::Nothing,
            // Nobody asked it to stop: it gave up by itself.
            Outcome::Cancelled => policy.verdict(FailureKind::Error, retries, None, now, random),
            Outcome::Failed(failure) => {
                policy.verdict(failure.kind, retries, failure.retry_after_ms, now, random)
            }
        };
        let mut state = live.task.state.clone();
        let epoch = state.epoch;
        let ended = state
            .status
            .on(Event::Start { epoch })
            .unwrap_or(state.status)
            .on(Event::Report { epoch, verdict });
        let Ok(status) = ended else {
            log::error!("task {id} that is {} had an attempt end", state.status.kind());
            return;
        };
        settle(&mut state, status, run, outcome, now);
        self.decide(id, state, sequel, now);
    }

    /// Puts a task's next state into the batch; it is busy until that is settled.
    pub(super) fn decide(&mut self, id: TaskId, mut state: State, sequel: Sequel, now: TimeMs) {
        use crate::domain::Holding::{Free, Held};
        use crate::persistence::live::Home;
        let Some(live) = self.live.get(id) else { return };
        let (before, home, spec) = (live.written, live.home, live.task.spec.clone());
        let was = live.task.state.status;
        state.version += 1;
        state.updated_at = now;
        let kind = if state.status.kind().is_terminal() {
            ChangeKind::Finish(before)
        } else {
            // A task that stays in its room needs no other, if it is run here.
            let stays = home == Home::Held
                && was == state.status
                && self.kinds.way(&spec.task_type) != Way::Worker;
            // What a worker outside runs is nobody's.
            let leased = state.leased_until.is_some();
            let holding = match (leased, stays) {
                (true, _) => Free,
                (false, true) => Held,
                (false, false) => self.hold(&spec, state.status, now),
            };
            // What starts as running was claimed by whoever decided that.
            let runs = state.status.kind() == StatusKind::Running;
            let claimed = holding == Held && home != Home::Held && !runs;
            let again = matches!(state.status, Status::Retrying { .. }) && holding == Held;
            if claimed || again {
                state.epoch = state.epoch.next();
            }
            match (home, holding) {
                (Home::Ended, holding) => ChangeKind::Revive(before, holding),
                (_, holding @ (Held | Free)) => ChangeKind::Update(before, holding),
            }
        };
        let Some(live) = self.live.get_mut(id) else { return };
        live.busy = true;
        if matches!(sequel, Sequel::Commanded { .. }) {
            self.pending.since.get_or_insert(self.clock.mono());
        }
        let task = crate::domain::Task { id, spec, state };
        self.pending.push(Change { task, kind }, sequel);
    }
}

/// What an ended attempt leaves in its task's state.
fn settle(state: &mut State, status: Status, run: Run, outcome: Outcome, now: TimeMs) {
    state.status = status;
    state.run = Some(run);
    state.suspicion = Suspicion::None;
    state.leased_until = None;
    state.progress = None;
    match outcome {
        Outcome::Done(result) => state.result = result,
        Outcome::Failed(failure) => {
            state.last_error = Some((failure.kind, failure.message.into_boxed_str()));
        }
        Outcome::Cancelled => {}
    }
    match status {
        Status::Retrying { due } => {
            state.retries += 1;
            state.ready_at = due;
        }
        Status::Completed | Status::Failed | Status::Cancelled => state.completed_at = Some(now),
        _ => {}
    }
}

/// The times of an attempt that ends now.
pub(super) fn run_until(live: &LiveTask, now: TimeMs) -> Run {
    let begun = live.task.state.run.unwrap_or(Run { started_at: now, took_us: 0, waited_us: 0 });
    Run { took_us: now.since_ms(begun.started_at) * 1000, ..begun }
}
