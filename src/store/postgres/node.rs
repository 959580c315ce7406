//! The life of a node in the store: its beginning, which takes over what the life before held, and
//! its connections.

use std::time::Duration;

use rayon::prelude::*;

use super::counts::{Counted, Delta};
use super::session::Session;
use super::{Life, PostgresStore, commit, row};
use crate::domain::{Task, TimeMs};
use crate::store::{Recovered, StoreError};

/// A dead node may still have a transaction open for a moment; so long it is waited for.
const WAIT_FOR_THE_DEAD: &str = "SET LOCAL lock_timeout = '20s'";

impl PostgresStore {
    /// Begins a life. Whoever has the node's identity holds the lock on its directory, so every
    /// older life of it is dead, and what it held is ours at once.
    pub(super) fn begin_life(
        &mut self,
        now: TimeMs,
        pool: &rayon::ThreadPool,
    ) -> Result<Recovered, StoreError> {
        self.refresh_types()?;
        let node = uuid(self.node_id);
        let name = self.options.name.replace('\0', "");
        self.session.script("BEGIN")?;
        let begun = begin(&mut self.session, &node, &name, (now, self.options.lease));
        let (life, rows) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.session.roll_back();
                return Err(error);
            }
        };
        self.session.script("COMMIT")?;
        self.life = Some(life);
        self.name_session(life)?;
        let types = &self.types;
        let read = |row: &postgres::Row| row::read(row, types).map(|(task, _)| task);
        let held = pool.install(|| rows.par_iter().map(read).collect::<Result<Vec<Task>, _>>());
        let mut held = held?;
        held.par_sort_unstable_by_key(|task| task.id);
        Ok(Recovered { held, types: self.types.all() })
    }

    /// Connects anew and takes the place of the connection before, unless a later writing side of
    /// this life has it.
    pub(super) fn reconnect(&mut self) -> Result<(), StoreError> {
        if self.shared.newest() > self.number {
            return Err(commit::fenced());
        }
        let (client, server) = self.options.target.connect_writer("again")?;
        self.session = Session::new(client);
        self.server = server;
        self.pool.renew();
        self.take_place()?;
        log::info!("connected to {}", self.options.target);
        Ok(())
    }

    /// Raises `writer`. That waits for whatever the old connection still does, so it is ended
    /// first, and what it sends later is refused.
    pub(super) fn take_place(&mut self) -> Result<(), StoreError> {
        let Some(mut life) = self.life else { return Ok(()) };
        if self.shared.newest() > self.number {
            return Err(commit::fenced());
        }
        let session = &mut self.session;
        end_sessions(session, life.incarnation)?;
        let rows = session.query(
            "UPDATE taskscheduler.nodes SET writer = writer + 1
             WHERE incarnation = $1 AND state = 'alive' RETURNING writer",
            &[&life.incarnation],
        )?;
        let Some(row) = rows.first() else { return Err(commit::fenced()) };
        life.writer = row.get(0);
        // What the connection before wrote last may be there although its answer was lost, a
        // deletion for instance, which nobody asks for again: its number is used up.
        let rows = session.query(
            "SELECT coalesce(max(seq), 0) + 1 FROM taskscheduler.count_deltas
             WHERE incarnation = $1",
            &[&life.incarnation],
        )?;
        life.seq = life.seq.max(rows.first().map_or(0, |row| row.get(0)));
        self.life = Some(life);
        self.name_session(life)
    }

    /// Lets others find the connections of a life, to end them.
    fn name_session(&mut self, life: Life) -> Result<(), StoreError> {
        let name = session_name(life.incarnation);
        self.session.script(&format!("SET application_name = '{name}'")).map(drop)
    }
}

/// How the server shows the writing connection of a life.
fn session_name(incarnation: i64) -> String {
    format!("taskscheduler writer {incarnation}")
}

/// Ends the other writing connections of a life: of this one they can only be what is left of lost
/// ones, and of a dead one nothing may be left.
pub(super) fn end_sessions(session: &mut Session, incarnation: i64) -> Result<(), StoreError> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = $1 AND pid <> pg_backend_pid()
                 AND datname = current_database()";
    session.query(sql, &[&session_name(incarnation)]).map(drop)
}

/// How many writing connections of a life there are beside this one.
pub(super) fn own_sessions(session: &mut Session, incarnation: i64) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE application_name = $1 AND pid <> pg_backend_pid()
                 AND datname = current_database()";
    let rows = session.query(sql, &[&session_name(incarnation)])?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// Ends the node's older lives, begins one, and takes over what they held.
fn begin(
    session: &mut Session,
    node: &str,
    name: &str,
    (now, lease): (TimeMs, Duration),
) -> Result<(Life, Vec<postgres::Row>), StoreError> {
    session.script(WAIT_FOR_THE_DEAD)?;
    session.execute(
        "UPDATE taskscheduler.nodes SET state = 'dead', ended_at = now()
         WHERE node_id = $1::text::uuid AND state = 'alive'",
        &[&node],
    )?;
    let rows = session.query(
        "INSERT INTO taskscheduler.nodes (node_id, name, state, writer)
         VALUES ($1::text::uuid, $2, 'alive', 1) RETURNING incarnation",
        &[&node, &name],
    )?;
    let incarnation: i64 = rows.first().map_or(0, |row| row.get(0));
    session.execute(
        "INSERT INTO taskscheduler.node_leases (incarnation, renewed_at, expires_at)
         VALUES ($1, clock_timestamp(), clock_timestamp() + $2 * interval '1 second')",
        &[&incarnation, &lease.as_secs_f64()],
    )?;
    session.execute("INSERT INTO taskscheduler.folds VALUES ($1, 0)", &[&incarnation])?;
    let delta = requeued(session, node, incarnation)?;
    let rows = session.query(TAKE_OVER, &[&incarnation, &node, &now.0])?;
    for sql in [
        "UPDATE taskscheduler.task_inbox SET node = $1 WHERE detail IS NULL AND node IN (
             SELECT incarnation FROM taskscheduler.nodes
             WHERE node_id = $2::text::uuid AND incarnation <> $1)",
        "UPDATE taskscheduler.nodes SET state = 'dead'
         WHERE node_id = $2::text::uuid AND incarnation <> $1 AND state <> 'dead'",
    ] {
        session.execute(sql, &[&incarnation, &node])?;
    }
    session.script(&format!(
        "INSERT INTO taskscheduler.count_deltas VALUES ({incarnation}, 1, 0, '{}', '')",
        delta.counts_literal()
    ))?;
    Ok((Life { incarnation, writer: 1, seq: 2 }, rows))
}

/// What was running and will be queued.
fn requeued(session: &mut Session, node: &str, ours: i64) -> Result<Delta, StoreError> {
    let mut delta = Delta::default();
    let rows = session.query(
        "SELECT t.band, t.type_id, count(*)
         FROM taskscheduler.nodes n JOIN taskscheduler.tasks t ON t.owner = n.incarnation
         WHERE n.node_id = $1::text::uuid AND n.incarnation <> $2
           AND t.status = 3
         GROUP BY t.band, t.type_id",
        &[&node, &ours],
    )?;
    for row in rows {
        let running = Counted { status: 3, band: row.get(0), type_id: row.get(1), day: 0 };
        let tasks: i64 = row.get(2);
        delta.add(running, -tasks);
        delta.add(Counted { status: 2, ..running }, tasks);
    }
    Ok(delta)
}

/// What the end of its holder makes of a row. Suspicion by its codes: a suspect whose start was on
/// record becomes a loner, a loner that was running has one crash more.
macro_rules! after_crash {
    ($released:literal, $now:literal) => {
        concat!(
            "epoch = epoch + 1,
             suspicion = CASE WHEN ",
            $released,
            " THEN 0
                              WHEN suspicion IN (0, 1) THEN 1
                              WHEN suspicion = 2 THEN 16
                              WHEN suspicion % 2 = 1 THEN least(suspicion + 1, 526)
                              ELSE suspicion END,
             status = CASE WHEN status = 3 THEN 2 ELSE status END,
             version = version + (status = 3)::integer,
             updated_at = CASE WHEN status = 3 THEN ",
            $now,
            " ELSE updated_at END"
        )
    };
}
pub(super) use after_crash;

/// All rows that older lives of the node held.
const TAKE_OVER: &str = concat!(
    "WITH lives AS (
         SELECT incarnation AS life, state = 'released' AS released FROM taskscheduler.nodes
         WHERE node_id = $2::text::uuid AND incarnation <> $1)
     UPDATE taskscheduler.tasks SET owner = $1, ",
    after_crash!("released", "$3"),
    " FROM lives WHERE owner = life RETURNING ",
    row::live_columns!()
);

/// A number in the form of a uuid.
fn uuid(number: u128) -> String {
    let hex = format!("{number:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}
