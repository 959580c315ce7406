//! The queue's own atomics under the model checker: every order of steps that the memory model
//! allows, on the product's own files.
//!
//! `RUSTFLAGS="--cfg modelled" cargo test --release --lib queue::`. The deques are crossbeam's
//! and not modelled; where a protocol needs one, a single modelled atomic stands for it.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::board::{Row, RunEnd};
use super::entrance::{Holds, Presence};
use super::sleep::Sleepers;
use super::{Board, Moment, Ticket};
use crate::clock::Mono;
use crate::domain::{Band, Epoch, TaskId, TimeMs};

fn id(n: u64) -> TaskId {
    TaskId::new(n).unwrap()
}

/// A thread's work, published as weakly as possible: the protocol itself must order it.
fn take_one(queue: &AtomicU64) -> bool {
    let took = queue.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    took.is_ok()
}

/// A lost wake-up shows as a deadlock: the sleeper has no time limit here.
#[test]
fn a_push_is_never_slept_through() {
    loom::model(|| {
        let (sleepers, mut parkers) = Sleepers::new(1);
        let (sleepers, queue) = (Arc::new(sleepers), Arc::new(AtomicU64::new(0)));
        let parker = parkers.remove(0);
        let sleeper = {
            let (sleepers, queue) = (Arc::clone(&sleepers), Arc::clone(&queue));
            thread::spawn(move || {
                for _ in 0..2 {
                    while !take_one(&queue) {
                        let is_work = || queue.load(Ordering::Relaxed) > 0;
                        sleepers.sleep(0, &parker, None, is_work);
                    }
                }
            })
        };
        for _ in 0..2 {
            queue.fetch_add(1, Ordering::Relaxed);
            sleepers.wake(1);
        }
        sleeper.join().unwrap();
    });
}

#[test]
fn two_pushes_are_taken_by_two_sleepers() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (sleepers, parkers) = Sleepers::new(2);
        let (sleepers, queue) = (Arc::new(sleepers), Arc::new(AtomicU64::new(0)));
        let threads: Vec<_> = parkers
            .into_iter()
            .enumerate()
            .map(|(seat, parker)| {
                let (sleepers, queue) = (Arc::clone(&sleepers), Arc::clone(&queue));
                thread::spawn(move || {
                    while !take_one(&queue) {
                        let is_work = || queue.load(Ordering::Relaxed) > 0;
                        sleepers.sleep(seat, &parker, None, is_work);
                    }
                })
            })
            .collect();
        queue.fetch_add(2, Ordering::Relaxed);
        sleepers.wake(2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_ticket_is_taken_or_withdrawn_but_not_both() {
    loom::model(|| {
        let ticket = Arc::new(Ticket::new(id(1), Epoch(1), Band::High, TimeMs::ZERO, ()));
        let taker = {
            let ticket = Arc::clone(&ticket);
            thread::spawn(move || ticket.take())
        };
        let withdrawn = ticket.withdraw();
        assert_ne!(taker.join().unwrap(), withdrawn);
        assert_eq!(ticket.is_taken(), !withdrawn);
    });
}

/// Somebody who could not withdraw a ticket asks its run to stop. That wish must arrive unless the
/// run is over.
#[test]
fn who_cannot_withdraw_finds_the_run_or_its_end() {
    loom::model(|| {
        let board = Arc::new(Board::new(1));
        let ticket = Arc::new(Ticket::new(id(1), Epoch(1), Band::High, TimeMs::ZERO, ()));
        let over = Arc::new(AtomicU64::new(0));
        let core = {
            let (board, ticket, over) =
                (Arc::clone(&board), Arc::clone(&ticket), Arc::clone(&over));
            thread::spawn(move || {
                let (row, run) = (board.row(0), Row::number(1));
                if row.start(run, &ticket, Moment::default()) {
                    over.store(1, Ordering::Relaxed);
                    row.end();
                }
            })
        };
        if !ticket.withdraw() && !board.ask_stop(id(1), Epoch(1)) {
            assert_eq!(over.load(Ordering::Relaxed), 1, "the run goes on and knows of nothing");
        }
        core.join().unwrap();
    });
}

#[test]
fn a_reading_of_the_board_never_mixes_two_runs() {
    // Every field is a choice of its own, so all orders would take hours; a reading that is wrong
    // needs two switches.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let board = Arc::new(Board::new(1));
        let core = {
            let board = Arc::clone(&board);
            thread::spawn(move || {
                for n in 1..=2 {
                    let at = Moment { mono: Mono(n), wall: TimeMs(n as i64) };
                    board.row(0).begin(Row::number(n), id(n), Epoch(n), at, TimeMs(n as i64));
                    board.row(0).set_deadline(Mono(n));
                    board.row(0).end();
                }
            })
        };
        if let Some(running) = board.running().next() {
            let n = running.id.get();
            assert_eq!((running.epoch, running.run), (Epoch(n), Row::number(n)));
            assert_eq!((running.since.mono, running.since.wall), (Mono(n), TimeMs(n as i64)));
            assert!(running.deadline.is_none_or(|deadline| deadline == Mono(n)));
        }
        core.join().unwrap();
    });
}

#[test]
fn one_of_the_core_and_the_watch_reports_a_run() {
    loom::model(|| {
        let board = Arc::new(Board::new(1));
        let begin = |board: &Board, n| {
            let run = Row::number(n);
            board.row(0).begin(run, id(n), Epoch(1), Moment::default(), TimeMs::ZERO);
        };
        begin(&board, 1);
        let seen = board.running().next().unwrap();
        let core = {
            let board = Arc::clone(&board);
            thread::spawn(move || {
                let end = board.row(0).end();
                begin(&board, 2);
                (end, board.row(0).end())
            })
        };
        let given_up = board.give_up(&seen);
        let (first, second) = core.join().unwrap();
        assert_eq!(first == RunEnd::GivenUp, given_up);
        assert_eq!(second, RunEnd::Own, "a later run pays for an earlier one");
    });
}

/// A seat that found the intake empty, because another moved its tickets, must see that the other's
/// lane may hold something. The intake is one counter here, with the orderings that the injector
/// has; the lane is another.
#[test]
fn a_lane_that_was_filled_is_never_taken_for_empty() {
    loom::model(|| {
        let presence = Arc::new(Presence::default());
        let (intake, lane) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        let mover = {
            let (presence, intake, lane) =
                (Arc::clone(&presence), Arc::clone(&intake), Arc::clone(&lane));
            thread::spawn(move || {
                presence.set(Band::High, Holds::Maybe);
                let moved =
                    intake.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
                lane.store(u64::from(moved), Ordering::Release);
            })
        };
        if intake.load(Ordering::Acquire) == 0 {
            assert!(presence.may_hold(Band::High), "its ticket is overlooked");
        }
        mover.join().unwrap();
        assert_eq!(lane.load(Ordering::Acquire), 1);
    });
}
