//! The connections of readers, shared by all of them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use postgres::{Client, NoTls};
use r2d2::{CustomizeConnection, State};
use r2d2_postgres::PostgresConnectionManager;
use scheduled_thread_pool::ScheduledThreadPool;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresReader;
use crate::store::postgres::target::Target;
use crate::store::{Connections, StoreError};

/// The pool.
#[derive(Clone)]
pub(in crate::store::postgres) struct Pool(Arc<Shared>);

struct Shared {
    target: Target,
    most: u32,
    least: u32,
    lines: RwLock<Lines>,
}

/// Its connections, by how they speak.
#[derive(Clone)]
enum Lines {
    Plain(r2d2::Pool<PostgresConnectionManager<NoTls>>),
    Tls(r2d2::Pool<PostgresConnectionManager<MakeRustlsConnect>>),
}

/// How long a reader waits for a connection.
const WAIT: Duration = Duration::from_secs(2);

impl Pool {
    /// A pool that connects when it is first asked.
    pub(in crate::store::postgres) fn new(target: &Target, most: u32, least: u32) -> Pool {
        let (target, most) = (target.clone(), most.max(1));
        let lines = RwLock::new(Lines::new(&target, most, least));
        Pool(Arc::new(Shared { target, most, least, lines }))
    }

    /// From now on readers make connections anew. The writer had to: it may be another server that
    /// holds the truth now, while the one before still answers whoever reads.
    pub(in crate::store::postgres) fn renew(&self) {
        let Shared { target, most, least, lines } = &*self.0;
        let new = Lines::new(target, *most, *least);
        *lines.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// A reader.
    pub(in crate::store::postgres) fn reader(&self) -> PostgresReader {
        PostgresReader::new(self.clone())
    }

    /// How many connections there are, from memory.
    pub(in crate::store::postgres) fn connections(&self) -> Connections {
        let State { connections, idle_connections, .. } = match self.lines() {
            Lines::Plain(pool) => pool.state(),
            Lines::Tls(pool) => pool.state(),
        };
        Connections { busy: connections.saturating_sub(idle_connections), idle: idle_connections }
    }

    /// Lends a connection to `ask`. One that turns out to be dead is replaced: after a restart of
    /// the server all of them are, so as many are tried as there can be.
    pub(super) fn with<T>(
        &self,
        mut ask: impl FnMut(&mut Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..self.0.most {
            let (result, closed) = self.once(&mut ask)?;
            if result.is_ok() || !closed {
                return result;
            }
        }
        self.once(&mut ask)?.0
    }

    /// Those of now. Nothing is locked while they are used, which may take for ever.
    fn lines(&self) -> Lines {
        self.0.lines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came of it, and whether the connection is closed now.
    fn once<T>(
        &self,
        ask: &mut impl FnMut(&mut Client) -> Result<T, StoreError>,
    ) -> Result<(Result<T, StoreError>, bool), StoreError> {
        let none = |error: r2d2::Error| StoreError::Unavailable(error.to_string());
        Ok(match self.lines() {
            Lines::Plain(pool) => {
                let mut client = pool.get().map_err(none)?;
                (ask(&mut client), client.is_closed())
            }
            Lines::Tls(pool) => {
                let mut client = pool.get().map_err(none)?;
                (ask(&mut client), client.is_closed())
            }
        })
    }
}

impl Lines {
    fn new(target: &Target, most: u32, least: u32) -> Lines {
        let (config, tls) = target.pooled();
        let threads =
            ScheduledThreadPool::builder().num_threads(1).thread_name_pattern("pg-pool-{}").build();
        let threads = Arc::new(threads);
        match tls {
            None => Lines::Plain(build(
                PostgresConnectionManager::new(config, NoTls),
                most,
                least,
                threads,
            )),
            Some(tls) => {
                Lines::Tls(build(PostgresConnectionManager::new(config, tls), most, least, threads))
            }
        }
    }
}

fn build<M>(manager: M, most: u32, least: u32, threads: Arc<ScheduledThreadPool>) -> r2d2::Pool<M>
where
    M: r2d2::ManageConnection<Connection = Client, Error = postgres::Error>,
{
    r2d2::Pool::builder()
        .max_size(most)
        .min_idle(Some(least.min(most)))
        .test_on_check_out(false)
        .connection_timeout(WAIT)
        .error_handler(Box::new(Quiet))
        .connection_customizer(Box::new(Settings))
        .thread_pool(threads)
        // A database that is down must not stop the start; the first question says so.
        .build_unchecked(manager)
}

/// Whoever asks is told; the log would say the same again and again.
#[derive(Debug)]
struct Quiet;

impl r2d2::HandleError<postgres::Error> for Quiet {
    fn handle_error(&self, error: postgres::Error) {
        log::debug!("no connection for a reader: {error}");
    }
}

/// What every session that reads is told. Its plans are those of tables that are read by index.
#[derive(Debug)]
struct Settings;

impl CustomizeConnection<Client, postgres::Error> for Settings {
    fn on_acquire(&self, client: &mut Client) -> Result<(), postgres::Error> {
        client.batch_execute(
            "SET idle_in_transaction_session_timeout = '30s';
             SET lock_timeout = '2s';
             SET enable_seqscan = off;
             SET enable_hashjoin = off;
             SET enable_mergejoin = off;
             SET jit = off",
        )
    }
}
