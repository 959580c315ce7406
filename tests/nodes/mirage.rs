//! A Redis that does everything a Redis can do wrong, under two nodes that work: it is flushed,
//! killed, frozen, full, a replica of nobody, it lies, forgets what it was told and loses what was
//! taken out of it, and the line to it is bad. None of it may be noticed but by the clock.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use redis::{ConnectionLike, Value};
use test_servers::{Fault, Plan, Proxy, RedisServer, Way};

use super::load::{Reckoning, under_load};
use super::town::{Town, metric, wait_until};
use crate::ledger::random::Random;
use crate::ledger::server::Server;

/// How long documents last, and how long a fault.
const TTL: Duration = Duration::from_secs(2);
const PHASE: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_mins(1);
const BANDS: [&str; 5] = ["critical", "high", "medium", "low", "bulk"];

/// What is known when it is over.
#[derive(Default)]
pub struct Mirage {
    flushes: u64,
    kills: u64,
    freezes: u64,
    refused_writes: u64,
    lies: u64,
    lost_hints: u64,
    on_the_line: u64,
    from_redis: u64,
    pub reckoning: Reckoning,
}

impl Mirage {
    pub fn run(seed: u64) -> Mirage {
        let redis = RedisServer::start(&["maxmemory-policy=noeviction"]);
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], redis.port()))).expect("a proxy");
        let ttl = format!("{}s", TTL.as_secs());
        let town = Town::new()
            .with_redis(&format!("redis://{}/0", proxy.address()))
            .set("TASK_SCHEDULER_REDIS_DOCUMENT_TTL", &ttl);
        let mut nodes = vec![town.node("a"), town.node("b")];
        await_redis(&nodes);
        let mut mirage = Mirage::default();
        let mut random = Random::new(seed);
        let reckoning = under_load(&mut nodes, |nodes, _| {
            // In peace first, so that there is something to lose.
            peace(nodes, PHASE);
            mirage.befall(&redis, &proxy, nodes, &mut random);
            // No node ends and no answer of the database is lost: every task is claimed once.
            0
        });
        await_redis(&nodes);
        wait_until("nothing stays there", TTL + PATIENCE, || leftovers(&redis).is_empty());
        let of = |line: &str| nodes.iter().map(|node| metric(node, line)).sum::<u64>();
        mirage.from_redis = of("taskscheduler_redis_hints_total{what=\"claimed\"}")
            + of("taskscheduler_redis_notices_total{way=\"heard\"}")
            + of("taskscheduler_task_reads_total{level=\"redis\"}");
        mirage.reckoning = reckoning;
        mirage
    }

    fn befall(
        &mut self,
        redis: &RedisServer,
        proxy: &Proxy,
        nodes: &[Server],
        random: &mut Random,
    ) {
        for _ in 0..10 {
            tell(redis, &["FLUSHALL"]);
            self.flushes += 1;
            peace(nodes, PHASE / 10);
        }
        redis.kill();
        peace(nodes, PHASE);
        redis.start_again();
        self.kills += 1;
        await_redis(nodes);
        redis.freeze();
        peace(nodes, PHASE);
        redis.thaw();
        self.freezes += 1;
        await_redis(nodes);
        tell(redis, &["CONFIG", "SET", "maxmemory", "1"]);
        peace(nodes, PHASE);
        tell(redis, &["CONFIG", "SET", "maxmemory", "0"]);
        // A replica of nobody takes no writes.
        tell(redis, &["REPLICAOF", "127.0.0.1", "1"]);
        peace(nodes, PHASE);
        tell(redis, &["REPLICAOF", "NO", "ONE"]);
        self.refused_writes += refused(redis);
        await_redis(nodes);
        for _ in 0..25 {
            self.lie(redis, random);
            peace(nodes, PHASE / 25);
        }
        proxy.plan(Plan::Random {
            seed: random.next(),
            one_in: 12,
            faults: vec![
                Fault::Delay(Duration::from_millis(120)),
                Fault::CutAfter(Way::Asking, 20),
                Fault::CutAfter(Way::Answering, 9),
                Fault::HalfClose(Way::Answering, 9),
                Fault::Reset,
                Fault::BlackHole,
            ],
        });
        peace_until(nodes, || proxy.injected() > 15);
        // A node that dies between what it took out and what it makes of it.
        proxy.plan(Plan::All(Fault::LoseAnswerTo(b"ZPOPMIN".to_vec())));
        peace_until(nodes, || proxy.injected() > 20);
        proxy.plan(Plan::Through);
        self.on_the_line += proxy.injected();
        peace(nodes, PHASE);
    }

    /// Says what is not so, and loses what was said.
    fn lie(&mut self, redis: &RedisServer, random: &mut Random) {
        let Some(realm) = keys(redis).iter().find_map(|key| {
            let (start, _) = key.rsplit_once(":life")?;
            Some(start.to_owned())
        }) else {
            return;
        };
        let band = |random: &mut Random| {
            let band = BANDS[random.below(5) as usize];
            format!("{realm}:free:{band}")
        };
        for _ in 0..20 {
            // Tasks that are held, have ended, or never were, of whatever band.
            let id = random.below(20_000).to_string();
            tell(redis, &["ZADD", &band(random), "1", &id]);
            let from = format!("{realm}:done:{}", random.below(5000));
            let to = format!("{realm}:done:{}", random.below(5000));
            match tell(redis, &["GET", &from]) {
                // One task's document for another's, or half of it.
                Value::BulkString(bytes) if random.one_in(2) => {
                    let half = String::from_utf8_lossy(&bytes[..bytes.len() / 2]).into_owned();
                    tell(redis, &["SET", &from, &half, "PX", "2000"]);
                }
                Value::BulkString(_) => drop(tell(redis, &["COPY", &from, &to, "REPLACE"])),
                _ => drop(tell(redis, &["SET", &to, "1 1 nonsense", "PX", "2000"])),
            }
            self.lies += 2;
        }
        let notices = format!("{realm}:notices");
        for lie in ["0 free", "0 wish 1", "0 wish 999999", "free", "\u{7f}\u{0}", "0 wish x"] {
            tell(redis, &["PUBLISH", &notices, lie]);
            self.lies += 1;
        }
        if let Value::Array(lost) = tell(redis, &["ZPOPMIN", &band(random), "1000"]) {
            self.lost_hints += lost.len() as u64 / 2;
        }
        tell(redis, &["DEL", &band(random)]);
    }

    /// Faults that hit nobody prove nothing.
    pub fn assert_faults_were_real(&self) {
        let Mirage { refused_writes, lies, on_the_line, from_redis, .. } = self;
        assert!(*refused_writes > 0 && *lies > 100, "{self}");
        assert!(*on_the_line > 20 && *from_redis > 100, "{self}");
        let Reckoning { acknowledged, cancelled, leased, .. } = &self.reckoning;
        assert!(*acknowledged > 1000 && *cancelled > 5 && *leased > 5, "{self}");
    }
}

/// Lets time pass in which no node may end.
fn peace(nodes: &[Server], time: Duration) {
    for node in nodes {
        let share = time / nodes.len() as u32;
        assert!(node.lives_for(share), "it died by itself:\n{}", node.output());
    }
}

/// At least one phase, and more where a slow machine does less in one.
fn peace_until(nodes: &[Server], enough: impl Fn() -> bool) {
    for _ in 0..10 {
        peace(nodes, PHASE);
        if enough() {
            return;
        }
    }
}

fn await_redis(nodes: &[Server]) {
    for node in nodes {
        wait_until("Redis answers", PATIENCE, || metric(node, "taskscheduler_redis_up") == 1);
    }
}

fn tell(redis: &RedisServer, words: &[&str]) -> Value {
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    let line = client.get_connection_with_timeout(PATIENCE);
    line.and_then(|mut line| line.req_command(&command)).unwrap_or(Value::Nil)
}

fn keys(redis: &RedisServer) -> Vec<String> {
    let Value::Array(keys) = tell(redis, &["KEYS", "*"]) else { return Vec::new() };
    let text = |key: Value| match key {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    keys.into_iter().map(text).collect()
}

/// What is there of tasks.
fn leftovers(redis: &RedisServer) -> Vec<String> {
    let of_tasks = |key: &String| key.contains(":done:") || key.contains(":free:");
    keys(redis).into_iter().filter(of_tasks).collect()
}

/// How many commands the server has refused since its start.
fn refused(redis: &RedisServer) -> u64 {
    let info = match tell(redis, &["INFO", "errorstats"]) {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::VerbatimString { text, .. } => text,
        _ => String::new(),
    };
    let count = |line: &str| line.trim().rsplit_once('=').and_then(|(_, n)| n.parse::<u64>().ok());
    info.lines().filter_map(count).sum()
}

impl fmt::Display for Mirage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} flushes, {} kill, {} freeze, {} refused commands, {} lies, {} hints taken away, {} \
             faults on the line; {} claims, reads and notices came from Redis; {}",
            self.flushes,
            self.kills,
            self.freezes,
            self.refused_writes,
            self.lies,
            self.lost_hints,
            self.on_the_line,
            self.from_redis,
            self.reckoning,
        )
    }
}
