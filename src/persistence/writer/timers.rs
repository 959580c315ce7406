//! What time alone brings about, and where a task goes that may start.

use std::sync::Arc;

use super::Writer;
use crate::clock::Mono;
use crate::domain::{Event, Holding, Status, Suspicion, TaskId, TimeMs};
use crate::persistence::live::{Doing, Home, Room, Waiting};
use crate::persistence::pending::Sequel;
use crate::persistence::{Ticket, Way, Work};

impl Writer {
    pub(super) fn ring_timers(&mut self, now: TimeMs) -> bool {
        let mut ran = false;
        while !self.pending.is_full() {
            let Some((id, timer)) = self.due.pop_due(now) else { break };
            if self.live.get(id).is_some_and(|live| live.timer == timer) {
                ran = true;
                self.ring(id, now);
            }
        }
        ran
    }

    /// The task's time has come.
    pub(super) fn ring(&mut self, id: TaskId, now: TimeMs) {
        let Some(live) = self.live.get_mut(id) else { return };
        if live.busy {
            return live.waiting.push_back(Waiting::Timer);
        }
        if matches!(live.doing, Doing::Sleep { .. }) {
            return self.time_is_up(id, now);
        }
        self.ripen(id, now);
    }

    /// A task whose time has come may start; its row is told later, with whatever comes next.
    pub(super) fn ripen(&mut self, id: TaskId, now: TimeMs) {
        let Some(live) = self.live.get_mut(id) else { return };
        let Ok(status) = live.task.state.status.on(Event::Tick { now }) else { return };
        live.task.state.status = status;
        let spec = &live.task.spec;
        if live.room == Room::Due {
            self.window.leave_due();
            self.window.admit(spec.band, spec.weight());
            live.room = Room::Window(spec.weight());
        }
        self.unwritten.push_back((self.clock.mono(), id));
        self.place(id, now);
    }

    pub(super) fn set_timer(&mut self, id: TaskId, due: TimeMs) {
        if let Some(live) = self.live.get_mut(id) {
            live.timer = live.timer.wrapping_add(1);
            let timer = live.timer;
            self.due.push(due, id, timer);
        }
    }

    /// Brings a held task to where it waits: the lanes, the suspects' queue, or its timer.
    pub(super) fn place(&mut self, id: TaskId, now: TimeMs) {
        let Some(live) = self.live.get_mut(id) else { return };
        if live.home != Home::Held || !matches!(live.doing, Doing::Nothing) {
            return;
        }
        let state = &live.task.state;
        match state.status {
            Status::Queued if self.left_behind.contains_key(&id) => {}
            Status::Queued => match (self.kinds.way(&live.task.spec.task_type), state.suspicion) {
                (Way::Worker, _) => self.unwritten.push_back((self.clock.mono(), id)),
                (
                    _,
                    Suspicion::Suspect { started: false } | Suspicion::Loner { started: false, .. },
                ) => {
                    live.doing = Doing::Turn;
                    self.suspects.enqueue(id, live.task.spec.band, state.suspicion);
                }
                (way, _) => self.issue_ticket(id, way),
            },
            Status::Scheduled { due } | Status::Retrying { due } if due > now => {
                self.set_timer(id, due);
            }
            // Pending is what an application made in the store itself and nobody had seen.
            Status::Pending | Status::Scheduled { .. } | Status::Retrying { .. } => {
                self.ripen(id, now);
            }
            _ => {}
        }
    }

    fn issue_ticket(&mut self, id: TaskId, way: Way) {
        let Some(live) = self.live.get_mut(id) else { return };
        let (spec, state) = (&live.task.spec, &live.task.state);
        let (Way::Cores(slot) | Way::Pool(slot, _)) = way else { return };
        let work = Work { spec: Arc::clone(spec), slot, attempt: state.retries + 1 };
        let ticket = Arc::new(Ticket::new(id, state.epoch, spec.band, state.ready_at, work));
        live.doing = Doing::Ticket(Arc::clone(&ticket));
        if let Way::Pool(_, line) = way {
            self.pool.push(line, ticket);
        } else {
            self.lanes.push(ticket);
            self.pushed += 1;
        }
    }

    /// Suspects whose turn it is: their start is put on record, and follows from that.
    pub(super) fn start_suspects(&mut self, now: TimeMs) -> bool {
        let mut ran = false;
        while !self.pending.is_full() {
            let Some(id) = self.suspects.next() else { break };
            let Some(live) = self.live.get_mut(id).filter(|live| matches!(live.doing, Doing::Turn))
            else {
                self.suspects.leave(id);
                continue;
            };
            if live.busy {
                // Its row is just being brought up to date; its turn comes when that is settled.
                let (band, suspicion) = (live.task.spec.band, live.task.state.suspicion);
                self.suspects.put_back(id, band, suspicion);
                break;
            }
            live.doing = Doing::Nothing;
            let mut state = live.task.state.clone();
            state.suspicion = state.suspicion.started();
            self.decide(id, state, Sequel::Quiet, now);
            ran = true;
        }
        ran
    }

    /// Writes the rows that have been behind for too long, and frees those that nobody here runs
    /// any more.
    pub(super) fn write_late(&mut self, mono: Mono, now: TimeMs) -> bool {
        let mut ran = false;
        while !self.pending.is_full() {
            let late = |(since, _): &(Mono, TaskId)| mono.since(*since) >= Self::LAG;
            if !self.unwritten.front().is_some_and(late) {
                break;
            }
            let Some((_, id)) = self.unwritten.pop_front() else { break };
            let Some(live) = self.live.get(id) else { continue };
            if live.busy || live.home != Home::Held {
                continue;
            }
            let mut state = live.task.state.clone();
            if state.status == Status::Queued
                && self.kinds.way(&live.task.spec.task_type) == Way::Worker
            {
                // Its executor was taken away while this node was down: it is for workers outside.
                self.decide(id, state, Sequel::Quiet, now);
                ran = true;
                continue;
            }
            if !live.is_unwritten() {
                continue;
            }
            state.status = live.seen();
            if let (None, Doing::Ticket(ticket)) = (state.run, &live.doing) {
                state.run = self.run_of(ticket);
            }
            let (task, before) = (live.task.clone(), live.written);
            self.write_behind(task, state, before, now);
            ran = true;
        }
        ran
    }

    /// Brings a row up to what memory says; the task keeps its place and its room.
    fn write_behind(
        &mut self,
        mut task: crate::domain::Task,
        mut state: crate::domain::State,
        before: crate::domain::Before,
        now: TimeMs,
    ) {
        state.version += 1;
        state.updated_at = now;
        task.state = state;
        if let Some(live) = self.live.get_mut(task.id) {
            live.busy = true;
        }
        let kind = crate::domain::ChangeKind::Update(before, Holding::Held);
        self.pending.push(crate::domain::Change { task, kind }, Sequel::Late);
    }
}
