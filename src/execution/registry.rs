//! The registry: which handler runs which task type.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::executors::builtin;
use super::handler::Handler;
use crate::persistence::{Served, Slot};

/// The handlers of one server, filled before it starts.
#[derive(Default)]
pub struct Registry {
    types: Vec<Arc<str>>,
    handlers: Vec<Box<dyn Handler>>,
    limits: Vec<Option<usize>>,
    slots: HashMap<Arc<str>, Slot, RandomState>,
}

/// Why a handler was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RegistryError {
    #[error("task type {0} has a handler already")]
    Taken(String),
    #[error("there are {} handlers, and no more are possible", Registry::MAX)]
    Full,
}

impl Registry {
    /// The greatest number of handlers.
    pub const MAX: usize = 1 << 16;

    /// How many tasks of type SLEEP are in memory at a time, unless somebody says otherwise: each
    /// takes room as long as it sleeps.
    pub const SLEEPERS_MAX: usize = 10_000;

    /// No handlers.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// The builtin types: NOOP, ECHO, SLEEP, FAIL and LOAD_TEST.
    pub fn with_builtins() -> Registry {
        let mut registry = Registry::new();
        for (task_type, handler) in builtin::all() {
            registry.put(task_type.into(), handler);
        }
        registry.limit("SLEEP", Registry::SLEEPERS_MAX);
        registry
    }

    /// Lets `handler` run all tasks of this type.
    pub fn register(
        &mut self,
        task_type: &str,
        handler: impl Handler,
    ) -> Result<Slot, RegistryError> {
        if self.slots.contains_key(task_type) {
            return Err(RegistryError::Taken(task_type.to_owned()));
        }
        if self.handlers.len() >= Registry::MAX {
            return Err(RegistryError::Full);
        }
        Ok(self.put(task_type.into(), Box::new(handler)))
    }

    /// Lets at most so many tasks of a registered type be ready or under way at a time; the others
    /// wait in the store and delay no other type. `false`: nobody has registered the type.
    pub fn limit(&mut self, task_type: &str, at_once: usize) -> bool {
        let Some(slot) = self.slot(task_type) else { return false };
        self.limits[usize::from(slot.0)] = Some(at_once.max(1));
        true
    }

    /// The registered types with their limits, by slot.
    pub fn served(&self) -> Vec<Served> {
        let served = |(name, limit): (&Arc<str>, &Option<usize>)| Served {
            name: Arc::clone(name),
            limit: *limit,
        };
        self.types.iter().zip(&self.limits).map(served).collect()
    }

    /// The registered types, by slot.
    pub fn types(&self) -> &[Arc<str>] {
        &self.types
    }

    /// Where the handler of this type is.
    pub fn slot(&self, task_type: &str) -> Option<Slot> {
        self.slots.get(task_type).copied()
    }

    /// The handler in this slot.
    pub fn handler(&self, slot: Slot) -> Option<&dyn Handler> {
        self.handlers.get(usize::from(slot.0)).map(AsRef::as_ref)
    }

    fn put(&mut self, task_type: Arc<str>, handler: Box<dyn Handler>) -> Slot {
        let slot = Slot(self.handlers.len() as u16);
        self.types.push(Arc::clone(&task_type));
        self.slots.insert(task_type, slot);
        self.handlers.push(handler);
        self.limits.push(None);
        slot
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.types).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::Attempt;

    #[test]
    fn a_type_has_one_handler() {
        let mut registry = Registry::with_builtins();
        let mine = registry.register("MINE", |_: &Attempt<'_>| ()).unwrap();
        assert_eq!(registry.slot("MINE"), Some(mine));
        assert_eq!(&*registry.types()[usize::from(mine.0)], "MINE");
        let again = registry.register("NOOP", |_: &Attempt<'_>| ());
        assert_eq!(again, Err(RegistryError::Taken("NOOP".into())));
        assert!(registry.slot("mine").is_none());
    }
}
