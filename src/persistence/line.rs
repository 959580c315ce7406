//! The line from the writer to one persist thread.
//!
//! A persist thread can hang in a call that never returns. Then another takes its place with a line
//! of its own, and what the old one still says is not heard: each line has a number, and the old
//! one is cut, so that a thread which wakes up late takes nothing from it any more.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::stop::Stop;
use crate::store::Batch;

/// What the persist thread is told.
#[derive(Debug)]
pub struct Job {
    /// The batch to commit.
    pub batch: Arc<Batch>,
    /// Whether it was sent before.
    pub sending: Sending,
    /// Whether the ids of all rows this node holds are wanted with the answer.
    pub owned: bool,
}

/// Whether a batch was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// It was not.
    First,
    /// It was, and what became of it is to be found out first.
    Again,
}

/// The writer's end.
#[derive(Debug)]
pub struct Line {
    jobs: Sender<Job>,
    number: u64,
    cut: Stop,
}

/// The persist thread's end.
#[derive(Debug)]
pub struct LineEnd {
    pub(super) jobs: Receiver<Job>,
    pub(super) number: u64,
    pub(super) cut: Stop,
}

/// A new line. Later ones have larger numbers; the first is nought.
pub fn line(number: u64) -> (Line, LineEnd) {
    // One batch is under way at a time.
    let (jobs, jobs_in) = bounded(1);
    let cut = Stop::new();
    (Line { jobs, number, cut: cut.clone() }, LineEnd { jobs: jobs_in, number, cut })
}

impl Line {
    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Hands a job over; never waits.
    pub(super) fn send(&self, job: Job) {
        // The line holds one job and none is under way; only a dead persist thread refuses, and
        // that has ended the process already.
        let _ = self.jobs.try_send(job);
    }

    /// Nothing comes through it any more.
    pub(super) fn cut(self) {
        self.cut.ask();
    }
}
