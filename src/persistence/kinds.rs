//! Task types: one shared text for each, and who can start it.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::Slot;

/// The task types this store has seen.
#[derive(Debug)]
pub(super) struct Kinds {
    known: HashMap<Arc<str>, Option<Slot>, RandomState>,
    startable: Arc<[Arc<str>]>,
    limit: usize,
}

impl Kinds {
    /// The types of the registered handlers, by slot, and those the store knows; at most `limit`
    /// different ones, but never fewer than these.
    pub fn new(handlers: &[Arc<str>], stored: Vec<Arc<str>>, limit: usize) -> Kinds {
        let mut known: HashMap<_, _, _> = stored.into_iter().map(|name| (name, None)).collect();
        for (slot, name) in handlers.iter().enumerate() {
            known.insert(Arc::clone(name), Some(Slot(slot as u16)));
        }
        Kinds { known, startable: handlers.into(), limit }
    }

    /// The shared text of a type, taken up if it is new; `None` when there are too many.
    pub fn intern(&mut self, name: &str) -> Option<Arc<str>> {
        if let Some((known, _)) = self.known.get_key_value(name) {
            return Some(Arc::clone(known));
        }
        if self.known.len() >= self.limit {
            return None;
        }
        let name: Arc<str> = name.into();
        self.known.insert(Arc::clone(&name), None);
        Some(name)
    }

    /// The handler that runs a type here.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.known.get(name).copied().flatten()
    }

    /// All types that can be started here.
    pub fn startable(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.startable)
    }

    /// How many different types there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }
}
