//! Keepers of several nodes, stepped by hand over one memory store.

use std::sync::Arc;
use std::time::Duration;

use super::super::reaper::Reaper;
use super::Keeper;
use crate::clock::{Clock, ManualClock, Mono, StoreClock};
use crate::domain::TimeMs;
use crate::persistence::{Views, Work};
use crate::queue::{Entrance, LaneSettings};
use crate::store::memory::MemoryDisk;
use crate::store::{Incarnation, NodeId, Store, StoreError};

const STEP: Duration = Duration::from_millis(100);

struct Town {
    disk: MemoryDisk,
    clock: Arc<ManualClock>,
}

struct Place {
    keeper: Keeper,
    reaper: Reaper,
    clock: Arc<StoreClock>,
    views: Arc<Views>,
    lanes: Arc<Entrance<Work>>,
    own: Incarnation,
}

impl Town {
    fn new() -> Town {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::at(TimeMs(1_700_000_000_000)));
        disk.keep_time_by(clock.clone());
        Town { disk, clock }
    }

    fn node(&self, number: u128) -> Place {
        let store = self.disk.join(NodeId(number), "n");
        let nodes = store.nodes().unwrap().unwrap();
        let (views, own) = (Arc::new(Views::default()), nodes.own());
        let (lanes, _) = Entrance::new(1, LaneSettings::default());
        let clock = self.clock.clone() as Arc<dyn Clock>;
        let lanes_of = Arc::clone(&lanes);
        let start_until = Box::new(move |at| lanes_of.tenure().set_end(at));
        let others = store.nodes().unwrap().unwrap();
        let (reaper, gone) = Reaper::new(others, Arc::clone(&clock), Arc::clone(&views));
        let clock = Arc::new(StoreClock::over(clock));
        let keeper = Keeper::new(nodes, clock.clone(), Arc::clone(&views), start_until, gone);
        Place { keeper, reaper, clock, views, lanes, own }
    }

    /// Lets time pass in which these nodes live.
    fn pass(&self, time: Duration, living: &mut [&mut Place]) {
        for _ in 0..time.as_millis() / STEP.as_millis() {
            self.keep(STEP, living);
            for place in &mut *living {
                if let Ok(gone) = place.reaper.gone().try_recv() {
                    place.reaper.end(&gone).expect("it lives");
                }
            }
        }
    }

    /// The same while their reapers are at something that takes as long.
    fn keep(&self, time: Duration, living: &mut [&mut Place]) {
        for _ in 0..time.as_millis() / STEP.as_millis() {
            self.clock.advance(STEP);
            for place in &mut *living {
                place.views.beat();
                place.keeper.step().expect("it lives");
            }
        }
    }

    fn is_alive(&self, place: &Place) -> bool {
        let mut nodes = self.disk.join(NodeId(99), "asker").nodes().unwrap().unwrap();
        nodes.peers().unwrap().iter().any(|peer| peer.incarnation == place.own)
    }

    fn mono(&self) -> Mono {
        self.clock.mono()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_node_starts_nothing_before_its_lease_and_after_two_thirds_of_it() {
    let town = Town::new();
    let mut a = town.node(1);
    assert!(a.lanes.tenure().is_over(town.mono()));
    town.pass(20 * SECOND, &mut [&mut a]);
    assert!(!a.lanes.tenure().is_over(town.mono()));
    // Stopped: nobody steps it, and its clock runs on.
    town.clock.advance(Duration::from_millis(7900));
    assert!(a.lanes.tenure().is_over(town.mono()), "renewed up to 3 s before, so it can be over");
    town.disk.set_down(true);
    a.views.beat();
    a.keeper.step().unwrap();
    assert!(a.lanes.tenure().is_over(town.mono()));
    town.disk.set_down(false);
    town.pass(SECOND, &mut [&mut a]);
    assert!(!a.lanes.tenure().is_over(town.mono()));
}

#[test]
fn a_silent_node_is_ended_when_its_lease_is_over_and_learns_of_it() {
    let town = Town::new();
    let (mut a, mut b) = (town.node(1), town.node(2));
    town.pass(15 * SECOND, &mut [&mut a, &mut b]);
    assert_eq!((a.views.nodes(), b.views.nodes()), (2, 2));
    town.pass(8 * SECOND, &mut [&mut b]);
    assert!(town.is_alive(&a), "too early");
    town.pass(5 * SECOND, &mut [&mut b]);
    assert!(!town.is_alive(&a), "too late");
    assert_eq!(b.views.nodes(), 1 + 1, "the asker of this test");
    a.views.beat();
    assert!(matches!(a.keeper.step(), Err(StoreError::Fenced(_))));
}

/// To end a node with many tasks took longer than a lease, and whoever did it was ended for that.
#[test]
fn a_node_that_ends_another_for_long_keeps_its_own_lease() {
    let town = Town::new();
    let (mut a, mut b, mut c) = (town.node(1), town.node(2), town.node(3));
    town.pass(15 * SECOND, &mut [&mut a, &mut b, &mut c]);
    town.keep(60 * SECOND, &mut [&mut b]);
    town.pass(SECOND, &mut [&mut c]);
    assert!(town.is_alive(&b) && !b.lanes.tenure().is_over(town.mono()));
}

/// A node whose clock was ahead took every worker's lease back before its time, and started tasks
/// too early.
#[test]
fn a_node_goes_by_the_clock_of_the_store() {
    let town = Town::new();
    let there = ManualClock::at(TimeMs(town.clock.now().0 - 90_000));
    town.disk.keep_time_by(there.clone());
    let mut a = town.node(1);
    a.keeper.step().unwrap();
    assert_eq!(a.clock.now(), there.now());
    // The machine's clock is put right, in the middle of everything.
    town.disk.keep_time_by(town.clock.clone());
    town.pass(5 * SECOND, &mut [&mut a]);
    assert_eq!(a.clock.now(), town.clock.now());
}

#[test]
fn a_decision_from_before_an_outage_ends_nobody() {
    let town = Town::new();
    let (a, mut b) = (town.node(1), town.node(2));
    town.keep(15 * SECOND, &mut [&mut b]);
    let gone = b.reaper.gone().try_recv().expect("it has not renewed");
    assert_eq!(gone.peer.incarnation, a.own);
    town.clock.advance(5 * SECOND);
    b.reaper.end(&gone).unwrap();
    assert!(town.is_alive(&a));
}

#[test]
fn after_an_outage_longer_than_the_lease_nobody_is_ended_who_lives() {
    let town = Town::new();
    let (mut a, mut b, mut c) = (town.node(1), town.node(2), town.node(3));
    let mut all = [&mut a, &mut b, &mut c];
    town.pass(15 * SECOND, &mut all);
    town.disk.set_down(true);
    town.pass(60 * SECOND, &mut all);
    town.disk.set_down(false);
    // One comes back first, and the last only much later.
    let [a, b, c] = all;
    town.pass(3 * SECOND, &mut [a]);
    town.pass(6 * SECOND, &mut [a, b]);
    town.pass(30 * SECOND, &mut [a, b, c]);
    for place in [a, b, c] {
        assert!(town.is_alive(place));
        assert!(!place.lanes.tenure().is_over(town.mono()));
    }
}

#[test]
fn a_node_that_does_not_get_on_loses_its_lease() {
    for hangs in [false, true] {
        let town = Town::new();
        let (mut a, mut b) = (town.node(1), town.node(2));
        town.pass(15 * SECOND, &mut [&mut a, &mut b]);
        if hangs {
            a.views.set_sent_at(Some(town.mono()));
        }
        for _ in 0..300 {
            town.pass(STEP, &mut [&mut b]);
            if hangs {
                a.views.beat();
            }
            if a.keeper.step().is_err() {
                break;
            }
        }
        assert!(!town.is_alive(&a), "its writer stands still, and it keeps its tasks");
    }
}

#[test]
fn a_node_that_has_left_is_not_waited_for() {
    let town = Town::new();
    let mut b = town.node(2);
    town.pass(SECOND, &mut [&mut b]);
    let mut store = town.disk.join(NodeId(1), "n");
    let own = store.nodes().unwrap().unwrap().own();
    store.release().unwrap();
    town.pass(SECOND, &mut [&mut b]);
    let mut nodes = town.disk.join(NodeId(99), "asker").nodes().unwrap().unwrap();
    assert!(nodes.peers().unwrap().iter().all(|peer| peer.incarnation != own));
}
