//! How much is logged, and changing that while the server runs, in the form of Spring Boot.

use log::LevelFilter;
use serde::Deserialize;

use crate::api::accept;
use crate::api::exchange::Exchange;
use crate::api::json::Json;
use crate::api::levels::Levels;
use crate::api::problem::{self, Fault, Problem};
use crate::api::reply::Reply;
use crate::api::wire::submit::Framing;

/// The levels under Boot's names.
const NAMES: [(&str, LevelFilter); 6] = [
    ("OFF", LevelFilter::Off),
    ("ERROR", LevelFilter::Error),
    ("WARN", LevelFilter::Warn),
    ("INFO", LevelFilter::Info),
    ("DEBUG", LevelFilter::Debug),
    ("TRACE", LevelFilter::Trace),
];

/// The parts that people look at; every other module can be named as well.
const PARTS: [&str; 8] = [
    "taskscheduler",
    "taskscheduler::api",
    "taskscheduler::api::gate",
    "taskscheduler::cli",
    "taskscheduler::engine",
    "taskscheduler::execution",
    "taskscheduler::persistence",
    "taskscheduler::store",
];

/// Longest name and body.
const NAME_BYTES_MAX: usize = 200;
const BODY_BYTES_MAX: usize = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    configured_level: Option<String>,
}

/// `GET /actuator/loggers`
pub(crate) fn all(exchange: Exchange) {
    let levels = &exchange.open().desk.settings.levels;
    let configured = levels.configured();
    let mut names: Vec<&str> = configured.iter().map(|(name, _)| &**name).collect();
    names.extend(PARTS);
    // The whole program first, as it stands first in the list.
    names[1..].sort_unstable();
    names.dedup();
    let mut json = Json::default();
    json.open().key("levels").open_array();
    for (name, _) in NAMES {
        json.text(name);
    }
    json.close_array().key("loggers").open();
    for name in names {
        json.key_text(name);
        write(&mut json, levels, name);
    }
    json.close().key("groups").open().close().close();
    exchange.answer(Reply::new(200, json.into_bytes()));
}

/// `GET /actuator/loggers/{name}`
pub(crate) fn one(exchange: Exchange) {
    match name(&exchange) {
        Ok(name) => {
            let mut json = Json::default();
            write(&mut json, &exchange.open().desk.settings.levels, &name);
            exchange.answer(Reply::new(200, json.into_bytes()));
        }
        Err(problem) => exchange.refuse(&problem),
    }
}

/// `POST /actuator/loggers/{name}`
pub(crate) fn set(mut exchange: Exchange) {
    match change(&mut exchange) {
        Ok(()) => exchange.answer(Reply::empty(204)),
        Err(problem) => exchange.refuse(&problem),
    }
}

fn change(exchange: &mut Exchange) -> Result<(), Problem> {
    let name = name(exchange)?;
    if accept::framing(exchange.open().head("Content-Type"))? == Framing::Lines {
        return Err(Problem::new(problem::MEDIA, "send application/json"));
    }
    let body = exchange.body(BODY_BYTES_MAX)?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|_| {
        let detail = "send an object with configuredLevel and nothing else";
        Problem::new(problem::MALFORMED, detail)
    })?;
    let level = wish.configured_level.map(|level| {
        let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&level));
        known.map(|(_, level)| *level).ok_or_else(|| {
            let message = "must be OFF, ERROR, WARN, INFO, DEBUG, TRACE or null";
            Problem::invalid(vec![Fault::new("configuredLevel", message)])
        })
    });
    let level = level.transpose()?;
    let levels = &exchange.open().desk.settings.levels;
    if !levels.set(&name, level) {
        let message = format!("at most {} parts have a level of their own", Levels::OWN_MAX);
        return Err(Problem::invalid(vec![Fault::new("name", message)]));
    }
    // At a level that is nearly always heard: who changes it wants to know that it took effect.
    log::warn!("{name} now logs at {}", levels.effective(&name));
    Ok(())
}

/// The name at the end of the path; dots are as good as Rust's own way of writing it.
fn name(exchange: &Exchange) -> Result<String, Problem> {
    let path = exchange.open().path();
    let name = path.rsplit('/').next().unwrap_or_default().replace("%3A", ":").replace("%3a", ":");
    let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:.".contains(&byte));
    if !sound || name.len() > NAME_BYTES_MAX {
        let message = "must be ROOT or a module such as taskscheduler::api";
        return Err(Problem::invalid(vec![Fault::new("name", message)]));
    }
    Ok(name.replace('.', "::"))
}

fn write(json: &mut Json, levels: &Levels, name: &str) {
    let word = |level: LevelFilter| {
        NAMES.iter().find(|(_, known)| *known == level).map_or("OFF", |(name, _)| *name)
    };
    json.open();
    if let Some((_, level)) = levels.configured().iter().find(|(known, _)| known == name) {
        json.key("configuredLevel").text(word(*level));
    }
    json.key("effectiveLevel").text(word(levels.effective(name))).close();
}
