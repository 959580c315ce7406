//! The numbers of task types: every type is written once and named by its number from then on.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use rusqlite::Connection;

use crate::store::StoreError;

/// The types this connection has seen. Numbers start at 1, have no gaps and are never given up.
#[derive(Debug, Default)]
pub(super) struct Types {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, RandomState>,
}

impl Types {
    /// Reads the types that were added since.
    pub(super) fn refresh(&mut self, conn: &Connection) -> Result<(), StoreError> {
        let mut newer =
            conn.prepare_cached("SELECT id, name FROM task_types WHERE id > ?1 ORDER BY id")?;
        let mut rows = newer.query([self.names.len() as i64])?;
        while let Some(row) = rows.next()? {
            let (number, name): (i64, String) = (row.get(0)?, row.get(1)?);
            if number != self.names.len() as i64 + 1 {
                return Err(StoreError::Unusable(format!("task type {number} is out of line")));
            }
            self.push(name.into());
        }
        Ok(())
    }

    /// The number of a type, written now if it is new.
    pub(super) fn intern(&mut self, conn: &Connection, name: &Arc<str>) -> Result<u32, StoreError> {
        if let Some(&number) = self.numbers.get(name) {
            return Ok(number);
        }
        let number = self.names.len() as u32 + 1;
        conn.prepare_cached("INSERT INTO task_types (id, name) VALUES (?1, ?2)")?
            .execute((number, &**name))?;
        self.push(name.clone());
        Ok(number)
    }

    /// The number of a type, if it has one.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The type with this number.
    pub(super) fn name(&self, number: i64) -> Option<&Arc<str>> {
        self.names.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// All types, in the order they were first seen.
    pub(super) fn all(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Forgets the types beyond the first `count`: their transaction was rolled back.
    pub(super) fn truncate(&mut self, count: usize) {
        for name in self.names.drain(count.min(self.names.len())..) {
            self.numbers.remove(&name);
        }
    }

    fn push(&mut self, name: Arc<str>) {
        self.numbers.insert(name.clone(), self.names.len() as u32 + 1);
        self.names.push(name);
    }
}
