//! Reading a task level by level: Redis, where it is asked at all, then the store beneath. What is
//! live in memory was answered before it comes here.

use std::ops::Range;
use std::sync::Arc;

use super::level2::Level2;
use crate::domain::{Task, TaskId, TimeMs};
use crate::store::{Bucket, Count, LeaseCount, Page, PageAsk, Reader, ScheduledAsk, StoreError};

/// A reader that looks for ended tasks in Redis first.
pub struct LeveledReader {
    beneath: Box<dyn Reader>,
    level2: Arc<Level2>,
}

impl LeveledReader {
    /// `beneath` with `level2` over it.
    pub fn over(beneath: Box<dyn Reader>, level2: Arc<Level2>) -> LeveledReader {
        LeveledReader { beneath, level2 }
    }
}

impl Reader for LeveledReader {
    fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        if let Some(task) = self.level2.find_document(id) {
            self.level2.counters.reads_redis.add(1);
            return Ok(Some(task));
        }
        self.level2.counters.reads_store.add(1);
        self.beneath.find(id)
    }

    fn find_all(&mut self, ids: &[TaskId]) -> Result<Vec<Task>, StoreError> {
        self.beneath.find_all(ids)
    }

    fn page(&mut self, ask: &PageAsk) -> Result<Page, StoreError> {
        self.beneath.page(ask)
    }

    fn scheduled(&mut self, ask: &ScheduledAsk) -> Result<Page, StoreError> {
        self.beneath.scheduled(ask)
    }

    fn counts(&mut self) -> Result<Vec<Count>, StoreError> {
        self.beneath.counts()
    }

    fn buckets(&mut self, minutes: Range<i64>) -> Result<Vec<Bucket>, StoreError> {
        self.beneath.buckets(minutes)
    }

    fn oldest_free(&mut self, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        self.beneath.oldest_free(now)
    }

    fn leases(&mut self, limit: u32) -> Result<Vec<LeaseCount>, StoreError> {
        self.beneath.leases(limit)
    }

    fn used_bytes(&mut self) -> Result<u64, StoreError> {
        self.beneath.used_bytes()
    }
}
