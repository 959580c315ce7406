//! The floor: one thread that writes the same rows by bare SQL into the same schema, with a commit
//! for every batch and what must be counted about it.

use std::io::{Read, Write};

use postgres::Client;
use taskscheduler::clock::{Clock, SystemClock};
use test_servers::Account;

use super::ground::rate;
use super::inside::BATCH;

/// Rows that are claimed and completed at a time: as many as the scheduler claims at most.
const CLAIM: u64 = 4096;

/// Rows in the binary form of COPY, one batch after the other, and how many there are.
pub struct Rows {
    batches: Vec<Vec<u8>>,
    rows: u64,
}

/// A connection to a store that nobody else uses.
pub struct Floor {
    client: Client,
}

impl Floor {
    pub fn new(account: &Account) -> Floor {
        let mut client = account.connect();
        // As every session of the scheduler that writes is told: a fresh table without statistics
        // would be scanned.
        let settings = "SET enable_seqscan = off; SET enable_hashjoin = off;
             SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan;
             INSERT INTO taskscheduler.task_types (name) VALUES ('NOOP')";
        client.batch_execute(settings).expect("settings");
        Floor { client }
    }

    /// What waits in a store.
    pub fn live_rows(account: &Account) -> Rows {
        copy_out(account, "tasks", BATCH)
    }

    /// What has ended in a store, all on one day or two.
    pub fn ended_rows(account: &Account) -> Rows {
        copy_out(account, "task_history", CLAIM)
    }

    /// Inserts them: COPY, a delta row, COMMIT.
    pub fn insert(&mut self, rows: &Rows) -> f64 {
        let into = self.client.prepare("COPY taskscheduler.tasks FROM STDIN (FORMAT binary)");
        let into = into.expect("a statement");
        let clock = SystemClock::new();
        let from = clock.mono();
        for (number, batch) in rows.batches.iter().enumerate() {
            self.client.batch_execute("BEGIN").expect("a transaction");
            let mut copy = self.client.copy_in(&into).expect("a copy");
            copy.write_all(batch).expect("rows");
            copy.finish().expect("rows");
            self.client.batch_execute(&counted(number, 2)).expect("a commit");
        }
        rate(rows.rows, &clock, from)
    }

    /// Claims what was inserted and completes it: each claim in a transaction, and each completion.
    pub fn drain(&mut self, ended: &Rows) -> f64 {
        // The least of what a scheduler needs to know: what to run.
        let claim = "WITH first AS MATERIALIZED (
                 SELECT id FROM taskscheduler.tasks
                 WHERE owner IS NULL AND status <> 3 AND status <> 5 AND band = 2 AND type_id = 1
                   AND due <= $1 ORDER BY due, id LIMIT $2 FOR UPDATE SKIP LOCKED)
             UPDATE taskscheduler.tasks t SET owner = 1, epoch = epoch + 1 FROM first
             WHERE t.id = first.id RETURNING t.*";
        let claim = self.client.prepare(claim).expect("a statement");
        let end = "DELETE FROM taskscheduler.tasks t
             USING unnest($1::bigint[], $2::bigint[]) AS u (id, epoch)
             WHERE t.id = u.id AND t.epoch = u.epoch";
        let end = self.client.prepare(end).expect("a statement");
        let into = "COPY taskscheduler.task_history FROM STDIN (FORMAT binary)";
        let into = self.client.prepare(into).expect("a statement");
        let clock = SystemClock::new();
        let from = clock.mono();
        let due = clock.now().0;
        for (number, batch) in ended.batches.iter().enumerate() {
            let claimed = self.client.query(&claim, &[&due, &(CLAIM as i64)]).expect("a claim");
            let ids: Vec<i64> = claimed.iter().map(|row| row.get("id")).collect();
            let epochs: Vec<i64> = claimed.iter().map(|row| row.get("epoch")).collect();
            self.client.batch_execute("BEGIN").expect("a transaction");
            let gone = self.client.execute(&end, &[&ids, &epochs]).expect("a completion");
            assert_eq!(gone, ids.len() as u64);
            let mut copy = self.client.copy_in(&into).expect("a copy");
            copy.write_all(batch).expect("rows");
            copy.finish().expect("rows");
            self.client.batch_execute(&counted(number, 6)).expect("a commit");
        }
        let rate = rate(ended.rows, &clock, from);
        let left = "SELECT count(*) FROM taskscheduler.tasks";
        let left: i64 = self.client.query_one(left, &[]).expect("a count").get(0);
        assert_eq!(left, 0, "the floor left tasks behind");
        rate
    }
}

/// What a batch counts, and its end.
fn counted(number: usize, status: u32) -> String {
    let life = 1000 + status;
    let minute = "00".repeat(150);
    format!(
        "INSERT INTO taskscheduler.count_deltas (incarnation, seq, batch, counts, minutes)
         VALUES ({life}, {number}, {number}, '{{{status},2,1,0,1000}}', '\\x{minute}'); COMMIT"
    )
}

fn copy_out(account: &Account, table: &str, rows_each: u64) -> Rows {
    let mut client = account.connect();
    let ids = format!("SELECT id FROM taskscheduler.{table} ORDER BY id");
    let ids: Vec<i64> =
        client.query(&ids, &[]).expect("ids").iter().map(|row| row.get(0)).collect();
    let batches = ids.chunks(rows_each as usize).map(|ids| {
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        let sql = format!(
            "COPY (SELECT * FROM taskscheduler.{table} WHERE id BETWEEN {first} AND {last} \
             ORDER BY id) TO STDOUT (FORMAT binary)"
        );
        let mut bytes = Vec::new();
        client.copy_out(&sql).expect("a copy").read_to_end(&mut bytes).expect("rows");
        bytes
    });
    let batches = batches.collect();
    Rows { batches, rows: ids.len() as u64 }
}
