//! The one place where the engine and the API are put together from a configuration.

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::level2::level2;
use super::{access, settings};
use crate::api::gate::{self, Gate, GateConfig, GateHandle, GateLimits};
use crate::api::server::{Backend, BackendConfig, Handler};
use crate::api::{ApiSettings, ExecutorOf, Router, parse_pool};
use crate::cli::commands::database;
use crate::cli::config::{Config, DatabaseUrl, Listen};
use crate::cli::logging::Said;
use crate::clock::Clock;
use crate::engine::{Drained, Engine, EngineSettings, Fatal};
use crate::execution::Registry;
use crate::persistence::Wake;
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{Durability, Store};

/// A server that serves.
pub struct Running {
    engine: Arc<Engine>,
    gate: GateHandle,
    died: Receiver<String>,
    drain_timeout: Duration,
}

/// Why a server did not start or did not stop as it should.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServeError(String);

impl Running {
    /// Where clients reach it.
    pub fn url(&self) -> String {
        match self.gate.local_addr() {
            gate::Listen::Tcp(addr) => format!("http://{addr}"),
            gate::Listen::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// The store, in one phrase, without secrets.
    pub fn store(&self) -> String {
        self.engine.vitals().store.description.to_string()
    }

    /// What a 201 promises with this store, in one sentence.
    pub fn promise(&self) -> &'static str {
        match self.engine.vitals().store.durability {
            Durability::Disk => "a 201 means that the task is on stable storage",
            Durability::System => "a 201 does not survive a power cut: the server does not sync",
            Durability::Memory => "a 201 promises nothing: the store is in memory",
        }
    }

    /// The machine itself.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// Whether the gate still serves; its end is the end of the server.
    pub fn gate_is_open(&self) -> bool {
        self.gate.is_running()
    }

    /// Gives the reason once if a thread that must not end has ended.
    pub fn died(&self) -> Receiver<String> {
        self.died.clone()
    }

    /// Takes no new work, lets running work end within the drain timeout, gives back the rest and
    /// ends all threads.
    pub fn drain(self) -> Result<(), ServeError> {
        let drained = self.engine.drain(self.drain_timeout);
        // What was answered in the last moment still has to reach its client.
        let closed = self.gate.stop(Duration::from_secs(2));
        if let Err(error) = closed {
            log::warn!("the gate did not close as it should: {error}");
        }
        match drained {
            Drained::Clean => Ok(()),
            Drained::Left(what) => Err(ServeError(what)),
        }
    }
}

/// Starts the server: the port first, so that a busy one is an error before any task runs.
pub fn start(
    config: &Config,
    registry: Registry,
    clock: Arc<dyn Clock>,
    log: Said,
) -> Result<Running, ServeError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        ServeError(format!("failed to {what}: {error}"))
    };
    let mut store = open_store(config, &clock)?;

    let router: Arc<OnceLock<Router>> = Arc::default();
    let mut gate = open_gate(config, Arc::clone(&router), &clock)?;
    let router_of = Arc::clone(&router);
    gate.on_lost(Arc::new(move |token| {
        if let Some(router) = router_of.get() {
            router.lost(token);
        }
    }));
    let wakes = gate.wakes();
    let limits = gate.limits().clone();

    let (dying, died) = bounded(1);
    let fatal: Fatal = Arc::new(move |reason| drop(dying.try_send(reason.to_owned())));
    let here = settings::executors(&registry);
    let level2 = level2(config, &mut *store, &clock).map_err(ServeError)?;
    let wake: Wake = Arc::new(move |wait| wakes.wake(wait.0));
    let engine_settings = EngineSettings { level2, wake, ..settings::engine(config, clock.now()) };
    let engine = Engine::boot(engine_settings, store, registry, Arc::clone(&clock), fatal)
        .map_err(|error| ServeError(error.to_string()))?;
    let engine = Arc::new(engine);
    let asked = Arc::clone(&engine);
    // A type that workers ask for is served, though not here.
    let executors: ExecutorOf =
        Arc::new(move |name| here(name).or_else(|| asked.is_asked_for(name).then_some("remote")));
    // Two are enough, and leave the rest to the clients' connections.
    let rest: Vec<usize> = engine.other_cpus().iter().copied().take(2).collect();
    let pool = parse_pool(&rest).map_err(|error| failed("start the parsing thread", &error))?;
    let defaults = ApiSettings::new(executors, Arc::new(pool), Arc::clone(&clock));
    let defaults = ApiSettings {
        access: access::access(config),
        levels: log.levels,
        lines_dropped: log.dropped,
        gate: Some(gate.counters()),
        ..defaults
    };
    let api = settings::api(config, defaults, &limits);
    let _ = router.set(Router::new(Arc::clone(&engine), api));
    let gate = gate.start().map_err(|error| failed("start the gate", &error))?;
    Ok(Running { engine, gate, died, drain_timeout: config.engine.drain_timeout })
}

/// Opens the store that the configuration names.
fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> Result<Box<dyn Store>, ServeError> {
    let (data, migrate) = (&config.node.data, settings::migrate(config));
    let clock = Arc::clone(clock);
    match &config.database.url {
        DatabaseUrl::Sqlite => {
            let failed =
                |error| ServeError(format!("failed to {error} (data: {})", data.display()));
            let options = sqlite::Options { migrate, clock };
            let mut store = SqliteStore::open(data, options).map_err(failed)?;
            store.lay_out_log();
            Ok(Box::new(store))
        }
        DatabaseUrl::Postgres(url) => {
            let failed = |error| {
                ServeError(format!("failed to open the store at {}: {error}", url.masked()))
            };
            let options = postgres::Options {
                target: database::target(config, url).map_err(failed)?,
                data: data.clone(),
                migrate,
                name: settings::node_name(),
                readers_max: config.database.pool_max,
                readers_min: config.database.pool_min,
                lease: Duration::from_secs(12),
                clock,
            };
            Ok(Box::new(PostgresStore::open(options).map_err(failed)?))
        }
    }
}

fn open_gate(
    config: &Config,
    router: Arc<OnceLock<Router>>,
    clock: &Arc<dyn Clock>,
) -> Result<Gate, ServeError> {
    // The gate's thread starts last, so a request never meets an empty router.
    let handler: Handler = Arc::new(move |request| {
        if let Some(router) = router.get() {
            router.handle(request);
        }
    });
    let parent = socket_folder(&config.node.data);
    let stop_budget = Duration::from_secs(1);
    let backend = Backend::new(BackendConfig { parent, threads: 1, stop_budget }, handler);
    let limits = GateLimits {
        connections_max: config.api.max_connections,
        body_bytes_max: config.api.batch_bytes_max.0,
        ..GateLimits::default()
    };
    let listen = &config.api.listen;
    let address = match listen {
        Listen::Unix(path) => gate::Listen::Unix(path.clone()),
        Listen::Tcp { host, port } => {
            let mut found = (host.as_str(), *port)
                .to_socket_addrs()
                .map_err(|error| ServeError(format!("failed to find {listen}: {error}")))?;
            let first = found.next().ok_or(ServeError(format!("{listen} has no address")))?;
            gate::Listen::Tcp(first)
        }
    };
    Gate::open(GateConfig { listen: address, limits }, Arc::clone(clock), Box::new(backend))
        .map_err(|error| ServeError(format!("failed to listen on {listen}: {error}")))
}

/// Where the socket between gate and tiny_http is: in the data directory, which is this user's
/// alone; a socket's path is short, so a long one is replaced by the system's folder.
fn socket_folder(data: &Path) -> PathBuf {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    if data.as_os_str().len() <= 70 { data } else { std::env::temp_dir() }
}
