//! A seat: one core's lanes, and the order in which it takes tickets.
//!
//! For each band, CRITICAL first, a seat looks at
//!
//! 1. its own lane;
//! 2. the lanes of seats that are inside a handler, for one ticket;
//! 3. the intake, for a few tickets; all but the first go into its own lane, which is empty;
//! 4. every other lane in turn, for one ticket;
//!
//! and goes on to the next band only when all were empty. A `Retry` is not empty: somebody else
//! was quicker, and the band is looked through again.
//!
//! Promise: when a seat takes a ticket, at most (seats at work - 1) x `steal_batch` tickets of each
//! higher band that were visible before its scan began are untaken.
//!
//! Why: such a ticket was in the intake or in a lane. Out of a lane it only goes to its taker, so
//! if it was in a lane that was then found empty, it is taken. If it was in the intake, which was
//! found empty in step 3, some seat had moved it by then into its lane, where step 4 came past
//! *afterwards*; or that seat was just moving it, which is true of at most `steal_batch` tickets of
//! each other seat. This rests on the order of 3 and 4, and on tickets that never go from lane to
//! lane.
//!
//! Every so-many-th take (see [`Share`]) starts at one of the lower bands in turn; such takes are
//! marked, and the promise is not about them.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_deque::{Steal, Worker};

use super::Ticket;
use super::board::{self, Moment, Row, RunEnd, RunNumber};
use super::entrance::{Entrance, Holds, LaneSettings, Share};
use super::scan::{Find, Place, Scan, ScanKind, Tactic};
use super::sleep::Sleepers;
use super::sync::Parker;
use crate::clock::Mono;
use crate::domain::{Band, BandMap};

/// A core's place at the lanes; owned by its thread.
pub struct Seat<W> {
    index: usize,
    own: BandMap<Worker<Arc<Ticket<W>>>>,
    parker: Parker,
    entrance: Arc<Entrance<W>>,
    /// How many runs this seat has put on the board.
    runs: u64,
    /// Takes until the next one that starts at a lower band.
    until_share: u32,
    /// The lower band that is next in turn.
    turn: Band,
    /// Where the last robbed lane was, so that not always the same one is looked at first.
    robbed: usize,
    /// Whether the last take found that this node may start nothing now.
    is_barred: bool,
}

/// What a look through the lanes brought.
#[derive(Debug)]
pub enum Take<W> {
    /// A ticket, taken; its run is on the board and must be ended with [`Seat::end`].
    Taken(Taken<W>),
    /// A ticket that had been withdrawn, now dropped. There may be more.
    Withdrawn,
    /// There is nothing.
    Nothing,
}

/// A ticket that this seat has taken.
#[derive(Debug)]
pub struct Taken<W> {
    /// The ticket.
    pub ticket: Arc<Ticket<W>>,
    /// Its run on this seat.
    pub run: RunNumber,
    /// Where it was.
    pub from: Source,
    /// Whether the take started at a lower band.
    pub by_share: bool,
}

/// Where a ticket was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The seat's own lane.
    OwnLane,
    /// The intake.
    Intake,
    /// Another seat's lane.
    OtherLane,
}

impl<W> Entrance<W> {
    /// Lanes for so many seats; the seats are handed to the threads that sit on them.
    pub fn new(seats: usize, settings: LaneSettings) -> (Arc<Entrance<W>>, Vec<Seat<W>>) {
        let (sleepers, parkers) = Sleepers::new(seats);
        let lanes = |_| BandMap::from_fn(|_| Worker::new_fifo());
        let own: Vec<_> = (0..seats).map(lanes).collect();
        let entrance = Arc::new(Entrance::of(&own, sleepers, settings));
        let places = own.into_iter().zip(parkers).enumerate();
        let seats = places.map(|(n, (own, parker))| Seat::new(n, own, parker, entrance.clone()));
        let seats = seats.collect();
        (entrance, seats)
    }
}

impl<W> Seat<W> {
    fn new(
        index: usize,
        own: BandMap<Worker<Arc<Ticket<W>>>>,
        parker: Parker,
        entrance: Arc<Entrance<W>>,
    ) -> Seat<W> {
        let until_share = share_every(&entrance);
        let turn = Band::High;
        let (runs, robbed, is_barred) = (0, index, false);
        Seat { index, own, parker, entrance, runs, until_share, turn, robbed, is_barred }
    }

    /// The seat's number.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What all seats share.
    pub fn entrance(&self) -> &Arc<Entrance<W>> {
        &self.entrance
    }

    /// How long a seat sleeps while its node may start nothing.
    const BARRED: Duration = Duration::from_millis(20);

    /// Takes the next ticket; its run starts `now`. The seat's former run must have ended.
    pub fn take(&mut self, now: Moment) -> Take<W> {
        self.is_barred = self.entrance.tenure().is_over(now.mono);
        if self.is_barred {
            return Take::Nothing;
        }
        let mut scan = self.start_scan();
        loop {
            if let Some(take) = self.look(&mut scan, now, &Tactic::PROMISED) {
                return take;
            }
        }
    }

    /// Says when the present run's time is up.
    pub fn set_deadline(&self, deadline: Mono) {
        self.row().set_deadline(deadline);
    }

    /// Whether somebody asked this run to stop.
    pub fn is_asked_to_stop(&self, run: RunNumber) -> bool {
        self.row().is_asked(run)
    }

    /// Says how far this run is, in percent.
    pub fn set_progress(&self, run: RunNumber, percent: u8) {
        self.row().set_progress(run, percent);
    }

    /// Ends the present run, which took this long.
    pub fn end(&self, took_us: u64) -> RunEnd {
        board::add(&self.row().busy_us, took_us);
        self.row().end()
    }

    /// Sleeps until somebody wakes it or `at_most` has passed; not at all if there are tickets, or
    /// if `is_wanted` says that there is something else to do.
    pub fn sleep(&mut self, at_most: Option<Duration>, is_wanted: impl Fn() -> bool) {
        let (entrance, barred) = (&self.entrance, self.is_barred);
        let at_most = if barred { Some(Self::BARRED) } else { at_most };
        let is_work = || (!barred && entrance.has_tickets()) || is_wanted();
        if entrance.sleepers.sleep(self.index, &self.parker, at_most, is_work) {
            board::add(&self.row().parked, 1);
        }
    }

    fn row(&self) -> &Row {
        self.entrance.board().row(self.index)
    }

    /// Where a take begins.
    pub(super) fn start_scan(&self) -> Scan {
        let others = self.entrance.lanes.len() - 1;
        let turn = (self.until_share == 1).then_some(self.turn);
        turn.map_or_else(|| Scan::ordinary(others), |band| Scan::share(band, others))
    }

    /// One look at one place, or one step on to the next band. `Some`: the scan is over.
    #[inline]
    pub(super) fn look(
        &mut self,
        scan: &mut Scan,
        now: Moment,
        tactic: &Tactic<W>,
    ) -> Option<Take<W>> {
        let Some(place) = scan.next_place(&tactic.plan) else {
            return scan.next_band().then_some(Take::Nothing);
        };
        let (found, source) = match place {
            Place::Own => (self.look_at_own(scan.band), Source::OwnLane),
            Place::Intake => (self.look_at_intake(scan.band, tactic), Source::Intake),
            Place::Busy | Place::Others => {
                let victim = self.victim(scan.victim);
                (self.look_at_other(victim, scan.band, place, tactic), Source::OtherLane)
            }
        };
        match found {
            Steal::Success(ticket) => return Some(self.claim(ticket, source, scan, now)),
            Steal::Retry if !tactic.takes_retry_for_empty => scan.retry = true,
            Steal::Retry | Steal::Empty => {}
        }
        scan.pass(place);
        None
    }

    fn look_at_own(&self, band: Band) -> Find<W> {
        let presence = &self.entrance.lanes[self.index].presence;
        // Only this seat sets the bit, so without it the lane is surely empty.
        if !presence.may_hold(band) {
            return Steal::Empty;
        }
        self.own[band].pop().map_or(Steal::Empty, Steal::Success)
    }

    fn look_at_intake(&self, band: Band, tactic: &Tactic<W>) -> Find<W> {
        let presence = &self.entrance.lanes[self.index].presence;
        let intake = &self.entrance.intakes[band];
        if intake.is_empty() {
            if presence.may_hold(band) {
                presence.set(band, Holds::Nothing);
            }
            return Steal::Empty;
        }
        if !presence.may_hold(band) {
            presence.set(band, Holds::Maybe);
        }
        let found = (tactic.fetch)(intake, &self.own[band], self.entrance.settings().steal_batch);
        // What lies in this lane now was in the intake before, where others may have looked for it
        // in vain while it moved, and gone to sleep.
        self.entrance.wake(self.own[band].len());
        found
    }

    fn look_at_other(
        &self,
        victim: usize,
        band: Band,
        place: Place,
        tactic: &Tactic<W>,
    ) -> Find<W> {
        let lanes = &self.entrance.lanes[victim];
        let passes = place == Place::Busy && !self.entrance.board().row(victim).is_busy();
        if !lanes.presence.may_hold(band) || passes {
            return Steal::Empty;
        }
        (tactic.rob)(&lanes.stealers[band], &self.own[band])
    }

    /// The seat that is looked at as number `nth` of the others: all but this one, beginning
    /// behind the one that was robbed last.
    fn victim(&self, nth: usize) -> usize {
        let others = self.entrance.lanes.len() - 1;
        // A seat's place among the others is its number, less one behind this seat.
        let start = if self.robbed >= self.index { self.robbed } else { self.robbed + 1 };
        let place = (start + nth) % others;
        if place < self.index { place } else { place + 1 }
    }

    /// Claims a ticket that is in no lane any more.
    fn claim(&mut self, ticket: Arc<Ticket<W>>, from: Source, scan: &Scan, now: Moment) -> Take<W> {
        if from == Source::OtherLane {
            self.robbed = self.victim(scan.victim);
        }
        self.runs += 1;
        let run = Row::number(self.runs);
        let row = self.row();
        if !row.start(run, &ticket, now) {
            board::add(&row.withdrawn, 1);
            return Take::Withdrawn;
        }
        board::add(&row.taken, 1);
        match from {
            Source::OwnLane => {}
            Source::Intake => board::add(&row.from_intake, 1),
            Source::OtherLane => board::add(&row.stolen, 1),
        }
        let by_share = scan.kind == ScanKind::Share;
        if by_share {
            board::add(&row.by_share, 1);
        }
        self.count_share(scan);
        Take::Taken(Taken { ticket, run, from, by_share })
    }

    fn count_share(&mut self, scan: &Scan) {
        self.until_share = match self.until_share {
            0 => 0,
            1 => share_every(&self.entrance),
            n => n - 1,
        };
        if scan.kind == ScanKind::Share {
            self.turn = super::scan::next_lower(scan.band);
        }
    }
}

/// Takes from one share to the next; nought for none.
fn share_every<W>(entrance: &Entrance<W>) -> u32 {
    match entrance.settings().share {
        Share::Strict => 0,
        Share::EveryTakes(n) => n.max(1),
    }
}
