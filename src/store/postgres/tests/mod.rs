//! The PostgreSQL store among the others, and what only a store behind a wire can get wrong.

mod claims;
mod enqueue;
mod faults;
mod plans;
mod schema;
mod tls;

use std::time::Duration;

use test_servers::{Account, Cluster};

use super::{Address, Options, PostgresStore, Target};
use crate::clock::ManualClock;
use crate::store::conformance::nodes::{SharedGround, conformance_of_nodes};
use crate::store::conformance::{Ground, NOW, conformance};
use crate::store::migration::Migrate;
use crate::store::{NodeId, Store};

/// A database of its own on the server that all tests here share.
struct Database {
    account: Account,
    /// The directory of the node.
    data: tempfile::TempDir,
}

impl Database {
    fn new() -> Database {
        Database::on(Cluster::shared())
    }

    fn on(cluster: &Cluster) -> Database {
        Database { account: cluster.account(), data: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> PostgresStore {
        PostgresStore::open(self.options()).unwrap()
    }

    fn options(&self) -> Options {
        Options {
            target: target(&self.account),
            data: self.data.path().to_owned(),
            migrate: Migrate::Apply,
            name: "test".into(),
            readers_max: 2,
            readers_min: 0,
            lease: Duration::from_secs(12),
            clock: ManualClock::at(NOW),
        }
    }
}

fn target(account: &Account) -> Target {
    let address = Address {
        hosts: format!("127.0.0.1:{}", account.port),
        user: account.user.clone(),
        password: account.password.clone(),
        database: account.database.clone(),
        params: Vec::new(),
    };
    Target::new(&address).unwrap()
}

impl Ground for Database {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.store())
    }
}

conformance!(Database::new());

/// A database that several nodes share, with leases that run out while a test waits.
struct Shared {
    account: Account,
    folders: tempfile::TempDir,
}

/// How long a lease lasts in these tests.
const LEASE: Duration = Duration::from_millis(1500);

impl SharedGround for Shared {
    fn join(&self, node: NodeId) -> Box<dyn Store> {
        let data = self.folders.path().join(node.0.to_string());
        // Of the life before only the directory is left, as after the end of its process.
        let _ = std::fs::remove_file(data.join("lock"));
        let database =
            Database { account: self.account.clone(), data: tempfile::tempdir().unwrap() };
        Box::new(PostgresStore::open(Options { data, lease: LEASE, ..database.options() }).unwrap())
    }

    fn outlive_leases(&self) {
        let mut client = self.account.connect();
        client.execute("SELECT pg_sleep($1)", &[&LEASE.as_secs_f64()]).unwrap();
    }
}

fn shared() -> Shared {
    Shared { account: Cluster::shared().account(), folders: tempfile::tempdir().unwrap() }
}

conformance_of_nodes!(shared());
