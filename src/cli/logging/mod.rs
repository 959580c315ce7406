//! The log: lines on standard error, written by a thread of their own.
//!
//! Promise: whoever logs never waits for standard error; when it stands still, lines are dropped,
//! counted, and the count is written as soon as it moves again.
//! Absent on purpose: files and rotation, which the journal or the container does better.

mod line;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{LevelFilter, Log, Metadata, Record};

use super::config::{LogFormat, LogLevel};
use super::exit::{Exit, Failure};
use crate::api::Levels;
use crate::clock::Clock;

/// The most lines that wait; with the bound on a line's length, 4 MiB.
const WAITING_MAX: usize = 1024;
/// How long the end of the process waits for the last lines.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

enum Message {
    Line(String),
    Flush(Sender<()>),
}

struct Logger {
    send: Sender<Message>,
    dropped: Arc<AtomicU64>,
    dropped_ever: Arc<AtomicU64>,
    levels: Arc<Levels>,
    format: LogFormat,
    clock: Arc<dyn Clock>,
}

/// What others may know of the log, and change about it.
#[derive(Clone)]
pub struct Said {
    /// How much is logged.
    pub levels: Arc<Levels>,
    /// Lines that were dropped.
    pub dropped: Arc<AtomicU64>,
}

/// Holds the log open; dropping it writes what still waits.
pub struct Logging {
    send: Sender<Message>,
    said: Said,
}

impl Logging {
    /// What others may know of it.
    pub fn said(&self) -> Said {
        self.said.clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (done, wait) = bounded(1);
        // Both waits are bounded: a standard error that stands still must not hold the end up.
        if self.send.send_timeout(Message::Flush(done), FLUSH_WAIT).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WAIT);
        }
    }
}

/// Starts the log of this process; it can be started once.
pub fn start(
    level: LogLevel,
    format: LogFormat,
    clock: Arc<dyn Clock>,
) -> Result<Logging, Failure> {
    let (send, receive) = bounded(WAITING_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let levels = Arc::new(Levels::new(filter(level)));
    let said = Said { levels: Arc::clone(&levels), dropped: Arc::default() };
    let (send_lines, dropped_now) = (send.clone(), Arc::clone(&dropped));
    let dropped_ever = Arc::clone(&said.dropped);
    let logger =
        Logger { send: send_lines, dropped: dropped_now, dropped_ever, levels, format, clock };
    let write = move || write_all(&receive, &dropped, &mut io::stderr());
    thread::Builder::new().name("log".into()).spawn(write)?;
    log::set_boxed_logger(Box::new(logger))
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    Ok(Logging { send, said })
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Trace => LevelFilter::Trace,
    }
}

impl Log for Logger {
    fn enabled(&self, asked: &Metadata<'_>) -> bool {
        self.levels.allows(asked.target(), asked.level())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = self.clock.now();
        let line = match self.format {
            LogFormat::Text => line::text(record, now),
            LogFormat::Json => line::json(record, now),
        };
        if self.send.try_send(Message::Line(line)).is_err() {
            // Relaxed: a count that is only ever reported; no other memory hangs on it.
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.dropped_ever.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

fn write_all(receive: &Receiver<Message>, dropped: &AtomicU64, out: &mut impl Write) {
    for message in receive {
        match message {
            Message::Line(line) => {
                // A closed standard error leaves nobody to tell.
                let _ = writeln!(out, "{line}");
            }
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "{lost} log lines were dropped: standard error was too slow");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::TimeMs;

    fn logger(lines_max: usize) -> (Logger, Receiver<Message>) {
        let (send, receive) = bounded(lines_max);
        let (dropped, dropped_ever) = Default::default();
        let (levels, clock) = (Levels::new(LevelFilter::Info), ManualClock::at(TimeMs(0)));
        let (levels, format) = (Arc::new(levels), LogFormat::Text);
        (Logger { send, dropped, dropped_ever, levels, format, clock }, receive)
    }

    #[test]
    fn a_standard_error_that_stands_still_costs_lines_and_no_time() {
        let (logger, receive) = logger(2);
        for _ in 0..5 {
            logger.log(&Record::builder().args(format_args!("hello")).build());
        }
        let dropped = logger.dropped.clone();
        drop(logger);
        let mut out = Vec::new();
        write_all(&receive, &dropped, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("hello").count(), 2, "{text}");
        assert!(text.contains("3 log lines were dropped"), "{text}");
    }

    #[test]
    fn a_flush_is_answered_after_the_lines_before_it() {
        let (logger, receive) = logger(4);
        logger.log(&Record::builder().args(format_args!("last words")).build());
        let (done, wait) = bounded(1);
        logger.send.send(Message::Flush(done)).unwrap();
        drop(logger);
        let mut out = Vec::new();
        write_all(&receive, &AtomicU64::new(0), &mut out);
        assert!(wait.try_recv().is_ok());
        assert!(String::from_utf8(out).unwrap().contains("last words"));
    }
}
