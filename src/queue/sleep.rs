//! Sleep: cores without work park, and no wake-up is lost.
//!
//! Each seat has a bit in a shared map: *I am about to sleep, or asleep*. The two sides do:
//!
//! | sleeper | waker |
//! |---|---|
//! | 1. sets its bit | 1. makes work visible |
//! | 2. fence | 2. fence |
//! | 3. looks at every queue again | 3. looks at the map |
//! | 4. nothing: parks; something: clears its bit | 4. clears one bit, unparks that seat |
//!
//! Both fences are sequentially consistent, so one comes first. If the sleeper's does, the waker
//! sees its bit; if the waker's does, the sleeper sees the work. They may both see, which costs one
//! look too many, but never neither.
//!
//! A bit is cleared by whoever wins it: a waker that wins it owes that seat one unpark, and the
//! parker keeps the token if the seat has not parked yet. A token left over from a race ends the
//! next park at once; the seat then looks around and comes back. So waking is never wrong, and
//! without sleepers it costs a fence and a load that nobody writes to.

use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::sync::{AtomicU64, Ordering, Parker, Unparker, fence};

const BITS: usize = u64::BITS as usize;

/// Who sleeps.
pub(super) struct Sleepers {
    map: Box<[CachePadded<AtomicU64>]>,
    unparkers: Box<[Unparker]>,
}

impl Sleepers {
    /// A map for `seats` seats, and what each of them parks on.
    pub fn new(seats: usize) -> (Sleepers, Vec<Parker>) {
        let parkers: Vec<Parker> = (0..seats).map(|_| Parker::new()).collect();
        let unparkers = parkers.iter().map(|parker| parker.unparker().clone()).collect();
        let words = 0..seats.div_ceil(BITS);
        let map = words.map(|_| CachePadded::new(AtomicU64::new(0))).collect();
        (Sleepers { map, unparkers }, parkers)
    }

    /// Parks until somebody wakes this seat or `at_most` has passed, unless `is_work` says after
    /// the announcement that there is something to do. Whether it parked.
    pub fn sleep(
        &self,
        seat: usize,
        parker: &Parker,
        at_most: Option<Duration>,
        is_work: impl Fn() -> bool,
    ) -> bool {
        let (word, bit) = (&self.map[seat / BITS], 1 << (seat % BITS));
        // Relaxed: the fence orders it before the look at the queues, and nothing is published
        // with the bit.
        word.fetch_or(bit, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let parks = !is_work();
        if parks {
            match at_most {
                Some(limit) => parker.park_timeout(limit),
                None => parker.park(),
            }
        }
        // Still set if it did not park, or woke by itself. Relaxed: a waker that wins the bit just
        // before leaves a token, and this seat looks at the queues after this anyway.
        word.fetch_and(!bit, Ordering::Relaxed);
        parks
    }

    /// Wakes up to `n` sleepers. Call it after the work was made visible.
    pub fn wake(&self, n: usize) {
        if n == 0 {
            return;
        }
        fence(Ordering::SeqCst);
        let mut left = n;
        for (index, word) in self.map.iter().enumerate() {
            // Relaxed: the fence above put the work before this look.
            let mut sleeping = word.load(Ordering::Relaxed);
            while left > 0 && sleeping != 0 {
                let place = sleeping.trailing_zeros() as usize;
                let bit = 1 << place;
                // Relaxed: winning decides who unparks, and the parker itself publishes.
                if word.fetch_and(!bit, Ordering::Relaxed) & bit != 0 {
                    self.unparkers[index * BITS + place].unpark();
                    left -= 1;
                }
                sleeping &= !bit;
            }
        }
    }

    /// Wakes everybody, asleep or about to be.
    pub fn wake_all(&self) {
        self.wake(usize::MAX);
    }
}
