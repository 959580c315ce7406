//! A node without threads: every step is taken by the test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::clock::{Clock, ManualClock, Mono};
use crate::domain::{
    Call, Draft, Limits, Outcome, Run, StatusKind, Submission, Task, TaskId, TimeMs,
};
use crate::persistence::{
    Answer, Chore, Command, Ends, Happened, MailboxSizes, Message, Order, Persist, PersistStep,
    Posts, Receipt, Refusal, Report, Served, Views, WaitId, Wake, Work, Writer, WriterSettings,
    WriterStep, line, mailbox,
};
use crate::queue::{
    CrewSizes, Entrance, LaneSettings, LineSetup, Moment, Pool, Seat, Started, Take, WindowSizes,
};
use crate::store::memory::MemoryDisk;
use crate::store::{
    Batch, Committed, Durability, NodeId, Nodes, PruneAsk, Reader, Recovered, Reopen, Store,
    StoreError,
};

pub(super) const START: TimeMs = TimeMs(1_700_000_000_000);

/// What the store does with the next commits; beyond the script it works.
pub(super) type Script = Arc<Mutex<VecDeque<Option<StoreError>>>>;

/// A store whose commits fail by a script, before anything is stored.
struct Faulty {
    inner: Box<dyn Store>,
    script: Script,
    looks: Script,
}

impl Store for Faulty {
    fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        match self.script.lock().unwrap().pop_front().flatten() {
            Some(error) => Err(error),
            None => self.inner.commit(batch),
        }
    }
    fn recover(&mut self, now: TimeMs, pool: &rayon::ThreadPool) -> Result<Recovered, StoreError> {
        self.inner.recover(now, pool)
    }
    fn settle(&mut self, batch: &Batch) -> Result<Option<Committed>, StoreError> {
        self.inner.settle(batch)
    }
    fn owned(&mut self) -> Result<Vec<TaskId>, StoreError> {
        match self.looks.lock().unwrap().pop_front().flatten() {
            Some(error) => Err(error),
            None => self.inner.owned(),
        }
    }
    fn nodes(&self) -> Result<Option<Box<dyn Nodes>>, StoreError> {
        self.inner.nodes()
    }
    fn reopener(&self) -> Option<Arc<dyn Reopen>> {
        self.inner.reopener()
    }
    fn take_ids(&mut self, count: u32) -> Result<std::ops::Range<u64>, StoreError> {
        self.inner.take_ids(count)
    }
    fn signing_key(&mut self) -> Result<[u8; 16], StoreError> {
        self.inner.signing_key()
    }
    fn release(&mut self) -> Result<(), StoreError> {
        self.inner.release()
    }
    fn prune(&mut self, ask: &PruneAsk) -> Result<u64, StoreError> {
        self.inner.prune(ask)
    }
    fn upkeep(&mut self, keys_before: TimeMs) -> Result<(), StoreError> {
        self.inner.upkeep(keys_before)
    }
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.inner.reader()
    }
    fn durability(&self) -> Durability {
        self.inner.durability()
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Where an answer arrives.
pub(super) type Answered = Receiver<Result<Answer, Refusal>>;

/// One life of a node.
pub(super) struct Node {
    pub clock: Arc<ManualClock>,
    pub posts: Posts,
    pub views: Arc<Views>,
    pub script: Script,
    /// The same for looks at what the node holds.
    pub looks: Script,
    pub reader: Box<dyn Reader>,
    pub disk: MemoryDisk,
    pub nodes: Box<dyn Nodes>,
    pub reopener: Arc<dyn Reopen>,
    chores_in: Receiver<Chore>,
    /// The wishes for leases that have an answer to collect.
    pub wakes: Receiver<WaitId>,
    pub writer: Writer,
    persist: Persist,
    seat: Seat<Work>,
    pub pool: Arc<Pool<Work>>,
    chores: Sender<Chore>,
}

impl Node {
    pub fn new() -> Node {
        Node::on(&MemoryDisk::new(), ManualClock::at(START), WindowSizes::default())
    }

    /// A start on what `store` holds.
    pub fn on(store: &MemoryDisk, clock: Arc<ManualClock>, window: WindowSizes) -> Node {
        Node::join(store, NodeId(0), clock, window)
    }

    /// A start as one of several nodes on what `store` holds.
    pub fn join(
        store: &MemoryDisk,
        id: NodeId,
        clock: Arc<ManualClock>,
        window: WindowSizes,
    ) -> Node {
        let served = vec![
            served("NOOP", None),
            served("WORK", None),
            served("FEW", Some(2)),
            Served { name: "SLOW".into(), limit: None, line: Some(0) },
        ];
        Node::serving(served, store, id, clock, window)
    }

    /// The same for one that runs these types.
    pub fn serving(
        served: Vec<Served>,
        store: &MemoryDisk,
        id: NodeId,
        clock: Arc<ManualClock>,
        window: WindowSizes,
    ) -> Node {
        let disk = store.clone();
        let (script, looks) = (Script::default(), Script::default());
        let inner: Box<dyn Store> = Box::new(store.join(id, "n"));
        let mut store = Faulty { inner, script: script.clone(), looks: looks.clone() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let recovered = store.recover(clock.now(), &pool).unwrap();
        let ids = store.take_ids(65_536).unwrap();
        let reader = store.reader().unwrap();
        let nodes = store.nodes().unwrap().expect("many may use it");
        let reopener = store.reopener().expect("it can be opened again");
        let (posts, inbox) = mailbox(MailboxSizes { requests: 1024, reports: 64 });
        let (line, line_end) = line(0);
        let (chores, chores_in) = bounded(8);
        let settled = posts.settled.clone();
        let persist =
            Persist::new(Box::new(store), line_end, chores_in.clone(), settled, posts.bell.clone());
        let (lanes, mut seats) = Entrance::new(1, LaneSettings::default());
        let views = Arc::new(Views::default());
        let settings = WriterSettings {
            served,
            types_max: 10,
            window,
            crashes_max: 3,
            is_shared: id != NodeId(0),
            poll: Duration::from_secs(1),
            seed: 1,
            lease_grace: Duration::ZERO,
        };
        let clock_of = Arc::clone(&clock) as Arc<dyn Clock>;
        let setup = LineSetup { name: "SLOW".into(), limit: 2, rate: None, guards: Vec::new() };
        let crew =
            CrewSizes { threads_kept: 2, threads_max: 2, keep_alive: Duration::from_secs(1) };
        let pool = Arc::new(Pool::new(vec![setup], crew, 100, |_| Duration::from_secs(10)));
        let (woken, wakes) = bounded(1024);
        let wake: Wake = Arc::new(move |wait| {
            let _ = woken.try_send(wait);
        });
        let views_of = Arc::clone(&views);
        let ends = Ends { inbox, line, lanes, pool: Arc::clone(&pool), views: views_of, wake };
        let writer = Writer::new(settings, clock_of, ends, recovered, ids);
        let seat = seats.remove(0);
        Node {
            clock,
            posts,
            views,
            script,
            looks,
            reader,
            disk,
            nodes,
            reopener,
            chores_in,
            wakes,
            writer,
            persist,
            seat,
            pool,
            chores,
        }
    }

    /// Steps until nothing is left to do at this moment.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let wrote = self.writer.step().expect("the script has no fatal error");
            let stored = self.persist.step();
            if matches!(wrote, WriterStep::Idle(_) | WriterStep::Over)
                && stored == PersistStep::Idle
            {
                return;
            }
        }
        panic!("the node does not come to rest");
    }

    /// One round of the writer alone.
    pub fn round(&mut self) -> Result<WriterStep, StoreError> {
        self.writer.step()
    }

    /// One step of the persist thread alone.
    pub fn commit(&mut self) -> PersistStep {
        self.persist.step()
    }

    /// Leaves the persist thread behind, wherever it hangs, and lets another take its place. The
    /// old one comes back, for the test to wake it.
    pub fn relieve(&mut self, number: u64) -> Persist {
        self.views.announce_line(number);
        let store = self.reopener.reopen(number).unwrap();
        let (line, line_end) = line(number);
        let (chores, settled) = (self.chores_in.clone(), self.posts.settled.clone());
        let next = Persist::new(store, line_end, chores, settled, self.posts.bell.clone());
        self.posts.lines.send(line).unwrap();
        std::mem::replace(&mut self.persist, next)
    }

    pub fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.settle();
    }

    pub fn post(&self, make: impl FnOnce(Receipt) -> Message) -> Answered {
        let (tell, told) = bounded(1);
        let receipt = Receipt::new(move |answer| drop(tell.send(answer)));
        self.posts.mailbox.post(make(receipt)).expect("the mailbox has room");
        told
    }

    pub fn send(&self, items: Vec<Submission>) -> Answered {
        self.post(|receipt| Message::Submit(Order { items, key: None }, receipt))
    }

    /// Submits one task and lets it be stored.
    pub fn submit(&mut self, draft: Draft) -> Task {
        let told = self.send(vec![checked(draft)]);
        self.settle();
        match told.try_recv() {
            Ok(Ok(Answer::Stored { mut tasks, created: true })) => tasks.remove(0),
            other => panic!("not stored: {other:?}"),
        }
    }

    pub fn ask(&self, id: TaskId, command: Command) -> Answered {
        self.post(|receipt| Message::Do(id, command, receipt))
    }

    /// Asks something of one task and waits for the answer.
    pub fn order(&mut self, id: TaskId, command: Command) -> Result<Answer, Refusal> {
        let told = self.ask(id, command);
        self.settle();
        told.try_recv().expect("every request is answered")
    }

    /// The status after a command that was done at once.
    pub fn done(&mut self, id: TaskId, command: Command) -> StatusKind {
        match self.order(id, command) {
            Ok(Answer::Done(seen)) => seen.task.state.status.kind(),
            other => panic!("{command:?} was not done: {other:?}"),
        }
    }

    /// Takes the next ticket, as a core does.
    pub fn take(&mut self) -> Option<crate::queue::Taken<Work>> {
        loop {
            let now = Moment { mono: Mono(1), wall: self.clock.now() };
            match self.seat.take(now) {
                Take::Taken(taken) => return Some(taken),
                Take::Withdrawn => {}
                Take::Nothing => return None,
            }
        }
    }

    /// Takes the next ticket whose run blocks, as a thread of the pool does.
    pub fn take_slow(&mut self) -> Option<Started<Work>> {
        let now = Moment { mono: self.clock.mono(), wall: self.clock.now() };
        self.pool.try_next(now, &(Arc::new(|| ()) as crate::queue::Wake))
    }

    /// Reports the end of a run that blocked, and lets it be stored.
    pub fn end_slow(&mut self, started: &Started<Work>, outcome: Outcome) {
        self.pool.end(started.run, Call::Worked, self.clock.mono());
        let run = Run { started_at: self.clock.now(), took_us: 5, waited_us: 0 };
        let (id, epoch) = (started.ticket.id, started.ticket.epoch);
        let report = Report { id, epoch, what: Happened::Ended(run, outcome) };
        self.posts.reports.send(vec![report]).unwrap();
        self.settle();
    }

    /// Takes the next ticket and reports this outcome, as a core does.
    pub fn run(&mut self, outcome: Outcome) -> Option<TaskId> {
        let taken = self.take()?;
        self.end(&taken, outcome);
        Some(taken.ticket.id)
    }

    /// Reports the end of an attempt and lets it be stored.
    pub fn end(&mut self, taken: &crate::queue::Taken<Work>, outcome: Outcome) {
        self.post_end(taken, outcome);
        self.settle();
    }

    /// Reports the end of an attempt.
    pub fn post_end(&mut self, taken: &crate::queue::Taken<Work>, outcome: Outcome) {
        self.seat.end(5);
        let run = Run { started_at: self.clock.now(), took_us: 5, waited_us: 0 };
        let (id, epoch) = (taken.ticket.id, taken.ticket.epoch);
        let report = Report { id, epoch, what: Happened::Ended(run, outcome) };
        self.posts.reports.send(vec![report]).unwrap();
    }

    /// Reports that the attempt only sleeps from now on, as a core does.
    pub fn post_sleep(&mut self, taken: &crate::queue::Taken<Work>, time: Duration) {
        self.seat.end(5);
        let at = self.clock.now();
        let until = at.plus_ms(time.as_millis() as u64);
        let (id, epoch) = (taken.ticket.id, taken.ticket.epoch);
        let what = Happened::Sleeps { at, waited_us: 0, until };
        self.posts.reports.send(vec![Report { id, epoch, what }]).unwrap();
        self.settle();
    }

    /// Gives back what is held, as a drain does.
    pub fn release(&mut self) {
        let (tell, _told) = bounded(1);
        self.chores.send(Chore::Release(tell)).unwrap();
        self.persist.step();
    }

    /// Tickets that nobody has come across yet.
    pub fn waiting_tickets(&self) -> usize {
        self.seat.entrance().waiting()
    }

    /// Until when tickets may be taken.
    pub fn tenure(&self) -> &crate::queue::Tenure {
        self.seat.entrance().tenure()
    }

    /// The stored task.
    pub fn stored(&mut self, id: TaskId) -> Task {
        self.reader.find(id).unwrap().expect("the task is stored")
    }

    pub fn status(&mut self, id: TaskId) -> StatusKind {
        self.stored(id).state.status.kind()
    }

    pub fn fail_commits(&self, errors: impl IntoIterator<Item = Option<StoreError>>) {
        self.script.lock().unwrap().extend(errors);
    }
}

pub(super) fn served(name: &str, limit: Option<usize>) -> Served {
    Served { name: name.into(), limit, line: None }
}

pub(super) fn draft(task_type: &str) -> Draft {
    Draft { name: Some("t".into()), task_type: Some(task_type.into()), ..Draft::default() }
}

pub(super) fn checked(draft: Draft) -> Submission {
    draft.check(&Limits::default()).unwrap()
}
