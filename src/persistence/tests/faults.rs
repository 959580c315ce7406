//! A store that fails: nothing is acknowledged, nothing is lost, and memory says what the store
//! says.

use std::time::Duration;

use proptest::prelude::*;

use super::leases::{LEASE, ask, done, failed, lease, report, send};
use super::node::{Node, checked, draft};
use crate::domain::{Epoch, Failure, FailureKind, Outcome, StatusKind, TaskId};
use crate::persistence::{
    Answer, Command, LeaseAsk, LeaseBeat, LeaseFate, LeaseReport, Message, Refusal, Reported,
};
use crate::store::StoreError;

fn down() -> StoreError {
    StoreError::Unavailable("gone".into())
}

#[test]
fn a_short_outage_is_waited_out() {
    let mut node = Node::new();
    node.fail_commits([Some(down()), Some(down())]);
    let told = node.send(vec![checked(draft("NOOP"))]);
    node.settle();
    assert!(told.try_recv().is_err(), "answered without a commit");
    for _ in 0..4 {
        node.pass(Duration::from_millis(50));
    }
    assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
}

#[test]
fn a_long_outage_refuses_requests_within_two_seconds_and_keeps_outcomes() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    let taken = node.take().unwrap();
    node.fail_commits(std::iter::repeat_n(Some(down()), 12));
    node.end(&taken, Outcome::Done(None));
    let told = node.send(vec![checked(draft("NOOP"))]);
    let mut waited = 0;
    while told.is_empty() {
        node.pass(Duration::from_millis(100));
        waited += 100;
        assert!(waited <= 2000, "a client waits for more than two seconds");
    }
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::StoreDown))));
    node.pass(Duration::from_millis(300));
    assert!(!node.views.view().store_up);
    for _ in 0..30 {
        node.pass(Duration::from_secs(1));
    }
    assert_eq!(node.status(id), StatusKind::Completed);
    assert!(node.views.view().store_up);
    node.submit(draft("NOOP"));
}

#[test]
fn a_store_that_hangs_refuses_what_was_not_sent_to_it() {
    let mut node = Node::new();
    let sent = node.send(vec![checked(draft("NOOP"))]);
    node.round().unwrap();
    let later = node.send(vec![checked(draft("NOOP"))]);
    node.round().unwrap();
    node.clock.advance(Duration::from_millis(1500));
    node.round().unwrap();
    assert!(matches!(later.try_recv(), Ok(Err(Refusal::StoreDown))));
    assert!(sent.try_recv().is_err(), "what became of it is not known yet");
    node.settle();
    assert!(matches!(sent.try_recv(), Ok(Ok(Answer::Stored { .. }))));
}

#[test]
fn a_full_disk_refuses_submits_and_stores_outcomes() {
    let mut node = Node::new();
    let id = node.submit(draft("NOOP")).id;
    let taken = node.take().unwrap();
    node.fail_commits([Some(StoreError::Full("no space".into()))]);
    let told = node.send(vec![checked(draft("NOOP"))]);
    node.end(&taken, Outcome::Done(None));
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::NoSpace))));
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn a_failed_write_ends_the_writer() {
    let mut node = Node::new();
    node.fail_commits([Some(StoreError::Broken("fsync".into()))]);
    let told = node.send(vec![checked(draft("NOOP"))]);
    node.round().unwrap();
    node.commit();
    assert!(node.round().is_err());
    // Whether it was stored is known only after the restart, and that is what the client is told.
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::Unknown))), "a false acknowledgement");
}

#[test]
fn one_bad_unit_is_found_and_its_neighbours_are_stored() {
    let mut node = Node::new();
    let told: Vec<_> = (0..5).map(|_| node.send(vec![checked(draft("NOOP"))])).collect();
    let data = || Some(StoreError::Data("odd".into()));
    // 5 units fail; then 0-1 pass; 2-4 fail; 2 fails alone; 3-4 pass.
    node.fail_commits([data(), None, data(), data()]);
    node.settle();
    node.pass(Duration::from_millis(100));
    let stored = told.iter().filter(|t| matches!(t.try_recv(), Ok(Ok(_)))).count();
    assert_eq!(stored, 4);
}

#[derive(Debug, Clone)]
enum Deed {
    Submit(u8),
    Run(bool),
    Cancel(usize),
    Retry(usize),
    Put(usize, StatusKind),
    Pass(u16),
    Fail(u8),
    /// A worker asks for so many tasks.
    Lease(u8),
    /// It says this about one of those it was given, also long after.
    Tell(usize, Told),
    /// It hangs up before it has heard the answer.
    HangUp,
}

#[derive(Debug, Clone, Copy)]
enum Told {
    Done,
    Failed,
    Released,
    Alive,
}

/// What was acknowledged to whom.
#[derive(Default)]
struct Said {
    tasks: Vec<TaskId>,
    leases: Vec<(TaskId, Epoch)>,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let kinds = prop::sample::select(StatusKind::ALL.to_vec());
    let told = prop::sample::select(vec![Told::Done, Told::Failed, Told::Released, Told::Alive]);
    let deed = prop_oneof![
        4 => (0..3u8).prop_map(Deed::Submit),
        4 => any::<bool>().prop_map(Deed::Run),
        1 => any::<usize>().prop_map(Deed::Cancel),
        1 => any::<usize>().prop_map(Deed::Retry),
        2 => (any::<usize>(), kinds).prop_map(|(n, kind)| Deed::Put(n, kind)),
        2 => (0..3000u16).prop_map(Deed::Pass),
        2 => (1..4u8).prop_map(Deed::Fail),
        3 => (1..6u8).prop_map(Deed::Lease),
        4 => (any::<usize>(), told).prop_map(|(n, told)| Deed::Tell(n, told)),
        1 => Just(Deed::HangUp),
    ];
    prop::collection::vec(deed, 1..60)
}

/// Does one deed; errors of the store are part of the game.
fn play(node: &mut Node, deed: &Deed, said: &mut Said) {
    let Said { tasks: acknowledged, leases } = said;
    let pick = |n: usize, ids: &[TaskId]| (!ids.is_empty()).then(|| ids[n % ids.len()]);
    match deed {
        Deed::Submit(kind) => {
            let name = ["NOOP", "WORK", "REMOTE"][usize::from(*kind)];
            let told = node.send(vec![checked(draft(name))]);
            node.settle();
            node.pass(Duration::from_millis(1500));
            if let Ok(Ok(Answer::Stored { tasks, .. })) = told.try_recv() {
                acknowledged.extend(tasks.iter().map(|task| task.id));
            }
        }
        Deed::Run(well) => {
            let failure = Failure::new(FailureKind::Error, "no");
            node.run(if *well { Outcome::Done(None) } else { Outcome::Failed(failure) });
        }
        Deed::Cancel(n) => {
            if let Some(id) = pick(*n, acknowledged) {
                drop(node.ask(id, Command::Put(StatusKind::Cancelled)));
            }
        }
        Deed::Retry(n) => {
            if let Some(id) = pick(*n, acknowledged) {
                drop(node.ask(id, Command::Retry));
            }
        }
        Deed::Put(n, kind) => {
            if let Some(id) = pick(*n, acknowledged) {
                drop(node.ask(id, Command::Put(*kind)));
            }
        }
        Deed::Lease(most) => {
            let wish = LeaseAsk { wait_ms: 0, ..ask("w", &["REMOTE"], u32::from(*most)) };
            let told = send(node, wish);
            node.settle();
            node.pass(Duration::from_millis(1500));
            if let Ok(Ok(Answer::Leased { tasks, .. })) = told.try_recv() {
                leases.extend(tasks.iter().map(|task| (task.id, task.state.epoch)));
            }
        }
        Deed::Tell(n, told) => {
            if let Some((id, epoch)) = leases.get(*n % leases.len().max(1)).copied() {
                tell(node, id, epoch, *told);
            }
        }
        Deed::HangUp => {
            let told = send(node, LeaseAsk { wait_ms: 0, ..ask("gone", &["REMOTE"], 3) });
            node.settle();
            if let Ok(Ok(Answer::Leased { wait, .. })) = told.try_recv() {
                drop(node.posts.mailbox.post(Message::Withdraw(wait)));
            }
        }
        Deed::Pass(ms) => node.pass(Duration::from_millis(u64::from(*ms))),
        Deed::Fail(times) => {
            node.fail_commits(std::iter::repeat_n(Some(down()), usize::from(*times)));
        }
    }
    node.settle();
}

fn tell(node: &Node, id: TaskId, epoch: Epoch, told: Told) {
    let what = match told {
        Told::Done => done(),
        Told::Failed => failed(),
        Told::Released => Reported::Released,
        Told::Alive => {
            let beats = vec![LeaseBeat { id, epoch, lease_ms: LEASE, progress: None }];
            return drop(node.post(|receipt| Message::Beat("w".into(), beats, receipt)));
        }
    };
    let reports = vec![LeaseReport { id, epoch, what }];
    drop(node.post(|receipt| Message::Report(reports, receipt)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is asked and however the store fails in between: every acknowledged task exists,
    /// none ends by itself twice, and with the store back everything startable comes to an end.
    #[test]
    fn nothing_acknowledged_is_lost(deeds in deeds()) {
        let mut node = Node::new();
        let mut said = Said::default();
        for deed in &deeds {
            play(&mut node, deed, &mut said);
        }
        node.script.lock().unwrap().clear();
        for _ in 0..40 {
            node.pass(Duration::from_secs(400));
            while node.run(Outcome::Done(None)).is_some() {}
            for task in lease(&mut node, "w", &["REMOTE"], 1000) {
                prop_assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
            }
        }
        for id in said.tasks {
            let task = node.stored(id);
            let kind = task.state.status.kind();
            let rests = kind == StatusKind::Paused;
            prop_assert!(kind.is_terminal() || rests, "task {} is {}", id, kind);
        }
    }
}
