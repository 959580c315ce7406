//! The rules that every store keeps in the same way.

use crate::domain::{Before, Epoch, Event, Status, StatusKind, Suspicion, Task, TimeMs};

/// When a row needs attention: the end of its lease, or when it may be claimed, which is the time
/// that is set, else since when it could start.
pub(super) fn due(task: &Task) -> TimeMs {
    match task.state.status {
        Status::Scheduled { due } | Status::Retrying { due } | Status::Paused { due } => due,
        _ => task.lease_ends().unwrap_or(task.state.ready_at),
    }
}

/// Whether a row still says what it said.
pub(super) fn says(task: &Task, before: Before) -> bool {
    task.state.epoch == before.epoch && task.state.status.kind() == before.status
}

/// Whether a change forgets that somebody asked for the end of a running task: whoever decided it
/// had not heard of that. A row that nobody holds is changed by many.
pub(super) fn forgets_wish(row: &Task, next: &Task) -> bool {
    let wished = row.state.status.is_running() && row.state.cancel_requested;
    wished && !next.state.cancel_requested
}

/// What the end of its holder means for a held task. Leased ones are nobody's, and go on.
pub(super) fn adopt(task: &mut Task, released: bool, now: TimeMs) {
    let state = &mut task.state;
    state.epoch = state.epoch.next();
    state.suspicion = if released { Suspicion::None } else { state.suspicion.after_crash() };
    if let Ok(queued) = state.status.on(Event::Release) {
        state.status = queued;
        state.version = state.version.saturating_add(1);
        state.updated_at = now;
    }
}

/// A status from its code and what goes with it.
pub(super) fn status_of(kind: StatusKind, due: TimeMs, epoch: Epoch) -> Status {
    match kind {
        StatusKind::Pending => Status::Pending,
        StatusKind::Scheduled => Status::Scheduled { due },
        StatusKind::Queued => Status::Queued,
        StatusKind::Running => Status::Running { epoch },
        StatusKind::Retrying => Status::Retrying { due },
        StatusKind::Paused => Status::Paused { due },
        StatusKind::Completed => Status::Completed,
        StatusKind::Failed => Status::Failed,
        StatusKind::Cancelled => Status::Cancelled,
    }
}
