//! One page of tasks.
//!
//! Sorting by id (and by creation, which is the same order) follows the keys of both tables.
//! Sorting by band, status or type goes through these in order, each by id: the counters say how
//! many tasks there are of each, so a page in the middle skips whole bands without a walk. Only
//! the other fields look at every row.

use rusqlite::Connection;

use super::super::types::Types;
use super::filter::{self, Chosen};
use super::read_all;
use super::walk::{self, Found, Stretch};
use crate::domain::{Band, StatusKind};
use crate::store::order::{SortKey, SortValue};
use crate::store::tally::Sort;
use crate::store::{Page, PageAsk, Place, SortField, StoreError};

/// Answers the ask inside a snapshot.
pub(super) fn page(conn: &Connection, types: &Types, ask: &PageAsk) -> Result<Page, StoreError> {
    let field = ask.sorting.field;
    let after = match &ask.place {
        Place::After(cursor) => Some(SortKey::parse(cursor, field)?),
        Place::Offset(_) => None,
    };
    let Some(chosen) = Chosen::new(&ask.filter, types) else { return Ok(Page::default()) };
    let counters = filter::counters(conn)?;
    let total = chosen.total(&counters);
    let offset = match ask.place {
        Place::Offset(offset) => offset,
        Place::After(_) => 0,
    };
    if total == 0 || offset >= total {
        return Ok(Page { total, ..Page::default() });
    }
    let size = ask.size as usize;
    // One more than asked for says whether there is a next page.
    let wanted = (size as u64 + 1).min(total - offset);
    let mut found = match field {
        SortField::UpdatedAt | SortField::TaskName | SortField::NextExecutionTime => {
            let stretch = Stretch { after: None, offset, limit: wanted };
            let descending = ask.sorting.descending;
            walk::by_value(conn, &chosen, field, descending, after.as_ref(), stretch)?
        }
        _ => {
            let mut groups = groups(field, &chosen, &counters, types);
            if ask.sorting.descending {
                groups.reverse();
            }
            by_groups(conn, &groups, ask.sorting.descending, after.as_ref(), offset, wanted)?
        }
    };
    let more = found.len() > size;
    found.truncate(size);
    let tasks = read_all(conn, types, &found, ask.payloads)?;
    let next = tasks.last().filter(|_| more).map(|last| SortKey::of(last, field).cursor());
    Ok(Page { tasks, total, total_is_lower_bound: false, next })
}

/// Tasks with the same value of the sort field.
#[derive(Debug)]
struct Group {
    value: SortValue,
    chosen: Chosen,
    total: u64,
}

/// The groups that are not empty, in ascending order.
fn groups(
    field: SortField,
    chosen: &Chosen,
    counters: &[(Sort, u64)],
    types: &Types,
) -> Vec<Group> {
    let group = |value, chosen: Chosen| Group { value, chosen, total: chosen.total(counters) };
    let number = |number: usize| SortValue::Number(number as i64);
    let mut groups: Vec<Group> = match field {
        SortField::Priority => Band::ALL
            .into_iter()
            .filter(|band| chosen.band.is_none_or(|only| only == *band))
            .map(|band| group(number(band.rank()), Chosen { band: Some(band), ..*chosen }))
            .collect(),
        SortField::Status => StatusKind::ALL
            .into_iter()
            .filter(|status| chosen.status.is_none_or(|only| only == *status))
            .map(|status| {
                let value = number(usize::from(status.code()));
                group(value, Chosen { status: Some(status), ..*chosen })
            })
            .collect(),
        SortField::TaskType => {
            let mut present: Vec<u32> = counters
                .iter()
                .filter(|(sort, _)| chosen.lets(*sort))
                .map(|(sort, _)| sort.type_id)
                .collect();
            present.sort_unstable();
            present.dedup();
            let of_type = |type_id: u32| {
                let name = SortValue::Text((**types.name(type_id.into())?).into());
                Some(group(name, Chosen { type_id: Some(type_id), ..*chosen }))
            };
            present.into_iter().filter_map(of_type).collect()
        }
        _ => vec![group(SortValue::Nothing, *chosen)],
    };
    groups.retain(|group| group.total > 0);
    groups.sort_unstable_by(|a, b| a.value.cmp(&b.value));
    groups
}

/// Goes through the groups in the order given and collects `wanted` rows from the place on.
fn by_groups(
    conn: &Connection,
    groups: &[Group],
    descending: bool,
    after: Option<&SortKey>,
    mut offset: u64,
    wanted: u64,
) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for group in groups {
        let mut after_id = None;
        if let Some(after) = after {
            let before =
                if descending { group.value > after.value } else { group.value < after.value };
            if before {
                continue;
            }
            after_id = (group.value == after.value).then_some(after.id.get() as i64);
        }
        if offset >= group.total {
            offset -= group.total;
            continue;
        }
        let left = wanted - found.len() as u64;
        // Behind the last row of a group lie only rows of others: no need to look at them.
        let limit = if after_id.is_none() { left.min(group.total - offset) } else { left };
        let stretch = Stretch { after: after_id, offset, limit };
        found.extend(walk::by_id(conn, &group.chosen, group.total, descending, stretch)?);
        offset = 0;
        if found.len() as u64 >= wanted {
            break;
        }
    }
    Ok(found)
}
