//! Walking rows in an order, through both tables, until a page is full.

use std::sync::Arc;

use postgres::Client;
use postgres::types::ToSql;

use super::{counts, read_rows, row};
use crate::domain::{StatusKind, Task};
use crate::store::order::{SortKey, SortValue};
use crate::store::paging::{Chosen, Found, Stretch, Walk};
use crate::store::postgres::types::Types;
use crate::store::tally::Sort;
use crate::store::{SortField, StoreError};

/// One snapshot.
pub(super) struct Snapshot<'a> {
    pub(super) client: &'a mut Client,
    pub(super) types: &'a mut Types,
}

/// Every sort of task there is, and how many; the days of ends summed up.
pub(super) fn sorts(
    client: &mut Client,
    types: &mut Types,
) -> Result<Vec<(Sort, u64)>, StoreError> {
    let mut sums = std::collections::HashMap::<Sort, i64>::new();
    for (counted, tasks) in counts::read_counts(client)? {
        let sort = counted
            .sort()
            .ok_or_else(|| StoreError::Broken("a counter counts nothing known".into()))?;
        *sums.entry(sort).or_insert(0) += tasks;
    }
    if sums.keys().any(|sort| types.name(sort.type_id.cast_signed()).is_none()) {
        types.refresh(client)?;
    }
    let sums = sums.into_iter().filter(|(_, tasks)| *tasks > 0);
    Ok(sums.map(|(sort, tasks)| (sort, tasks as u64)).collect())
}

impl Walk for Snapshot<'_> {
    fn number(&mut self, name: &str) -> Result<Option<u32>, StoreError> {
        if self.types.number(name).is_none() {
            self.types.refresh(self.client)?;
        }
        Ok(self.types.number(name).map(i32::cast_unsigned))
    }

    fn name(&self, type_id: u32) -> Option<Arc<str>> {
        self.types.name(type_id.cast_signed()).cloned()
    }

    fn counters(&mut self) -> Result<Vec<(Sort, u64)>, StoreError> {
        sorts(self.client, self.types)
    }

    fn by_id(
        &mut self,
        chosen: &Chosen,
        _: u64,
        descending: bool,
        stretch: Stretch,
    ) -> Result<Vec<Found>, StoreError> {
        let (order, beyond) = if descending { ("DESC", "id < $1") } else { ("ASC", "id > $1") };
        let sources: Vec<String> = tables(chosen)
            .map(|(table, ended)| {
                let conditions = chosen.sql();
                // Each its own first rows: over both at once the server sorts all there are.
                format!(
                    "(SELECT id, {ended} AS ended FROM {table} WHERE {beyond}{conditions} \
                      ORDER BY id {order} LIMIT $2::bigint + $3::bigint)"
                )
            })
            .collect();
        let sources = sources.join(" UNION ALL ");
        let sql = format!(
            "SELECT id, ended FROM ({sources}) AS found ORDER BY id {order} LIMIT $2 OFFSET $3"
        );
        let edge = stretch.after.unwrap_or(if descending { i64::MAX } else { 0 });
        self.found(&sql, &[&edge, &(stretch.limit as i64), &(stretch.offset as i64)])
    }

    fn by_value(
        &mut self,
        chosen: &Chosen,
        field: SortField,
        descending: bool,
        after: Option<&SortKey>,
        stretch: Stretch,
    ) -> Result<Vec<Found>, StoreError> {
        let (order, nulls) = if descending { ("DESC", "LAST") } else { ("ASC", "FIRST") };
        let conditions = chosen.sql();
        let mut sources = Vec::new();
        for (table, ended) in tables(chosen) {
            let value = match field {
                SortField::UpdatedAt => "updated_at",
                SortField::TaskName => "name",
                // The times that users see as the next execution, and none for what has no such
                // time.
                _ if ended => "NULL::bigint",
                _ => "CASE WHEN status IN (1, 4) OR (status = 5 AND due > 0) THEN due END",
            };
            let after = after_sql(value, descending, after);
            sources.push(format!(
                "SELECT id, {ended} AS ended, {value} AS value FROM {table} \
                 WHERE id > 0{conditions}{after}"
            ));
        }
        let sql = format!(
            "{} ORDER BY value {order} NULLS {nulls}, id {order} LIMIT $1 OFFSET $2",
            sources.join(" UNION ALL ")
        );
        let (limit, offset) = (stretch.limit as i64, stretch.offset as i64);
        let id = after.map_or(0, |key| key.id.get() as i64);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&limit, &offset];
        let text;
        if let Some(key) = after {
            values.push(&id);
            if let SortValue::Text(name) = &key.value {
                text = &**name;
                values.push(&text);
            }
        }
        self.found(&sql, &values)
    }

    fn tasks(&mut self, found: &[Found], payloads: bool) -> Result<Vec<Task>, StoreError> {
        let (live, ended) =
            if payloads { (row::LIVE, row::ENDED) } else { (row::LIVE_BRIEF, row::ENDED_BRIEF) };
        let mut tasks = Vec::with_capacity(found.len());
        for (from, is_ended) in [(live, false), (ended, true)] {
            let ids: Vec<i64> =
                found.iter().filter(|row| row.ended == is_ended).map(|row| row.id).collect();
            if !ids.is_empty() {
                let rows = self.client.query(&format!("{from} WHERE id = ANY($1)"), &[&ids])?;
                tasks.append(&mut read_rows(self.client, self.types, &rows)?);
            }
        }
        let places: std::collections::HashMap<i64, usize> =
            found.iter().enumerate().map(|(at, row)| (row.id, at)).collect();
        tasks.sort_by_key(|task| places.get(&(task.id.get() as i64)).copied());
        Ok(tasks)
    }
}

impl Snapshot<'_> {
    pub(super) fn found(
        &mut self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Found>, StoreError> {
        let rows = self.client.query(sql, values)?;
        Ok(rows.iter().map(|row| Found { id: row.get(0), ended: row.get(1) }).collect())
    }
}

/// The tables that can hold what is chosen, and whether it has ended there.
fn tables(chosen: &Chosen) -> impl Iterator<Item = (&'static str, bool)> {
    let status = chosen.status;
    [("taskscheduler.tasks", false), ("taskscheduler.task_history", true)].into_iter().filter(
        move |(_, ended)| status.is_none_or(|status| StatusKind::is_terminal(status) == *ended),
    )
}

/// The condition that a row comes after the one a cursor stands for; `$3` is its id, `$4` its name.
fn after_sql(value: &str, descending: bool, after: Option<&SortKey>) -> String {
    let beyond = if descending { "<" } else { ">" };
    let of = match after.map(|key| &key.value) {
        None => return String::new(),
        // Nothing sorts before everything.
        Some(SortValue::Nothing) if descending => {
            return format!(" AND {value} IS NULL AND id < $3");
        }
        Some(SortValue::Nothing) => return format!(" AND ({value} IS NOT NULL OR id > $3)"),
        Some(SortValue::Number(number)) => number.to_string(),
        Some(SortValue::Text(_)) => "$4".into(),
    };
    let nothing = if descending { format!(" OR {value} IS NULL") } else { String::new() };
    format!(" AND ({value} {beyond} {of} OR ({value} = {of} AND id {beyond} $3){nothing})")
}
