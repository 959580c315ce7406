//! Claims through the store itself, by two nodes at once: plain ones beside those that follow hints
//! from Redis. What is compared is all of it: the exchange with Redis, the fence, the claim, the
//! delta row and the commit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::Commands;
use sha2::{Digest, Sha256};
use taskscheduler::clock::{Clock, Mono, SystemClock};
use taskscheduler::domain::{Band, TimeMs};
use taskscheduler::store::migration::Migrate;
use taskscheduler::store::postgres::{Address, Options, PostgresStore, Target};
use taskscheduler::store::redis::{Leveled, PREFIX};
use taskscheduler::store::{Bands, Batch, ClaimAsk, Store, Taker};
use test_servers::{Account, Cluster, RedisServer};

use crate::level2;

/// Free rows in one measurement.
const ROWS: i64 = 40_000;
const NODES: u64 = 2;

pub fn measure(server: &RedisServer) {
    let cluster = Cluster::start(&["max_wal_size=4GB"]);
    for limit in [256, 1024, 4096] {
        for by_hint in [false, true, false, true] {
            let rate = round(&cluster, server, limit, by_hint);
            let way = if by_hint { "by hint" } else { "plain" };
            println!("store: claims of {limit:>4}, {NODES} nodes, {way:<8} {rate:>9.0} rows/s");
        }
    }
}

fn round(cluster: &Cluster, server: &RedisServer, limit: u32, by_hint: bool) -> f64 {
    let (account, folder) = (cluster.account(), tempfile::tempdir().expect("a folder"));
    let mut stores: Vec<Box<dyn Store>> = (0..NODES)
        .map(|node| {
            let store = open(&account, &folder.path().join(node.to_string()));
            if by_hint { Box::new(Leveled::over(store, level2(server, node)).0) } else { store }
        })
        .collect();
    let sql = format!(
        "SELECT count(taskscheduler.enqueue('NOOP', 'free')) FROM generate_series(1, {ROWS})"
    );
    let mut app = account.connect();
    app.query_one(&sql, &[]).expect("free rows");
    app.batch_execute("ANALYZE taskscheduler.tasks").expect("statistics");
    if by_hint {
        let ids = app.query("SELECT id FROM taskscheduler.tasks ORDER BY due, id", &[]);
        let ids: Vec<(i64, i64)> =
            ids.expect("ids").iter().map(|row| (row.get(0), row.get(0))).collect();
        hint(server, &ids);
    }
    let clock = SystemClock::new();
    let claimed: usize = std::thread::scope(|scope| {
        let nodes: Vec<_> =
            stores.iter_mut().map(|store| scope.spawn(|| claim_all(&mut **store, limit))).collect();
        nodes.into_iter().map(|node| node.join().expect("a node that ends")).sum()
    });
    assert_eq!(claimed as i64, ROWS, "each row is claimed once");
    ROWS as f64 / clock.mono().since(Mono::default()).as_secs_f64()
}

fn open(account: &Account, data: &Path) -> Box<dyn Store> {
    let address = Address {
        hosts: format!("127.0.0.1:{}", account.port),
        user: account.user.clone(),
        password: account.password.clone(),
        database: account.database.clone(),
        params: Vec::new(),
    };
    let options = Options {
        target: Target::new(&address).expect("an address"),
        migrate: Migrate::Apply,
        data: data.to_owned(),
        name: "bench".into(),
        readers_max: 2,
        readers_min: 0,
        lease: Duration::from_hours(1),
        clock: Arc::new(SystemClock::new()),
    };
    let mut store = PostgresStore::open(options).expect("a store");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    store.recover(SystemClock::new().now(), &pool).expect("a life");
    Box::new(store)
}

/// Puts hints where the nodes of [`level2`] look for them.
fn hint(server: &RedisServer, ids: &[(i64, i64)]) {
    let client = redis::Client::open(server.url()).expect("an address");
    let mut line = client.get_connection().expect("a connection");
    let digest = Sha256::digest([7; 16]);
    let realm = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let key = format!("{PREFIX}{realm:016x}:free:medium");
    let () = line.del(&key).expect("no set");
    for some in ids.chunks(10_000) {
        let () = line.zadd_multiple(&key, some).expect("hints");
    }
}

fn claim_all(store: &mut dyn Store, limit: u32) -> usize {
    let clock = SystemClock::new();
    let (mut claimed, mut seq) = (0, 0);
    loop {
        seq += Batch::PARTS;
        let ask = ClaimAsk {
            bands: Bands::One(Band::Medium),
            limit,
            bytes_max: usize::MAX,
            due_by: TimeMs(clock.now().0 + 2000),
            types: [Arc::from("NOOP")].into(),
            taker: Taker::Node,
        };
        let batch = Batch { seq, now: clock.now(), claims: vec![ask], ..Batch::default() };
        let tasks = store.commit(&batch).expect("a claim").claimed[0].tasks.len();
        if tasks == 0 {
            return claimed;
        }
        claimed += tasks;
    }
}
