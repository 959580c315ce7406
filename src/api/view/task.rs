//! A task as JSON.

use super::View;
use crate::api::json::Json;
use crate::api::time::write_time;
use crate::domain::{Form, Payload, Status, StatusKind, Task, TimeMs};

/// Writes `task` as an object and leaves it open for what an answer adds.
///
/// `waits` says whether nobody can start its type, where the writer was asked; otherwise the
/// registered executors decide.
pub(crate) fn open(json: &mut Json, task: &Task, view: &View<'_>, waits: Option<bool>) {
    let (spec, state) = (&task.spec, &task.state);
    let kind = state.status.kind();
    let mut fields = Fields { json, view };
    fields.json.open();
    fields.number("id", task.id.get());
    fields.text("taskName", Some(&spec.name));
    fields.text("taskType", Some(&spec.task_type));
    fields.name("priority", spec.band.name());
    fields.name("status", kind.name());
    fields.payload("payload", spec.payload.as_ref());
    fields.text("description", spec.description.as_deref());
    fields.time("scheduledTime", spec.scheduled_for);
    fields.time("nextExecutionTime", state.status.due());
    fields.number("executionTimeoutSeconds", spec.timeout_s.into());
    fields.number("maxRetryAttempts", spec.retry.retries_max.into());
    fields.number("currentRetryCount", state.retries.into());
    fields.text("lastErrorMessage", state.last_error.as_ref().map(|(_, message)| &**message));
    fields.time("lastExecutedAt", state.run.map(|run| run.started_at));
    let ended_run = state.run.filter(|_| kind != StatusKind::Running);
    fields.number_or("executionDurationMs", ended_run.map(|run| run.took_us / 1000));
    fields.time("createdAt", Some(spec.created_at));
    fields.time("updatedAt", Some(state.updated_at));
    fields.number("version", state.version.into());
    fields.flag("completed", kind == StatusKind::Completed);
    fields.flag("running", kind == StatusKind::Running);
    fields.number(
        "completionPercentage",
        match kind {
            StatusKind::Completed => 100,
            StatusKind::Running => state.progress.map_or(50, u64::from),
            _ => 0,
        },
    );
    open_new(&mut fields, task, waits);
}

/// The fields that the Java system did not have.
fn open_new(fields: &mut Fields<'_, '_, '_>, task: &Task, waits: Option<bool>) {
    let (spec, state) = (&task.spec, &task.state);
    let executor = (fields.view.settings.executor_of)(&spec.task_type);
    let startable = match state.status {
        Status::Pending | Status::Queued => true,
        // Where nobody can start it, nobody has looked at the clock for it either.
        Status::Scheduled { due } | Status::Retrying { due } => {
            due <= fields.view.settings.clock.now()
        }
        _ => false,
    };
    let waits = startable && waits.unwrap_or(executor.is_none());
    // What a worker leases runs on no node.
    let runs_here = state.status.is_running() && state.leased_until.is_none();
    fields.time("completedAt", state.completed_at);
    fields.payload("result", state.result.as_ref());
    fields.number_or("attempt", attempt(task));
    fields.number("epoch", state.epoch.0);
    fields.text("node", runs_here.then_some(fields.view.node));
    fields.text("worker", state.worker.as_deref());
    fields.name("executor", executor.unwrap_or("remote"));
    fields.text("waitingFor", waits.then_some("worker"));
    fields.flag("cancelRequested", state.cancel_requested);
    match &spec.tags {
        Some(tags) => drop(fields.json.key("tags").raw(tags)),
        None => fields.absent("tags"),
    }
    fields.text("uniqueKey", spec.unique_key.as_deref());
}

/// Writes the whole object.
pub(crate) fn write(json: &mut Json, task: &Task, view: &View<'_>, waits: Option<bool>) {
    open(json, task, view, waits);
    json.close();
}

/// The number of the attempt that runs or ran last. A task that waits for its retry has counted
/// that retry already, but not begun it.
fn attempt(task: &Task) -> Option<u64> {
    let began = task.state.run.is_some() || task.state.status.kind() == StatusKind::Running;
    let waits = matches!(task.state.status, Status::Retrying { .. });
    began.then(|| (u64::from(task.state.retries) + u64::from(!waits)).max(1))
}

/// Writes fields, and absent ones as the view wants them.
struct Fields<'j, 'v, 's> {
    json: &'j mut Json,
    view: &'v View<'s>,
}

impl Fields<'_, '_, '_> {
    fn absent(&mut self, key: &'static str) {
        if self.view.nulls() {
            self.json.key(key).null();
        }
    }

    fn number(&mut self, key: &'static str, number: u64) {
        self.json.key(key).number(number);
    }

    fn number_or(&mut self, key: &'static str, number: Option<u64>) {
        match number {
            Some(number) => self.number(key, number),
            None => self.absent(key),
        }
    }

    fn flag(&mut self, key: &'static str, flag: bool) {
        self.json.key(key).flag(flag);
    }

    fn name(&mut self, key: &'static str, name: &'static str) {
        self.json.key(key).plain(|buffer| buffer.extend_from_slice(name.as_bytes()));
    }

    fn text(&mut self, key: &'static str, text: Option<&str>) {
        match text {
            Some(text) => drop(self.json.key(key).text(text)),
            None => self.absent(key),
        }
    }

    fn time(&mut self, key: &'static str, time: Option<TimeMs>) {
        match time {
            Some(time) => write_time(self.json.key(key), time, self.view.style()),
            None => self.absent(key),
        }
    }

    fn payload(&mut self, key: &'static str, payload: Option<&Payload>) {
        match payload.filter(|_| self.view.payloads) {
            Some(Payload { form: Form::Text, bytes }) => drop(self.json.key(key).text(bytes)),
            Some(Payload { form: Form::Json, bytes }) => drop(self.json.key(key).raw(bytes)),
            None => self.absent(key),
        }
    }
}

#[cfg(test)]
mod tests;
