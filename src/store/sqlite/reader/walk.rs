//! Walking rows in an order, through both tables, until a page is full.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::indexed;
use crate::domain::StatusKind;
use crate::store::order::{SortKey, SortValue};
use crate::store::paging::{Chosen, Found, Stretch};
use crate::store::{SortField, StoreError};

/// Up to so many rows of a status are sorted by id anew rather than looked for among all others.
const SORTED_MAX: u64 = 300_000;

/// Rows in the order of their ids. `total` is how many the filter lets through.
pub(super) fn by_id(
    conn: &Connection,
    chosen: &Chosen,
    total: u64,
    descending: bool,
    stretch: Stretch,
) -> Result<Vec<Found>, StoreError> {
    let (order, beyond) = if descending { ("DESC", "id < ?1") } else { ("ASC", "id > ?1") };
    let conditions = format!("WHERE {beyond}{}", chosen.sql());
    let live = |hint: &str| format!("SELECT id, 0 AS ended FROM tasks {hint} {conditions}");
    let ended = |hint: &str| format!("SELECT id, 1 AS ended FROM task_history {hint} {conditions}");
    let source = match chosen.status {
        None => format!("{} UNION ALL {}", live("NOT INDEXED"), ended("NOT INDEXED")),
        Some(StatusKind::Completed) => ended("NOT INDEXED"),
        Some(status) if status.is_terminal() => {
            format!("{} AND status <> 6", ended("INDEXED BY task_history_status"))
        }
        Some(status) if indexed(status) && total <= SORTED_MAX => {
            format!("{} AND status <> 2", live("INDEXED BY tasks_status"))
        }
        Some(_) => live("NOT INDEXED"),
    };
    let sql = format!("{source} ORDER BY id {order} LIMIT ?2 OFFSET ?3");
    let edge = if descending { i64::MAX } else { 0 };
    let mut walk = conn.prepare_cached(&sql)?;
    let Stretch { after, offset, limit } = stretch;
    let mut rows = walk.query((after.unwrap_or(edge), limit as i64, offset as i64))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Found { id: row.get(0)?, ended: row.get(1)? });
    }
    Ok(found)
}

/// Rows in the order of a value that no index has: the first of all there are.
pub(super) fn by_value(
    conn: &Connection,
    chosen: &Chosen,
    field: SortField,
    descending: bool,
    after: Option<&SortKey>,
    stretch: Stretch,
) -> Result<Vec<Found>, StoreError> {
    let (of_live, of_ended) = match field {
        SortField::UpdatedAt => ("updated_at", "updated_at"),
        SortField::TaskName => ("name", "name"),
        // The times that users see as the next execution, and none for what has no such time.
        _ => ("CASE WHEN status IN (1, 4) OR (status = 5 AND due > 0) THEN due END", "NULL"),
    };
    let (order, beyond) = if descending { ("DESC", "<") } else { ("ASC", ">") };
    let after_sql = |value: &str| match after.map(|key| &key.value) {
        None => String::new(),
        // Nothing sorts before everything.
        Some(SortValue::Nothing) if descending => format!(" AND {value} IS NULL AND id < ?2"),
        Some(SortValue::Nothing) => format!(" AND ({value} IS NOT NULL OR id > ?2)"),
        Some(_) => {
            let nothing = if descending { format!(" OR {value} IS NULL") } else { String::new() };
            format!(" AND ({value} {beyond} ?1 OR ({value} = ?1 AND id {beyond} ?2){nothing})")
        }
    };
    let conditions = chosen.sql();
    let mut sources = Vec::new();
    if chosen.status.is_none_or(|status| !status.is_terminal()) {
        let after = after_sql(of_live);
        sources.push(format!(
            "SELECT id, 0 AS ended, {of_live} AS value FROM tasks NOT INDEXED \
             WHERE id > 0{conditions}{after}"
        ));
    }
    if chosen.status.is_none_or(StatusKind::is_terminal) {
        let after = after_sql(of_ended);
        sources.push(format!(
            "SELECT id, 1 AS ended, {of_ended} AS value FROM task_history NOT INDEXED \
             WHERE id > 0{conditions}{after}"
        ));
    }
    let sql = format!(
        "{} ORDER BY value {order}, id {order} LIMIT ?3 OFFSET ?4",
        sources.join(" UNION ALL ")
    );
    let value = match after.map(|key| &key.value) {
        Some(SortValue::Number(number)) => Value::Integer(*number),
        Some(SortValue::Text(text)) => Value::Text(text.to_string()),
        Some(SortValue::Nothing) | None => Value::Null,
    };
    let id = after.map_or(0, |key| key.id.get() as i64);
    let mut walk = conn.prepare_cached(&sql)?;
    let mut rows = walk.query((value, id, stretch.limit as i64, stretch.offset as i64))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Found { id: row.get(0)?, ended: row.get(1)? });
    }
    Ok(found)
}
