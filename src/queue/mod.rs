//! Floor 2: ready tasks in memory, in the order they will start.
//!
//! Absent on purpose: payloads, stores, HTTP, and any lock or shared counter per task.

mod board;
mod due;
mod entrance;
mod ticket;
mod window;

pub use board::Board;
pub use due::DueHeap;
pub use entrance::Entrance;
pub use ticket::Ticket;
pub use window::{Window, WindowSizes};
