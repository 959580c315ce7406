//! Another writing side of the same life, in place of one that hangs in a call.
//!
//! The one before is still there, somewhere, and wakes up one day. Its session is ended by then,
//! and it must not connect again: the newest number is known to all of them, and an older one that
//! finds its connection lost is fenced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::floors::Floors;
use super::partitions::Days;
use super::reader::Pool;
use super::session::Session;
use super::types::Types;
use super::{Life, Options, PostgresStore, commit};
use crate::domain::BandMap;
use crate::store::folder::Lock;
use crate::store::{Reopen, Store, StoreError};

/// What all writing sides of one life know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The number of the newest.
    newest: AtomicU64,
}

// SeqCst: a few times in a life, and the simplest order to think about.
impl Shared {
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::SeqCst)
    }
}

/// The way to a new writing side.
pub(super) struct Anew {
    options: Options,
    pool: Pool,
    node_id: u128,
    shared: Arc<Shared>,
    lock: Arc<Lock>,
    life: Option<Life>,
}

impl Anew {
    pub(super) fn of(store: &PostgresStore) -> Anew {
        Anew {
            options: store.options.clone(),
            pool: store.pool.clone(),
            node_id: store.node_id,
            shared: Arc::clone(&store.shared),
            lock: Arc::clone(&store.lock),
            life: store.life,
        }
    }
}

impl Reopen for Anew {
    fn reopen(&self, writer: u64) -> Result<Box<dyn Store>, StoreError> {
        if self.shared.newest.fetch_max(writer, Ordering::SeqCst) > writer {
            return Err(commit::fenced());
        }
        let Some(life) = self.life else {
            return Err(StoreError::Unusable("nothing was taken over yet".into()));
        };
        let (client, server) = self.options.target.connect_writer("again")?;
        let mut store = PostgresStore {
            options: self.options.clone(),
            server,
            session: Session::new(client),
            types: Types::default(),
            days: Days::default(),
            life: Some(life),
            hints: BandMap::default(),
            floors: Floors::default(),
            doubt: None,
            pool: self.pool.clone(),
            node_id: self.node_id,
            number: writer,
            shared: Arc::clone(&self.shared),
            lock: Arc::clone(&self.lock),
        };
        store.pool.renew();
        store.take_place()?;
        store.refresh_types()?;
        Ok(Box::new(store))
    }
}
