//! Names of tasks and of claims.

use std::fmt;
use std::num::NonZeroU64;

/// A task's number: increasing, never reused, and below 2^53 so that every JSON reader keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

/// A text that is no task id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task id is a whole number from 1 to 9223372036854775807")]
pub struct ParseIdError;

impl TaskId {
    /// The last number an id may have: what a JSON number carries without loss.
    pub const MAX: u64 = (1 << 53) - 1;

    /// The id with this number; `None` for nought.
    pub fn new(number: u64) -> Option<TaskId> {
        NonZeroU64::new(number).map(TaskId)
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Reads the decimal digits of a URL. Leading zeros, signs and blanks are no id.
    pub fn parse(text: &str) -> Result<TaskId, ParseIdError> {
        let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<i64>().ok().filter(|_| plain).ok_or(ParseIdError)?;
        TaskId::new(number as u64).ok_or(ParseIdError)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a task has been claimed. An older claim can never speak for a newer one: everything
/// that changes a held task names its epoch, in memory and in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next claim.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_from_plain_digits_only() {
        assert_eq!(TaskId::parse("42").map(TaskId::get), Ok(42));
        for bad in ["", "0", "-1", "+1", "007", "1.0", " 1", "9223372036854775808", "abc", "1e3"] {
            assert_eq!(TaskId::parse(bad), Err(ParseIdError), "{bad:?}");
        }
    }
}
