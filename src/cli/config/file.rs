//! One configuration file.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, SECTIONS};
use super::legacy;
use super::load::{Layers, place_of};
use super::nearest::nearest;
use super::origin::Origin;
use super::setting::Shape;
use super::table::Key;
use super::types::RawValue;

/// No configuration is longer; a wrong path to something huge must not fill the memory.
const BYTES_MAX: u64 = 1024 * 1024;

/// Lays the file's values over what was given before.
pub fn overlay(path: &Path, layers: &mut Layers) {
    let place = Arc::new(path.to_path_buf());
    let text = match read(path) {
        Ok(text) => text,
        Err(wrong) => return layers.wrong(Origin::File(place, 0), wrong),
    };
    let before = layers.problems.len();
    let mut file = File { path: place, text: &text, layers };
    match DeTable::parse(&text) {
        Ok(table) => file.root(table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            // The message names what was expected and never repeats the line.
            file.wrong(at, error.message().trim().replace('\n', ", "));
        }
    }
    // A parsed table has lost the order of its lines; people read from top to bottom.
    layers.problems[before..].sort_by_key(|problem| match &problem.origin {
        Origin::File(_, line) => *line,
        _ => 0,
    });
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|e| format!("cannot be read: {e}"))?;
    if text.len() as u64 > BYTES_MAX { Err("is longer than 1 MiB".into()) } else { Ok(text) }
}

struct File<'f> {
    path: Arc<PathBuf>,
    text: &'f str,
    layers: &'f mut Layers,
}

impl File<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.get(..at).unwrap_or(self.text);
        Origin::File(self.path.clone(), before.matches('\n').count() + 1)
    }

    fn wrong(&mut self, at: usize, message: String) {
        let origin = self.origin(at);
        self.layers.wrong(origin, message);
    }

    fn root(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(section) if is_section(name.get_ref()) => {
                    for (field, value) in section {
                        let name = format!("{}.{}", name.get_ref(), field.get_ref());
                        self.value(&name, field.span().start, value);
                    }
                }
                DeValue::Table(types) if *name.get_ref() == "types" => self.types(types),
                DeValue::Table(_) if place_of(name.get_ref()).is_none() => {
                    self.unknown_section(name.get_ref(), name.span().start);
                }
                _ => self.value(name.get_ref(), name.span().start, value),
            }
        }
    }

    fn types(&mut self, types: &DeTable<'_>) {
        for (name, value) in types {
            let DeValue::Table(keys) = value.get_ref() else {
                let message = format!("types.{} must be a section", name.get_ref());
                self.wrong(name.span().start, message);
                continue;
            };
            for (key, value) in keys {
                let at = key.span().start;
                if let Some(value) = RawValue::of(value.get_ref()) {
                    let origin = self.origin(at);
                    self.layers.types.set(name.get_ref(), key.get_ref(), value, origin);
                } else {
                    let whole = format!("types.{}.{}", name.get_ref(), key.get_ref());
                    self.wrong(at, format!("{whole} must be one value, a list or a table"));
                }
            }
        }
    }

    fn value(&mut self, name: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let Some(place) = place_of(name) else {
            return self.unknown_key(name, at);
        };
        match text_of(&KEYS[place], value.get_ref()) {
            Some(text) => {
                let origin = self.origin(at);
                self.layers.set(place, &text, origin);
            }
            None => self.wrong(at, format!("{name} must be {}", KEYS[place].form)),
        }
    }

    fn unknown_key(&mut self, name: &str, at: usize) {
        if let Some(why) = legacy::meaningless_key(name) {
            let origin = self.origin(at);
            return self.layers.warnings.push(format!("{origin}: {name} is ignored: {why}"));
        }
        let mut message = format!("unknown key {name}");
        if let Some(near) = nearest_key(name) {
            let _ = write!(message, "; did you mean {near}?");
        }
        self.wrong(at, message);
    }

    fn unknown_section(&mut self, name: &str, at: usize) {
        let mut message = format!("unknown section [{name}]");
        if let Some(near) = nearest(name, SECTIONS.iter().map(|(name, _)| *name)) {
            let _ = write!(message, "; did you mean [{near}]?");
        }
        self.wrong(at, message);
    }
}

/// The key that was probably meant: the nearest whole name, or the same name in another section.
pub fn nearest_key(name: &str) -> Option<String> {
    let names: Vec<String> = KEYS.iter().map(Key::name).collect();
    let near = nearest(name, names.iter().map(String::as_str)).map(String::from);
    let short = name.rsplit('.').next().unwrap_or(name);
    near.or_else(|| KEYS.iter().find(|key| key.short_name() == short).map(Key::name))
}

fn is_section(name: &str) -> bool {
    !name.is_empty() && SECTIONS.iter().any(|(section, _)| *section == name)
}

/// A TOML value as the text it would be in a variable; `None` if the key takes no such thing.
fn text_of(key: &Key, value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) if key.shape == Shape::List => {
            let item = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
                DeValue::String(text) if !text.contains(',') => Some(text.to_string()),
                _ => None,
            };
            let items: Option<Vec<String>> = items.iter().map(item).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}
