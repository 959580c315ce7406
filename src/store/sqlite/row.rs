//! A task as a row, and a row as a task. Everything a task has survives the way there and back.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement, ToSql};

use super::types::Types;
use crate::domain::{
    Band, Epoch, FailureKind, Form, Holding, Payload, RetryPolicy, Run, Spec, State, StatusKind,
    Suspicion, Task, TaskId, TimeMs,
};
use crate::store::StoreError;
use crate::store::rules::{due, status_of};

/// The columns that live and ended rows share, but for the long ones at the end.
macro_rules! shared {
    () => {
        "status, band, type_id, epoch, ready_at, created_at, updated_at, version, retries, \
         suspicion, cancel_requested, leased_until, worker, progress, completed_at, scheduled_for, \
         timeout_s, \
         retries_max, retry_delay_ms, retry_multiplier, run_started_at, run_took_us, \
         run_waited_us, error_kind, name, description, tags, unique_key, error"
    };
}

/// What [`read`] expects of a live row.
pub(super) const LIVE: &str = concat!(
    "SELECT id, owner, due, ",
    shared!(),
    ", payload_form, result_form, result, payload FROM tasks"
);
/// The same, without payload and result, which are then not even read from the disk.
pub(super) const LIVE_BRIEF: &str =
    concat!("SELECT id, owner, due, ", shared!(), ", NULL, NULL, NULL, NULL FROM tasks");
/// What [`read`] expects of an ended row.
pub(super) const ENDED: &str = concat!(
    "SELECT id, NULL, 0, ",
    shared!(),
    ", payload_form, result_form, result, payload FROM task_history"
);
/// The same, without payload and result.
pub(super) const ENDED_BRIEF: &str =
    concat!("SELECT id, NULL, 0, ", shared!(), ", NULL, NULL, NULL, NULL FROM task_history");

/// A new live row; bound by [`bind_live`].
pub(super) const INSERT_LIVE: &str = concat!(
    "INSERT INTO tasks (id, owner, due, ",
    shared!(),
    ", payload_form, result_form, result, payload) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,\
     ?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
);
/// A new ended row; bound by [`bind_ended`].
pub(super) const INSERT_ENDED: &str = concat!(
    "INSERT INTO task_history (id, ",
    shared!(),
    ", payload_form, result_form, result, payload) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,\
     ?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
);
/// The changing part of a live row, if it still says what it said; bound by [`bind_update`].
pub(super) const UPDATE_LIVE: &str = "UPDATE tasks SET owner = ?, due = ?, status = ?, epoch = ?, \
     ready_at = ?, updated_at = ?, version = ?, retries = ?, suspicion = ?, cancel_requested = ?, \
     leased_until = ?, worker = ?, progress = ?, completed_at = ?, run_started_at = ?, \
     run_took_us = ?, run_waited_us = ?, \
     error_kind = ?, error = ?, result_form = ?, result = ? \
     WHERE id = ? AND epoch = ? AND status = ? \
     AND NOT (status = 3 AND cancel_requested AND NOT ?10)";

/// Binds one parameter after the other.
struct Binder<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl Binder<'_, '_> {
    fn put(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.next += 1;
        self.statement.raw_bind_parameter(self.next, value)
    }

    fn time(&mut self, time: Option<TimeMs>) -> rusqlite::Result<()> {
        self.put(time.map(|time| time.0))
    }
}

/// Binds [`INSERT_LIVE`].
pub(super) fn bind_live(
    statement: &mut Statement<'_>,
    task: &Task,
    type_id: u32,
    owner: Option<i64>,
) -> rusqlite::Result<()> {
    let mut to = Binder { statement, next: 0 };
    to.put(task.id.get() as i64)?;
    to.put(owner)?;
    to.put(due(task).0)?;
    bind_shared(&mut to, task, type_id)
}

/// Binds [`INSERT_ENDED`].
pub(super) fn bind_ended(
    statement: &mut Statement<'_>,
    task: &Task,
    type_id: u32,
) -> rusqlite::Result<()> {
    let mut to = Binder { statement, next: 0 };
    to.put(task.id.get() as i64)?;
    bind_shared(&mut to, task, type_id)
}

fn bind_shared(to: &mut Binder<'_, '_>, task: &Task, type_id: u32) -> rusqlite::Result<()> {
    let (spec, state) = (&*task.spec, &task.state);
    to.put(state.status.kind().code())?;
    to.put(spec.band.rank() as i64)?;
    to.put(type_id)?;
    to.put(state.epoch.0 as i64)?;
    to.put(state.ready_at.0)?;
    to.put(spec.created_at.0)?;
    to.put(state.updated_at.0)?;
    to.put(state.version)?;
    to.put(state.retries)?;
    to.put(state.suspicion.code())?;
    to.put(state.cancel_requested)?;
    to.time(state.leased_until)?;
    to.put(state.worker.as_deref())?;
    to.put(state.progress)?;
    to.time(state.completed_at)?;
    to.time(spec.scheduled_for)?;
    to.put(spec.timeout_s)?;
    to.put(spec.retry.retries_max)?;
    to.put(spec.retry.delay_ms as i64)?;
    to.put(spec.retry.multiplier)?;
    bind_run(to, state)?;
    to.put(state.last_error.as_ref().map(|(kind, _)| kind_code(*kind)))?;
    to.put(&*spec.name)?;
    to.put(spec.description.as_deref())?;
    to.put(spec.tags.as_deref())?;
    to.put(spec.unique_key.as_deref())?;
    to.put(state.last_error.as_ref().map(|(_, text)| &**text))?;
    to.put(form_code(spec.payload.as_ref()))?;
    to.put(form_code(state.result.as_ref()))?;
    to.put(state.result.as_ref().map(|p| &*p.bytes))?;
    to.put(spec.payload.as_ref().map(|p| &*p.bytes))
}

fn bind_run(to: &mut Binder<'_, '_>, state: &State) -> rusqlite::Result<()> {
    to.time(state.run.map(|run| run.started_at))?;
    to.put(state.run.map(|run| run.took_us as i64))?;
    to.put(state.run.map(|run| run.waited_us as i64))
}

/// Binds [`UPDATE_LIVE`]; `before` is what the row must still say.
pub(super) fn bind_update(
    statement: &mut Statement<'_>,
    task: &Task,
    owner: Option<i64>,
    before: (Epoch, StatusKind),
) -> rusqlite::Result<()> {
    let state = &task.state;
    let mut to = Binder { statement, next: 0 };
    to.put(owner)?;
    to.put(due(task).0)?;
    to.put(state.status.kind().code())?;
    to.put(state.epoch.0 as i64)?;
    to.put(state.ready_at.0)?;
    to.put(state.updated_at.0)?;
    to.put(state.version)?;
    to.put(state.retries)?;
    to.put(state.suspicion.code())?;
    to.put(state.cancel_requested)?;
    to.time(state.leased_until)?;
    to.put(state.worker.as_deref())?;
    to.put(state.progress)?;
    to.time(state.completed_at)?;
    bind_run(&mut to, state)?;
    to.put(state.last_error.as_ref().map(|(kind, _)| kind_code(*kind)))?;
    to.put(state.last_error.as_ref().map(|(_, text)| &**text))?;
    to.put(form_code(state.result.as_ref()))?;
    to.put(state.result.as_ref().map(|p| &*p.bytes))?;
    to.put(task.id.get() as i64)?;
    to.put(before.0.0 as i64)?;
    to.put(before.1.code())
}

/// Reads a row of one of the four selections above.
pub(super) fn read(row: &Row<'_>, types: &Types) -> Result<(Task, Holding), StoreError> {
    let mut from = Columns { row, next: 0 };
    let number = from.int()?;
    let id = u64::try_from(number).ok().and_then(TaskId::new);
    let id = id.ok_or_else(|| damaged(number, "id"))?;
    let holding = if from.opt()?.is_some() { Holding::Held } else { Holding::Free };
    let due = TimeMs(from.int()?);
    let kind = u8::try_from(from.int()?).ok().and_then(StatusKind::from_code);
    let kind = kind.ok_or_else(|| damaged(number, "status"))?;
    let band = usize::try_from(from.int()?).ok().and_then(Band::from_rank);
    let band = band.ok_or_else(|| damaged(number, "band"))?;
    let task_type = types.name(from.int()?).ok_or_else(|| damaged(number, "task type"))?;
    let mut state = read_state(&mut from, kind, due)?;
    let scheduled_for = from.time()?;
    let timeout_s = from.int()? as u32;
    let retry = RetryPolicy {
        retries_max: from.int()? as u32,
        delay_ms: from.int()? as u64,
        multiplier: from.real()?,
    };
    let (started_at, took_us, waited_us) = (from.time()?, from.opt()?, from.opt()?);
    state.0.run = started_at.map(|started_at| Run {
        started_at,
        took_us: took_us.unwrap_or(0) as u64,
        waited_us: waited_us.unwrap_or(0) as u64,
    });
    let error_kind = from.opt()?;
    let name = from.text()?.unwrap_or_default();
    let (description, tags, unique_key) = (from.text()?, from.text()?, from.text()?);
    let error = from.text()?;
    state.0.last_error = error_kind.map(|code| (kind_of(code), error.unwrap_or_default()));
    let (payload_form, result_form) = (from.opt()?, from.opt()?);
    state.0.result = from.payload(result_form)?;
    let payload = from.payload(payload_form)?;
    let spec = Spec {
        name,
        task_type: task_type.clone(),
        band,
        payload,
        description,
        scheduled_for,
        timeout_s,
        retry,
        tags,
        unique_key,
        created_at: state.1,
    };
    Ok((Task { id, spec: Arc::new(spec), state: state.0 }, holding))
}

/// The columns from `epoch` to `completed_at`, with `created_at`, which lies among them.
fn read_state(
    from: &mut Columns<'_, '_>,
    kind: StatusKind,
    due: TimeMs,
) -> Result<(State, TimeMs), StoreError> {
    let epoch = Epoch(from.int()? as u64);
    let ready_at = TimeMs(from.int()?);
    let created_at = TimeMs(from.int()?);
    let state = State {
        status: status_of(kind, due, epoch),
        epoch,
        updated_at: TimeMs(from.int()?),
        version: from.int()? as u32,
        retries: from.int()? as u32,
        ready_at,
        run: None,
        last_error: None,
        result: None,
        suspicion: Suspicion::from_code(from.int()? as u16),
        cancel_requested: from.int()? != 0,
        leased_until: from.time()?,
        worker: from.text()?,
        progress: from.opt()?.and_then(|percent| u8::try_from(percent).ok()),
        completed_at: from.time()?,
    };
    Ok((state, created_at))
}

/// Reads one column after the other.
struct Columns<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
}

impl<'r> Columns<'r, '_> {
    fn value(&mut self) -> Result<ValueRef<'r>, StoreError> {
        self.next += 1;
        Ok(self.row.get_ref(self.next - 1)?)
    }

    fn opt(&mut self) -> Result<Option<i64>, StoreError> {
        Ok(match self.value()? {
            ValueRef::Integer(number) => Some(number),
            _ => None,
        })
    }

    fn int(&mut self) -> Result<i64, StoreError> {
        let column = self.next;
        self.opt()?.ok_or_else(|| StoreError::Broken(format!("column {column} is no integer")))
    }

    fn real(&mut self) -> Result<f64, StoreError> {
        let column = self.next;
        match self.value()? {
            ValueRef::Real(number) => Ok(number),
            _ => Err(StoreError::Broken(format!("column {column} is no number"))),
        }
    }

    fn time(&mut self) -> Result<Option<TimeMs>, StoreError> {
        Ok(self.opt()?.map(TimeMs))
    }

    fn text<T: for<'t> From<&'t str>>(&mut self) -> Result<Option<T>, StoreError> {
        Ok(match self.value()? {
            // What we write is UTF-8; a row written past us may not be, and must not stop a start.
            ValueRef::Text(bytes) => Some(match std::str::from_utf8(bytes) {
                Ok(text) => text.into(),
                Err(_) => T::from(&*String::from_utf8_lossy(bytes)),
            }),
            _ => None,
        })
    }

    fn payload(&mut self, form: Option<i64>) -> Result<Option<Payload>, StoreError> {
        let bytes: Option<Arc<str>> = self.text()?;
        let form = if form == Some(1) { Form::Json } else { Form::Text };
        Ok(bytes.map(|bytes| Payload { form, bytes }))
    }
}

fn damaged(id: i64, what: &str) -> StoreError {
    StoreError::Broken(format!("the row of task {id} has no valid {what}"))
}

fn form_code(payload: Option<&Payload>) -> Option<i64> {
    payload.map(|payload| i64::from(payload.form == Form::Json))
}

fn kind_code(kind: FailureKind) -> i64 {
    FailureKind::ALL.iter().position(|known| *known == kind).unwrap_or(0) as i64
}

fn kind_of(code: i64) -> FailureKind {
    let known = usize::try_from(code).ok().and_then(|code| FailureKind::ALL.get(code));
    known.copied().unwrap_or(FailureKind::Error)
}
