//! The pace at which each band's tasks are taken, and the room that follows from it.
//!
//! A node that shares its store keeps in memory what it will start within two seconds and leaves
//! the rest in the store, where idle nodes find it. The pace is looked at ten times a second; it
//! rises at once and falls slowly, so that a short lull does not give the room away.

use std::time::Duration;

use crate::clock::Mono;
use crate::domain::{Band, BandMap};

/// How fast tasks leave the rooms.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Option<Mono>,
    gone: BandMap<u32>,
    per_s: BandMap<f64>,
}

impl Pace {
    const LOOK: Duration = Duration::from_millis(100);
    /// The room of a band is what is taken in this time.
    const AHEAD_S: f64 = 2.0;
    /// No band has less room, or an idle node would take up its first tasks too slowly.
    const ROOM_MIN: usize = 256;
    /// What of a pace is left after a look that found a slower one.
    const FALL: f64 = 0.9;

    /// A task has left the room of its band.
    pub fn note(&mut self, band: Band) {
        self.gone[band] = self.gone[band].saturating_add(1);
    }

    /// The room each band should have now; `None` while there is nothing new.
    pub fn look(&mut self, now: Mono) -> Option<BandMap<usize>> {
        let Some(since) = self.since else {
            self.since = Some(now);
            return Some(self.rooms());
        };
        let time = now.since(since);
        if time < Self::LOOK {
            return None;
        }
        self.since = Some(now);
        for band in Band::ALL {
            let pace = f64::from(std::mem::take(&mut self.gone[band])) / time.as_secs_f64();
            let kept = self.per_s[band] * Self::FALL;
            self.per_s[band] = pace.max(kept + pace * (1.0 - Self::FALL));
        }
        Some(self.rooms())
    }

    fn rooms(&self) -> BandMap<usize> {
        BandMap::from_fn(|band| {
            Self::ROOM_MIN.max((self.per_s[band] * Self::AHEAD_S).ceil() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Mono {
        Mono(ms * 1000)
    }

    #[test]
    fn the_room_is_two_seconds_of_the_pace_and_never_too_small() {
        let mut pace = Pace::default();
        assert_eq!(pace.look(ms(0)).unwrap()[Band::High], 256);
        (0..1000).for_each(|_| pace.note(Band::High));
        assert!(pace.look(ms(99)).is_none());
        let rooms = pace.look(ms(100)).unwrap();
        assert_eq!((rooms[Band::High], rooms[Band::Low]), (20_000, 256));
    }

    #[test]
    fn the_room_of_an_idle_band_shrinks_slowly() {
        let mut pace = Pace::default();
        pace.look(ms(0));
        (0..1000).for_each(|_| pace.note(Band::High));
        pace.look(ms(100));
        let later: Vec<usize> =
            (2..60).map(|n| pace.look(ms(n * 100)).unwrap()[Band::High]).collect();
        assert!(later[0] >= 18_000, "{later:?}");
        assert_eq!(later.last(), Some(&256));
    }
}
