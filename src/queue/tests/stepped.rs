//! Several seats on one thread, in a seeded order of single looks, against a plain list of what is
//! visible and what is taken.

use std::sync::Arc;

use crate::queue::Source::{Intake, OtherLane};

use super::{
    BATCH, LANE_TO_LANE, PROMISED, RETRY_IS_EMPTY, Random, SWAPPED, lanes, seed_retries, ticket,
};
use crate::domain::Band;
use crate::queue::entrance::Holds;
use crate::queue::scan::{Scan, Tactic};
use crate::queue::{Entrance, Moment, Seat, Share, Take, Taken, Ticket};

/// What a run of the stepped engine has seen at its worst.
#[derive(Debug, Default, Clone, Copy)]
struct Worst {
    /// Tickets of one higher band that a take passed over.
    overlooked: usize,
    /// Earlier tickets of its own band that a take passed over.
    overtaken: usize,
    /// Looks that found nothing although there was something all along.
    missed: usize,
    takes: usize,
    by_share: usize,
}

struct Stepped {
    entrance: Arc<Entrance<()>>,
    seats: Vec<(Seat<()>, Doing)>,
    /// By band, in the order they were pushed; withdrawn and taken ones go.
    waiting: [Vec<Arc<Ticket<()>>>; 5],
    pushed: u64,
    random: Random,
    /// The bands that get tickets.
    bands: [Band; 2],
    /// Whether all seats but the first take without a pause between two looks.
    in_one_go: bool,
    worst: Worst,
}

enum Doing {
    Nothing,
    /// A scan is under way; so many had been pushed when it began.
    Scans(Scan, u64),
    Runs,
}

impl Stepped {
    fn new(seats: usize, share: Share, seed: u64) -> Stepped {
        let (entrance, seats) = lanes(seats, share);
        let seats = seats.into_iter().map(|seat| (seat, Doing::Nothing)).collect();
        seed_retries(seed);
        Stepped {
            entrance,
            seats,
            waiting: Default::default(),
            pushed: 0,
            random: Random::new(seed),
            bands: [Band::High, Band::Low],
            in_one_go: !seed.is_multiple_of(4),
            worst: Worst::default(),
        }
    }

    fn push(&mut self, band: Band) {
        let ticket = ticket(self.pushed, band);
        self.pushed += 1;
        self.waiting[band.rank()].push(Arc::clone(&ticket));
        self.entrance.push(ticket);
    }

    fn withdraw_one(&mut self) {
        let band = self.bands[self.random.below(2) as usize].rank();
        if !self.waiting[band].is_empty() {
            let place = self.random.below(self.waiting[band].len() as u64) as usize;
            let ticket = self.waiting[band].remove(place);
            assert!(ticket.withdraw(), "only takers leave tickets that are not ready");
        }
    }

    fn step(&mut self, index: usize, tactic: &Tactic<()>) {
        let (seat, doing) = &mut self.seats[index];
        match doing {
            Doing::Nothing => *doing = Doing::Scans(seat.start_scan(), self.pushed),
            Doing::Runs => {
                seat.end(0);
                *doing = Doing::Nothing;
            }
            Doing::Scans(scan, began) => {
                let began = *began;
                let Some(take) = seat.look(scan, Moment::default(), tactic) else { return };
                *doing = Doing::Nothing;
                match take {
                    Take::Nothing => self.worst.missed += self.visible(began, 5).sum::<usize>(),
                    Take::Withdrawn => {}
                    Take::Taken(taken) => {
                        *doing = Doing::Runs;
                        self.judge(&taken, began);
                    }
                }
            }
        }
    }

    /// How many tickets of each of the first bands were there before and still are.
    fn visible(&self, before: u64, bands: usize) -> impl Iterator<Item = usize> {
        self.waiting[..bands]
            .iter()
            .map(move |waiting| waiting.iter().filter(|ticket| ticket.id.get() <= before).count())
    }

    fn judge(&mut self, taken: &Taken<()>, began: u64) {
        let band = taken.ticket.band.rank();
        let place = self.waiting[band].iter().position(|other| other.id == taken.ticket.id);
        self.waiting[band].remove(place.expect("a ticket is taken once"));
        let overlooked = self.visible(began, band).max().unwrap_or(0);
        let overtaken =
            self.waiting[band].iter().filter(|other| other.id < taken.ticket.id).count();
        let worst = &mut self.worst;
        worst.takes += 1;
        worst.overtaken = worst.overtaken.max(overtaken);
        if taken.by_share {
            worst.by_share += 1;
        } else {
            worst.overlooked = worst.overlooked.max(overlooked);
        }
    }

    /// So many random steps, then everything that is left.
    fn run(mut self, steps: usize, tactic: &Tactic<()>) -> Worst {
        for _ in 0..steps {
            match self.random.below(64) {
                0 => {
                    let band = self.bands[self.random.below(2) as usize];
                    (0..self.random.below(12)).for_each(|_| self.push(band));
                }
                1 => self.withdraw_one(),
                _ => self.step_any(tactic),
            }
        }
        while self.waiting.iter().any(|waiting| !waiting.is_empty()) {
            self.step_any(tactic);
        }
        self.worst
    }

    fn step_any(&mut self, tactic: &Tactic<()>) {
        // Seat 0 goes look by look; now and then it stands still (a real thread loses its CPU) and
        // the others take a few tickets, look by look or in one go.
        if self.random.below(12) > 0 {
            self.step(0, tactic);
        } else {
            for _ in 0..self.random.below(8) {
                let index = self.random.below(self.seats.len() as u64) as usize;
                self.step(index, tactic);
                while self.in_one_go && matches!(self.seats[index].1, Doing::Scans(..)) {
                    self.step(index, tactic);
                }
            }
        }
        // Broken tactics fill lanes that their seats do not announce; let that not be what betrays
        // them.
        for lanes in &self.entrance.lanes {
            for band in Band::ALL {
                lanes.presence.set(band, Holds::Maybe);
            }
        }
    }
}

/// Many short lives, each of which begins with a little in two bands: what goes wrong goes wrong
/// when an intake runs dry while several seats stand around it.
fn lives(n: u64, tactic: &Tactic<()>) -> impl Iterator<Item = Worst> {
    (0..n).map(|seed| {
        let seats = 2 + (seed % 3) as usize;
        let mut engine = Stepped::new(seats, Share::EveryTakes(16), seed);
        engine.bands = [engine.random.band(), engine.random.band()];
        for band in engine.bands {
            (0..engine.random.below(16)).for_each(|_| engine.push(band));
        }
        engine.run(100, tactic)
    })
}

fn is_noticed(tactic: &Tactic<()>) -> bool {
    lives(10_000, tactic).any(|worst| worst.overlooked > 0)
}

#[test]
fn no_take_passes_over_a_ticket_of_a_higher_band() {
    for tactic in [&PROMISED, &Tactic::PROMISED] {
        let (mut takes, mut by_share, mut overtaken) = (0, 0, 0);
        for (seed, worst) in lives(3000, tactic).enumerate() {
            assert_eq!((worst.overlooked, worst.missed), (0, 0), "seed {seed}: {worst:?}");
            (takes, by_share) = (takes + worst.takes, by_share + worst.by_share);
            overtaken = overtaken.max(worst.overtaken);
        }
        assert!(takes > 30_000 && by_share > 500, "too little happened: {takes}, {by_share}");
        // Within a band: at most what lies in the lanes of three others. Nought would mean that
        // the test cannot see it.
        assert!((1..=3 * BATCH).contains(&overtaken), "{overtaken}");
    }
}

#[test]
fn other_lanes_before_the_intake_would_be_noticed() {
    assert!(is_noticed(&SWAPPED));
}

#[test]
fn batches_from_lane_to_lane_would_be_noticed() {
    assert!(is_noticed(&LANE_TO_LANE));
}

#[test]
fn retry_taken_for_empty_would_be_noticed() {
    assert!(is_noticed(&RETRY_IS_EMPTY));
}

#[test]
fn one_seat_takes_in_exact_order() {
    let mut engine = Stepped::new(1, Share::Strict, 7);
    for n in 0..500 {
        engine.push(Band::ALL[n % 5]);
    }
    let worst = engine.run(0, &Tactic::PROMISED);
    assert_eq!((worst.overlooked, worst.overtaken, worst.missed), (0, 0, 0));
    assert_eq!((worst.takes, worst.by_share), (500, 0));
}

/// The bands of the first takes of one seat with plenty in each band.
fn takes_of_a_full_house(share: Share, takes: usize) -> [usize; 5] {
    let (entrance, mut seats) = lanes(2, share);
    for n in 0..5 * takes {
        entrance.push(ticket(n as u64, Band::ALL[n % 5]));
    }
    let mut counts = [0; 5];
    for _ in 0..takes {
        let Take::Taken(taken) = seats[0].take(Moment::default()) else { panic!("nothing left") };
        counts[taken.ticket.band.rank()] += 1;
        assert_eq!(taken.by_share, taken.ticket.band != Band::Critical);
        seats[0].end(0);
    }
    counts
}

#[test]
fn every_band_gets_its_share_of_256_takes() {
    assert_eq!(takes_of_a_full_house(Share::EveryTakes(64), 256), [252, 1, 1, 1, 1]);
    assert_eq!(takes_of_a_full_house(Share::EveryTakes(64), 2560), [2520, 10, 10, 10, 10]);
    assert_eq!(takes_of_a_full_house(Share::Strict, 256), [256, 0, 0, 0, 0]);
}

#[test]
fn a_share_goes_to_the_next_lower_band_that_has_work() {
    let (entrance, mut seats) = lanes(1, Share::EveryTakes(2));
    for n in 0..40 {
        let band = if n % 2 == 0 { Band::Critical } else { Band::Low };
        entrance.push(ticket(n, band));
    }
    let bands = (0..20).map(|_| {
        let Take::Taken(taken) = seats[0].take(Moment::default()) else { panic!("nothing left") };
        seats[0].end(0);
        taken.ticket.band
    });
    assert_eq!(bands.filter(|band| *band == Band::Low).count(), 10);
}

#[test]
fn a_core_inside_a_handler_is_robbed_before_the_intake_is_asked() {
    let (entrance, mut seats) = lanes(2, Share::Strict);
    (0..20).for_each(|n| entrance.push(ticket(n, Band::High)));
    let mut take = |seat: usize| match seats[seat].take(Moment::default()) {
        Take::Taken(taken) => (taken.ticket.id.get(), taken.from),
        other => panic!("{other:?}"),
    };
    assert_eq!(take(0), (1, Intake));
    // The first seat runs 1 and has 2 to 8 in its lane; they are older than what the intake has.
    assert_eq!(take(1), (2, OtherLane));
    assert_eq!(entrance.board().total().stolen, 1);
    assert_eq!(entrance.depth()[Band::High], 18);
    assert_eq!(entrance.waiting(), 18);
}

#[test]
fn withdrawn_tickets_are_dropped_and_counted() {
    let (entrance, mut seats) = lanes(1, Share::Strict);
    let gone = ticket(0, Band::High);
    entrance.push(Arc::clone(&gone));
    assert!(gone.withdraw() && !gone.take());
    assert!(matches!(seats[0].take(Moment::default()), Take::Withdrawn));
    assert!(matches!(seats[0].take(Moment::default()), Take::Nothing));
    assert_eq!((entrance.board().total().withdrawn, entrance.waiting()), (1, 0));
    assert_eq!(entrance.board().running().count(), 0);
}
