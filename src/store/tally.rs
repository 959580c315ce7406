//! What a batch does to the counts, summed up in memory before it is written.
//!
//! One batch touches few sorts of tasks and one or two minutes, so a store writes a handful of rows
//! instead of one for each task. Every store counts by these same rules.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Bucket;
use crate::domain::{Band, Change, ChangeKind, StatusKind, Summary, Task, TimeMs};

/// The sort of a task, as it is counted; the type is a store's own number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Sort {
    pub(super) status: StatusKind,
    pub(super) band: Band,
    pub(super) type_id: u32,
}

/// The sums of one batch.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By how much each count moves.
    pub(super) counts: HashMap<Sort, i64, RandomState>,
    /// What is to be added to each minute.
    pub(super) minutes: Vec<Bucket>,
}

impl Tally {
    /// Counts a change that was written.
    pub(super) fn note(&mut self, change: &Change, type_id: u32, now: TimeMs) {
        let to = change.task.state.status.kind();
        let band = change.task.spec.band;
        match change.kind {
            ChangeKind::Insert(_) => self.minute(now).submitted += 1,
            ChangeKind::Update(before, _) => {
                self.add(Sort { status: before.status, band, type_id }, -1);
                // A task becomes RETRYING only by a failed attempt, and each failed attempt that
                // will be retried is written once.
                if to == StatusKind::Retrying {
                    self.minute(now).retried += 1;
                }
            }
            ChangeKind::Finish(before) => {
                self.add(Sort { status: before.status, band, type_id }, -1);
                self.ended(&change.task, now);
            }
            ChangeKind::Revive(before, _) => {
                self.add(Sort { status: before.status, band, type_id }, -1);
            }
        }
        self.add(Sort { status: to, band, type_id }, 1);
    }

    /// Moves one count.
    pub(super) fn add(&mut self, sort: Sort, by: i64) {
        *self.counts.entry(sort).or_insert(0) += by;
    }

    fn ended(&mut self, task: &Task, now: TimeMs) {
        let status = task.state.status.kind();
        let bucket = self.minute(task.state.completed_at.unwrap_or(now));
        match status {
            StatusKind::Completed => bucket.completed += 1,
            StatusKind::Failed => bucket.failed += 1,
            _ => bucket.cancelled += 1,
        }
        let worked = matches!(status, StatusKind::Completed | StatusKind::Failed);
        if let Some(run) = task.state.run.filter(|_| worked) {
            bucket.run.add(run.took_us);
            bucket.wait.add(run.waited_us);
        }
    }

    fn minute(&mut self, at: TimeMs) -> &mut Bucket {
        let minute = at.minute();
        let known = self.minutes.iter().position(|bucket| bucket.minute == minute);
        let place = known.unwrap_or_else(|| {
            self.minutes.push(Bucket::empty(minute));
            self.minutes.len() - 1
        });
        &mut self.minutes[place]
    }
}

impl Bucket {
    /// A minute in which nothing happened.
    pub fn empty(minute: i64) -> Bucket {
        Bucket {
            minute,
            submitted: 0,
            completed: 0,
            failed: 0,
            cancelled: 0,
            retried: 0,
            run: Summary::default(),
            wait: Summary::default(),
        }
    }

    /// Adds what another bucket holds.
    pub fn merge(&mut self, other: &Bucket) {
        self.submitted += other.submitted;
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.retried += other.retried;
        self.run.merge(&other.run);
        self.wait.merge(&other.wait);
    }
}
