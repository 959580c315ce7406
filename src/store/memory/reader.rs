//! Reading the memory store: every answer is worked out anew from all tasks, as naively as can be,
//! so that the readers of real stores can be held against it.

use std::ops::Range;

use super::MemoryDisk;
use crate::domain::{StatusKind, Task, TaskId, TimeMs};
use crate::store::order::SortKey;
use crate::store::rules::due;
use crate::store::{
    Bucket, Count, LeaseCount, Page, PageAsk, Place, Reader, ScheduledAsk, StoreError, Stored,
};

/// A reader of a [`MemoryDisk`].
pub(super) struct MemoryReader {
    disk: MemoryDisk,
}

impl MemoryReader {
    pub(super) fn new(disk: MemoryDisk) -> MemoryReader {
        MemoryReader { disk }
    }
}

impl Reader for MemoryReader {
    fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        Ok(match self.disk.stored(id) {
            Stored::Live(task, _) | Stored::Elsewhere(task, _) | Stored::Ended(task) => Some(*task),
            Stored::Missing => None,
        })
    }

    fn find_all(&mut self, ids: &[TaskId]) -> Result<Vec<Task>, StoreError> {
        ids.iter().filter_map(|id| self.find(*id).transpose()).collect()
    }

    fn page(&mut self, ask: &PageAsk) -> Result<Page, StoreError> {
        let content = self.disk.content();
        let filter = &ask.filter;
        let fits = |task: &&Task| {
            filter.status.is_none_or(|status| task.state.status.kind() == status)
                && filter.band.is_none_or(|band| task.spec.band == band)
                && filter.task_type.as_ref().is_none_or(|t| **t == *task.spec.task_type)
        };
        let field = ask.sorting.field;
        let mut all: Vec<(SortKey, &Task)> = content
            .table
            .tasks()
            .filter(fits)
            .map(|task| (SortKey::of(task, field), task))
            .collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if ask.sorting.descending {
            all.reverse();
        }
        let start = match &ask.place {
            Place::Offset(offset) => (*offset as usize).min(all.len()),
            Place::After(cursor) => {
                let last = SortKey::parse(cursor, field)?;
                let before = |key: &SortKey| {
                    if ask.sorting.descending { *key >= last } else { *key <= last }
                };
                all.iter().take_while(|(key, _)| before(key)).count()
            }
        };
        let end = (start + ask.size as usize).min(all.len());
        let next = (end < all.len() && end > start).then(|| all[end - 1].0.cursor());
        let tasks = all[start..end].iter().map(|(_, task)| shown(task, ask.payloads)).collect();
        Ok(Page { tasks, total: all.len() as u64, total_is_lower_bound: false, next })
    }

    fn scheduled(&mut self, ask: &ScheduledAsk) -> Result<Page, StoreError> {
        let content = self.disk.content();
        let waits = [StatusKind::Scheduled, StatusKind::Pending, StatusKind::Retrying];
        let fits =
            |task: &&Task| waits.contains(&task.state.status.kind()) && due(task) <= ask.due_by;
        let mut all: Vec<&Task> = content.table.tasks().filter(fits).collect();
        all.sort_unstable_by_key(|task| (task.spec.band, due(task), task.id));
        let page = all.iter().skip(ask.offset as usize).take(ask.size as usize);
        let tasks = page.map(|task| shown(task, ask.payloads)).collect();
        let counted = all.len() as u64;
        Ok(Page {
            tasks,
            total: counted.min(ScheduledAsk::COUNTED_MAX),
            total_is_lower_bound: counted > ScheduledAsk::COUNTED_MAX,
            next: None,
        })
    }

    fn counts(&mut self) -> Result<Vec<Count>, StoreError> {
        let content = self.disk.content();
        let table = &content.table;
        let mut counts: Vec<Count> = table
            .counts
            .iter()
            .filter(|(_, tasks)| **tasks > 0)
            .map(|(sort, tasks)| Count {
                status: sort.status,
                band: sort.band,
                task_type: table.type_name(sort.type_id),
                tasks: *tasks as u64,
            })
            .collect();
        counts.sort_unstable_by_key(|c| (c.status, c.band, c.task_type.clone()));
        Ok(counts)
    }

    fn buckets(&mut self, minutes: Range<i64>) -> Result<Vec<Bucket>, StoreError> {
        Ok(self.disk.content().table.minutes.range(minutes).map(|(_, b)| b.clone()).collect())
    }

    fn oldest_free(&mut self, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        Ok(self.disk.content().table.oldest_free(now))
    }

    fn leases(&mut self, limit: u32) -> Result<Vec<LeaseCount>, StoreError> {
        Ok(self.disk.content().table.leases(limit))
    }

    fn used_bytes(&mut self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// A task as a page shows it.
fn shown(task: &Task, payloads: bool) -> Task {
    let mut task = task.clone();
    if !payloads {
        task.state.result = None;
        let mut spec = (*task.spec).clone();
        spec.payload = None;
        task.spec = spec.into();
    }
    task
}
