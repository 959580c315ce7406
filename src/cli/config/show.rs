//! The configuration as people may see it.

use std::fmt::Write;

use super::keys::{KEYS, SECTIONS};
use super::load::Loaded;
use super::origin::Origins;
use super::table::Key;

/// The settings that hold, as a TOML file.
pub fn as_toml(loaded: &Loaded, origins: Origins) -> String {
    let mut text = String::new();
    let mut section = "";
    for (key, given) in KEYS.iter().zip(&loaded.given) {
        if key.section != section {
            section = key.section;
            let _ = writeln!(text, "\n[{section}]");
        }
        let value = key.toml(&(key.show)(given.text()).unwrap_or_default());
        let _ = match origins {
            Origins::Hidden => writeln!(text, "{} = {value}", key.short_name()),
            Origins::Shown => writeln!(text, "{} = {value}  # {}", key.short_name(), given.origin),
        };
    }
    text + &loaded.raw_types.as_toml(origins)
}

/// The settings that hold and their origins, as one JSON object.
pub fn as_json(loaded: &Loaded) -> serde_json::Value {
    let entry = |(key, given): (&Key, &super::load::Given)| {
        let value = (key.show)(given.text()).unwrap_or_default();
        let entry = serde_json::json!({ "value": value, "origin": given.origin.to_string() });
        (key.name(), entry)
    };
    let keys = KEYS.iter().zip(&loaded.given).map(entry);
    serde_json::Value::Object(keys.chain(loaded.raw_types.as_json()).collect())
}

/// All keys with their meaning and their defaults, as a file to start from: every key stands there
/// as a comment, so that later defaults are not fixed by it.
pub fn defaults() -> String {
    let mut text = String::from(
        "# taskscheduler.toml: every setting with its default.\n\
         # Take the # away from what you change.\n",
    );
    for (section, about) in SECTIONS {
        let _ = writeln!(text);
        for line in *about {
            let _ = writeln!(text, "#{line}");
        }
        if !section.is_empty() {
            let _ = writeln!(text, "[{section}]");
        }
        for key in KEYS.iter().filter(|key| key.section == *section) {
            describe(&mut text, key);
        }
    }
    text + TYPES_ABOUT
}

/// What no table of keys can say: users name these sections.
const TYPES_ABOUT: &str = "
# What a task type does: one section for each type, with a name of its own.
#   [types.WORD_COUNT]
#   executor = \"process\"
#   command = [\"wc\", \"-w\"]
#   max-concurrency = 4
";

fn describe(text: &mut String, key: &Key) {
    let _ = writeln!(text);
    for line in key.about {
        let _ = writeln!(text, "#{line}");
    }
    let _ = write!(text, "# Value: {}", key.form);
    if let Some((least, most)) = key.range.map(|range| range()) {
        let _ = write!(text, ", from {least} to {most}");
    }
    if let Some(unit) = key.bare.suffix() {
        let _ = write!(text, "; a bare number means {unit}");
    }
    let _ = writeln!(text, "\n# Variable: {}", key.variable());
    let _ = writeln!(text, "#{} = {}", key.short_name(), key.toml(key.default));
}
