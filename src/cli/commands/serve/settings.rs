//! What the configuration means for the engine and the API.

use std::sync::Arc;
use std::time::Duration;

use super::access;
use crate::api::gate::GateLimits;
use crate::api::{self, ApiSettings, ExecutorOf};
use crate::cli::config::{Compatibility, Config, Cores, Migrate, SizeLimit};
use crate::domain::TimeMs;
use crate::engine::{EngineSettings, Retention};
use crate::execution::{CoreWish, Registry};
use crate::queue::{CrewSizes, LaneSettings, Share, WindowSizes};
use crate::store::migration;

pub(super) fn migrate(config: &Config) -> migration::Migrate {
    match config.database.migrate {
        Migrate::Apply => migration::Migrate::Apply,
        Migrate::Check => migration::Migrate::Check,
    }
}

/// Which executor runs which type: here, the handlers of the registry.
pub(super) fn executors(registry: &Registry) -> ExecutorOf {
    let named = |name: Arc<str>| Some((registry.executor(&name)?, name));
    let types: Vec<_> = registry.types().into_iter().filter_map(named).collect();
    Arc::new(move |asked| {
        let known = types.iter().find(|(_, name)| **name == *asked);
        known.map(|(executor, _)| *executor)
    })
}

pub(super) fn engine(config: &Config, now: TimeMs) -> EngineSettings {
    let tasks_max = config.priority_queue.max_size;
    let share = match config.priority.share {
        0 => Share::Strict,
        takes => Share::EveryTakes(takes),
    };
    EngineSettings {
        node: node_name(),
        cores: cores(config),
        lanes: LaneSettings { steal_batch: config.engine.steal_batch, share },
        window: WindowSizes {
            tasks_max,
            bytes_max: config.priority_queue.max_bytes.0 as usize,
            due_max: tasks_max / 5,
        },
        types_max: config.task.types_max,
        crashes_max: u8::try_from(config.engine.max_crashes).unwrap_or(u8::MAX),
        stall_limit: config.store.stall_limit,
        retention: Retention {
            completed_ms: ms(config.retention.completed),
            failed_ms: ms(config.retention.failed),
            cancelled_ms: ms(config.retention.cancelled),
            bytes_max: match config.retention.max_bytes {
                SizeLimit::None => None,
                SizeLimit::Bytes(bytes) => Some(bytes),
            },
        },
        slots: CrewSizes {
            threads_kept: config.thread_pool.core_pool_size,
            threads_max: config.thread_pool.max_pool_size,
            keep_alive: config.thread_pool.keep_alive_seconds,
        },
        slots_waiting_max: config.thread_pool.queue_capacity,
        path: Some(config.node.data.clone()),
        poll: config.node.poll_interval,
        seed: seed(now),
        ..EngineSettings::default()
    }
}

pub(super) fn api(config: &Config, defaults: ApiSettings, gate: &GateLimits) -> ApiSettings {
    ApiSettings {
        limits: config.limits(),
        compatibility: match config.api.compatibility {
            Compatibility::Standard => api::Compatibility::Own,
            Compatibility::Java => api::Compatibility::Java,
        },
        batch_tasks_max: config.api.batch_tasks_max,
        body_bytes_max: config.api.batch_bytes_max.0 as usize,
        in_flight_max: gate.backends_max.max(defaults.in_flight_max),
        callers: access::callers(config),
        request_id_seed: seed(defaults.clock.now()) as u32,
        ..defaults
    }
}

pub(in crate::cli::commands) fn cores(config: &Config) -> CoreWish {
    match config.cores() {
        Cores::Auto => CoreWish::AllButOne,
        Cores::Count(count) => CoreWish::Count(count),
        Cores::These(cpus) => CoreWish::List(cpus),
    }
}

/// What people call this node: its host.
pub(super) fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Different in each process; nothing depends on its being unknown.
pub(super) fn seed(now: TimeMs) -> u64 {
    let id = u64::from(std::process::id());
    (now.0 as u64).rotate_left(20) ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
