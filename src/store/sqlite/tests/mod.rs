//! The SQLite store among the others, and what only a store on a disk can get wrong.

use std::path::Path;

use super::{Migrate, Options, SqliteStore};
use crate::clock::ManualClock;
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
}

fn options() -> Options {
    Options { migrate: Migrate::Apply, clock: ManualClock::at(NOW) }
}

impl Ground for Disk {
    fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(self.path(), options()).unwrap())
    }
}

conformance!(Disk::new());
