//! Idempotency keys and unique keys, settled inside the transaction of the tasks they are about.

use rusqlite::{Connection, OptionalExtension};

use super::statement::Lazy;
use crate::domain::{TaskId, TimeMs};
use crate::store::{Fate, KeyClaim, Replay, StoreError, ids};

/// The statements of both kinds of key.
pub(super) struct Keys<'c> {
    find: Lazy<'c>,
    keep: Lazy<'c>,
    claim_unique: Lazy<'c>,
    holder: Lazy<'c>,
    free_unique: Lazy<'c>,
}

impl<'c> Keys<'c> {
    pub(super) fn new(conn: &'c Connection) -> Keys<'c> {
        Keys {
            find: Lazy::new(conn, "SELECT body, created, ids FROM idempotency_keys WHERE key = ?1"),
            keep: Lazy::new(
                conn,
                "INSERT INTO idempotency_keys (key, body, used_at, created, ids)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            ),
            claim_unique: Lazy::new(
                conn,
                "INSERT INTO unique_keys (key, task_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            ),
            holder: Lazy::new(conn, "SELECT task_id FROM unique_keys WHERE key = ?1"),
            free_unique: Lazy::new(conn, "DELETE FROM unique_keys WHERE key = ?1 AND task_id = ?2"),
        }
    }

    /// The fate of a unit whose idempotency key was used before; `None` if it is new.
    pub(super) fn settled(&mut self, claim: &KeyClaim) -> Result<Option<Fate>, StoreError> {
        let known = self
            .find
            .get()?
            .query_row([&claim.key[..]], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
            })
            .optional()?;
        let Some((body, created, packed)) = known else { return Ok(None) };
        if body != claim.body {
            return Ok(Some(Fate::KeyReused));
        }
        let ids = ids::unpack(&packed)
            .ok_or_else(|| StoreError::Broken("the ids of a key are damaged".into()))?;
        Ok(Some(Fate::Replayed(Replay { ids, created })))
    }

    /// Remembers what an idempotency key led to.
    pub(super) fn keep(
        &mut self,
        claim: &KeyClaim,
        replay: &Replay,
        now: TimeMs,
    ) -> Result<(), StoreError> {
        let packed = ids::pack(&replay.ids);
        let row = (&claim.key[..], &claim.body[..], now.0, replay.created, packed);
        self.keep.get()?.execute(row)?;
        Ok(())
    }

    /// Takes a unique key for a task, or says which unfinished task has it.
    pub(super) fn claim_unique(
        &mut self,
        key: &str,
        id: TaskId,
    ) -> Result<Result<(), TaskId>, StoreError> {
        if self.claim_unique.get()?.execute((key, id.get() as i64))? == 1 {
            return Ok(Ok(()));
        }
        let holder: i64 = self.holder.get()?.query_row([key], |row| row.get(0))?;
        let holder = TaskId::new(holder as u64)
            .ok_or_else(|| StoreError::Broken("a unique key belongs to no task".into()))?;
        Ok(Err(holder))
    }

    /// Gives a unique key back.
    pub(super) fn free_unique(&mut self, key: &str, id: TaskId) -> Result<(), StoreError> {
        self.free_unique.get()?.execute((key, id.get() as i64))?;
        Ok(())
    }
}
