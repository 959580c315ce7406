//! The store for production: a PostgreSQL database, shared by any number of nodes.
//!
//! Unfinished tasks live in one table that stays small, ended ones in another that is partitioned
//! by ending and day and whose old partitions are dropped whole. A row that a node holds carries
//! the number of that node's life; a free one none, and whoever comes first takes it. Everything
//! stands in the schema `taskscheduler`; the migration says what each table is for.
//!
//! Promise: what [`Store::commit`] says was applied is committed with `synchronous_commit`, and no
//! batch of a life that was declared dead is ever committed. A commit whose answer was lost is
//! looked up before anything else is written.

mod answer;
mod claim;
mod commit;
mod copy;
mod counts;
mod error;
mod floors;
mod keys;
mod leases;
mod look;
pub mod migrate;
mod node;
mod nodes;
mod partitions;
mod reader;
mod reopen;
mod row;
mod session;
mod target;
mod types;
mod upkeep;
mod write;

pub use look::{Look, look};
pub use target::{Address, Target};

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::floors::Floors;
use self::nodes::PostgresNodes;
use self::partitions::Days;
use self::reader::Pool;
use self::reopen::{Anew, Shared};
use self::session::Session;
use self::target::Server;
use self::types::Types;
use super::folder::{self, Lock};
use super::{
    Batch, Committed, Durability, Incarnation, LookAtConnections, Nodes, PruneAsk, Reader,
    Recovered, Reopen, Store, StoreError,
};
use crate::clock::Clock;
use crate::domain::{BandMap, TaskId, TimeMs};
use crate::store::migration::Migrate;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// Where the database is.
    pub target: Target,
    /// What to do about an older schema.
    pub migrate: Migrate,
    /// The node's directory, which holds who it is. One server each.
    pub data: PathBuf,
    /// What people call it.
    pub name: String,
    /// The most connections of readers.
    pub readers_max: u32,
    /// How many of these are kept open.
    pub readers_min: u32,
    /// How long a node is believed alive after it said so.
    pub lease: Duration,
    /// Dates migrations.
    pub clock: Arc<dyn Clock>,
}

/// The writing side.
pub struct PostgresStore {
    options: Options,
    server: Server,
    session: Session,
    types: Types,
    /// The partitions that are known to be there.
    days: Days,
    /// This life, once it has begun.
    life: Option<Life>,
    /// Ids that the claims of the next commit may look at first.
    hints: BandMap<Vec<TaskId>>,
    /// Where claims begin to look.
    floors: Floors,
    /// A batch that may or may not be committed.
    doubt: Option<Doubt>,
    pool: Pool,
    /// Who this node is through all its lives.
    node_id: u128,
    /// Which writing side of this life it is.
    number: u64,
    shared: Arc<Shared>,
    // Last, so that the directory is free only when the connection is closed.
    lock: Arc<Lock>,
}

/// One life of a node, from its start to its end.
#[derive(Debug, Clone, Copy)]
struct Life {
    incarnation: i64,
    /// Which of its connections writes now.
    writer: i32,
    /// The number of the next batch.
    seq: i64,
}

/// A batch that may or may not be committed, and the number that its delta row has if it is.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    batch: u64,
    seq: i64,
}

impl PostgresStore {
    /// Opens the store: the schema is brought up to date or checked.
    pub fn open(options: Options) -> Result<PostgresStore, StoreError> {
        folder::prepare(&options.data)?;
        let lock = Lock::take(&options.data)?;
        let node_id = folder::node_id(&options.data)?;
        let (mut client, server) = options.target.connect_writer("start")?;
        match options.migrate {
            Migrate::Apply => drop(migrate::apply_to(&mut client, options.clock.now())?),
            Migrate::Check => migrate::check(&mut client)?,
        }
        let mut types = Types::default();
        types.refresh(&mut client)?;
        let pool = Pool::new(&options.target, options.readers_max, options.readers_min);
        let mut store = PostgresStore {
            options,
            server,
            session: Session::new(client),
            types,
            days: Days::default(),
            life: None,
            hints: BandMap::default(),
            floors: Floors::default(),
            doubt: None,
            pool,
            node_id,
            number: 0,
            shared: Arc::default(),
            lock: Arc::new(lock),
        };
        store.make_days_ahead(store.options.clock.now())?;
        Ok(store)
    }

    /// This life, which a batch needs.
    fn life(&self) -> Result<Life, StoreError> {
        self.life.ok_or_else(|| StoreError::Unusable("nothing was taken over yet".into()))
    }

    /// A connection that works, a new one if the last was lost.
    fn connected(&mut self) -> Result<&mut Session, StoreError> {
        if self.session.is_lost() {
            self.reconnect()?;
        }
        Ok(&mut self.session)
    }

    /// Runs `talk` as one transaction that only this life may do.
    fn transaction<T>(
        &mut self,
        talk: impl FnOnce(&mut Session, Life) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.undoubted()?;
        let life = self.life()?;
        let session = self.connected()?;
        let result = commit::begin(session, life).and_then(|()| {
            let value = talk(session, life)?;
            session.script("COMMIT")?;
            Ok(value)
        });
        if result.is_err() {
            session.roll_back();
        }
        result
    }
}

impl Store for PostgresStore {
    fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        let committed = self.commit_batch(batch)?;
        Ok(Committed { types: self.types.take_fresh(), ..committed })
    }

    fn hint(&mut self, ids: BandMap<Vec<TaskId>>) {
        self.hints = ids;
    }

    fn settle(&mut self, batch: &Batch) -> Result<Option<Committed>, StoreError> {
        self.settle_batch(batch)
    }

    fn owned(&mut self) -> Result<Vec<TaskId>, StoreError> {
        let own = self.life()?.incarnation;
        let sql = "SELECT id FROM taskscheduler.tasks WHERE owner = $1 ORDER BY id";
        let rows = self.connected()?.query(sql, &[&own])?;
        Ok(rows.iter().filter_map(|row| TaskId::new(row.get::<_, i64>(0) as u64)).collect())
    }

    fn recover(&mut self, now: TimeMs, pool: &rayon::ThreadPool) -> Result<Recovered, StoreError> {
        self.begin_life(now, pool)
    }

    fn take_ids(&mut self, count: u32) -> Result<Range<u64>, StoreError> {
        take_ids(self.connected()?, count)
    }

    fn signing_key(&mut self) -> Result<[u8; 16], StoreError> {
        let sql = "SELECT value FROM taskscheduler.meta WHERE name = 'signing_key'";
        let rows = self.connected()?.query(sql, &[])?;
        let key = rows.first().and_then(|row| row.get::<_, &[u8]>(0).try_into().ok());
        key.ok_or_else(|| StoreError::Broken("the store has no signing key".into()))
    }

    fn release(&mut self) -> Result<(), StoreError> {
        self.transaction(|session, life| {
            let sql = "UPDATE taskscheduler.nodes SET state = 'released', ended_at = now()
                       WHERE incarnation = $1";
            session.execute(sql, &[&life.incarnation]).map(drop)
        })
    }

    fn prune(&mut self, ask: &PruneAsk) -> Result<u64, StoreError> {
        self.prune_slice(ask)
    }

    fn upkeep(&mut self, keys_before: TimeMs) -> Result<(), StoreError> {
        self.keep_up(keys_before)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(self.pool.reader()))
    }

    fn nodes(&self) -> Result<Option<Box<dyn Nodes>>, StoreError> {
        let own = Incarnation(self.life()?.incarnation as u64);
        let target = self.options.target.clone();
        Ok(Some(Box::new(PostgresNodes::new(target, own, self.options.lease))))
    }

    fn reopener(&self) -> Option<Arc<dyn Reopen>> {
        Some(Arc::new(Anew::of(self)))
    }

    fn connections(&self) -> Option<LookAtConnections> {
        let pool = self.pool.clone();
        Some(Arc::new(move || pool.connections()))
    }

    fn durability(&self) -> Durability {
        if self.server.unsafe_settings.is_empty() { Durability::Disk } else { Durability::System }
    }

    fn describe(&self) -> String {
        let Server { version, unsafe_settings } = &self.server;
        let off = match &unsafe_settings[..] {
            [] => String::new(),
            names => format!(" with {} off", names.join(" and ")),
        };
        format!("PostgreSQL {version}{off}, {}", self.options.target)
    }
}

/// Takes the next ids. They are gone even where the transaction around it fails.
fn take_ids(session: &mut Session, count: u32) -> Result<Range<u64>, StoreError> {
    let rows = session.query("SELECT taskscheduler.take_ids($1)", &[&i64::from(count)])?;
    let first = rows.first().map_or(0, |row| row.get::<_, i64>(0)) as u64;
    let end = first + u64::from(count);
    if first == 0 || end > TaskId::MAX {
        return Err(StoreError::Unusable("all task ids are used up".into()));
    }
    Ok(first..end)
}

#[cfg(test)]
mod tests;
