//! The memory store among the others.

use std::sync::Arc;

use super::MemoryDisk;
use crate::clock::ManualClock;
use crate::store::conformance::nodes::{SharedGround, conformance_of_nodes};
use crate::store::conformance::{Ground, NOW, conformance};
use crate::store::{NodeId, Store};

impl Ground for MemoryDisk {
    fn open(&self) -> Box<dyn Store> {
        Box::new(MemoryDisk::open(self))
    }
}

conformance!(MemoryDisk::new());

/// A disk whose leases a test lets run out.
struct Shared {
    disk: MemoryDisk,
    clock: Arc<ManualClock>,
}

impl Shared {
    fn new() -> Shared {
        let (disk, clock) = (MemoryDisk::new(), ManualClock::at(NOW));
        disk.keep_time_by(clock.clone());
        Shared { disk, clock }
    }
}

impl SharedGround for Shared {
    fn join(&self, node: NodeId) -> Box<dyn Store> {
        Box::new(self.disk.join(node, "the same name"))
    }

    fn outlive_leases(&self) {
        self.clock.advance(super::nodes::LEASE);
    }
}

conformance_of_nodes!(Shared::new());
