//! What others may see of the writer without asking it, and the few wishes they can leave with it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

use super::books::Books;
use crate::clock::Mono;
use crate::domain::BandMap;

/// How things stood a moment ago.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Rises with every look.
    pub number: u64,
    /// Tasks in memory.
    pub held: usize,
    /// Ready tasks in memory, by band.
    pub depth: BandMap<usize>,
    /// How long the longest waiting ready task in memory has waited, in milliseconds.
    pub oldest_wait_ms: Option<u64>,
    /// The same by band; nought where none waits.
    pub oldest_ms: BandMap<u64>,
    /// Attempts that only wait, and need no core for that.
    pub sleeping: usize,
    /// Workers that wait for tasks.
    pub waiting_workers: usize,
    /// Whether the store does what it should.
    pub store_up: bool,
    /// Looks at tasks that were live here.
    pub looks: u64,
    /// Batches settled.
    pub batches: u64,
    /// Reports of claims that were over.
    pub stale_reports: u64,
    /// Changes the store refused because the row had moved on.
    pub stale_changes: u64,
}

/// The types that workers asked for lately.
#[derive(Debug, Default)]
pub struct Asked {
    /// Some worker takes every type that no executor here runs.
    pub any: bool,
    /// Those that were named.
    pub types: HashSet<Arc<str>, RandomState>,
}

/// Shared between the writer and those who look at it.
#[derive(Debug, Default)]
pub struct Views {
    view: Mutex<View>,
    books: Mutex<Arc<Books>>,
    asked: Mutex<Asked>,
    refusing: AtomicBool,
    closing: AtomicBool,
    disk_full: AtomicBool,
    beats: AtomicU64,
    /// When the batch that the persist thread has was handed to it, in microseconds, plus one;
    /// nought: it has none.
    sent_at: AtomicU64,
    /// The number of the newest line to a persist thread, also while that is only being opened.
    newest_line: AtomicU64,
    claim_now: AtomicBool,
    look_into_inbox: AtomicBool,
    nodes: AtomicU32,
}

// Relaxed everywhere: each flag and the counter stand alone, nothing is published through them.
impl Views {
    /// How things stood a moment ago.
    pub fn view(&self) -> View {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happened since the start, as of a moment ago.
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether workers asked for tasks of this type lately.
    pub fn is_asked_for(&self, name: &str) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.any || asked.types.contains(name)
    }

    pub(super) fn set_asked(&self, asked: Asked) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    /// Rises while the writer makes rounds.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// From now on no request is taken that changes something.
    pub fn refuse_requests(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// Whether requests are refused because the server stops.
    pub fn refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// From now on attempts that stop are given back, and the writer ends once all is stored.
    pub fn close(&self) {
        self.refuse_requests();
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the writer is to end.
    pub(super) fn closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Says whether the disk is too full for new tasks.
    pub fn set_disk_full(&self, full: bool) {
        self.disk_full.store(full, Ordering::Relaxed);
    }

    /// Whether the disk is too full for new tasks.
    pub fn disk_is_full(&self) -> bool {
        self.disk_full.load(Ordering::Relaxed)
    }

    /// Since when the persist thread has been busy with a batch; `None`: it has none.
    pub fn sent_at(&self) -> Option<Mono> {
        self.sent_at.load(Ordering::Relaxed).checked_sub(1).map(Mono)
    }

    pub(crate) fn set_sent_at(&self, at: Option<Mono>) {
        self.sent_at.store(at.map_or(0, |at| at.0 + 1), Ordering::Relaxed);
    }

    /// From now on a persist thread with a line of this number is on its way, and the one before
    /// may be refused by the store.
    pub fn announce_line(&self, number: u64) {
        self.newest_line.fetch_max(number, Ordering::Relaxed);
    }

    /// The number of the newest line, also while it is only being opened.
    pub fn newest_line(&self) -> u64 {
        self.newest_line.load(Ordering::Relaxed)
    }

    /// Says that there are free rows which nobody has counted on.
    pub fn claim_now(&self) {
        self.claim_now.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_claim_now(&self) -> bool {
        self.claim_now.load(Ordering::Relaxed) && self.claim_now.swap(false, Ordering::Relaxed)
    }

    /// Says that another node has left something for this one.
    pub fn look_into_inbox(&self) {
        self.look_into_inbox.store(true, Ordering::Relaxed);
    }

    /// Whether there may be something since the last time this was asked.
    pub fn take_look_into_inbox(&self) -> bool {
        self.look_into_inbox.load(Ordering::Relaxed)
            && self.look_into_inbox.swap(false, Ordering::Relaxed)
    }

    /// How many nodes live on this store, this one included.
    pub fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed).max(1)
    }

    /// Says how many nodes live.
    pub fn set_nodes(&self, nodes: u32) {
        self.nodes.store(nodes, Ordering::Relaxed);
    }

    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn publish(&self, view: View, books: &Books) {
        let books = Arc::new(books.clone());
        *self.books.lock().unwrap_or_else(PoisonError::into_inner) = books;
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}
