//! One task type's tickets, and what holds them back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::domain::{Band, BandMap, Breaker, BreakerPolicy, BreakerState, Pace, Rate, TimeMs};
use crate::queue::Ticket;

/// How a line is set up.
#[derive(Debug, Clone)]
pub struct LineSetup {
    /// The task type.
    pub name: Arc<str>,
    /// At most so many run at a time.
    pub limit: usize,
    /// How often one may start.
    pub rate: Option<Rate>,
    /// What may hold it back; lines that name the same guard share it.
    pub guards: Vec<Guard>,
}

/// A breaker by its name.
#[derive(Debug, Clone)]
pub struct Guard {
    /// What it guards.
    pub name: Arc<str>,
    /// When it opens.
    pub policy: BreakerPolicy,
}

/// What a line does, as others may see it.
#[derive(Debug, Clone)]
pub struct LineLook {
    /// The task type.
    pub name: Arc<str>,
    /// At most so many run at a time.
    pub limit: usize,
    /// How many run.
    pub running: usize,
    /// How many wait in memory, by band.
    pub waiting: BandMap<usize>,
    /// How many have started.
    pub started: u64,
    /// How long all that have ended took together, in microseconds.
    pub busy_us: u64,
}

/// When a line may start its next ticket.
pub(super) enum Start {
    Now,
    At(Mono),
    /// As soon as one of its runs, or of those it shares a breaker with, has ended.
    AfterAnEnd,
}

/// A place in the order of service: the band, then the number of the ticket.
pub(super) type Head = (usize, u64);

pub(super) struct Line<W> {
    name: Arc<str>,
    limit: usize,
    pace: Option<Pace>,
    guards: Vec<usize>,
    tickets: BandMap<VecDeque<(u64, Arc<Ticket<W>>)>>,
    /// Of these, so many were withdrawn.
    dead: usize,
    running: usize,
    started: u64,
    busy_us: u64,
    starts: Starts,
}

/// How many starts there were in the second under way and in the one before.
#[derive(Default)]
struct Starts {
    second: u64,
    now: usize,
    before: usize,
}

impl Starts {
    fn roll(&mut self, at: Mono) {
        let second = at.0 / 1_000_000;
        if second != self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
    }

    fn lately(&self, at: Mono) -> usize {
        match (at.0 / 1_000_000).saturating_sub(self.second) {
            0 => self.now.max(self.before),
            1 => self.now,
            _ => 0,
        }
    }
}

impl<W> Line<W> {
    pub fn new(setup: LineSetup, guards: Vec<usize>) -> Line<W> {
        Line {
            name: setup.name,
            limit: setup.limit.max(1),
            pace: setup.rate.map(Pace::new),
            guards,
            tickets: BandMap::from_fn(|_| VecDeque::new()),
            dead: 0,
            running: 0,
            started: 0,
            busy_us: 0,
            starts: Starts::default(),
        }
    }

    pub fn push(&mut self, number: u64, ticket: Arc<Ticket<W>>) {
        self.tickets[ticket.band].push_back((number, ticket));
    }

    /// One of the tickets was withdrawn. They are dropped together, once they are half of all.
    pub fn withdrawn(&mut self) {
        self.dead += 1;
        if self.dead > 16 && 2 * self.dead > self.len() {
            for band in Band::ALL {
                self.tickets[band].retain(|(_, ticket)| !ticket.is_withdrawn());
            }
            self.dead = 0;
        }
    }

    /// A withdrawn ticket was popped.
    pub fn forgot_withdrawn(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    fn len(&self) -> usize {
        Band::ALL.into_iter().map(|band| self.tickets[band].len()).sum()
    }

    /// How many tickets wait.
    pub fn waiting(&self) -> usize {
        self.len().saturating_sub(self.dead)
    }

    fn first(&self) -> Option<&(u64, Arc<Ticket<W>>)> {
        Band::ALL.into_iter().find_map(|band| self.tickets[band].front())
    }

    /// The place of the next ticket.
    pub fn head(&self) -> Option<Head> {
        self.first().map(|(number, ticket)| (ticket.band.rank(), *number))
    }

    /// When the longest waiting ticket became ready.
    pub fn oldest(&self) -> Option<TimeMs> {
        let heads = Band::ALL.into_iter().filter_map(|band| self.tickets[band].front());
        heads.map(|(_, ticket)| ticket.ready_at).min()
    }

    pub fn pop(&mut self) -> Option<Arc<Ticket<W>>> {
        let mut lanes = Band::ALL.into_iter();
        lanes.find_map(|band| self.tickets[band].pop_front()).map(|(_, ticket)| ticket)
    }

    /// When the next ticket may start.
    pub fn may_start(&self, now: Mono, breakers: &[(Arc<str>, Breaker)]) -> Start {
        if self.running >= self.limit {
            return Start::AfterAnEnd;
        }
        let mut at = self.pace.as_ref().map_or(0, Pace::next_us);
        for &guard in &self.guards {
            match breakers[guard].1.state(now.0) {
                BreakerState::Closed => {}
                BreakerState::Open { until_us } => at = at.max(until_us),
                BreakerState::HalfOpen { trials_left: 0 } => return Start::AfterAnEnd,
                BreakerState::HalfOpen { .. } => {}
            }
        }
        if at > now.0 { Start::At(Mono(at)) } else { Start::Now }
    }

    /// Counts a start; gives the breakers it goes through.
    pub fn begin(&mut self, now: Mono) -> Vec<usize> {
        self.running += 1;
        self.started += 1;
        self.starts.roll(now);
        self.starts.now += 1;
        self.pace.as_mut().map(|pace| pace.start(now.0));
        self.guards.clone()
    }

    pub fn ended(&mut self, took: Duration) {
        self.running -= 1;
        self.busy_us += took.as_micros() as u64;
    }

    /// How many tasks are worth having in memory: those that run, those that could start now, and
    /// as many as started within the last second. `free`: threads that could still be had; `room`:
    /// how many more tickets may wait.
    pub fn capacity(
        &self,
        now: Mono,
        ahead: Duration,
        free: usize,
        room: usize,
        breakers: &[(Arc<str>, Breaker)],
    ) -> usize {
        let slots = self.limit.saturating_sub(self.running).min(free);
        let mut starts = slots + self.starts.lately(now).min(room);
        if let Some(pace) = &self.pace {
            starts = starts.min(pace.starts_within(now.0, ahead.as_micros() as u64));
        }
        for &guard in &self.guards {
            starts = match breakers[guard].1.state(now.0) {
                BreakerState::Closed => starts,
                BreakerState::Open { .. } => 0,
                BreakerState::HalfOpen { trials_left } => starts.min(trials_left as usize),
            };
        }
        self.running + starts
    }

    pub fn look(&self) -> LineLook {
        LineLook {
            name: Arc::clone(&self.name),
            limit: self.limit,
            running: self.running,
            waiting: BandMap::from_fn(|band| self.tickets[band].len()),
            started: self.started,
            busy_us: self.busy_us,
        }
    }
}
