//! The lanes' promises: stepped on one thread, exactly; on real threads, within their bound.

mod board;
mod sleep;
mod stepped;
mod threads;

use std::cell::Cell;
use std::sync::Arc;

use crossbeam_deque::Steal;

use super::scan::{Place, Tactic};
use super::{Entrance, LaneSettings, Seat, Share, Ticket};
use crate::domain::{Band, Epoch, TaskId, TimeMs};

const BATCH: usize = 8;

fn ticket(n: u64, band: Band) -> Arc<Ticket<()>> {
    Arc::new(Ticket::new(TaskId::new(n + 1).unwrap(), Epoch(1), band, TimeMs::ZERO, ()))
}

fn lanes(seats: usize, share: Share) -> (Arc<Entrance<()>>, Vec<Seat<()>>) {
    Entrance::new(seats, LaneSettings { steal_batch: BATCH, share })
}

/// A small seeded source of random numbers (xorshift64*).
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn band(&mut self) -> Band {
        Band::ALL[self.below(5) as usize]
    }
}

thread_local! {
    /// Decides when a look is told `Retry` although nobody was quicker, which the deques may do.
    static RETRIES: Cell<u64> = const { Cell::new(1) };
}

fn seed_retries(seed: u64) {
    RETRIES.set(Random::new(seed).0);
}

fn is_refused() -> bool {
    let mut random = Random(RETRIES.get());
    let refused = random.below(4) == 0;
    RETRIES.set(random.0);
    refused
}

/// The promised order on deques that say `Retry` now and then, and an intake that gives as many as
/// it may: crossbeam's gives half of what it has, so it seldom runs dry at once and breaches of the
/// order hide.
const PROMISED: Tactic<()> = Tactic {
    rob: |lane, _| if is_refused() { Steal::Retry } else { lane.steal() },
    fetch: |intake, own, limit| {
        if is_refused() {
            return Steal::Retry;
        }
        let first = intake.steal();
        if first.is_success() {
            for _ in 1..limit {
                intake.steal().success().into_iter().for_each(|ticket| own.push(ticket));
            }
        }
        first
    },
    ..Tactic::PROMISED
};

/// Other lanes before the intake: what moves behind the scan's back is overlooked.
const SWAPPED: Tactic<()> =
    Tactic { plan: [Place::Own, Place::Busy, Place::Others, Place::Intake], ..PROMISED };

/// Several tickets from lane to lane: the same, in step 4.
const LANE_TO_LANE: Tactic<()> =
    Tactic { rob: |lane, own| lane.steal_batch_with_limit_and_pop(own, BATCH), ..PROMISED };

/// `Retry` taken for empty: the band is left although it has tickets.
const RETRY_IS_EMPTY: Tactic<()> = Tactic { takes_retry_for_empty: true, ..PROMISED };
