//! The threads that run tasks: cores, and slots for what blocks. Started, watched and stopped
//! together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::clock::Clock;
use crate::execution::{Cores, Mail, Pins, Registry, Slots};
use crate::persistence::{Posts, Work};
use crate::queue::{Entrance, Pool, Seat};

/// All threads that run tasks.
#[derive(Clone)]
pub struct Runners {
    cores: Arc<Mutex<Cores>>,
    slots: Arc<Mutex<Slots>>,
    clock: Arc<dyn Clock>,
}

/// Where they take their tickets.
pub struct Queues<'q> {
    /// All seats of `lanes`.
    pub seats: Vec<Seat<Work>>,
    /// For the cores.
    pub lanes: &'q Arc<Entrance<Work>>,
    /// For the slots.
    pub pool: &'q Arc<Pool<Work>>,
}

impl Runners {
    /// How often they are looked at.
    const WATCH: Duration = Duration::from_millis(20);

    /// Starts them.
    pub fn start(
        pins: &Pins,
        queues: Queues<'_>,
        registry: Registry,
        clock: &Arc<dyn Clock>,
        posts: &Posts,
    ) -> std::io::Result<Runners> {
        let Queues { seats, lanes, pool } = queues;
        let registry = Arc::new(registry);
        let mail = Mail::new(posts.reports.clone(), posts.bell.clone());
        let (pool, handlers) = (pool.clone(), registry.clone());
        let slots = Slots::start(pool, handlers, clock.clone(), mail.another(), &pins.rest)?;
        let cores = Cores::start(pins, seats, lanes.clone(), registry, clock.clone(), mail)?;
        let (cores, slots) = (Arc::new(Mutex::new(cores)), Arc::new(Mutex::new(slots)));
        Ok(Runners { cores, slots, clock: Arc::clone(clock) })
    }

    /// Looks after them until `stop` is closed; an error when there are none left to go on with.
    pub fn watch(&self, stop: &Receiver<()>) -> Result<(), String> {
        while stop.recv_timeout(Self::WATCH) == Err(RecvTimeoutError::Timeout) {
            // A drain holds them while it stops them; there is nothing to watch then.
            if let Ok(mut cores) = self.cores.try_lock() {
                let tick = cores.tick();
                if tick.must_exit {
                    return Err(format!("go on: {} cores are stuck in handlers", tick.stuck));
                }
            }
            if let Ok(mut slots) = self.slots.try_lock() {
                let tick = slots.tick();
                if tick.must_exit {
                    return Err(format!("go on: {} slots are stuck in handlers", tick.stuck));
                }
            }
        }
        Ok(())
    }

    /// Lets what runs finish within `budget`, then asks it to stop and waits as long as `grace`,
    /// once for the cores and once for the slots. How many threads are left.
    pub fn stop(&self, budget: Duration, grace: Duration) -> usize {
        let from = self.clock.mono();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.close();
        let mut cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = cores.stop(budget, grace);
        drop(cores);
        let left = budget.saturating_sub(self.clock.mono().since(from));
        stuck.left() + slots.stop(left, grace).left()
    }
}
