//! The writer's books: what happened to tasks since the start, by band and type.
//!
//! Only the writer writes here, in memory that is its own, as it folds a settled batch; others see
//! a copy a few times a second. Types are bounded: those beyond the first ones are one.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::domain::{
    Band, BandMap, Change, ChangeKind, FailureKind, Run, Status, StatusKind, Task, TimeMs,
};
use crate::metrics::{COUNTS, DURATIONS_US, Histogram};

/// What happened to tasks of one band and type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Stored.
    pub submitted: u64,
    /// Attempts whose start is on record.
    pub started: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended badly.
    pub failed: u64,
    /// Ended by somebody's wish.
    pub cancelled: u64,
    /// Queued again after they had ended.
    pub revived: u64,
    /// Failed attempts that will be repeated, by kind, in the order of [`FailureKind::ALL`].
    pub retried: [u64; FailureKind::ALL.len()],
}

/// The books.
#[derive(Debug, Clone)]
pub struct Books {
    /// The types, in the order they were met.
    pub types: Vec<Arc<str>>,
    places: HashMap<Arc<str>, usize, RandomState>,
    /// One for each type, and one for all others.
    pub rows: Vec<BandMap<Row>>,
    /// Time in attempts, in microseconds, by type as the rows are.
    pub type_run_us: Vec<u64>,
    /// Ready until started, in microseconds.
    pub wait: PerBand,
    /// One attempt, in microseconds.
    pub run: PerBand,
    /// From the submit, or the time asked for, to the end, in microseconds.
    pub end_to_end: PerBand,
    /// Ended because they brought servers or workers down.
    pub poisoned: u64,
    /// Changes in a batch.
    pub batch_tasks: Histogram,
    /// From handing a batch over to its answer, in microseconds.
    pub commit: Histogram,
    /// Batches that an error came back for.
    pub commit_errors: u64,
}

/// One histogram for each band, by its rank.
pub type PerBand = [Histogram; Band::ALL.len()];

/// Whether a change tells the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    AttemptEnded,
    Else,
}

impl Default for Books {
    fn default() -> Books {
        let durations = || [(); 5].map(|()| Histogram::new(DURATIONS_US));
        Books {
            types: Vec::new(),
            places: HashMap::default(),
            rows: vec![BandMap::default()],
            type_run_us: vec![0],
            wait: durations(),
            run: durations(),
            end_to_end: durations(),
            poisoned: 0,
            batch_tasks: Histogram::new(COUNTS),
            commit: Histogram::new(DURATIONS_US),
            commit_errors: 0,
        }
    }
}

impl Books {
    /// How many types have rows of their own.
    pub const TYPES_MAX: usize = 100;
    /// What all others are called.
    pub const OTHER: &'static str = "other";

    /// Each type with its place in the rows; the last is all others.
    pub fn named(&self) -> impl Iterator<Item = (&str, usize)> {
        let own = self.types.iter().map(|name| &**name);
        own.chain([Self::OTHER]).enumerate().map(|(place, name)| (name, place))
    }

    /// Writes down a change that is stored.
    pub(super) fn note(&mut self, change: &Change, tells: Tells, now: TimeMs) {
        let Change { task, kind } = change;
        let place = self.place(&task.spec.task_type);
        let band = task.spec.band;
        let to = task.state.status.kind();
        let row = &mut self.rows[place][band];
        let before = match kind {
            ChangeKind::Insert(_) => {
                row.submitted += 1;
                return;
            }
            ChangeKind::Revive(..) => {
                row.revived += 1;
                return;
            }
            ChangeKind::Update(before, _) | ChangeKind::Finish(before) => before.status,
        };
        let was_running = before == StatusKind::Running;
        let ended = to.is_terminal() || to == StatusKind::Retrying;
        let told = tells == Tells::AttemptEnded || was_running;
        let attempt = task.state.run.filter(|_| told && ended);
        row.started += u64::from(!was_running && (attempt.is_some() || to == StatusKind::Running));
        match (task.state.status, kind) {
            (Status::Retrying { .. }, _) if attempt.is_some() => {
                let kind = task.state.last_error.as_ref().map_or(FailureKind::Error, |e| e.0);
                let place = FailureKind::ALL.iter().position(|known| *known == kind);
                row.retried[place.unwrap_or(0)] += 1;
            }
            (Status::Completed, ChangeKind::Finish(_)) => {
                row.completed += 1;
                self.end_to_end[band.rank()].add(life_us(task, now));
            }
            (Status::Failed, ChangeKind::Finish(_)) => {
                row.failed += 1;
                let kind = task.state.last_error.as_ref().map(|error| error.0);
                self.poisoned += u64::from(kind == Some(FailureKind::Poison));
            }
            (Status::Cancelled, ChangeKind::Finish(_)) => row.cancelled += 1,
            _ => {}
        }
        if let Some(run) = attempt {
            self.attempt(place, band, run);
        }
    }

    fn attempt(&mut self, place: usize, band: Band, run: Run) {
        self.wait[band.rank()].add(run.waited_us);
        self.run[band.rank()].add(run.took_us);
        self.type_run_us[place] += run.took_us;
    }

    fn place(&mut self, name: &Arc<str>) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.types.len();
        if place < Self::TYPES_MAX {
            self.types.push(Arc::clone(name));
            self.places.insert(Arc::clone(name), place);
            // The last place stays that of all others.
            self.rows.insert(place, BandMap::default());
            self.type_run_us.insert(place, 0);
        }
        place
    }
}

/// How long a task took that has ended now, from when it could first have started.
fn life_us(task: &Task, now: TimeMs) -> u64 {
    let asked = task.spec.scheduled_for.unwrap_or(task.spec.created_at);
    let from = asked.max(task.spec.created_at);
    task.state.completed_at.unwrap_or(now).since_ms(from) * 1000
}
