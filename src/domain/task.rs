//! A task: what was asked for, which never changes, and how it stands, which does.

use std::sync::Arc;

use super::{Band, Epoch, FailureKind, Payload, RetryPolicy, Status, TaskId, TimeMs};

/// One task as the engine knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// What was asked for; shared with everyone who executes or shows it.
    pub spec: Arc<Spec>,
    /// How it stands.
    pub state: State,
}

/// What was asked for. Made once by a checked [`super::Submission`] and never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What people call it.
    pub name: Box<str>,
    /// Which executor runs it; one shared text per distinct type.
    pub task_type: Arc<str>,
    /// Its priority.
    pub band: Band,
    /// What the executor is given.
    pub payload: Option<Payload>,
    /// What people note about it.
    pub description: Option<Box<str>>,
    /// The time it was asked to wait for.
    pub scheduled_for: Option<TimeMs>,
    /// How long one attempt may take, in seconds.
    pub timeout_s: u32,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// The tags as one JSON object of strings, kept as it was sent.
    pub tags: Option<Box<str>>,
    /// At most one unfinished task has this key.
    pub unique_key: Option<Box<str>>,
    /// When it was accepted.
    pub created_at: TimeMs,
}

impl Spec {
    /// About how much memory the spec takes, in bytes; what the window's byte limit counts.
    pub fn weight(&self) -> usize {
        let texts = [&self.description, &self.tags, &self.unique_key];
        let texts: usize = texts.iter().map(|t| t.as_ref().map_or(0, |t| t.len())).sum();
        let payload = self.payload.as_ref().map_or(0, Payload::len);
        size_of::<Spec>() + self.name.len() + payload + texts
    }
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Where it is in its life.
    pub status: Status,
    /// How often it was claimed.
    pub epoch: Epoch,
    /// Retries used.
    pub retries: u32,
    /// Rises with every change users can see.
    pub version: u32,
    /// When users could last see a change.
    pub updated_at: TimeMs,
    /// When it could last have started: what FIFO and the waiting time are counted from.
    pub ready_at: TimeMs,
    /// The last attempt.
    pub run: Option<Run>,
    /// Why the last failed attempt failed.
    pub last_error: Option<(FailureKind, Box<str>)>,
    /// What the last attempt left.
    pub result: Option<Payload>,
    /// When it ended.
    pub completed_at: Option<TimeMs>,
    /// A worker outside the server has it until then. Lasts over a restart.
    pub leased_until: Option<TimeMs>,
    /// The worker that has it, or had it last.
    pub worker: Option<Arc<str>>,
    /// How far the attempt under way says it is, in percent.
    pub progress: Option<u8>,
    /// Somebody asked for its end while it ran.
    pub cancel_requested: bool,
    /// Whether it is suspected of bringing its server down.
    pub suspicion: Suspicion,
}

/// An attempt's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it started.
    pub started_at: TimeMs,
    /// How long it took, in microseconds; nought while it runs.
    pub took_us: u64,
    /// How long the task was ready before, in microseconds.
    pub waited_us: u64,
}

/// What is known of a task's part in crashes of the node that held it.
///
/// Waiting through a crash proves nothing, so a task held at a crash is only a suspect. From then
/// on its start is made durable first; one that met a crash after such a start runs alone among
/// suspects, and only crashes while it runs alone count against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "`started`: its durable start is on record; `crashes`: alone")]
pub enum Suspicion {
    /// Nothing.
    #[default]
    None,
    /// Held by a node when that crashed.
    Suspect { started: bool },
    /// Was running, for sure, when a node crashed; now runs alone among suspects.
    Loner { started: bool, crashes: u8 },
}

impl Suspicion {
    /// What a crash of the holder makes of it.
    pub fn after_crash(self) -> Suspicion {
        match self {
            Suspicion::None | Suspicion::Suspect { started: false } => {
                Suspicion::Suspect { started: false }
            }
            Suspicion::Suspect { started: true } => Suspicion::Loner { started: false, crashes: 0 },
            Suspicion::Loner { started, crashes } => {
                let crashes = crashes.saturating_add(u8::from(started));
                Suspicion::Loner { started: false, crashes }
            }
        }
    }

    /// What the loss of its lease makes of it. Its worker ran it for sure, so each loss counts.
    pub fn after_lost_lease(self) -> Suspicion {
        let crashes = self.crashes().saturating_add(1);
        Suspicion::Loner { started: false, crashes }
    }

    /// How many crashes and lost leases count against it.
    pub fn crashes(self) -> u8 {
        match self {
            Suspicion::Loner { crashes, .. } => crashes,
            Suspicion::None | Suspicion::Suspect { .. } => 0,
        }
    }

    /// The same, before its next start is on record.
    pub fn waiting(self) -> Suspicion {
        match self {
            Suspicion::None => Suspicion::None,
            Suspicion::Suspect { .. } => Suspicion::Suspect { started: false },
            Suspicion::Loner { crashes, .. } => Suspicion::Loner { started: false, crashes },
        }
    }

    /// The same, once its durable start is on record.
    pub fn started(self) -> Suspicion {
        match self {
            Suspicion::None => Suspicion::None,
            Suspicion::Suspect { .. } => Suspicion::Suspect { started: true },
            Suspicion::Loner { crashes, .. } => Suspicion::Loner { started: true, crashes },
        }
    }

    /// The code in the stores: nought, 1 and 2 for suspects, from 16 on for loners.
    pub fn code(self) -> u16 {
        match self {
            Suspicion::None => 0,
            Suspicion::Suspect { started } => 1 + u16::from(started),
            Suspicion::Loner { started, crashes } => {
                16 + 2 * u16::from(crashes) + u16::from(started)
            }
        }
    }

    /// The suspicion with this code; an unknown code is the mildest suspicion.
    pub fn from_code(code: u16) -> Suspicion {
        match code {
            0 => Suspicion::None,
            2 => Suspicion::Suspect { started: true },
            16..=527 => {
                let crashes = ((code - 16) / 2) as u8;
                Suspicion::Loner { started: code % 2 == 1, crashes }
            }
            _ => Suspicion::Suspect { started: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_crashes_during_one_task_do_not_count_and_three_alone_do() {
        let mut suspicion = Suspicion::None;
        for expected in [0, 0, 1, 2, 3] {
            suspicion = suspicion.started().after_crash();
            let crashes = match suspicion {
                Suspicion::Loner { crashes, .. } => crashes,
                _ => 0,
            };
            assert_eq!(crashes, expected);
        }
    }

    #[test]
    fn a_crash_while_waiting_never_counts() {
        let loner = Suspicion::Loner { started: false, crashes: 1 };
        assert_eq!(loner.after_crash(), loner);
        let suspect = Suspicion::None.after_crash();
        assert_eq!(suspect.after_crash(), suspect);
    }

    #[test]
    fn every_suspicion_survives_its_code() {
        for code in (0..=2).chain(16..=527) {
            assert_eq!(Suspicion::from_code(code).code(), code);
        }
    }
}
