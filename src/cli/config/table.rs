//! The form of the table of settings: one entry makes a field, its reading and its documentation.
//!
//! Everything that speaks of settings (`config show`, `config default`, environment names, nearest
//! keys, this crate's documentation) is derived from the same entries, so no two can disagree.

use super::setting::{Bare, Setting, Shape, must_be};

/// One setting, as the table has it.
#[derive(Debug)]
pub struct Key {
    /// The section's name in a file; empty for keys that stand before all sections.
    pub section: &'static str,
    /// The field's name in the struct.
    pub field: &'static str,
    /// What it means, in lines.
    pub about: &'static [&'static str],
    /// What holds when nobody says otherwise, as it would be written.
    pub default: &'static str,
    /// What a person may write.
    pub form: &'static str,
    /// How it stands in a file.
    pub shape: Shape,
    /// The unit of a bare number.
    pub bare: Bare,
    /// The least and the greatest value, where there are such.
    pub range: Option<fn() -> (String, String)>,
    /// Whether its value is kept out of every output.
    pub secret: bool,
    /// Reads a text and writes the value back as people may see it.
    pub show: fn(&str) -> Result<String, String>,
}

impl Key {
    /// The name within the section: `pool-max`.
    pub fn short_name(&self) -> String {
        self.field.replace('_', "-")
    }

    /// The whole name: `database.pool-max`.
    pub fn name(&self) -> String {
        let dot = if self.section.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.section, self.short_name())
    }

    /// The variable that sets it: `TASK_SCHEDULER_DATABASE_POOL_MAX`.
    pub fn variable(&self) -> String {
        let name = self.name().replace(['.', '-'], "_").to_ascii_uppercase();
        format!("{PREFIX}{name}")
    }

    /// A value as it stands in a TOML file.
    pub fn toml(&self, value: &str) -> String {
        match self.shape {
            Shape::Plain => value.into(),
            Shape::Quoted => quoted(value),
            Shape::List => {
                let items = value.split(',').filter(|item| !item.is_empty()).map(quoted);
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What every variable of ours begins with.
pub const PREFIX: &str = "TASK_SCHEDULER_";

/// Reads a value and holds it against the range that its entry gives.
pub fn read_within<T: Setting + PartialOrd>(
    text: &str,
    bare: Bare,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, String> {
    let value = T::read(text, bare)?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("{} from {} to {}", must_be::<T>(), range.start().write(), range.end().write()))
}

/// The ends of a range as they would be written.
pub fn ends<T: Setting>(range: std::ops::RangeInclusive<T>) -> (String, String) {
    (range.start().write(), range.end().write())
}

/// Makes the structs, the list of keys and the way from texts to a `Config`.
///
/// An entry is `field: Type = "default" bare Unit in least..=most;`, the last two if needed.
macro_rules! settings {
    ($(
        $(#[doc = $section_about:literal])+
        $name:literal $section:ident: $Section:ident {$(
            $(#[doc = $about:literal])+
            $field:ident: $Type:ty = $default:literal
                $(bare $bare:ident)? $(in $range:expr)?;
        )+}
    )+) => {
        $(
            $(#[doc = $section_about])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {
                $(
                    $(#[doc = $about])+
                    #[doc = concat!("\n\nDefault: `", $default, "`.")]
                    pub $field: $Type,
                )+
            }
        )+

        /// All settings, read and checked one by one.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $($(#[doc = $section_about])+ pub $section: $Section,)+
        }

        /// All settings, in the order of the table.
        pub static KEYS: &[Key] = &[$($(Key {
            section: $name,
            field: stringify!($field),
            about: &[$($about),+],
            default: $default,
            form: <$Type as Setting>::FORM,
            shape: <$Type as Setting>::SHAPE,
            bare: settings!(@bare $($bare)?),
            range: settings!(@range $Type $(, $range)?),
            secret: <$Type as Setting>::SECRET,
            show: |text| {
                settings!(@read $Type, text, settings!(@bare $($bare)?) $(, $range)?)
                    .map(|value| value.write())
            },
        },)+)+];

        /// The sections with what they are about, in the order of the table.
        pub static SECTIONS: &[(&str, &[&str])] = &[$(($name, &[$($section_about),+]),)+];

        impl Config {
            /// Makes the settings from one text for each key, in the order of the table.
            pub fn from_texts<'t>(
                mut texts: impl Iterator<Item = &'t str>,
            ) -> Result<Config, String> {
                let mut next = || texts.next().ok_or("has no value");
                Ok(Config {$(
                    $section: $Section {$(
                        $field: settings!(
                            @read $Type, next()?, settings!(@bare $($bare)?) $(, $range)?
                        )?,
                    )+},
                )+})
            }
        }
    };
    (@bare) => { Bare::Refused };
    (@bare $bare:ident) => { Bare::$bare };
    (@range $Type:ty) => { None };
    (@range $Type:ty, $range:expr) => { Some(|| ends::<$Type>($range)) };
    (@read $Type:ty, $text:expr, $bare:expr) => { <$Type as Setting>::read($text, $bare) };
    (@read $Type:ty, $text:expr, $bare:expr, $range:expr) => {
        read_within::<$Type>($text, $bare, $range)
    };
}

pub(super) use settings;
