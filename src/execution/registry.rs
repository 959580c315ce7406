//! The registry: which handler runs which task type.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::executors::builtin;
use super::handler::Handler;
use crate::persistence::Slot;

/// The handlers of one server, filled before it starts.
#[derive(Default)]
pub struct Registry {
    types: Vec<Arc<str>>,
    handlers: Vec<Box<dyn Handler>>,
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
