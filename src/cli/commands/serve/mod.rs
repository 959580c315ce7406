//! `serve`: from a checked configuration to a running server and back to an exit code.

mod access;
mod level2;
mod settings;
mod start;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use crate::cli::args::ConfigArgs;
use crate::cli::commands::types;
use crate::cli::config::{Loaded, Surroundings, load};
use crate::cli::exit::{Exit, Failure};
use crate::cli::logging;
use crate::cli::signals::{self, Signals};
use crate::clock::{Clock, SystemClock};
use crate::execution::Registry;

pub(super) use level2::address as redis_address;
pub(super) use settings::cores;

use start::{Running, start};
use supervisor::Supervisor;

/// Serves until a signal asks for an end.
pub fn run(args: &ConfigArgs, registry: Registry, around: &Surroundings) -> Result<Exit, Failure> {
    let loaded = load(&args.asked(), around)?;
    let refusals = loaded.config.refusals();
    if !refusals.is_empty() {
        return Err(Failure::new(Exit::Conflict, refusals.join("\n")));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = &loaded.config.log;
    // Bound to the end of this function, so that the last lines are out before the process ends.
    let logging = logging::start(log.level, log.format, clock.clone())?;
    tell(&loaded, args);
    // Before anything else starts: a signal during a long recovery must not be lost.
    let signals = Signals::watch(signals::end_now)?;
    let supervisor = Supervisor::find();
    supervisor.starting();
    let registry = types::register(registry, &loaded)?;
    let running = start(&loaded.config, registry, clock, logging.said())
        .map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    let (url, store, promise) = (running.url(), running.store(), running.promise());
    log::info!("serving {url} from {store}; {promise}");
    supervisor.ready(&format!("serving {url} from {store}"));
    // Bound to the end as well: a drain, too, must be seen to move on.
    let _feeding = supervisor.feed(running.engine())?;

    let drain_timeout = loaded.config.engine.drain_timeout;
    if let Err(reason) = wait(&running, &signals, drain_timeout) {
        log::error!("stopping: {reason}");
        return Err(Failure::new(Exit::Failed, reason));
    }
    supervisor.stopping(drain_timeout);
    running.drain().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    log::info!("stopped");
    Ok(Exit::Done)
}

/// Waits for the wish to end; an error if something that must not end has ended.
fn wait(running: &Running, signals: &Signals, drain: Duration) -> Result<(), String> {
    let died = running.died();
    loop {
        select! {
            recv(signals.asked) -> signal => {
                let name = signal.unwrap_or("the end of the signal thread");
                log::info!("{name}: no new work; running work has {drain:?}");
                return Ok(());
            }
            recv(died) -> reason => {
                return Err(reason.unwrap_or_else(|_| "a thread of the engine ended".into()));
            }
            default(Duration::from_secs(1)) => if !running.gate_is_open() {
                return Err("the gate's thread ended".into());
            }
        }
    }
}

/// Says what a person should know about the configuration before the server starts.
fn tell(loaded: &Loaded, args: &ConfigArgs) {
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let names_password = |url: &Option<String>| {
        let userinfo = url.as_deref().and_then(|url| url.split_once("://"));
        userinfo.is_some_and(|(_, rest)| rest.contains('@') || rest.contains("password="))
    };
    if names_password(&args.database_url) || names_password(&args.redis_url) {
        log::warn!("every user of this machine can read a password on the command line");
    }
    let api = &loaded.config.api;
    if api.asks_nobody() && !api.listen.is_local() {
        log::warn!("everyone who can reach {} can use the whole API", api.listen);
    }
    for file in &loaded.files {
        log::info!("configuration from {}", file.display());
    }
}
