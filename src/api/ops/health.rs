//! Whether the server is well, under the names that Spring Boot's probes know.
//!
//! Promise: answered from memory, on the thread that took the request, so that it is answered
//! while the store is frozen. Liveness knows nothing of the store: a dead store must not make an
//! orchestrator kill servers that hold acknowledged work.

use super::slots;
use crate::api::exchange::Exchange;
use crate::api::json::Json;
use crate::api::reply::Reply;
use crate::api::route::Detail;
use crate::api::time::write_time;
use crate::api::view::time_style;
use crate::domain::BreakerState;
use crate::engine::{Phase, Vitals};
use crate::queue::BreakerLook;
use crate::store::Durability;

/// How a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Up,
    Down,
    OutOfService,
    Unknown,
}

impl Health {
    fn of(is_up: bool) -> Health {
        if is_up { Health::Up } else { Health::Down }
    }

    fn name(self) -> &'static str {
        match self {
            Health::Up => "UP",
            Health::Down => "DOWN",
            Health::OutOfService => "OUT_OF_SERVICE",
            Health::Unknown => "UNKNOWN",
        }
    }

    fn http_status(self) -> u16 {
        match self {
            Health::Up | Health::Unknown => 200,
            Health::Down | Health::OutOfService => 503,
        }
    }
}

fn db(vitals: &Vitals) -> Health {
    Health::of(vitals.store.is_up)
}

/// Redis costs only speed, so its end is shown here and makes nothing else of the server worse.
fn redis(vitals: &Vitals) -> Health {
    vitals.level2.as_ref().map_or(Health::Unknown, |level2| Health::of(level2.is_up))
}

fn disk_space(vitals: &Vitals) -> Health {
    let low = |disk: crate::engine::DiskVitals| disk.free_bytes < disk.limit_bytes;
    vitals.disk.map_or(Health::Unknown, |disk| Health::of(!low(disk)))
}

fn queue(vitals: &Vitals) -> Health {
    match vitals.phase {
        Phase::Serving => Health::Up,
        Phase::Recovering | Phase::Stopping => Health::OutOfService,
    }
}

/// An open breaker holds back what it guards and nothing else.
fn circuit_breakers(vitals: &Vitals) -> Health {
    let breakers = &vitals.slots.breakers;
    let open = |breaker: &BreakerLook| matches!(breaker.state, BreakerState::Open { .. });
    if breakers.is_empty() { Health::Unknown } else { Health::of(!breakers.iter().any(open)) }
}

/// The whole: the worst of its parts.
fn overall(vitals: &Vitals) -> Health {
    let parts = [db(vitals), disk_space(vitals), queue(vitals)];
    let worst = [Health::Down, Health::OutOfService];
    worst.into_iter().find(|health| parts.contains(health)).unwrap_or(Health::Up)
}

/// Whether requests should be sent here. A full disk is no reason against it: reads and
/// completions go on.
fn ready(vitals: &Vitals) -> Health {
    match (vitals.phase, vitals.store.is_up) {
        (Phase::Serving, true) => Health::Up,
        _ => Health::OutOfService,
    }
}

/// `GET /api/v1/tasks/health`
pub(crate) fn service(exchange: Exchange) {
    let health = match overall(&exchange.open().desk.engine.vitals()) {
        Health::Up | Health::Unknown => Health::Up,
        Health::Down | Health::OutOfService => Health::Down,
    };
    let settings = &exchange.open().desk.settings;
    let mut json = Json::default();
    json.open().key("status").text(health.name());
    write_time(json.key("timestamp"), settings.clock.now(), time_style(settings.compatibility));
    json.key("service").text("taskscheduler").key("version").text(env!("CARGO_PKG_VERSION"));
    json.close();
    exchange.answer(Reply::new(health.http_status(), json.into_bytes()));
}

/// `GET /actuator/health` and `/actuator/health/detailed`
pub(crate) fn components(exchange: Exchange, detail: Detail) {
    let reply = write_components(&exchange.open().desk.engine.vitals(), detail);
    exchange.answer(reply);
}

/// `GET /actuator/health/liveness`
pub(crate) fn liveness(exchange: Exchange) {
    // Whoever can answer lives: a dead thread of the engine ends the process.
    exchange.answer(only_status(Health::Up));
}

/// `GET /actuator/health/readiness`
pub(crate) fn readiness(exchange: Exchange) {
    let health = ready(&exchange.open().desk.engine.vitals());
    exchange.answer(only_status(health));
}

fn only_status(health: Health) -> Reply {
    let mut json = Json::default();
    json.open().key("status").text(health.name()).close();
    Reply::new(health.http_status(), json.into_bytes())
}

fn write_components(vitals: &Vitals, detail: Detail) -> Reply {
    let health = overall(vitals);
    let mut json = Json::default();
    json.open().key("status").text(health.name()).key("components").open();
    component(&mut json, detail, "db", db(vitals), |json| {
        json.key("database").text(&vitals.store.description);
        json.key("durability").text(match vitals.store.durability {
            Durability::Disk => "disk",
            Durability::System => "system",
            Durability::Memory => "memory",
        });
    });
    component(&mut json, detail, "redis", redis(vitals), |json| {
        json.key("configured").flag(vitals.level2.is_some());
        if let Some(level2) = &vitals.level2 {
            json.key("server").text(&level2.description);
            if let Some(why) = &level2.why {
                json.key("reason").text(why);
            }
        }
    });
    component(&mut json, detail, "diskSpace", disk_space(vitals), |json| {
        if let Some(disk) = vitals.disk {
            json.key("total").number(disk.total_bytes).key("free").number(disk.free_bytes);
            json.key("threshold").number(disk.limit_bytes);
        }
    });
    component(&mut json, detail, "ping", Health::Up, |_| {});
    component(&mut json, detail, "circuitBreakers", circuit_breakers(vitals), |json| {
        json.key("configured").flag(!vitals.slots.breakers.is_empty());
        json.key("breakers");
        slots::write_breakers(json, &vitals.slots);
    });
    component(&mut json, detail, "queue", queue(vitals), |json| {
        json.key("depth").open();
        for (band, depth) in vitals.queue_depth.iter() {
            json.key(band.name()).number(*depth);
        }
        json.close().key("mailbox").number(vitals.mailbox);
        json.key("mailboxMax").number(vitals.mailbox_max);
    });
    component(&mut json, detail, "cores", Health::of(!vitals.cores.is_empty()), |json| {
        json.key("count").number(vitals.cores.len() as u64);
    });
    json.close().key("groups").open_array().text("liveness").text("readiness").close_array();
    if detail == Detail::Full {
        json.key("node").text(&vitals.node);
    }
    json.close();
    Reply::new(health.http_status(), json.into_bytes())
}

fn component(
    json: &mut Json,
    detail: Detail,
    name: &'static str,
    health: Health,
    details: impl FnOnce(&mut Json),
) {
    json.key(name).open().key("status").text(health.name());
    if detail == Detail::Full {
        details(json.key("details").open());
        json.close();
    }
    json.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BandMap;
    use crate::engine::{CoreVitals, DiskVitals, LevelReads, StoreVitals};
    use crate::metrics::{DURATIONS_US, Histogram};
    use crate::store::redis::{Counted, Level2Vitals};

    fn well() -> Vitals {
        let limit_bytes = 1 << 30;
        Vitals {
            node: "n1".into(),
            nodes: 1,
            phase: Phase::Serving,
            store: StoreVitals {
                is_up: true,
                description: "SQLite".into(),
                durability: Durability::Disk,
            },
            disk: Some(DiskVitals { free_bytes: 9 << 30, total_bytes: 10 << 30, limit_bytes }),
            queue_depth: BandMap::default(),
            oldest_ready_at: None,
            mailbox: 0,
            mailbox_max: 10,
            priority_bound: 0,
            level2: None,
            reads: LevelReads::default(),
            cores: vec![CoreVitals::default()],
            slots: slots::tests::none(),
        }
    }

    fn told(vitals: &Vitals, detail: Detail) -> (u16, serde_json::Value) {
        let reply = write_components(vitals, detail);
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    #[test]
    fn a_well_server_names_its_parts_as_boot_does() {
        let (status, told) = told(&well(), Detail::Brief);
        assert_eq!((status, &told["status"]), (200, &"UP".into()));
        let parts: Vec<_> = told["components"].as_object().unwrap().keys().cloned().collect();
        let mut expected =
            ["db", "redis", "diskSpace", "ping", "circuitBreakers", "queue", "cores"];
        expected.sort_unstable();
        assert_eq!(parts, expected);
        assert_eq!(told["components"]["db"], serde_json::json!({"status": "UP"}));
    }

    #[test]
    fn a_dead_redis_shows_with_its_reason_and_leaves_the_server_up_and_ready() {
        let mut vitals = well();
        vitals.level2 = Some(Level2Vitals {
            is_up: false,
            description: "redis://r:6379/0".into(),
            why: Some("no answer in time".into()),
            counted: Counted::default(),
            took: Histogram::new(DURATIONS_US),
            connections: 0,
            idle: 0,
        });
        let (status, told) = told(&vitals, Detail::Full);
        assert_eq!((status, &told["status"]), (200, &"UP".into()));
        let redis = &told["components"]["redis"];
        assert_eq!((&redis["status"], ready(&vitals)), (&"DOWN".into(), Health::Up));
        assert_eq!(redis["details"]["reason"], "no answer in time");
    }

    #[test]
    fn an_open_breaker_shows_and_leaves_the_server_up_and_ready() {
        let vitals = Vitals { slots: slots::tests::troubled(), ..well() };
        let (status, told) = told(&vitals, Detail::Full);
        assert_eq!((status, &told["status"]), (200, &"UP".into()));
        assert_eq!(ready(&vitals), Health::Up);
        let breakers = &told["components"]["circuitBreakers"];
        assert_eq!(breakers["status"], "DOWN");
        let first = &breakers["details"]["breakers"][0];
        assert_eq!((&first["name"], &first["state"]), (&"MAIL".into(), &"OPEN".into()));
        assert_eq!(first["openForMs"], 7000);
    }

    #[test]
    fn the_detailed_answer_has_figures() {
        let told = told(&well(), Detail::Full).1;
        assert_eq!(told["components"]["diskSpace"]["details"]["threshold"], 1 << 30);
        assert_eq!(told["components"]["queue"]["details"]["depth"]["BULK"], 0);
        assert_eq!(told["node"], "n1");
    }

    #[test]
    fn each_trouble_shows_and_only_those_that_matter_make_the_server_unready() {
        let mut store = well();
        store.store.is_up = false;
        let mut disk = well();
        disk.disk = disk.disk.map(|disk| DiskVitals { free_bytes: 1, ..disk });
        let mut stopping = well();
        stopping.phase = Phase::Stopping;
        for (vitals, whole, readiness) in [
            (&well(), "UP", 200),
            (&store, "DOWN", 503),
            (&disk, "DOWN", 200),
            (&stopping, "OUT_OF_SERVICE", 503),
        ] {
            assert_eq!(told(vitals, Detail::Brief).1["status"], whole);
            assert_eq!(ready(vitals).http_status(), readiness);
        }
    }
}
