//! Floor 3: the single writer, through which everything that happens to a task must pass.
//!
//! Requests and reports come in through a [`mailbox`]; the [`Writer`] turns them into units, hands
//! batches to [`Persist`], and lets their effects show once they are committed.
//!
//! Absent on purpose: HTTP, handlers, and any I/O outside [`Persist`].

mod backlog;
mod bell;
mod books;
mod crew;
mod gathering;
mod kinds;
mod lease;
mod lessees;
mod line;
mod live;
mod mailbox;
mod message;
mod newcomers;
mod pending;
mod persist;
mod receipt;
mod suspects;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use bell::Bell;
pub use books::{Books, PerBand, Row};
pub use kinds::{Served, Way};
pub use lease::{
    LeaseAsk, LeaseBeat, LeaseFate, LeaseReport, LeaseTypes, Reported, WaitId, Wake, WorkerSeen,
};
pub use line::{Job, Line, LineEnd, Sending, line};
pub use mailbox::{Inbox, Mailbox, MailboxSizes, Posts, mailbox};
pub use message::{
    Answer, Command, Happened, Message, Met, Order, Refusal, Report, Seen, Slot, Ticket, Work,
};
pub use persist::{Chore, Persist, PersistStep, Settled};
pub use receipt::Receipt;
pub use view::{View, Views};
pub use writer::{Ends, Writer, WriterSettings, WriterStep};
