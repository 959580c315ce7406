//! Idempotency keys and unique keys, settled before the rows they are about.
//!
//! All keys of a group of units are claimed by one statement, in the order of the keys, so that two
//! nodes that want the same ones meet in the same order and wait for each other at most once.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::session::Session;
use crate::domain::{TaskId, TimeMs};
use crate::store::{Fate, KeyClaim, Replay, StoreError, ids};

/// Claims idempotency keys, each with the ids it shall lead to, and tells the fate of those that
/// were used before.
pub(super) fn claim_keys(
    session: &mut Session,
    claims: &[(KeyClaim, Replay)],
    now: TimeMs,
) -> Result<HashMap<[u8; 32], Fate, RandomState>, StoreError> {
    let mut used = HashMap::default();
    if claims.is_empty() {
        return Ok(used);
    }
    let keys: Vec<&[u8]> = claims.iter().map(|(claim, _)| &claim.key[..]).collect();
    let bodies: Vec<&[u8]> = claims.iter().map(|(claim, _)| &claim.body[..]).collect();
    let created: Vec<bool> = claims.iter().map(|(_, replay)| replay.created).collect();
    let packed: Vec<Vec<u8>> = claims.iter().map(|(_, replay)| ids::pack(&replay.ids)).collect();
    let taken = session.query(
        "INSERT INTO taskscheduler.idempotency_keys (key, body, used_at, created, ids)
         SELECT u.key, u.body, $3, u.created, u.ids
         FROM unnest($1::bytea[], $2::bytea[], $4::boolean[], $5::bytea[])
             AS u (key, body, created, ids)
         ORDER BY u.key ON CONFLICT DO NOTHING RETURNING key",
        &[&keys, &bodies, &now.0, &created, &packed],
    )?;
    if taken.len() == claims.len() {
        return Ok(used);
    }
    let ours = |key: &[u8]| taken.iter().any(|row| row.get::<_, &[u8]>(0) == key);
    let rows = session.query(
        "SELECT key, body, created, ids FROM taskscheduler.idempotency_keys WHERE key = ANY($1)",
        &[&keys],
    )?;
    for row in rows {
        let (key, body): (&[u8], &[u8]) = (row.get(0), row.get(1));
        let (created, packed): (bool, &[u8]) = (row.get(2), row.get(3));
        let claim = claims.iter().find(|(claim, _)| claim.key == *key && !ours(key));
        let Some((claim, _)) = claim else { continue };
        let ids = ids::unpack(packed)
            .ok_or_else(|| StoreError::Broken("the ids of a key are damaged".into()))?;
        let replay = Fate::Replayed(Replay { ids, created });
        used.insert(claim.key, if body == claim.body { replay } else { Fate::KeyReused });
    }
    Ok(used)
}

/// Corrects what keys lead to, where not every insert of their unit was new.
pub(super) fn correct_keys(
    session: &mut Session,
    corrected: &[(KeyClaim, Replay)],
) -> Result<(), StoreError> {
    for (claim, replay) in corrected {
        session.execute(
            "UPDATE taskscheduler.idempotency_keys SET created = $2, ids = $3 WHERE key = $1",
            &[&&claim.key[..], &replay.created, &ids::pack(&replay.ids)],
        )?;
    }
    Ok(())
}

/// Claims unique keys for tasks and tells who holds those that were taken.
pub(super) fn claim_unique(
    session: &mut Session,
    claims: &[(&str, TaskId)],
) -> Result<HashMap<String, TaskId, RandomState>, StoreError> {
    let mut held = HashMap::default();
    if claims.is_empty() {
        return Ok(held);
    }
    let keys: Vec<&str> = claims.iter().map(|(key, _)| *key).collect();
    let tasks: Vec<i64> = claims.iter().map(|(_, id)| id.get() as i64).collect();
    let taken = session.query(
        "INSERT INTO taskscheduler.unique_keys (key, task_id)
         SELECT u.key, u.id FROM unnest($1::text[], $2::bigint[]) AS u (key, id)
         ORDER BY u.key COLLATE \"C\" ON CONFLICT DO NOTHING RETURNING key",
        &[&keys, &tasks],
    )?;
    if taken.len() == claims.len() {
        return Ok(held);
    }
    let ours: HashSet<&str, RandomState> = taken.iter().map(|row| row.get(0)).collect();
    let rows = session.query(
        "SELECT key, task_id FROM taskscheduler.unique_keys WHERE key = ANY($1)",
        &[&keys],
    )?;
    for row in rows {
        let (key, holder): (String, i64) = (row.get(0), row.get(1));
        let holder = TaskId::new(holder as u64)
            .ok_or_else(|| StoreError::Broken("a unique key belongs to no task".into()))?;
        // Also one that the task itself has got back already.
        if !ours.contains(&*key) {
            held.insert(key, holder);
        }
    }
    Ok(held)
}

/// Gives unique keys back.
pub(super) fn free_unique(
    session: &mut Session,
    freed: &[(&str, TaskId)],
) -> Result<(), StoreError> {
    if freed.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = freed.iter().map(|(key, _)| *key).collect();
    let tasks: Vec<i64> = freed.iter().map(|(_, id)| id.get() as i64).collect();
    session.execute(
        "DELETE FROM taskscheduler.unique_keys k
         USING unnest($1::text[], $2::bigint[]) AS u (key, id)
         WHERE k.key = u.key AND k.task_id = u.id",
        &[&keys, &tasks],
    )?;
    Ok(())
}
