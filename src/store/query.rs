//! Questions to a reader, and their answers.

use std::sync::Arc;

use crate::domain::{Band, StatusKind, Summary, Task, TaskId, TimeMs};

/// Which tasks; every part that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this status.
    pub status: Option<StatusKind>,
    /// Only this band.
    pub band: Option<Band>,
    /// Only this type.
    pub task_type: Option<String>,
}

/// What a page can be sorted by. The id always settles ties, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of a task")]
pub enum SortField {
    Id,
    CreatedAt,
    UpdatedAt,
    Priority,
    Status,
    TaskName,
    TaskType,
    NextExecutionTime,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sorting {
    /// By this field.
    pub field: SortField,
    /// Largest first.
    pub descending: bool,
}

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// After this many tasks.
    Offset(u64),
    /// After the task that this cursor, given with an earlier page, stands for.
    After(Cursor),
}

/// The last task of a page: its id and its value of the sort field, in the store's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The sort value, empty where the id alone decides.
    pub value: String,
    /// The id.
    pub id: TaskId,
}

/// A wish for one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAsk {
    /// Which tasks.
    pub filter: Filter,
    /// In which order.
    pub sorting: Sorting,
    /// From where.
    pub place: Place,
    /// How many at most, 1 to 100.
    pub size: u32,
    /// Whether payloads and results are wanted; without, they are not even read.
    pub payloads: bool,
    /// How long the store may walk, in milliseconds.
    pub budget_ms: u32,
}

/// A wish for waiting tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledAsk {
    /// Only tasks whose next execution is due by then.
    pub due_by: TimeMs,
    /// After this many tasks.
    pub offset: u64,
    /// How many at most.
    pub size: u32,
    /// Whether payloads are wanted.
    pub payloads: bool,
    /// How long the store may walk, in milliseconds.
    pub budget_ms: u32,
}

impl ScheduledAsk {
    /// Waiting tasks are counted up to here and no further.
    pub const COUNTED_MAX: u64 = 10_000;
}

/// One page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// How many tasks there are in all pages.
    pub total: u64,
    /// Whether there are more than `total`: it was counted only up to a bound.
    pub total_is_lower_bound: bool,
    /// Where the next page starts; `None` after the last.
    pub next: Option<Cursor>,
}

impl Default for Cursor {
    fn default() -> Cursor {
        Cursor { value: String::new(), id: TaskId::new(1).expect("one is not nought") }
    }
}

/// How many tasks there are of one sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Their status.
    pub status: StatusKind,
    /// Their band.
    pub band: Band,
    /// Their type.
    pub task_type: Arc<str>,
    /// How many.
    pub tasks: u64,
}

/// What one worker leases of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseCount {
    /// The worker.
    pub worker: Arc<str>,
    /// The type.
    pub task_type: Arc<str>,
    /// How many tasks.
    pub tasks: u64,
    /// When the first of their leases runs out.
    pub until: TimeMs,
}

/// What happened in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// The minute, counted from 1970.
    pub minute: i64,
    /// Tasks submitted.
    pub submitted: u64,
    /// Tasks completed.
    pub completed: u64,
    /// Tasks failed for good.
    pub failed: u64,
    /// Tasks cancelled.
    pub cancelled: u64,
    /// Attempts that failed and will be retried.
    pub retried: u64,
    /// How long the attempts of completed and failed tasks took.
    pub run: Summary,
    /// How long these tasks were ready before that attempt started.
    pub wait: Summary,
}
