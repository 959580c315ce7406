//! What can be set about the API.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::access::Access;
use super::callers::Callers;
use super::gate::GateCounters;
use super::levels::Levels;
use crate::clock::Clock;
use crate::domain::Limits;

/// Whose habits the API keeps where its own contract is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// This project's own contract.
    #[default]
    Own,
    /// The Java system's: times without zone, null for absent fields, unknown request fields
    /// ignored, 400 `{error, taskId}` for a refused cancel or retry.
    Java,
}

/// The executor that runs a type, by its name; `None` while only a remote worker could.
pub type ExecutorOf = Arc<dyn Fn(&str) -> Option<&'static str> + Send + Sync>;

/// Settings of a [`super::Router`].
#[derive(Clone)]
pub struct ApiSettings {
    /// What a submission may be at most.
    pub limits: Limits,
    /// Whose habits to keep.
    pub compatibility: Compatibility,
    /// Most tasks in one batch.
    pub batch_tasks_max: usize,
    /// Longest body, in bytes.
    pub body_bytes_max: usize,
    /// How long the store may walk for one page, in milliseconds.
    pub page_budget_ms: u32,
    /// Most requests that may be under way; more are answered 503. At least as many as the gate
    /// keeps backend connections.
    pub in_flight_max: usize,
    /// Which executor runs which type.
    pub executor_of: ExecutorOf,
    /// Where large bodies are parsed and checked, off the engine's CPUs.
    pub parse_pool: Arc<rayon::ThreadPool>,
    /// Times of answers.
    pub clock: Arc<dyn Clock>,
    /// Who may do what.
    pub access: Access,
    /// Who may call from a browser, and under which names.
    pub callers: Callers,
    /// How much is logged.
    pub levels: Arc<Levels>,
    /// Log lines that were dropped.
    pub lines_dropped: Arc<AtomicU64>,
    /// What the gate has done; `None` where requests come in another way.
    pub gate: Option<Arc<GateCounters>>,
    /// Makes the request ids of this process unlike those of others.
    pub request_id_seed: u32,
}

impl ApiSettings {
    /// Settings with every limit at its default.
    pub fn new(
        executor_of: ExecutorOf,
        parse_pool: Arc<rayon::ThreadPool>,
        clock: Arc<dyn Clock>,
    ) -> ApiSettings {
        ApiSettings {
            limits: Limits::default(),
            compatibility: Compatibility::Own,
            batch_tasks_max: 10_000,
            body_bytes_max: 16 << 20,
            page_budget_ms: 100,
            in_flight_max: 1024,
            executor_of,
            parse_pool,
            clock,
            access: Access::default(),
            callers: Callers::default(),
            levels: Arc::default(),
            lines_dropped: Arc::default(),
            gate: None,
            request_id_seed: 0,
        }
    }
}

impl fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiSettings")
            .field("limits", &self.limits)
            .field("compatibility", &self.compatibility)
            .field("batch_tasks_max", &self.batch_tasks_max)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("page_budget_ms", &self.page_budget_ms)
            .field("in_flight_max", &self.in_flight_max)
            .finish_non_exhaustive()
    }
}

/// A pool of one thread for each of `cpus`, pinned to it, for large bodies; named `parse-N`.
pub fn parse_pool(cpus: &[usize]) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    let places = cpus.to_vec();
    rayon::ThreadPoolBuilder::new()
        .num_threads(cpus.len().max(1))
        .thread_name(|n| format!("parse-{n}"))
        .start_handler(move |n| {
            // Refused: it shares a CPU with a core, which costs speed alone.
            let _ = places.get(n).is_some_and(|cpu| crate::execution::pin(*cpu));
        })
        .build()
}
