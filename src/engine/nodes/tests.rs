//! Two whole engines on one memory store, with all their threads, by a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::envoy::{Envoy, Errands};
use crate::clock::{Clock, ManualClock};
use crate::domain::{Draft, Limits, StatusKind, Task, TaskId, TimeMs};
use crate::engine::{Engine, EngineSettings, Fatal};
use crate::execution::{CoreWish, Registry};
use crate::persistence::{
    Answer, Command, MailboxSizes, Message, Order, Receipt, Refusal, mailbox,
};
use crate::store::memory::MemoryDisk;
use crate::store::{Incarnation, NodeId, Store, Wish};

const START: TimeMs = TimeMs(1_700_000_000_000);

struct Town {
    disk: MemoryDisk,
    clock: Arc<ManualClock>,
    died: Receiver<String>,
    fatal: Fatal,
}

type Told = Receiver<Result<Answer, Refusal>>;

impl Town {
    fn new() -> Town {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::at(START));
        disk.keep_time_by(clock.clone());
        let (dying, died) = bounded(8);
        let fatal: Fatal = Arc::new(move |why| drop(dying.try_send(why.to_owned())));
        Town { disk, clock, died, fatal }
    }

    fn engine(&self, number: u128) -> Engine {
        self.engine_and_number(number).0
    }

    fn engine_and_number(&self, number: u128) -> (Engine, Incarnation) {
        let store = Box::new(self.disk.join(NodeId(number), "n"));
        let own = store.nodes().unwrap().expect("many may use it").own();
        let settings = EngineSettings { cores: CoreWish::Count(1), ..EngineSettings::default() };
        let clock = self.clock.clone() as Arc<dyn Clock>;
        let registry = Registry::with_builtins();
        let booted = Engine::boot(settings, store, registry, clock, self.fatal.clone());
        (booted.expect("it boots"), own)
    }

    /// Lets time pass until there is something.
    fn await_some<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let (_keep, nothing) = bounded::<()>(0);
        for _ in 0..30_000 {
            if let Some(found) = look() {
                return found;
            }
            // Not much faster than the machine's own clock, or its threads seem to stand still.
            let _ = nothing.recv_timeout(Duration::from_millis(1));
            self.clock.advance(Duration::from_millis(3));
        }
        panic!("in vain: {what}");
    }

    fn await_answer(&self, told: &Told) -> Result<Answer, Refusal> {
        self.await_some("an answer", || told.try_recv().ok())
    }

    /// Lets time pass until a task has this status in the store.
    fn await_status(&self, id: TaskId, status: StatusKind) {
        let has_it = |task: &Task| task.id == id && task.state.status.kind() == status;
        self.await_some(status.name(), || self.disk.tasks().iter().any(has_it).then_some(()));
    }

    fn submit(&self, engine: &Engine, draft: Draft) -> Task {
        let (receipt, told) = receipt();
        let item = draft.check(&Limits::default()).unwrap();
        engine.submit(Order { items: vec![item], key: None }, receipt);
        match self.await_answer(&told) {
            Ok(Answer::Stored { mut tasks, .. }) => tasks.remove(0),
            other => panic!("not stored: {other:?}"),
        }
    }

    fn order(&self, engine: &Engine, id: TaskId, command: Command) -> Result<Answer, Refusal> {
        let (receipt, told) = receipt();
        engine.command(id, command, receipt);
        self.await_answer(&told)
    }
}

fn receipt() -> (Receipt, Told) {
    let (tell, told) = bounded(1);
    (Receipt::new(move |answer| drop(tell.send(answer))), told)
}

fn draft(task_type: &str) -> Draft {
    Draft { name: Some("t".into()), task_type: Some(task_type.into()), ..Draft::default() }
}

fn later() -> Draft {
    Draft { scheduled_for: Some(START.plus_ms(500_000)), ..draft("NOOP") }
}

fn status_of(answer: Result<Answer, Refusal>) -> StatusKind {
    match answer {
        Ok(Answer::Done(seen)) => seen.task.state.status.kind(),
        other => panic!("not done: {other:?}"),
    }
}

#[test]
fn any_node_does_what_is_asked_of_a_task_that_another_one_holds() {
    let town = Town::new();
    let (a, b) = (town.engine(1), town.engine(2));
    let id = town.submit(&a, later()).id;
    let paused = town.order(&b, id, Command::Put(StatusKind::Paused));
    assert_eq!(status_of(paused), StatusKind::Paused);
    let id = town.submit(&a, later()).id;
    assert_eq!(status_of(town.order(&b, id, Command::Cancel)), StatusKind::Cancelled);
    let again = town.order(&b, id, Command::Cancel);
    assert!(
        matches!(again, Err(Refusal::IllegalMove { from: StatusKind::Cancelled })),
        "{again:?}"
    );
    let id = town.submit(&b, later()).id;
    let wrong = town.order(&a, id, Command::Retry);
    assert!(
        matches!(wrong, Err(Refusal::IllegalMove { from: StatusKind::Scheduled })),
        "{wrong:?}"
    );
    let missing = town.order(&a, TaskId::new(900_000_000).unwrap(), Command::Cancel);
    assert!(matches!(missing, Err(Refusal::NotFound)), "{missing:?}");
    assert!(town.died.is_empty(), "{:?}", town.died.try_recv());
}

#[test]
fn a_wish_that_a_silent_node_does_not_hear_stands_and_is_carried_out_after_its_end() {
    let town = Town::new();
    let b = town.engine(2);
    let (a, own) = town.engine_and_number(1);
    let id = town.submit(&a, later()).id;
    town.disk.cut_off(own, true);
    let asked = town.order(&b, id, Command::Cancel);
    assert!(matches!(asked, Ok(Answer::Asked(_))), "{asked:?}");
    town.await_status(id, StatusKind::Cancelled);
    // The silent one was only cut off. It learns that it is over, and says so.
    town.disk.cut_off(own, false);
    let why = town.await_some("its end", || town.died.try_recv().ok());
    assert!(why.contains("another node has ended it"), "{why}");
}

#[test]
fn a_released_nodes_tasks_go_on_elsewhere_at_once() {
    let town = Town::new();
    let (a, b) = (town.engine(1), town.engine(2));
    let id = town.submit(&a, later()).id;
    let drained = std::thread::scope(|scope| {
        let drain = scope.spawn(|| a.drain(Duration::from_secs(3)));
        town.await_some("its end", || drain.is_finished().then_some(()));
        drain.join().expect("it drains")
    });
    assert_eq!(drained, crate::engine::Drained::Clean);
    let hurried = town.order(&b, id, Command::Put(StatusKind::Queued));
    assert!(matches!(hurried, Ok(Answer::Done(_) | Answer::Asked(_))), "{hurried:?}");
    town.await_status(id, StatusKind::Completed);
    assert!(town.died.is_empty(), "{:?}", town.died.try_recv());
}

#[test]
fn the_count_of_nodes_follows_who_lives() {
    let town = Town::new();
    let a = town.engine(1);
    let store = town.disk.join(NodeId(2), "the other");
    let mut other = store.nodes().unwrap().expect("many may use it");
    other.renew().unwrap();
    for nodes in [2, 1] {
        town.await_some("the count", || (a.vitals().nodes == nodes).then_some(()));
    }
}

#[test]
fn a_summons_sends_the_envoy_to_its_inbox_before_its_time() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::at(START));
    let (one, other) = (disk.join(NodeId(1), "one"), disk.join(NodeId(2), "other"));
    let nodes = || one.nodes().unwrap().expect("many may use it");
    let own = nodes().own();
    let (posts, inbox) = mailbox(MailboxSizes { requests: 8, reports: 8 });
    let (_errands, given) = Errands::new();
    let ends = (nodes(), one.reader().unwrap());
    let mut envoy =
        Envoy::new(ends, clock.clone(), Arc::default(), posts.mailbox.clone(), given, None);
    envoy.step(None);
    let (task, command) = (TaskId::new(7).unwrap(), Command::Cancel);
    other.nodes().unwrap().unwrap().post(&[Wish { holder: own, task, command }]).unwrap();
    envoy.step(None);
    assert!(inbox.requests.is_empty(), "its time has not come");
    let summons = envoy.summons();
    summons.hear(Incarnation(own.0 + 1));
    envoy.step(None);
    assert!(inbox.requests.is_empty() && envoy.rung().is_empty(), "it is not meant");
    summons.hear(own);
    assert_eq!(envoy.rung().try_recv(), Ok(()));
    envoy.step(None);
    let asked = inbox.requests.try_recv();
    assert!(matches!(asked, Ok(Message::Do(id, Command::Cancel, _)) if id == task));
    // Nothing more than a look: a notice that lies finds nothing.
    summons.hear(own);
    envoy.step(None);
    assert!(inbox.requests.is_empty());
    // What the writer answers is passed on at once too.
    drop(asked);
    assert_eq!(envoy.rung().try_recv(), Ok(()));
}
