//! Bands: a priority as the engine schedules it.

use std::ops::{Index, IndexMut};

/// One of five priorities. The order is the order of service: `Critical` is the least value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Band {
    /// Served before everything else.
    Critical,
    /// Served before ordinary work.
    High,
    /// What a task gets that names no priority.
    #[default]
    Medium,
    /// Served after ordinary work.
    Low,
    /// Served when nothing else waits, but for its fixed share.
    Bulk,
}

/// A text that names no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of CRITICAL, HIGH, MEDIUM, LOW, BULK")]
pub struct ParseBandError;

impl Band {
    /// All bands, in the order of service.
    pub const ALL: [Band; 5] = [Band::Critical, Band::High, Band::Medium, Band::Low, Band::Bulk];

    /// The name users see.
    pub fn name(self) -> &'static str {
        match self {
            Band::Critical => "CRITICAL",
            Band::High => "HIGH",
            Band::Medium => "MEDIUM",
            Band::Low => "LOW",
            Band::Bulk => "BULK",
        }
    }

    /// Reads a name in any case.
    pub fn parse(text: &str) -> Result<Band, ParseBandError> {
        let named = |band: &Band| band.name().eq_ignore_ascii_case(text);
        Band::ALL.into_iter().find(named).ok_or(ParseBandError)
    }

    /// The place in the order of service, 0 to 4; also the code in the stores.
    pub fn rank(self) -> usize {
        self as usize
    }

    /// The band with this place in the order of service.
    pub fn from_rank(rank: usize) -> Option<Band> {
        Band::ALL.get(rank).copied()
    }
}

/// One value for each band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BandMap<T>(pub [T; 5]);

impl<T> BandMap<T> {
    /// A map whose values are made one by one, CRITICAL first.
    pub fn from_fn(mut make: impl FnMut(Band) -> T) -> BandMap<T> {
        BandMap(Band::ALL.map(&mut make))
    }

    /// The bands with their values, CRITICAL first.
    pub fn iter(&self) -> impl Iterator<Item = (Band, &T)> {
        Band::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Band> for BandMap<T> {
    type Output = T;

    fn index(&self, band: Band) -> &T {
        &self.0[band.rank()]
    }
}

impl<T> IndexMut<Band> for BandMap<T> {
    fn index_mut(&mut self, band: Band) -> &mut T {
        &mut self.0[band.rank()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_read_in_any_case_and_written_in_capitals() {
        for band in Band::ALL {
            assert_eq!(Band::parse(&band.name().to_lowercase()), Ok(band));
            assert_eq!(Band::from_rank(band.rank()), Some(band));
        }
        assert_eq!(Band::parse("URGENT"), Err(ParseBandError));
    }
}
