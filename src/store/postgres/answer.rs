//! What became of a batch's units, as the row that proves its commit keeps it: the fates that say
//! more than "applied". So a batch whose answer was lost on the way can be answered from a later
//! connection.

use crate::domain::TaskId;
use crate::store::{Fate, Replay, ids};

/// The fates as bytes; `None` where all are applied, as nearly always.
pub(super) fn pack(fates: &[Fate]) -> Option<Vec<u8>> {
    let told = fates.iter().enumerate().filter(|(_, fate)| **fate != Fate::Applied);
    let mut bytes = Vec::new();
    for (at, fate) in told {
        put_number(&mut bytes, at);
        put_fate(&mut bytes, fate);
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// The fates of so many units again; `None` if the bytes are not theirs.
pub(super) fn unpack(mut bytes: &[u8], units: usize) -> Option<Vec<Fate>> {
    let mut fates = vec![Fate::Applied; units];
    while !bytes.is_empty() {
        let at = number(&mut bytes)?;
        let fate = fate(&mut bytes)?;
        *fates.get_mut(at)? = fate;
    }
    Some(fates)
}

/// Fates by their codes. What refuses a whole batch is never stored with one.
fn put_fate(bytes: &mut Vec<u8>, fate: &Fate) {
    match fate {
        Fate::AppliedBut(known) => {
            bytes.push(1);
            put_number(bytes, known.len());
            for (place, holder) in known {
                put_number(bytes, *place);
                put_ids(bytes, &[*holder]);
            }
        }
        Fate::Replayed(Replay { ids, created }) => {
            bytes.push(2 + u8::from(*created));
            put_ids(bytes, ids);
        }
        Fate::KeyReused => bytes.push(4),
        Fate::UniqueTaken(holder) => {
            bytes.push(5);
            put_ids(bytes, &[*holder]);
        }
        _ => bytes.push(0),
    }
}

fn fate(bytes: &mut &[u8]) -> Option<Fate> {
    Some(match byte(bytes)? {
        1 => {
            let mut known = Vec::new();
            for _ in 0..number(bytes)? {
                known.push((number(bytes)?, *ids_of(bytes)?.first()?));
            }
            Fate::AppliedBut(known)
        }
        code @ (2 | 3) => Fate::Replayed(Replay { ids: ids_of(bytes)?, created: code == 3 }),
        4 => Fate::KeyReused,
        5 => Fate::UniqueTaken(*ids_of(bytes)?.first()?),
        _ => Fate::Stale,
    })
}

fn put_number(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend((number as u32).to_be_bytes());
}

fn put_ids(bytes: &mut Vec<u8>, list: &[TaskId]) {
    let packed = ids::pack(list);
    put_number(bytes, packed.len());
    bytes.extend(packed);
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*first) as usize)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn ids_of(bytes: &mut &[u8]) -> Option<Vec<TaskId>> {
    let length = number(bytes)?;
    let (packed, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    ids::unpack(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_id() -> impl Strategy<Value = TaskId> {
        (1..TaskId::MAX).prop_filter_map("not nought", TaskId::new)
    }

    fn some_fate() -> impl Strategy<Value = Fate> {
        let ids = prop::collection::vec(some_id(), 0..5);
        let known = prop::collection::vec((0..99usize, some_id()), 1..4);
        prop_oneof![
            Just(Fate::Applied),
            Just(Fate::Stale),
            Just(Fate::KeyReused),
            known.prop_map(Fate::AppliedBut),
            (ids, any::<bool>()).prop_map(|(ids, created)| Fate::Replayed(Replay { ids, created })),
            some_id().prop_map(Fate::UniqueTaken),
        ]
    }

    proptest! {
        #[test]
        fn every_fate_survives_packing(fates in prop::collection::vec(some_fate(), 0..20)) {
            let packed = pack(&fates).unwrap_or_default();
            prop_assert_eq!(unpack(&packed, fates.len()), Some(fates));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = unpack(&bytes, 3);
        }
    }
}
