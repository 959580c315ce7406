//! Reading a task level by level: Redis, where there is one and it can be believed, then the store.
//! What is live in memory was answered before it comes here.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::level2::Level2;
use crate::domain::{Task, TaskId, TimeMs};
use crate::store::{Bucket, Count, LeaseCount, Page, PageAsk, Reader, ScheduledAsk, StoreError};

/// How many reads of one task each level below memory answered, since the start.
#[derive(Debug, Default)]
pub struct ReadCounts {
    redis: AtomicU64,
    store: AtomicU64,
}

// Relaxed: each counter stands alone, nothing is published through it.
impl ReadCounts {
    /// Answered by Redis.
    pub fn redis(&self) -> u64 {
        self.redis.load(Ordering::Relaxed)
    }

    /// Answered by the store.
    pub fn store(&self) -> u64 {
        self.store.load(Ordering::Relaxed)
    }
}

/// A reader that looks for ended tasks in Redis first.
pub struct LeveledReader {
    beneath: Box<dyn Reader>,
    level2: Option<Arc<Level2>>,
    counts: Arc<ReadCounts>,
}

impl LeveledReader {
    /// `beneath`, with `level2` over it if there is one.
    pub fn over(
        beneath: Box<dyn Reader>,
        level2: Option<Arc<Level2>>,
        counts: Arc<ReadCounts>,
    ) -> LeveledReader {
        LeveledReader { beneath, level2, counts }
    }
}

impl Reader for LeveledReader {
    fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        if let Some(task) = self.level2.as_ref().and_then(|level2| level2.find_document(id)) {
            self.counts.redis.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(task));
        }
        self.counts.store.fetch_add(1, Ordering::Relaxed);
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
