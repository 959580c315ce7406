//! A look at a database server for people who set one up; it changes nothing there.

use std::time::Duration;

use super::migrate;
use super::target::{Server, Target};
use crate::clock::Clock;
use crate::domain::TimeMs;
use crate::store::StoreError;
use crate::store::migration::Schema;

/// What a server and its database say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The server's version.
    pub version: String,
    /// The settings without which a commit survives no power cut, if they are off.
    pub unsafe_settings: Vec<&'static str>,
    /// What the server would have a commit wait for; each of our sessions waits for the disk.
    pub synchronous_commit: String,
    /// Most connections it takes.
    pub connections_max: u32,
    /// Those there are, this one included.
    pub connections: u32,
    /// Whether our role may make the schema, or has it already.
    pub may_make_schema: bool,
    /// How long one question takes, half of the time.
    pub round_trip: Duration,
    /// The server's clock less ours, in milliseconds.
    pub clock_ahead_ms: i64,
    /// How the schema stands.
    pub schema: Schema,
}

/// How often the server is asked for the time.
const ASKED: usize = 5;

/// Looks at the database.
pub fn look(target: &Target, clock: &dyn Clock) -> Result<Look, StoreError> {
    let schema = migrate::info(target)?.checked()?;
    let synchronous: String = target
        .connect("doctor")?
        .query_one("SELECT current_setting('synchronous_commit')", &[])?
        .get(0);
    let (mut client, Server { version, unsafe_settings }) = target.connect_writer("doctor")?;
    let row = client.query_one(
        "SELECT current_setting('max_connections')::integer,
             (SELECT count(*)::integer FROM pg_stat_activity WHERE backend_type = 'client backend'),
             coalesce(has_schema_privilege(to_regnamespace('taskscheduler')::oid, 'CREATE'),
                      has_database_privilege(current_database(), 'CREATE'))",
        &[],
    )?;
    let mut took = Vec::with_capacity(ASKED);
    let mut clock_ahead_ms = 0;
    for _ in 0..ASKED {
        let (from, before) = (clock.mono(), clock.now());
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let there: i64 = client.query_one(sql, &[])?.get(0);
        let trip = clock.mono().since(from);
        // It was read about half-way.
        clock_ahead_ms = TimeMs(there).0 - before.0 - (trip.as_millis() / 2) as i64;
        took.push(trip);
    }
    took.sort_unstable();
    Ok(Look {
        version,
        unsafe_settings,
        synchronous_commit: synchronous,
        connections_max: row.get::<_, i32>(0).unsigned_abs(),
        connections: row.get::<_, i32>(1).unsigned_abs(),
        may_make_schema: row.get(2),
        round_trip: took[ASKED / 2],
        clock_ahead_ms,
        schema,
    })
}
