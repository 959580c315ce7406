//! The value a page is sorted by, and how a cursor carries it. The same for every store, so that a
//! cursor means the same everywhere.

use super::{Cursor, SortField, StoreError};
use crate::domain::{Task, TaskId};

/// A task's place in an order; the id settles ties, in the same direction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey {
    pub(super) value: SortValue,
    pub(super) id: TaskId,
}

/// What a task is sorted by before its id. `Nothing` comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortValue {
    /// The id alone decides, or the task has no such value.
    Nothing,
    /// A time, or the code of a status or a band.
    Number(i64),
    /// A name, compared byte by byte.
    Text(Box<str>),
}

impl SortKey {
    /// The place of a task.
    pub(super) fn of(task: &Task, field: SortField) -> SortKey {
        let (spec, state) = (&task.spec, &task.state);
        let value = match field {
            // Ids are taken in the order of creation, so one order serves for both.
            SortField::Id | SortField::CreatedAt => SortValue::Nothing,
            SortField::UpdatedAt => SortValue::Number(state.updated_at.0),
            SortField::Priority => SortValue::Number(spec.band.rank() as i64),
            SortField::Status => SortValue::Number(i64::from(state.status.kind().code())),
            SortField::TaskName => SortValue::Text(spec.name.clone()),
            SortField::TaskType => SortValue::Text((*spec.task_type).into()),
            SortField::NextExecutionTime => {
                state.status.due().map_or(SortValue::Nothing, |due| SortValue::Number(due.0))
            }
        };
        SortKey { value, id: task.id }
    }

    /// The cursor that stands for this place.
    pub(super) fn cursor(&self) -> Cursor {
        let value = match &self.value {
            SortValue::Nothing => String::new(),
            SortValue::Number(number) => number.to_string(),
            SortValue::Text(text) => text.to_string(),
        };
        Cursor { value, id: self.id }
    }

    /// The place a cursor stands for. Cursors come back from clients, so anything may be in them.
    pub(super) fn parse(cursor: &Cursor, field: SortField) -> Result<SortKey, StoreError> {
        let wrong = || StoreError::Data("this cursor belongs to another order".into());
        let text = &cursor.value;
        let value = match field {
            SortField::TaskName | SortField::TaskType => SortValue::Text(text.as_str().into()),
            SortField::Id | SortField::CreatedAt if text.is_empty() => SortValue::Nothing,
            SortField::Id | SortField::CreatedAt => return Err(wrong()),
            SortField::NextExecutionTime if text.is_empty() => SortValue::Nothing,
            _ => SortValue::Number(text.parse().map_err(|_| wrong())?),
        };
        Ok(SortKey { value, id: cursor.id })
    }
}
