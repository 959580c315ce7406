//! How a program ended, and what that means for its task.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::sink::{Output, Tail};
use crate::domain::{Failure, FailureKind, Outcome, Payload};

/// How a program ended.
pub struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: Output,
    pub(super) errors: Tail,
    /// It was asked to end: its time was up, or somebody wanted it.
    pub(super) stopped: bool,
    /// It wrote more than it may.
    pub(super) flooded: bool,
}

impl Ended {
    /// What it means: what it wrote is the result; these exit codes say that no retry will help.
    /// One that was made to end is [`Outcome::Cancelled`].
    pub fn outcome(&self, permanent_codes: &[i32]) -> Outcome {
        let failed = |kind, message: &str| Outcome::Failed(Failure::new(kind, message));
        if self.flooded {
            let most = self.output.bytes_max();
            let message = format!("wrote more than {most} bytes to its standard output");
            return failed(FailureKind::Permanent, &message);
        }
        if self.stopped {
            return Outcome::Cancelled;
        }
        let said = self.errors.text();
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => Outcome::Done(result_of(self.output.bytes())),
            (Some(code), _) => {
                let permanent = permanent_codes.contains(&code);
                let kind = if permanent { FailureKind::Permanent } else { FailureKind::Error };
                failed(kind, &with_tail(&format!("exit code {code}"), &said))
            }
            (None, signal) => {
                failed(FailureKind::Crash, &with_tail(&killed(self.status, signal), &said))
            }
        }
    }
}

fn killed(status: ExitStatus, signal: Option<i32>) -> String {
    let core = if status.core_dumped() { ", core dumped" } else { "" };
    match signal {
        Some(signal) => format!("killed by signal {signal}{core}"),
        None => format!("ended with {status}"),
    }
}

/// What happened, and what the program said about it.
fn with_tail(what: &str, said: &str) -> String {
    let said = said.trim_end();
    if said.is_empty() { what.into() } else { format!("{what}: {said}") }
}

/// What a program wrote, as a result: text, without the line's end; nothing for nothing.
fn result_of(bytes: &[u8]) -> Option<Payload> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    // Not every store can keep a NUL.
    (!text.is_empty()).then(|| Payload::text(&text.replace('\0', "\u{fffd}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_make_a_result_that_every_store_can_keep() {
        assert_eq!(result_of(b"\xff\x00ok\n\n"), Some(Payload::text("\u{fffd}\u{fffd}ok\n")));
        assert_eq!((result_of(b""), result_of(b"\n")), (None, None));
    }
}
