//! The writer: one thread through which everything that happens to a task must pass.
//!
//! It owns the live tasks, so two events about one task can never race: they come in an order, and
//! [`Status::on`](crate::domain::Status::on) refuses the one that came too late.
//!
//! Promise: no effect of a message is visible outside before its batch is committed.
//! Absent on purpose: HTTP, handlers, disk, and any wait other than for its bell.
//!
//! A round of [`Writer::step`] takes what has come in (settled batch, reports, timers, requests, in
//! this order), turns it into units, and hands these to the persist thread as soon as that is free.
//! While a batch is under way the next one collects, so batches grow by themselves under load and
//! nothing waits when there is none.

mod claim;
mod command;
mod fold;
mod lease;
mod leased;
mod pace;
mod report;
mod submit;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use self::pace::Pace;
use super::backlog::Backlog;
use super::books::Books;
use super::crew::Crew;
use super::gathering::Gatherings;
use super::kinds::{Kinds, Served};
use super::lease::Wake;
use super::lessees::Lessees;
use super::line::{Job, Line, Sending};
use super::live::{Doing, Live, LiveTask, Room, Waiting};
use super::mailbox::Inbox;
use super::pending::{Pending, UnderWay};
use super::suspects::Suspects;
use super::view::{View, Views};
use super::{Answer, Message, Receipt, Refusal, Seen, Ticket, Way, Work};
use crate::clock::{Clock, Mono};
use crate::domain::{Band, BandMap, Epoch, Run, Status, TaskId, TimeMs};
use crate::queue::{DueHeap, Entrance, Pool, Window, WindowSizes};
use crate::store::{Batch, Recovered, StoreError};

/// How the writer is set up.
#[derive(Debug, Clone)]
pub struct WriterSettings {
    /// The task types that are run here, by slot.
    pub served: Vec<Served>,
    /// How many different task types there may be.
    pub types_max: usize,
    /// How much may be in memory.
    pub window: WindowSizes,
    /// How many crashes alone end a suspect.
    pub crashes_max: u8,
    /// Whether other nodes share the store, so that the rest of a backlog is better left to them.
    pub is_shared: bool,
    /// How often free rows are looked for when nothing else says that there are some.
    pub poll: Duration,
    /// Seeds the jitter of retries.
    pub seed: u64,
    /// How long leases rest after a start or an outage before they are taken back: workers that
    /// could not reach the server renew them first.
    pub lease_grace: Duration,
}

/// Where the writer gets its work from and hands it on to.
pub struct Ends {
    /// What comes in.
    pub inbox: Inbox,
    /// The line to the persist thread.
    pub line: Line,
    /// Tickets for the cores.
    pub lanes: Arc<Entrance<Work>>,
    /// Tickets for the threads whose runs block.
    pub pool: Arc<Pool<Work>>,
    /// What others may see.
    pub views: Arc<Views>,
    /// Told when a wish for leases that waited has an answer.
    pub wake: Wake,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterStep {
    /// Something was done; there may be more.
    Ran,
    /// There is nothing to do before the bell rings or this time has passed.
    Idle(Duration),
    /// The writer was asked to end, and everything it had is stored.
    Over,
}

/// The thread's body.
pub struct Writer {
    clock: Arc<dyn Clock>,
    inbox: Inbox,
    line: Line,
    lanes: Arc<Entrance<Work>>,
    pool: Arc<Pool<Work>>,
    views: Arc<Views>,
    kinds: Kinds,
    live: Live,
    due: DueHeap,
    window: Window,
    /// How fast the window empties, where that decides how large it is.
    pace: Option<Pace>,
    pending: Pending,
    /// Rows this node holds and memory does not know, to be looked up.
    unknown: VecDeque<TaskId>,
    /// Whether the store is to be asked for such rows.
    wants_owned: bool,
    under_way: Option<UnderWay>,
    suspects: Suspects,
    /// Attempts that were left behind and have not ended yet; their tasks start only after that.
    left_behind: HashMap<TaskId, Epoch, foldhash::fast::RandomState>,
    /// Tasks whose row is behind, and since when.
    unwritten: VecDeque<(Mono, TaskId)>,
    ids: Range<u64>,
    seq: u64,
    crashes_max: u8,
    poll: Duration,
    random: u64,
    /// What waits in the store of the types that share the bands' rooms.
    backlog: Backlog,
    /// The room of withdrawn tickets that are still in the lanes, and how many have left them.
    withdrawn: VecDeque<(Band, Room)>,
    withdrawn_gone: u64,
    polled_at: Option<Mono>,
    /// Since when the store has not answered as it should, and when to try again.
    outage: Option<Outage>,
    /// Tickets pushed since a core was last woken.
    pushed: usize,
    /// Who waits for tasks to lease.
    lessees: Lessees,
    /// What was leased for them and is on its way.
    desk: lease::Desk,
    crew: Crew,
    gatherings: Gatherings,
    wake: Wake,
    lease_grace: Duration,
    leases_rest_until: Mono,
    /// No known lease ends earlier.
    next_lease_end: Option<TimeMs>,
    view: View,
    books: Books,
    published_at: Option<Mono>,
}

/// A store that does not do what it should.
#[derive(Debug, Clone)]
struct Outage {
    since: Mono,
    try_at: Mono,
    wait: Duration,
}

impl Writer {
    /// How long a request may wait for a store that does not answer before it is refused.
    const PATIENCE: Duration = Duration::from_millis(1200);
    /// How long the requests in a batch may wait for a store that does not say what became of it.
    const DOUBT: Duration = Duration::from_millis(2500);
    /// The longest pause before a store that did not do as it should is asked again.
    const PAUSE_MAX: Duration = Duration::from_secs(1);
    /// How long a row may say less than memory does.
    const LAG: Duration = Duration::from_millis(50);
    /// How often others are shown how things stand.
    const PUBLISH: Duration = Duration::from_millis(250);

    /// A writer that holds what a start found, and has `ids` to give out.
    pub fn new(
        settings: WriterSettings,
        clock: Arc<dyn Clock>,
        ends: Ends,
        recovered: Recovered,
        ids: Range<u64>,
    ) -> Writer {
        let Ends { inbox, line, lanes, pool, views, wake } = ends;
        let (bytes_max, types_max) = (settings.window.bytes_max, settings.types_max);
        let kinds = Kinds::new(&settings.served, recovered.types, bytes_max, types_max);
        let mut writer = Writer {
            clock,
            inbox,
            line,
            lanes,
            pool,
            views,
            kinds,
            live: Live::default(),
            due: DueHeap::new(),
            window: Window::new(settings.window),
            pace: settings.is_shared.then(Pace::default),
            pending: Pending::default(),
            unknown: VecDeque::new(),
            wants_owned: false,
            under_way: None,
            suspects: Suspects::default(),
            left_behind: HashMap::default(),
            unwritten: VecDeque::new(),
            ids,
            seq: 0,
            crashes_max: settings.crashes_max,
            poll: settings.poll,
            random: settings.seed | 1,
            backlog: Backlog::unknown(),
            withdrawn: VecDeque::new(),
            withdrawn_gone: 0,
            polled_at: None,
            outage: None,
            pushed: 0,
            lessees: Lessees::default(),
            desk: lease::Desk::default(),
            crew: Crew::default(),
            gatherings: Gatherings::default(),
            wake,
            lease_grace: settings.lease_grace,
            leases_rest_until: Mono(0),
            next_lease_end: None,
            view: View::default(),
            books: Books::default(),
            published_at: None,
        };
        writer.let_leases_rest(writer.clock.mono());
        for task in recovered.held {
            writer.adopt(task);
        }
        writer
    }

    /// Waits for the bell, at most this long.
    pub fn wait(&self, at_most: Duration) {
        let _ = self.inbox.heard.recv_timeout(at_most);
    }

    /// One round.
    pub fn step(&mut self) -> Result<WriterStep, StoreError> {
        let (now, mono) = (self.clock.now(), self.clock.mono());
        self.let_withdrawn_go();
        if self.kinds.has_lines() {
            self.kinds.set_line_capacities(&self.pool.capacities(mono));
        }
        self.adjust_rooms(mono);
        let mut ran = self.take_settled(now, mono)?;
        ran |= self.take_reports(now);
        ran |= self.ring_timers(now);
        ran |= self.start_suspects(now);
        ran |= self.write_late(mono, now);
        ran |= self.take_requests(now, mono);
        self.lose_patience(mono);
        self.ring_lessees(now, mono);
        self.ask_for_more(now, mono);
        ran |= self.send_batch(now, mono);
        self.let_lessees_wait();
        self.lanes.wake(std::mem::take(&mut self.pushed));
        self.publish(now, mono);
        if ran {
            return Ok(WriterStep::Ran);
        }
        if self.views.closing() && self.under_way.is_none() && self.pending.units.is_empty() {
            return Ok(WriterStep::Over);
        }
        Ok(WriterStep::Idle(self.quiet_time(now, mono)))
    }

    /// How long there will be nothing to do, if nothing comes in.
    fn quiet_time(&self, now: TimeMs, mono: Mono) -> Duration {
        let longest = Duration::from_millis(100);
        // What has to wait for room or for an answer is not waited for by the clock.
        let room = !self.pending.is_full();
        let due = self.due.next().filter(|_| room);
        let due = due.map_or(longest, |due| Duration::from_millis(due.since_ms(now)));
        let late = self.unwritten.front().filter(|_| room);
        let late = late.map_or(longest, |(at, _)| Self::LAG.saturating_sub(mono.since(*at)));
        let sent = self.under_way.as_ref().is_some_and(|way| way.sent_at.is_some());
        // The next persist thread rings the bell when it comes.
        let waits_for_line = self.under_way.is_some() && self.is_superseded();
        let again = self.outage.as_ref().filter(|_| !sent && !waits_for_line);
        let again = again.map_or(longest, |outage| outage.try_at.since(mono));
        let ripe = self.lessees.next_ripe().filter(|_| room && self.under_way.is_none());
        let ripe = ripe.map_or(longest, |due| Duration::from_millis(due.since_ms(now)));
        let polled = self.polled_at.filter(|_| self.under_way.is_none() && self.outage.is_none());
        let poll = polled.map_or(longest, |at| self.poll.saturating_sub(mono.since(at)));
        late.min(again).min(due).min(ripe).min(poll).min(longest)
    }

    fn take_requests(&mut self, now: TimeMs, mono: Mono) -> bool {
        let (refusing, down) = (self.views.refusing(), self.is_down(mono));
        let mut ran = false;
        // What is only refused or looked at needs no room in a batch. One round ends all the same.
        for _ in 0..Pending::CHANGES_MAX {
            let room = !self.pending.is_full() && self.has_ids();
            if !(room || refusing || down) {
                break;
            }
            let Ok(message) = self.inbox.requests.try_recv() else { break };
            ran = true;
            match message {
                Message::Look(id, receipt) => self.look(id, receipt),
                Message::Workers(receipt) => {
                    receipt.settle(Ok(Answer::Workers(self.crew.list())));
                }
                Message::Collect(id, receipt) => self.collect(id, receipt),
                Message::Withdraw(id) => self.withdraw_wish(id, now),
                _ if refusing && !(room && message.is_report()) => {
                    message.refuse(&Refusal::Stopping);
                }
                _ if down => message.refuse(&Refusal::StoreDown),
                Message::Lease(ask, receipt) => self.lease(ask, receipt, now, mono),
                Message::Report(reports, receipt) => {
                    self.pending.since.get_or_insert(mono);
                    self.lease_reports(reports, receipt, now);
                }
                Message::Beat(worker, beats, receipt) => {
                    self.pending.since.get_or_insert(mono);
                    self.crew.saw(&worker, now);
                    self.beats(beats, receipt, now);
                }
                Message::Submit(order, receipt) => {
                    self.pending.since.get_or_insert(mono);
                    self.submit(order, receipt, now);
                }
                Message::Do(id, command, receipt) => {
                    self.pending.since.get_or_insert(mono);
                    self.command(id, command, receipt, now);
                }
            }
        }
        ran
    }

    fn look(&mut self, id: TaskId, receipt: Receipt) {
        // What nobody holds may have been changed by another node: the store knows.
        let answer = match self.live.get(id).filter(|live| live.home == super::live::Home::Held) {
            Some(live) => {
                let seen = self.show(live);
                self.view.looks += 1;
                Answer::Seen(seen)
            }
            None => Answer::NotLive,
        };
        receipt.settle(Ok(answer));
    }

    /// A live task as users see it.
    fn show(&self, live: &LiveTask) -> Seen {
        let mut task = live.task.clone();
        task.state.status = live.seen();
        let name = &task.spec.task_type;
        let blocked = self.kinds.way(name) == Way::Worker && !self.lessees.is_waited_for(name);
        if let (Doing::Ticket(ticket), true) = (&live.doing, live.is_taken()) {
            task.state.run = self.run_of(ticket);
            task.state.progress = self.progress_of(ticket.id);
        }
        let waits = blocked && !task.state.status.kind().is_terminal();
        Seen { waits_for_worker: waits, task }
    }

    /// The times of a run under way, wherever it is.
    fn run_of(&self, ticket: &Ticket) -> Option<Run> {
        let on_core = self.lanes.board().run_of(ticket.id, ticket.ready_at);
        on_core.or_else(|| self.pool.run_of(ticket.id))
    }

    fn progress_of(&self, id: TaskId) -> Option<u8> {
        self.lanes.board().progress_of(id).or_else(|| self.pool.progress_of(id))
    }

    /// Asks a run to stop, wherever it is.
    fn ask_stop(&self, id: TaskId, epoch: Epoch) {
        if !self.lanes.board().ask_stop(id, epoch) {
            self.pool.ask_stop(id, epoch);
        }
    }

    /// What waited for a task whose unit is settled, in order, until it is busy again.
    fn resume_waiting(&mut self, id: TaskId, now: TimeMs) {
        while let Some(live) = self.live.get_mut(id) {
            if live.busy {
                return;
            }
            match live.waiting.pop_front() {
                Some(Waiting::Report(report)) => self.report(report, now),
                Some(Waiting::Command(command, receipt)) => {
                    self.command(id, command, receipt, now);
                }
                Some(Waiting::Lease(report, place)) => self.lease_report(report, place, now),
                Some(Waiting::Timer) => self.ring(id, now),
                None => return self.let_visitor_go(id),
            }
        }
    }

    /// A visitor that nothing concerns any more leaves memory.
    fn let_visitor_go(&mut self, id: TaskId) {
        let visitor = self.live.get(id).is_some_and(|live| {
            let idle = !live.busy && live.waiting.is_empty();
            live.home != super::live::Home::Held && idle && !matches!(live.doing, Doing::Leased)
        });
        if visitor {
            self.live.remove(id);
        }
    }

    fn has_ids(&self) -> bool {
        // The largest batch a client may send must find enough.
        self.ids_left() >= 16_384
    }

    fn ids_left(&self) -> u64 {
        self.ids.end.saturating_sub(self.ids.start)
    }

    /// Gives back the room of withdrawn tickets that cores have come across.
    fn let_withdrawn_go(&mut self) {
        if self.withdrawn.is_empty() {
            return;
        }
        let dropped = self.lanes.board().total().withdrawn;
        while self.withdrawn_gone < dropped
            && let Some((band, room)) = self.withdrawn.pop_front()
        {
            self.withdrawn_gone += 1;
            self.leave_room(room, band);
        }
    }

    /// Whether the store has been silent for so long that requests are refused at once.
    fn is_down(&self, mono: Mono) -> bool {
        let old = |since: Mono| mono.since(since) > Self::PATIENCE;
        self.outage.as_ref().is_some_and(|outage| old(outage.since))
            || self.under_way.as_ref().is_some_and(|way| old(way.since))
    }

    /// Refuses requests that have waited too long for a store that does not answer. Those in the
    /// batch under way wait longer and are told something else: it may be stored.
    fn lose_patience(&mut self, mono: Mono) {
        if let Some(way) = self.under_way.as_mut().filter(|way| !way.told)
            && mono.since(way.since) > Self::DOUBT
        {
            way.tell_doubt(&mut self.gatherings);
            // What is leased for them all the same is released once that is known.
            for id in way.lessees.clone() {
                self.refuse_wish(id, &Refusal::StoreDown);
            }
        }
        if !self.is_down(mono) {
            return;
        }
        if self.pending.since.is_some() {
            self.refuse_pending(&Refusal::StoreDown);
        }
        while let Some(id) = self.lessees.any_unanswered() {
            self.refuse_wish(id, &Refusal::StoreDown);
        }
    }

    fn send_batch(&mut self, now: TimeMs, mono: Mono) -> bool {
        let waits = self.outage.as_ref().is_some_and(|outage| outage.try_at > mono);
        if waits {
            return false;
        }
        if self.under_way.is_some() {
            return self.send_way(Sending::Again, mono);
        }
        let for_workers = self.lease_claims(now);
        let nothing = self.pending.is_empty() && for_workers.is_empty();
        if nothing && self.outage.is_none() && !self.wants_owned {
            return false;
        }
        let mut pending = std::mem::take(&mut self.pending);
        let (lessees, asks): (Vec<_>, Vec<_>) = for_workers.into_iter().unzip();
        pending.claims.extend(asks);
        let (beats, beat_places): (Vec<_>, Vec<_>) = pending.beats.into_iter().unzip();
        self.seq += Batch::PARTS;
        let batch = Arc::new(Batch {
            seq: self.seq,
            now,
            units: pending.units,
            claims: pending.claims,
            fetch: pending.wanted.keys().copied().collect(),
            beats,
            expired: pending.expired,
            ids_wanted: pending.ids_wanted,
        });
        let (sequels, wanted, keys) = (pending.sequels, pending.wanted, pending.keys);
        let (since, sent_at, told, again) = (mono, None, false, false);
        let beats = beat_places;
        let way =
            UnderWay { batch, sequels, wanted, lessees, beats, keys, since, sent_at, again, told };
        self.under_way = Some(way);
        self.send_way(Sending::First, mono)
    }

    /// Hands the batch under way to the persist thread, if that does not have it.
    fn send_way(&mut self, sending: Sending, mono: Mono) -> bool {
        let superseded = self.is_superseded();
        let Some(way) = self.under_way.as_mut().filter(|way| way.sent_at.is_none()) else {
            return false;
        };
        if superseded && sending == Sending::Again {
            // The store may listen to the next persist thread only; it comes in a moment.
            return false;
        }
        way.sent_at = Some(mono);
        way.again |= sending == Sending::Again;
        self.views.set_sent_at(way.sent_at);
        let owned = std::mem::take(&mut self.wants_owned);
        self.line.send(Job { batch: Arc::clone(&way.batch), sending, owned });
        true
    }

    /// Whether another persist thread is on its way to take the present one's place.
    fn is_superseded(&self) -> bool {
        self.views.newest_line() > self.line.number()
    }

    /// Shows others how things stand, now and then.
    fn publish(&mut self, now: TimeMs, mono: Mono) {
        self.views.beat();
        let every = if self.views.refusing() { Self::PUBLISH / 10 } else { Self::PUBLISH };
        if self.published_at.is_some_and(|at| mono.since(at) < every) {
            return;
        }
        self.published_at = Some(mono);
        if self.due.len() > 2 * self.live.len() + 1024 {
            let live = &self.live;
            self.due.retain(|id, timer| live.get(id).is_some_and(|live| live.timer == timer));
        }
        let (mut oldest, mut sleeping) = (BandMap::<Option<TimeMs>>::default(), 0);
        for live in self.live.iter() {
            sleeping += usize::from(matches!(live.doing, Doing::Sleep { .. }));
            let (state, taken) = (&live.task.state, live.is_taken());
            if state.status == Status::Queued && !taken {
                let oldest = &mut oldest[live.task.spec.band];
                *oldest = Some(oldest.map_or(state.ready_at, |at| at.min(state.ready_at)));
            }
            if taken && state.cancel_requested {
                // The wish can come between the taking of a ticket and its start.
                self.ask_stop(live.task.id, state.epoch);
            }
        }
        let waits = oldest.0.map(|at| at.map(|at| now.since_ms(at)));
        self.view.oldest_wait_ms = waits.into_iter().flatten().max();
        self.view.oldest_ms = BandMap(waits.map(Option::unwrap_or_default));
        self.view.sleeping = sleeping;
        self.view.number += 1;
        self.view.held = self.live.len();
        self.view.waiting_workers = self.lessees.len();
        self.views.set_asked(self.lessees.asked(mono));
        let own = self.kinds.held();
        self.view.depth = BandMap::from_fn(|band| self.window.held(band) + own[band]);
        self.view.store_up = !self.is_down(mono);
        let silent = self.under_way.as_ref().map(|way| mono.since(way.since));
        self.view.store_up &= silent.is_none_or(|silent| silent < Self::PATIENCE);
        self.views.publish(self.view.clone(), &self.books);
    }

    /// The next random number (xorshift64*): jitter needs no better one.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
