//! The board, one thread at a time; its races are model-checked in `models`.

use std::sync::Arc;

use super::{lanes, ticket};
use crate::clock::Mono;
use crate::domain::{Band, Epoch, TaskId, TimeMs};
use crate::queue::{Moment, RunEnd, Seat, Share, Take, Taken, Ticket};

fn take(seat: &mut Seat<()>) -> Taken<()> {
    let now = Moment { mono: Mono(7_000), wall: TimeMs(500) };
    match seat.take(now) {
        Take::Taken(taken) => taken,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_board_shows_what_runs_and_since_when() {
    let (entrance, mut seats) = lanes(2, Share::Strict);
    let id = TaskId::new(9).unwrap();
    entrance.push(Arc::new(Ticket::new(id, Epoch(3), Band::High, TimeMs(480), ())));
    let board = entrance.board();
    assert_eq!(board.run_of(id, TimeMs(480)), None);
    take(&mut seats[1]);
    let run = board.run_of(id, TimeMs(480)).unwrap();
    assert_eq!((run.started_at, run.waited_us), (TimeMs(500), 20_000));
    let running = board.running().next().unwrap();
    assert_eq!((running.seat, running.id, running.epoch), (1, id, Epoch(3)));
    assert_eq!((running.deadline, running.ready_at), (None, TimeMs(480)));
    seats[1].set_deadline(Mono(9));
    assert_eq!(board.running().next().unwrap().deadline, Some(Mono(9)));
    assert_eq!(seats[1].end(5), RunEnd::Own);
    assert_eq!(board.running().count(), 0);
    assert_eq!(board.total().busy_us, 5);
}

#[test]
fn a_wish_to_stop_reaches_its_run_and_no_later_one_of_the_same_task() {
    let (entrance, mut seats) = lanes(1, Share::Strict);
    (0..2).for_each(|_| entrance.push(ticket(4, Band::High)));
    let (seat, board) = (&mut seats[0], entrance.board());
    let first = take(seat);
    let id = first.ticket.id;
    assert!(!board.ask_stop(id, Epoch(2)), "another claim");
    assert!(!seat.is_asked_to_stop(first.run));
    assert!(board.ask_stop(id, Epoch(1)));
    assert!(seat.is_asked_to_stop(first.run));
    seat.end(0);
    assert!(!board.ask_stop(id, Epoch(1)), "nothing runs");
    let second = take(seat);
    assert!(!seat.is_asked_to_stop(second.run));
}

#[test]
fn a_run_is_given_up_or_ends_but_not_both() {
    let (entrance, mut seats) = lanes(1, Share::Strict);
    (0..2).for_each(|n| entrance.push(ticket(n, Band::High)));
    let (seat, board) = (&mut seats[0], entrance.board());
    take(seat);
    let running = board.running().next().unwrap();
    assert!(board.give_up(&running));
    assert!(!board.give_up(&running));
    assert_eq!(board.running().count(), 0);
    assert_eq!(seat.end(0), RunEnd::GivenUp);
    take(seat);
    assert!(!board.give_up(&running), "that run is over");
    assert_eq!(seat.end(0), RunEnd::Own);
}
