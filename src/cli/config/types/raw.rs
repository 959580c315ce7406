//! What stands in the files under `[types.NAME]`, before anybody has judged it.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use crate::cli::config::origin::Origin;
use crate::cli::config::origin::Origins;
use crate::cli::config::secret::MASK;

/// A value as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawValue {
    /// A text, a number or a switch, as a text.
    One(String),
    /// A list of such.
    List(Vec<String>),
    /// Names with such.
    Table(Vec<(String, String)>),
}

/// The keys of one type, each with its place.
pub type TypeKeys = BTreeMap<String, (RawValue, Origin)>;

/// All types of the configuration. Files are laid over each other key by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawTypes(pub(super) BTreeMap<String, TypeKeys>);

impl RawValue {
    /// `None`: nothing of ours looks like this.
    pub fn of(value: &DeValue<'_>) -> Option<RawValue> {
        if let Some(text) = scalar(value) {
            return Some(RawValue::One(text));
        }
        match value {
            DeValue::Array(items) => {
                let items = items.iter().map(|item: &Spanned<DeValue<'_>>| scalar(item.get_ref()));
                items.collect::<Option<_>>().map(RawValue::List)
            }
            DeValue::Table(fields) => {
                let field = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                    let name: &std::borrow::Cow<'_, str> = name.get_ref();
                    Some((name.to_string(), scalar(value.get_ref())?))
                };
                fields.iter().map(field).collect::<Option<_>>().map(RawValue::Table)
            }
            _ => None,
        }
    }

    fn toml(&self) -> String {
        let quoted = |text: &String| toml::Value::from(text.as_str()).to_string();
        match self {
            // A number in quotes is read as one here, so all may be quoted alike.
            RawValue::One(text) => quoted(text),
            RawValue::List(items) => {
                format!("[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(", "))
            }
            RawValue::Table(fields) => {
                let field = |(name, value): &(String, String)| {
                    format!("{} = {}", quoted(name), quoted(value))
                };
                format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}

impl RawTypes {
    /// Sets a key of a type, over whatever was given before.
    pub fn set(&mut self, name: &str, key: &str, value: RawValue, origin: Origin) {
        self.0.entry(name.into()).or_default().insert(key.into(), (value, origin));
    }

    /// The types as sections of a file, secrets masked.
    pub fn as_toml(&self, origins: Origins) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for (name, keys) in &self.0 {
            let _ = writeln!(text, "\n[types.{}]", toml::Value::from(name.as_str()));
            for (key, (value, origin)) in keys {
                let value = shown(key, value).toml();
                let _ = match origins {
                    Origins::Hidden => writeln!(text, "{key} = {value}"),
                    Origins::Shown => writeln!(text, "{key} = {value}  # {origin}"),
                };
            }
        }
        text
    }

    /// The same for programs.
    pub fn as_json(&self) -> impl Iterator<Item = (String, serde_json::Value)> {
        self.0.iter().flat_map(|(name, keys)| {
            keys.iter().map(move |(key, (value, origin))| {
                let value = match shown(key, value) {
                    RawValue::One(text) => serde_json::json!(text),
                    RawValue::List(items) => serde_json::json!(items),
                    RawValue::Table(fields) => fields.into_iter().collect::<serde_json::Value>(),
                };
                let entry = serde_json::json!({ "value": value, "origin": origin.to_string() });
                (format!("types.{name}.{key}"), entry)
            })
        })
    }
}

/// What people may see: the environment of a command and the heads of a request hold secrets too.
fn shown(key: &str, value: &RawValue) -> RawValue {
    match value {
        RawValue::One(_) if key == "secret" => RawValue::One(MASK.into()),
        RawValue::Table(fields) => {
            RawValue::Table(fields.iter().map(|(name, _)| (name.clone(), MASK.into())).collect())
        }
        value => value.clone(),
    }
}
