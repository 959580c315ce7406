//! The way of reports from a core to the writer: in blocks, so that one channel operation and one
//! wake-up serve many.
//!
//! A block goes when it is full, when the core has nothing else to do, or when its first report has
//! waited for a millisecond. While the channel is full the block stays here, and the core takes no
//! more tickets: what is done but not written is bounded.

use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};

use crate::clock::Mono;
use crate::persistence::{Bell, Report};

/// Reports that are on their way to the writer.
pub struct Mail {
    reports: Sender<Vec<Report>>,
    bell: Bell,
    block: Vec<Report>,
    since: Mono,
}

impl Mail {
    /// Reports in a full block.
    pub const BLOCK: usize = 64;
    /// How long a report may wait for others.
    const PATIENCE: Duration = Duration::from_millis(1);

    /// Mail into this channel; `bell` rings for each block.
    pub fn new(reports: Sender<Vec<Report>>, bell: Bell) -> Mail {
        Mail { reports, bell, block: Vec::with_capacity(Mail::BLOCK), since: Mono(0) }
    }

    /// Another way into the same channel.
    pub fn another(&self) -> Mail {
        Mail::new(self.reports.clone(), self.bell.clone())
    }

    /// Adds a report to the block.
    pub fn post(&mut self, report: Report, now: Mono) {
        if self.block.is_empty() {
            self.since = now;
        }
        self.block.push(report);
    }

    /// Whether the block should go.
    pub fn is_due(&self, now: Mono) -> bool {
        let waits = !self.block.is_empty() && now.since(self.since) >= Mail::PATIENCE;
        waits || self.block.len() >= Mail::BLOCK
    }

    /// Whether nothing waits here.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Sends the block. `false`: the channel is full, and it is still here.
    pub fn flush(&mut self) -> bool {
        if self.block.is_empty() {
            return true;
        }
        let block = std::mem::take(&mut self.block);
        match self.reports.try_send(block) {
            Ok(()) => self.sent(),
            Err(TrySendError::Full(block)) => {
                self.block = block;
                return false;
            }
            // The writer is gone, and with it the process in a moment.
            Err(TrySendError::Disconnected(_)) => {}
        }
        true
    }

    /// Sends the block, and waits for room if there is none.
    pub fn flush_within(&mut self, at_most: Duration) -> bool {
        if self.block.is_empty() {
            return true;
        }
        let block = std::mem::take(&mut self.block);
        match self.reports.send_timeout(block, at_most) {
            Ok(()) => self.sent(),
            Err(SendTimeoutError::Timeout(block)) => {
                self.block = block;
                return false;
            }
            Err(SendTimeoutError::Disconnected(_)) => {}
        }
        true
    }

    fn sent(&mut self) {
        self.bell.ring();
        self.block = Vec::with_capacity(Mail::BLOCK);
    }
}
