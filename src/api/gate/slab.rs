//! A table of connections with keys that cannot be mistaken for later ones.
//!
//! The kernel reports events by a number we chose. A connection may be closed and its place taken
//! again while events for it are still in the same list, so a key also says which life of the
//! place it means.

use mio::Token;

/// Names one life of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    index: u32,
    life: u32,
}

/// Which table a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Backend,
}

/// Tokens below this one are not connections.
pub(super) const FIRST_TOKEN: usize = 4;

impl Key {
    /// The number under which the kernel reports events of this connection.
    pub(super) fn token(self, side: Side) -> Token {
        let place = ((self.index as usize) << 1 | usize::from(side == Side::Backend)) + FIRST_TOKEN;
        Token((self.life as usize) << 32 | place)
    }

    /// The key behind a token from [`FIRST_TOKEN`] on.
    pub(super) fn of(token: Token) -> (Key, Side) {
        let place = (token.0 & 0xffff_ffff) - FIRST_TOKEN;
        let side = if place & 1 == 1 { Side::Backend } else { Side::Client };
        (Key { index: (place >> 1) as u32, life: (token.0 >> 32) as u32 }, side)
    }
}

/// The table.
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    life: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Takes a place; the value is made from its key.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { life: 0, value: None });
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        let key = Key { index, life: place.life };
        place.value = Some(make(key));
        key
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.life == key.life { place.value.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.life != key.life {
            return None;
        }
        let value = place.value.take()?;
        place.life = place.life.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let key = Key { index: index as u32, life: place.life };
            place.value.as_ref().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_does_not_reach_the_next_holder_of_its_place() {
        let mut slab = Slab::new();
        let first = slab.insert_with(|_| 'a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert_with(|_| 'b');
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut 'b'));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_token_names_its_key_and_its_side() {
        let key = Key { index: 77, life: 3 };
        for side in [Side::Client, Side::Backend] {
            assert_eq!(Key::of(key.token(side)), (key, side));
        }
    }
}
