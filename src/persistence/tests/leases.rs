//! Leases: who gets which task when, what reports change, and what becomes of silent workers.

use std::time::Duration;

use super::node::{Answered, Node, START, checked, draft};
use crate::clock::{Clock, ManualClock};
use crate::domain::{
    Draft, Epoch, Failure, FailureKind, Outcome, Status, StatusKind, Task, TaskId,
};
use crate::persistence::{
    Answer, Command, Happened, LeaseAsk, LeaseBeat, LeaseFate, LeaseReport, LeaseTypes, Message,
    Refusal, Report, Reported, WaitId,
};
use crate::queue::WindowSizes;
use crate::store::StoreError;
use crate::store::memory::MemoryDisk;

pub(super) const LEASE: u64 = 10_000;

pub(super) fn ask(worker: &str, types: &[&str], tasks_max: u32) -> LeaseAsk {
    let types = match types {
        [] => LeaseTypes::EveryRemote,
        some => LeaseTypes::These(some.iter().map(|name| (*name).into()).collect()),
    };
    LeaseAsk { worker: worker.into(), types, tasks_max, lease_ms: LEASE, wait_ms: 30_000 }
}

pub(super) fn send(node: &Node, ask: LeaseAsk) -> Answered {
    node.post(|receipt| Message::Lease(ask, receipt))
}

/// A wish that waits.
pub(super) fn wait(node: &mut Node, ask: LeaseAsk) -> WaitId {
    let told = send(node, ask);
    node.settle();
    match told.try_recv() {
        Ok(Ok(Answer::Waits(wait))) => wait,
        other => panic!("it does not wait: {other:?}"),
    }
}

pub(super) fn leased(told: &Answered) -> Vec<Task> {
    match told.try_recv() {
        Ok(Ok(Answer::Leased { tasks, .. })) => tasks,
        other => panic!("nothing was leased: {other:?}"),
    }
}

pub(super) fn lease(node: &mut Node, worker: &str, types: &[&str], tasks_max: u32) -> Vec<Task> {
    let told = send(node, LeaseAsk { wait_ms: 0, ..ask(worker, types, tasks_max) });
    node.settle();
    leased(&told)
}

pub(super) fn collect(node: &mut Node, wait: WaitId) -> Vec<Task> {
    let told = node.post(|receipt| Message::Collect(wait, receipt));
    node.settle();
    leased(&told)
}

pub(super) fn report(node: &mut Node, task: &Task, what: Reported) -> LeaseFate {
    let (id, epoch) = (task.id, task.state.epoch);
    let reports = vec![LeaseReport { id, epoch, what }];
    let told = node.post(|receipt| Message::Report(reports, receipt));
    node.settle();
    match told.try_recv() {
        Ok(Ok(Answer::Reported(fates))) => fates[0],
        other => panic!("the report was not taken: {other:?}"),
    }
}

pub(super) fn beat(node: &mut Node, task: &Task, progress: Option<u8>) -> LeaseFate {
    let (id, epoch) = (task.id, task.state.epoch);
    let beats = vec![LeaseBeat { id, epoch, lease_ms: LEASE, progress }];
    let told = node.post(|receipt| Message::Beat("w".into(), beats, receipt));
    node.settle();
    match told.try_recv() {
        Ok(Ok(Answer::Reported(fates))) => fates[0],
        other => panic!("the heartbeat was not taken: {other:?}"),
    }
}

pub(super) fn done() -> Reported {
    Reported::Done(Some(crate::domain::Payload::text("fine")))
}

pub(super) fn failed() -> Reported {
    Reported::Failed(Failure::new(FailureKind::Error, "no luck"))
}

#[test]
fn a_waiting_worker_is_woken_by_the_commit_that_stores_the_task() {
    let store = MemoryDisk::new();
    let mut node = Node::on(&store, ManualClock::at(START), WindowSizes::default());
    let wait = wait(&mut node, ask("w", &["FAR"], 5));
    let before = store.commits();
    let told = node.send(vec![checked(draft("FAR"))]);
    node.round().unwrap();
    assert!(node.wakes.try_recv().is_err(), "woken before the commit");
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
    assert_eq!(node.wakes.try_recv(), Ok(wait));
    assert_eq!(store.commits(), before + 1);
    let tasks = collect(&mut node, wait);
    assert_eq!(tasks[0].state.status, Status::Running { epoch: Epoch(1) });
    assert_eq!(tasks[0].state.leased_until, Some(START.plus_ms(LEASE)));
    assert_eq!(node.stored(tasks[0].id).state, tasks[0].state);
    assert_eq!(report(&mut node, &tasks[0], done()), LeaseFate::Kept);
    let ended = node.stored(tasks[0].id).state;
    assert_eq!((ended.status, ended.leased_until), (Status::Completed, None));
    assert_eq!(ended.worker.as_deref(), Some("w"));
    assert_eq!(&*ended.result.unwrap().bytes, "fine");
    assert_eq!(store.commits(), before + 2, "completing needed a look-up");
}

#[test]
fn the_most_urgent_tasks_are_leased_first_and_no_more_than_were_asked_for() {
    use crate::domain::Band::{Bulk, Critical, High, Low, Medium};
    let mut node = Node::new();
    let bands = [Low, Critical, Medium, Bulk, High, Critical];
    let with =
        |band| Draft { priority: Some(crate::domain::Band::name(band).into()), ..draft("FAR") };
    let ids: Vec<TaskId> = bands.map(|band| node.submit(with(band)).id).into();
    let mut order = Vec::new();
    loop {
        let tasks = lease(&mut node, "w", &["FAR"], 2);
        assert!(tasks.len() <= 2);
        if tasks.is_empty() {
            break;
        }
        order.extend(tasks.iter().map(|task| task.id));
    }
    assert_eq!(order, [1, 5, 4, 2, 0, 3].map(|at| ids[at]));
}

#[test]
fn workers_that_wait_longer_come_first_and_each_task_wakes_one() {
    let mut node = Node::new();
    let waits: Vec<WaitId> =
        (0..50).map(|n| wait(&mut node, ask(&format!("w{n}"), &["FAR"], 1))).collect();
    for (n, wait) in waits.iter().enumerate().take(3) {
        let id = node.submit(draft("FAR")).id;
        assert_eq!(node.wakes.try_iter().collect::<Vec<_>>(), [*wait], "task {n}");
        assert_eq!(collect(&mut node, *wait)[0].id, id);
    }
    let told = node.send((0..60).map(|_| checked(draft("FAR"))).collect());
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Ok(_))));
    assert_eq!(node.wakes.try_iter().collect::<Vec<_>>(), waits[3..]);
    assert_eq!(lease(&mut node, "late", &[], 100).len(), 13);
}

#[test]
fn a_worker_takes_only_the_types_it_names_or_every_remote_one() {
    let mut node = Node::new();
    let far = node.submit(draft("FAR")).id;
    let away = node.submit(draft("AWAY")).id;
    node.submit(draft("NOOP"));
    assert_eq!(lease(&mut node, "w", &["NEAR"], 9).len(), 0);
    assert_eq!(lease(&mut node, "w", &["NEAR", "AWAY"], 9)[0].id, away);
    assert_eq!(lease(&mut node, "w", &[], 9).iter().map(|t| t.id).collect::<Vec<_>>(), [far]);
    assert_eq!(node.run(Outcome::Done(None)).map(TaskId::get), Some(3), "NOOP is not remote");
}

#[test]
fn a_task_that_becomes_due_wakes_a_worker_at_its_time() {
    let mut node = Node::new();
    let due = START.plus_ms(5000);
    let id = node.submit(Draft { scheduled_for: Some(due), ..draft("FAR") }).id;
    let wait = wait(&mut node, ask("w", &[], 1));
    node.pass(Duration::from_millis(4999));
    assert!(node.wakes.try_recv().is_err(), "too early");
    node.pass(Duration::from_millis(1));
    assert_eq!(node.wakes.try_recv(), Ok(wait));
    let task = collect(&mut node, wait).remove(0);
    assert_eq!(report(&mut node, &task, failed()), LeaseFate::Kept);
    let state = node.stored(id).state;
    let Status::Retrying { due } = state.status else { panic!("{state:?}") };
    let wait = self::wait(&mut node, ask("w", &[], 1));
    node.pass(Duration::from_millis(due.since_ms(node_now(&node))));
    assert_eq!(node.wakes.try_recv(), Ok(wait), "its retry was due");
    assert_eq!(collect(&mut node, wait)[0].state.epoch, Epoch(2));
}

fn node_now(node: &Node) -> crate::domain::TimeMs {
    crate::clock::Clock::now(&*node.clock)
}

#[test]
fn a_wait_ends_in_time_with_nothing() {
    let mut node = Node::new();
    let wait = wait(&mut node, ask("w", &["FAR"], 1));
    node.pass(Duration::from_millis(29_900));
    assert!(node.wakes.try_recv().is_err());
    node.pass(Duration::from_millis(100));
    assert_eq!(node.wakes.try_recv(), Ok(wait));
    assert_eq!(collect(&mut node, wait), []);
    node.submit(draft("FAR"));
    assert!(node.wakes.try_recv().is_err());
}

#[test]
fn a_silent_worker_loses_its_lease_but_no_retry() {
    let mut node = Node::new();
    let id = node.submit(draft("FAR")).id;
    let first = lease(&mut node, "w", &[], 1).remove(0);
    node.pass(Duration::from_millis(LEASE - 1));
    assert_eq!(node.status(id), StatusKind::Running);
    node.pass(Duration::from_millis(1));
    let state = node.stored(id).state;
    assert_eq!((state.status, state.retries), (Status::Queued, 0));
    assert_eq!(state.last_error.as_ref().map(|(kind, _)| *kind), Some(FailureKind::LeaseLost));
    // What it says afterwards changes nothing, whoever has the task by then.
    assert_eq!(report(&mut node, &first, done()), LeaseFate::Lost);
    let second = lease(&mut node, "v", &[], 1).remove(0);
    for late in [done(), failed(), Reported::Released] {
        assert_eq!(report(&mut node, &first, late), LeaseFate::Lost);
    }
    assert_eq!(beat(&mut node, &first, None), LeaseFate::Lost);
    assert_eq!(node.stored(id).state, second.state);
    assert_eq!(report(&mut node, &second, done()), LeaseFate::Kept);
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn a_task_that_three_workers_lost_is_not_tried_again() {
    let mut node = Node::new();
    let id = node.submit(draft("FAR")).id;
    for losses in 1..=3 {
        assert_eq!(lease(&mut node, "w", &[], 1).len(), 1, "loss {losses}");
        node.pass(Duration::from_millis(LEASE));
    }
    let state = node.stored(id).state;
    assert_eq!((state.status, state.last_error.unwrap().0), (Status::Failed, FailureKind::Poison));
    // A person gives it all its chances again.
    assert_eq!(node.done(id, Command::Retry), StatusKind::Queued);
    assert_eq!(lease(&mut node, "w", &[], 1).len(), 1);
    node.pass(Duration::from_millis(LEASE));
    assert_eq!(node.status(id), StatusKind::Queued);
}

#[test]
fn heartbeats_keep_a_lease_until_the_attempt_has_had_its_time() {
    let mut node = Node::new();
    let id = node.submit(Draft { timeout_s: Some(25), ..draft("FAR") }).id;
    let task = lease(&mut node, "w", &[], 1).remove(0);
    for (seconds, ends) in [(8, 18), (16, 25), (24, 25)] {
        node.pass(Duration::from_secs(8));
        let LeaseFate::Renewed(renewed) = beat(&mut node, &task, Some(seconds as u8)) else {
            panic!("lost after {seconds} s");
        };
        assert_eq!(renewed.ends, START.plus_ms(ends * 1000));
        assert_eq!(node.stored(id).state.progress, Some(seconds as u8));
    }
    node.pass(Duration::from_secs(1));
    let state = node.stored(id).state;
    assert!(matches!(state.status, Status::Retrying { .. }), "{state:?}");
    assert_eq!((state.retries, state.last_error.unwrap().0), (1, FailureKind::Timeout));
    assert_eq!(state.progress, None);
    assert_eq!(beat(&mut node, &task, None), LeaseFate::Lost);
}

#[test]
fn a_cancel_is_told_to_the_worker_and_holds_whatever_it_reports_but_success() {
    for (what, end) in [
        (failed(), StatusKind::Cancelled),
        (Reported::Released, StatusKind::Cancelled),
        (done(), StatusKind::Completed),
    ] {
        let mut node = Node::new();
        let id = node.submit(draft("FAR")).id;
        let task = lease(&mut node, "w", &[], 1).remove(0);
        let LeaseFate::Renewed(renewed) = beat(&mut node, &task, None) else { panic!("lost") };
        assert!(!renewed.cancel_requested);
        assert!(matches!(node.order(id, Command::Cancel), Ok(Answer::Asked(_))));
        let LeaseFate::Renewed(renewed) = beat(&mut node, &task, None) else { panic!("lost") };
        assert!(renewed.cancel_requested);
        assert_eq!(node.status(id), StatusKind::Running);
        assert_eq!(report(&mut node, &task, what), LeaseFate::Kept);
        assert_eq!(node.status(id), end);
    }
    // A worker that never hears of it loses the task all the same.
    let mut node = Node::new();
    let id = node.submit(draft("FAR")).id;
    lease(&mut node, "w", &[], 1);
    node.order(id, Command::Cancel).unwrap();
    node.pass(Duration::from_millis(LEASE));
    assert_eq!(node.status(id), StatusKind::Cancelled);
}

#[test]
fn a_released_task_goes_to_the_next_worker_at_once_and_costs_nothing() {
    let mut node = Node::new();
    let id = node.submit(draft("FAR")).id;
    let task = lease(&mut node, "w", &[], 1).remove(0);
    let wait = wait(&mut node, ask("v", &[], 1));
    assert_eq!(report(&mut node, &task, Reported::Released), LeaseFate::Kept);
    assert_eq!(node.wakes.try_recv(), Ok(wait));
    let next = collect(&mut node, wait).remove(0);
    assert_eq!((next.id, next.state.retries, next.state.last_error), (id, 0, None));
}

#[test]
fn a_status_forced_by_a_person_ends_the_lease() {
    for to in [StatusKind::Completed, StatusKind::Failed, StatusKind::Paused] {
        let mut node = Node::new();
        let id = node.submit(draft("FAR")).id;
        let task = lease(&mut node, "w", &[], 1).remove(0);
        assert_eq!(node.done(id, Command::Put(to)), to);
        assert_eq!(beat(&mut node, &task, None), LeaseFate::Lost);
        assert_eq!(report(&mut node, &task, done()), LeaseFate::Lost);
        assert_eq!(node.status(id), to);
    }
}

#[test]
fn a_report_sent_twice_is_answered_twice_and_counts_once() {
    let mut node = Node::new();
    for what in [done(), failed(), Reported::Released] {
        let id = node.submit(draft("FAR")).id;
        let task = lease(&mut node, "w", &[], 1).remove(0);
        assert_eq!(report(&mut node, &task, what.clone()), LeaseFate::Kept);
        let state = node.stored(id).state;
        assert_eq!(report(&mut node, &task, what), LeaseFate::Kept);
        assert_eq!(node.stored(id).state, state);
    }
}

#[test]
fn what_a_worker_that_is_gone_did_not_get_is_released_at_once() {
    let mut node = Node::new();
    let ids: Vec<TaskId> = (0..4).map(|_| node.submit(draft("FAR")).id).collect();
    // Gone while it waited, while its claim was under way, before it came, and before it had it.
    let waiting = wait(&mut node, ask("a", &["NEAR"], 1));
    let withdraw = |node: &mut Node, wait| {
        node.posts.mailbox.post(Message::Withdraw(wait)).unwrap();
        node.settle();
    };
    withdraw(&mut node, waiting);
    let told = send(&node, LeaseAsk { tasks_max: 4, ..ask("d", &[], 1) });
    node.settle();
    let Ok(Ok(Answer::Leased { wait, tasks })) = told.try_recv() else { panic!("not leased") };
    assert_eq!(tasks.len(), 4);
    withdraw(&mut node, wait);
    assert!(ids.iter().all(|id| node.stored(*id).state.status == Status::Queued));
    for task in lease(&mut node, "x", &[], 9) {
        report(&mut node, &task, done());
    }
    let ready = self::wait(&mut node, ask("c", &[], 1));
    let id = node.submit(draft("FAR")).id;
    withdraw(&mut node, ready);
    assert_eq!(node.status(id), StatusKind::Queued);
    let forgotten = self::wait(&mut node, ask("b", &["NEAR"], 1));
    let other = node.submit(draft("NEAR")).id;
    assert_eq!(node.status(other), StatusKind::Running);
    node.pass(Duration::from_secs(2));
    assert_eq!(node.status(other), StatusKind::Queued, "{forgotten:?} was not collected");
}

#[test]
fn a_flood_of_a_type_without_workers_delays_no_other() {
    let mut node = Node::new();
    for _ in 0..20 {
        let told = node.send((0..1000).map(|_| checked(draft("FAR"))).collect());
        node.settle();
        assert!(matches!(told.try_recv(), Ok(Ok(_))));
    }
    let local = node.submit(draft("NOOP")).id;
    assert_eq!(node.run(Outcome::Done(None)), Some(local));
    let remote = node.submit(draft("NEAR")).id;
    assert_eq!(lease(&mut node, "w", &["NEAR"], 1)[0].id, remote);
}

#[test]
fn leases_outlive_the_server_and_go_on() {
    let (store, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let mut node = Node::on(&store, clock.clone(), WindowSizes::default());
    let id = node.submit(draft("FAR")).id;
    let task = lease(&mut node, "w", &[], 1).remove(0);
    drop(node);
    let mut node = Node::on(&store, clock, WindowSizes::default());
    node.settle();
    assert_eq!(lease(&mut node, "v", &[], 1), [], "it would run twice");
    assert!(matches!(beat(&mut node, &task, None), LeaseFate::Renewed(_)));
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn a_store_that_is_down_refuses_workers_and_forgets_none_of_their_tasks() {
    let mut node = Node::new();
    let id = node.submit(draft("FAR")).id;
    let task = lease(&mut node, "w", &[], 1).remove(0);
    let down = || Some(StoreError::Unavailable("gone".into()));
    node.fail_commits(std::iter::repeat_with(down).take(40));
    let reports = vec![LeaseReport { id, epoch: task.state.epoch, what: done() }];
    let reported = node.post(|receipt| Message::Report(reports, receipt));
    let beats = vec![LeaseBeat { id, epoch: task.state.epoch, lease_ms: LEASE, progress: None }];
    let beaten = node.post(|receipt| Message::Beat("w".into(), beats, receipt));
    let asked = send(&node, ask("v", &["NEAR"], 1));
    (0..20).for_each(|_| node.pass(Duration::from_millis(100)));
    for told in [reported, beaten, asked] {
        assert!(matches!(told.try_recv(), Ok(Err(Refusal::StoreDown))), "not refused");
    }
    node.script.lock().unwrap().clear();
    node.pass(Duration::from_secs(1));
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn a_server_that_stops_leases_nothing_more_and_still_takes_reports() {
    let mut node = Node::new();
    let id = node.submit(draft("FAR")).id;
    let task = lease(&mut node, "w", &["FAR"], 1).remove(0);
    let wait = wait(&mut node, ask("v", &[], 1));
    node.views.refuse_requests();
    let told = send(&node, ask("u", &[], 1));
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Err(Refusal::Stopping))));
    assert_eq!(node.wakes.try_recv(), Ok(wait));
    assert_eq!(collect(&mut node, wait), []);
    assert!(matches!(beat(&mut node, &task, None), LeaseFate::Renewed(_)));
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
    assert_eq!(node.status(id), StatusKind::Completed);
}

#[test]
fn workers_are_listed_with_what_they_wait_for() {
    let mut node = Node::new();
    wait(&mut node, ask("b", &["FAR"], 1));
    lease(&mut node, "a", &["FAR"], 1);
    let told = node.post(Message::Workers);
    node.settle();
    let Ok(Ok(Answer::Workers(workers))) = told.try_recv() else { panic!("no list") };
    let seen: Vec<_> = workers.iter().map(|seen| (&*seen.worker, seen.waiting)).collect();
    assert_eq!(seen, [("a", 0), ("b", 1)]);
}

/// What a run at the server says when an endpoint goes on with its task.
pub(super) fn goes_on(node: &Node, id: TaskId, epoch: Epoch) {
    let what = Happened::GoesOn { at: node.clock.now(), waited_us: 0 };
    node.posts.reports.send(vec![Report { id, epoch, what }]).unwrap();
}

pub(super) fn slow(node: &mut Node) -> (Task, crate::queue::Started<crate::persistence::Work>) {
    let task = node.submit(Draft { retries_max: Some(1), ..draft("SLOW") });
    let started = node.take_slow().expect("it starts");
    node.pool.end(started.run, crate::domain::Call::Worked, node.clock.mono());
    (
        Task {
            state: crate::domain::State { epoch: started.ticket.epoch, ..task.state.clone() },
            ..task
        },
        started,
    )
}

#[test]
fn what_goes_on_outside_is_ended_by_its_token_and_outlives_the_server() {
    let store = MemoryDisk::new();
    let clock = ManualClock::at(START);
    let mut node = Node::on(&store, clock.clone(), WindowSizes::default());
    let (task, _) = slow(&mut node);
    goes_on(&node, task.id, task.state.epoch);
    node.settle();
    let stored = node.stored(task.id).state;
    assert_eq!(stored.status, Status::Running { epoch: task.state.epoch });
    assert_eq!((stored.worker, stored.leased_until.is_some()), (None, true));
    drop(node);
    let mut node = Node::on(&store, clock, WindowSizes::default());
    assert!(node.take_slow().is_none(), "it runs twice");
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
    assert_eq!(node.status(task.id), StatusKind::Completed);
}

#[test]
fn what_goes_on_outside_has_no_more_than_its_time_and_a_cancel_ends_it_at_once() {
    let mut node = Node::new();
    let (task, _) = slow(&mut node);
    goes_on(&node, task.id, task.state.epoch);
    node.settle();
    let seconds = u64::from(task.spec.timeout_s);
    node.pass(Duration::from_secs(seconds - 1));
    assert_eq!(node.status(task.id), StatusKind::Running);
    node.pass(Duration::from_secs(2));
    assert_eq!(node.status(task.id), StatusKind::Retrying);
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Lost);
    let (task, _) = slow(&mut node);
    goes_on(&node, task.id, task.state.epoch);
    node.settle();
    assert_eq!(node.done(task.id, Command::Cancel), StatusKind::Cancelled);
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Lost);
}

/// An endpoint may be done, and say so, before its own answer has come back.
#[test]
fn a_report_that_outruns_the_answer_of_its_endpoint_counts() {
    let mut node = Node::new();
    let (task, _) = slow(&mut node);
    assert_eq!(report(&mut node, &task, done()), LeaseFate::Kept);
    assert_eq!(node.status(task.id), StatusKind::Completed);
    goes_on(&node, task.id, task.state.epoch);
    node.settle();
    assert_eq!(node.status(task.id), StatusKind::Completed);
    // Given back: it starts again once the run here has ended, and not before.
    let (task, _) = slow(&mut node);
    assert_eq!(report(&mut node, &task, Reported::Released), LeaseFate::Kept);
    assert_eq!(node.status(task.id), StatusKind::Queued);
    assert!(node.take_slow().is_none(), "two runs of one task");
    goes_on(&node, task.id, task.state.epoch);
    node.settle();
    let again = node.take_slow().expect("it starts again");
    assert!(again.ticket.epoch > task.state.epoch);
}

/// Each answer that could not be delivered left a place behind, for as long as the server lived.
#[test]
fn answers_that_were_not_delivered_leave_no_places_behind_without_end() {
    const AT_ONCE: usize = 1000;
    let mut node = Node::new();
    let told = node.send(vec![checked(draft("FAR")); AT_ONCE]);
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
    for _ in 0..=65_536 / AT_ONCE {
        let told: Vec<Answered> = (0..AT_ONCE)
            .map(|_| send(&node, LeaseAsk { wait_ms: 0, ..ask("w", &["FAR"], 1) }))
            .collect();
        node.settle();
        for answer in told {
            let Ok(Ok(Answer::Leased { wait, tasks })) = answer.try_recv() else { panic!() };
            assert_eq!(tasks.len(), 1);
            node.posts.mailbox.post(Message::Withdraw(wait)).unwrap();
        }
        node.settle();
    }
    let places = node.writer.handed_places();
    assert!(places <= 65_536, "{places} places");
}

/// What is kept of leased tasks is bounded by weight. That of tasks which had ended counted until
/// everything that was kept had been let go, so each report of the others needed a look-up.
#[test]
fn tasks_that_ended_make_room_before_those_that_are_still_leased() {
    let store = MemoryDisk::new();
    let mut node = Node::on(&store, ManualClock::at(START), WindowSizes::default());
    let heavy = |node: &mut Node, count: usize| {
        let payload = Some(crate::domain::Payload::text(&"x".repeat(60 << 10)));
        for _ in 0..count {
            node.submit(Draft { payload: payload.clone(), ..draft("HEAVY") });
            let task = lease(node, "w", &["HEAVY"], 1).remove(0);
            assert_eq!(report(node, &task, done()), LeaseFate::Kept);
        }
    };
    heavy(&mut node, 530);
    let told = node.send(vec![checked(draft("FAR")); 20]);
    node.settle();
    assert!(matches!(told.try_recv(), Ok(Ok(Answer::Stored { .. }))));
    let still = lease(&mut node, "w", &["FAR"], 20);
    heavy(&mut node, 40);
    for task in &still {
        let before = store.commits();
        assert_eq!(report(&mut node, task, done()), LeaseFate::Kept);
        assert_eq!(store.commits(), before + 1, "it had to be looked up");
    }
}

/// Its claim brought nothing about that name, which counted as asked for from then on.
#[test]
fn who_takes_every_type_asks_for_none_that_only_another_worker_names() {
    let mut node = Node::new();
    wait(&mut node, ask("any", &[], 1));
    wait(&mut node, ask("named", &["NEVER_SEEN"], 1));
    assert!(lease(&mut node, "at once", &[], 1).is_empty());
    assert!(lease(&mut node, "at once, by name", &["NEVER_SEEN"], 1).is_empty());
    node.submit(draft("NEVER_SEEN"));
    assert_eq!(lease(&mut node, "at last", &["NEVER_SEEN"], 1).len(), 0, "others wait longer");
}
