//! The signals that end a server or a worker.
//!
//! The first SIGTERM or SIGINT asks for a graceful end. A SIGINT after that is a person who does
//! not want to wait.

use std::thread;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::exit::{Exit, Failure};

/// The watch over signals.
pub struct Signals {
    /// Gives the name of the first signal that asks for an end.
    pub asked: Receiver<&'static str>,
}

impl Signals {
    /// Begins to watch, on a thread of its own that lasts as long as the process. `hurry` is called
    /// whenever a person does not want to wait.
    pub fn watch(hurry: impl Fn() + Send + 'static) -> Result<Signals, Failure> {
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
        let (ask, asked) = bounded(1);
        let watch = move || {
            let mut draining = false;
            for signal in signals.forever() {
                if draining && signal == SIGINT {
                    hurry();
                }
                draining = true;
                // Full means that somebody has asked before.
                let _ = ask.try_send(if signal == SIGINT { "SIGINT" } else { "SIGTERM" });
            }
        };
        thread::Builder::new().name("signals".into()).spawn(watch)?;
        Ok(Signals { asked })
    }
}

/// Ends the process at once, which loses nothing that a server has acknowledged.
pub fn end_now() {
    signal_hook::low_level::exit(i32::from(Exit::Interrupted as u8));
}
