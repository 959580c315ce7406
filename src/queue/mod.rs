//! Floor 2: ready tasks in memory, in the order they will start.
//!
//! Absent on purpose: payloads, stores, HTTP, and any lock or shared counter per task.

mod board;
mod due;
mod entrance;
mod pool;
mod scan;
mod seat;
mod sleep;
mod sync;
mod tenure;
mod ticket;
mod window;

#[cfg(all(test, modelled))]
mod models;
#[cfg(all(test, not(modelled)))]
mod tests;

pub use board::{Board, Counts, Moment, RunEnd, RunNumber, Running};
pub use due::DueHeap;
pub use entrance::{Entrance, LaneSettings, Share};
pub use pool::{
    BreakerLook, CrewLook, CrewSizes, Guard, LineLook, LineSetup, Pool, PoolRun, PoolRunning,
    Started, Wake, Wishes,
};
pub use seat::{Seat, Source, Take, Taken};
pub use tenure::Tenure;
pub use ticket::Ticket;
pub use window::{Window, WindowSizes};
