//! Which bands have rows in the store that could start but found no room in memory.
//!
//! Once a row of a band was left out, the later ones stay behind it, or they would overtake it. A
//! claim that comes back short says that none is left, but for those left out after it was sent.

use crate::domain::{Band, BandMap};
use crate::store::{ClaimAsk, Claimed};

/// The bands whose rows wait in the store, for tasks that share one room.
#[derive(Debug)]
pub(super) struct Backlog {
    waits: BandMap<bool>,
    /// The batch in which a row of each band was last left out of memory.
    left_in: BandMap<u64>,
}

impl Backlog {
    /// What is in the store is not known yet; the first claims will tell.
    pub fn unknown() -> Backlog {
        Backlog { waits: BandMap([true; 5]), left_in: BandMap::default() }
    }

    /// Whether rows of this band wait in the store.
    pub fn waits(&self, band: Band) -> bool {
        self.waits[band]
    }

    /// A row of this band is left out in the batch with this number.
    pub fn leave_out(&mut self, band: Band, seq: u64) {
        self.waits[band] = true;
        self.left_in[band] = seq;
    }

    /// What was left out in an earlier batch is left out in the one with this number.
    pub fn leave_out_again(&mut self, seq: u64) {
        self.left_in = BandMap([seq; 5]);
    }

    /// A claim that went with batch `seq` came back. A full one says that there is more, also where
    /// nothing was submitted free by this incarnation, as with tasks that were scheduled and have
    /// become due together.
    pub fn claimed(&mut self, ask: &ClaimAsk, claimed: &Claimed, seq: u64) {
        // Of the bands before the one that the last row came from nothing was left.
        let last = claimed.tasks.last().map(|task| task.spec.band.rank());
        for &band in ask.bands.in_order() {
            let is_cut = claimed.has_more && last.is_none_or(|last| band.rank() >= last);
            self.waits[band] = is_cut || self.left_in[band] > seq;
        }
    }
}
