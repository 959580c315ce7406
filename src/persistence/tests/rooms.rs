//! Types with room of their own: one at its limit, and one that nobody runs, delay no other.

use std::time::Duration;

use super::node::{Node, START, checked, draft};
use crate::clock::ManualClock;
use crate::domain::{Band, Draft, Failure, FailureKind, Outcome, StatusKind, TaskId};
use crate::persistence::{Answer, Command};
use crate::queue::WindowSizes;
use crate::store::memory::MemoryDisk;

fn banded(task_type: &str, band: Band) -> Draft {
    Draft { priority: Some(band.name().into()), ..draft(task_type) }
}

fn done(node: &mut Node) -> Option<TaskId> {
    node.run(Outcome::Done(None))
}

#[test]
fn a_type_at_its_limit_waits_in_the_store_in_order_and_delays_no_other() {
    let mut node = Node::new();
    let few: Vec<_> = (0..20).map(|_| node.submit(draft("FEW")).id).collect();
    let others: Vec<_> = (0..20).map(|_| node.submit(draft("NOOP")).id).collect();
    node.settle();
    let running = [node.take().unwrap(), node.take().unwrap()];
    assert_eq!(running.each_ref().map(|taken| taken.ticket.id), [few[0], few[1]]);
    let ran: Vec<_> = (0..20).filter_map(|_| done(&mut node)).collect();
    assert_eq!(ran, others);
    assert!(node.take().is_none(), "more than two of the type are in memory");
    node.end(&running[0], Outcome::Done(None));
    node.end(&running[1], Outcome::Done(None));
    let rest: Vec<_> = std::iter::from_fn(|| done(&mut node)).collect();
    assert_eq!(rest, few[2..]);
}

#[test]
fn what_is_urgent_of_a_type_at_its_limit_goes_before_what_waits_longer() {
    let mut node = Node::new();
    let low: Vec<_> = (0..10).map(|_| node.submit(banded("FEW", Band::Low)).id).collect();
    let running = node.take().unwrap();
    let high: Vec<_> = (0..5).map(|_| node.submit(banded("FEW", Band::High)).id).collect();
    node.end(&running, Outcome::Done(None));
    let ran: Vec<_> = std::iter::from_fn(|| done(&mut node)).collect();
    assert_eq!(ran, [&high[..], &low[1..]].concat());
}

#[test]
fn a_hundred_thousand_tasks_of_a_type_nobody_runs_delay_nobody_and_take_no_memory() {
    let mut node = Node::new();
    let batch: Vec<_> = (0..10_000).map(|_| checked(draft("REMOTE"))).collect();
    for _ in 0..10 {
        let told = node.send(batch.clone());
        node.settle();
        assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
    }
    for task_type in ["NOOP", "FEW"] {
        let id = node.submit(draft(task_type)).id;
        assert_eq!(done(&mut node), Some(id));
    }
    node.pass(Duration::from_secs(2));
    let view = node.views.view();
    assert_eq!((view.held, view.depth.0), (0, [0; 5]));
}

#[test]
fn a_retry_of_a_type_with_room_of_its_own_comes_at_its_time() {
    let mut node = Node::new();
    for delay_ms in [0, 500, 60_000] {
        let retried = Draft { retry_delay_ms: Some(delay_ms), ..draft("FEW") };
        let id = node.submit(retried).id;
        node.run(Outcome::Failed(Failure::new(FailureKind::Error, "no"))).unwrap();
        if delay_ms > 0 {
            // Half of a wait is jitter.
            node.pass(Duration::from_millis(delay_ms as u64 / 2 - 1));
            assert!(node.take().is_none(), "too early");
        }
        node.pass(Duration::from_millis(delay_ms as u64 / 2 + 1));
        // What waits in the store is looked for every second.
        node.pass(Duration::from_secs(1));
        assert_eq!(done(&mut node), Some(id), "after {delay_ms} ms");
    }
}

#[test]
fn room_comes_back_whatever_becomes_of_a_task() {
    let mut node = Node::new();
    for way in 0..4 {
        let id = node.submit(draft("FEW")).id;
        match way {
            0 => assert_eq!(node.done(id, Command::Cancel), StatusKind::Cancelled),
            1 => {
                assert_eq!(node.done(id, Command::Put(StatusKind::Paused)), StatusKind::Paused);
                assert_eq!(node.done(id, Command::Put(StatusKind::Queued)), StatusKind::Queued);
                assert_eq!(done(&mut node), Some(id));
            }
            2 => {
                node.done(id, Command::Put(StatusKind::Running));
                node.done(id, Command::Put(StatusKind::Completed));
            }
            _ => {
                let taken = node.take().unwrap();
                node.done(id, Command::Put(StatusKind::Failed));
                node.end(&taken, Outcome::Done(None));
            }
        }
        assert!(node.take().is_none());
        node.pass(Duration::from_secs(1));
    }
    let view = node.views.view();
    assert_eq!((view.held, view.depth.0), (0, [0; 5]));
}

#[test]
fn a_start_takes_over_more_tasks_of_a_type_than_it_has_room_for() {
    let (store, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let mut first = Node::on(&store, clock.clone(), WindowSizes::default());
    let ids: Vec<_> = (0..6).map(|_| first.submit(draft("FEW")).id).collect();
    drop(first);
    let mut second = Node::on(&store, clock, WindowSizes::default());
    second.settle();
    let ran: Vec<_> = std::iter::from_fn(|| done(&mut second)).collect();
    assert_eq!(ran, ids);
}

#[test]
fn tasks_of_the_pool_wait_in_the_store_until_a_slot_can_take_them_and_go_in_order() {
    let mut node = Node::new();
    let ids: Vec<_> = (0..10).map(|_| node.submit(draft("SLOW")).id).collect();
    assert!(node.take().is_none(), "a core never sees them");
    node.settle();
    let mut ran = Vec::new();
    while let Some(started) = node.take_slow() {
        ran.push(started.ticket.id);
        assert!(node.views.view().held <= 10);
        node.end_slow(&started, Outcome::Done(None));
        node.pass(Duration::from_millis(10));
    }
    assert_eq!(ran, ids);
    assert!(ids.iter().all(|id| node.status(*id) == StatusKind::Completed));
}

#[test]
fn a_type_whose_slots_are_all_taken_for_long_holds_nothing_more_in_memory() {
    let mut node = Node::new();
    let first = [node.submit(draft("SLOW")).id, node.submit(draft("SLOW")).id];
    let running = [node.take_slow().unwrap(), node.take_slow().unwrap()];
    assert_eq!(running.each_ref().map(|started| started.ticket.id), first);
    node.pass(Duration::from_secs(5));
    let ids: Vec<_> = (0..50).map(|_| node.submit(draft("SLOW")).id).collect();
    node.pass(Duration::from_secs(2));
    assert_eq!(node.views.view().held, 2);
    assert!(node.take_slow().is_none());
    node.end_slow(&running[0], Outcome::Done(None));
    assert_eq!(node.take_slow().map(|started| started.ticket.id), Some(ids[0]));
}

#[test]
fn a_task_of_the_pool_is_withdrawn_before_it_runs_and_asked_to_stop_while_it_does() {
    let mut node = Node::new();
    let waiting = node.submit(draft("SLOW")).id;
    assert_eq!(node.done(waiting, Command::Cancel), StatusKind::Cancelled);
    assert!(node.take_slow().is_none());
    let id = node.submit(draft("SLOW")).id;
    let started = node.take_slow().unwrap();
    started.wishes.set_progress(40);
    let Ok(Answer::Asked(seen)) = node.order(id, Command::Cancel) else { panic!("not asked") };
    assert_eq!(seen.task.state.status.kind(), StatusKind::Running);
    assert_eq!(seen.task.state.progress, Some(40));
    assert!(started.wishes.is_asked_to_stop());
    node.end_slow(&started, Outcome::Cancelled);
    assert_eq!(node.status(id), StatusKind::Cancelled);
    assert_eq!(node.views.view().depth.0, [0; 5]);
}
