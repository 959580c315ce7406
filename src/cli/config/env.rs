//! The environment: our own variables, and those of the old deployment.

use std::fmt::Write;

use super::Listen;
use super::keys::KEYS;
use super::legacy;
use super::load::{Layers, Surroundings, place_of};
use super::nearest::nearest;
use super::origin::Origin;
use super::setting::{Bare, Setting};
use super::table::{Key, PREFIX};

/// Names the configuration file.
pub const CONFIG: &str = "TASK_SCHEDULER_CONFIG";
/// Names the profiles.
pub const PROFILE: &str = "TASK_SCHEDULER_PROFILE";
/// Names the profiles, in the old deployment.
pub const SPRING_PROFILE: &str = "SPRING_PROFILES_ACTIVE";
/// Names the server that the client commands speak to.
pub const SERVER: &str = "TASK_SCHEDULER_SERVER";

/// Lays the environment over what was given before: the old names first, so that ours win.
pub fn overlay(around: &Surroundings, layers: &mut Layers) {
    for (variable, name) in legacy::VARIABLES {
        if let (Some(text), Some(place)) = (around.variable(variable), place_of(name)) {
            layers.set(place, text, Origin::Variable((*variable).into()));
        }
    }
    server_port(around, layers);
    for (place, key) in KEYS.iter().enumerate() {
        let name = key.variable();
        if let Some(text) = around.variable(&name)
            && !is_service_link(&name, text)
        {
            layers.set(place, text, Origin::Variable(name));
        }
    }
    unknown(around, layers);
}

/// `SERVER_PORT` changes the port and leaves the host.
fn server_port(around: &Surroundings, layers: &mut Layers) {
    let Some(text) = around.variable("SERVER_PORT") else { return };
    let Some(place) = place_of("api.listen") else { return };
    let origin = Origin::Variable("SERVER_PORT".into());
    let Ok(port) = text.parse() else {
        return layers.wrong(origin, "must be a port number".into());
    };
    let listen = Listen::read(layers.get(place).text(), Bare::Refused);
    match listen.ok().and_then(|listen| listen.with_port(port)) {
        Some(listen) => layers.set(place, &listen.to_string(), origin),
        None => layers.wrong(origin, "api.listen is a Unix path and has no port".into()),
    }
}

fn unknown(around: &Surroundings, layers: &mut Layers) {
    let names: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let known = |name: &str| [CONFIG, PROFILE, SERVER].contains(&name);
    for (name, text) in &around.variables {
        if known(name) || names.contains(name) || text.is_empty() {
            continue;
        }
        if let Some(why) = legacy::meaningless_variable(name) {
            layers.warnings.push(format!("environment {name} is ignored: {why}"));
        } else if name.starts_with(PREFIX) && !is_service_link(name, text) {
            let mut message = "is no setting".to_owned();
            if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
                let _ = write!(message, "; did you mean {near}?");
            }
            layers.wrong(Origin::Variable(name.clone()), message);
        }
    }
}

/// Kubernetes tells every container of each service in its namespace, so a service that is called
/// `task-scheduler` (or begins so) puts variables under our prefix that nobody meant for us.
fn is_service_link(name: &str, text: &str) -> bool {
    let rest = &name[PREFIX.len()..];
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    let after_port = rest.split("PORT_").nth(1);
    let is_part = after_port.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    rest.ends_with("SERVICE_HOST") || rest.contains("SERVICE_PORT") || is_url || is_part
}
