//! What Spring Boot's tools look for first: where everything is, and what runs here.

use crate::api::exchange::Exchange;
use crate::api::json::Json;
use crate::api::reply::Reply;

/// The operators' paths, by the names Boot gives them.
const LINKS: [(&str, &str); 8] = [
    ("self", "/actuator"),
    ("health", "/actuator/health"),
    ("health-path", "/actuator/health/{*path}"),
    ("info", "/actuator/info"),
    ("metrics", "/actuator/metrics"),
    ("metrics-requiredMetricName", "/actuator/metrics/{requiredMetricName}"),
    ("loggers", "/actuator/loggers"),
    ("prometheus", "/actuator/prometheus"),
];

/// `GET /actuator`
pub(crate) fn links(exchange: Exchange) {
    let mut json = Json::default();
    json.open().key("_links").open();
    for (name, path) in LINKS {
        json.key(name).open().key("href").text(path);
        json.key("templated").flag(path.contains('{')).close();
    }
    json.close().close();
    exchange.answer(Reply::new(200, json.into_bytes()));
}

/// `GET /actuator/info`
pub(crate) fn about(exchange: Exchange) {
    let vitals = exchange.open().desk.engine.vitals();
    let mut json = Json::default();
    json.open().key("app").open().key("name").text("taskscheduler");
    json.key("description").text(env!("CARGO_PKG_DESCRIPTION")).close();
    json.key("build").open().key("version").text(env!("CARGO_PKG_VERSION"));
    json.key("profile").text(if cfg!(debug_assertions) { "debug" } else { "release" }).close();
    json.key("store").open().key("description").text(&vitals.store.description).close();
    json.key("node").open().key("name").text(&vitals.node);
    json.key("cores").number(vitals.cores.len() as u64).close();
    json.close();
    exchange.answer(Reply::new(200, json.into_bytes()));
}
