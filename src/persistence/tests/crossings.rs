//! Where leases meet several nodes, silent stores and other configurations.

use std::time::Duration;

use super::leases::{LEASE, ask, beat, collect, done, failed, goes_on, lease, report, slow, wait};
use super::node::{Node, START, checked, draft, served};
use super::several::Town;
use crate::clock::ManualClock;
use crate::domain::{Holding, Outcome, StatusKind, Task, TaskId};
use crate::persistence::{
    Answer, Command, LeaseBeat, LeaseFate, LeaseReport, Message, Refusal, Reported,
};
use crate::queue::WindowSizes;
use crate::store::memory::{Fault, MemoryDisk};
use crate::store::{NodeId, StoreError, Stored};

fn is_free(disk: &MemoryDisk, id: TaskId) -> bool {
    matches!(disk.stored(id), Stored::Live(_, Holding::Free))
}

fn down() -> StoreError {
    StoreError::Unavailable("gone".into())
}

/// The node held the task from then on, for a type of which it knew nobody.
#[test]
fn a_lease_that_runs_out_at_a_node_without_the_type_is_everybodys_again() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let id = a.submit(draft("FAR")).id;
    assert_eq!(lease(&mut a, "w", &["FAR"], 1).len(), 1);
    b.pass(Duration::from_millis(LEASE));
    assert_eq!(b.status(id), StatusKind::Queued);
    assert!(is_free(&town.disk, id), "held where nobody runs it");
    assert_eq!(lease(&mut a, "v", &["FAR"], 1)[0].id, id);
}

#[test]
fn a_task_that_is_retried_at_a_node_without_the_type_is_free() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let id = a.submit(draft("FAR")).id;
    assert_eq!(a.done(id, Command::Cancel), StatusKind::Cancelled);
    assert_eq!(b.done(id, Command::Retry), StatusKind::Queued);
    assert!(is_free(&town.disk, id), "held where nobody runs it");
}

/// A node knew only the types that were stored when it started, and those submitted to it.
#[test]
fn a_worker_that_takes_every_type_hears_of_one_that_only_another_node_has_seen() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let wait = wait(&mut b, ask("w", &[], 5));
    let id = a.submit(draft("FAR")).id;
    b.pass(Duration::from_secs(1));
    b.pass(Duration::from_secs(1));
    assert_eq!(b.wakes.try_recv(), Ok(wait));
    assert_eq!(collect(&mut b, wait)[0].id, id);
}

/// What a node held for an executor that its next configuration lacks stayed held, and started
/// nowhere.
#[test]
fn what_was_held_for_an_executor_that_is_gone_is_left_to_workers() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let mut node = Node::on(&disk, clock.clone(), WindowSizes::default());
    let ids = ["WORK", "FEW"].map(|name| node.submit(draft(name)).id);
    let kept = node.submit(draft("NOOP")).id;
    drop(node);
    let here = vec![served("NOOP", None)];
    let mut node = Node::serving(here, &disk, NodeId(0), clock, WindowSizes::default());
    node.pass(Duration::from_millis(100));
    assert_eq!(ids.map(|id| is_free(&disk, id)), [true, true]);
    let mut leased = lease(&mut node, "w", &[], 9);
    leased.sort_by_key(|task| task.id);
    assert_eq!(leased.iter().map(|task| task.id).collect::<Vec<_>>(), ids);
    assert_eq!(node.run(Outcome::Done(None)), Some(kept));
}

/// Nodes need not all have the same executors.
#[test]
fn a_task_that_was_cancelled_at_a_node_that_died_is_leased_to_nobody() {
    let town = Town::new();
    let here = vec![served("FAR", None)];
    let sizes = WindowSizes { tasks_max: 50, ..WindowSizes::default() };
    let mut a = Node::serving(here, &town.disk, NodeId(1), town.clock.clone(), sizes);
    a.settle();
    let mut b = town.node(2, 50);
    let id = a.submit(draft("FAR")).id;
    a.take().expect("it is run there");
    assert!(matches!(a.order(id, Command::Cancel), Ok(Answer::Asked(_))));
    town.outlive(&mut [&mut b]);
    b.nodes.reap(a.nodes.own()).unwrap().expect("its lease is over");
    assert_eq!(lease(&mut b, "w", &["FAR"], 1), []);
    assert_eq!(b.status(id), StatusKind::Cancelled);
}

/// Whoever stored the failure wrote the whole row as it had been, and the wish was gone.
#[test]
fn a_cancel_at_one_node_is_not_undone_by_what_another_is_about_to_store() {
    for what in [failed(), Reported::Released] {
        let town = Town::new();
        let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
        let id = a.submit(draft("FAR")).id;
        let task = lease(&mut a, "w", &["FAR"], 1).remove(0);
        let reports = vec![LeaseReport { id, epoch: task.state.epoch, what }];
        let told = b.post(|receipt| Message::Report(reports, receipt));
        // The row is looked up, and what comes of it is on its way.
        b.round().unwrap();
        b.commit();
        b.round().unwrap();
        assert!(matches!(a.order(id, Command::Cancel), Ok(Answer::Asked(_))));
        b.commit();
        b.settle();
        assert!(matches!(told.try_recv(), Ok(Ok(Answer::Reported(_)))));
        a.pass(Duration::from_millis(LEASE));
        assert_eq!(a.status(id), StatusKind::Cancelled, "it may run again");
    }
}

/// Each took the lease back between the other's doing so and its verdict, which was stale then.
#[test]
fn nodes_that_take_back_the_same_lease_do_not_keep_each_other_from_it() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let id = a.submit(draft("FAR")).id;
    assert_eq!(lease(&mut a, "w", &["FAR"], 1).len(), 1);
    town.clock.advance(Duration::from_millis(LEASE));
    // Every commit takes as long as it takes until leases are looked at again.
    for _ in 0..20 {
        for node in [&mut a, &mut b] {
            node.round().unwrap();
            node.commit();
            town.clock.advance(Duration::from_millis(500));
        }
    }
    let state = a.stored(id).state;
    assert_eq!(state.status.kind(), StatusKind::Queued, "{:?}", state.epoch);
}

/// The claims and heartbeats of a batch go with its last part; they were forgotten when an earlier
/// one was in doubt, and the type was never asked for again.
#[test]
fn what_a_batch_asks_for_survives_the_doubt_about_its_first_half() {
    for stored in [true, false] {
        let mut node = Node::new();
        node.submit(draft("FAR"));
        let task = lease(&mut node, "w", &["FAR"], 1).remove(0);
        let wait = wait(&mut node, ask("v", &["FAR"], 1));
        let told: Vec<_> = (0..4).map(|_| node.send(vec![checked(draft("FAR"))])).collect();
        let (id, epoch) = (task.id, task.state.epoch);
        let beats = vec![LeaseBeat { id, epoch, lease_ms: LEASE, progress: None }];
        let beaten = node.post(|receipt| Message::Beat("w".into(), beats, receipt));
        node.disk.fault(1, Fault::Fail(StoreError::Data("odd".into())));
        let silent = StoreError::Unknown("the connection went".into());
        let silent = if stored { Fault::FailAfter(silent) } else { Fault::Fail(silent) };
        node.disk.fault(2, silent);
        node.settle();
        node.pass(Duration::from_millis(100));
        for told in told {
            assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))), "{stored}");
        }
        let Ok(Ok(Answer::Reported(fates))) = beaten.try_recv() else { panic!("{stored}") };
        assert!(matches!(fates[..], [LeaseFate::Renewed(_)]), "{stored}: {fates:?}");
        assert_eq!(node.wakes.try_recv(), Ok(wait), "{stored}: the worker waits in vain");
        assert_eq!(collect(&mut node, wait).len(), 1);
    }
}

/// What waited behind a report in memory was dropped with it, unanswered.
#[test]
fn what_waits_for_a_leased_task_is_answered_when_the_report_before_it_is_refused() {
    let mut node = Node::new();
    let id = node.submit(draft("FAR")).id;
    let task = lease(&mut node, "w", &[], 1).remove(0);
    node.fail_commits(std::iter::repeat_with(|| Some(down())).take(60));
    let reported = |node: &Node| {
        let reports = vec![LeaseReport { id, epoch: task.state.epoch, what: done() }];
        node.post(|receipt| Message::Report(reports, receipt))
    };
    let first = reported(&node);
    node.settle();
    let told = [node.ask(id, Command::Cancel), reported(&node), node.ask(id, Command::Retry)];
    node.settle();
    (0..40).for_each(|_| node.pass(Duration::from_millis(100)));
    for (at, told) in std::iter::once(first).chain(told).enumerate() {
        let answer = told.try_recv();
        assert!(matches!(answer, Ok(Err(Refusal::StoreDown))), "{at}: {answer:?}");
    }
    node.script.lock().unwrap().clear();
    node.pass(Duration::from_secs(1));
    assert!(matches!(beat(&mut node, &task, None), LeaseFate::Renewed(_)));
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
}

/// A node with ten tasks that a claim has brought it unseen: its answer was lost.
fn with_unseen_rows() -> (Node, Vec<TaskId>) {
    let sizes = WindowSizes { tasks_max: 50, ..WindowSizes::default() };
    let mut node = Node::on(&MemoryDisk::new(), ManualClock::at(START), sizes);
    let ids: Vec<TaskId> = (0..20).map(|_| node.submit(draft("NOOP")).id).collect();
    for _ in 0..10 {
        let taken = node.take().expect("ten have room");
        node.post_end(&taken, Outcome::Done(None));
    }
    node.round().unwrap();
    node.commit();
    node.disk.fault(1, Fault::FailAfter(StoreError::Unknown("the connection went".into())));
    // The ends are stored, and there is room for the others.
    node.round().unwrap();
    node.commit();
    assert!(ids[10..].iter().all(|id| !is_free(&node.disk, *id)), "they were claimed");
    assert!(node.take().is_none(), "nobody knows it");
    (node, ids[10..].to_vec())
}

fn run_all(node: &mut Node) -> Vec<TaskId> {
    (0..30).for_each(|_| node.pass(Duration::from_millis(100)));
    std::iter::repeat_with(|| node.run(Outcome::Done(None))).map_while(|id| id).collect()
}

#[test]
fn rows_that_a_lost_answer_brought_are_looked_for_and_run() {
    let (mut node, ids) = with_unseen_rows();
    assert_eq!(run_all(&mut node), ids);
}

#[test]
fn rows_that_a_lost_answer_brought_are_looked_for_again_when_the_look_fails() {
    let (mut node, ids) = with_unseen_rows();
    node.looks.lock().unwrap().extend([Some(down()), Some(down())]);
    assert_eq!(run_all(&mut node), ids);
}

#[test]
fn rows_that_a_lost_answer_brought_are_looked_for_again_after_an_outage() {
    let (mut node, ids) = with_unseen_rows();
    // They are known to be there, but cannot be read before all requests are refused.
    node.fail_commits(std::iter::repeat_with(|| Some(down())).take(60));
    node.pass(Duration::from_millis(100));
    let told = node.send(vec![checked(draft("FAR"))]);
    (0..30).for_each(|_| node.pass(Duration::from_millis(100)));
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::StoreDown))));
    node.script.lock().unwrap().clear();
    assert_eq!(run_all(&mut node), ids);
}

/// Memory had gone on as if the report were stored: the run here was stale, and nobody could end
/// the task any more.
#[test]
fn a_report_that_outruns_its_run_and_is_refused_leaves_the_run_as_it_was() {
    let reported = |node: &mut Node, task: &Task, what: Reported| {
        node.fail_commits(std::iter::repeat_with(|| Some(down())).take(60));
        let reports = vec![LeaseReport { id: task.id, epoch: task.state.epoch, what }];
        let told = node.post(|receipt| Message::Report(reports, receipt));
        (0..30).for_each(|_| node.pass(Duration::from_millis(100)));
        assert!(matches!(told.try_recv(), Ok(Err(Refusal::StoreDown))));
        node.script.lock().unwrap().clear();
        node.pass(Duration::from_secs(1));
    };
    for what in [done(), failed(), Reported::Released] {
        let mut node = Node::new();
        let (task, _) = slow(&mut node);
        reported(&mut node, &task, what.clone());
        goes_on(&node, task.id, task.state.epoch);
        node.settle();
        assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept, "{what:?}");
        assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept, "{what:?}, again");
        let (task, _) = slow(&mut node);
        reported(&mut node, &task, what.clone());
        assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept, "{what:?}");
        goes_on(&node, task.id, task.state.epoch);
        node.settle();
        assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept, "{what:?}, again");
        assert_eq!(node.status(task.id), StatusKind::Completed);
    }
}
