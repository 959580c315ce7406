//! Brings the sources together.

use std::path::{Path, PathBuf};

use super::around::Surroundings;
use super::keys::{Config, KEYS};
use super::origin::{ConfigError, Origin, Problem};
use super::secret::Secret;
use super::table::Key;
use super::types::{self, RawTypes, TypeSetting};
use super::{check, env, file};

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `--config`: this file and no other.
    pub config: Option<PathBuf>,
    /// `--profile`: profiles separated by commas.
    pub profile: Option<String>,
    /// Flags that set a key: the key's name, the flag's name, the value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// One value as text, with its origin.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    text: Secret,
    /// Where it was given.
    pub origin: Origin,
}

impl Given {
    /// The text; it may be a secret.
    pub fn text(&self) -> &str {
        self.text.reveal()
    }
}

/// The values while they are being collected, one for each key, and what was noticed.
pub struct Layers {
    values: Vec<Given>,
    /// What stands under `[types.NAME]`.
    pub types: RawTypes,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What a person should know but is not wrong.
    pub warnings: Vec<String>,
}

impl Layers {
    /// The defaults.
    pub fn new() -> Layers {
        let default =
            |key: &Key| Given { text: Secret::new(key.default.into()), origin: Origin::Default };
        let values = KEYS.iter().map(default).collect();
        let (problems, warnings) = (Vec::new(), Vec::new());
        Layers { values, types: RawTypes::default(), problems, warnings }
    }

    /// Sets the key with this place in the table, over whatever was given before.
    pub fn set(&mut self, place: usize, text: &str, origin: Origin) {
        if let Err(wrong) = (KEYS[place].show)(text) {
            self.wrong(origin, format!("{} {wrong}", KEYS[place].name()));
        } else {
            self.values[place] = Given { text: Secret::new(text.into()), origin };
        }
    }

    /// The value that holds so far.
    pub fn get(&self, place: usize) -> &Given {
        &self.values[place]
    }

    /// Notes that something is wrong.
    pub fn wrong(&mut self, origin: Origin, message: String) {
        self.problems.push(Problem { origin, message });
    }
}

/// The place of a key in the table.
pub fn place_of(name: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.name() == name)
}

/// A configuration that holds together, and how it came to be.
#[derive(Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Every value with its origin, in the order of the table.
    pub given: Vec<Given>,
    /// The task types.
    pub types: Vec<TypeSetting>,
    /// What stands in the files about them, with its origin.
    pub raw_types: RawTypes,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// What a person should know: old keys, missing profiles.
    pub warnings: Vec<String>,
}

/// Reads all sources and checks that the values fit together.
pub fn load(asked: &Asked, around: &Surroundings) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::new();
    let files = read_files(asked, around, &mut layers);
    env::overlay(around, &mut layers);
    for (name, flag, text) in &asked.flags {
        match place_of(name) {
            Some(place) => layers.set(place, text, Origin::Flag(flag)),
            None => layers.wrong(Origin::Flag(flag), format!("sets the unknown key {name}")),
        }
    }
    let types = types::read_all(&layers.types, around, &mut layers.problems);
    if !layers.problems.is_empty() {
        return Err(ConfigError(layers.problems));
    }
    let texts = layers.values.iter().map(Given::text);
    let config = Config::from_texts(texts).map_err(|message| together(vec![message]))?;
    let config = config.with_parts_joined().map_err(|message| together(vec![message]))?;
    let wrong = check::contradictions(&config);
    if !wrong.is_empty() {
        return Err(together(wrong));
    }
    let Layers { values: given, types: raw_types, warnings, .. } = layers;
    Ok(Loaded { config, given, types, raw_types, files, warnings })
}

fn together(messages: Vec<String>) -> ConfigError {
    let problem = |message| Problem { origin: Origin::Together, message };
    ConfigError(messages.into_iter().map(problem).collect())
}

/// Reads the main file and the profiles beside it, and says which were there.
fn read_files(asked: &Asked, around: &Surroundings, layers: &mut Layers) -> Vec<PathBuf> {
    let named = asked.config.clone().map(|path| (path, Origin::Flag("--config")));
    let variable = || {
        let path = around.variable(env::CONFIG)?;
        Some((PathBuf::from(path), Origin::Variable(env::CONFIG.into())))
    };
    let found = match named.or_else(variable) {
        Some((path, _)) if path.is_file() => Some(path),
        Some((path, origin)) => {
            layers.wrong(origin, format!("there is no file {}", path.display()));
            return Vec::new();
        }
        None => find_in(&around.directories, "taskscheduler.toml"),
    };
    let mut files = Vec::new();
    let beside = found.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    if let Some(path) = found {
        file::overlay(&path, layers);
        files.push(path);
    }
    for profile in profiles(asked, around) {
        let name = format!("taskscheduler-{profile}.toml");
        if profile.contains(['/', '\\', '\0']) {
            layers.wrong(Origin::Together, format!("profile {profile:?} is no plain name"));
            continue;
        }
        let searched = beside.as_ref().map_or(&around.directories[..], std::slice::from_ref);
        match find_in(searched, &name) {
            Some(path) => {
                file::overlay(&path, layers);
                files.push(path);
            }
            None => layers.warnings.push(format!("profile {profile} has no file {name}")),
        }
    }
    files
}

fn find_in(directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    // "." is left out so that messages name the file as a person would.
    let join = |dir: &PathBuf| if dir == Path::new(".") { name.into() } else { dir.join(name) };
    directories.iter().map(join).find(|path: &PathBuf| path.is_file())
}

fn profiles(asked: &Asked, around: &Surroundings) -> Vec<String> {
    let variable =
        || around.variable(env::PROFILE).or_else(|| around.variable(env::SPRING_PROFILE));
    let text = asked.profile.as_deref().or_else(variable).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect()
}
