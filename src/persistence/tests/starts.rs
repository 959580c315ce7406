//! Submits, starts, retries, delays, and what a restart makes of them.

use std::time::Duration;

use super::node::{Node, START, checked, draft};
use crate::clock::ManualClock;
use crate::domain::{
    Draft, Epoch, Failure, FailureKind, Outcome, Status, StatusKind, Suspicion, TimeMs,
};
use crate::persistence::{Answer, Refusal};
use crate::queue::WindowSizes;
use crate::store::StoreError;
use crate::store::memory::MemoryDisk;

fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure::new(kind, "it broke"))
}

#[test]
fn a_task_is_stored_before_it_is_answered_and_answered_before_it_runs() {
    let mut node = Node::new();
    let told = node.send(vec![checked(draft("NOOP"))]);
    node.round().unwrap();
    assert!(told.try_recv().is_err(), "answered before the commit");
    assert!(node.take().is_none(), "started before the commit");
    node.commit();
    assert!(told.try_recv().is_err() && node.take().is_none());
    node.round().unwrap();
    assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
    let id = node.run(Outcome::Done(None)).expect("a ticket");
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn a_failed_attempt_is_retried_with_a_new_epoch_until_retries_are_used_up() {
    let mut node = Node::new();
    let task = node.submit(Draft { retries_max: Some(1), ..draft("NOOP") });
    node.run(failed(FailureKind::Error)).unwrap();
    let stored = node.stored(task.id);
    assert_eq!((stored.state.retries, stored.state.epoch), (1, Epoch(2)));
    assert!(matches!(stored.state.status, Status::Retrying { .. }));
    assert!(node.take().is_none(), "retried too early");
    node.pass(Duration::from_secs(6));
    node.run(failed(FailureKind::Timeout)).expect("the retry");
    let stored = node.stored(task.id);
    assert_eq!(stored.state.status, Status::Failed);
    assert_eq!(stored.state.last_error.unwrap().0, FailureKind::Timeout);
    node.pass(Duration::from_hours(2));
    assert!(node.take().is_none());
}

#[test]
fn a_scheduled_task_never_starts_early() {
    let mut node = Node::new();
    let due = START.plus_ms(5000);
    let task = node.submit(Draft { scheduled_for: Some(due), ..draft("NOOP") });
    assert_eq!(task.state.status, Status::Scheduled { due });
    node.pass(Duration::from_millis(4999));
    assert!(node.take().is_none());
    node.pass(Duration::from_millis(1));
    assert_eq!(node.run(Outcome::Done(None)), Some(task.id));
}

#[test]
fn a_task_due_in_a_week_waits_in_the_store_and_still_starts() {
    let mut node = Node::new();
    let week = 7 * 86_400_000;
    let due = START.plus_ms(week);
    let task = node.submit(Draft { scheduled_for: Some(due), ..draft("NOOP") });
    node.pass(Duration::from_millis(week - 1000));
    assert!(node.take().is_none());
    node.pass(Duration::from_secs(1));
    node.pass(Duration::from_secs(1));
    assert_eq!(node.run(Outcome::Done(None)), Some(task.id));
}

#[test]
fn what_finds_no_room_waits_in_the_store_and_comes_in_order() {
    let sizes = WindowSizes { tasks_max: 50, ..WindowSizes::default() };
    let mut node = Node::on(&MemoryDisk::new(), ManualClock::at(START), sizes);
    let ids: Vec<_> = (0..100).map(|_| node.submit(draft("NOOP")).id).collect();
    let mut ran = Vec::new();
    while let Some(id) = node.run(Outcome::Done(None)) {
        ran.push(id);
        node.pass(Duration::from_millis(20));
    }
    assert_eq!(ran, ids);
}

/// Each poll brought one claim only, so tasks that were due together trickled in.
#[test]
fn a_backlog_that_became_due_together_comes_in_without_waiting_for_polls() {
    let mut node = Node::new();
    let due = START.plus_ms(7 * 86_400_000);
    let ids = 6000;
    for _ in 0..ids / 100 {
        let scheduled = Draft { scheduled_for: Some(due), ..draft("NOOP") };
        let batch = (0..100).map(|_| checked(scheduled.clone())).collect();
        let told = node.send(batch);
        node.settle();
        assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
    }
    node.pass(Duration::from_hours(7 * 24));
    let mut ran = 0;
    while node.run(Outcome::Done(None)).is_some() {
        ran += 1;
    }
    assert_eq!(ran, ids);
}

#[test]
fn a_type_nobody_serves_is_stored_and_delays_nobody() {
    let mut node = Node::new();
    let waiting = node.submit(draft("REMOTE"));
    let task = node.submit(draft("NOOP"));
    assert_eq!(node.run(Outcome::Done(None)), Some(task.id));
    assert_eq!(node.status(waiting.id), StatusKind::Queued);
}

#[test]
fn too_many_types_are_refused() {
    let mut node = Node::new();
    for n in 0..6 {
        node.submit(draft(&format!("T{n}")));
    }
    let told = node.send(vec![checked(draft("ONE-MORE"))]);
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::TooManyTypes { limit: 10 }))));
}

/// One refused request used up all types that were left, for everybody, until a restart.
#[test]
fn who_is_refused_uses_up_no_types() {
    let mut node = Node::new();
    let types = |prefix: &str| -> Vec<_> {
        (0..12).map(|n| checked(draft(&format!("{prefix}{n}")))).collect()
    };
    let told = node.send(types("MANY"));
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::TooManyTypes { .. }))));

    let unique = |task_type: &str| Draft { unique_key: Some("only".into()), ..draft(task_type) };
    node.submit(unique("STAYS"));
    for n in 0..12 {
        node.fail_commits([Some(StoreError::Data("no".into()))]);
        let told = node.send(vec![checked(draft(&format!("BAD{n}")))]);
        node.settle();
        assert!(matches!(told.try_recv(), Ok(Err(Refusal::Bad(_)))), "{n}");
        let told = node.send(vec![checked(unique(&format!("KNOWN{n}")))]);
        node.settle();
        assert!(matches!(told.try_recv(), Ok(Ok(Answer::Known { .. }))), "{n}");
    }
    for n in 0..3 {
        node.submit(draft(&format!("GOOD{n}")));
    }
}

#[test]
fn a_crash_makes_suspects_that_start_durably_and_innocents_end_well() {
    let store = MemoryDisk::new();
    let clock = ManualClock::at(START);
    let sizes = WindowSizes::default();
    let mut first = Node::on(&store, clock.clone(), sizes);
    let id = first.submit(draft("NOOP")).id;
    first.take().expect("it runs when the node crashes");
    drop(first);
    let mut second = Node::on(&store, clock, sizes);
    second.settle();
    let stored = second.stored(id);
    assert_eq!(stored.state.suspicion, Suspicion::Suspect { started: true });
    assert_eq!(stored.state.epoch, Epoch(2));
    second.run(Outcome::Done(None)).expect("it starts again");
    assert_eq!(second.status(id), StatusKind::Completed);
}

/// A suspect whose turn came while its row was just being brought up to date was passed over for
/// good; the crash test found it.
#[test]
fn a_suspect_that_is_busy_at_its_turn_still_starts() {
    let store = MemoryDisk::new();
    let clock = ManualClock::at(START);
    let mut first = Node::on(&store, clock.clone(), WindowSizes::default());
    let scheduled = Draft { scheduled_for: Some(START.plus_ms(1000)), ..draft("NOOP") };
    // More than may start together, so that most wait for a turn.
    let ids: Vec<_> = (0..400).map(|_| first.submit(scheduled.clone()).id).collect();
    drop(first);
    let mut second = Node::on(&store, clock, WindowSizes::default());
    second.clock.advance(Duration::from_secs(1));
    second.settle();
    let taken = second.take().expect("the first ones have started");
    second.post_end(&taken, Outcome::Done(None));
    second.round().unwrap();
    // While that end is being stored, the rows of those that wait are found to be late.
    second.clock.advance(Duration::from_millis(60));
    second.round().unwrap();
    second.commit();
    second.settle();
    while second.run(Outcome::Done(None)).is_some() {}
    for id in ids {
        assert_eq!(second.status(id), StatusKind::Completed);
    }
}

#[test]
fn two_crashes_do_not_poison_and_three_alone_do() {
    let store = MemoryDisk::new();
    let clock = ManualClock::at(START);
    let mut node = Node::on(&store, clock.clone(), WindowSizes::default());
    let bad = [node.submit(draft("NOOP")).id, node.submit(draft("NOOP")).id];
    let mut crashes = 0;
    while bad.iter().any(|id| !node.status(*id).is_terminal()) {
        // Whatever is taken crashes the node.
        assert!(crashes < 20, "the poisoned tasks never end");
        node.take();
        node = Node::on(&store, clock.clone(), WindowSizes::default());
        node.settle();
        crashes += 1;
        if crashes == 2 {
            assert!(bad.iter().all(|id| !node.status(*id).is_terminal()));
        }
    }
    for id in bad {
        let state = node.stored(id).state;
        assert_eq!(state.status, Status::Failed);
        assert_eq!(state.last_error.unwrap().0, FailureKind::Poison);
    }
}

#[test]
fn a_late_report_of_an_older_claim_is_dropped() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    let old = node.take().unwrap();
    let put = crate::persistence::Command::Put(StatusKind::Failed);
    assert_eq!(node.done(id, put), StatusKind::Failed);
    node.end(&old, Outcome::Done(None));
    assert_eq!(node.status(id), StatusKind::Failed);
    node.pass(Duration::from_secs(1));
    assert_eq!(node.views.view().stale_reports, 1);
}

#[test]
fn a_row_says_within_a_tenth_of_a_second_that_its_task_has_become_due() {
    let mut node = Node::new();
    let due = TimeMs(START.0 + 1000);
    let id = node.submit(Draft { scheduled_for: Some(due), ..draft("NOOP") }).id;
    node.pass(Duration::from_secs(1));
    node.pass(Duration::from_millis(100));
    assert_eq!(node.status(id), StatusKind::Queued);
}
