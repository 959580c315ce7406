//! Claims by two clients at once from one table: plain ones, each a walk of the index that passes
//! over what the other has locked, beside those whose ids come out of Redis. And one read by id,
//! the least that the level of PostgreSQL costs.

use std::time::Duration;

use postgres::{Client, NoTls};
use redis::Commands;
use taskscheduler::clock::{Clock, SystemClock};
use test_servers::{Cluster, RedisServer};

use crate::{print, times};

/// Free rows in one measurement.
const ROWS: i64 = 100_000;
/// Clients that claim at once, as nodes do.
const NODES: usize = 2;

const PLAIN: &str = "UPDATE bench.rows SET owner = $1, epoch = epoch + 1 WHERE id IN (\
    SELECT id FROM bench.rows WHERE owner IS NULL AND band = 2 AND kind = 1 AND due <= 1000000000 \
    ORDER BY band, kind, due, id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id";

const BY_HINT: &str = "UPDATE bench.rows SET owner = $1, epoch = epoch + 1 WHERE id IN (\
    SELECT id FROM bench.rows WHERE id = ANY($2) AND owner IS NULL AND due <= 1000000000 \
    FOR UPDATE SKIP LOCKED) RETURNING id";

pub fn measure(server: &RedisServer) {
    let cluster = Cluster::start(&["max_wal_size=4GB"]);
    let account = cluster.account();
    let mut admin = account.connect();
    admin
        .batch_execute(
            "CREATE SCHEMA bench;
             CREATE TABLE bench.rows (id bigint PRIMARY KEY, band smallint, kind int, due bigint,
             owner bigint, epoch bigint DEFAULT 0, body text DEFAULT repeat('x', 100));
             CREATE INDEX free ON bench.rows (band, kind, due, id) WHERE owner IS NULL;",
        )
        .expect("a table");
    for limit in [64, 1024, 4096] {
        for by_hint in [false, true, false, true] {
            let rate = round(&account.url(), &mut admin, server, limit, by_hint);
            let way = if by_hint { "by hint" } else { "plain" };
            println!("claims of {limit:>4} rows, {NODES} clients, {way:<8} {rate:>9.0} rows/s");
        }
    }
    read_one(&mut admin);
}

/// One row by its id, in bare SQL.
fn read_one(admin: &mut Client) {
    let find = admin.prepare("SELECT * FROM bench.rows WHERE id = $1").expect("a statement");
    let mut reads = times();
    for id in 1..=5000_i64 {
        let clock = SystemClock::new();
        assert_eq!(admin.query(&find, &[&id]).expect("a read").len(), 1);
        reads.saturating_record(clock.mono().0);
    }
    print("read by id from PostgreSQL, bare SQL", &reads);
}

fn round(url: &str, admin: &mut Client, server: &RedisServer, limit: i64, by_hint: bool) -> f64 {
    admin
        .batch_execute(&format!(
            "TRUNCATE bench.rows; INSERT INTO bench.rows (id, band, kind, due) \
             SELECT n, 2, 1, n FROM generate_series(1, {ROWS}) n; ANALYZE bench.rows;"
        ))
        .expect("rows");
    let mut redis = connect(server);
    let () = redis.del("free").expect("no set");
    for start in (1..=ROWS).step_by(10_000) {
        let hints: Vec<(i64, i64)> = (start..start + 10_000).map(|n| (n, n)).collect();
        let () = redis.zadd_multiple("free", &hints).expect("hints");
    }
    let clock = SystemClock::new();
    let claimed: i64 = std::thread::scope(|scope| {
        let node = |owner| {
            let redis = connect(server);
            scope.spawn(move || claim_all(url, owner, limit, by_hint.then_some(redis)))
        };
        let nodes: Vec<_> = (1..=NODES as i64).map(node).collect();
        nodes.into_iter().map(|node| node.join().expect("a client that ends")).sum()
    });
    assert_eq!(claimed, ROWS, "each row is claimed once");
    ROWS as f64 / Duration::from_micros(clock.mono().0).as_secs_f64()
}

fn claim_all(url: &str, owner: i64, limit: i64, mut redis: Option<redis::Connection>) -> i64 {
    let mut client = Client::connect(url, NoTls).expect("a connection");
    let (plain, by_hint) = (
        client.prepare(PLAIN).expect("a statement"),
        client.prepare(BY_HINT).expect("a statement"),
    );
    let mut claimed = 0;
    loop {
        let hints: Vec<i64> = redis.as_mut().map_or_else(Vec::new, |redis| {
            let taken: Vec<(i64, f64)> = redis.zpopmin("free", limit as isize).expect("hints");
            taken.into_iter().map(|(id, _)| id).collect()
        });
        let rows = if hints.is_empty() {
            client.query(&plain, &[&owner, &limit])
        } else {
            client.query(&by_hint, &[&owner, &hints])
        };
        let rows = rows.expect("a claim").len() as i64;
        if rows == 0 {
            return claimed;
        }
        claimed += rows;
    }
}

fn connect(server: &RedisServer) -> redis::Connection {
    let client = redis::Client::open(server.url()).expect("an address");
    client.get_connection().expect("a connection")
}
