//! Filters as SQL, and how many tasks they let through, which the counters know.

use rusqlite::Connection;

use crate::domain::{Band, StatusKind};
use crate::store::StoreError;
use crate::store::query::Filter;
use crate::store::tally::Sort;

use super::super::types::Types;

/// A filter with the store's own number for the type.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chosen {
    pub(super) status: Option<StatusKind>,
    pub(super) band: Option<Band>,
    pub(super) type_id: Option<u32>,
}

impl Chosen {
    /// The filter; `None` if it names a type the store has never seen.
    pub(super) fn new(filter: &Filter, types: &Types) -> Option<Chosen> {
        let type_id = match &filter.task_type {
            Some(name) => Some(types.number(name)?),
            None => None,
        };
        Some(Chosen { status: filter.status, band: filter.band, type_id })
    }

    /// Whether tasks of this sort pass.
    pub(super) fn lets(&self, sort: Sort) -> bool {
        self.status.is_none_or(|status| status == sort.status)
            && self.band.is_none_or(|band| band == sort.band)
            && self.type_id.is_none_or(|type_id| type_id == sort.type_id)
    }

    /// How many tasks pass.
    pub(super) fn total(&self, counters: &[(Sort, u64)]) -> u64 {
        counters.iter().filter(|(sort, _)| self.lets(*sort)).map(|(_, tasks)| tasks).sum()
    }

    /// The filter as conditions that each begin with `AND`. All are numbers of ours, written out so
    /// that the planner can see which partial index they allow.
    pub(super) fn sql(&self) -> String {
        use std::fmt::Write;
        let mut sql = String::new();
        // Writing to a string cannot fail.
        if let Some(status) = self.status {
            let _ = write!(sql, " AND status = {}", status.code());
        }
        if let Some(band) = self.band {
            let _ = write!(sql, " AND band = {}", band.rank());
        }
        if let Some(type_id) = self.type_id {
            let _ = write!(sql, " AND type_id = {type_id}");
        }
        sql
    }
}

/// Every sort of task there is, and how many.
pub(super) fn counters(conn: &Connection) -> Result<Vec<(Sort, u64)>, StoreError> {
    let mut all =
        conn.prepare_cached("SELECT status, band, type_id, tasks FROM counters WHERE tasks > 0")?;
    let mut rows = all.query(())?;
    let mut counters = Vec::new();
    while let Some(row) = rows.next()? {
        let status = StatusKind::from_code(row.get(0)?);
        let band = Band::from_rank(row.get::<_, i64>(1)? as usize);
        let (Some(status), Some(band)) = (status, band) else {
            return Err(StoreError::Broken("a counter counts nothing known".into()));
        };
        let sort = Sort { status, band, type_id: row.get(2)? };
        counters.push((sort, row.get::<_, i64>(3)? as u64));
    }
    Ok(counters)
}
