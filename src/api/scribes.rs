//! Threads for long answers, so that a client that reads slowly holds up only itself.
//!
//! They come on demand, up to a limit, and stay until the replier ends; beyond the limit long
//! answers wait for one another. Each ends in bounded time because the gate cuts slow readers off.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};

/// Most threads.
const SCRIBES_MAX: usize = 16;

type Writing = Box<dyn FnOnce() + Send>;

/// The threads.
pub(crate) struct Scribes {
    queue: Sender<Writing>,
    waiting: Receiver<Writing>,
    threads: usize,
    /// Answers queued or being written.
    unwritten: Arc<AtomicUsize>,
}

impl Scribes {
    /// No threads yet, for at most so many answers at a time.
    pub(crate) fn new(answers_max: usize) -> Scribes {
        let (queue, waiting) = crossbeam_channel::bounded(answers_max);
        Scribes { queue, waiting, threads: 0, unwritten: Arc::default() }
    }

    /// Hands over a long answer.
    pub(crate) fn post(&mut self, writing: Writing) {
        // Relaxed: only this thread adds; seeing a finished answer late makes one thread more.
        let unwritten = self.unwritten.fetch_add(1, Ordering::Relaxed) + 1;
        if unwritten > self.threads && self.threads < SCRIBES_MAX && self.hire().is_ok() {
            self.threads += 1;
        }
        if self.threads == 0 {
            // No thread is to be had: rather slow than never.
            writing();
            self.unwritten.fetch_sub(1, Ordering::Relaxed);
        } else {
            let _ = self.queue.send(writing);
        }
    }

    fn hire(&self) -> std::io::Result<()> {
        let (waiting, unwritten) = (self.waiting.clone(), self.unwritten.clone());
        let name = format!("scribe-{}", self.threads);
        std::thread::Builder::new().name(name).spawn(move || {
            while let Ok(writing) = waiting.recv() {
                if catch_unwind(AssertUnwindSafe(writing)).is_err() {
                    log::error!("writing a long answer panicked");
                }
                unwritten.fetch_sub(1, Ordering::Relaxed);
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slow_reader_holds_up_only_itself() {
        let mut scribes = Scribes::new(8);
        let (release, held) = crossbeam_channel::bounded::<()>(0);
        let (done, written) = crossbeam_channel::bounded(4);
        for slow in [true, false] {
            let (held, done) = (held.clone(), done.clone());
            scribes.post(Box::new(move || {
                if slow {
                    let _ = held.recv();
                }
                let _ = done.send(slow);
            }));
        }
        let deadline = Duration::from_secs(10);
        assert_eq!(written.recv_timeout(deadline), Ok(false));
        drop(release);
        assert_eq!(written.recv_timeout(deadline), Ok(true));
    }
}
