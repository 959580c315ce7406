//! Commands: what a person can ask of one task.
//!
//! A row that is not in memory is looked up first and stays for the command. A ticket is withdrawn
//! before the change is written; if a core was faster the task runs, and is asked to stop instead.

use super::Writer;
use super::report::run_until;
use crate::domain::{
    Epoch, Event, Failure, FailureKind, Holding, Run, State, Status, StatusKind, Suspicion, TaskId,
    TimeMs, Verdict,
};
use crate::persistence::live::{Doing, Home, LiveTask, Room, Waiting};
use crate::persistence::pending::{Sequel, Then, Wish};
use crate::persistence::{Answer, Command, Receipt, Refusal, Way};
use crate::store::Stored;

/// What a command comes to.
enum Ruling {
    /// Nothing changes.
    Answer(Result<Answer, Refusal>),
    /// The task changes.
    Change(State, Then),
}

impl Writer {
    /// Most events that wait for one busy task.
    pub(super) const WAITING_MAX: usize = 16;

    pub(super) fn command(&mut self, id: TaskId, command: Command, receipt: Receipt, now: TimeMs) {
        let known = self.live.get_mut(id).filter(|live| {
            // Another node may have heard more about a leased task than this one remembers.
            live.busy || !matches!(live.doing, Doing::Leased)
        });
        let Some(live) = known else { return self.look_up(id, Wish::Command(command, receipt)) };
        if live.busy {
            if live.waiting.len() >= Self::WAITING_MAX {
                return receipt.settle(Err(Refusal::Busy));
            }
            return live.waiting.push_back(Waiting::Command(command, receipt));
        }
        // Others may change what this node does not hold.
        let again = (live.home != Home::Held).then_some(command);
        match self.rule(id, command, now) {
            Ruling::Answer(answer) => {
                receipt.settle(answer);
                self.let_visitor_go(id);
            }
            Ruling::Change(state, then) => {
                self.decide(id, state, Sequel::Commanded { receipt, then, again }, now);
            }
        }
    }

    /// Has a row looked up that memory does not know well enough. What else waited for the task in
    /// memory meets it as it is stored, too.
    pub(super) fn look_up(&mut self, id: TaskId, wish: Wish) {
        let waiting = self.live.remove(id).map(|live| live.waiting).unwrap_or_default();
        let waiting = waiting.into_iter().filter_map(|waiting| match waiting {
            Waiting::Command(command, receipt) => Some(Wish::Command(command, receipt)),
            Waiting::Lease(report, place) => Some(Wish::Lease(report, place)),
            Waiting::Report(_) | Waiting::Timer => None,
        });
        self.pending.since.get_or_insert(self.clock.mono());
        let wishes = self.pending.wanted.entry(id).or_default();
        let before = wishes.len();
        wishes.extend(std::iter::once(wish).chain(waiting));
        // Counted like changes, so that a batch has a bounded number of look-ups.
        self.pending.changes += wishes.len() - before;
    }

    /// A row that was looked up.
    pub(super) fn take_fetched(
        &mut self,
        id: TaskId,
        stored: Stored,
        wishes: Vec<Wish>,
        now: TimeMs,
    ) {
        let elsewhere = match &stored {
            Stored::Elsewhere(task, _) => Some(task.state.epoch),
            _ => None,
        };
        let refusal = self.visit(id, stored);
        for wish in wishes {
            match (wish, &refusal) {
                (Wish::Command(_, receipt), Some(why)) => receipt.settle(Err(why.clone())),
                (Wish::Command(command, receipt), None) => {
                    self.command(id, command, receipt, now);
                }
                (Wish::Lease(report, place), _) => {
                    self.take_fetched_for_lease(report, place, elsewhere, now);
                }
            }
        }
        // Where it was looked up for nobody.
        self.let_visitor_go(id);
    }

    /// Takes a row into memory that nobody holds, for what is to be decided about it.
    fn visit(&mut self, id: TaskId, stored: Stored) -> Option<Refusal> {
        let visitor = match stored {
            _ if self.live.get(id).is_some() => return None,
            Stored::Live(task, Holding::Free) => LiveTask::new(*task, Home::Free),
            Stored::Ended(task) => LiveTask::new(*task, Home::Ended),
            // Ours, but memory does not know it: it came by a claim whose answer was lost, or from
            // a node that died.
            Stored::Live(task, Holding::Held) => {
                self.adopt(*task);
                return None;
            }
            Stored::Elsewhere(_, holder) => return Some(Refusal::HeldElsewhere(holder)),
            Stored::Missing => return Some(Refusal::NotFound),
        };
        self.live.insert(visitor);
        None
    }

    fn rule(&mut self, id: TaskId, command: Command, now: TimeMs) -> Ruling {
        let Some(live) = self.live.get(id) else {
            return Ruling::Answer(Err(Refusal::NotFound));
        };
        let from = live.kind();
        match command {
            Command::Put(to) if to == from => Ruling::Answer(Ok(Answer::Done(self.show(live)))),
            Command::Cancel if from == StatusKind::Running => self.ask_to_stop(id, now),
            Command::Cancel => self.before_start(id, Event::Cancel, now),
            Command::Retry => self.before_start(id, Event::Retry, now),
            Command::Put(to) => self.put(id, from, to, now),
        }
    }

    fn put(&mut self, id: TaskId, from: StatusKind, to: StatusKind, now: TimeMs) -> Ruling {
        use StatusKind::{
            Cancelled, Completed, Failed, Paused, Pending, Queued, Retrying, Running, Scheduled,
        };
        let event = match (from, to) {
            (Running, Completed) => return self.force(id, Verdict::Done, now),
            (Running, Failed) => return self.force(id, Verdict::GiveUp, now),
            (Running, Cancelled) => return self.force(id, Verdict::Cancelled, now),
            (Running, Paused) => return self.force(id, Verdict::Paused, now),
            (Queued, Running) => return self.take_outside(id, now),
            (Scheduled | Retrying, Running) if self.is_ripe(id, now) => {
                return self.take_outside(id, now);
            }
            (Failed | Cancelled, Queued) => Event::Retry,
            (Pending | Scheduled | Retrying, Queued) => Event::Hurry,
            (Paused, Queued) => Event::Resume { now },
            (Scheduled | Queued | Retrying, Paused) => Event::Pause { now },
            (Pending | Scheduled | Queued | Retrying | Paused, Cancelled) => Event::Cancel,
            (Failed, Retrying) => {
                let random = self.next_random();
                let Some(live) = self.live.get(id) else { return illegal(from) };
                let wait = live.task.spec.retry.delay_ms(live.task.state.retries + 1, random);
                Event::RetryLater { due: now.plus_ms(wait) }
            }
            _ => return illegal(from),
        };
        self.before_start(id, event, now)
    }

    /// A move of a task that does not run. Its ticket is withdrawn first.
    fn before_start(&mut self, id: TaskId, event: Event, now: TimeMs) -> Ruling {
        let Some(live) = self.live.get_mut(id) else { return illegal(StatusKind::Cancelled) };
        let from = live.kind();
        let Ok(status) = live.task.state.status.on(event) else { return illegal(from) };
        if !self.withdraw(id) {
            // A core was faster than this command.
            return match event {
                Event::Cancel => self.ask_to_stop(id, now),
                Event::Pause { .. } => self.force(id, Verdict::Paused, now),
                _ => illegal(StatusKind::Running),
            };
        }
        let Some(live) = self.live.get(id) else { return illegal(from) };
        let mut state = live.task.state.clone();
        state.status = status;
        match status.kind() {
            StatusKind::Cancelled => state.completed_at = Some(now),
            StatusKind::Paused => state.suspicion = state.suspicion.waiting(),
            StatusKind::Queued | StatusKind::Scheduled | StatusKind::Retrying => {
                if matches!(event, Event::Retry | Event::RetryLater { .. }) {
                    // A person who tries again means to give it its chances again.
                    state.suspicion = Suspicion::None;
                }
                state.ready_at = status.due().unwrap_or(now);
                state.completed_at = None;
                state.cancel_requested = false;
            }
            _ => {}
        }
        Ruling::Change(state, Then::Done)
    }

    /// Cancels a running task: in memory at once where it only waits, else through its execution.
    fn ask_to_stop(&mut self, id: TaskId, now: TimeMs) -> Ruling {
        let Some(live) = self.live.get(id) else { return illegal(StatusKind::Cancelled) };
        let state = &live.task.state;
        // Nobody can tell the wish to who took the task by a PUT.
        let outside = state.leased_until.is_some() && state.worker.is_none();
        if outside || matches!(live.doing, Doing::Sleep { .. }) {
            return self.force(id, Verdict::Cancelled, now);
        }
        if live.task.state.cancel_requested {
            return Ruling::Answer(Ok(Answer::Asked(self.show(live))));
        }
        let mut state = self.show(live).task.state;
        state.cancel_requested = true;
        Ruling::Change(state, Then::AskStop)
    }

    /// Ends the running attempt for good and moves the task on; its late report will be stale.
    fn force(&mut self, id: TaskId, verdict: Verdict, now: TimeMs) -> Ruling {
        let Some(live) = self.live.get(id) else { return illegal(StatusKind::Cancelled) };
        let mut state = self.show(live).task.state;
        let run = run_until(live, now);
        let executes = matches!(live.doing, Doing::Ticket(_));
        // What a core or a worker runs will still report, and must be stale then.
        let reports = executes || state.leased_until.is_some();
        let epoch = if reports { state.epoch.next() } else { state.epoch };
        let moved = Status::Running { epoch }.on(Event::Report { epoch, verdict });
        let Ok(status) = moved else { return illegal(StatusKind::Running) };
        state.status = status;
        state.epoch = epoch;
        let begun = state.run.unwrap_or(run);
        let took_us = now.since_ms(begun.started_at) * 1000;
        state.run = Some(Run { took_us, ..begun });
        state.leased_until = None;
        state.progress = None;
        state.suspicion = Suspicion::None;
        if verdict == Verdict::GiveUp {
            let failure = Failure::new(FailureKind::Error, "marked as failed by a client");
            state.last_error = Some((failure.kind, failure.message.into_boxed_str()));
        }
        if status.kind().is_terminal() {
            state.completed_at = Some(now);
        }
        Ruling::Change(state, if executes { Then::LeaveBehind } else { Then::Done })
    }

    /// Whether the time of a task that nobody holds has come. Nothing looks at the clock for such a
    /// one until somebody can start it, so it is told here.
    fn is_ripe(&mut self, id: TaskId, now: TimeMs) -> bool {
        let Some(live) = self.live.get_mut(id).filter(|live| live.home == Home::Free) else {
            return false;
        };
        let Ok(status) = live.task.state.status.on(Event::Tick { now }) else { return false };
        live.task.state.status = status;
        true
    }

    /// The caller runs the task itself, until it reports by another PUT or its time is up: a lease
    /// as long as the attempt may take, of somebody without a name.
    fn take_outside(&mut self, id: TaskId, now: TimeMs) -> Ruling {
        if !self.withdraw(id) {
            return Ruling::Answer(Ok(Answer::Done(self.show_id(id))));
        }
        let Some(live) = self.live.get(id) else { return illegal(StatusKind::Cancelled) };
        let mut state = live.task.state.clone();
        // A free row is claimed by this; one that is held is claimed anew.
        let epoch: Epoch = state.epoch.next();
        let Ok(status) = state.status.on(Event::Start { epoch }) else {
            return illegal(StatusKind::Queued);
        };
        state.status = status;
        state.epoch = epoch;
        state.run = Some(Run {
            started_at: now,
            took_us: 0,
            waited_us: now.since_ms(state.ready_at) * 1000,
        });
        state.leased_until = Some(now.plus_ms(u64::from(live.task.spec.timeout_s) * 1000));
        state.worker = None;
        state.progress = None;
        self.lease_ends(state.leased_until);
        Ruling::Change(state, Then::Done)
    }

    /// Takes the task out of the lanes, or out of its line. `false`: it runs. In the lanes the
    /// ticket stays until a core comes across it, and so does the room it takes.
    fn withdraw(&mut self, id: TaskId) -> bool {
        let Some(live) = self.live.get_mut(id) else { return true };
        match &live.doing {
            Doing::Ticket(ticket) if !ticket.withdraw() => return false,
            Doing::Ticket(_) => {
                let room = std::mem::replace(&mut live.room, Room::None);
                let spec = &live.task.spec;
                live.doing = Doing::Nothing;
                if let Way::Pool(_, line) = self.kinds.way(&spec.task_type) {
                    self.pool.withdrawn(line);
                    let band = spec.band;
                    self.leave_room(room, band);
                } else {
                    self.withdrawn.push_back((spec.band, room));
                }
            }
            Doing::Turn => live.doing = Doing::Nothing,
            _ => {}
        }
        true
    }

    fn show_id(&self, id: TaskId) -> crate::persistence::Seen {
        self.show(self.live.get(id).expect("the caller has just seen it"))
    }
}

fn illegal(from: StatusKind) -> Ruling {
    Ruling::Answer(Err(Refusal::IllegalMove { from }))
}
