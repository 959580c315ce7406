//! How the machine is, as its health and statistics answers say it.

use std::sync::Arc;

use crate::clock::Mono;
use crate::domain::{BandMap, TimeMs};
use crate::queue::{BreakerLook, CrewLook, LineLook};
use crate::store::Durability;
use crate::store::redis::Level2Vitals;

/// A look at the machine, from memory; it never waits for anything.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// This node's name.
    pub node: Arc<str>,
    /// How many nodes are alive, this one included.
    pub nodes: u32,
    /// Where in its life the engine is.
    pub phase: Phase,
    /// The store.
    pub store: StoreVitals,
    /// The disk the store is on; `None` where it is on none.
    pub disk: Option<DiskVitals>,
    /// Tickets that wait in memory.
    pub queue_depth: BandMap<u64>,
    /// When the longest waiting of them became ready.
    pub oldest_ready_at: Option<TimeMs>,
    /// Messages in the writer's mailbox.
    pub mailbox: u64,
    /// Most messages it takes.
    pub mailbox_max: u64,
    /// By how many tickets of a higher band a core may be wrong (the promise about priority).
    pub priority_bound: u64,
    /// The Redis beside the store; `None` where there is none.
    pub level2: Option<Level2Vitals>,
    /// Reads of one task, by the level that answered.
    pub reads: LevelReads,
    /// The engine's cores.
    pub cores: Vec<CoreVitals>,
    /// What runs beside them.
    pub slots: SlotVitals,
}

/// How the types whose runs block are: processes and requests.
#[derive(Debug, Clone)]
pub struct SlotVitals {
    /// The threads they run on.
    pub crew: CrewLook,
    /// What each type does.
    pub lines: Vec<LineLook>,
    /// What the breakers do; those of a type bear its name.
    pub breakers: Vec<BreakerLook>,
    /// When this was seen: an open breaker says until when on the same clock.
    pub now: Mono,
}

/// Where in its life an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It takes up what the last run left.
    Recovering,
    /// It serves.
    Serving,
    /// It finishes what runs and takes nothing new.
    Stopping,
}

/// How the store is.
#[derive(Debug, Clone)]
pub struct StoreVitals {
    /// Whether the last commit or probe was answered in time.
    pub is_up: bool,
    /// One line for people.
    pub description: Arc<str>,
    /// What a commit promises.
    pub durability: Durability,
}

/// How many reads of one task each level answered, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelReads {
    /// By the memory of the writer: the task is live here.
    pub memory: u64,
    /// By Redis.
    pub redis: u64,
    /// By the store.
    pub store: u64,
    /// Questions of any kind that the store failed to answer.
    pub failed: u64,
}

/// How the disk is.
#[derive(Debug, Clone, Copy)]
pub struct DiskVitals {
    /// Free bytes.
    pub free_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
    /// With less free than this, submits are refused.
    pub limit_bytes: u64,
}

/// How one core is.
#[derive(Debug, Clone, Copy, Default)]
pub struct CoreVitals {
    /// The CPU it is pinned to.
    pub cpu: Option<usize>,
    /// The share of the last seconds it spent in handlers and lanes, 0 to 1.
    pub busy_share: f64,
    /// Attempts it ended.
    pub executed: u64,
    /// Tickets it took from other cores' lanes.
    pub stolen: u64,
    /// How often it went to sleep for want of work.
    pub parked: u64,
}
