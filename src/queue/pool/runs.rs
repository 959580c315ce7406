//! The runs under way, and what others want of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::Mono;
use crate::domain::{Epoch, Pass, Run, TaskId, TimeMs};
use crate::queue::Moment;

/// Names one run; no other ever has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolRun(u64);

/// Wakes the thread of a run, wherever it waits.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What others want of a run, and what it lets them know.
pub struct Wishes {
    stop: AtomicBool,
    progress: AtomicU8,
    wake: Wake,
}

const UNKNOWN: u8 = u8::MAX;

// Relaxed: each of the two stands alone, and nothing is published through them.
impl Wishes {
    /// Nothing yet. `wake` is called after each wish.
    pub fn new(wake: Wake) -> Wishes {
        Wishes { stop: AtomicBool::new(false), progress: AtomicU8::new(UNKNOWN), wake }
    }

    /// Asks the run to stop.
    pub fn ask_stop(&self) {
        if !self.stop.swap(true, Ordering::Relaxed) {
            (self.wake)();
        }
    }

    /// Whether somebody asked the run to stop.
    pub fn is_asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Says how far the run is, in percent.
    pub fn set_progress(&self, percent: u8) {
        self.progress.store(percent.min(100), Ordering::Relaxed);
    }

    /// How far the run says it is, in percent.
    pub fn progress(&self) -> Option<u8> {
        Some(self.progress.load(Ordering::Relaxed)).filter(|percent| *percent != UNKNOWN)
    }
}

/// A run as the watch sees it.
#[derive(Debug, Clone, Copy)]
pub struct PoolRunning {
    /// Its name.
    pub run: PoolRun,
    /// The task.
    pub id: TaskId,
    /// The claim it runs under.
    pub epoch: Epoch,
    /// Since when.
    pub since: Moment,
    /// When its time is up.
    pub deadline: Mono,
    /// Since when the task could start.
    pub ready_at: TimeMs,
}

pub(super) struct Row {
    pub line: usize,
    pub id: TaskId,
    pub epoch: Epoch,
    pub since: Moment,
    pub ready_at: TimeMs,
    pub deadline: Mono,
    pub wishes: Arc<Wishes>,
    pub passes: Vec<(usize, Pass)>,
    /// Whether the watch has told that it lasts.
    pub is_told: bool,
}

impl Row {
    pub fn times(&self) -> Run {
        let started_at = self.since.wall;
        Run { started_at, took_us: 0, waited_us: started_at.since_ms(self.ready_at) * 1000 }
    }

    fn shown(&self, run: PoolRun) -> PoolRunning {
        let Row { id, epoch, since, deadline, ready_at, .. } = *self;
        PoolRunning { run, id, epoch, since, deadline, ready_at }
    }
}

#[derive(Default)]
pub(super) struct Runs {
    rows: HashMap<PoolRun, Row, RandomState>,
    begun: u64,
}

impl Runs {
    pub fn insert(&mut self, row: Row) -> PoolRun {
        self.begun += 1;
        let run = PoolRun(self.begun);
        self.rows.insert(run, row);
        run
    }

    pub fn remove(&mut self, run: PoolRun) -> Option<Row> {
        self.rows.remove(&run)
    }

    /// The latest run of a task: there are only as many rows as threads.
    pub fn of(&self, id: TaskId) -> Option<&Row> {
        let of_task = self.rows.values().filter(|row| row.id == id);
        of_task.max_by_key(|row| row.epoch.0)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn wake_all(&self) {
        self.rows.values().for_each(|row| (row.wishes.wake)());
    }

    pub fn look(
        &mut self,
        now: Mono,
        moment: Duration,
        grace: Duration,
    ) -> (Vec<PoolRunning>, Vec<PoolRunning>) {
        let (mut lasting, mut overdue) = (Vec::new(), Vec::new());
        for (run, row) in &mut self.rows {
            if !row.is_told && now.since(row.since.mono) >= moment {
                row.is_told = true;
                lasting.push(row.shown(*run));
            }
            if now > row.deadline.plus(grace) {
                overdue.push(row.shown(*run));
            }
        }
        (lasting, overdue)
    }
}
