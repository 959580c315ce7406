//! The ways into the writer: bounded channels and one bell.
//!
//! Requests, reports and settled batches come in through channels of their own, so that a flood of
//! one never keeps the other out: reports are drained first, submits are what is refused. The
//! writer waits for the bell alone. Whoever posts rings it; a bell that is already ringing is left
//! as it is.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::bell::Bell;
use super::line::Line;
use super::persist::Settled;
use super::{Message, Report};

/// Where requests are posted.
#[derive(Debug, Clone)]
pub struct Mailbox {
    requests: Sender<Message>,
    bell: Bell,
}

impl Mailbox {
    /// Posts a request; gives it back when the box is full or the writer is gone.
    pub fn post(&self, message: Message) -> Result<(), Message> {
        match self.requests.try_send(message) {
            Ok(()) => {
                self.bell.ring();
                Ok(())
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => Err(message),
        }
    }

    /// How full the box is, from 0 to 1.
    pub fn fill(&self) -> f64 {
        let capacity = self.requests.capacity().unwrap_or(usize::MAX);
        self.requests.len() as f64 / capacity.max(1) as f64
    }
}

/// Sizes of the channels.
#[derive(Debug, Clone, Copy)]
pub struct MailboxSizes {
    /// Requests that may wait.
    pub requests: usize,
    /// Blocks of reports that may wait.
    pub reports: usize,
}

/// The writer's ends.
#[derive(Debug)]
pub struct Inbox {
    pub(crate) requests: Receiver<Message>,
    pub(super) reports: Receiver<Vec<Report>>,
    pub(super) settled: Receiver<Settled>,
    pub(super) lines: Receiver<Line>,
    pub(super) heard: Receiver<()>,
}

/// The others' ends.
#[derive(Debug, Clone)]
pub struct Posts {
    /// For requests.
    pub mailbox: Mailbox,
    /// For blocks of reports; ring the bell after sending.
    pub reports: Sender<Vec<Report>>,
    /// For the persist thread.
    pub(crate) settled: Sender<Settled>,
    /// For the line to a persist thread that takes the place of one that hangs.
    pub(crate) lines: Sender<Line>,
    /// Wakes the writer.
    pub bell: Bell,
}

/// Makes all the ways into one writer.
pub fn mailbox(sizes: MailboxSizes) -> (Posts, Inbox) {
    let (bell, heard) = Bell::new();
    let (requests, requests_in) = bounded(sizes.requests);
    let (reports, reports_in) = bounded(sizes.reports);
    // One batch is under way at a time; beside its answer there may come late ones of threads that
    // were left behind.
    let (settled, settled_in) = bounded(8);
    let (lines, lines_in) = bounded(8);
    let mailbox = Mailbox { requests, bell: bell.clone() };
    let inbox = Inbox {
        requests: requests_in,
        reports: reports_in,
        settled: settled_in,
        lines: lines_in,
        heard,
    };
    (Posts { mailbox, reports, settled, lines, bell }, inbox)
}
