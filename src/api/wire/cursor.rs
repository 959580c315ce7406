//! Cursors: where the next page starts, as an opaque text bound to its filter and order.
//!
//! The text is base64url of a digest and the place it covers. The digest is no secret: it tells a
//! cursor of another query, or a damaged one, from a good one.

use sha2::{Digest, Sha256};

use crate::domain::TaskId;
use crate::store::{Cursor, Filter, Sorting};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const DIGEST_BYTES: usize = 8;

/// A cursor with the number of tasks before it, so that a page still knows its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Tasks on all pages before.
    pub before: u64,
    /// Where the store goes on.
    pub cursor: Cursor,
}

impl Mark {
    /// The text for clients.
    pub(crate) fn encode(&self, filter: &Filter, sorting: Sorting) -> String {
        let mut place = Vec::with_capacity(16 + self.cursor.value.len());
        place.extend_from_slice(&self.before.to_be_bytes());
        place.extend_from_slice(&self.cursor.id.get().to_be_bytes());
        place.extend_from_slice(self.cursor.value.as_bytes());
        let mut bytes = digest(filter, sorting, &place).to_vec();
        bytes.append(&mut place);
        to_base64(&bytes)
    }

    /// Reads a client's text; `None` if it is no cursor of this filter and order.
    pub(crate) fn decode(text: &str, filter: &Filter, sorting: Sorting) -> Option<Mark> {
        let bytes = from_base64(text)?;
        let (sent, place) = bytes.split_at_checked(DIGEST_BYTES)?;
        if sent != digest(filter, sorting, place) {
            return None;
        }
        let (before, rest) = place.split_first_chunk::<8>()?;
        let (id, value) = rest.split_first_chunk::<8>()?;
        let value = std::str::from_utf8(value).ok()?.to_owned();
        // Ids and counts stay below 2^53; what is beyond was not written here.
        let before = Some(u64::from_be_bytes(*before)).filter(|n| *n <= TaskId::MAX)?;
        let id = Some(u64::from_be_bytes(*id)).filter(|n| *n <= TaskId::MAX)?;
        Some(Mark { before, cursor: Cursor { value, id: TaskId::new(id)? } })
    }
}

fn digest(filter: &Filter, sorting: Sorting, place: &[u8]) -> [u8; DIGEST_BYTES] {
    let query = format!("{filter:?} {sorting:?}");
    let full = Sha256::new().chain_update(query).chain_update([0]).chain_update(place).finalize();
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&full[..DIGEST_BYTES]);
    short
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut bits = 0;
        for place in 0..4 {
            let value = match chunk.get(place) {
                Some(letter) => ALPHABET.iter().position(|known| known == letter)?,
                None => 0,
            };
            bits = bits << 6 | value as u32;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Band, StatusKind};
    use crate::store::SortField;

    const SORTING: Sorting = Sorting { field: SortField::CreatedAt, descending: true };

    fn mark(value: &str) -> Mark {
        let id = TaskId::new(77).unwrap();
        Mark { before: 40, cursor: Cursor { value: value.into(), id } }
    }

    #[test]
    fn a_cursor_serves_only_the_query_it_came_from() {
        let filter = Filter { status: Some(StatusKind::Failed), ..Filter::default() };
        let text = mark("2025").encode(&filter, SORTING);
        assert_eq!(Mark::decode(&text, &filter, SORTING), Some(mark("2025")));
        let other = Filter { band: Some(Band::High), ..filter.clone() };
        assert_eq!(Mark::decode(&text, &other, SORTING), None);
        let ascending = Sorting { descending: false, ..SORTING };
        assert_eq!(Mark::decode(&text, &filter, ascending), None);
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(value in ".{0,60}") {
            let text = mark(&value).encode(&Filter::default(), SORTING);
            prop_assert!(text.bytes().all(|byte| ALPHABET.contains(&byte)));
            prop_assert_eq!(Mark::decode(&text, &Filter::default(), SORTING), Some(mark(&value)));
        }

        #[test]
        fn no_other_text_is_a_cursor(text in "[A-Za-z0-9_=+/ -]{0,80}") {
            prop_assert_eq!(Mark::decode(&text, &Filter::default(), SORTING), None);
        }
    }
}
