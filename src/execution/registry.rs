//! The registry: which handler runs which task type, and how many of its tasks at a time.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::executors::builtin;
use super::handler::Handler;
use crate::domain::Rate;
use crate::persistence::{Served, Slot};
use crate::queue::{Guard, LineSetup};

/// The handlers of one server, filled before it starts.
#[derive(Default)]
pub struct Registry {
    entries: Vec<Entry>,
    slots: HashMap<Arc<str>, Slot, RandomState>,
    key: [u8; 16],
}

struct Entry {
    name: Arc<str>,
    handler: Box<dyn Handler>,
    limit: Option<usize>,
    blocking: Option<Blocking>,
}

/// What holds back a type whose runs block.
#[derive(Debug, Clone, Default)]
pub struct Blocking {
    /// At most so many run at a time; `None`: as many as threads are kept.
    pub limit: Option<usize>,
    /// How often one may start.
    pub rate: Option<Rate>,
    /// The breakers its runs go through; types that name the same one share it.
    pub guards: Vec<Guard>,
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
            registry.put(task_type, handler, None);
        }
        registry.limit("SLEEP", Registry::SLEEPERS_MAX);
        registry
    }

    /// Lets `handler` run all tasks of this type, on the cores.
    pub fn register(
        &mut self,
        task_type: &str,
        handler: impl Handler,
    ) -> Result<Slot, RegistryError> {
        self.check(task_type)?;
        Ok(self.put(task_type, Box::new(handler), None))
    }

    /// The same for a handler that waits for something: it runs on a thread of its own.
    pub fn register_blocking(
        &mut self,
        task_type: &str,
        handler: impl Handler,
        blocking: Blocking,
    ) -> Result<Slot, RegistryError> {
        self.check(task_type)?;
        Ok(self.put(task_type, Box::new(handler), Some(blocking)))
    }

    /// Lets at most so many tasks of a registered type be under way at a time; the others wait in
    /// the store and delay no other type. `false`: nobody has registered the type.
    pub fn limit(&mut self, task_type: &str, at_once: usize) -> bool {
        let Some(slot) = self.slot(task_type) else { return false };
        let entry = &mut self.entries[usize::from(slot.0)];
        let limit = entry.blocking.as_mut().map_or(&mut entry.limit, |line| &mut line.limit);
        *limit = Some(at_once.max(1));
        true
    }

    /// The registered types and how much of each is in memory, by slot.
    pub fn served(&self) -> Vec<Served> {
        let mut lines = 0;
        let served = |entry: &Entry| {
            let line = entry.blocking.is_some().then_some(lines);
            lines += usize::from(line.is_some());
            Served { name: Arc::clone(&entry.name), limit: entry.limit, line }
        };
        self.entries.iter().map(served).collect()
    }

    /// The lines of the types whose runs block, in the order of [`Registry::served`]. `limit`: that
    /// of types that name none.
    pub fn lines(&self, limit: usize) -> Vec<LineSetup> {
        let line = |entry: &Entry| {
            let Blocking { limit: own, rate, guards } = entry.blocking.clone()?;
            let name = Arc::clone(&entry.name);
            Some(LineSetup { name, limit: own.unwrap_or(limit), rate, guards })
        };
        self.entries.iter().filter_map(line).collect()
    }

    /// The registered types, by slot.
    pub fn types(&self) -> Vec<Arc<str>> {
        self.entries.iter().map(|entry| Arc::clone(&entry.name)).collect()
    }

    /// What people see as the executor of a type; `None`: nobody has registered it.
    pub fn executor(&self, task_type: &str) -> Option<&'static str> {
        self.handler(self.slot(task_type)?).map(Handler::executor)
    }

    /// Lets attempts sign their lease tokens with this key.
    pub fn sign_with(&mut self, key: [u8; 16]) {
        self.key = key;
    }

    /// What lease tokens are signed with.
    pub(super) fn key(&self) -> &[u8; 16] {
        &self.key
    }

    /// Where the handler of this type is.
    pub fn slot(&self, task_type: &str) -> Option<Slot> {
        self.slots.get(task_type).copied()
    }

    /// The handler in this slot.
    pub fn handler(&self, slot: Slot) -> Option<&dyn Handler> {
        self.entries.get(usize::from(slot.0)).map(|entry| &*entry.handler)
    }

    fn check(&self, task_type: &str) -> Result<(), RegistryError> {
        if self.slots.contains_key(task_type) {
            return Err(RegistryError::Taken(task_type.to_owned()));
        }
        if self.entries.len() >= Registry::MAX { Err(RegistryError::Full) } else { Ok(()) }
    }

    fn put(
        &mut self,
        task_type: &str,
        handler: Box<dyn Handler>,
        blocking: Option<Blocking>,
    ) -> Slot {
        let slot = Slot(self.entries.len() as u16);
        let name: Arc<str> = task_type.into();
        self.slots.insert(Arc::clone(&name), slot);
        self.entries.push(Entry { name, handler, limit: None, blocking });
        slot
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.types()).finish()
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

    #[test]
    fn lines_are_numbered_in_the_order_of_the_types_that_block() {
        let mut registry = Registry::with_builtins();
        for (name, limit) in [("A", Some(3)), ("B", None)] {
            let blocking = Blocking { limit, ..Blocking::default() };
            registry.register_blocking(name, |_: &Attempt<'_>| (), blocking).unwrap();
            registry.register(&format!("NOT-{name}"), |_: &Attempt<'_>| ()).unwrap();
        }
        assert!(registry.limit("NOOP", 0) && registry.limit("A", 4) && !registry.limit("C", 1));
        let numbered = registry.served().into_iter().filter_map(|s| Some((s.name, s.line?)));
        let lines = registry.lines(20);
        for (name, line) in numbered {
            assert_eq!(lines[line].name, name);
        }
        assert_eq!(lines.iter().map(|line| line.limit).collect::<Vec<_>>(), [4, 20]);
        assert_eq!(registry.executor("A"), Some("builtin"));
    }
}
