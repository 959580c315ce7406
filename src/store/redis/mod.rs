//! Level 2: a Redis beside the store. Never the truth: losing it, at any moment, costs only speed.
//!
//! It holds documents of tasks that ended not long ago, ids of free tasks as hints for claims, and
//! carries notices between nodes. Calls block, each within a bound; a server that does not answer
//! is left alone and tried again by the [`Courier`] only. There are no threads here: [`Courier`]
//! and [`Listener`] are bodies with a step.
//!
//! Absent on purpose: anything that is not in the store as well.

mod address;
mod counters;
mod courier;
mod document;
mod documents;
mod error;
mod greeting;
mod hints;
mod level2;
mod leveled;
mod line;
mod notices;
pub mod r2d2_redis;
mod reader;
mod scripts;
mod standing;
#[cfg(test)]
mod tests;

pub use address::{RedisAddress, Sentinel, Tls};
pub use counters::Counted;
pub use courier::{Courier, CourierStep, Teller};
pub use error::Level2Error;
pub use greeting::Greeting;
pub use level2::{Level2, Level2Settings, Level2Vitals, PREFIX};
pub use leveled::Leveled;
pub use notices::{Listener, Notice};
pub use reader::{LeveledReader, ReadCounts};
