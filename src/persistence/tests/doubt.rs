//! A store that goes silent in a commit: the batch is kept as it is until the store says what
//! became of it, whoever waits for it is told in time, and nothing is stored twice.

use std::time::Duration;

use super::node::{Node, START, checked, draft};
use crate::clock::ManualClock;
use crate::domain::{Epoch, Outcome, StatusKind, TaskId};
use crate::persistence::{Answer, Command, PersistStep, Refusal, WriterStep};
use crate::queue::WindowSizes;
use crate::store::StoreError;
use crate::store::memory::{Fault, MemoryDisk};

fn silent() -> StoreError {
    StoreError::Unknown("the connection went during the commit".into())
}

/// Whether the commit had reached the store when it went silent.
#[derive(Debug, Clone, Copy)]
enum Stored {
    Yes,
    No,
}

fn lose_answer(node: &Node, nth: u64, stored: Stored) {
    let fault = match stored {
        Stored::Yes => Fault::FailAfter(silent()),
        Stored::No => Fault::Fail(silent()),
    };
    node.disk.fault(nth, fault);
}

#[test]
fn a_commit_without_an_answer_is_settled_and_acknowledged_once() {
    for stored in [Stored::Yes, Stored::No] {
        let mut node = Node::new();
        node.settle();
        lose_answer(&node, 1, stored);
        let told = node.send(vec![checked(draft("NOOP"))]);
        node.settle();
        assert!(told.is_empty(), "{stored:?}: answered before anybody knew");
        node.pass(Duration::from_millis(100));
        let Ok(Ok(Answer::Stored { tasks, .. })) = told.try_recv() else {
            panic!("{stored:?}: not stored")
        };
        assert_eq!(node.disk.tasks().len(), 1, "{stored:?}");
        assert_eq!(node.run(Outcome::Done(None)), Some(tasks[0].id));
        assert_eq!(node.status(tasks[0].id), StatusKind::Completed);
        assert!(node.take().is_none(), "{stored:?}: it started twice");
    }
}

#[test]
fn requests_in_a_doubtful_batch_get_unknown_and_those_behind_it_a_refusal() {
    let mut node = Node::new();
    let ended = node.submit(draft("NOOP")).id;
    let taken = node.take().unwrap();
    lose_answer(&node, 1, Stored::Yes);
    let within = node.send(vec![checked(draft("NOOP"))]);
    node.settle();
    node.disk.set_down(true);
    node.end(&taken, Outcome::Done(None));
    let behind = node.send(vec![checked(draft("NOOP"))]);
    let (mut waited, mut refused_after, mut told_after) = (0, 0, 0);
    while waited < 5000 {
        node.pass(Duration::from_millis(100));
        waited += 100;
        if let Ok(answer) = behind.try_recv() {
            assert!(matches!(answer, Err(Refusal::StoreDown)), "{answer:?}");
            refused_after = waited;
        }
        if let Ok(answer) = within.try_recv() {
            assert!(matches!(answer, Err(Refusal::InDoubt)), "{answer:?}");
            told_after = waited;
        }
    }
    assert!((1..=2000).contains(&refused_after), "refused after {refused_after} ms");
    assert!((2000..=3000).contains(&told_after), "told after {told_after} ms");
    node.disk.set_down(false);
    node.pass(Duration::from_secs(2));
    assert_eq!(node.status(ended), StatusKind::Completed, "the outcome was not kept");
    // The one in doubt is stored, the one behind it is not.
    assert_eq!(node.disk.tasks().len(), 2);
    assert!(node.run(Outcome::Done(None)).is_some(), "the one in doubt never starts");
    assert!(node.take().is_none());
    node.submit(draft("NOOP"));
}

#[test]
fn a_cancel_in_doubt_takes_effect_if_it_was_stored() {
    for stored in [Stored::Yes, Stored::No] {
        let mut node = Node::new();
        let id = node.submit(draft("NOOP")).id;
        lose_answer(&node, 1, stored);
        let told = node.ask(id, Command::Cancel);
        node.settle();
        node.pass(Duration::from_millis(100));
        assert!(matches!(told.try_recv(), Ok(Ok(Answer::Done(_)))), "{stored:?}");
        assert_eq!(node.status(id), StatusKind::Cancelled);
        assert!(node.take().is_none());
    }
}

#[test]
fn rows_of_a_claim_whose_answer_was_lost_are_found_and_run() {
    for stored in [Stored::Yes, Stored::No] {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::at(START));
        let sizes = WindowSizes { tasks_max: 50, ..WindowSizes::default() };
        let mut node = Node::on(&disk, clock, sizes);
        let ids: Vec<TaskId> = (0..100).map(|_| node.submit(draft("NOOP")).id).collect();
        let mut ran = Vec::new();
        while ran.len() < 100 {
            lose_answer(&node, 1, stored);
            while let Some(id) = node.run(Outcome::Done(None)) {
                ran.push(id);
            }
            node.pass(Duration::from_millis(1100));
            assert!(disk.commits() < 2000, "{stored:?}: {} of 100 ran", ran.len());
        }
        ran.sort_unstable();
        assert_eq!(ran, ids, "{stored:?}");
        assert!(disk.tasks().iter().all(|task| task.state.epoch == Epoch(1)), "claimed twice");
    }
}

#[test]
fn a_part_of_a_batch_can_be_in_doubt_alone() {
    for stored in [Stored::Yes, Stored::No] {
        let mut node = Node::new();
        node.settle();
        let told: Vec<_> = (0..4).map(|_| node.send(vec![checked(draft("NOOP"))])).collect();
        let odd = StoreError::Data("odd".into());
        // All four fail together; of the halves, the first is stored and the second goes silent.
        node.disk.fault(1, Fault::Fail(odd));
        lose_answer(&node, 3, stored);
        node.settle();
        let answered = told.iter().filter(|told| !told.is_empty()).count();
        assert_eq!(answered, 2, "{stored:?}");
        node.pass(Duration::from_millis(100));
        for told in told {
            assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))), "{stored:?}");
        }
        assert_eq!(node.disk.tasks().len(), 4, "{stored:?}");
    }
}

#[test]
fn a_hung_persist_thread_is_left_behind_and_what_it_had_is_stored_once() {
    let mut node = Node::new();
    node.settle();
    let told = node.send(vec![checked(draft("NOOP"))]);
    // The old thread hangs with the batch in its hands.
    node.round().unwrap();
    node.clock.advance(Duration::from_secs(6));
    let mut old = node.relieve(1);
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::InDoubt))), "it waited too long to be told");
    assert_eq!(node.disk.tasks().len(), 1);
    // Woken up, it finds its line cut.
    assert_eq!(old.step(), PersistStep::Over);
    let id = node.run(Outcome::Done(None)).expect("it starts");
    assert_eq!(node.status(id), StatusKind::Completed);
    assert_eq!(node.disk.tasks().len(), 1);
}

#[test]
fn what_a_thread_that_was_left_behind_still_says_is_not_heard() {
    let mut node = Node::new();
    node.settle();
    let _told = node.send(vec![checked(draft("NOOP"))]);
    node.round().unwrap();
    // It commits after all, just when another is opened in its place.
    node.views.announce_line(1);
    assert_eq!(node.commit(), PersistStep::Ran);
    let old = node.relieve(1);
    node.settle();
    drop(old);
    assert_eq!(node.disk.tasks().len(), 1);
    assert!(node.run(Outcome::Done(None)).is_some());
    assert!(node.take().is_none(), "it started twice");
}

/// While a store could not be opened anew the writer made one round after the other.
#[test]
fn a_writer_that_waits_for_another_persist_thread_does_not_spin() {
    for error in [silent(), StoreError::Fenced("another has its place".into())] {
        let mut node = Node::new();
        node.settle();
        node.disk.fault(1, Fault::Fail(error.clone()));
        let told = node.send(vec![checked(draft("NOOP"))]);
        node.views.announce_line(1);
        for _ in 0..50 {
            node.pass(Duration::from_millis(200));
            let step = node.round().unwrap();
            let rests = matches!(step, WriterStep::Idle(time) if !time.is_zero());
            assert!(rests, "{error}: {step:?}");
        }
        drop(node.relieve(1));
        node.settle();
        assert!(matches!(told.try_recv(), Ok(Err(Refusal::InDoubt))));
        assert_eq!(node.disk.tasks().len(), 1);
    }
}

#[test]
fn a_writing_side_that_is_being_replaced_is_no_end_of_the_node() {
    let mut node = Node::new();
    node.settle();
    node.views.announce_line(1);
    let store = node.reopener.reopen(1).unwrap();
    // The store listens to the new one only, and the writer does not know it yet.
    let told = node.send(vec![checked(draft("NOOP"))]);
    node.settle();
    assert!(told.is_empty());
    drop(store);
    drop(node.relieve(2));
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
}

#[test]
fn a_node_that_was_ended_by_others_writes_nothing_more() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let mut old = Node::on(&disk, clock.clone(), WindowSizes::default());
    let id = old.submit(draft("NOOP")).id;
    let taken = old.take().unwrap();
    let mut new = Node::on(&disk, clock, WindowSizes::default());
    new.settle();
    old.post_end(&taken, Outcome::Done(None));
    old.round().unwrap();
    old.commit();
    let end = old.round();
    assert!(matches!(end, Err(StoreError::Fenced(_))), "{end:?}");
    assert_eq!(new.status(id), StatusKind::Queued);
    assert_eq!(new.run(Outcome::Done(None)), Some(id));
    assert_eq!(new.status(id), StatusKind::Completed);
}
