//! The stores: whether they can be reached, what they are, and whether they keep what they promise.

use std::sync::Arc;
use std::time::Duration;

use super::Finding;
use crate::cli::commands::{database, serve};
use crate::cli::config::{Config, DatabaseUrl, RedisUrl, Url};
use crate::clock::{Clock, SystemClock};
use crate::domain::TimeMs;
use crate::store::migration::Schema;
use crate::store::postgres::{self, Look};
use crate::store::redis::{Greeting, Level2, Level2Settings};
use crate::store::sqlite;

/// What a node opens beside the connections of its readers: writer, lease, inbox.
const CONNECTIONS_BESIDE: u32 = 3;

/// Clocks that are further apart make times in answers jump from node to node.
const APART_MS: i64 = 1000;

/// A database that is further away holds up every answer to a submit.
const FAR: Duration = Duration::from_millis(5);

/// Looks at the store, and at Redis where there is one.
pub(super) fn look(config: &Config, clock: &dyn Clock) -> Vec<Finding> {
    let mut findings = vec![time(clock.now())];
    match &config.database.url {
        DatabaseUrl::Sqlite => findings.push(embedded(config)),
        DatabaseUrl::Postgres(url) => {
            let looked = database::target(config, url)
                .and_then(|target| postgres::look(&target, clock))
                .map(|look| database_findings(&look, config.database.pool_max));
            findings.extend(looked.unwrap_or_else(|error| {
                let cure = "see to the server, its address, role and password (database.*)";
                vec![Finding::fail("store", format!("{}: {error}", url.masked()), cure)]
            }));
        }
    }
    if let RedisUrl::Server(url) = &config.redis.url {
        findings.push(redis(config, url));
    }
    findings
}

fn time(now: TimeMs) -> Finding {
    // Before this program was written.
    let first = TimeMs(1_735_689_600_000);
    if now < first {
        let cure = "set the clock and keep it right (systemd-timesyncd, chrony)";
        return Finding::fail("clock", "it shows a time that is past", cure);
    }
    Finding::ok("clock", "shows a time that can be")
}

fn embedded(config: &Config) -> Finding {
    const ABOUT: &str = "store";
    match sqlite::migrate::info(&config.node.data).and_then(Schema::checked) {
        Ok(schema) => Finding::ok(ABOUT, format!("SQLite, {}", standing(&schema))),
        Err(error) => {
            let cure = "use the program that wrote it, or restore a backup";
            Finding::fail(ABOUT, format!("SQLite: {error}"), cure)
        }
    }
}

fn standing(schema: &Schema) -> String {
    match (schema.version(), schema.pending.len()) {
        (0, _) => "not made yet, which a start does".into(),
        (version, 0) => format!("schema {version}, up to date"),
        (version, pending) => format!("schema {version}, {pending} migrations to apply"),
    }
}

pub(super) fn database_findings(look: &Look, pool_max: u32) -> Vec<Finding> {
    const ABOUT: &str = "store";
    let mut findings = Vec::new();
    let about = format!("PostgreSQL {}, {}", look.version, standing(&look.schema));
    findings.push(if look.schema.version() == 0 && !look.may_make_schema {
        Finding::fail(ABOUT, about, "GRANT CREATE ON DATABASE ... TO the role")
    } else {
        Finding::ok(ABOUT, about)
    });
    findings.push(if look.unsafe_settings.is_empty() {
        let word = &look.synchronous_commit;
        let ours = if word == "off" { ", which each of our sessions switches on" } else { "" };
        Finding::ok("durability", format!("fsync on, synchronous_commit {word}{ours}"))
    } else {
        let found = format!("{} off: a 201 survives no power cut", look.unsafe_settings.join(", "));
        Finding::fail("durability", found, "switch it on in postgresql.conf")
    });
    let needs = pool_max + CONNECTIONS_BESIDE;
    let (there, most) = (look.connections, look.connections_max);
    let found = format!("{there} of {most} in use, this node opens up to {needs}");
    findings.push(if there + needs > most {
        let cure = "raise max_connections or lower database.pool-max on every node";
        Finding::warn("connections", found, cure)
    } else {
        Finding::ok("connections", found)
    });
    let trip = format!("{:.2} ms for a question", look.round_trip.as_secs_f64() * 1e3);
    findings.push(if look.round_trip > FAR {
        let cure = "bring node and database nearer: a submit waits for several such trips";
        Finding::warn("distance", trip, cure)
    } else {
        Finding::ok("distance", trip)
    });
    let apart = look.clock_ahead_ms;
    findings.push(if apart.abs() > APART_MS {
        let cure = "keep both clocks right (systemd-timesyncd, chrony)";
        Finding::warn("clock", format!("the database's is {apart} ms ahead of ours"), cure)
    } else {
        Finding::ok("clock", format!("{} ms apart from the database's", apart.abs()))
    });
    findings
}

fn redis(config: &Config, url: &Url) -> Finding {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let greeted = serve::redis_address(url).and_then(|address| {
        let settings = Level2Settings {
            address,
            patience: config.redis.timeout_ms,
            pool_max: 1,
            ttl: config.redis.document_ttl,
            // Nothing is written or read.
            secret: [0; 16],
            seed: 0,
        };
        Level2::new(settings, clock).greet().map_err(|error| format!("failed to {error}"))
    });
    match greeted {
        Ok(greeting) => redis_finding(&greeting),
        Err(error) => {
            let cure = "see to it; it costs only speed, but an unfit one stops the start";
            Finding::warn("redis", format!("{}: {error}", url.masked()), cure)
        }
    }
}

pub(super) fn redis_finding(greeting: &Greeting) -> Finding {
    let Greeting { version, eviction, memory_max, .. } = greeting;
    let mib = memory_max >> 20;
    let limit = if *memory_max == 0 { "no limit".into() } else { format!("{mib} MiB") };
    let found = format!("Redis {version}, {limit}, maxmemory-policy {eviction}");
    if eviction == "noeviction" {
        return Finding::ok("redis", found);
    }
    let cure = "set maxmemory-policy noeviction: a full server is put up with";
    Finding::warn("redis", found, cure)
}
