//! A list of task ids in few bytes: what an idempotency key remembers of a batch.
//!
//! Ids of one batch follow each other, so the list is kept as runs: where a run starts, seen from
//! the end of the last one, and how long it is, both as variable-length numbers.

use crate::domain::TaskId;

/// Packs a list, whatever its order.
pub(super) fn pack(ids: &[TaskId]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(8);
    let mut expected = 0u64;
    let mut rest = ids;
    while let Some(first) = rest.first() {
        let start = first.get();
        let mut length = 1;
        while rest.get(length).is_some_and(|id| id.get() == start.wrapping_add(length as u64)) {
            length += 1;
        }
        let step = start.wrapping_sub(expected) as i64;
        // Zigzag: a small step back is as short as a small step forward.
        put(&mut packed, ((step << 1) ^ (step >> 63)) as u64);
        put(&mut packed, length as u64);
        expected = start.wrapping_add(length as u64);
        rest = &rest[length..];
    }
    packed
}

/// The list again; `None` if the bytes are not one.
pub(super) fn unpack(mut packed: &[u8]) -> Option<Vec<TaskId>> {
    let mut ids = Vec::new();
    let mut expected = 0u64;
    while !packed.is_empty() {
        let zigzag = take(&mut packed)?;
        let length = take(&mut packed)?;
        let step = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let start = expected.wrapping_add(step as u64);
        if length > LENGTH_MAX {
            return None;
        }
        for offset in 0..length {
            ids.push(TaskId::new(start.wrapping_add(offset))?);
        }
        expected = start.wrapping_add(length);
    }
    Some(ids)
}

/// No batch is longer; a damaged length must not fill the memory.
const LENGTH_MAX: u64 = 1 << 24;

fn put(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn take(packed: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = packed.split_first()?;
        *packed = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<TaskId> {
        numbers.into_iter().filter_map(TaskId::new).collect()
    }

    #[test]
    fn a_batch_of_ten_thousand_takes_a_few_bytes() {
        let batch = ids(1_000_000..1_010_000);
        assert!(pack(&batch).len() <= 6);
        assert_eq!(unpack(&pack(&batch)), Some(batch));
    }

    proptest! {
        #[test]
        fn every_list_survives_packing(
            numbers in prop::collection::vec(prop_oneof![1..50u64, 1..u64::MAX], 0..60),
        ) {
            let list = ids(numbers);
            prop_assert_eq!(unpack(&pack(&list)), Some(list));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = unpack(&bytes);
        }
    }
}
