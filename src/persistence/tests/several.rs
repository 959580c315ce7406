//! Several nodes on one store, stepped side by side.

use std::sync::Arc;
use std::time::Duration;

use super::node::{Node, START, checked, draft};
use crate::clock::{ManualClock, Mono};
use crate::domain::{Draft, Epoch, Outcome, StatusKind, Suspicion, TaskId};
use crate::persistence::{Answer, Command, Message, Order, Refusal};
use crate::queue::WindowSizes;
use crate::store::memory::MemoryDisk;
use crate::store::{KeyClaim, NodeId, StoreError};

/// A store that nodes share, and the clock they all live by.
pub(super) struct Town {
    pub disk: MemoryDisk,
    pub clock: Arc<ManualClock>,
}

impl Town {
    pub fn new() -> Town {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::at(START));
        disk.keep_time_by(clock.clone());
        Town { disk, clock }
    }

    pub fn node(&self, number: u128, tasks_max: usize) -> Node {
        let sizes = WindowSizes { tasks_max, ..WindowSizes::default() };
        let mut node = Node::join(&self.disk, NodeId(number), self.clock.clone(), sizes);
        node.settle();
        node
    }

    /// Lets the time of a lease pass in which only these nodes renew theirs.
    pub fn outlive(&self, alive: &mut [&mut Node]) {
        for _ in 0..4 {
            self.clock.advance(Duration::from_secs(3));
            for node in &mut *alive {
                node.nodes.renew().unwrap();
                node.settle();
            }
        }
    }
}

#[test]
fn two_nodes_share_a_backlog_and_every_task_runs_once() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let ids: Vec<TaskId> = (0..300).map(|_| a.submit(draft("NOOP")).id).collect();
    let (mut ran, mut shares) = (Vec::new(), [0, 0]);
    for _ in 0..1000 {
        for (node, share) in [&mut a, &mut b].into_iter().zip(&mut shares) {
            let some = std::iter::repeat_with(|| node.run(Outcome::Done(None))).take(5).flatten();
            let before = ran.len();
            ran.extend(some);
            *share += ran.len() - before;
            node.settle();
        }
        town.clock.advance(Duration::from_millis(200));
    }
    ran.sort_unstable();
    assert_eq!(ran, ids);
    assert!(shares.iter().all(|share| *share > 50), "{shares:?}");
    assert!(town.disk.tasks().iter().all(|task| task.state.status.kind() == StatusKind::Completed));
}

/// A node that was given a backlog used to keep as much as its memory held, and the others idled.
#[test]
fn an_idle_node_finds_what_a_busy_one_will_not_start_soon() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50_000), town.node(2, 50_000));
    let ids: Vec<TaskId> = (0..2000).map(|_| a.submit(draft("NOOP")).id).collect();
    assert_eq!(a.waiting_tickets(), 256, "it keeps more than it is known to start");
    b.pass(Duration::from_secs(1));
    assert_eq!(b.waiting_tickets(), 256);
    // Both get faster by working, and take more at a time.
    let mut ran = Vec::new();
    for _ in 0..40 {
        for node in [&mut a, &mut b] {
            ran.extend(std::iter::repeat_with(|| node.run(Outcome::Done(None))).take(40).flatten());
        }
        town.clock.advance(Duration::from_millis(100));
        a.settle();
        b.settle();
    }
    ran.sort_unstable();
    assert_eq!(ran, ids);
}

#[test]
fn a_command_finds_out_who_holds_the_task() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let id = a.submit(draft("NOOP")).id;
    let answer = b.order(id, Command::Cancel);
    assert!(
        matches!(answer, Err(Refusal::HeldElsewhere(holder)) if holder == a.nodes.own()),
        "{answer:?}"
    );
    assert_eq!(a.status(id), StatusKind::Queued);
    let free = a.submit(draft("REMOTE")).id;
    assert_eq!(b.done(free, Command::Cancel), StatusKind::Cancelled);
}

/// A row that nobody holds can be claimed between the look-up for a command and the change that
/// comes of it; the client was told that the server is busy.
#[test]
fn a_command_that_is_overtaken_by_a_claim_follows_the_task() {
    let town = Town::new();
    let mut a = town.node(1, 50);
    let ids: Vec<TaskId> = (0..11).map(|_| a.submit(draft("NOOP")).id).collect();
    let last = *ids.last().unwrap();
    let mut b = town.node(2, 50_000);
    town.disk.set_down(true);
    b.settle();
    town.disk.set_down(false);
    // The command's look-up, and then, before its change is stored, the other node's claim.
    let mut a = {
        let told = a.ask(last, Command::Cancel);
        a.round().unwrap();
        a.commit();
        a.round().unwrap();
        town.clock.advance(Duration::from_secs(1));
        b.settle();
        a.commit();
        a.settle();
        let answer = told.try_recv().expect("an answer");
        assert!(
            matches!(answer, Err(Refusal::HeldElsewhere(holder)) if holder == b.nodes.own()),
            "{answer:?}"
        );
        a
    };
    assert_eq!(b.done(last, Command::Cancel), StatusKind::Cancelled);
    assert_eq!(a.status(last), StatusKind::Cancelled);
}

#[test]
fn a_dead_nodes_tasks_run_elsewhere_and_it_writes_nothing_when_it_wakes() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let running = a.submit(draft("NOOP")).id;
    let waiting = a.submit(draft("NOOP")).id;
    let later = Draft { scheduled_for: Some(START.plus_ms(20_000)), ..draft("NOOP") };
    let later = a.submit(later).id;
    let taken = a.take().unwrap();
    town.outlive(&mut [&mut b]);
    let reaped = b.nodes.reap(a.nodes.own()).unwrap().expect("its lease is over");
    assert_eq!(reaped.freed, 3);
    b.views.claim_now();
    b.settle();
    assert_eq!(b.stored(running).state.suspicion, Suspicion::Suspect { started: true });
    let mut ran = [b.run(Outcome::Done(None)), b.run(Outcome::Done(None))];
    ran.sort_unstable();
    assert_eq!(ran, [Some(running), Some(waiting)]);
    b.pass(Duration::from_secs(9));
    assert_eq!(b.run(Outcome::Done(None)), Some(later));
    // The dead one was only asleep. What it did is stale, and it learns that it is over.
    a.post_end(&taken, Outcome::Done(None));
    a.round().unwrap();
    a.commit();
    assert!(matches!(a.round(), Err(StoreError::Fenced(_))));
    for id in [running, waiting, later] {
        let task = b.stored(id);
        assert_eq!(task.state.status.kind(), StatusKind::Completed);
        assert!(task.state.epoch <= Epoch(4), "{:?}", task.state.epoch);
    }
}

#[test]
fn a_node_whose_lease_may_be_over_takes_no_ticket() {
    let town = Town::new();
    let mut a = town.node(1, 50);
    let id = a.submit(draft("NOOP")).id;
    // The test's own takes are all at this moment.
    a.tenure().set_end(Mono(1));
    assert!(a.take().is_none(), "it starts a task that may run elsewhere");
    a.tenure().set_end(Mono(2));
    assert_eq!(a.run(Outcome::Done(None)), Some(id));
}

#[test]
fn a_cancel_on_record_outlives_the_holder() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let id = a.submit(draft("NOOP")).id;
    a.take().unwrap();
    assert!(matches!(a.order(id, Command::Cancel), Ok(Answer::Asked(_))));
    town.outlive(&mut [&mut b]);
    b.nodes.reap(a.nodes.own()).unwrap();
    b.views.claim_now();
    b.settle();
    assert!(b.take().is_none(), "it starts although it was cancelled");
    assert_eq!(b.status(id), StatusKind::Cancelled);
}

#[test]
fn the_same_idempotency_key_at_two_nodes_inserts_once() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let key = Some(KeyClaim { key: [3; 32], body: [4; 32] });
    let order = || Order { items: vec![checked(draft("NOOP"))], key };
    let told = [&a, &b].map(|node| node.post(|receipt| Message::Submit(order(), receipt)));
    a.round().unwrap();
    b.round().unwrap();
    b.commit();
    a.commit();
    a.settle();
    b.settle();
    let answers = told.map(|told| told.try_recv().expect("an answer"));
    assert!(matches!(&answers[1], Ok(Answer::Stored { created: true, .. })), "{answers:?}");
    assert!(matches!(&answers[0], Ok(Answer::Known { .. })), "{answers:?}");
    assert_eq!(town.disk.tasks().len(), 1);
}

#[test]
fn a_task_that_somebody_outside_took_is_no_nodes_and_outlives_them() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1, 50), town.node(2, 50));
    let id = a.submit(draft("REMOTE")).id;
    assert_eq!(a.done(id, Command::Put(StatusKind::Running)), StatusKind::Running);
    town.outlive(&mut [&mut b]);
    let reaped = b.nodes.reap(a.nodes.own()).unwrap().expect("its lease is over");
    assert_eq!(reaped.freed, 0);
    assert_eq!(b.done(id, Command::Put(StatusKind::Completed)), StatusKind::Completed);
}
