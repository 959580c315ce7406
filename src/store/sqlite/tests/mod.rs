//! The SQLite store among the others, and what only a store on a disk can get wrong.

mod faults;
mod files;
mod retention;
mod speed;

use std::path::Path;
use std::sync::Arc;

use super::{Migrate, Options, SqliteStore};
use crate::clock::{ManualClock, SystemClock};
use crate::store::Store;
use crate::store::conformance::{Ground, NOW, conformance};

/// A data directory that goes when the test is over.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Disk {
        Disk(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(self.path(), options()).unwrap()
    }
}

fn options() -> Options {
    Options { migrate: Migrate::Apply, clock: ManualClock::at(NOW) }
}

/// Options for tests in which time must pass by itself.
fn timed() -> Options {
    Options { migrate: Migrate::Apply, clock: Arc::new(SystemClock::new()) }
}

impl Ground for Disk {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }
}

conformance!(Disk::new());
