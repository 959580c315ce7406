//! Sizes in bytes, written with a unit.

use super::setting::{Bare, Setting, must_be, number_and_unit};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// As an index; on every machine this runs on the two are equally wide.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// 1 KiB, in bytes.
pub const KIB: u64 = 1024;
/// 1 MiB, in bytes.
pub const MIB: u64 = 1024 * KIB;
/// 1 GiB, in bytes.
pub const GIB: u64 = 1024 * MIB;

impl Setting for Size {
    const FORM: &'static str = "a size: 512, 64KiB, 16MiB, 2GiB (or kB, MB, GB)";

    fn read(text: &str, _: Bare) -> Result<Size, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(must_be::<Size>)?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" => KIB,
            "mib" => MIB,
            "gib" => GIB,
            "tib" => 1024 * GIB,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(must_be::<Size>()),
        };
        number.checked_mul(factor).map(Size).ok_or_else(|| "is too large".into())
    }

    fn write(&self) -> String {
        let units = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
        let whole = |(_, factor): &(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        match units.into_iter().find(whole) {
            Some((unit, factor)) => format!("{}{unit}", self.0 / factor),
            None => format!("{}B", self.0),
        }
    }
}

/// A bound in bytes that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeLimit {
    /// No bound.
    None,
    /// At most so much.
    Bytes(u64),
}

impl Setting for SizeLimit {
    const FORM: &'static str = "a size such as 10GiB, or none";

    fn read(text: &str, bare: Bare) -> Result<SizeLimit, String> {
        if text == "none" {
            return Ok(SizeLimit::None);
        }
        let size = Size::read(text, bare).map_err(|_| must_be::<SizeLimit>())?;
        Ok(SizeLimit::Bytes(size.0))
    }

    fn write(&self) -> String {
        match self {
            SizeLimit::None => "none".into(),
            SizeLimit::Bytes(bytes) => Size(*bytes).write(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_in_both_families_of_units_and_write_back() {
        let read = |text: &str| Size::read(text, Bare::Refused).ok().map(|s| s.0);
        assert_eq!(read("64KiB"), Some(65_536));
        assert_eq!(read("64kB"), Some(64_000));
        assert_eq!(read("16 mib"), Some(16 * MIB));
        assert_eq!(read("16777216"), Some(16 * MIB));
        assert_eq!(read("1PiB"), None);
        assert_eq!(read("99999999999TiB"), None);
        for bytes in [0, 1, 1023, 1024, 1500, 3 * MIB, GIB] {
            assert_eq!(read(&Size(bytes).write()), Some(bytes));
        }
        assert_eq!(SizeLimit::read("none", Bare::Refused), Ok(SizeLimit::None));
    }
}
