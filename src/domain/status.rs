//! The life of a task, on one screen.
//!
//! [`Status::on`] is the only way from one status to another. Refusal is the default: a new status
//! or a new event starts with no rights, and a report of an older claim says nothing.

use std::fmt;

use super::{Epoch, TimeMs, Verdict};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`due` and `epoch` mean the same in every variant")]
pub enum Status {
    /// Accepted by an SQL insert, not yet seen by a node.
    Pending,
    /// Waits for its time.
    Scheduled { due: TimeMs },
    /// Ready to start.
    Queued,
    /// An attempt is under way under this claim.
    Running { epoch: Epoch },
    /// Failed, and waits for its next attempt.
    Retrying { due: TimeMs },
    /// Held by a person; `due` is the time it may go on at, which may be past.
    Paused { due: TimeMs },
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named by the variants' lines")]
pub enum Event {
    /// Time passes.
    Tick { now: TimeMs },
    /// A claim starts an attempt.
    Start { epoch: Epoch },
    /// The attempt under `epoch` ended.
    Report { epoch: Epoch, verdict: Verdict },
    /// The holder of the claim is gone or gave it back; the attempt is undone.
    Release,
    /// A person ends it before it starts.
    Cancel,
    /// A person holds it; `now` is when a queued task may go on.
    Pause { now: TimeMs },
    /// A person lets it go on.
    Resume { now: TimeMs },
    /// A person wants it now rather than at its time.
    Hurry,
    /// A person tries it again although it had ended.
    Retry,
    /// The same, but at `due`.
    RetryLater { due: TimeMs },
    /// It is given up before it starts, because it brings its server down.
    Poison,
}

/// A move that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {} cannot take this step", .from.kind())]
pub struct IllegalMove {
    /// Where the task stands.
    pub from: Status,
    /// What was asked of it.
    pub event: Event,
}

impl Status {
    /// Each legal move is one line.
    pub fn on(self, event: Event) -> Result<Status, IllegalMove> {
        use Status::{
            Cancelled, Completed, Failed, Paused, Pending, Queued, Retrying, Running, Scheduled,
        };
        Ok(match (self, event) {
            (Pending, Event::Tick { .. } | Event::Hurry) => Queued,
            (Scheduled { due } | Retrying { due }, Event::Tick { now }) if due <= now => Queued,
            (Scheduled { .. } | Retrying { .. }, Event::Hurry) => Queued,
            (Queued, Event::Start { epoch }) => Running { epoch },
            (Running { epoch: held }, Event::Report { epoch, verdict }) if epoch == held => {
                match verdict {
                    Verdict::Done => Completed,
                    Verdict::RetryAt(due) => Retrying { due },
                    Verdict::GiveUp => Failed,
                    Verdict::Cancelled => Cancelled,
                    Verdict::Paused => Paused { due: TimeMs::ZERO },
                }
            }
            (Running { .. }, Event::Release) => Queued,
            (Queued, Event::Poison) => Failed,
            (Scheduled { due } | Retrying { due }, Event::Pause { .. }) => Paused { due },
            (Queued, Event::Pause { now }) => Paused { due: now },
            (Paused { due }, Event::Resume { now }) if due > now => Scheduled { due },
            (Paused { .. }, Event::Resume { .. }) => Queued,
            (Pending | Scheduled { .. } | Queued, Event::Cancel) => Cancelled,
            (Retrying { .. } | Paused { .. }, Event::Cancel) => Cancelled,
            (Failed | Cancelled, Event::Retry) => Queued,
            (Retrying { .. }, Event::Retry) => Queued,
            (Failed, Event::RetryLater { due }) => Retrying { due },
            (from, event) => return Err(IllegalMove { from, event }),
        })
    }

    /// The status without its particulars.
    pub fn kind(self) -> StatusKind {
        match self {
            Status::Pending => StatusKind::Pending,
            Status::Scheduled { .. } => StatusKind::Scheduled,
            Status::Queued => StatusKind::Queued,
            Status::Running { .. } => StatusKind::Running,
            Status::Retrying { .. } => StatusKind::Retrying,
            Status::Paused { .. } => StatusKind::Paused,
            Status::Completed => StatusKind::Completed,
            Status::Failed => StatusKind::Failed,
            Status::Cancelled => StatusKind::Cancelled,
        }
    }

    /// Whether an attempt is under way.
    pub fn is_running(self) -> bool {
        matches!(self, Status::Running { .. })
    }

    /// When the task may start next, where a time is set.
    pub fn due(self) -> Option<TimeMs> {
        match self {
            Status::Scheduled { due } | Status::Retrying { due } => Some(due),
            Status::Paused { due } if due > TimeMs::ZERO => Some(due),
            _ => None,
        }
    }
}

/// The nine statuses users see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StatusKind {
    /// See [`Status::Pending`].
    Pending,
    /// See [`Status::Scheduled`].
    Scheduled,
    /// See [`Status::Queued`].
    Queued,
    /// See [`Status::Running`].
    Running,
    /// See [`Status::Retrying`].
    Retrying,
    /// See [`Status::Paused`].
    Paused,
    /// See [`Status::Completed`].
    Completed,
    /// See [`Status::Failed`].
    Failed,
    /// See [`Status::Cancelled`].
    Cancelled,
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one of PENDING, SCHEDULED, QUEUED, RUNNING, RETRYING, PAUSED, COMPLETED, FAILED, \
     CANCELLED"
)]
pub struct ParseStatusError;

impl StatusKind {
    /// All nine, in the order of their codes.
    pub const ALL: [StatusKind; 9] = [
        StatusKind::Pending,
        StatusKind::Scheduled,
        StatusKind::Queued,
        StatusKind::Running,
        StatusKind::Retrying,
        StatusKind::Paused,
        StatusKind::Completed,
        StatusKind::Failed,
        StatusKind::Cancelled,
    ];

    /// The name users see.
    pub fn name(self) -> &'static str {
        match self {
            StatusKind::Pending => "PENDING",
            StatusKind::Scheduled => "SCHEDULED",
            StatusKind::Queued => "QUEUED",
            StatusKind::Running => "RUNNING",
            StatusKind::Retrying => "RETRYING",
            StatusKind::Paused => "PAUSED",
            StatusKind::Completed => "COMPLETED",
            StatusKind::Failed => "FAILED",
            StatusKind::Cancelled => "CANCELLED",
        }
    }

    /// Reads a name in any case.
    pub fn parse(text: &str) -> Result<StatusKind, ParseStatusError> {
        let named = |kind: &StatusKind| kind.name().eq_ignore_ascii_case(text);
        StatusKind::ALL.into_iter().find(named).ok_or(ParseStatusError)
    }

    /// The code in the stores.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The status with this code.
    pub fn from_code(code: u8) -> Option<StatusKind> {
        StatusKind::ALL.get(usize::from(code)).copied()
    }

    /// Whether a task with this status has ended. Only a person's retry leads out again.
    pub fn is_terminal(self) -> bool {
        matches!(self, StatusKind::Completed | StatusKind::Failed | StatusKind::Cancelled)
    }
}

impl fmt::Display for StatusKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
