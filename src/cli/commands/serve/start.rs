//! The one place where the engine and the API are put together from a configuration.

use std::fmt;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::cli::config::Config;
use crate::clock::Clock;

/// A server that serves.
///
/// It has no value yet: the engine and the API are not put together.
pub enum Running {}

impl Running {
    /// Where clients reach it.
    pub fn url(&self) -> String {
        match *self {}
    }

    /// The store, in one phrase, without secrets.
    pub fn store(&self) -> String {
        match *self {}
    }

    /// What a 201 promises with this store, in one sentence.
    pub fn promise(&self) -> String {
        match *self {}
    }

    /// Gives the reason once if a thread that must not end has ended.
    pub fn died(&self) -> Option<Receiver<String>> {
        match *self {}
    }

    /// Takes no new work, lets running work end within `engine.drain-timeout`, gives back the
    /// rest and ends all threads.
    pub fn drain(self) -> Result<(), ServeError> {
        match self {}
    }
}

/// Why a server did not start or did not stop as it should.
#[derive(Debug)]
pub struct ServeError(pub String);

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Starts the server.
pub fn start(
    config: &Config,
    _r: crate::execution::Registry,
    _clock: Arc<dyn Clock>,
) -> Result<Running, ServeError> {
    let listen = &config.api.listen;
    Err(ServeError(format!("cannot serve {listen}: the engine and the API are not connected yet")))
}
