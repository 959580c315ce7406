//! The PostgreSQL store among the others, and what only a store behind a wire can get wrong.

use test_servers::{Account, Cluster};

use super::{Address, Options, PostgresStore, Target};
use crate::clock::ManualClock;
use crate::store::Store;
use crate::store::conformance::{Ground, NOW, conformance};
use crate::store::migration::Migrate;

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
