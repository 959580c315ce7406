//! The same promise on real threads, where moves are seen half done: within its bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{BATCH, PROMISED, RETRY_IS_EMPTY, Random, lanes, seed_retries, ticket};
use crate::domain::Band;
use crate::queue::scan::Tactic;
use crate::queue::{Moment, Seat, Share, Take, Ticket};

/// The tickets of one run, by band, in the order they are pushed, and how far that has come.
struct Stamps {
    tickets: [Vec<Arc<Ticket<()>>>; 5],
    visible: [AtomicUsize; 5],
    over: AtomicBool,
}

/// What one thread has seen at its worst.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    overlooked: usize,
    takes: usize,
    stolen: usize,
}

impl Stamps {
    fn new(per_band: usize) -> Stamps {
        let of_band = |rank: usize| {
            let tickets = 0..per_band;
            let number = |n: usize| (rank * per_band + n) as u64;
            tickets.map(|n| ticket(number(n), Band::ALL[rank])).collect()
        };
        Stamps {
            tickets: std::array::from_fn(of_band),
            visible: std::array::from_fn(|_| AtomicUsize::new(0)),
            over: AtomicBool::new(false),
        }
    }

    fn visible(&self) -> [usize; 5] {
        // Acquire: what is counted was pushed before, as far as this thread is concerned.
        std::array::from_fn(|rank| self.visible[rank].load(Ordering::Acquire))
    }

    /// How many of the tickets that were visible then are untaken now. `floors`: below these all
    /// are taken, as this thread knows.
    fn overlooked(&self, rank: usize, visible: usize, floors: &mut [usize; 5]) -> usize {
        let tickets = &self.tickets[rank][..visible];
        while floors[rank] < visible && tickets[floors[rank]].is_taken() {
            floors[rank] += 1;
        }
        tickets[floors[rank].min(visible)..].iter().filter(|ticket| !ticket.is_taken()).count()
    }
}

fn take_all(mut seat: Seat<()>, stamps: &Stamps, tactic: &Tactic<()>) -> Seen {
    seed_retries(seat.index() as u64);
    let (mut seen, mut floors) = (Seen::default(), [0; 5]);
    loop {
        // Read before the scan: once it is over, nothing comes after.
        let over = stamps.over.load(Ordering::Acquire);
        let visible = stamps.visible();
        let mut scan = seat.start_scan();
        let take = loop {
            if let Some(take) = seat.look(&mut scan, Moment::default(), tactic) {
                break take;
            }
        };
        let (bands, found) = match &take {
            Take::Taken(taken) if taken.by_share => (0, true),
            Take::Taken(taken) => (taken.ticket.band.rank(), true),
            Take::Nothing | Take::Withdrawn => (5, false),
        };
        for (rank, visible) in visible.into_iter().enumerate().take(bands) {
            let overlooked = stamps.overlooked(rank, visible, &mut floors);
            seen.overlooked = seen.overlooked.max(overlooked);
        }
        if found {
            seen.takes += 1;
            seat.end(0);
        } else if over
            && (0..5).all(|rank| stamps.overlooked(rank, visible[rank], &mut floors) == 0)
        {
            seen.stolen = seat.entrance().board().counts()[seat.index()].stolen as usize;
            return seen;
        }
    }
}

/// Pushes everything from one thread, in bursts of one band, while `seats` others take.
fn race(seats: usize, per_band: usize, tactic: &'static Tactic<()>) -> Vec<Seen> {
    let (entrance, seats) = lanes(seats, Share::EveryTakes(64));
    let stamps = Stamps::new(per_band);
    std::thread::scope(|scope| {
        let stamps = &stamps;
        let threads: Vec<_> = seats
            .into_iter()
            .map(|seat| scope.spawn(move || take_all(seat, stamps, tactic)))
            .collect();
        let mut random = Random::new(11);
        while (0..5).any(|rank| stamps.visible()[rank] < per_band) {
            let rank = random.below(5) as usize;
            let from = stamps.visible()[rank];
            let to = (from + random.below(40) as usize).min(per_band);
            for ticket in &stamps.tickets[rank][from..to] {
                entrance.push(Arc::clone(ticket));
            }
            stamps.visible[rank].store(to, Ordering::Release);
        }
        stamps.over.store(true, Ordering::Release);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn on_real_threads_no_take_passes_over_more_than_its_bound() {
    for seats in [2, 4] {
        for tactic in [&PROMISED, &Tactic::PROMISED] {
            let seen = race(seats, 20_000, tactic);
            assert_eq!(seen.iter().map(|seen| seen.takes).sum::<usize>(), 100_000);
            let worst = seen.iter().map(|seen| seen.overlooked).max().unwrap();
            assert!(worst <= (seats - 1) * BATCH, "{seats} seats: {seen:?}");
        }
    }
}

#[test]
fn on_real_threads_retry_taken_for_empty_would_be_noticed() {
    let seen = race(2, 20_000, &RETRY_IS_EMPTY);
    let worst = seen.iter().map(|seen| seen.overlooked).max().unwrap();
    assert!(worst > BATCH, "{seen:?}");
}
