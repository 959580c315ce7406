//! Floor 2: ready tasks in memory, in the order they will start.
//!
//! Absent on purpose: payloads, stores, HTTP, and any lock or shared counter per task.

mod ticket;

pub use ticket::Ticket;
