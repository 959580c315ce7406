//! Claims: free rows come into memory as there is room, earliest first within a band.

use super::Writer;
use crate::clock::Mono;
use crate::domain::{
    Band, Event, Failure, FailureKind, Spec, Status, StatusKind, Suspicion, Task, TaskId, TimeMs,
};
use crate::persistence::kinds::Wish;
use crate::persistence::live::{Home, LiveTask, Room};
use crate::persistence::pending::Sequel;
use crate::store::{Bands, ClaimAsk, Claimed, Taker};

impl Writer {
    /// No claim asks for more rows.
    const CLAIM_MAX: usize = 4096;
    /// Rows due within this time are claimed already, and wait in memory.
    pub(super) const AHEAD_MS: u64 = 2000;
    /// How many ids are taken at a time.
    const ID_BLOCK: u32 = 65_536;

    /// Adds to the next batch what memory has room for.
    pub(super) fn ask_for_more(&mut self, now: TimeMs, mono: Mono) {
        if self.under_way.is_some() || self.outage.is_some() || self.views.closing() {
            return;
        }
        while let Some(id) = self.unknown.pop_front_if(|_| !self.pending.is_full()) {
            self.pending.changes += 1;
            self.pending.wanted.entry(id).or_default();
        }
        if self.ids_left() < u64::from(Self::ID_BLOCK / 2) {
            self.pending.ids_wanted = Self::ID_BLOCK;
        }
        let poll = self.views.take_claim_now()
            || self.polled_at.is_none_or(|at| mono.since(at) >= self.poll);
        if poll {
            self.polled_at = Some(mono);
            let remote = self.kinds.remote();
            self.lessees.look_again(&remote);
        }
        self.ask_for_expired(poll, now, mono);
        if !self.pending.claims.is_empty() {
            return;
        }
        let due_by = now.plus_ms(Self::AHEAD_MS);
        for band in Band::ALL {
            let room = self.window.room(band);
            let enough = room.min(Self::CLAIM_MAX);
            let worth_it = enough >= Self::CLAIM_MAX.min(self.window.limit(band) / 2);
            if enough > 0 && (poll || (self.backlog.waits(band) && worth_it)) {
                self.pending.claims.push(ClaimAsk {
                    bands: Bands::One(band),
                    limit: enough as u32,
                    bytes_max: self.window.room_bytes(band),
                    due_by,
                    types: self.kinds.shared(),
                    taker: Taker::Node,
                });
            }
        }
        for wish in self.kinds.wishes(poll) {
            let Wish { types, bands, limit, bytes_max } = wish;
            let limit = limit.min(Self::CLAIM_MAX) as u32;
            self.pending.claims.push(ClaimAsk {
                bands,
                limit,
                bytes_max,
                due_by,
                types,
                taker: Taker::Node,
            });
        }
    }

    /// Where the store is shared, keeps what is in memory to what is started soon.
    pub(super) fn adjust_rooms(&mut self, mono: Mono) {
        let Some(rooms) = self.pace.as_mut().and_then(|pace| pace.look(mono)) else { return };
        for band in Band::ALL {
            self.window.set_limit(band, rooms[band]);
        }
    }

    /// Takes claimed rows into memory.
    pub(super) fn take_claimed(&mut self, seq: u64, ask: &ClaimAsk, claimed: Claimed, now: TimeMs) {
        if !self.kinds.claimed(ask, &claimed, seq) {
            self.backlog.claimed(ask, &claimed, seq);
        }
        for task in claimed.tasks {
            let ready = task.state.status.due().is_none_or(|due| due <= now);
            let room = self.admit(&task.spec, ready);
            let id = task.id;
            let mut live = LiveTask::new(task, Home::Held);
            live.room = room;
            if let Some(visitor) = self.live.remove(id) {
                // A command is deciding about it. What that decides is stale now, and it is told
                // so.
                live.busy = visitor.busy;
                live.waiting = visitor.waiting;
            }
            let busy = self.live.insert(live).busy;
            if !busy {
                self.settle_in(id, now);
            }
        }
    }

    /// Takes the room for a task that is in memory, whether there is some or not. `ready`: it does
    /// not wait for a time.
    pub(super) fn admit(&mut self, spec: &Spec, ready: bool) -> Room {
        let (band, weight) = (spec.band, spec.weight());
        if let Some((id, own)) = self.kinds.own(&spec.task_type) {
            own.admit(band, weight);
            Room::Own(id, weight)
        } else if ready {
            self.window.admit(band, weight);
            Room::Window(weight)
        } else {
            self.window.admit_due();
            Room::Due
        }
    }

    /// Takes over a task that this node holds and memory does not know: its former incarnation
    /// held it, or it came to this one unseen.
    pub(super) fn adopt(&mut self, task: Task) {
        let now = self.clock.now();
        let (id, state) = (task.id, &task.state);
        let room = match state.status.kind() {
            StatusKind::Scheduled | StatusKind::Retrying => self.admit(&task.spec, false),
            StatusKind::Running => Room::None,
            _ => self.admit(&task.spec, true),
        };
        let mut live = LiveTask::new(task, Home::Held);
        live.room = room;
        self.live.insert(live);
        self.settle_in(id, now);
    }

    /// A task that comes with a past: it ends at once if that is settled, or finds its place.
    fn settle_in(&mut self, id: TaskId, now: TimeMs) {
        let Some(state) = self.live.get(id).map(|live| &live.task.state) else { return };
        let poison = matches!(state.suspicion,
            Suspicion::Loner { crashes, .. } if crashes >= self.crashes_max);
        if state.cancel_requested {
            self.end_unstarted(id, now);
        } else if poison && state.status == Status::Queued {
            self.end_poison(id, now);
        } else {
            self.place(id, now);
        }
    }

    /// Ends a task whose cancellation was on record when its server went down.
    fn end_unstarted(&mut self, id: TaskId, now: TimeMs) {
        let Some(live) = self.live.get(id) else { return };
        let mut state = live.task.state.clone();
        let Ok(status) = state.status.on(Event::Cancel) else { return self.place(id, now) };
        state.status = status;
        state.completed_at = Some(now);
        self.decide(id, state, Sequel::Quiet, now);
    }

    /// Ends a task that brought its server down too often.
    fn end_poison(&mut self, id: TaskId, now: TimeMs) {
        let Some(live) = self.live.get(id) else { return };
        let mut state = live.task.state.clone();
        let Ok(status) = state.status.on(Event::Poison) else { return };
        let crashes = self.crashes_max;
        let text = format!("poison: the server crashed {crashes} times while it ran alone");
        let failure = Failure::new(FailureKind::Poison, &text);
        state.status = status;
        state.last_error = Some((failure.kind, failure.message.into_boxed_str()));
        state.completed_at = Some(now);
        self.decide(id, state, Sequel::Quiet, now);
    }
}
