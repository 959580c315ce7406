//! What the second level gains, on throw-away servers: the time of one read by level, the time of a
//! notice from node to node, and claims by hint beside plain claims.
//!
//! `cargo bench --bench levels` prints a table. Claims are measured twice: as bare SQL on a table
//! with the index that claims walk, so that what is compared is the two ways to the rows and
//! nothing else, and through the store, with all that a claim costs there.

#[path = "levels/claims.rs"]
mod claims;
#[path = "http/machine.rs"]
#[expect(dead_code, reason = "shared with another bench, which uses the rest")]
mod machine;
#[path = "levels/reads.rs"]
mod reads;
#[path = "levels/store.rs"]
mod store;

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use taskscheduler::clock::{Clock, SystemClock};
use taskscheduler::store::redis::{Level2, Level2Settings, RedisAddress};
use test_servers::RedisServer;

/// How long documents last, and how long the bench waits until they are believed.
const TTL: Duration = Duration::from_secs(3);

fn main() {
    println!("{:#}", machine::facts());
    let server = RedisServer::start(&[]);
    reads::measure(&server);
    claims::measure(&server);
    store::measure(&server);
}

/// One node's second level, connected.
fn level2(server: &RedisServer, seed: u64) -> Arc<Level2> {
    let address = RedisAddress {
        hosts: vec![("127.0.0.1".into(), server.port())],
        sentinel: None,
        user: String::new(),
        password: String::new(),
        database: 0,
        tls: None,
    };
    let patience = Duration::from_millis(500);
    let settings =
        Level2Settings { address, patience, pool_max: 4, ttl: TTL, secret: [7; 16], seed };
    let level2 = Arc::new(Level2::new(settings, Arc::new(SystemClock::new())));
    wait_for(|| {
        level2.tend();
        level2.is_up()
    });
    level2
}

/// Waits until something holds.
fn wait_for(mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let never = crossbeam_channel::never::<()>();
    while !holds() {
        assert!(clock.mono().0 < 30_000_000, "not within 30 s");
        let _ = never.recv_timeout(Duration::from_millis(1));
    }
}

/// Times in microseconds.
fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds")
}

fn print(what: &str, times: &Histogram<u64>) {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    println!("{what:<52} p50 {:>8.3} ms   p99 {:>8.3} ms", at(0.5), at(0.99));
}
