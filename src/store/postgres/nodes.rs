//! The nodes that share a database: leases by its clock, the end of dead nodes, and inboxes.
//!
//! Whether a node may write is settled by its row in `nodes`, which every batch locks in share
//! mode; its lease only says when others may end it. Who ends a node first ends its sessions, since
//! a client that was stopped inside a statement keeps its locks for as long as it is connected.

use std::time::Duration;

use super::counts::{Counted, Delta};
use super::node::{after_crash, end_sessions, own_sessions};
use super::session::Session;
use super::target::Target;
use crate::domain::{Command, TaskId, TimeMs};
use crate::store::{Incarnation, Nodes, Peer, Reaped, Standing, StoreError, Wish, WishId};

/// The side of the store on which nodes know of each other, with a connection of its own.
pub(super) struct PostgresNodes {
    target: Target,
    session: Option<Session>,
    own: Incarnation,
    lease: Duration,
}

/// How long a call may take; whoever renews a lease has no more time.
const SETTINGS: &str = "SET statement_timeout = '3s'; SET lock_timeout = '2s'";
/// To end a node with many tasks takes longer.
const REAP_SETTINGS: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '10s'";
/// How often it is looked whether a session has ended, a twentieth of a second apart.
const LOOKS_MAX: u32 = 100;

impl PostgresNodes {
    pub(super) fn new(target: Target, own: Incarnation, lease: Duration) -> PostgresNodes {
        PostgresNodes { target, session: None, own, lease }
    }

    /// A connection that works, a new one if the last was lost.
    fn session(&mut self) -> Result<&mut Session, StoreError> {
        if self.session.as_ref().is_none_or(Session::is_lost) {
            let (mut client, _) = self.target.connect_writer("nodes")?;
            client.batch_execute(SETTINGS)?;
            self.session = Some(Session::new(client));
        }
        self.session.as_mut().ok_or_else(|| StoreError::Unavailable("not connected".into()))
    }

    /// Runs `talk` as one transaction.
    fn transaction<T>(
        &mut self,
        talk: impl FnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let session = self.session()?;
        let talked = session.script("BEGIN").and_then(|_| talk(session));
        let result = talked.and_then(|value| match session.script("COMMIT") {
            Ok(_) => Ok(value),
            Err(error) if session.is_lost() => Err(StoreError::Unknown(error.to_string())),
            Err(error) => Err(error),
        });
        if result.is_err() {
            session.roll_back();
        }
        result
    }
}

impl Nodes for PostgresNodes {
    fn own(&self) -> Incarnation {
        self.own
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    fn renew(&mut self) -> Result<Option<TimeMs>, StoreError> {
        let (own, lease) = (self.own.0 as i64, self.lease.as_secs_f64());
        let renewed = self.session()?.query(
            "UPDATE taskscheduler.node_leases SET renewed_at = clock_timestamp(),
                 expires_at = clock_timestamp() + $2 * interval '1 second'
             WHERE incarnation = $1 AND EXISTS (
                 SELECT 1 FROM taskscheduler.nodes n
                 WHERE n.incarnation = $1 AND n.state <> 'dead')
             RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            &[&own, &lease],
        )?;
        let now = renewed.first().map(|row| TimeMs(row.get(0)));
        now.map(Some).ok_or_else(super::commit::fenced)
    }

    fn peers(&mut self) -> Result<Vec<Peer>, StoreError> {
        let rows = self.session()?.query(
            "SELECT n.incarnation, n.name, n.state,
                 (extract(epoch FROM l.expires_at - clock_timestamp()) * 1000)::bigint
             FROM taskscheduler.nodes n JOIN taskscheduler.node_leases l USING (incarnation)
             WHERE n.state <> 'dead' ORDER BY n.incarnation",
            &[],
        )?;
        let peer = |row: &postgres::Row| {
            let (number, left): (i64, i64) = (row.get(0), row.get(3));
            let standing = match (row.get::<_, &str>(2), u64::try_from(left)) {
                ("released", _) => Standing::Released,
                (_, Ok(left)) if left > 0 => Standing::Alive(Duration::from_millis(left)),
                _ => Standing::Overdue,
            };
            let (incarnation, name) = (Incarnation(number as u64), row.get::<_, &str>(1).into());
            Peer { incarnation, name, standing }
        };
        Ok(rows.iter().map(peer).collect())
    }

    fn reap(&mut self, node: Incarnation) -> Result<Option<Reaped>, StoreError> {
        let (own, node) = (self.own.0 as i64, node.0 as i64);
        let session = self.session()?;
        if session.query(MAY_END, &[&node])?.is_empty() {
            return Ok(None);
        }
        end_sessions(session, node)?;
        for _ in 0..LOOKS_MAX {
            if own_sessions(session, node)? == 0 {
                break;
            }
            session.query("SELECT pg_sleep(0.05)", &[])?;
        }
        self.transaction(|session| {
            session.script(REAP_SETTINGS)?;
            let alive = "SELECT 1 FROM taskscheduler.nodes
                         WHERE incarnation = $1 AND state <> 'dead' FOR SHARE";
            if session.query(alive, &[&own])?.is_empty() {
                return Err(super::commit::fenced());
            }
            end(session, own, node)
        })
    }

    fn post(&mut self, wishes: &[Wish]) -> Result<Vec<WishId>, StoreError> {
        let own = self.own.0 as i64;
        let of = |number: &dyn Fn(&Wish) -> i64| wishes.iter().map(number).collect::<Vec<i64>>();
        let holders = of(&|wish| wish.holder.0 as i64);
        let tasks = of(&|wish| wish.task.get() as i64);
        let ops: Vec<i16> = wishes.iter().map(|wish| op(wish.command)).collect();
        let ids = self.transaction(|session| {
            // Whoever ends a holder waits for this, and then finds the wish; or it is dead already.
            let living = "SELECT incarnation FROM taskscheduler.nodes
                          WHERE incarnation = ANY($1) AND state <> 'dead'
                          ORDER BY incarnation FOR SHARE";
            let living = session.query(living, &[&holders])?;
            let living: Vec<i64> = living.iter().map(|row| row.get(0)).collect();
            session.query(
                "INSERT INTO taskscheduler.task_inbox (node, task_id, epoch, op)
                 SELECT CASE WHEN u.node = ANY($4) THEN u.node ELSE $5 END, u.task, 0, u.op
                 FROM unnest($1::bigint[], $2::bigint[], $3::smallint[])
                     WITH ORDINALITY AS u (node, task, op, place)
                 ORDER BY u.place RETURNING id",
                &[&holders, &tasks, &ops, &living, &own],
            )
        })?;
        Ok(ids.iter().map(|row| WishId(row.get::<_, i64>(0) as u64)).collect())
    }

    fn inbox(&mut self, limit: u32) -> Result<Vec<(WishId, Wish)>, StoreError> {
        let holder = self.own;
        // Locked only so that a server that has become read-only refuses it: another one is the
        // truth now, and nothing new would ever come here.
        let rows = self.session()?.query(
            "SELECT id, task_id, op FROM taskscheduler.task_inbox
             WHERE node = $1 AND detail IS NULL ORDER BY id LIMIT $2 FOR KEY SHARE",
            &[&(holder.0 as i64), &i64::from(limit)],
        )?;
        let wish = |row: &postgres::Row| {
            let id = WishId(row.get::<_, i64>(0) as u64);
            let task = TaskId::new(row.get::<_, i64>(1) as u64)?;
            Some((id, Wish { holder, task, command: command(row.get(2))? }))
        };
        Ok(rows.iter().filter_map(wish).collect())
    }

    fn answer(&mut self, answers: &[(WishId, Box<str>)]) -> Result<(), StoreError> {
        let ids: Vec<i64> = answers.iter().map(|(id, _)| id.0 as i64).collect();
        let words: Vec<&[u8]> = answers.iter().map(|(_, words)| words.as_bytes()).collect();
        let sql = "UPDATE taskscheduler.task_inbox i SET detail = u.words
                   FROM unnest($1::bigint[], $2::bytea[]) AS u (id, words) WHERE i.id = u.id";
        self.session()?.execute(sql, &[&ids, &words]).map(drop)
    }

    fn pass_on(&mut self, wish: WishId, holder: Incarnation) -> Result<(), StoreError> {
        let sql = "UPDATE taskscheduler.task_inbox SET node = $2 WHERE id = $1";
        self.session()?.execute(sql, &[&(wish.0 as i64), &(holder.0 as i64)]).map(drop)
    }

    fn take_answers(&mut self, wishes: &[WishId]) -> Result<Vec<(WishId, Box<str>)>, StoreError> {
        let ids: Vec<i64> = wishes.iter().map(|id| id.0 as i64).collect();
        let rows = self.session()?.query(
            "DELETE FROM taskscheduler.task_inbox WHERE id = ANY($1) AND detail IS NOT NULL
             RETURNING id, detail",
            &[&ids],
        )?;
        let answer = |row: &postgres::Row| {
            let words = String::from_utf8_lossy(row.get(1)).into();
            (WishId(row.get::<_, i64>(0) as u64), words)
        };
        Ok(rows.iter().map(answer).collect())
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        let sql = "DELETE FROM taskscheduler.task_inbox
                   WHERE detail IS NOT NULL AND wished_at < now() - interval '1 minute'";
        self.session()?.execute(sql, &[]).map(drop)
    }
}

/// Whether a node may be ended.
const MAY_END: &str = "SELECT 1 FROM taskscheduler.nodes n
    JOIN taskscheduler.node_leases l USING (incarnation)
    WHERE n.incarnation = $1
      AND (n.state = 'released' OR (n.state = 'alive' AND l.expires_at <= clock_timestamp()))";

/// What a dead node held. What workers lease is nobody's, and is not among it.
const FREE: &str = concat!(
    "UPDATE taskscheduler.tasks SET owner = NULL,
         cancel_requested = cancel_requested OR id IN (
             SELECT task_id FROM taskscheduler.task_inbox
             WHERE node = $1 AND detail IS NULL AND op = 0), ",
    after_crash!("$2::boolean", "$3::bigint"),
    " WHERE owner = $1"
);

/// Ends a node inside a transaction, if it still may be.
fn end(session: &mut Session, own: i64, node: i64) -> Result<Option<Reaped>, StoreError> {
    let lock = "SELECT state = 'released', (extract(epoch FROM clock_timestamp()) * 1000)::bigint
                FROM taskscheduler.nodes WHERE incarnation = $1 AND state <> 'dead' FOR UPDATE";
    let rows = session.query(lock, &[&node])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (released, now): (bool, i64) = (row.get(0), row.get(1));
    if session.query(MAY_END, &[&node])?.is_empty() {
        return Ok(None);
    }
    let mark = "UPDATE taskscheduler.nodes SET state = 'dead', ended_at = now()
                WHERE incarnation = $1";
    session.execute(mark, &[&node])?;
    let delta = requeued(session, node)?;
    let freed = session.execute(FREE, &[&node, &released, &now])?;
    let wishes = "UPDATE taskscheduler.task_inbox SET node = $2
                  WHERE node = $1 AND detail IS NULL";
    let wishes = session.execute(wishes, &[&node, &own])?;
    if !delta.is_empty() {
        // The dead write no more, so nobody else takes this number.
        session.script(&format!(
            "INSERT INTO taskscheduler.count_deltas
             SELECT {node}, 1 + greatest(
                 (SELECT max(seq) FROM taskscheduler.count_deltas WHERE incarnation = {node}),
                 (SELECT seq FROM taskscheduler.folds WHERE incarnation = {node})),
                 0, '{}', ''",
            delta.counts_literal()
        ))?;
    }
    Ok(Some(Reaped { freed, wishes }))
}

/// What was running and will be queued.
fn requeued(session: &mut Session, node: i64) -> Result<Delta, StoreError> {
    let mut delta = Delta::default();
    let rows = session.query(
        "SELECT band, type_id, count(*) FROM taskscheduler.tasks
         WHERE owner = $1 AND status = 3 GROUP BY band, type_id",
        &[&node],
    )?;
    for row in rows {
        let running = Counted { status: 3, band: row.get(0), type_id: row.get(1), day: 0 };
        let tasks: i64 = row.get(2);
        delta.add(running, -tasks);
        delta.add(Counted { status: 2, ..running }, tasks);
    }
    Ok(delta)
}

/// The code of a command: nought cancels, 1 retries, the others put to a status.
fn op(command: Command) -> i16 {
    match command {
        Command::Cancel => 0,
        Command::Retry => 1,
        Command::Put(status) => 10 + i16::from(status.code()),
    }
}

/// The command with this code; `None`: a later version's.
fn command(op: i16) -> Option<Command> {
    use crate::domain::StatusKind;
    match op {
        0 => Some(Command::Cancel),
        1 => Some(Command::Retry),
        op => StatusKind::from_code(u8::try_from(op - 10).ok()?).map(Command::Put),
    }
}
