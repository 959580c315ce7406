//! Corners in which a task was stuck, overtaken or unbounded once; each test tells how.

use std::time::Duration;

use super::node::{Node, START, checked, draft};
use crate::clock::ManualClock;
use crate::domain::{Outcome, StatusKind, TaskId};
use crate::persistence::{Answer, Command, Message, Refusal, WriterStep};
use crate::queue::WindowSizes;
use crate::store::StoreError;
use crate::store::memory::MemoryDisk;

fn down() -> StoreError {
    StoreError::Unavailable("gone".into())
}

fn start(store: &MemoryDisk, clock: &std::sync::Arc<ManualClock>) -> Node {
    let mut node = Node::on(store, clock.clone(), WindowSizes::default());
    node.settle();
    node
}

/// An attempt that was left behind and then only slept never reported an end, so the task that was
/// resumed waited for that end for ever.
#[test]
fn a_task_left_behind_by_a_sleep_starts_again() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    let taken = node.take().unwrap();
    assert_eq!(node.done(id, Command::Put(StatusKind::Paused)), StatusKind::Paused);
    node.post_sleep(&taken, Duration::from_secs(1));
    assert_eq!(node.done(id, Command::Put(StatusKind::Queued)), StatusKind::Queued);
    assert_eq!(node.run(Outcome::Done(None)), Some(id));
}

/// A suspect that was paused while its turn was on record kept the turn, and no other started.
#[test]
fn a_paused_suspect_gives_up_its_turn() {
    let (store, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let mut node = start(&store, &clock);
    let [a, b] = [node.submit(draft("NOOP")).id, node.submit(draft("NOOP")).id];
    for _ in 0..2 {
        drop(node);
        node = start(&store, &clock);
    }
    assert_eq!(node.done(a, Command::Put(StatusKind::Paused)), StatusKind::Paused);
    assert_eq!(node.run(Outcome::Done(None)), Some(b));
    assert_eq!(node.done(a, Command::Put(StatusKind::Queued)), StatusKind::Queued);
    assert_eq!(node.run(Outcome::Done(None)), Some(a));
}

/// A drained loner kept its record of a start, ran beside another one, and could be blamed for it.
#[test]
fn a_drain_lifts_all_suspicion() {
    let (store, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let mut node = start(&store, &clock);
    let id = node.submit(draft("NOOP")).id;
    for _ in 0..3 {
        drop(node);
        node = start(&store, &clock);
    }
    node.release();
    drop(node);
    let mut node = start(&store, &clock);
    assert_eq!(node.stored(id).state.suspicion, crate::domain::Suspicion::None);
    assert_eq!(node.run(Outcome::Done(None)), Some(id));
}

/// With a full batch and no store, requests were neither taken nor refused.
#[test]
fn a_full_batch_in_an_outage_silences_nobody() {
    let mut node = Node::new();
    for _ in 0..9 {
        let told = node.send((0..1000).map(|_| checked(draft("NOOP"))).collect());
        node.settle();
        assert!(matches!(told.try_recv(), Ok(Ok(_))));
    }
    node.fail_commits(std::iter::repeat_n(Some(down()), 1000));
    for _ in 0..8230 {
        node.run(Outcome::Done(None));
    }
    let told = node.send(vec![checked(draft("NOOP"))]);
    let id = TaskId::new(8999).unwrap();
    let look = node.post(|receipt| Message::Look(id, receipt));
    (0..20).for_each(|_| node.pass(Duration::from_millis(100)));
    assert!(matches!(look.try_recv(), Ok(Ok(Answer::Seen(_)))));
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::StoreDown))));
}

/// The time of the next try was past while the try was under way, so the writer never slept.
#[test]
fn a_store_that_hangs_on_a_second_try_is_waited_for_in_peace() {
    let mut node = Node::new();
    node.fail_commits([Some(down())]);
    let _told = node.send(vec![checked(draft("NOOP"))]);
    node.settle();
    node.clock.advance(Duration::from_millis(50));
    node.round().unwrap();
    node.clock.advance(Duration::from_millis(10));
    let step = node.round().unwrap();
    assert!(!matches!(step, WriterStep::Idle(Duration::ZERO)), "{step:?}");
}

/// A claim that came back short spoke for rows that were left out after it was sent; later ones
/// overtook these.
#[test]
fn a_short_claim_does_not_speak_for_rows_left_out_after_it() {
    let sizes = WindowSizes { tasks_max: 50, ..WindowSizes::default() };
    let mut node = Node::on(&MemoryDisk::new(), ManualClock::at(START), sizes);
    node.settle();
    let mut ids: Vec<_> = (0..11).map(|_| node.submit(draft("NOOP")).id).collect();
    let mut ran = Vec::new();
    for _ in 0..5 {
        let taken = node.take().unwrap();
        node.post_end(&taken, Outcome::Done(None));
        ran.push(taken.ticket.id);
    }
    node.round().unwrap();
    node.commit();
    node.round().unwrap();
    let late: Vec<_> = (0..5).map(|_| node.send(vec![checked(draft("NOOP"))])).collect();
    node.round().unwrap();
    node.settle();
    for told in late {
        let Ok(Ok(Answer::Stored { tasks, .. })) = told.try_recv() else { panic!("not stored") };
        ids.push(tasks[0].id);
    }
    ids.push(node.submit(draft("NOOP")).id);
    for _ in 0..3 {
        while let Some(id) = node.run(Outcome::Done(None)) {
            ran.push(id);
        }
        node.pass(Duration::from_secs(1));
    }
    assert_eq!(ran, ids);
}

/// Withdrawn tickets gave their room back while they still lay in the lanes with their payloads.
#[test]
fn withdrawn_tickets_are_bounded_like_all_others() {
    let sizes = WindowSizes { tasks_max: 500, ..WindowSizes::default() };
    let mut node = Node::on(&MemoryDisk::new(), ManualClock::at(START), sizes);
    for _ in 0..1000 {
        let id = node.submit(draft("NOOP")).id;
        assert_eq!(node.done(id, Command::Cancel), StatusKind::Cancelled);
    }
    assert!(node.waiting_tickets() <= 100, "{} tickets", node.waiting_tickets());
    assert!(node.take().is_none());
    node.submit(draft("NOOP"));
    node.pass(Duration::from_secs(1));
    assert!(node.take().is_some(), "the room of the withdrawn ones never came back");
}

/// Sleeping tasks kept the room of their band, and ready ones waited beside idle cores.
#[test]
fn sleepers_keep_nobody_from_the_cores() {
    let sizes = WindowSizes { tasks_max: 50, ..WindowSizes::default() };
    let mut node = Node::on(&MemoryDisk::new(), ManualClock::at(START), sizes);
    for _ in 0..10 {
        node.submit(draft("WORK"));
        let taken = node.take().unwrap();
        node.post_sleep(&taken, Duration::from_secs(200));
    }
    let id = node.submit(draft("NOOP")).id;
    node.pass(Duration::from_secs(1));
    assert_eq!(node.run(Outcome::Done(None)), Some(id));
}

/// A poisoned task that a person tried again was ended by the next crash although it only waited.
#[test]
fn a_person_gives_a_poisoned_task_all_its_chances_again() {
    let (store, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let mut node = start(&store, &clock);
    let id = node.submit(draft("NOOP")).id;
    for _ in 0..6 {
        drop(node);
        node = start(&store, &clock);
    }
    assert_eq!(node.status(id), StatusKind::Failed);
    assert_eq!(node.done(id, Command::Retry), StatusKind::Queued);
    drop(node);
    let mut node = start(&store, &clock);
    assert_eq!(node.run(Outcome::Done(None)), Some(id));
}

/// A batch with more tasks than there were ids left ran past their end, into ids of the next start.
#[test]
fn a_batch_beyond_the_ids_is_refused() {
    let mut node = Node::new();
    let told = node.send((0..70_000).map(|_| checked(draft("NOOP"))).collect());
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::Busy))));
    node.submit(draft("NOOP"));
}
