//! A task as a row, and a row as a task. Everything a task has survives the way there and back.
//!
//! Payload and result are bytes here: they may hold a NUL, which no text of PostgreSQL can.

use std::sync::Arc;

use postgres::Row;
use postgres::types::FromSql;

use super::copy::Rows;
use super::types::{self, Types};
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
         suspicion, cancel_requested, leased_until, worker, progress, scheduled_for, timeout_s, \
         retries_max, retry_delay_ms, retry_multiplier, run_started_at, run_took_us, \
         run_waited_us, error_kind, name, description, tags, unique_key, error"
    };
}
pub(super) use shared;
const SHARED_COLUMNS: usize = 28;

macro_rules! long {
    () => {
        "payload_form, result_form, result, payload"
    };
}
pub(super) use long;
const LONG_COLUMNS: usize = 4;

/// What [`read`] expects of a live row.
macro_rules! live_columns {
    () => {
        concat!(
            "id, owner, due, NULL::bigint AS completed_at, ",
            $crate::store::postgres::row::shared!(),
            ", ",
            $crate::store::postgres::row::long!()
        )
    };
}
pub(super) use live_columns;

/// What [`read`] expects of an ended row.
macro_rules! ended_columns {
    () => {
        concat!(
            "id, NULL::bigint AS owner, 0::bigint AS due, completed_at, ",
            $crate::store::postgres::row::shared!(),
            ", ",
            $crate::store::postgres::row::long!()
        )
    };
}
pub(super) use ended_columns;

/// Live rows.
pub(super) const LIVE: &str = concat!("SELECT ", live_columns!(), " FROM taskscheduler.tasks");
/// The same, without payload and result, which are then not even read from the disk.
pub(super) const LIVE_BRIEF: &str = concat!(
    "SELECT id, owner, due, NULL::bigint, ",
    shared!(),
    ", NULL::smallint, NULL::smallint, NULL::bytea, NULL::bytea FROM taskscheduler.tasks"
);
/// Ended rows.
pub(super) const ENDED: &str =
    concat!("SELECT ", ended_columns!(), " FROM taskscheduler.task_history");
/// The same, without payload and result.
pub(super) const ENDED_BRIEF: &str = concat!(
    "SELECT id, NULL::bigint, 0::bigint, completed_at, ",
    shared!(),
    ", NULL::smallint, NULL::smallint, NULL::bytea, NULL::bytea FROM taskscheduler.task_history"
);
/// Where the owner of a row stands in all of these.
pub(super) const OWNER: usize = 1;
/// Where the band of a task stands.
pub(super) const BAND: usize = 5;
/// Where the type of a task stands.
pub(super) const TYPE_ID: usize = 6;

/// Where rows of [`put_live`] go.
pub(super) const COPY_LIVE: &str = concat!(
    "COPY taskscheduler.tasks (id, owner, due, weight, ",
    shared!(),
    ", ",
    long!(),
    ") FROM STDIN (FORMAT binary)"
);
/// Where rows of [`put_ended`] go.
pub(super) const COPY_ENDED: &str = concat!(
    "COPY taskscheduler.task_history (id, completed_at, ended_day, ",
    shared!(),
    ", ",
    long!(),
    ") FROM STDIN (FORMAT binary)"
);

/// Rows for [`COPY_LIVE`].
pub(super) fn live_rows() -> Rows {
    Rows::new(4 + SHARED_COLUMNS + LONG_COLUMNS)
}

/// Rows for [`COPY_ENDED`].
pub(super) fn ended_rows() -> Rows {
    Rows::new(3 + SHARED_COLUMNS + LONG_COLUMNS)
}

/// Adds a live row.
pub(super) fn put_live(rows: &mut Rows, task: &Task, type_id: i32, owner: Option<i64>) {
    rows.begin();
    rows.long(task.id.get() as i64);
    rows.long_opt(owner);
    rows.long(due(task).0);
    rows.int(weight(task));
    put_shared(rows, task, type_id);
}

/// Adds an ended row.
pub(super) fn put_ended(rows: &mut Rows, task: &Task, type_id: i32, day: i32) {
    rows.begin();
    rows.long(task.id.get() as i64);
    rows.long_opt(task.state.completed_at.map(|at| at.0));
    rows.int(day);
    put_shared(rows, task, type_id);
}

/// What a task weighs in memory, as a column can hold it.
fn weight(task: &Task) -> i32 {
    i32::try_from(task.spec.weight()).unwrap_or(i32::MAX)
}

fn put_shared(rows: &mut Rows, task: &Task, type_id: i32) {
    let (spec, state) = (&*task.spec, &task.state);
    let time = |time: Option<TimeMs>| time.map(|time| time.0);
    rows.short(i16::from(state.status.kind().code()));
    rows.short(spec.band.rank() as i16);
    rows.int(type_id);
    rows.long(state.epoch.0 as i64);
    rows.long(state.ready_at.0);
    rows.long(spec.created_at.0);
    rows.long(state.updated_at.0);
    rows.int(state.version.cast_signed());
    rows.int(state.retries.cast_signed());
    rows.short(state.suspicion.code() as i16);
    rows.flag(state.cancel_requested);
    rows.long_opt(time(state.leased_until));
    rows.text(state.worker.as_deref());
    rows.short_opt(state.progress.map(i16::from));
    rows.long_opt(time(spec.scheduled_for));
    rows.int(spec.timeout_s.cast_signed());
    rows.int(spec.retry.retries_max.cast_signed());
    rows.long(spec.retry.delay_ms as i64);
    rows.real(spec.retry.multiplier);
    rows.long_opt(state.run.map(|run| run.started_at.0));
    rows.long_opt(state.run.map(|run| run.took_us as i64));
    rows.long_opt(state.run.map(|run| run.waited_us as i64));
    rows.short_opt(kind_code(state));
    rows.text(Some(&spec.name));
    rows.text(spec.description.as_deref());
    rows.text(spec.tags.as_deref());
    rows.text(spec.unique_key.as_deref());
    rows.text(state.last_error.as_ref().map(|(_, text)| &**text));
    rows.short_opt(form_code(spec.payload.as_ref()));
    rows.short_opt(form_code(state.result.as_ref()));
    rows.text(state.result.as_ref().map(|p| &*p.bytes));
    rows.text(spec.payload.as_ref().map(|p| &*p.bytes));
}

/// The code of the last error's kind.
pub(super) fn kind_code(state: &State) -> Option<i16> {
    let (kind, _) = state.last_error.as_ref()?;
    FailureKind::ALL.iter().position(|known| known == kind).map(|code| code as i16)
}

/// The code of a payload's form.
pub(super) fn form_code(payload: Option<&Payload>) -> Option<i16> {
    payload.map(|payload| i16::from(payload.form == Form::Json))
}

/// Reads a row of one of the four selections above.
pub(super) fn read(row: &Row, types: &Types) -> Result<(Task, Holding), StoreError> {
    let mut from = Columns { row, next: 0 };
    let number: i64 = from.get()?;
    let id = u64::try_from(number).ok().and_then(TaskId::new);
    let id = id.ok_or_else(|| damaged(number, "id"))?;
    let holding = if from.get::<Option<i64>>()?.is_some() { Holding::Held } else { Holding::Free };
    let due = TimeMs(from.get()?);
    let completed_at = from.time()?;
    let kind = u8::try_from(from.get::<i16>()?).ok().and_then(StatusKind::from_code);
    let kind = kind.ok_or_else(|| damaged(number, "status"))?;
    let band = usize::try_from(from.get::<i16>()?).ok().and_then(Band::from_rank);
    let band = band.ok_or_else(|| damaged(number, "band"))?;
    let type_id: i32 = from.get()?;
    let task_type = types.name(type_id).ok_or_else(|| types::unknown(type_id))?;
    let (mut state, created_at) = read_state(&mut from, kind, due, completed_at)?;
    let scheduled_for = from.time()?;
    let timeout_s = from.get::<i32>()?.cast_unsigned();
    let retry = RetryPolicy {
        retries_max: from.get::<i32>()?.cast_unsigned(),
        delay_ms: from.get::<i64>()? as u64,
        multiplier: from.get()?,
    };
    let (started_at, took_us, waited_us) =
        (from.time()?, from.get::<Option<i64>>()?, from.get::<Option<i64>>()?);
    state.run = started_at.map(|started_at| Run {
        started_at,
        took_us: took_us.unwrap_or(0) as u64,
        waited_us: waited_us.unwrap_or(0) as u64,
    });
    let error_kind: Option<i16> = from.get()?;
    let name = from.get::<&str>()?.into();
    let (description, tags, unique_key) = (from.text()?, from.text()?, from.text()?);
    let error: Option<Box<str>> = from.text()?;
    state.last_error = error_kind.map(|code| (kind_of(code), error.unwrap_or_default()));
    let (payload_form, result_form) = (from.get()?, from.get()?);
    state.result = from.payload(result_form)?;
    let payload = from.payload(payload_form)?;
    let spec = Spec {
        name,
        task_type: Arc::clone(task_type),
        band,
        payload,
        description,
        scheduled_for,
        timeout_s,
        retry,
        tags,
        unique_key,
        created_at,
    };
    Ok((Task { id, spec: Arc::new(spec), state }, holding))
}

/// The columns from `epoch` to `progress`, with `created_at`, which lies among them.
fn read_state(
    from: &mut Columns<'_>,
    kind: StatusKind,
    due: TimeMs,
    completed_at: Option<TimeMs>,
) -> Result<(State, TimeMs), StoreError> {
    let epoch = Epoch(from.get::<i64>()? as u64);
    let ready_at = TimeMs(from.get()?);
    let created_at = TimeMs(from.get()?);
    let state = State {
        status: status_of(kind, due, epoch),
        epoch,
        updated_at: TimeMs(from.get()?),
        version: from.get::<i32>()?.cast_unsigned(),
        retries: from.get::<i32>()?.cast_unsigned(),
        ready_at,
        run: None,
        last_error: None,
        result: None,
        suspicion: Suspicion::from_code(from.get::<i16>()? as u16),
        cancel_requested: from.get()?,
        leased_until: from.time()?,
        worker: from.text::<Arc<str>>()?,
        progress: from.get::<Option<i16>>()?.and_then(|percent| u8::try_from(percent).ok()),
        completed_at,
    };
    Ok((state, created_at))
}

/// Reads one column after the other.
struct Columns<'r> {
    row: &'r Row,
    next: usize,
}

impl<'r> Columns<'r> {
    fn get<T: FromSql<'r>>(&mut self) -> Result<T, StoreError> {
        self.next += 1;
        let row = self.row;
        row.try_get(self.next - 1).map_err(|error| StoreError::Broken(error.to_string()))
    }

    fn time(&mut self) -> Result<Option<TimeMs>, StoreError> {
        Ok(self.get::<Option<i64>>()?.map(TimeMs))
    }

    fn text<T: for<'t> From<&'t str>>(&mut self) -> Result<Option<T>, StoreError> {
        Ok(self.get::<Option<&str>>()?.map(T::from))
    }

    fn payload(&mut self, form: Option<i16>) -> Result<Option<Payload>, StoreError> {
        let form = if form == Some(1) { Form::Json } else { Form::Text };
        let bytes: Option<&[u8]> = self.get()?;
        // What we write is UTF-8; a row written past us may not be, and must not stop a start.
        let text = bytes.map(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => String::from_utf8_lossy(bytes).into(),
        });
        Ok(text.map(|bytes| Payload { form, bytes }))
    }
}

fn damaged(id: i64, what: &str) -> StoreError {
    StoreError::Broken(format!("the row of task {id} has no valid {what}"))
}

fn kind_of(code: i16) -> FailureKind {
    let known = usize::try_from(code).ok().and_then(|code| FailureKind::ALL.get(code));
    known.copied().unwrap_or(FailureKind::Error)
}
