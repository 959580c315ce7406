//! Answers that come together item by item: one report about many leases, of which each item fares
//! by itself and the whole is answered at once.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::lease::LeaseFate;
use super::{Answer, Receipt, Refusal};

/// An item's place in the answer it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    answer: u64,
    item: usize,
}

/// The answers that are not complete yet.
#[derive(Debug, Default)]
pub(super) struct Gatherings {
    next: u64,
    open: HashMap<u64, Gathering, RandomState>,
}

#[derive(Debug)]
struct Gathering {
    items: Vec<Option<LeaseFate>>,
    left: usize,
    receipt: Receipt,
}

impl Gatherings {
    /// Begins an answer of so many items, and gives their places.
    pub fn begin(&mut self, count: usize, receipt: Receipt) -> impl Iterator<Item = Place> + use<> {
        self.next += 1;
        let answer = self.next;
        if count == 0 {
            receipt.settle(Ok(Answer::Reported(Vec::new())));
        } else {
            let gathering = Gathering { items: vec![None; count], left: count, receipt };
            self.open.insert(answer, gathering);
        }
        (0..count).map(move |item| Place { answer, item })
    }

    /// One item's fate is known; with the last one the answer goes out.
    pub fn tell(&mut self, place: Option<Place>, fate: LeaseFate) {
        let Some(Place { answer, item }) = place else { return };
        let Some(gathering) = self.open.get_mut(&answer) else { return };
        if gathering.items[item].replace(fate).is_none() {
            gathering.left -= 1;
        }
        if gathering.left == 0
            && let Some(Gathering { items, receipt, .. }) = self.open.remove(&answer)
        {
            receipt.settle(Ok(Answer::Reported(items.into_iter().flatten().collect())));
        }
    }

    /// One item could not be decided, so the whole is refused; what was stored of it is told when
    /// the worker reports again.
    pub fn refuse(&mut self, place: Option<Place>, why: &Refusal) {
        let Some(gathering) = place.and_then(|place| self.open.remove(&place.answer)) else {
            return;
        };
        gathering.receipt.settle(Err(why.clone()));
    }
}
