//! Parking on real threads; the protocol itself is model-checked in `models`.

use std::time::Duration;

use crossbeam_channel::bounded;

use super::{lanes, ticket};
use crate::domain::Band;
use crate::queue::{Moment, Share, Take};
use crate::stop::Stop;

const LONG: Duration = Duration::from_secs(20);

#[test]
fn every_ticket_wakes_somebody_and_a_stop_wakes_all() {
    let (entrance, seats) = lanes(3, Share::Strict);
    let stop = Stop::new();
    let (taken, was_taken) = bounded(1);
    std::thread::scope(|scope| {
        for mut seat in seats {
            let (taken, stop) = (taken.clone(), stop.clone());
            scope.spawn(move || {
                while !stop.asked() {
                    match seat.take(Moment::default()) {
                        Take::Taken(it) => {
                            seat.end(0);
                            taken.send(it.ticket.id).unwrap();
                        }
                        Take::Withdrawn => {}
                        Take::Nothing => seat.sleep(None, || stop.asked()),
                    }
                }
            });
        }
        // One at a time, so that each finds everybody asleep or about to be.
        for n in 0..2000 {
            let ticket = ticket(n, Band::Medium);
            let id = ticket.id;
            entrance.push(ticket);
            entrance.wake(1);
            assert_eq!(was_taken.recv_timeout(LONG), Ok(id), "a wake-up was lost");
        }
        stop.ask();
        entrance.wake_all();
    });
    assert!(entrance.board().total().parked > 0);
}

#[test]
fn a_seat_with_tickets_does_not_sleep() {
    let (entrance, mut seats) = lanes(1, Share::Strict);
    entrance.push(ticket(0, Band::Bulk));
    seats[0].sleep(Some(LONG), || false);
    assert_eq!(entrance.board().total().parked, 0);
    assert!(matches!(seats[0].take(Moment::default()), Take::Taken(_)));
    seats[0].end(0);
    seats[0].sleep(Some(Duration::from_millis(1)), || false);
    assert_eq!(entrance.board().total().parked, 1);
}
