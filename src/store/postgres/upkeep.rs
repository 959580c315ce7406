//! What keeps the store small and its counts readable: retention, forgetting, folding.

use super::counts::{self, Counted, Delta};
use super::{PostgresStore, partitions};
use crate::domain::TimeMs;
use crate::store::{PruneAsk, StoreError};

/// Idempotency keys forgotten in one statement, ...
const KEYS_SLICE: i64 = 4000;
/// ... and the most such statements at a time: as many keys as can come in meanwhile.
const KEYS_SLICES_MAX: u32 = 8;
/// Minutes older than this many days before the oldest key are forgotten.
const MINUTES_KEPT: i64 = 90 * 24 * 60;
/// Folds of one slice of upkeep; each takes a few thousand deltas.
const FOLDS_MAX: u32 = 32;
/// Tasks may still end on this day and so many before it: clocks of nodes differ, and a commit can
/// be late.
const DAYS_UNSETTLED: i32 = 1;

impl PostgresStore {
    /// Deletes ended tasks. A partition of which everything is old enough is dropped whole, however
    /// many tasks it holds; the first one that reaches the limit is the last. Days that tasks may
    /// still end on are deleted from by rows: what is counted of them is not settled yet.
    pub(super) fn prune_slice(&mut self, ask: &PruneAsk) -> Result<u64, StoreError> {
        let statuses = ask.statuses.iter().filter(|status| status.is_terminal());
        let statuses: Vec<i16> = statuses.map(|status| i16::from(status.code())).collect();
        let last_day = i32::try_from(ask.ended_before.day()).unwrap_or(i32::MAX);
        let settled = self.options.clock.now().day() as i32 - DAYS_UNSETTLED;
        let first_day = last_day.min(settled);
        let whole = self.connected()?.query(
            "SELECT status, day FROM taskscheduler.history_days
             WHERE status = ANY($1) AND day < $2 ORDER BY day, status",
            &[&statuses, &first_day],
        )?;
        let mut gone = 0;
        for row in whole {
            let day = (row.get(0), row.get(1));
            self.days.remove(&day);
            gone += self.session.with_client(|client| partitions::discard(client, day))?;
            if gone >= u64::from(ask.limit) {
                return Ok(gone);
            }
        }
        let limit = i64::from(ask.limit) - gone as i64;
        let days = (first_day, last_day);
        Ok(gone + self.prune_rows(ask.ended_before, limit, &statuses, days)?)
    }

    /// Deletes rows of these days.
    fn prune_rows(
        &mut self,
        ended_before: TimeMs,
        limit: i64,
        statuses: &[i16],
        (first_day, last_day): (i32, i32),
    ) -> Result<u64, StoreError> {
        let gone = self.transaction(|session, life| {
            let rows = session.query(
                "WITH old AS (
                     SELECT tableoid AS part, ctid AS place FROM taskscheduler.task_history
                     WHERE status = ANY($1) AND ended_day BETWEEN $2 AND $5
                       AND coalesce(completed_at < $3, true)
                     LIMIT $4)
                 DELETE FROM taskscheduler.task_history h USING old
                 WHERE h.tableoid = old.part AND h.ctid = old.place
                   AND h.status = ANY($1) AND h.ended_day BETWEEN $2 AND $5
                 RETURNING h.status, h.band, h.type_id, h.ended_day",
                &[&statuses, &first_day, &ended_before.0, &limit, &last_day],
            )?;
            let mut delta = Delta::default();
            for row in &rows {
                let counted = Counted {
                    status: row.get(0),
                    band: row.get(1),
                    type_id: row.get(2),
                    day: row.get(3),
                };
                delta.add(counted, -1);
            }
            session.script(&format!(
                "INSERT INTO taskscheduler.count_deltas VALUES ({}, {}, 0, '{}', '')",
                life.incarnation,
                life.seq,
                delta.counts_literal()
            ))?;
            Ok(rows.len() as u64)
        })?;
        self.pass_on();
        Ok(gone)
    }

    /// A slice of everything else.
    pub(super) fn keep_up(&mut self, keys_before: TimeMs) -> Result<(), StoreError> {
        self.connected()?;
        for _ in 0..FOLDS_MAX {
            if !self.session.with_client(counts::fold)? {
                break;
            }
        }
        self.make_days_ahead(self.options.clock.now())?;
        for _ in 0..KEYS_SLICES_MAX {
            let forgotten = self.session.execute(
                "DELETE FROM taskscheduler.idempotency_keys WHERE key IN (
                     SELECT key FROM taskscheduler.idempotency_keys WHERE used_at < $1
                     ORDER BY used_at LIMIT $2)",
                &[&keys_before.0, &KEYS_SLICE],
            )?;
            if forgotten < KEYS_SLICE as u64 {
                break;
            }
        }
        self.session.execute(
            "DELETE FROM taskscheduler.minutes WHERE minute < $1",
            &[&(keys_before.minute() - MINUTES_KEPT)],
        )?;
        Ok(())
    }

    /// Makes the partitions of today and the next days.
    pub(super) fn make_days_ahead(&mut self, now: TimeMs) -> Result<(), StoreError> {
        for day in partitions::ahead(now) {
            if !self.days.contains(&day) {
                self.session.with_client(|client| partitions::make(client, day))?;
                self.days.insert(day);
            }
        }
        Ok(())
    }
}
