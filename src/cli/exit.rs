//! How the program ends.

use std::fmt;
use std::process::ExitCode;

/// The exit codes; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It is done.
    Done = 0,
    /// It went wrong.
    Failed = 1,
    /// The command line or the request makes no sense.
    Usage = 2,
    /// There is no such task.
    NotFound = 3,
    /// The state of things does not allow it, or a check found something.
    Conflict = 4,
    /// The server cannot be reached or cannot take requests now.
    Unreachable = 5,
    /// The server wants to know who asks, or that one may not.
    NotAuthorised = 6,
    /// The task that was waited for did not complete.
    TaskFailed = 7,
    /// The task that was waited for has not ended in time.
    WaitTimedOut = 124,
    /// A person interrupted a stop that was under way.
    Interrupted = 130,
}

/// The exit codes as the help shows them.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 conflict or failed check, 5 server \
unreachable or unavailable, 6 not authorised, 7 the awaited task did not complete, 124 the wait \
timed out, 130 interrupted";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// A reason to be told, and the code to end with.
    Said {
        /// The code to end with.
        exit: Exit,
        /// What is told on standard error.
        message: String,
    },
    /// Nobody reads the output any more, as after `| head`; that is no failure.
    ReaderGone,
}

impl Failure {
    /// A reason to be told.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure::Said { exit, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Said { message, .. } => f.write_str(message),
            Failure::ReaderGone => f.write_str("nobody reads the output"),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::new(Exit::Failed, error.to_string()),
        }
    }
}

impl From<super::config::ConfigError> for Failure {
    fn from(error: super::config::ConfigError) -> Failure {
        let message = format!("the configuration cannot be used\n{error}");
        Failure::new(Exit::Conflict, message)
    }
}
