//! One page of tasks, whatever the store.
//!
//! Sorting by id (and by creation, which is the same order) follows the keys of both tables.
//! Sorting by band, status or type goes through these in order, each by id: the counters say how
//! many tasks there are of each, so a page in the middle skips whole bands without a walk. Only
//! the other fields look at every row.

use std::sync::Arc;

use super::order::{SortKey, SortValue};
use super::tally::Sort;
use super::{Filter, Page, PageAsk, Place, SortField, StoreError};
use crate::domain::{Band, StatusKind, Task};

/// What a page needs of a store, all in one snapshot.
pub(super) trait Walk {
    /// The store's number for a type; `None` if it has never seen it.
    fn number(&mut self, name: &str) -> Result<Option<u32>, StoreError>;

    /// The type with this number, after the counters were read.
    fn name(&self, type_id: u32) -> Option<Arc<str>>;

    /// Every sort of task there is, and how many.
    fn counters(&mut self) -> Result<Vec<(Sort, u64)>, StoreError>;

    /// Rows in the order of their ids. `total` is how many the filter lets through.
    fn by_id(
        &mut self,
        chosen: &Chosen,
        total: u64,
        descending: bool,
        stretch: Stretch,
    ) -> Result<Vec<Found>, StoreError>;

    /// Rows in the order of a value that no index has: the first of all there are.
    fn by_value(
        &mut self,
        chosen: &Chosen,
        field: SortField,
        descending: bool,
        after: Option<&SortKey>,
        stretch: Stretch,
    ) -> Result<Vec<Found>, StoreError>;

    /// The tasks of these rows, in the order given.
    fn tasks(&mut self, found: &[Found], payloads: bool) -> Result<Vec<Task>, StoreError>;
}

/// A row that belongs on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) ended: bool,
}

/// Where a walk starts, and how far it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) after: Option<i64>,
    pub(super) offset: u64,
    pub(super) limit: u64,
}

/// A filter with the store's own number for the type.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chosen {
    pub(super) status: Option<StatusKind>,
    pub(super) band: Option<Band>,
    pub(super) type_id: Option<u32>,
}

impl Chosen {
    /// The filter; `None` if it names a type the store has never seen.
    fn new(filter: &Filter, walk: &mut dyn Walk) -> Result<Option<Chosen>, StoreError> {
        let type_id = match &filter.task_type {
            Some(name) => match walk.number(name)? {
                None => return Ok(None),
                known => known,
            },
            None => None,
        };
        Ok(Some(Chosen { status: filter.status, band: filter.band, type_id }))
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

/// Answers the ask inside a snapshot.
pub(super) fn page(walk: &mut dyn Walk, ask: &PageAsk) -> Result<Page, StoreError> {
    let field = ask.sorting.field;
    let after = match &ask.place {
        Place::After(cursor) => Some(SortKey::parse(cursor, field)?),
        Place::Offset(_) => None,
    };
    let Some(chosen) = Chosen::new(&ask.filter, walk)? else { return Ok(Page::default()) };
    let counters = walk.counters()?;
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
            walk.by_value(&chosen, field, descending, after.as_ref(), stretch)?
        }
        _ => {
            let mut groups = groups(field, &chosen, &counters, walk);
            if ask.sorting.descending {
                groups.reverse();
            }
            by_groups(walk, &groups, ask.sorting.descending, after.as_ref(), offset, wanted)?
        }
    };
    let more = found.len() > size;
    found.truncate(size);
    let tasks = walk.tasks(&found, ask.payloads)?;
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
    walk: &dyn Walk,
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
                let name = SortValue::Text((*walk.name(type_id)?).into());
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
    walk: &mut dyn Walk,
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
        found.extend(walk.by_id(&group.chosen, group.total, descending, stretch)?);
        offset = 0;
        if found.len() as u64 >= wanted {
            break;
        }
    }
    Ok(found)
}
