//! How an attempt ended, and what that means for the task.

use super::{Payload, TimeMs};

/// What an execution reports about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work; the result is kept with the task.
    Done(Option<Payload>),
    /// It did not.
    Failed(Failure),
    /// It stopped because it was asked to.
    Cancelled,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for counting and for deciding.
    pub kind: FailureKind,
    /// What a person reads, at most [`Failure::MESSAGE_MAX`] bytes.
    pub message: String,
    /// Wait this long instead of what the retry policy says, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// The kinds of failure that users and metrics tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The work itself failed; it may be tried again.
    Error,
    /// The work failed in a way that no retry mends.
    Permanent,
    /// The deadline passed.
    Timeout,
    /// The handler panicked.
    Panic,
    /// The task brought its server down too often.
    Poison,
    /// The worker that had it let its lease run out.
    LeaseLost,
    /// What ran it was killed, by itself or by somebody else.
    Crash,
}

impl FailureKind {
    /// All kinds. The stores keep the place in this list, so new ones come at its end.
    pub const ALL: [FailureKind; 7] = [
        FailureKind::Error,
        FailureKind::Permanent,
        FailureKind::Timeout,
        FailureKind::Panic,
        FailureKind::Poison,
        FailureKind::LeaseLost,
        FailureKind::Crash,
    ];

    /// The kind with this word.
    pub fn parse(name: &str) -> Option<FailureKind> {
        FailureKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The word in metrics and stores.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Error => "error",
            FailureKind::Permanent => "permanent",
            FailureKind::Timeout => "timeout",
            FailureKind::Panic => "panic",
            FailureKind::Poison => "poison",
            FailureKind::LeaseLost => "lease_lost",
            FailureKind::Crash => "crash",
        }
    }
}

impl Failure {
    /// The longest message kept, in bytes; longer ones are cut at a character.
    pub const MESSAGE_MAX: usize = 4096;

    /// A failure of this kind. The message is cut to its limit and freed of NUL characters, which
    /// not every store can keep.
    pub fn new(kind: FailureKind, message: &str) -> Failure {
        let end = (0..=message.len().min(Failure::MESSAGE_MAX))
            .rev()
            .find(|&end| message.is_char_boundary(end))
            .unwrap_or(0);
        let message = message[..end].replace('\0', "\u{fffd}");
        Failure { kind, message, retry_after_ms: None }
    }
}

/// What an outcome means for the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is completed.
    Done,
    /// It is tried again at this time.
    RetryAt(TimeMs),
    /// It has failed for good.
    GiveUp,
    /// It was cancelled.
    Cancelled,
    /// It is held by a person until resumed.
    Paused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_the_list_at_its_place() {
        let place = |kind| match kind {
            FailureKind::Error => 0,
            FailureKind::Permanent => 1,
            FailureKind::Timeout => 2,
            FailureKind::Panic => 3,
            FailureKind::Poison => 4,
            FailureKind::LeaseLost => 5,
            FailureKind::Crash => 6,
        };
        assert!(FailureKind::ALL.into_iter().map(place).eq(0..=6));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character_and_keeps_no_nul() {
        let failure = Failure::new(FailureKind::Error, &format!("a\0{}", "ä".repeat(4000)));
        assert!(failure.message.len() <= Failure::MESSAGE_MAX + 2);
        assert!(failure.message.starts_with("a\u{fffd}ä"));
    }
}
