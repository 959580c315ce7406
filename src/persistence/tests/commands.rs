//! What a person can ask of a task, wherever the task is.

use super::node::{Node, START, draft};
use crate::domain::{Draft, Epoch, Failure, FailureKind, Outcome, StatusKind};
use crate::persistence::{Answer, Command, Refusal};
use crate::store::StoreError;

const REST: std::time::Duration = std::time::Duration::from_millis(500);

/// It stayed SCHEDULED for ever, and nobody could take it.
#[test]
fn an_outside_worker_takes_a_task_whose_time_has_come() {
    let mut node = Node::new();
    let due = START.plus_ms(60_000);
    let id = node.submit(Draft { scheduled_for: Some(due), ..draft("REMOTE") }).id;
    let early = node.order(id, Command::Put(StatusKind::Running));
    assert!(matches!(early, Err(Refusal::IllegalMove { .. })), "{early:?}");
    node.pass(std::time::Duration::from_secs(61));
    assert_eq!(node.done(id, Command::Put(StatusKind::Running)), StatusKind::Running);
    assert_eq!(node.status(id), StatusKind::Running);
    assert_eq!(node.done(id, Command::Put(StatusKind::Completed)), StatusKind::Completed);
}

#[test]
fn a_queued_task_is_cancelled_and_never_starts() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    assert_eq!(node.done(id, Command::Cancel), StatusKind::Cancelled);
    assert!(node.take().is_none());
    assert_eq!(node.status(id), StatusKind::Cancelled);
    let again = node.order(id, Command::Cancel);
    assert!(
        matches!(again, Err(Refusal::IllegalMove { from: StatusKind::Cancelled })),
        "{again:?}"
    );
}

#[test]
fn a_running_task_is_asked_to_stop_and_ends_cancelled_once_it_has() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    let taken = node.take().unwrap();
    assert!(matches!(node.order(id, Command::Cancel), Ok(Answer::Asked(_))));
    assert!(node.stored(id).state.cancel_requested, "the wish is not on record");
    node.end(&taken, Outcome::Cancelled);
    assert_eq!(node.status(id), StatusKind::Cancelled);
}

#[test]
fn a_task_that_ends_before_it_notices_the_cancel_keeps_its_outcome() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    let taken = node.take().unwrap();
    node.order(id, Command::Cancel).unwrap();
    node.end(&taken, Outcome::Done(None));
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn a_paused_task_rests_until_it_is_resumed() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    assert_eq!(node.done(id, Command::Put(StatusKind::Paused)), StatusKind::Paused);
    node.pass(REST);
    assert!(node.take().is_none());
    assert_eq!(node.done(id, Command::Put(StatusKind::Queued)), StatusKind::Queued);
    assert_eq!(node.run(Outcome::Done(None)), Some(id));
}

#[test]
fn a_task_paused_before_its_time_is_scheduled_again() {
    let mut node = Node::new();
    let due = START.plus_ms(60_000);
    let id = node.submit(Draft { scheduled_for: Some(due), ..draft("NOOP") }).id;
    node.done(id, Command::Put(StatusKind::Paused));
    assert_eq!(node.done(id, Command::Put(StatusKind::Queued)), StatusKind::Scheduled);
}

#[test]
fn a_retry_revives_an_ended_task_under_a_new_epoch() {
    let mut node = Node::new();
    let id = node.submit(Draft { retries_max: Some(0), ..draft("NOOP") }).id;
    node.run(Outcome::Failed(Failure::new(FailureKind::Error, "no"))).unwrap();
    assert_eq!(node.status(id), StatusKind::Failed);
    assert_eq!(node.done(id, Command::Retry), StatusKind::Queued);
    let taken = node.take().unwrap();
    assert_eq!((taken.ticket.id, taken.ticket.epoch), (id, Epoch(2)));
    node.end(&taken, Outcome::Done(None));
    assert_eq!(node.status(id), StatusKind::Completed);
    assert!(matches!(node.order(id, Command::Retry), Err(Refusal::IllegalMove { .. })));
}

#[test]
fn a_task_left_behind_starts_again_only_after_its_old_attempt_has_ended() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    let old = node.take().unwrap();
    node.done(id, Command::Put(StatusKind::Failed));
    assert_eq!(node.done(id, Command::Retry), StatusKind::Queued);
    assert!(node.take().is_none(), "it runs twice at once");
    node.end(&old, Outcome::Done(None));
    assert_eq!(node.run(Outcome::Done(None)), Some(id));
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn an_outside_worker_takes_a_task_and_reports_by_put() {
    for (task_type, end) in [("NOOP", StatusKind::Completed), ("REMOTE", StatusKind::Failed)] {
        let mut node = Node::new();
        let id = node.submit(draft(task_type)).id;
        assert_eq!(node.done(id, Command::Put(StatusKind::Running)), StatusKind::Running);
        assert!(node.take().is_none(), "a core has it too");
        let again = Command::Put(StatusKind::Running);
        assert_eq!(node.done(id, again), StatusKind::Running);
        assert_eq!(node.done(id, Command::Put(end)), end);
        assert_eq!(node.status(id), end);
    }
}

#[test]
fn an_outside_worker_that_stays_silent_times_out() {
    let mut node = Node::new();
    let id = node.submit(Draft { timeout_s: Some(2), ..draft("NOOP") }).id;
    node.done(id, Command::Put(StatusKind::Running));
    node.pass(std::time::Duration::from_millis(2001));
    let state = node.stored(id).state;
    assert_eq!(state.status.kind(), StatusKind::Retrying);
    assert_eq!(state.last_error.unwrap().0, FailureKind::Timeout);
}

#[test]
fn a_command_on_an_unknown_task_finds_nothing() {
    let mut node = Node::new();
    let id = crate::domain::TaskId::new(77).unwrap();
    assert!(matches!(node.order(id, Command::Cancel), Err(Refusal::NotFound)));
}

#[test]
fn the_same_status_again_changes_nothing() {
    let mut node = Node::new();
    let task = node.submit(draft("REMOTE"));
    assert_eq!(node.done(task.id, Command::Put(StatusKind::Queued)), StatusKind::Queued);
    assert_eq!(node.stored(task.id).state.version, task.state.version);
}

#[test]
fn a_cancel_that_cannot_be_stored_leaves_the_task_to_run() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    node.fail_commits([Some(StoreError::Data("no".into())), Some(StoreError::Data("no".into()))]);
    let answer = node.order(id, Command::Cancel);
    assert!(matches!(answer, Err(Refusal::Bad(_))), "{answer:?}");
    // The failed look at the rest of the batch is tried again.
    node.pass(REST);
    assert_eq!(node.run(Outcome::Done(None)), Some(id));
}
