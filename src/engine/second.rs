//! The second level in the machine: over the store, before the readers, and its own two threads:
//! what brings things there after a commit, and what hears from there.
//!
//! Promise: nothing of it can stop the engine. Its threads wait for Redis so that nobody else does;
//! a panic of one ends that step and no more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::nodes::Summons;
use super::threads::text_of;
use super::vitals::LevelReads;
use crate::persistence::{Bell, Views};
use crate::store::redis::{
    CourierStep, Level2, Level2Vitals, Leveled, LeveledReader, Listener, Notice, ReadCounts, Teller,
};
use crate::store::{Reader, Store, StoreError};

/// The second level, if there is one, and how often each level was read.
pub(super) struct Second {
    level2: Option<Arc<Level2>>,
    counts: Arc<ReadCounts>,
}

impl Second {
    /// How long one step hears, and how long it waits where it cannot.
    const HEAR: Duration = Duration::from_millis(250);

    pub fn new(level2: Option<Arc<Level2>>) -> Second {
        Second { level2, counts: Arc::default() }
    }

    /// Puts it over a store; a thread brings there what its commits leave, and what is told.
    pub fn over(&self, store: Box<dyn Store>) -> std::io::Result<(Box<dyn Store>, Option<Teller>)> {
        let Some(level2) = &self.level2 else { return Ok((store, None)) };
        let (leveled, mut courier) = Leveled::over(store, Arc::clone(level2));
        let teller = leveled.teller();
        spawn(
            "courier",
            move || {
                while step("courier", || courier.step()) != Some(CourierStep::Over) {}
            },
        )?;
        Ok((Box::new(leveled), Some(teller)))
    }

    /// Readers that ask level by level and count which one answered.
    pub fn readers(
        &self,
        store: &dyn Store,
        count: usize,
    ) -> Result<Vec<Box<dyn Reader>>, StoreError> {
        let reader = |_| {
            let (level2, counts) = (self.level2.clone(), Arc::clone(&self.counts));
            let leveled = LeveledReader::over(store.reader()?, level2, counts);
            Ok(Box::new(leveled) as Box<dyn Reader>)
        };
        (0..count.max(1)).map(reader).collect()
    }

    /// Hears what other nodes tell, until `stop` is closed.
    pub fn listen(
        &self,
        views: &Arc<Views>,
        bell: &Bell,
        summons: Option<Summons>,
        stop: &Receiver<()>,
    ) -> std::io::Result<()> {
        let Some(level2) = &self.level2 else { return Ok(()) };
        let (views, bell, stop) = (Arc::clone(views), bell.clone(), stop.clone());
        let mut listener = Listener::new(Arc::clone(level2));
        spawn("listener", move || {
            let goes_on = |wait| stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout);
            let mut wait = Duration::ZERO;
            while goes_on(wait) {
                let heard = step("listener", || listener.step(Self::HEAR));
                // Where Redis does not answer it is looked at again a little later.
                wait = if matches!(heard, Some(Ok(_))) { Duration::ZERO } else { Self::HEAR };
                match heard {
                    Some(Ok(Some(Notice::Free))) => {
                        views.claim_now();
                        bell.ring();
                    }
                    Some(Ok(Some(Notice::Wish(node)))) => {
                        if let Some(summons) = &summons {
                            summons.hear(node);
                        }
                    }
                    _ => {}
                }
            }
        })
    }

    /// How it is, from memory.
    pub fn vitals(&self) -> Option<Level2Vitals> {
        self.level2.as_ref().map(|level2| level2.vitals())
    }

    /// How many reads each level answered; the writer knows those of memory.
    pub fn reads(&self, memory: u64) -> LevelReads {
        let counts = &self.counts;
        let (redis, store, failed) = (counts.redis(), counts.store(), counts.failed());
        LevelReads { memory, redis, store, failed }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

/// One step; `None`: it panicked.
fn step<T>(name: &str, body: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(body));
    if let Err(panic) = &done {
        // Whatever it was may come again at once.
        let _ = crossbeam_channel::never::<()>().recv_timeout(Second::HEAR);
        log::error!("a step of the thread {name} panicked: {}", text_of(&**panic));
    }
    done.ok()
}
