//! Wishes for leases: who asks, who waits, whose claim goes out with the next batch, and what
//! becomes of what was leased for a worker that has gone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::Writer;
use crate::clock::Mono;
use crate::domain::{Epoch, Status, Task, TaskId, Terms, TimeMs};
use crate::persistence::lease::{LeaseAsk, LeaseReport, Reported, WaitId};
use crate::persistence::live::{Doing, Home, LiveTask};
use crate::persistence::{Answer, Receipt, Refusal};
use crate::store::{Bands, ClaimAsk, Claimed, Taker};

/// What was leased for wishes that waited, until it is collected, and to whom, until it is sure to
/// have gone out.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Leased for a wish that waits to be collected.
    ready: HashMap<WaitId, (Mono, Vec<Task>), RandomState>,
    ready_bytes: usize,
    /// What was answered to a wish, oldest first.
    handed: VecDeque<WaitId>,
    handed_tasks: HashMap<WaitId, Vec<(TaskId, Epoch)>, RandomState>,
    handed_count: usize,
    /// Leased tasks that stay in memory, oldest first, so that completing one needs no look-up.
    /// Each has its weight, which counts until its place here is given up.
    kept: VecDeque<(TaskId, Epoch, usize)>,
    kept_bytes: usize,
}

impl Desk {
    /// How long what is ready waits to be collected.
    const COLLECT: Duration = Duration::from_secs(2);
    /// No more claims while so much is ready.
    const READY_BYTES_MAX: usize = 64 << 20;
    /// The tasks of so many leases can be given back when their answer was not delivered; older
    /// ones run out.
    const HANDED_MAX: usize = 65_536;
    const KEPT_MAX: usize = 16_384;
    const KEPT_BYTES_MAX: usize = 32 << 20;
}

impl Writer {
    /// No batch has more claims for workers.
    const LEASE_CLAIMS_MAX: usize = 64;
    /// All claims for workers in one batch bring no more bytes than this.
    const LEASE_BYTES_MAX: usize = 32 << 20;
    /// One of them brings no more than this: half of what an answer may hold.
    const ANSWER_BYTES_MAX: usize = 4 << 20;

    /// A worker asks for tasks.
    pub(super) fn lease(&mut self, ask: LeaseAsk, receipt: Receipt, now: TimeMs, mono: Mono) {
        let worker = Arc::clone(&ask.worker);
        self.crew.saw(&worker, now);
        let remote = self.kinds.remote();
        match self.lessees.enter(ask, mono, receipt, &remote) {
            Ok(_) => self.crew.waits(&worker, true),
            Err(receipt) => receipt.settle(Err(Refusal::Busy)),
        }
    }

    /// A worker comes for what it waited for.
    pub(super) fn collect(&mut self, id: WaitId, receipt: Receipt) {
        if let Some((_, tasks)) = self.desk.ready.remove(&id) {
            self.desk.ready_bytes -= bytes_of(&tasks);
            return self.hand_over(id, tasks, receipt);
        }
        match self.lessees.get_mut(id) {
            // A claim for it is under way: its answer is the answer.
            Some(lessee) if lessee.is_claiming() => {
                lessee.receipt = Some(receipt);
                lessee.ask.wait_ms = 0;
            }
            _ => {
                self.end_wish(id);
                receipt.settle(Ok(Answer::Leased { wait: id, tasks: Vec::new() }));
            }
        }
    }

    /// A worker is gone: what was leased for it and not delivered is released.
    pub(super) fn withdraw_wish(&mut self, id: WaitId, now: TimeMs) {
        self.end_wish(id);
        if let Some((_, tasks)) = self.desk.ready.remove(&id) {
            self.desk.ready_bytes -= bytes_of(&tasks);
            self.release_all(tasks.iter().map(|task| (task.id, task.state.epoch)), now);
        }
        if let Some(handed) = self.desk.handed_tasks.remove(&id) {
            self.desk.handed_count -= handed.len();
            self.release_all(handed, now);
        }
    }

    fn end_wish(&mut self, id: WaitId) {
        if let Some(lessee) = self.lessees.remove(id) {
            self.crew.waits(&lessee.ask.worker, false);
        }
    }

    fn release_all(&mut self, tasks: impl IntoIterator<Item = (TaskId, Epoch)>, now: TimeMs) {
        for (id, epoch) in tasks {
            self.lease_report(LeaseReport { id, epoch, what: Reported::Released }, None, now);
        }
    }

    /// The claims that go out with the next batch, for the workers that wait longest.
    pub(super) fn lease_claims(&mut self, now: TimeMs) -> Vec<(WaitId, ClaimAsk)> {
        let mut claims = Vec::new();
        let full = self.desk.ready_bytes >= Desk::READY_BYTES_MAX;
        if full || self.views.refusing() {
            return claims;
        }
        let remote = self.kinds.remote();
        while claims.len() < Self::LEASE_CLAIMS_MAX
            && let Some((id, types)) = self.lessees.next_claim(&remote)
            && let Some(lessee) = self.lessees.get_mut(id)
        {
            let until = now.plus_ms(lessee.ask.lease_ms);
            let terms = Terms { worker: Arc::clone(&lessee.ask.worker), until };
            let ask = ClaimAsk {
                bands: Bands::All,
                limit: lessee.ask.tasks_max,
                bytes_max: Self::ANSWER_BYTES_MAX,
                due_by: now,
                types,
                taker: Taker::Worker(terms),
            };
            claims.push((id, ask));
        }
        let share = Self::LEASE_BYTES_MAX / claims.len().max(1);
        for (_, ask) in &mut claims {
            ask.bytes_max = ask.bytes_max.min(share);
        }
        claims
    }

    /// A row that only workers run is about to be free.
    pub(super) fn tell_lessees(&mut self, name: &Arc<str>, status: Status, now: TimeMs) {
        match status {
            Status::Queued | Status::Pending => self.lessees.note(name, self.seq + 1),
            Status::Scheduled { due } | Status::Retrying { due } if due > now => {
                self.lessees.note_due(name, due);
            }
            Status::Scheduled { .. } | Status::Retrying { .. } => {
                self.lessees.note(name, self.seq + 1);
            }
            _ => {}
        }
    }

    /// What the batch's claims for workers brought.
    pub(super) fn take_all_leased(
        &mut self,
        seq: u64,
        asks: &[ClaimAsk],
        lessees: Vec<WaitId>,
        mut claimed: impl Iterator<Item = Claimed>,
        now: TimeMs,
    ) {
        for (ask, id) in asks.iter().zip(lessees) {
            self.take_leased(seq, id, ask, claimed.next(), now);
        }
    }

    /// What a claim for a wish brought; `None`: it was not made.
    pub(super) fn take_leased(
        &mut self,
        seq: u64,
        id: WaitId,
        ask: &ClaimAsk,
        claimed: Option<Claimed>,
        now: TimeMs,
    ) {
        let has_more = claimed.as_ref().map(|claimed| claimed.has_more);
        self.lessees.came_back(id, &ask.types, has_more, seq);
        let tasks = claimed.unwrap_or_default().tasks;
        for task in &tasks {
            self.lease_ends(task.lease_ends());
            self.keep_leased(task.clone());
        }
        // Cancelled while a node ran them that has died since: given back they end.
        let wished = |task: &Task| task.state.cancel_requested;
        let (wished, tasks): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(wished);
        self.release_all(wished.iter().map(|task| (task.id, task.state.epoch)), now);
        if tasks.is_empty() {
            return;
        }
        let Some(lessee) = self.lessees.get_mut(id) else {
            return self.release_all(tasks.iter().map(|task| (task.id, task.state.epoch)), now);
        };
        let receipt = lessee.receipt.take();
        self.end_wish(id);
        if let Some(receipt) = receipt {
            return self.hand_over(id, tasks, receipt);
        }
        self.desk.ready_bytes += bytes_of(&tasks);
        self.desk.ready.insert(id, (self.clock.mono(), tasks));
        (self.wake)(id);
    }

    /// Answers, and remembers what, in case the answer does not arrive.
    fn hand_over(&mut self, id: WaitId, tasks: Vec<Task>, receipt: Receipt) {
        let desk = &mut self.desk;
        let names: Vec<_> = tasks.iter().map(|task| (task.id, task.state.epoch)).collect();
        desk.handed_count += names.len();
        desk.handed.push_back(id);
        desk.handed_tasks.insert(id, names);
        // Wishes that were withdrawn leave their place here, so the places are bounded too.
        while (desk.handed_count > Desk::HANDED_MAX || desk.handed.len() > Desk::HANDED_MAX)
            && let Some(oldest) = desk.handed.pop_front()
        {
            let gone = desk.handed_tasks.remove(&oldest);
            desk.handed_count -= gone.map_or(0, |gone| gone.len());
        }
        receipt.settle(Ok(Answer::Leased { wait: id, tasks }));
    }

    /// Keeps a leased task in memory, and lets go of the oldest that are too many.
    fn keep_leased(&mut self, task: Task) {
        let (id, epoch, weight) = (task.id, task.state.epoch, task.spec.weight());
        if self.live.get(id).is_some() {
            // A command looked the row up before it was leased; what it decides is stale now.
            return;
        }
        let live = self.live.insert(LiveTask::new(task, Home::Free));
        live.doing = Doing::Leased;
        self.desk.kept.push_back((id, epoch, weight));
        self.desk.kept_bytes += weight;
        while (self.desk.kept.len() > Desk::KEPT_MAX || self.desk.kept_bytes > Desk::KEPT_BYTES_MAX)
            && let Some((id, epoch, weight)) = self.desk.kept.pop_front()
        {
            self.desk.kept_bytes -= weight;
            self.let_leased_go(id, epoch);
        }
    }

    /// A kept task leaves memory, at once or when what concerns it is settled.
    fn let_leased_go(&mut self, id: TaskId, epoch: Epoch) {
        let Some(live) = self.live.get_mut(id).filter(|live| live.is_leased_under(epoch)) else {
            return;
        };
        live.doing = Doing::Nothing;
        self.let_visitor_go(id);
    }

    /// Ends waits whose time is over, answers those that have to wait, and gives back what nobody
    /// came for.
    pub(super) fn ring_lessees(&mut self, now: TimeMs, mono: Mono) {
        self.lessees.ripen(now, self.seq + 1);
        if self.views.refusing() {
            while let Some(id) = self.lessees.next_idle() {
                self.refuse_wish(id, &Refusal::Stopping);
            }
        }
        while let Some(id) = self.lessees.next_ended(mono) {
            self.end_wait(id);
        }
        let late = |(since, _): &(Mono, Vec<Task>)| mono.since(*since) >= Desk::COLLECT;
        let late: Vec<WaitId> =
            self.desk.ready.iter().filter(|(_, ready)| late(ready)).map(|(id, _)| *id).collect();
        for id in late {
            self.withdraw_wish(id, now);
        }
    }

    /// First answers for those for whom no claim goes out now: they wait.
    pub(super) fn let_lessees_wait(&mut self) {
        while let Some(id) = self.lessees.next_unanswered() {
            let Some(lessee) = self.lessees.get_mut(id) else { continue };
            if lessee.ask.wait_ms == 0 {
                self.end_wait(id);
            } else if let Some(receipt) = lessee.receipt.take() {
                receipt.settle(Ok(Answer::Waits(id)));
            }
        }
    }

    /// The wait is over, and there was nothing.
    fn end_wait(&mut self, id: WaitId) {
        let Some(lessee) = self.lessees.get_mut(id) else { return };
        match lessee.receipt.take() {
            Some(receipt) => {
                receipt.settle(Ok(Answer::Leased { wait: id, tasks: Vec::new() }));
            }
            None => (self.wake)(id),
        }
        self.end_wish(id);
    }

    /// A wish that cannot be met: the server stops, or the store is silent.
    pub(super) fn refuse_wish(&mut self, id: WaitId, why: &Refusal) {
        let Some(lessee) = self.lessees.get_mut(id) else { return };
        match lessee.receipt.take() {
            Some(receipt) => receipt.settle(Err(why.clone())),
            None => (self.wake)(id),
        }
        self.end_wish(id);
    }
}

fn bytes_of(tasks: &[Task]) -> usize {
    tasks.iter().map(|task| task.spec.weight()).sum()
}

/// What tests look at.
#[cfg(test)]
impl Writer {
    /// How many places what was handed out takes.
    pub fn handed_places(&self) -> usize {
        self.desk.handed.len()
    }
}
