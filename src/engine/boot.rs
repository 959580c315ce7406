//! The start: take over what the store holds, then start the threads, in the order in which each
//! finds everything it needs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::housekeeper::Housekeeper;
use super::nodes::{Errands, Neighbours, StartUntil};
use super::prune::{self, Pruner};
use super::reads::Reads;
use super::relief::Relief;
use super::runners::{Queues, Runners};
use super::second::Second;
use super::threads::{self, Fatal};
use super::{Engine, Identity, Reserve, Retention};
use crate::clock::{Clock, StoreClock};
use crate::execution::{
    CoreWish, Cores, Pins, Registry, allowed_cpus, cgroup_quota, choose, time_limit,
};
use crate::persistence::{
    Chore, Ends, LineEnd, MailboxSizes, Persist, PersistStep, Posts, Views, Wake, Work, Writer,
    WriterSettings, WriterStep, line, mailbox,
};
use crate::queue::{CrewSizes, Entrance, LaneSettings, Pool, WindowSizes};
use crate::store::redis::Level2;
use crate::store::{Reader, Store, StoreError};

/// How an engine is set up.
#[derive(Clone)]
pub struct EngineSettings {
    /// What people call this node.
    pub node: String,
    /// Which CPUs become cores.
    pub cores: CoreWish,
    /// How tickets are handed out.
    pub lanes: LaneSettings,
    /// How much may be in memory.
    pub window: WindowSizes,
    /// How many different task types there may be.
    pub types_max: usize,
    /// How many crashes alone end a suspect.
    pub crashes_max: u8,
    /// How long a batch may be with a persist thread before another takes over.
    pub stall_limit: Duration,
    /// How many requests may wait for the writer.
    pub requests_max: usize,
    /// The threads of types whose runs block.
    pub slots: CrewSizes,
    /// How many tasks may wait in memory for such a thread.
    pub slots_waiting_max: usize,
    /// How many threads read.
    pub readers: usize,
    /// How long ended tasks are kept.
    pub retention: Retention,
    /// How much of the disk is kept back.
    pub reserve: Reserve,
    /// A path on the store's file system; `None` for a store without one.
    pub path: Option<PathBuf>,
    /// The Redis beside the store.
    pub level2: Option<Arc<Level2>>,
    /// How often an idle node looks for rows that others left free, where the store is shared.
    pub poll: Duration,
    /// Seeds the jitter of retries.
    pub seed: u64,
    /// How long leases that ran out meanwhile wait after a start or an outage, so that workers
    /// can renew them first.
    pub lease_grace: Duration,
    /// Told when a worker's wish for tasks that waited has an answer.
    pub wake: Wake,
}

impl Default for EngineSettings {
    fn default() -> EngineSettings {
        EngineSettings {
            node: "local".into(),
            cores: CoreWish::default(),
            lanes: LaneSettings::default(),
            window: WindowSizes::default(),
            types_max: 10_000,
            crashes_max: 3,
            stall_limit: Duration::from_secs(5),
            requests_max: 8192,
            slots: CrewSizes {
                threads_kept: 20,
                threads_max: 100,
                keep_alive: Duration::from_mins(1),
            },
            slots_waiting_max: 10_000,
            readers: 2,
            retention: Retention::default(),
            reserve: Reserve::default(),
            path: None,
            level2: None,
            poll: Duration::from_millis(50),
            seed: 1,
            lease_grace: Duration::from_secs(5),
            wake: Arc::new(|_| ()),
        }
    }
}

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The store.
    #[error("failed to {0}")]
    Store(#[from] StoreError),
    /// The system has no more threads.
    #[error("failed to start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The pool that decodes what the store holds.
    #[error("failed to start the decoding threads: {0}")]
    Pool(#[from] rayon::ThreadPoolBuildError),
}

/// The threads, and what ends them.
pub(super) struct Running {
    pub runners: Runners,
    pub writer_over: Receiver<()>,
    pub bell: crate::persistence::Bell,
    pub housekeeping: Sender<()>,
}

impl Engine {
    /// Takes over what `store` holds and starts everything. `fatal` ends the process: the engine
    /// calls it when going on could break a promise.
    pub fn boot(
        settings: EngineSettings,
        mut store: Box<dyn Store>,
        mut registry: Registry,
        clock: Arc<dyn Clock>,
        fatal: Fatal,
    ) -> Result<Engine, BootError> {
        let pins = choose_cpus(&settings.cores);
        let recovered = recover(&mut *store, &pins, &*clock)?;
        let ids = store.take_ids(65_536)?;
        let signing_key = store.signing_key()?;
        registry.sign_with(signing_key);
        let identity = identity(&settings, &*store, &pins, signing_key);
        let second = Second::new(settings.level2.clone());
        let readers = second.readers(&*store, settings.readers)?;
        let (store, teller) = second.over(store)?;

        let seats = Cores::seats_for(pins.cpus.len());
        let (lanes, seats) = Entrance::new(seats, settings.lanes);
        let pool = Arc::new(pool_of(&settings, &registry));
        let sizes = MailboxSizes { requests: settings.requests_max, reports: 256 };
        let (posts, inbox) = mailbox(sizes);
        let (line, line_end) = line(0);
        let (chores, chores_in) = bounded(64);
        let views = Arc::new(Views::default());
        let (mail, until) = (&posts.mailbox, start_until(&lanes, &pool));
        let neighbours = Neighbours::join(&*store, &clock, &views, until, mail, teller)?;
        let summons = neighbours.as_ref().map(|(neighbours, _)| neighbours.summons());
        let (neighbours, shared) = neighbours.unzip();
        let (errands, clock) = by_the_store(shared, clock);
        let (lanes_of, views_of) = (Arc::clone(&lanes), Arc::clone(&views));
        let wake = settings.wake.clone();
        let ends = Ends { inbox, line, lanes: lanes_of, pool: pool.clone(), views: views_of, wake };
        let set = writer_settings(&settings, &registry, errands.is_some());
        let writer = Writer::new(set, Arc::clone(&clock), ends, recovered, ids);
        let ends = (Arc::clone(&clock), Arc::clone(&views), posts.clone());
        let limit = settings.stall_limit;
        let relief = start_persist(store, line_end, chores_in, ends, limit, &fatal)?;
        let writer_over = start_writer(writer, &fatal)?;
        let reads = start_readers(readers, &clock, &fatal)?;
        let queues = Queues { seats, lanes: &lanes, pool: &pool };
        let runners = Runners::start(&pins, queues, registry, &clock, &posts)?;
        let keeper = keeper(&settings, (&clock, &views), &chores, &reads);
        let pruner = start_pruner(&chores, &fatal)?;
        let (housekeeping, stop) = start_keepers(keeper, runners.clone(), &fatal)?;
        if let Some(relief) = relief {
            relief.start(&stop, &fatal)?;
        }
        if let Some(neighbours) = neighbours {
            neighbours.start(&stop, &fatal)?;
        }

        let Posts { mailbox, bell, .. } = posts;
        second.listen(&views, &bell, summons, &stop)?;
        let running = Mutex::new(Some(Running { runners, writer_over, bell, housekeeping }));
        Ok(Engine {
            clock,
            mailbox,
            errands,
            reads,
            pruner,
            chores,
            views,
            lanes,
            pool,
            identity,
            second,
            running,
        })
    }
}

/// Where the store is shared all go by its clock.
fn by_the_store(
    shared: Option<(Errands, Arc<StoreClock>)>,
    here: Arc<dyn Clock>,
) -> (Option<Errands>, Arc<dyn Clock>) {
    match shared {
        Some((errands, clock)) => (Some(errands), clock),
        None => (None, here),
    }
}

fn keeper(
    settings: &EngineSettings,
    (clock, views): (&Arc<dyn Clock>, &Arc<Views>),
    chores: &Sender<Chore>,
    reads: &Reads,
) -> Housekeeper {
    Housekeeper {
        clock: Arc::clone(clock),
        views: Arc::clone(views),
        chores: chores.clone(),
        path: settings.path.clone(),
        reserve: settings.reserve,
        retention: settings.retention,
        reads: reads.clone(),
    }
}

fn start_pruner(chores: &Sender<Chore>, fatal: &Fatal) -> std::io::Result<Pruner> {
    let (pruner, asked) = Pruner::new();
    let chores = chores.clone();
    threads::spawn("pruner", fatal, move || {
        prune::prune_all(&asked, &chores);
        Ok(())
    })?;
    Ok(pruner)
}

/// Starts what looks after the runners and the rest, until what is returned first is dropped.
fn start_keepers(
    keeper: Housekeeper,
    runners: Runners,
    fatal: &Fatal,
) -> std::io::Result<(Sender<()>, Receiver<()>)> {
    let (housekeeping, stop) = bounded::<()>(1);
    let (stop_watch, stop_keeper) = (stop.clone(), stop.clone());
    threads::spawn("watch", fatal, move || runners.watch(&stop_watch))?;
    threads::spawn("housekeeper", fatal, move || {
        keeper.run(&stop_keeper);
        Ok(())
    })?;
    Ok((housekeeping, stop))
}

/// Takes over what the store holds; decoding runs on threads of its own.
fn recover(
    store: &mut dyn Store,
    pins: &Pins,
    clock: &dyn Clock,
) -> Result<crate::store::Recovered, BootError> {
    let decoders = rayon::ThreadPoolBuilder::new()
        .num_threads(pins.cpus.len().clamp(1, 4))
        .thread_name(|n| format!("decode-{n}"))
        .build()?;
    let recovered = store.recover(clock.now(), &decoders)?;
    log::info!("{} unfinished tasks were taken over", recovered.held.len());
    Ok(recovered)
}

/// Says to all that start tasks until when they may.
fn start_until(lanes: &Arc<Entrance<Work>>, pool: &Arc<Pool<Work>>) -> StartUntil {
    let (lanes, pool) = (Arc::clone(lanes), Arc::clone(pool));
    Box::new(move |at| {
        lanes.tenure().set_end(at);
        pool.tenure().set_end(at);
    })
}

fn start_readers(
    readers: Vec<Box<dyn Reader>>,
    clock: &Arc<dyn Clock>,
    fatal: &Fatal,
) -> std::io::Result<Reads> {
    let (asks, asked) = Reads::new(Arc::clone(clock));
    for (n, mut reader) in readers.into_iter().enumerate() {
        let asked = asked.clone();
        let body = move || {
            asked.answer_all(&mut *reader);
            Ok(())
        };
        threads::spawn(&format!("read-{n}"), fatal, body)?;
    }
    threads::spawn("usher", fatal, move || {
        asked.watch_all();
        Ok(())
    })?;
    Ok(asks)
}

/// The same where nobody else writes: only what this node left free can be there.
const ALONE_POLL: Duration = Duration::from_secs(1);

fn writer_settings(
    settings: &EngineSettings,
    registry: &Registry,
    is_shared: bool,
) -> WriterSettings {
    WriterSettings {
        served: registry.served(),
        types_max: settings.types_max,
        window: settings.window,
        crashes_max: settings.crashes_max,
        is_shared,
        poll: if is_shared { settings.poll } else { ALONE_POLL },
        seed: settings.seed,
        lease_grace: settings.lease_grace,
    }
}

fn pool_of(settings: &EngineSettings, registry: &Registry) -> Pool<Work> {
    let lines = registry.lines(settings.slots.threads_kept);
    Pool::new(lines, settings.slots, settings.slots_waiting_max, time_limit)
}

fn choose_cpus(wish: &CoreWish) -> Pins {
    let pins = choose(wish, &allowed_cpus(), cgroup_quota(std::path::Path::new("/")));
    pins.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    pins
}

fn identity(
    settings: &EngineSettings,
    store: &dyn Store,
    pins: &Pins,
    signing_key: [u8; 16],
) -> Identity {
    let others = pins.cpus.len().saturating_sub(1);
    Identity {
        node: settings.node.as_str().into(),
        store: store.describe().into(),
        durability: store.durability(),
        connections: store.connections(),
        path: settings.path.clone(),
        reserve: settings.reserve,
        cpus: pins.cpus.clone(),
        others: pins.rest.clone(),
        priority_bound: (others * settings.lanes.steal_batch) as u64,
        requests_max: settings.requests_max as u64,
        signing_key,
    }
}

/// Starts the persist thread, and says how to relieve it where the store allows that.
fn start_persist(
    store: Box<dyn Store>,
    line: LineEnd,
    chores: Receiver<Chore>,
    ends: (Arc<dyn Clock>, Arc<Views>, Posts),
    limit: Duration,
    fatal: &Fatal,
) -> std::io::Result<Option<Relief>> {
    let (settled, bell) = (ends.2.settled.clone(), ends.2.bell.clone());
    let relief = store.reopener().map(|reopener| {
        let (chores, fatal) = (chores.clone(), Arc::clone(fatal));
        Relief::new(ends, chores, reopener, fatal, limit)
    });
    let mut persist = Persist::new(store, line, chores, settled, bell);
    threads::spawn("persist", fatal, move || {
        while persist.wait() != PersistStep::Over {}
        Ok(())
    })?;
    Ok(relief)
}

/// Starts the writer; the other end of what comes back closes when it has ended well.
fn start_writer(mut writer: Writer, fatal: &Fatal) -> std::io::Result<Receiver<()>> {
    let (over, is_over) = bounded(1);
    let body = move || {
        loop {
            match writer.step() {
                Ok(WriterStep::Ran) => {}
                Ok(WriterStep::Idle(time)) => writer.wait(time),
                Ok(WriterStep::Over) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        drop(over);
        Ok(())
    };
    threads::spawn("writer", fatal, body)?;
    Ok(is_over)
}
