//! The numbers of task types: every type is written once and named by its number from then on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::fast::RandomState;
use postgres::GenericClient;

use crate::store::StoreError;

/// The types this connection has seen; other nodes may have added more.
#[derive(Debug, Default)]
pub(super) struct Types {
    names: HashMap<i32, Arc<str>, RandomState>,
    numbers: HashMap<Arc<str>, i32, RandomState>,
    /// Learnt since somebody asked.
    fresh: Vec<Arc<str>>,
}

impl Types {
    /// Reads all types there are.
    pub(super) fn refresh(
        &mut self,
        client: &mut impl GenericClient,
    ) -> Result<(), postgres::Error> {
        for row in client.query("SELECT id, name FROM taskscheduler.task_types", &[])? {
            self.learn(row.get(0), row.get(1));
        }
        Ok(())
    }

    pub(super) fn learn(&mut self, number: i32, name: &str) {
        if let Entry::Vacant(place) = self.names.entry(number) {
            let name: Arc<str> = name.into();
            place.insert(Arc::clone(&name));
            self.fresh.push(Arc::clone(&name));
            self.numbers.insert(name, number);
        }
    }

    /// The types that were learnt since this was last asked.
    pub(super) fn take_fresh(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.fresh)
    }

    /// The number of a type, if it is known here.
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        self.numbers.get(name).copied()
    }

    /// The type with this number, if it is known here.
    pub(super) fn name(&self, number: i32) -> Option<&Arc<str>> {
        self.names.get(&number)
    }

    /// All types, in the order they were first seen.
    pub(super) fn all(&self) -> Vec<Arc<str>> {
        let mut all: Vec<_> = self.names.iter().collect();
        all.sort_unstable_by_key(|(number, _)| **number);
        all.into_iter().map(|(_, name)| Arc::clone(name)).collect()
    }
}

/// What a reader says of a row whose type it has not seen yet.
pub(super) fn unknown(number: i32) -> StoreError {
    StoreError::Broken(format!("task type {number} has no name"))
}
