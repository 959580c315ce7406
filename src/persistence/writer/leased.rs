//! Leased tasks: what their workers report, heartbeats, and leases that run out.
//!
//! A leased row is nobody's, so every change of it names the epoch of its lease; whoever comes
//! second finds that it is over.

use super::Writer;
use super::report::run_until;
use crate::clock::Mono;
use crate::domain::{
    Epoch, Event, Failure, FailureKind, Outcome, Run, Status, StatusKind, Suspicion, Task, TaskId,
    TimeMs,
};
use crate::persistence::gathering::Place;
use crate::persistence::lease::{LeaseBeat, LeaseFate, LeaseReport, Reported};
use crate::persistence::live::{Doing, Home, LiveTask, Waiting};
use crate::persistence::pending::{Sequel, Wish};
use crate::persistence::{Receipt, Refusal};
use crate::store::{Beat, Beaten, ExpiredAsk};

impl Writer {
    /// Leases that ran out are looked for at most so many at a time.
    const EXPIRED_MAX: u32 = 1000;

    /// A worker reports about several leases.
    pub(super) fn lease_reports(
        &mut self,
        reports: Vec<LeaseReport>,
        receipt: Receipt,
        now: TimeMs,
    ) {
        let places = self.gatherings.begin(reports.len(), receipt);
        for (report, place) in reports.into_iter().zip(places) {
            self.lease_report(report, Some(place), now);
        }
    }

    /// A worker renews several leases.
    pub(super) fn beats(&mut self, beats: Vec<LeaseBeat>, receipt: Receipt, now: TimeMs) {
        let places = self.gatherings.begin(beats.len(), receipt);
        for (LeaseBeat { id, epoch, lease_ms, progress }, place) in beats.into_iter().zip(places) {
            let until = now.plus_ms(lease_ms);
            self.pending.beats.push((Beat { id, epoch, until, progress }, place));
            self.pending.changes += 1;
        }
    }

    pub(super) fn lease_report(&mut self, report: LeaseReport, place: Option<Place>, now: TimeMs) {
        let id = report.id;
        if let Some(live) = self.live.get_mut(id) {
            if live.busy {
                if live.waiting.len() >= Self::WAITING_MAX {
                    return self.gatherings.refuse(place, &Refusal::Busy);
                }
                return live.waiting.push_back(Waiting::Lease(report, place));
            }
            // Only a success may be decided by what this node remembers: another node may have
            // noted the wish to cancel, which makes a difference to everything else.
            let fresh = live.home != Home::Free || !matches!(live.doing, Doing::Leased);
            if fresh || matches!(report.what, Reported::Done(_)) {
                return self.end_lease(report, place, now);
            }
        }
        self.look_up(id, Wish::Lease(report, place));
    }

    /// An attempt that was begun here goes on outside, under a lease as long as its time, of
    /// somebody without a name: there is nobody to be told of a cancel.
    pub(super) fn goes_on(&mut self, id: TaskId, at: TimeMs, waited_us: u64, now: TimeMs) {
        let Some(live) = self.live.get_mut(id) else { return };
        let run = Run { started_at: at, took_us: 0, waited_us };
        let mut state = live.task.state.clone();
        if state.cancel_requested {
            return self.ended(id, run, Outcome::Cancelled, Sequel::Ended, now);
        }
        state.status = state.status.on(Event::Start { epoch: state.epoch }).unwrap_or(state.status);
        state.run = Some(run);
        state.leased_until = Some(at.plus_ms(u64::from(live.task.spec.timeout_s) * 1000));
        state.worker = None;
        // The server ran what it had to run.
        state.suspicion = Suspicion::None;
        live.doing = Doing::Nothing;
        self.lease_ends(state.leased_until);
        self.decide(id, state, Sequel::Quiet, now);
    }

    /// Somebody outside was quicker to report than the run here to hand the attempt over. What that
    /// still reports is stale, and the task starts again only after it. A success ends the task
    /// under its claim, so that the same report finds it told when it comes again.
    fn outrun(&mut self, id: TaskId, what: &Reported) {
        let Some(live) = self.live.get(id) else { return };
        let mut state = self.show(live).task.state;
        let begun = state.epoch;
        if !matches!(what, Reported::Done(_)) {
            state.epoch = begun.next();
            self.left_behind.insert(id, begun);
        }
        state.status = Status::Running { epoch: state.epoch };
        if let Some(live) = self.live.get_mut(id) {
            live.task.state = state;
        }
    }

    /// The report that was quicker is not stored: the run here goes on under its own claim.
    pub(super) fn undo_outrun(&mut self, id: TaskId) {
        let Some(live) = self.live.get_mut(id) else { return };
        let epoch = live.written.epoch;
        // Nothing else puts memory a claim ahead of the row.
        if live.home == Home::Held && live.task.state.epoch != epoch {
            live.task.state.epoch = epoch;
            live.task.state.status = Status::Running { epoch };
            self.left_behind.remove(&id);
        }
    }

    /// What a report about a task that is in memory comes to.
    fn end_lease(&mut self, report: LeaseReport, place: Option<Place>, now: TimeMs) {
        let LeaseReport { id, epoch, what } = report;
        let Some(live) = self.live.get(id) else { return };
        let state = &live.task.state;
        let leased = state.status == Status::Running { epoch } && state.leased_until.is_some();
        let begun_here = live.home == Home::Held && live.is_taken() && state.epoch == epoch;
        if begun_here {
            self.outrun(id, &what);
        } else if live.home != Home::Free || !leased {
            let known = state.epoch == epoch && was_told(state.status.kind(), &what);
            self.view.stale_reports += u64::from(!known);
            self.gatherings.tell(place, if known { LeaseFate::Kept } else { LeaseFate::Lost });
            return self.let_visitor_go(id);
        }
        let Some(live) = self.live.get(id) else { return };
        let state = &live.task.state;
        let run = run_until(live, now);
        let sequel = Sequel::Reported(place);
        match what {
            Reported::Done(result) => self.ended(id, run, Outcome::Done(result), sequel, now),
            Reported::Failed(failure) => {
                self.ended(id, run, Outcome::Failed(failure), sequel, now);
            }
            Reported::Released if state.cancel_requested => {
                self.ended(id, run, Outcome::Cancelled, sequel, now);
            }
            Reported::Released => self.requeue(id, None, sequel, now),
        }
    }

    /// The attempt is undone, and the task is ready again, at its old place.
    fn requeue(&mut self, id: TaskId, why: Option<Failure>, sequel: Sequel, now: TimeMs) {
        let Some(live) = self.live.get(id) else { return };
        let mut state = live.task.state.clone();
        let Ok(status) = state.status.on(Event::Release) else { return };
        state.status = status;
        state.leased_until = None;
        state.progress = None;
        state.run = None;
        if let Some(failure) = why {
            state.suspicion = state.suspicion.after_lost_lease();
            state.last_error = Some((failure.kind, failure.message.into_boxed_str()));
        }
        self.decide(id, state, sequel, now);
    }

    /// A row that was looked up for a report.
    pub(super) fn take_fetched_for_lease(
        &mut self,
        report: LeaseReport,
        place: Option<Place>,
        elsewhere: Option<Epoch>,
        now: TimeMs,
    ) {
        if self.live.get(report.id).is_some() {
            return self.lease_report(report, place, now);
        }
        if elsewhere == Some(report.epoch) {
            // Another node is about to hand it over; the report is to be sent again.
            return self.gatherings.refuse(place, &Refusal::Busy);
        }
        self.view.stale_reports += 1;
        self.gatherings.tell(place, LeaseFate::Lost);
    }

    /// How the batch's heartbeats fared.
    pub(super) fn take_beaten(
        &mut self,
        beats: Vec<Beat>,
        places: Vec<Place>,
        beaten: Vec<Option<Beaten>>,
    ) {
        let mut beaten = beaten.into_iter();
        for (beat, place) in beats.into_iter().zip(places) {
            match beaten.next() {
                Some(Some(renewed)) => {
                    self.lease_ends(Some(renewed.ends));
                    if let Some(live) = self.live.get_mut(beat.id)
                        && live.is_leased_under(beat.epoch)
                    {
                        let state = &mut live.task.state;
                        state.leased_until = Some(beat.until);
                        state.progress = beat.progress.or(state.progress);
                        state.version = state.version.max(renewed.version);
                        state.cancel_requested |= renewed.cancel_requested;
                    }
                    self.gatherings.tell(Some(place), LeaseFate::Renewed(renewed));
                }
                Some(None) => self.gatherings.tell(Some(place), LeaseFate::Lost),
                // The store did not take them; they go out again.
                None => self.pending.beats.push((beat, place)),
            }
        }
    }

    /// Notes when a lease ends, so that it is looked for then.
    pub(super) fn lease_ends(&mut self, at: Option<TimeMs>) {
        if let Some(at) = at {
            self.next_lease_end = Some(self.next_lease_end.map_or(at, |known| known.min(at)));
        }
    }

    /// Asks for leases that ran out: now and then, and when one is known to.
    pub(super) fn ask_for_expired(&mut self, poll: bool, now: TimeMs, mono: Mono) {
        let known = self.next_lease_end.is_some_and(|at| at <= now);
        if mono < self.leases_rest_until || !(poll || known) {
            return;
        }
        self.next_lease_end = self.next_lease_end.filter(|at| *at > now);
        self.pending.expired = Some(ExpiredAsk { due_by: now, limit: Self::EXPIRED_MAX });
    }

    /// Workers that could not reach the server may renew their leases first.
    pub(super) fn let_leases_rest(&mut self, mono: Mono) {
        self.leases_rest_until = mono.plus(self.lease_grace);
    }

    /// Leased rows that were taken back from their workers.
    pub(super) fn take_expired(&mut self, expired: Vec<Task>, now: TimeMs) {
        if expired.len() >= Self::EXPIRED_MAX as usize {
            self.lease_ends(Some(now));
        }
        for task in expired {
            let id = task.id;
            if self.live.get(id).is_some_and(|live| live.busy) {
                // What is under way was decided under the old epoch and is stale; the next look
                // finds the row again.
                continue;
            }
            self.live.remove(id);
            self.live.insert(LiveTask::new(task, Home::Free));
            self.expire(id, now);
        }
    }

    fn expire(&mut self, id: TaskId, now: TimeMs) {
        let Some(live) = self.live.get(id) else { return };
        let (task, run) = (&live.task, run_until(live, now));
        let had_its_time = task.attempt_ends().is_none_or(|end| end <= now);
        let seconds = task.spec.timeout_s;
        let worker = task.state.worker.clone();
        let losses = u32::from(task.state.suspicion.crashes()) + 1;
        let sequel = Sequel::Reported(None);
        if task.state.cancel_requested {
            return self.ended(id, run, Outcome::Cancelled, sequel, now);
        }
        let name = worker.as_deref().unwrap_or("the outside worker");
        if had_its_time {
            let text = format!("{name} did not report within {seconds} s");
            let failure = Failure::new(FailureKind::Timeout, &text);
            return self.ended(id, run, Outcome::Failed(failure), sequel, now);
        }
        let mut text = format!("{name} let its lease run out");
        if losses >= u32::from(self.crashes_max) {
            text = format!("{text}; {losses} workers lost this task, and it is not tried again");
            let failure = Failure::new(FailureKind::Poison, &text);
            return self.ended(id, run, Outcome::Failed(failure), sequel, now);
        }
        let failure = Failure::new(FailureKind::LeaseLost, &text);
        self.requeue(id, Some(failure), sequel, now);
    }

    /// A change that a report led to is not stored because the lease was over: memory forgets what
    /// it thought.
    pub(super) fn lease_was_over(&mut self, id: TaskId, place: Option<Place>, now: TimeMs) {
        self.view.stale_reports += 1;
        if let Some(live) = self.live.get_mut(id) {
            live.doing = Doing::Nothing;
        }
        if place.is_none() {
            // Another node takes back the same leases. If both go on, each makes stale what the
            // other decides, and where commits are slow there is no end of it.
            let wait = self.poll * (1 + self.next_random() as u32 % 4);
            let rest = self.clock.mono().plus(wait);
            self.leases_rest_until = self.leases_rest_until.max(rest);
        }
        self.gatherings.tell(place, LeaseFate::Lost);
        self.resume_waiting(id, now);
    }
}

/// Whether a task that stands so says that this very report was stored before.
fn was_told(kind: StatusKind, what: &Reported) -> bool {
    match what {
        Reported::Done(_) => kind == StatusKind::Completed,
        Reported::Failed(_) => {
            matches!(kind, StatusKind::Retrying | StatusKind::Failed | StatusKind::Cancelled)
        }
        Reported::Released => matches!(kind, StatusKind::Queued | StatusKind::Cancelled),
    }
}
