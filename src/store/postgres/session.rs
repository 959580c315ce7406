//! One connection that writes, and what is prepared on it.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use postgres::types::ToSql;
use postgres::{Client, Row, Statement};

use super::error;
use crate::store::StoreError;

/// A connection. Once it is lost it stays lost.
pub(super) struct Session {
    client: Client,
    prepared: HashMap<&'static str, Statement, RandomState>,
    /// Why it is of no use any more.
    lost: bool,
    /// Whether the last error was one that a second try may well mend.
    collided: bool,
}

impl Session {
    pub(super) fn new(client: Client) -> Session {
        Session { client, prepared: HashMap::default(), lost: false, collided: false }
    }

    /// Whether another one must take its place.
    pub(super) fn is_lost(&self) -> bool {
        self.lost || self.client.is_closed()
    }

    /// Whether the last error was a deadlock or the like, and forgets it.
    pub(super) fn has_collided(&mut self) -> bool {
        std::mem::take(&mut self.collided)
    }

    /// Runs what talks to the server, and notes what its error means for the connection.
    pub(super) fn run<T>(
        &mut self,
        talk: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        talk(&mut self.client).map_err(|error| {
            self.lost |= error::ends_session(&error) || self.client.is_closed();
            self.collided = error::is_collision(&error);
            error.into()
        })
    }

    /// The connection itself, for a transaction of its own.
    pub(super) fn with_client<T>(
        &mut self,
        talk: impl FnOnce(&mut Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        talk(&mut self.client)
    }

    /// The statement, prepared when it is first asked for.
    pub(super) fn prepare(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.run(|client| client.prepare(sql))?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    /// The rows that a statement gives.
    pub(super) fn query(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql)?;
        self.run(|client| client.query(&statement, values))
    }

    /// How many rows a statement touched.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let statement = self.prepare(sql)?;
        self.run(|client| client.execute(&statement, values))
    }

    /// Statements without values in one go; how many rows the first SELECT among them gave.
    pub(super) fn script(&mut self, sql: &str) -> Result<usize, StoreError> {
        let messages = self.run(|client| client.simple_query(sql))?;
        let row = |message: &&postgres::SimpleQueryMessage| {
            matches!(message, postgres::SimpleQueryMessage::Row(_))
        };
        Ok(messages.iter().filter(row).count())
    }

    /// Ends a transaction that went wrong.
    pub(super) fn roll_back(&mut self) {
        if !self.is_lost() && self.script("ROLLBACK").is_err() {
            self.lost = true;
        }
    }
}
