//! The memory store among the others.

use super::MemoryDisk;
use crate::store::Store;
use crate::store::conformance::{Ground, conformance};

impl Ground for MemoryDisk {
    fn open(&self) -> Box<dyn Store> {
        Box::new(MemoryDisk::open(self))
    }
}

conformance!(MemoryDisk::new());
