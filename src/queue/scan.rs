//! A scan: how far one take has come on its way through the bands and places.
//!
//! It is a value that goes forward look by look, so that tests can let several seats look in any
//! order on one thread. The places and how to take from them are a [`Tactic`], so that tests can
//! also break the order on purpose and see that somebody notices.

use std::sync::Arc;

use crossbeam_deque::{Injector, Steal, Stealer, Worker};

use super::Ticket;
use crate::domain::Band;

/// A place to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The seat's own lane.
    Own,
    /// The lanes of seats inside a handler, one look each.
    Busy,
    /// The intake.
    Intake,
    /// All other lanes, one look each.
    Others,
}

/// What a look found.
pub(super) type Find<W> = Steal<Arc<Ticket<W>>>;
type Lane<W> = Worker<Arc<Ticket<W>>>;
type Rob<W> = fn(&Stealer<Arc<Ticket<W>>>, &Lane<W>) -> Find<W>;
type Fetch<W> = fn(&Injector<Arc<Ticket<W>>>, &Lane<W>, usize) -> Find<W>;

/// The places of a band in the order they are looked at, and how to take from them.
pub(super) struct Tactic<W> {
    pub plan: [Place; 4],
    pub rob: Rob<W>,
    pub fetch: Fetch<W>,
    pub takes_retry_for_empty: bool,
}

impl<W> Tactic<W> {
    /// The one that keeps the promise of [`super::Seat`].
    pub const PROMISED: Tactic<W> = Tactic {
        plan: [Place::Own, Place::Busy, Place::Intake, Place::Others],
        rob: |lane, _| lane.steal(),
        fetch: |intake, own, limit| intake.steal_batch_with_limit_and_pop(own, limit),
        takes_retry_for_empty: false,
    };
}

/// How far a take has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    pub kind: ScanKind,
    pub band: Band,
    /// Which of the other seats is looked at, at the places that are many.
    pub victim: usize,
    /// Whether a look at this band was in vain only because somebody else was quicker.
    pub retry: bool,
    place: usize,
    others: usize,
    bands_left: u8,
}

/// Where a scan started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanKind {
    /// At CRITICAL.
    Ordinary,
    /// At a lower band, whose turn it is.
    Share,
}

impl Scan {
    /// A scan of all bands.
    pub fn ordinary(others: usize) -> Scan {
        Scan::new(ScanKind::Ordinary, Band::Critical, others, 5)
    }

    /// A scan of the four lower bands from this one on in turn; if they are all empty, an ordinary
    /// one.
    pub fn share(turn: Band, others: usize) -> Scan {
        Scan::new(ScanKind::Share, turn, others, 4)
    }

    fn new(kind: ScanKind, band: Band, others: usize, bands_left: u8) -> Scan {
        Scan { kind, band, victim: 0, retry: false, place: 0, others, bands_left }
    }

    /// The place to look at next; `None` when the band is through.
    #[inline]
    pub fn next_place(&mut self, plan: &[Place]) -> Option<Place> {
        loop {
            let place = *plan.get(self.place)?;
            let is_many = matches!(place, Place::Busy | Place::Others);
            if !is_many || self.victim < self.others {
                return Some(place);
            }
            (self.place, self.victim) = (self.place + 1, 0);
        }
    }

    /// Goes past the place that was just looked at.
    #[inline]
    pub fn pass(&mut self, place: Place) {
        match place {
            Place::Busy | Place::Others => self.victim += 1,
            Place::Own | Place::Intake => self.place += 1,
        }
    }

    /// On to the next band, or once more through this one. Whether the scan is over.
    pub fn next_band(&mut self) -> bool {
        (self.place, self.victim) = (0, 0);
        if std::mem::take(&mut self.retry) {
            return false;
        }
        self.bands_left -= 1;
        match (self.kind, self.bands_left) {
            (ScanKind::Ordinary, 0) => return true,
            (ScanKind::Share, 0) => *self = Scan::ordinary(self.others),
            (ScanKind::Ordinary, _) => {
                self.band = Band::from_rank(self.band.rank() + 1).unwrap_or(Band::Critical);
            }
            (ScanKind::Share, _) => self.band = next_lower(self.band),
        }
        false
    }
}

/// The next band that has a share: HIGH to BULK in turn.
pub(super) fn next_lower(band: Band) -> Band {
    Band::from_rank(band.rank() + 1).unwrap_or(Band::High)
}
