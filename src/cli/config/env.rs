//! The environment: our own variables, and those of the old deployment.
//!
//! `NAME_FILE` in place of `NAME` names a file that holds the value: the way in which systemd,
//! Kubernetes and Compose hand over secrets.

use std::fmt::Write;
use std::io::Read;

use super::Listen;
use super::around::Surroundings;
use super::keys::KEYS;
use super::legacy;
use super::load::{Layers, place_of};
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
/// The token that they send.
pub const TOKEN: &str = "TASK_SCHEDULER_TOKEN";
/// Names a file with it.
pub const TOKEN_FILE: &str = "TASK_SCHEDULER_TOKEN_FILE";
/// What follows a variable's name where it names a file with the value.
const IN_FILE: &str = "_FILE";
/// No value is longer; a wrong path to something huge must not fill the memory.
const FILE_BYTES_MAX: u64 = 64 * 1024;

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
        from_file(place, key, around, layers);
    }
    unknown(around, layers);
}

/// Sets the key from the file that its variable with `_FILE` names. Both at once is a mistake that
/// nobody should have to find by trying.
fn from_file(place: usize, key: &Key, around: &Surroundings, layers: &mut Layers) {
    let direct = key.variable();
    let name = format!("{direct}{IN_FILE}");
    let Some(path) = around.variable(&name) else { return };
    let origin = Origin::Variable(name);
    if around.variable(&direct).is_some() {
        return layers.wrong(origin, format!("is set beside {direct}; one of them is enough"));
    }
    match read_value(path) {
        Ok(text) => layers.set(place, &text, origin),
        Err(why) => layers.wrong(origin, format!("names {path}, which {why}")),
    }
}

/// The text of the file without the line end that editors leave behind it.
fn read_value(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|e| format!("cannot be read: {e}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err("is longer than 64 KiB".into());
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
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
    let known = |name: &str| {
        let value = name.strip_suffix(IN_FILE).unwrap_or(name);
        [CONFIG, PROFILE, SERVER, TOKEN, TOKEN_FILE].contains(&name)
            || names.iter().any(|known| known == value)
    };
    for (name, text) in &around.variables {
        if known(name) || text.is_empty() {
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
