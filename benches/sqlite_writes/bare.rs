//! The same rows by plain SQL in the same schema: what the store could reach at best, and what the
//! ways not chosen would have reached.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params_from_iter};
use taskscheduler::store::sqlite::migrate::MIGRATIONS;

use crate::through;
use crate::{BATCH, CLAIM, Rate, Stopwatch, TASKS};

type Rows = Vec<Vec<Value>>;

const READY: &str = "CREATE INDEX tasks_ready ON tasks (band, type_id, due) WHERE status = 2";

/// A database with the store's schema and settings, and `more` SQL run in it.
fn database(folder: &Path, more: &str) -> Connection {
    let conn = Connection::open(folder.join("bare.db")).expect("a database");
    conn.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 10000; PRAGMA cache_size = -16384;",
    )
    .expect("settings");
    for migration in MIGRATIONS {
        // One table for all needs all statuses in it.
        let sql = migration.sql.replace("BETWEEN 0 AND 5", "BETWEEN 0 AND 8");
        conn.execute_batch(&sql).expect("the schema");
    }
    conn.execute_batch(more).expect("more schema");
    conn
}

/// The rows that the store writes for all tasks, held or free.
fn rows(watch: &Stopwatch, ended: bool) -> Rows {
    let folder = tempfile::tempdir().expect("a folder");
    drop(through::open(folder.path(), watch));
    through::fill(folder.path(), watch, ended);
    let conn = Connection::open(folder.path().join("tasks.db")).expect("the rows");
    let table = if ended { "task_history" } else { "tasks" };
    let mut all = conn.prepare(&format!("SELECT * FROM {table} ORDER BY id")).expect("rows");
    let columns = all.column_count();
    let read = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect();
    all.query_map((), read).expect("rows").map(|row| row.expect("a row")).collect()
}

fn insert_into<'c>(conn: &'c Connection, table: &str, rows: &Rows) -> Statement<'c> {
    let marks = vec!["?"; rows[0].len()].join(",");
    conn.prepare(&format!("INSERT INTO {table} VALUES ({marks})")).expect("an insert")
}

fn put(statement: &mut Statement<'_>, rows: &[Vec<Value>]) {
    for row in rows {
        statement.execute(params_from_iter(row)).expect("inserted");
    }
}

fn inserts(watch: &Stopwatch, more: &str) -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    let conn = database(folder.path(), more);
    let rows = rows(watch, false);
    let mut insert = insert_into(&conn, "tasks", &rows);
    let from = watch.start();
    for batch in rows.chunks(BATCH) {
        conn.execute_batch("BEGIN IMMEDIATE").expect("begun");
        put(&mut insert, batch);
        conn.execute_batch("COMMIT").expect("committed");
    }
    watch.rate(from)
}

pub fn insert(watch: &Stopwatch) -> Rate {
    inserts(watch, "")
}

pub fn insert_indexed(watch: &Stopwatch) -> Rate {
    inserts(watch, READY)
}

/// Each commit inserts a batch and ends the one before, by `end`.
fn lives(
    watch: &Stopwatch,
    more: &str,
    end: impl for<'c> Fn(&'c Connection, Rows) -> Box<dyn FnMut(usize) + 'c>,
) -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    let conn = database(folder.path(), more);
    let (live, ended) = (rows(watch, false), rows(watch, true));
    let mut insert = insert_into(&conn, "tasks", &live);
    let mut end = end(&conn, ended);
    let from = watch.start();
    for part in 0..=TASKS / BATCH {
        conn.execute_batch("BEGIN IMMEDIATE").expect("begun");
        if let Some(batch) = live.chunks(BATCH).nth(part) {
            put(&mut insert, batch);
        }
        if part > 0 {
            ((part - 1) * BATCH..part * BATCH).for_each(&mut end);
        }
        conn.execute_batch("COMMIT").expect("committed");
    }
    watch.rate(from)
}

fn moved(conn: &Connection, ended: Rows) -> Box<dyn FnMut(usize) + '_> {
    let mut delete =
        conn.prepare("DELETE FROM tasks WHERE id = ? AND epoch = ? AND status = 2").expect("sql");
    let mut insert = insert_into(conn, "task_history", &ended);
    Box::new(move |at| {
        let gone = delete.execute((&ended[at][0], &ended[at][4])).expect("deleted");
        assert_eq!(gone, 1);
        put(&mut insert, &ended[at..=at]);
    })
}

fn in_place(conn: &Connection, ended: Rows) -> Box<dyn FnMut(usize) + '_> {
    let mut update = conn
        .prepare(
            "UPDATE tasks SET owner = NULL, status = 6, version = ?, updated_at = ?,
                 completed_at = ?, run_started_at = ?, run_took_us = ?, run_waited_us = ?
             WHERE id = ? AND epoch = ? AND status = 2",
        )
        .expect("sql");
    Box::new(move |at| {
        let row = &ended[at];
        let values = [8, 7, 13, 19, 20, 21, 0, 4].map(|column| &row[column]);
        assert_eq!(update.execute(params_from_iter(values)).expect("updated"), 1);
    })
}

pub fn life(watch: &Stopwatch) -> Rate {
    lives(watch, "", moved)
}

pub fn life_indexed(watch: &Stopwatch) -> Rate {
    lives(watch, READY, moved)
}

/// The index over free rows would hold every ended one, so it goes.
pub fn life_in_place(watch: &Stopwatch) -> Rate {
    lives(watch, "DROP INDEX tasks_free; DROP INDEX tasks_status", in_place)
}

pub fn in_place_indexed(watch: &Stopwatch) -> Rate {
    let more = format!("DROP INDEX tasks_free; DROP INDEX tasks_status; {READY}");
    lives(watch, &more, in_place)
}

/// Claims all free rows in order, and moves what was claimed to the history in the next commit.
pub fn drain(watch: &Stopwatch) -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    let conn = database(folder.path(), "");
    let (mut live, ended) = (rows(watch, false), rows(watch, true));
    for row in &mut live {
        row[1] = Value::Null;
    }
    put_all(&conn, &live);
    let mut next = conn
        .prepare(
            "SELECT id FROM tasks WHERE owner IS NULL AND status <> 5 AND band = ? AND type_id = 1
             ORDER BY due, id LIMIT ?",
        )
        .expect("sql");
    let mut find = conn.prepare("SELECT * FROM tasks WHERE id = ?").expect("sql");
    let mut own =
        conn.prepare("UPDATE tasks SET owner = 1, epoch = epoch + 1 WHERE id = ?").expect("sql");
    let mut delete =
        conn.prepare("DELETE FROM tasks WHERE id = ? AND epoch = 2 AND status = 2").expect("sql");
    let mut insert = insert_into(&conn, "task_history", &ended);
    let columns = live[0].len();
    let from = watch.start();
    let (mut taken, mut held) = (0, Vec::<i64>::new());
    while taken < TASKS || !held.is_empty() {
        conn.execute_batch("BEGIN IMMEDIATE").expect("begun");
        for id in held.drain(..) {
            assert_eq!(delete.execute([id]).expect("deleted"), 1);
            put(&mut insert, &ended[id as usize - 1..id as usize]);
        }
        for band in 0..5 {
            let ids = next.query_map((band, CLAIM as i64 / 5), |row| row.get(0)).expect("ids");
            let ids: Vec<i64> = ids.map(|id| id.expect("an id")).collect();
            for id in ids {
                let read = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect();
                let row: Vec<Value> = find.query_row([id], read).expect("a row");
                assert_eq!(row.len(), columns);
                own.execute([id]).expect("owned");
                held.push(id);
            }
        }
        taken += held.len();
        conn.execute_batch("COMMIT").expect("committed");
    }
    watch.rate(from)
}

fn put_all(conn: &Connection, rows: &Rows) {
    let mut insert = insert_into(conn, "tasks", rows);
    for batch in rows.chunks(BATCH) {
        conn.execute_batch("BEGIN").expect("begun");
        put(&mut insert, batch);
        conn.execute_batch("COMMIT").expect("committed");
    }
}
