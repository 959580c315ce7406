//! The keeper of a node's place among the others.
//!
//! It renews the lease of this node while writer and persist thread get on, lets the cores start
//! tasks for as long as that is surely good, and has nodes ended whose lease is over. With each
//! renewal the store tells its time, by which this node goes.
//!
//! After an outage of the store all leases are over at once, and whoever came back first would take
//! everybody else for dead. So a node ends others only after it has renewed its own lease without a
//! gap for as long as a lease lasts: whoever lives has renewed by then.
//!
//! Absent on purpose: threads, waiting, and the ending itself, which can take long.
//! [`Keeper::step`] does what is due.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::reaper::Gone;
use crate::clock::{Clock, Mono, StoreClock};
use crate::persistence::Views;
use crate::store::{Nodes, Peer, Standing, StoreError};

/// Tells all that start tasks until when they may.
pub(in crate::engine) type StartUntil = Box<dyn Fn(Mono) + Send>;

/// Keeps one node's place.
pub(in crate::engine) struct Keeper {
    nodes: Box<dyn Nodes>,
    clock: Arc<StoreClock>,
    views: Arc<Views>,
    /// Says until when tasks may be started here.
    start_until: StartUntil,
    /// Where is told who is to be ended.
    gone: Sender<Gone>,
    lease: Duration,
    /// When the renewal was sent that the store took last.
    renewed_at: Option<Mono>,
    /// Since when there was no gap between renewals.
    steady_since: Option<Mono>,
    tried_at: Option<Mono>,
    looked_at: Option<Mono>,
    tidied_at: Option<Mono>,
    /// The writer's beats at the last renewal.
    beats: Option<u64>,
    is_cut_off: bool,
}

impl Keeper {
    /// How long after a failed call the next is tried.
    const PAUSE: Duration = Duration::from_millis(500);
    const TIDY: Duration = Duration::from_mins(1);

    pub fn new(
        nodes: Box<dyn Nodes>,
        clock: Arc<StoreClock>,
        views: Arc<Views>,
        start_until: StartUntil,
        gone: Sender<Gone>,
    ) -> Keeper {
        let lease = nodes.lease();
        // Nothing starts before the first renewal.
        start_until(Mono(0));
        Keeper {
            nodes,
            clock,
            views,
            start_until,
            gone,
            lease,
            renewed_at: None,
            steady_since: None,
            tried_at: None,
            looked_at: None,
            tidied_at: None,
            beats: None,
            is_cut_off: false,
        }
    }

    /// Does what is due. An error is the end of this node: others have its tasks.
    pub fn step(&mut self) -> Result<(), StoreError> {
        let now = self.clock.mono();
        let called = self.renew(now).and_then(|()| self.look_around(now));
        match called {
            Ok(()) => {
                if std::mem::take(&mut self.is_cut_off) {
                    log::info!("the store can be reached by the node's keeper again");
                }
                Ok(())
            }
            Err(error @ StoreError::Fenced(_)) => Err(error),
            Err(error) => {
                if !std::mem::replace(&mut self.is_cut_off, true) {
                    log::error!("failed to {error}; the node's lease is renewed as soon as it can");
                }
                Ok(())
            }
        }
    }

    /// Renews the lease when it is time.
    fn renew(&mut self, now: Mono) -> Result<(), StoreError> {
        let is_due = is_past(self.renewed_at, now, self.lease / 4);
        if !is_due || !is_past(self.tried_at, now, Self::PAUSE) || !self.gets_on(now) {
            return Ok(());
        }
        self.tried_at = Some(now);
        let asked_at = self.clock.now();
        if let Some(there) = self.nodes.renew()? {
            self.clock.adjust(there, asked_at);
        }
        let has_gap = is_past(self.renewed_at, now, self.lease / 2);
        if has_gap || self.steady_since.is_none() {
            self.steady_since = Some(now);
        }
        self.renewed_at = Some(now);
        self.beats = Some(self.views.beats());
        // From when it was sent, not from when it was answered, and with a third to spare: clocks
        // differ, and a stopped process does not notice how late it is.
        (self.start_until)(now.plus(self.lease * 2 / 3));
        Ok(())
    }

    /// Whether the writer makes rounds and the persist thread answers: a node whose tasks cannot
    /// end should lose them.
    fn gets_on(&self, now: Mono) -> bool {
        let writes = self.beats.is_none_or(|beats| beats != self.views.beats());
        let hangs = self.views.sent_at().is_some_and(|at| now.since(at) > self.lease * 2 / 3);
        writes && !hangs
    }

    /// Counts the living, and has those ended who are overdue.
    fn look_around(&mut self, now: Mono) -> Result<(), StoreError> {
        let is_renewed = !is_past(self.renewed_at, now, self.lease / 2);
        if !is_renewed || !is_past(self.looked_at, now, self.lease / 48) {
            return Ok(());
        }
        self.looked_at = Some(now);
        let peers = self.nodes.peers()?;
        let alive = |peer: &&Peer| matches!(peer.standing, Standing::Alive(_));
        self.views.set_nodes(peers.iter().filter(alive).count() as u32);
        let is_steady = self.steady_since.is_some_and(|since| now.since(since) >= self.lease);
        for peer in peers {
            let ends = match peer.standing {
                Standing::Alive(_) => false,
                Standing::Overdue => is_steady,
                Standing::Released => true,
            };
            if ends && peer.incarnation != self.nodes.own() {
                // One that finds no place is found again.
                let _ = self.gone.try_send(Gone { peer, at: now });
            }
        }
        if is_past(self.tidied_at, now, Self::TIDY) {
            self.tidied_at = Some(now);
            self.nodes.tidy()?;
        }
        Ok(())
    }
}

/// Whether so much time has passed since, or there was no last time.
fn is_past(last: Option<Mono>, now: Mono, time: Duration) -> bool {
    last.is_none_or(|at| now.since(at) >= time)
}

#[cfg(test)]
mod tests;
