//! Several nodes on one store, and what a store knows of a batch whose answer was lost.
//!
//! A store joins by one line, `conformance_of_nodes!(make)`, where `make` gives a fresh
//! [`SharedGround`].

use super::sample::{NOW, Sample, batch, fate, fetch, id, insert, update};
use crate::domain::{Band, BandMap, Command, Epoch, Holding, Status, Suspicion, TaskId};
use crate::store::{
    Bands, Batch, ClaimAsk, Fate, Incarnation, KeyClaim, NodeId, Nodes, Reaped, Recovered,
    Standing, Store, StoreError, Stored, Taker, Unit, Wish,
};

/// A place that several servers share.
pub(crate) trait SharedGround {
    /// Opens the store there as this node.
    fn join(&self, node: NodeId) -> Box<dyn Store>;

    /// Lets every lease run out that is not renewed meanwhile.
    fn outlive_leases(&self);
}

/// Gives a place where nothing is stored yet.
pub(crate) type FreshShared<'f> = &'f dyn Fn() -> Box<dyn SharedGround>;

/// One of the nodes.
struct Member {
    store: Box<dyn Store>,
    nodes: Box<dyn Nodes>,
    recovered: Recovered,
}

fn member(ground: &dyn SharedGround, number: u128) -> Member {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut store = ground.join(NodeId(number));
    let recovered = store.recover(NOW, &pool).unwrap();
    let mut nodes = store.nodes().unwrap().expect("many may use it");
    nodes.renew().unwrap();
    Member { store, nodes, recovered }
}

impl Member {
    fn own(&self) -> Incarnation {
        self.nodes.own()
    }

    fn insert(&mut self, sample: &Sample) {
        assert_eq!(fate(&mut *self.store, insert(sample)), Fate::Applied);
    }

    fn stored(&mut self, number: u64) -> Stored {
        fetch(&mut *self.store, &[number]).remove(0)
    }

    fn claim(&mut self) -> Vec<u64> {
        self.claim_some(100)
    }

    fn claim_some(&mut self, limit: u32) -> Vec<u64> {
        let ask = ClaimAsk {
            bands: Bands::One(Band::Medium),
            limit,
            bytes_max: usize::MAX,
            due_by: NOW,
            types: [std::sync::Arc::from("NOOP")].into(),
            taker: Taker::Node,
        };
        let committed = self.store.commit(&Batch { claims: vec![ask], ..batch(Vec::new()) });
        committed.unwrap().claimed[0].tasks.iter().map(|task| task.id.get()).collect()
    }

    fn hint(&mut self, numbers: &[u64]) {
        let mut ids = BandMap::default();
        ids[Band::Medium] = numbers.iter().map(|number| id(*number)).collect();
        self.store.hint(ids);
    }

    fn owned(&mut self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.store.owned().unwrap().iter().map(|id| id.get()).collect();
        ids.sort_unstable();
        ids
    }

    fn is_fenced(&mut self) -> bool {
        let refused = self.store.commit(&batch(vec![insert(&Sample::new(999))]));
        matches!(refused, Err(StoreError::Fenced(_)))
    }
}

fn is_live(stored: &Stored, holding: Holding) -> bool {
    matches!(stored, Stored::Live(_, held) if *held == holding)
}

fn is_elsewhere(stored: &Stored, holder: Incarnation) -> bool {
    matches!(stored, Stored::Elsewhere(_, by) if *by == holder)
}

pub(crate) fn each_node_holds_its_own_rows_and_sees_whose_the_others_are(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut a, mut b) = (member(&*ground, 1), member(&*ground, 2));
    a.insert(&Sample::new(1));
    b.insert(&Sample::new(2));
    a.insert(&Sample::new(3).free());
    assert!(is_live(&a.stored(1), Holding::Held) && is_elsewhere(&b.stored(1), a.own()));
    assert!(is_live(&b.stored(2), Holding::Held) && is_elsewhere(&a.stored(2), b.own()));
    assert!(is_live(&b.stored(3), Holding::Free));
    assert_eq!((b.claim(), a.claim()), (vec![3], vec![]));
    assert_eq!((a.owned(), b.owned()), (vec![1], vec![2, 3]));
    let count: u64 = a.store.reader().unwrap().counts().unwrap().iter().map(|c| c.tasks).sum();
    assert_eq!(count, 3);
}

pub(crate) fn what_is_hinted_at_is_taken_first_if_it_is_free_and_wanted(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut a, mut b) = (member(&*ground, 1), member(&*ground, 2));
    for number in 1..=20 {
        a.insert(&Sample::new(number).free());
    }
    b.hint(&[12, 11]);
    assert_eq!(b.claim_some(2), [11, 12]);
    // The hints were for that commit and no other.
    assert_eq!(b.claim_some(2), [1, 2]);
    // What lies: held, never there, not wanted, of another band, later, or the same one twice.
    let later = NOW.plus_ms(1);
    a.insert(&Sample::new(31).free().of_type("B"));
    a.insert(&Sample::new(32).free().band(Band::High));
    a.insert(&Sample::new(33).free().status(Status::Scheduled { due: later }));
    a.insert(&Sample::new(34).free().status(Status::Paused { due: NOW }));
    b.hint(&[1, 11, 999, 31, 32, 33, 34, 15, 15]);
    assert_eq!(b.claim_some(4), [3, 4, 5, 15]);
    // A node that dies with its hints takes nothing with it.
    b.hint(&[16, 17]);
    drop(b);
    let rest: Vec<u64> = [6..=10, 13..=14, 16..=20].into_iter().flatten().collect();
    assert_eq!(a.claim(), rest);
}

pub(crate) fn a_restarted_node_takes_back_its_rows_alone(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut old, mut other) = (member(&*ground, 1), member(&*ground, 2));
    old.insert(&Sample::new(1).status(Status::Running { epoch: Epoch(1) }));
    other.insert(&Sample::new(2));
    let mut new = member(&*ground, 1);
    let held: Vec<u64> = new.recovered.held.iter().map(|task| task.id.get()).collect();
    assert_eq!(held, [1]);
    let state = &new.recovered.held[0].state;
    assert_eq!((state.status, state.epoch), (Status::Queued, Epoch(2)));
    assert_eq!(state.suspicion, Suspicion::Suspect { started: false });
    assert!(old.is_fenced() && !other.is_fenced());
    assert!(matches!(old.nodes.renew(), Err(StoreError::Fenced(_))));
    assert!(is_live(&new.stored(1), Holding::Held));
}

pub(crate) fn an_overdue_node_is_ended_and_its_rows_are_free_suspects(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut a, mut b) = (member(&*ground, 1), member(&*ground, 2));
    a.insert(&Sample::new(1).status(Status::Running { epoch: Epoch(1) }));
    let due = NOW.plus_ms(60_000);
    a.insert(&Sample::new(2).status(Status::Retrying { due }));
    assert_eq!(b.nodes.reap(a.own()).unwrap(), None, "it lives");
    ground.outlive_leases();
    b.nodes.renew().unwrap();
    let peers = b.nodes.peers().unwrap();
    let standing = |own| peers.iter().find(|peer| peer.incarnation == own).unwrap().standing;
    assert_eq!(standing(a.own()), Standing::Overdue);
    assert!(matches!(standing(b.own()), Standing::Alive(left) if !left.is_zero()));
    let reaped = Reaped { freed: 2, ..Reaped::default() };
    assert_eq!(b.nodes.reap(a.own()).unwrap(), Some(reaped));
    assert_eq!(b.nodes.reap(a.own()).unwrap(), None, "ended twice");
    assert!(a.is_fenced() && matches!(a.nodes.renew(), Err(StoreError::Fenced(_))));
    let Stored::Live(task, Holding::Free) = b.stored(1) else { panic!("not free") };
    assert_eq!((task.state.status, task.state.epoch), (Status::Queued, Epoch(2)));
    assert_eq!(task.state.suspicion, Suspicion::Suspect { started: false });
    let Stored::Live(task, Holding::Free) = b.stored(2) else { panic!("not free") };
    assert_eq!((task.state.status, task.state.epoch), (Status::Retrying { due }, Epoch(2)));
    assert_eq!(b.claim(), [1]);
    let counts = b.store.reader().unwrap().counts().unwrap();
    assert!(counts.iter().all(|c| c.status != crate::domain::StatusKind::Running), "{counts:?}");
    assert_eq!(counts.iter().map(|c| c.tasks).sum::<u64>(), 2);
    assert_eq!(b.nodes.peers().unwrap().len(), 1);
}

pub(crate) fn a_lease_that_is_over_can_be_renewed_until_somebody_ends_the_node(
    fresh: FreshShared<'_>,
) {
    let ground = fresh();
    let (mut a, mut b) = (member(&*ground, 1), member(&*ground, 2));
    ground.outlive_leases();
    a.nodes.renew().unwrap();
    b.nodes.renew().unwrap();
    assert_eq!(b.nodes.reap(a.own()).unwrap(), None);
    assert!(!a.is_fenced());
}

pub(crate) fn a_released_node_leaves_no_suspects_and_waits_for_nobody(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut a, mut b) = (member(&*ground, 1), member(&*ground, 2));
    a.insert(&Sample::new(1));
    a.store.release().unwrap();
    let peers = b.nodes.peers().unwrap();
    let gone = peers.iter().find(|peer| peer.incarnation == a.own());
    // Where its rows are freed with the release there is nothing left to do.
    if gone.is_some_and(|peer| peer.standing == Standing::Released) {
        assert_eq!(b.nodes.reap(a.own()).unwrap().map(|reaped| reaped.freed), Some(1));
    }
    let Stored::Live(task, Holding::Free) = b.stored(1) else { panic!("not free") };
    assert_eq!((task.state.suspicion, task.state.retries), (Suspicion::None, 0));
    assert_eq!(b.claim(), [1]);
}

pub(crate) fn rows_that_outside_workers_lease_outlive_every_node(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut a, mut b) = (member(&*ground, 1), member(&*ground, 2));
    let leased = Sample::new(1).status(Status::Running { epoch: Epoch(1) });
    let leased = leased.state(|state| state.leased_until = Some(NOW.plus_ms(60_000)));
    let leased = leased.free();
    a.insert(&leased);
    ground.outlive_leases();
    b.nodes.renew().unwrap();
    assert_eq!(b.nodes.reap(a.own()).unwrap(), Some(Reaped::default()));
    assert_eq!(b.stored(1), Stored::Live(Box::new(leased.task()), Holding::Free));
    assert!(b.owned().is_empty());
}

pub(crate) fn wishes_reach_the_holder_and_answers_come_back_once(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut a, mut b, mut c) = (member(&*ground, 1), member(&*ground, 2), member(&*ground, 3));
    let put = Command::Put(crate::domain::StatusKind::Paused);
    let wish = |holder, number, command| Wish { holder, task: id(number), command };
    let wishes = [wish(a.own(), 1, Command::Cancel), wish(a.own(), 2, put)];
    let ids = b.nodes.post(&wishes).unwrap();
    let expected: Vec<_> = ids.iter().copied().zip(wishes).collect();
    assert_eq!(a.nodes.inbox(10).unwrap(), expected);
    assert_eq!(a.nodes.inbox(1).unwrap(), expected[..1]);
    assert!(b.nodes.inbox(10).unwrap().is_empty());
    assert!(b.nodes.take_answers(&ids).unwrap().is_empty());
    a.nodes.answer(&[(ids[0], "done".into())]).unwrap();
    a.nodes.pass_on(ids[1], c.own()).unwrap();
    assert!(a.nodes.inbox(10).unwrap().is_empty());
    assert_eq!(c.nodes.inbox(10).unwrap(), [(ids[1], wish(c.own(), 2, put))]);
    assert_eq!(b.nodes.take_answers(&ids).unwrap(), [(ids[0], "done".into())]);
    assert!(b.nodes.take_answers(&ids).unwrap().is_empty(), "answered twice");
    b.nodes.tidy().unwrap();
    assert_eq!(c.nodes.inbox(10).unwrap().len(), 1, "a wish is no old answer");
}

pub(crate) fn wishes_outlive_the_node_they_were_left_with(fresh: FreshShared<'_>) {
    let ground = fresh();
    let (mut a, mut b, mut c) = (member(&*ground, 1), member(&*ground, 2), member(&*ground, 3));
    a.insert(&Sample::new(1));
    a.insert(&Sample::new(2));
    let wish = |number, command| Wish { holder: a.own(), task: id(number), command };
    let ids = b.nodes.post(&[wish(1, Command::Cancel), wish(2, Command::Retry)]).unwrap();
    ground.outlive_leases();
    c.nodes.renew().unwrap();
    let reaped = Reaped { freed: 2, wishes: 2 };
    assert_eq!(c.nodes.reap(a.own()).unwrap(), Some(reaped));
    // Whoever claims it first knows that it must not start.
    let Stored::Live(task, Holding::Free) = c.stored(1) else { panic!("not free") };
    assert!(task.state.cancel_requested);
    let Stored::Live(task, Holding::Free) = c.stored(2) else { panic!("not free") };
    assert!(!task.state.cancel_requested);
    let left: Vec<_> = c.nodes.inbox(10).unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, ids);
    // One that comes too late for the dead is left with its sender.
    let late = b.nodes.post(&[wish(2, Command::Retry)]).unwrap();
    assert_eq!(b.nodes.inbox(10).unwrap()[0].0, late[0]);
    // A node that comes back finds what was left for its former life.
    let ids = c.nodes.post(&[Wish { holder: b.own(), ..wish(2, Command::Retry) }]).unwrap();
    let mut b = member(&*ground, 2);
    assert!(b.nodes.inbox(10).unwrap().iter().any(|(id, _)| *id == ids[0]));
}

pub(crate) fn a_batch_without_an_answer_is_settled_as_it_fared(fresh: FreshShared<'_>) {
    let ground = fresh();
    let mut a = member(&*ground, 1);
    a.insert(&Sample::new(1).unique("u"));
    let key = Some(KeyClaim { key: [7; 32], body: [1; 32] });
    let mut stale = Sample::new(1).state(|state| state.epoch = Epoch(9)).task();
    let keyed = |number| Unit { key, ..insert(&Sample::new(number)) };
    let twice = [Sample::new(5), Sample::new(6).unique("u")];
    let twice = twice.iter().map(Sample::insert).collect();
    let units = vec![
        keyed(2),
        update(&mut stale, Holding::Held, |state| state.status = Status::Queued),
        keyed(3),
        Unit { key: Some(KeyClaim { key: [7; 32], body: [2; 32] }), ..keyed(4) },
        Unit { changes: twice, key: None },
        insert(&Sample::new(7)),
    ];
    let sent = Batch { seq: 5 * Batch::PARTS, ..batch(units) };
    let fates = a.store.commit(&sent).unwrap().fates;
    assert!(fates.contains(&Fate::Stale) && fates.contains(&Fate::KeyReused), "{fates:?}");
    assert_eq!(fates[4], Fate::AppliedBut(vec![(1, id(1))]));
    assert_eq!(a.store.settle(&sent).unwrap().map(|settled| settled.fates), Some(fates));
    let plain = Batch { seq: 6 * Batch::PARTS, ..batch(vec![insert(&Sample::new(8))]) };
    assert!(a.store.settle(&plain).unwrap().is_none(), "it was never sent");
    assert_eq!(a.store.commit(&plain).unwrap().fates, [Fate::Applied]);
    let settled = a.store.settle(&plain).unwrap().map(|settled| settled.fates);
    assert_eq!(settled, Some(vec![Fate::Applied]));
}

pub(crate) fn a_new_writing_side_ends_the_one_before(fresh: FreshShared<'_>) {
    let ground = fresh();
    let mut a = member(&*ground, 1);
    a.insert(&Sample::new(1));
    let sent = Batch { seq: Batch::PARTS, ..batch(vec![insert(&Sample::new(2))]) };
    a.store.commit(&sent).unwrap();
    let reopener = a.store.reopener().expect("it can be opened again");
    let mut new = reopener.reopen(2).unwrap();
    assert!(matches!(reopener.reopen(1), Err(StoreError::Fenced(_))), "an older one came later");
    assert!(a.store.commit(&batch(vec![insert(&Sample::new(3))])).is_err());
    assert_eq!(new.settle(&sent).unwrap().map(|s| s.fates), Some(vec![Fate::Applied]));
    assert_eq!(fate(&mut *new, insert(&Sample::new(4))), Fate::Applied);
    assert_eq!(new.owned().unwrap(), [1, 2, 4].map(|n| TaskId::new(n).unwrap()));
    assert!(a.nodes.renew().is_ok(), "the node itself lives on");
}

/// Makes one test of each question.
macro_rules! conformance_of_nodes {
    ($make:expr) => {
        $crate::store::conformance::nodes::conformance_of_nodes!(@each $make,
            each_node_holds_its_own_rows_and_sees_whose_the_others_are,
            a_restarted_node_takes_back_its_rows_alone,
            an_overdue_node_is_ended_and_its_rows_are_free_suspects,
            a_lease_that_is_over_can_be_renewed_until_somebody_ends_the_node,
            a_released_node_leaves_no_suspects_and_waits_for_nobody,
            rows_that_outside_workers_lease_outlive_every_node,
            what_is_hinted_at_is_taken_first_if_it_is_free_and_wanted,
            wishes_reach_the_holder_and_answers_come_back_once,
            wishes_outlive_the_node_they_were_left_with,
            a_batch_without_an_answer_is_settled_as_it_fared,
            a_new_writing_side_ends_the_one_before,
        );
    };
    (@each $make:expr, $($question:ident,)*) => {
        $(
            #[test]
            fn $question() {
                $crate::store::conformance::nodes::$question(&|| Box::new($make));
            }
        )*
    };
}
pub(crate) use conformance_of_nodes;
