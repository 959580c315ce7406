//! From where on free rows may be found: how claims do not walk again over what they took.
//!
//! A claimed row leaves a dead entry at the front of the index that claims walk. It stays there
//! until it is vacuumed, which is never while somebody holds an old snapshot open. So the due time
//! that claims have come to is remembered for each band and type, and the next walk begins there.
//!
//! A floor is a guess: a row may come to lie below it when another node frees it, when an
//! application's transaction ends late, or when clocks differ. So claims look at everything again
//! about once a second, or more seldom where that takes long, but never spend more than a
//! twentieth of the time on it. Rows that this node itself puts below a floor lower it.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::Mono;
use crate::domain::{Change, ChangeKind, Holding};
use crate::store::rules::due;

/// A band and a type: each has a walk of its own in the index.
pub(super) type Place = (i16, i32);

/// The floors of one connection's claims.
#[derive(Debug, Default)]
pub(super) struct Floors(HashMap<Place, Floor, RandomState>);

#[derive(Debug, Clone, Copy)]
struct Floor {
    /// No free row is known that is due before.
    due: i64,
    /// About how many dead entries lie below.
    dead: u64,
    /// When everything is looked at again.
    full_at: Mono,
}

impl Floors {
    /// Fewer dead entries than this are walked over as quickly as not.
    const DEAD_MIN: u64 = 1000;
    /// A look that takes longer and finds nothing has walked over dead entries.
    const LONG_LOOK: Duration = Duration::from_millis(2);
    /// A row of another node may be committed so much later than it says it is due.
    const MARGIN_MS: i64 = 250;
    /// Everything is looked at about so often.
    const FULL_EVERY: Duration = Duration::from_secs(1);
    /// The time between two such looks is at least so many times what one takes.
    const FULL_SHARE: u32 = 20;

    /// From which due time on a walk looks; the least there is where it looks at everything.
    pub(super) fn of(&self, place: Place, now: Mono) -> i64 {
        let floor = self.0.get(&place);
        let floor = floor.filter(|floor| floor.dead >= Floors::DEAD_MIN && now < floor.full_at);
        floor.map_or(i64::MIN, |floor| floor.due)
    }

    /// A walk that looked at everything lasted from then to now.
    pub(super) fn looked(&mut self, place: Place, from: Mono, now: Mono) {
        if let Some(floor) = self.0.get_mut(&place) {
            let wait = Floors::FULL_EVERY.max(now.since(from) * Floors::FULL_SHARE);
            floor.full_at = now.plus(wait);
        }
    }

    /// Claims took `rows` rows, and all that are due before `due`.
    pub(super) fn raise(&mut self, place: Place, due: i64, rows: u64, now_ms: i64) {
        let none = Floor { due: i64::MIN, dead: 0, full_at: Mono::default() };
        let floor = self.0.entry(place).or_insert(none);
        floor.due = due.min(now_ms - Floors::MARGIN_MS);
        floor.dead += rows;
    }

    /// A look at everything lasted from then to now and found no row that is due by `due`.
    pub(super) fn found_nothing(
        &mut self,
        place: Place,
        (due, now_ms): (i64, i64),
        from: Mono,
        now: Mono,
    ) {
        if now.since(from) > Floors::LONG_LOOK {
            self.raise(place, due, Floors::DEAD_MIN, now_ms);
        }
        self.looked(place, from, now);
    }

    /// A change that this node is about to make may leave a row below a floor.
    pub(super) fn note(&mut self, change: &Change, type_id: i32) {
        let (ChangeKind::Insert(holding)
        | ChangeKind::Update(_, holding)
        | ChangeKind::Revive(_, holding)) = change.kind
        else {
            return;
        };
        let place = (change.task.spec.band.rank() as i16, type_id);
        if holding == Holding::Free
            && let Some(floor) = self.0.get_mut(&place)
        {
            floor.due = floor.due.min(due(&change.task).0);
        }
    }

    /// What was taken may not be: a claim failed, or its answer was lost.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = (2, 1);

    fn ms(ms: u64) -> Mono {
        Mono(ms * 1000)
    }

    #[test]
    fn everything_is_looked_at_until_many_rows_were_taken_and_then_now_and_again() {
        let mut floors = Floors::default();
        floors.raise(PLACE, 5000, 999, 10_000);
        floors.looked(PLACE, ms(0), ms(1));
        assert_eq!(floors.of(PLACE, ms(2)), i64::MIN);
        floors.raise(PLACE, 6000, 1, 10_000);
        assert_eq!((floors.of(PLACE, ms(2)), floors.of((2, 2), ms(2))), (6000, i64::MIN));
        assert_eq!(floors.of(PLACE, ms(1001)), i64::MIN);
        // A look that takes 200 ms is worth it every 4 s.
        floors.looked(PLACE, ms(1001), ms(1201));
        assert_eq!((floors.of(PLACE, ms(5200)), floors.of(PLACE, ms(5201))), (6000, i64::MIN));
    }

    #[test]
    fn a_floor_never_rises_to_the_present_and_is_forgotten_with_a_claim_that_failed() {
        let mut floors = Floors::default();
        floors.raise(PLACE, 12_000, 5000, 10_000);
        floors.looked(PLACE, ms(0), ms(0));
        assert_eq!(floors.of(PLACE, ms(1)), 9750);
        floors.forget();
        assert_eq!(floors.of(PLACE, ms(1)), i64::MIN);
    }

    #[test]
    fn a_look_that_found_nothing_and_took_long_is_not_made_again_at_once() {
        let mut floors = Floors::default();
        floors.found_nothing(PLACE, (12_000, 10_000), ms(0), ms(1));
        assert_eq!(floors.of(PLACE, ms(2)), i64::MIN);
        floors.found_nothing(PLACE, (12_000, 10_000), ms(2), ms(10));
        assert_eq!(floors.of(PLACE, ms(11)), 9750);
    }
}
