//! The schema of the PostgreSQL store, as numbered steps that are applied once and never changed.
//!
//! All of it stands in a schema of its own, `taskscheduler`, made by the role that the server
//! connects as; nothing else in the database is ever touched.

use postgres::{Client, GenericClient};

use super::target::Target;
use crate::domain::TimeMs;
use crate::store::StoreError;
use crate::store::migration::{Applied, EPOCH_JUMP, ID_JUMP, Migration, Schema, checksum};

/// All steps this program knows, in order.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "tasks",
    compatible_from: 1,
    sql: include_str!("../../../migrations/postgres/0001_tasks.sql"),
}];

/// How the schema stands in a database.
pub fn info(target: &Target) -> Result<Schema, StoreError> {
    read(&mut target.connect("migrate")?)
}

/// Applies what is pending and says what that was.
pub fn apply(target: &Target, now: TimeMs) -> Result<Vec<Migration>, StoreError> {
    apply_to(&mut target.connect("migrate")?, now)
}

/// Makes a restored database fit to be used: no id, claim or token that was given out after the
/// copy was made can ever be mistaken for one that is given out from now on. No server may be using
/// it.
pub fn restored(target: &Target) -> Result<(), StoreError> {
    let mut client = target.connect("migrate")?;
    alone(&mut client)?;
    check(&mut client)?;
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!(
        "SELECT setval('taskscheduler.task_ids', last_value + {ID_JUMP})
             FROM taskscheduler.task_ids;
         SELECT setval(pg_get_serial_sequence('taskscheduler.nodes', 'incarnation'),
                       {EPOCH_JUMP} + coalesce(max(incarnation), 0)) FROM taskscheduler.nodes;
         UPDATE taskscheduler.nodes SET state = 'released', ended_at = now()
             WHERE state = 'alive';
         UPDATE taskscheduler.tasks SET epoch = epoch + {EPOCH_JUMP};
         UPDATE taskscheduler.tasks SET leased_until = 0, due = 0
             WHERE owner IS NULL AND status = 3 AND leased_until IS NOT NULL;
         DELETE FROM taskscheduler.task_inbox;
         UPDATE taskscheduler.meta SET value = uuid_send(gen_random_uuid())
             WHERE name = 'signing_key'"
    ))?;
    Ok(transaction.commit()?)
}

/// Deletes the store: the schema with everything in it. No server may be using it.
pub fn reset(target: &Target) -> Result<(), StoreError> {
    let mut client = target.connect("migrate")?;
    alone(&mut client)?;
    Ok(client.batch_execute("DROP SCHEMA IF EXISTS taskscheduler CASCADE")?)
}

/// Refuses to go on while servers are connected.
fn alone(client: &mut Client) -> Result<(), StoreError> {
    let others: i64 = client
        .query_one(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND application_name LIKE 'taskscheduler%'",
            &[],
        )?
        .get(0);
    if others == 0 {
        return Ok(());
    }
    Err(StoreError::Unusable(format!("{others} connections of servers are open; stop them first")))
}

/// Applies what is pending, all in one transaction and under a lock, so that of several nodes that
/// start at once one does it and the others find it done.
pub(super) fn apply_to(client: &mut Client, now: TimeMs) -> Result<Vec<Migration>, StoreError> {
    if read(client)?.checked()?.pending.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = client.transaction()?;
    transaction.batch_execute("SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0")?;
    transaction.execute("SELECT pg_advisory_xact_lock(7308332, 0)", &[])?;
    let pending = read(&mut transaction)?.checked()?.pending;
    for step in &pending {
        // Asked for first: to create what is there already takes a right that may be missing.
        if !exists(&mut transaction, "to_regnamespace('taskscheduler')")? {
            transaction.batch_execute("CREATE SCHEMA taskscheduler")?;
        }
        transaction.batch_execute(TABLE)?;
        transaction.batch_execute(step.sql)?;
        transaction.execute(
            "INSERT INTO taskscheduler.schema_migrations
                 (version, name, checksum, compatible_from, applied_at)
             VALUES ($1, $2, $3, $4, $5)",
            &[&step.version, &step.name, &checksum(step.sql), &step.compatible_from, &now.0],
        )?;
    }
    transaction.commit()?;
    Ok(pending)
}

/// Refuses a store that has steps before it, or that this program is too old for.
pub(super) fn check(client: &mut Client) -> Result<(), StoreError> {
    read(client)?.checked()?.current()
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS taskscheduler.schema_migrations (
    version         bigint PRIMARY KEY,
    name            text NOT NULL,
    checksum        text NOT NULL,
    compatible_from bigint NOT NULL,
    applied_at      bigint NOT NULL
)";

fn read(client: &mut impl GenericClient) -> Result<Schema, StoreError> {
    if !exists(client, "to_regclass('taskscheduler.schema_migrations')")? {
        return Ok(Schema::of(Vec::new(), MIGRATIONS));
    }
    let rows = client.query(
        "SELECT version, name, checksum, compatible_from, applied_at
         FROM taskscheduler.schema_migrations ORDER BY version",
        &[],
    )?;
    let applied = rows.iter().map(|row| Applied {
        version: row.get(0),
        name: row.get(1),
        checksum: row.get(2),
        compatible_from: row.get(3),
        at: TimeMs(row.get(4)),
    });
    Ok(Schema::of(applied.collect(), MIGRATIONS))
}

fn exists(client: &mut impl GenericClient, name: &str) -> Result<bool, StoreError> {
    Ok(client.query_one(&format!("SELECT {name} IS NOT NULL"), &[])?.get(0))
}
