//! Floor 3: the single writer, through which everything that happens to a task must pass.
//!
//! Absent on purpose: HTTP, handlers, and any I/O outside `persist`.

mod message;
mod receipt;

pub use message::{
    Answer, Command, Happened, Message, Met, Order, Refusal, Report, Seen, Slot, Ticket, Work,
};
pub use receipt::Receipt;
