//! What follows once a batch is settled: memory takes it over, and only then does anything show.

use std::sync::Arc;
use std::time::Duration;

use super::{Outage, Writer};
use crate::clock::Mono;
use crate::domain::{
    Change, ChangeKind, Failure, FailureKind, Holding, Status, StatusKind, Suspicion, Task, TaskId,
    TimeMs,
};
use crate::persistence::books::Tells;
use crate::persistence::kinds::Kinds;
use crate::persistence::live::{Doing, Home, LiveTask, Room};
use crate::persistence::pending::{Sequel, Then, UnderWay, Wish, weight};
use crate::persistence::persist::Doubt;
use crate::persistence::{Answer, LeaseFate, Met, Refusal};
use crate::store::{Batch, Claimed, Committed, Cure, Fate, StoreError, Unit};

impl Writer {
    pub(super) fn take_settled(&mut self, now: TimeMs, mono: Mono) -> Result<bool, StoreError> {
        let mut ran = self.take_line();
        let Ok(settled) = self.inbox.settled.try_recv() else { return Ok(ran) };
        ran = true;
        if settled.line != self.line.number() {
            // From a thread that was left behind; its successor finds out what became of the batch.
            return Ok(ran);
        }
        let Some(way) = self.under_way.take() else { return Ok(ran) };
        self.views.set_sent_at(None);
        self.note_batch(&way, settled.error.is_some(), mono);
        match &settled.error {
            Some(error @ StoreError::Fenced(_)) if self.is_superseded() => {
                // Not the node is refused, but only the writing side that another one replaces.
                log::info!("failed to {error}; the batch waits for it");
            }
            Some(error) if error.cure() == Cure::StopServer => return Err(error.clone()),
            Some(error) => self.note_outage(error, mono),
            None => {
                if self.outage.take().is_some() {
                    log::info!("the store answers again");
                    self.let_leases_rest(mono);
                    // What was being looked up, or was to be, may have been forgotten in it.
                    self.wants_owned = true;
                }
            }
        }
        // What a silent store was asked for beside its units may have come to this node all the
        // same, as rows it holds.
        self.wants_owned |= settled.doubt.is_some()
            || settled.error.as_ref().is_some_and(|error| error.cure() == Cure::SettleBatch);
        match settled.doubt {
            Some(Doubt::Whole) => self.under_way = Some(UnderWay { sent_at: None, ..way }),
            Some(Doubt::Part(part)) => self.fold(way, settled.committed, Some(part), now),
            None => self.fold(way, settled.committed, None, now),
        }
        self.take_owned(settled.owned);
        self.lanes.wake(std::mem::take(&mut self.pushed));
        Ok(ran)
    }

    /// Another persist thread has taken over: what the one before had is sent again.
    fn take_line(&mut self) -> bool {
        let mut ran = false;
        while let Ok(line) = self.inbox.lines.try_recv() {
            ran = true;
            std::mem::replace(&mut self.line, line).cut();
            if let Some(way) = &mut self.under_way {
                way.sent_at = None;
            }
            if let Some(outage) = &mut self.outage {
                outage.try_at = self.clock.mono();
            }
            self.views.set_sent_at(None);
            self.wants_owned = true;
        }
        ran
    }

    /// Notes the rows that this node holds and memory does not know.
    fn take_owned(&mut self, owned: Option<Vec<TaskId>>) {
        let Some(owned) = owned else { return };
        let known = |id: &TaskId| self.live.get(*id).is_some_and(|live| live.home == Home::Held);
        let unknown: Vec<TaskId> = owned.into_iter().filter(|id| !known(id)).collect();
        if !unknown.is_empty() {
            log::info!("{} rows are held by this node and are looked up", unknown.len());
        }
        self.unknown = unknown.into();
    }

    fn note_batch(&mut self, way: &UnderWay, failed: bool, mono: Mono) {
        self.books.commit.add(mono.since(way.since).as_micros() as u64);
        let changes: usize = way.batch.units.iter().map(|unit| unit.changes.len()).sum();
        if changes > 0 {
            self.books.batch_tasks.add(changes as u64);
        }
        self.books.commit_errors += u64::from(failed);
    }

    fn note_outage(&mut self, error: &StoreError, mono: Mono) {
        let wait = if let Some(outage) = &self.outage {
            (outage.wait * 2).min(Self::PAUSE_MAX)
        } else {
            log::error!("failed to {error}; the batch is kept and sent again");
            Duration::from_millis(20)
        };
        let since = self.outage.as_ref().map_or(mono, |outage| outage.since);
        self.outage = Some(Outage { since, try_at: mono.plus(wait), wait });
    }

    /// Folds in what became of a batch; a part that is still in doubt stays under way.
    fn fold(&mut self, way: UnderWay, committed: Committed, doubt: Option<Batch>, now: TimeMs) {
        let UnderWay { batch, sequels, mut wanted, lessees, keys, since, told, again, .. } = way;
        let beat_places = way.beats;
        let Batch { seq, units, claims, fetch, beats, ids_wanted, .. } =
            Arc::try_unwrap(batch).unwrap_or_else(|shared| (*shared).clone());
        self.view.batches += 1;
        let (mut unsent, mut doubted) = ((Vec::new(), Vec::new()), Vec::new());
        for ((unit, sequel), fate) in units.into_iter().zip(sequels).zip(committed.fates) {
            match fate {
                Fate::Unsent => {
                    unsent.0.push(unit);
                    unsent.1.push(sequel);
                }
                Fate::InDoubt => doubted.push(sequel),
                fate => self.fold_unit(unit, sequel, fate, now),
            }
        }
        self.send_again(unsent);
        committed.types.into_iter().for_each(|name| self.kinds.learn(name));
        self.take_expired(committed.expired, now);
        // Where the answer was lost nobody knows whether there is more; the next claims will tell.
        let lost = || Claimed { has_more: true, ..Claimed::default() };
        let (own, for_workers) = claims.split_at(claims.len().saturating_sub(lessees.len()));
        let lost = std::iter::repeat_with(lost).take(if again { own.len() } else { 0 });
        let mut claimed = committed.claimed.into_iter();
        let ours: Vec<Claimed> = claimed.by_ref().take(own.len()).collect();
        for (ask, claimed) in own.iter().zip(ours.into_iter().chain(lost)) {
            self.take_claimed(seq, ask, claimed, now);
        }
        // Only the last part of a batch has its wishes.
        let has_wishes =
            |part: &Batch| (part.claims.len(), part.beats.len()) == (claims.len(), beats.len());
        let (lessees, beat_places) = if doubt.as_ref().is_some_and(has_wishes) {
            (lessees, beat_places)
        } else {
            self.take_beaten(beats, beat_places, committed.beaten);
            self.take_all_leased(seq, for_workers, lessees, claimed, now);
            (Vec::new(), Vec::new())
        };
        if let Some(ids) = committed.ids.filter(|_| ids_wanted > 0) {
            // Blocks follow each other on one node, but what is left of the old one is given up
            // where they do not.
            let follows = self.ids.end == ids.start;
            self.ids = if follows { self.ids.start..ids.end } else { ids };
        }
        for (id, stored) in fetch.into_iter().zip(committed.fetched) {
            let wishes = wanted.remove(&id).unwrap_or_default();
            self.take_fetched(id, stored, wishes, now);
        }
        if let Some(batch) = doubt {
            let (batch, sent_at) = (Arc::new(batch), None);
            let (sequels, beats) = (doubted, beat_places);
            self.under_way = Some(UnderWay {
                batch,
                sequels,
                wanted,
                lessees,
                beats,
                keys,
                since,
                sent_at,
                again,
                told,
            });
            return;
        }
        for (id, wishes) in wanted {
            self.pending.wanted.entry(id).or_default().extend(wishes);
        }
    }

    /// Puts units that did not reach the store before those that came after them.
    fn send_again(&mut self, (mut units, mut sequels): (Vec<Unit>, Vec<Sequel>)) {
        if units.is_empty() {
            return;
        }
        self.pending.keys.extend(units.iter().filter_map(|unit| unit.key.map(|key| key.key)));
        let changes = units.iter().flat_map(|unit| &unit.changes);
        for change in changes {
            self.pending.changes += 1;
            self.pending.bytes += weight(change);
        }
        // What was left out in this batch is left out in the next one.
        self.backlog.leave_out_again(self.seq + 1);
        self.kinds.leave_out_again(self.seq + 1);
        units.append(&mut self.pending.units);
        sequels.append(&mut self.pending.sequels);
        self.pending.units = units;
        self.pending.sequels = sequels;
        self.pending.since.get_or_insert(self.clock.mono());
    }

    fn fold_unit(&mut self, unit: Unit, sequel: Sequel, fate: Fate, now: TimeMs) {
        match fate {
            Fate::Applied => self.applied(unit, sequel, now),
            Fate::AppliedBut(existing) => self.applied_but(unit, sequel, &existing, now),
            Fate::Replayed(replay) => {
                self.undo(unit, now);
                let (ids, created) = (replay.ids, replay.created);
                answer(sequel, Ok(Answer::Known { ids, created, met: Met::IdempotencyKey }));
            }
            Fate::KeyReused => self.refused(unit, sequel, Refusal::KeyReused, now),
            Fate::UniqueTaken(holder) => {
                self.refused(unit, sequel, Refusal::UniqueTaken(holder), now);
            }
            Fate::Stale if matches!(sequel, Sequel::Commanded { again: Some(_), .. }) => {
                self.command_again(unit, sequel, now);
            }
            Fate::Stale if matches!(sequel, Sequel::Reported(_)) => {
                if let (Sequel::Reported(place), Some(change)) = (sequel, unit.changes.first()) {
                    let id = change.task.id;
                    self.undo(unit, now);
                    self.lease_was_over(id, place, now);
                }
            }
            Fate::Stale => {
                self.view.stale_changes += 1;
                log::warn!("a change was stale: {:?}", unit.changes.first().map(|c| c.task.id));
                self.refused(unit, sequel, Refusal::Busy, now);
            }
            Fate::Bad(why) if matches!(sequel, Sequel::Ended | Sequel::Reported(_)) => {
                self.ended_badly(unit, &why, sequel, now);
            }
            Fate::Bad(why) => self.refused(unit, sequel, Refusal::Bad(why), now),
            Fate::NoSpace => self.refused(unit, sequel, Refusal::NoSpace, now),
            Fate::Unsent | Fate::InDoubt => {}
        }
    }

    /// Another node was quicker to move a row that nobody held: the command meets it as it is now.
    /// Each round needs such a move, so there is an end of it.
    fn command_again(&mut self, unit: Unit, sequel: Sequel, now: TimeMs) {
        let Sequel::Commanded { receipt, again: Some(command), .. } = sequel else { return };
        let Some(id) = unit.changes.first().map(|change| change.task.id) else { return };
        // Where this node's own claim was quicker it is in memory, and stays.
        if self.live.get(id).is_some_and(|live| live.home == Home::Held) {
            self.undo(unit, now);
        } else {
            unit.changes.iter().for_each(|change| self.give_back_room(change));
            self.forget(id, now);
        }
        self.command(id, command, receipt, now);
    }

    fn applied(&mut self, unit: Unit, sequel: Sequel, now: TimeMs) {
        let ended = matches!(sequel, Sequel::Ended);
        let tells = if ended { Tells::AttemptEnded } else { Tells::Else };
        unit.changes.iter().for_each(|change| self.books.note(change, tells, now));
        match sequel {
            Sequel::Submitted { receipt } => {
                let tasks = unit.changes.iter().map(|change| change.task.clone()).collect();
                unit.changes.into_iter().for_each(|change| self.take_over(change, now));
                receipt.settle(Ok(Answer::Stored { tasks, created: true }));
            }
            Sequel::Commanded { receipt, then, .. } => {
                if let Some(change) = unit.changes.into_iter().next() {
                    let answer = self.commanded(change, then, now);
                    receipt.settle(Ok(answer));
                }
            }
            Sequel::Reported(place) => {
                unit.changes.into_iter().for_each(|change| self.take_over(change, now));
                self.gatherings.tell(place, LeaseFate::Kept);
            }
            Sequel::Ended | Sequel::Quiet | Sequel::Late => {
                unit.changes.into_iter().for_each(|change| self.take_over(change, now));
            }
        }
    }

    fn commanded(&mut self, change: Change, then: Then, now: TimeMs) -> Answer {
        let (id, task) = (change.task.id, change.task.clone());
        let epoch = before_of(&change).map_or(task.state.epoch, |before| before.epoch);
        if then == Then::LeaveBehind {
            // Before the task finds its place, or it could start while it still runs.
            self.left_behind.insert(id, epoch);
        }
        if then != Then::Done {
            self.ask_stop(id, epoch);
        }
        self.take_over(change, now);
        let seen = match self.live.get(id).filter(|live| live.home == Home::Held) {
            Some(live) => self.show(live),
            None => self.show(&LiveTask::new(task, Home::Free)),
        };
        if then == Then::AskStop { Answer::Asked(seen) } else { Answer::Done(seen) }
    }

    fn applied_but(
        &mut self,
        unit: Unit,
        sequel: Sequel,
        existing: &[(usize, TaskId)],
        now: TimeMs,
    ) {
        let created = existing.len() < unit.changes.len();
        let mut existing = existing.iter().copied().peekable();
        let mut ids = Vec::with_capacity(unit.changes.len());
        for (place, change) in unit.changes.into_iter().enumerate() {
            if let Some((_, holder)) = existing.next_if(|(at, _)| *at == place) {
                ids.push(holder);
                self.undo_change(change, now);
            } else {
                ids.push(change.task.id);
                self.books.note(&change, Tells::Else, now);
                self.take_over(change, now);
            }
        }
        answer(sequel, Ok(Answer::Known { ids, created, met: Met::UniqueKey }));
    }

    /// Makes memory say what the store says now.
    fn take_over(&mut self, change: Change, now: TimeMs) {
        let Change { task, kind } = change;
        let id = task.id;
        match kind {
            ChangeKind::Insert(Holding::Free) => return self.kinds.stored(&task.spec.task_type),
            ChangeKind::Insert(Holding::Held) => {
                self.kinds.stored(&task.spec.task_type);
                let mut live = LiveTask::new(task, Home::Held);
                live.room = room_for(&self.kinds, &live.task);
                self.live.insert(live);
                self.place(id, now);
                return;
            }
            ChangeKind::Finish(_) => return self.forget(id, now),
            ChangeKind::Update(_, holding) | ChangeKind::Revive(_, holding) => {
                let Some(live) = self.live.get_mut(id) else { return };
                let room = new_room(&self.kinds, live, &task, holding);
                let moved = task.state.status != live.task.state.status
                    && task.state.status.kind() != StatusKind::Running;
                let cleared = task.state.suspicion == Suspicion::None || holding == Holding::Free;
                live.home = if holding == Holding::Held { Home::Held } else { Home::Free };
                *live = LiveTask {
                    busy: false,
                    doing: if moved { Doing::Nothing } else { live.doing.clone() },
                    timer: live.timer.wrapping_add(u32::from(moved)),
                    waiting: std::mem::take(&mut live.waiting),
                    room: live.room,
                    ..LiveTask::new(task, live.home)
                };
                if let Some(room) = room {
                    self.change_room(id, room);
                }
                if cleared {
                    self.suspects.leave(id);
                }
            }
        }
        self.place(id, now);
        self.resume_waiting(id, now);
    }

    /// A task leaves memory; what waited for it meets it in the store, or not at all.
    fn forget(&mut self, id: TaskId, now: TimeMs) {
        self.change_room(id, Room::None);
        self.suspects.leave(id);
        let Some(gone) = self.live.remove(id) else { return };
        for waiting in gone.waiting {
            match waiting {
                crate::persistence::live::Waiting::Report(report) => self.report(report, now),
                crate::persistence::live::Waiting::Command(command, receipt) => {
                    self.command(id, command, receipt, now);
                }
                crate::persistence::live::Waiting::Lease(report, place) => {
                    self.lease_report(report, place, now);
                }
                crate::persistence::live::Waiting::Timer => {}
            }
        }
    }

    fn change_room(&mut self, id: TaskId, room: Room) {
        let Some(live) = self.live.get_mut(id) else { return };
        let (old, band) = (std::mem::replace(&mut live.room, room), live.task.spec.band);
        self.leave_room(old, band);
    }

    pub(super) fn leave_room(&mut self, room: Room, band: crate::domain::Band) {
        match room {
            Room::None => {}
            Room::Window(weight) => {
                self.window.leave(band, weight);
                if let Some(pace) = &mut self.pace {
                    pace.note(band);
                }
            }
            Room::Own(kind, weight) => self.kinds.leave(kind, band, weight),
            Room::Due => self.window.leave_due(),
        }
    }

    /// A unit is not stored: memory goes on as if it had never been decided.
    fn undo(&mut self, unit: Unit, now: TimeMs) {
        unit.changes.into_iter().for_each(|change| self.undo_change(change, now));
    }

    fn undo_change(&mut self, change: Change, now: TimeMs) {
        self.give_back_room(&change);
        if matches!(change.kind, ChangeKind::Insert(_)) {
            return self.kinds.dropped(&change.task.spec.task_type);
        }
        let id = change.task.id;
        self.undo_outrun(id);
        let Some(live) = self.live.get_mut(id) else { return };
        live.busy = false;
        let ready = live.home == Home::Held && live.task.state.status == Status::Queued;
        if ready && live.room == Room::None {
            // Its ticket was withdrawn, and the room went with that.
            let spec = Arc::clone(&live.task.spec);
            let room = self.admit(&spec, true);
            if let Some(live) = self.live.get_mut(id) {
                live.room = room;
            }
        }
        // A withdrawn ticket is replaced by a new one.
        self.place(id, now);
        self.resume_waiting(id, now);
    }

    /// Gives back the room that was made when a change was decided.
    fn give_back_room(&mut self, change: &Change) {
        let Change { task, kind } = change;
        let room = match *kind {
            ChangeKind::Insert(Holding::Held) => room_for(&self.kinds, task),
            ChangeKind::Insert(Holding::Free) | ChangeKind::Finish(_) => Room::None,
            ChangeKind::Update(_, holding) | ChangeKind::Revive(_, holding) => {
                let live = self.live.get(task.id);
                let room = live.and_then(|live| new_room(&self.kinds, live, task, holding));
                room.unwrap_or(Room::None)
            }
        };
        self.leave_room(room, task.spec.band);
    }

    fn refused(&mut self, unit: Unit, sequel: Sequel, why: Refusal, now: TimeMs) {
        if let Sequel::Reported(place) = sequel {
            self.undo(unit, now);
            return self.gatherings.refuse(place, &why);
        }
        let quiet = !matches!(sequel, Sequel::Submitted { .. } | Sequel::Commanded { .. });
        if quiet {
            let id = unit.changes.first().map(|change| change.task.id.get());
            log::error!("a change of task {id:?} was refused ({why}); it is forgotten here");
            for change in unit.changes {
                let id = change.task.id;
                self.give_back_room(&change);
                self.forget(id, now);
            }
            return;
        }
        self.undo(unit, now);
        answer(sequel, Err(why));
    }

    /// The store cannot hold what an attempt left: that is a failure of the attempt.
    fn ended_badly(&mut self, unit: Unit, why: &str, sequel: Sequel, now: TimeMs) {
        let text = format!("the store cannot hold the outcome: {why}");
        if let Some(change) = unit.changes.into_iter().next() {
            let (id, run) = (change.task.id, change.task.state.run);
            self.give_back_room(&change);
            let Some(live) = self.live.get_mut(id) else { return };
            live.busy = false;
            let failure = Failure::new(FailureKind::Permanent, &text);
            let outcome = crate::domain::Outcome::Failed(failure);
            if let (Some(run), false) = (run, change.task.state.status == Status::Failed) {
                self.ended(id, run, outcome, sequel, now);
            } else {
                log::error!("task {id} is forgotten here: {text}");
                if let Sequel::Reported(place) = sequel {
                    self.gatherings.refuse(place, &Refusal::Bad(text));
                }
                self.forget(id, now);
            }
        }
    }

    /// Refuses every request in the batch that is being collected.
    pub(super) fn refuse_pending(&mut self, why: &Refusal) {
        let now = self.clock.now();
        let pending = std::mem::take(&mut self.pending);
        for (unit, sequel) in pending.units.into_iter().zip(pending.sequels) {
            if matches!(sequel, Sequel::Submitted { .. } | Sequel::Commanded { .. }) {
                self.undo(unit, now);
                answer(sequel, Err(why.clone()));
            } else if let Sequel::Reported(Some(place)) = sequel {
                self.undo(unit, now);
                self.gatherings.refuse(Some(place), why);
            } else {
                self.pending.push_all(unit.changes, unit.key, sequel);
            }
        }
        for (id, wishes) in pending.wanted {
            if wishes.is_empty() {
                // Nobody asked: it is a row of this node that memory does not know.
                self.pending.wanted.entry(id).or_default();
                self.pending.changes += 1;
            }
            for wish in wishes {
                match wish {
                    Wish::Command(_, receipt) => receipt.settle(Err(why.clone())),
                    Wish::Lease(_, place) => self.gatherings.refuse(place, why),
                }
            }
        }
        for (_, place) in pending.beats {
            self.gatherings.refuse(Some(place), why);
        }
    }
}

fn answer(sequel: Sequel, result: Result<Answer, Refusal>) {
    if let Sequel::Submitted { receipt } | Sequel::Commanded { receipt, .. } = sequel {
        receipt.settle(result);
    }
}

fn before_of(change: &Change) -> Option<crate::domain::Before> {
    match change.kind {
        ChangeKind::Insert(_) => None,
        ChangeKind::Update(before, _)
        | ChangeKind::Finish(before)
        | ChangeKind::Revive(before, _) => Some(before),
    }
}

/// The room a held task takes that comes in with this status.
fn room_for(kinds: &Kinds, task: &Task) -> Room {
    use StatusKind::{Queued, Retrying, Scheduled};
    let (own, weight) = (kinds.own_id(&task.spec.task_type), task.spec.weight());
    match (task.state.status.kind(), own) {
        (Queued | Scheduled | Retrying, Some(kind)) => Room::Own(kind, weight),
        (Queued, None) => Room::Window(weight),
        (Scheduled | Retrying, None) => Room::Due,
        _ => Room::None,
    }
}

/// The room that was made for a task's next state when that was decided; `None` where it keeps the
/// room it has.
fn new_room(kinds: &Kinds, live: &LiveTask, task: &Task, holding: Holding) -> Option<Room> {
    if holding == Holding::Free {
        return Some(Room::None);
    }
    let stays = live.home == Home::Held && live.task.state.status == task.state.status;
    if task.state.status.kind() == StatusKind::Running {
        return None;
    }
    (!stays).then(|| room_for(kinds, task))
}
