//! Relief for a persist thread that hangs: it is left behind, and another takes its place.
//!
//! A blocking call to a database that has stopped answering may never return, whatever its
//! timeouts. When a batch has been with the persist thread for too long, a new thread opens the
//! store anew, which ends the old session and fences it, and takes the writer's line over with the
//! same batch. The old one ends when its call returns.
//!
//! Absent on purpose: any wait for the store outside the new thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, never};

use super::threads::{self, Fatal};
use crate::clock::{Clock, Mono};
use crate::persistence::{Chore, Persist, PersistStep, Posts, Views, line};
use crate::store::{Cure, Reopen, Store};

/// Looks after the persist thread.
pub(super) struct Relief {
    pub clock: Arc<dyn Clock>,
    pub views: Arc<Views>,
    pub posts: Posts,
    pub chores: Receiver<Chore>,
    pub reopener: Arc<dyn Reopen>,
    pub fatal: Fatal,
    /// How long a batch may be with one thread.
    pub limit: Duration,
    state: State,
}

#[derive(Default)]
struct State {
    /// The number of the newest line.
    newest: u64,
    /// When the newest thread was started.
    started_at: Mono,
    /// Threads that were started here and have not ended.
    threads: Arc<AtomicUsize>,
}

impl Relief {
    /// More threads are not left behind; the next is started when one of them comes back.
    const THREADS_MAX: usize = 4;
    /// How often it is looked at.
    const LOOK: Duration = Duration::from_millis(100);
    /// How long a thread waits before it tries to open the store again.
    const PAUSE: Duration = Duration::from_millis(500);

    pub fn new(
        (clock, views, posts): (Arc<dyn Clock>, Arc<Views>, Posts),
        chores: Receiver<Chore>,
        reopener: Arc<dyn Reopen>,
        fatal: Fatal,
        limit: Duration,
    ) -> Relief {
        Relief { clock, views, posts, chores, reopener, fatal, limit, state: State::default() }
    }

    /// Looks after the persist thread until `stop` is closed.
    pub fn start(mut self, stop: &Receiver<()>, fatal: &Fatal) -> std::io::Result<()> {
        let stop = stop.clone();
        threads::spawn("relief", fatal, move || {
            while stop.recv_timeout(Self::LOOK) == Err(RecvTimeoutError::Timeout) {
                self.tick().map_err(|error| format!("start another persist thread: {error}"))?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Starts another persist thread if the present one has been silent for too long.
    pub fn tick(&mut self) -> std::io::Result<()> {
        let now = self.clock.mono();
        let hangs = |at: Mono| now.since(at.max(self.state.started_at)) > self.limit;
        let hangs = self.views.sent_at().is_some_and(hangs);
        // Relaxed: a count that nothing else hangs on.
        if !hangs || self.state.threads.load(Ordering::Relaxed) >= Self::THREADS_MAX {
            return Ok(());
        }
        self.state.newest += 1;
        self.state.started_at = now;
        let number = self.state.newest;
        self.views.announce_line(number);
        log::error!(
            "the store has been silent for {:?} in a commit; persist thread {number} takes over",
            self.limit
        );
        self.state.threads.fetch_add(1, Ordering::Relaxed);
        let threads = Arc::clone(&self.state.threads);
        let next = Next {
            number,
            views: Arc::clone(&self.views),
            posts: self.posts.clone(),
            chores: self.chores.clone(),
            reopener: Arc::clone(&self.reopener),
        };
        threads::spawn(&format!("persist-{number}"), &self.fatal, move || {
            let ended = next.run();
            threads.fetch_sub(1, Ordering::Relaxed);
            ended
        })?;
        Ok(())
    }
}

/// A persist thread on its way.
struct Next {
    number: u64,
    views: Arc<Views>,
    posts: Posts,
    chores: Receiver<Chore>,
    reopener: Arc<dyn Reopen>,
}

impl Next {
    fn run(self) -> Result<(), String> {
        let Some(store) = self.open()? else { return Ok(()) };
        let (line, line_end) = line(self.number);
        let Next { posts, chores, .. } = self;
        let mut persist =
            Persist::new(store, line_end, chores, posts.settled.clone(), posts.bell.clone());
        if posts.lines.send(line).is_err() {
            return Ok(());
        }
        posts.bell.ring();
        drop(posts);
        while persist.wait() != PersistStep::Over {}
        Ok(())
    }

    /// The store, opened anew; `None` if a later thread is at it already.
    fn open(&self) -> Result<Option<Box<dyn Store>>, String> {
        loop {
            let opened = self.reopener.reopen(self.number);
            if self.views.newest_line() > self.number {
                return Ok(None);
            }
            match opened {
                Ok(store) => return Ok(Some(store)),
                Err(error) if error.cure() == Cure::StopServer => return Err(error.to_string()),
                Err(error) => {
                    log::warn!("failed to {error}; persist thread {} tries again", self.number);
                    let _ = never::<()>().recv_timeout(Relief::PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::clock::{ManualClock, SystemClock};
    use crate::domain::TimeMs;
    use crate::persistence::{MailboxSizes, mailbox};
    use crate::store::NodeId;
    use crate::store::memory::MemoryDisk;

    const LIMIT: Duration = Duration::from_secs(5);

    fn relief(disk: &MemoryDisk, clock: Arc<ManualClock>) -> (Relief, Receiver<String>) {
        let (posts, _inbox) = mailbox(MailboxSizes { requests: 8, reports: 8 });
        let (_, chores) = bounded(1);
        let (tell, told) = bounded(8);
        let fatal: Fatal = Arc::new(move |why: &str| drop(tell.try_send(why.to_owned())));
        let reopener = disk.join(NodeId(1), "n").reopener().expect("it can be opened again");
        let views = Arc::new(Views::default());
        let ends = (clock as Arc<dyn Clock>, views, posts);
        (Relief::new(ends, chores, reopener, fatal, LIMIT), told)
    }

    #[test]
    fn a_batch_that_is_answered_in_time_needs_no_relief() {
        let clock = ManualClock::at(TimeMs(0));
        let (mut relief, _) = relief(&MemoryDisk::new(), clock.clone());
        relief.tick().unwrap();
        relief.views.set_sent_at(Some(clock.mono()));
        clock.advance(LIMIT);
        relief.tick().unwrap();
        assert_eq!(relief.state.newest, 0);
        clock.advance(Duration::from_millis(1));
        relief.tick().unwrap();
        assert_eq!((relief.state.newest, relief.views.newest_line()), (1, 1));
        // The new one has all its time again.
        clock.advance(LIMIT);
        relief.tick().unwrap();
        assert_eq!(relief.state.newest, 1);
    }

    #[test]
    fn a_store_that_stays_away_does_not_pile_up_threads() {
        let clock = ManualClock::at(TimeMs(0));
        let disk = MemoryDisk::new();
        let (mut relief, told) = relief(&disk, clock.clone());
        disk.set_down(true);
        relief.views.set_sent_at(Some(clock.mono()));
        let real = SystemClock::new();
        for _ in 0..20 {
            clock.advance(LIMIT * 2);
            relief.tick().unwrap();
            assert!(relief.state.threads.load(Ordering::Relaxed) <= Relief::THREADS_MAX);
        }
        disk.set_down(false);
        while relief.state.threads.load(Ordering::Relaxed) > 0 {
            assert!(real.mono().0 < 20_000_000, "they do not end");
            std::thread::yield_now();
        }
        assert!(told.is_empty(), "{told:?}");
    }
}
