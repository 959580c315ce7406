//! How one value is read from text and written back.
//!
//! Every source (file, environment, flag) is brought to text first, so a value means the same
//! wherever it was given. A refusal says what is allowed and never repeats the text it refuses: it
//! could be a secret.

use std::path::PathBuf;
use std::time::Duration;

/// A type that a setting can have.
pub trait Setting: Sized {
    /// What a person may write, as it reads after "must be".
    const FORM: &'static str;
    /// How the value stands in a TOML file.
    const SHAPE: Shape = Shape::Quoted;
    /// Whether the whole value is kept out of every output.
    const SECRET: bool = false;

    /// Reads the text; `bare` is the unit of a number without one.
    fn read(text: &str, bare: Bare) -> Result<Self, String>;

    /// The value as it would be written in a file, with its secrets masked.
    fn write(&self) -> String;
}

/// How a value stands in a TOML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As it is: numbers and switches.
    Plain,
    /// As a string.
    Quoted,
    /// As an array of strings; in other sources separated by commas.
    List,
}

/// The unit of a duration written as a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// The unit must be written.
    Refused,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Days of 24 hours.
    Days,
}

impl Bare {
    /// The suffix that says the same.
    pub fn suffix(self) -> Option<&'static str> {
        match self {
            Bare::Refused => None,
            Bare::Millis => Some("ms"),
            Bare::Seconds => Some("s"),
            Bare::Days => Some("d"),
        }
    }
}

/// What a value that does not fit is answered with.
pub fn must_be<T: Setting>() -> String {
    format!("must be {}", T::FORM)
}

/// Splits `30s` into its number and its unit.
pub fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let number = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim_start()))
}

macro_rules! whole_numbers {
    ($($number:ty),+) => {$(
        impl Setting for $number {
            const FORM: &'static str = "a whole number";
            const SHAPE: Shape = Shape::Plain;

            fn read(text: &str, _: Bare) -> Result<Self, String> {
                text.replace('_', "").parse().map_err(|_| must_be::<Self>())
            }

            fn write(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

whole_numbers!(u16, u32, usize);

impl Setting for f64 {
    const FORM: &'static str = "a number";
    const SHAPE: Shape = Shape::Plain;

    fn read(text: &str, _: Bare) -> Result<f64, String> {
        text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(must_be::<f64>)
    }

    fn write(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for bool {
    const FORM: &'static str = "true or false";
    const SHAPE: Shape = Shape::Plain;

    fn read(text: &str, _: Bare) -> Result<bool, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(must_be::<bool>()),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for PathBuf {
    const FORM: &'static str = "a path";

    fn read(text: &str, _: Bare) -> Result<PathBuf, String> {
        let bad = text.is_empty() || text.contains('\0');
        if bad { Err(must_be::<PathBuf>()) } else { Ok(PathBuf::from(text)) }
    }

    fn write(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for Vec<String> {
    const FORM: &'static str = "a list of strings";
    const SHAPE: Shape = Shape::List;

    fn read(text: &str, _: Bare) -> Result<Vec<String>, String> {
        Ok(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(String::from).collect())
    }

    fn write(&self) -> String {
        self.join(",")
    }
}

impl Setting for Duration {
    const FORM: &'static str = "a duration with a unit: 250ms, 30s, 5m, 2h, 7d";

    fn read(text: &str, bare: Bare) -> Result<Duration, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(must_be::<Duration>)?;
        let unit = if unit.is_empty() { bare.suffix().unwrap_or("") } else { unit };
        let factor_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(must_be::<Duration>()),
        };
        let ms = number.checked_mul(factor_ms).ok_or("is too long")?;
        Ok(Duration::from_millis(ms))
    }

    fn write(&self) -> String {
        let ms = self.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        let whole = |(_, factor): &(&str, u128)| ms >= *factor && ms.is_multiple_of(*factor);
        match units.into_iter().find(whole) {
            Some((unit, factor)) => format!("{}{unit}", ms / factor),
            None => format!("{ms}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str, bare: Bare) -> Option<u128> {
        Duration::read(text, bare).ok().map(|d| d.as_millis())
    }

    #[test]
    fn a_duration_needs_a_unit_unless_the_key_has_one_by_tradition() {
        assert_eq!(duration("250ms", Bare::Refused), Some(250));
        assert_eq!(duration("5 m", Bare::Refused), Some(300_000));
        assert_eq!(duration("30", Bare::Refused), None);
        assert_eq!(duration("30", Bare::Seconds), Some(30_000));
        assert_eq!(duration("30ms", Bare::Seconds), Some(30));
        assert_eq!(duration("7", Bare::Days), Some(604_800_000));
    }

    #[test]
    fn junk_and_overflow_are_refused() {
        for text in ["", "s", "-1s", "1.5s", "1w", "9999999999999999d", "99999999999999999999s"] {
            assert_eq!(duration(text, Bare::Refused), None, "{text}");
        }
        assert!(u32::read("-1", Bare::Refused).is_err());
        assert!(f64::read("inf", Bare::Refused).is_err());
        assert!(bool::read("yes", Bare::Refused).is_err());
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        for ms in [0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 86_400_000, 90_000_000] {
            let text = Duration::from_millis(ms).write();
            assert_eq!(duration(&text, Bare::Refused), Some(u128::from(ms)), "{text}");
        }
        assert_eq!(f64::read(&2.0.write(), Bare::Refused), Ok(2.0));
    }
}
