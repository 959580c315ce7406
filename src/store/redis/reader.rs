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
    failed: AtomicU64,
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

    /// Questions of any kind that the store failed to answer.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
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

    /// Asks the store, and counts where it fails. One that is asked for too much has not failed.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let answer = question(&mut *self.beneath);
        if answer.as_ref().is_err_and(|error| !matches!(error, StoreError::TooBroad { .. })) {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

impl Reader for LeveledReader {
    fn find(&mut self, id: TaskId) -> Result<Option<Task>, StoreError> {
        if let Some(task) = self.level2.as_ref().and_then(|level2| level2.find_document(id)) {
            self.counts.redis.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(task));
        }
        self.counts.store.fetch_add(1, Ordering::Relaxed);
        self.ask(|store| store.find(id))
    }

    fn find_all(&mut self, ids: &[TaskId]) -> Result<Vec<Task>, StoreError> {
        self.ask(|store| store.find_all(ids))
    }

    fn page(&mut self, ask: &PageAsk) -> Result<Page, StoreError> {
        self.ask(|store| store.page(ask))
    }

    fn scheduled(&mut self, ask: &ScheduledAsk) -> Result<Page, StoreError> {
        self.ask(|store| store.scheduled(ask))
    }

    fn counts(&mut self) -> Result<Vec<Count>, StoreError> {
        self.ask(|store| store.counts())
    }

    fn buckets(&mut self, minutes: Range<i64>) -> Result<Vec<Bucket>, StoreError> {
        self.ask(|store| store.buckets(minutes))
    }

    fn oldest_free(&mut self, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        self.ask(|store| store.oldest_free(now))
    }

    fn leases(&mut self, limit: u32) -> Result<Vec<LeaseCount>, StoreError> {
        self.ask(|store| store.leases(limit))
    }

    fn used_bytes(&mut self) -> Result<u64, StoreError> {
        self.ask(|store| store.used_bytes())
    }
}
