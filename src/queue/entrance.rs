//! The lanes: where tickets wait for a core.
//!
//! Tickets enter through one intake per band. Each seat (a core, or a spare that stands in for a
//! stuck one) has a lane per band that only it fills and that all may take from. The way is
//! intake, one lane, taken; never from lane to lane and never back. The order of taking, in
//! [`super::Seat`], rests on that.

use std::sync::Arc;

use crossbeam_deque::{Injector, Stealer, Worker};
use crossbeam_utils::CachePadded;

use super::sleep::Sleepers;
use super::sync::{AtomicU8, AtomicU64, Ordering};
use super::{Board, Tenure, Ticket};
use crate::domain::{Band, BandMap};

/// How tickets are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSettings {
    /// How many tickets a seat moves from the intake at once, at most.
    pub steal_batch: usize,
    /// Every so many takes of a seat one starts at a lower band.
    pub share: Share,
}

/// What the lower bands get while higher ones have work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Nothing.
    Strict,
    /// Every so-many-th take of each seat; at least 1.
    EveryTakes(u32),
}

impl Default for LaneSettings {
    fn default() -> LaneSettings {
        LaneSettings { steal_batch: 8, share: Share::EveryTakes(64) }
    }
}

/// What all seats and the writer share of the lanes.
pub struct Entrance<W> {
    pub(super) intakes: BandMap<Injector<Arc<Ticket<W>>>>,
    pub(super) lanes: Box<[Lanes<W>]>,
    pub(super) sleepers: Sleepers,
    board: Board,
    settings: LaneSettings,
    pushed: CachePadded<AtomicU64>,
    tenure: CachePadded<Tenure>,
}

/// What others see of a seat's lanes.
pub(super) struct Lanes<W> {
    pub(super) stealers: BandMap<Stealer<Arc<Ticket<W>>>>,
    pub(super) presence: CachePadded<Presence>,
}

/// The bands in which a seat's lane may hold something, one bit each, so that a look at the many
/// lanes that are empty costs one load.
///
/// The seat sets a bit before it takes from that band's intake, and clears it when it has found its
/// lane and then the intake empty.
pub(super) struct Presence(AtomicU8);

impl Presence {
    /// Whether the lane of this band may hold something.
    ///
    /// Relaxed is enough. A ticket that was in this lane before the caller's scan began was seen to
    /// be there by somebody the caller knows of, and so was the bit. A ticket that left the intake
    /// after the scan began: the caller, who found the intake empty, has synchronised with the step
    /// that emptied it, and the bit was set before that step.
    pub fn may_hold(&self, band: Band) -> bool {
        self.0.load(Ordering::Relaxed) & bit(band) != 0
    }

    /// Says that the lane of this band may hold something from now on, or that it holds nothing.
    pub fn set(&self, band: Band, holds: Holds) {
        let now = self.0.load(Ordering::Relaxed);
        let next = match holds {
            Holds::Maybe => now | bit(band),
            Holds::Nothing => now & !bit(band),
        };
        // A plain store: only the seat itself writes here. Relaxed: see `may_hold`.
        self.0.store(next, Ordering::Relaxed);
    }
}

impl Default for Presence {
    fn default() -> Presence {
        Presence(AtomicU8::new(0))
    }
}

/// What a lane may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Maybe,
    Nothing,
}

fn bit(band: Band) -> u8 {
    1 << band.rank()
}

impl<W> Entrance<W> {
    /// The shared part for seats with these lanes.
    pub(super) fn of(
        own: &[BandMap<Worker<Arc<Ticket<W>>>>],
        sleepers: Sleepers,
        settings: LaneSettings,
    ) -> Entrance<W> {
        let lanes = own.iter().map(|own| Lanes {
            stealers: BandMap::from_fn(|band| own[band].stealer()),
            presence: CachePadded::default(),
        });
        Entrance {
            intakes: BandMap::from_fn(|_| Injector::new()),
            lanes: lanes.collect(),
            sleepers,
            board: Board::new(own.len()),
            settings,
            pushed: CachePadded::new(AtomicU64::new(0)),
            tenure: CachePadded::new(Tenure::for_ever()),
        }
    }

    /// Puts a ticket behind all others of its band. Nobody is woken yet.
    ///
    /// Only one thread, the writer, may push.
    pub fn push(&self, ticket: Arc<Ticket<W>>) {
        super::board::add(&self.pushed, 1);
        self.intakes[ticket.band].push(ticket);
    }

    /// Wakes up to `n` cores that sleep; to be called after so many tickets were pushed.
    pub fn wake(&self, n: usize) {
        self.sleepers.wake(n);
    }

    /// Wakes every core, so that it looks whether it is to stop.
    pub fn wake_all(&self) {
        self.sleepers.wake_all();
    }

    /// What the cores run and have done.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Until when tickets may be taken.
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// How the lanes are set up.
    pub fn settings(&self) -> LaneSettings {
        self.settings
    }

    /// About how many tickets are in the intake and the lanes, withdrawn ones among them: these
    /// stay until a core comes across them. Whoever withdraws and pushes without end must look.
    pub fn waiting(&self) -> usize {
        let total = self.board.total();
        let pushed = self.pushed.load(Ordering::Relaxed);
        pushed.saturating_sub(total.taken + total.withdrawn) as usize
    }

    /// About how many tickets of each band are in the intake and the lanes.
    pub fn depth(&self) -> BandMap<usize> {
        BandMap::from_fn(|band| {
            let in_lanes: usize = self.lanes.iter().map(|lanes| lanes.stealers[band].len()).sum();
            self.intakes[band].len() + in_lanes
        })
    }

    /// Whether there is any ticket for anybody.
    pub(super) fn has_tickets(&self) -> bool {
        let in_lane = |band| self.lanes.iter().any(|lanes| !lanes.stealers[band].is_empty());
        Band::ALL.into_iter().any(|band| !self.intakes[band].is_empty() || in_lane(band))
    }
}
