//! Measures: how often and how long, summed where it happens and shown to whoever asks.
//!
//! A [`Histogram`] belongs to one thread, which shows copies of it now and then; a
//! [`SharedHistogram`] may be added to by several and is for what is not on the way of a task.
//! Absent on purpose: names, labels and formats, which are the API's.

use std::sync::atomic::{AtomicU64, Ordering};

/// Edges for durations, in microseconds: 100 us to 60 s.
pub const DURATIONS_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Edges for how many things come together.
pub const COUNTS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// How many values lay between which edges, and their sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    edges: &'static [u64],
    /// One for each edge, for values up to it, and one for what is beyond.
    bars: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// An empty one with these edges, in rising order.
    pub fn new(edges: &'static [u64]) -> Histogram {
        Histogram { edges, bars: vec![0; edges.len() + 1], sum: 0 }
    }

    /// Adds one value.
    pub fn add(&mut self, value: u64) {
        self.bars[place(self.edges, value)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.bars.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Each edge with the number of values up to it.
    pub fn rising(&self) -> impl Iterator<Item = (u64, u64)> {
        self.edges.iter().zip(&self.bars).scan(0, |seen, (edge, bar)| {
            *seen += bar;
            Some((*edge, *seen))
        })
    }
}

/// A histogram that several threads add to.
#[derive(Debug)]
pub struct SharedHistogram {
    edges: &'static [u64],
    bars: Box<[AtomicU64]>,
    sum: AtomicU64,
}

// Relaxed everywhere: each number stands alone; a reader may see a value's bar before its sum.
impl SharedHistogram {
    /// An empty one with these edges, in rising order.
    pub fn new(edges: &'static [u64]) -> SharedHistogram {
        let bars = (0..=edges.len()).map(|_| AtomicU64::new(0)).collect();
        SharedHistogram { edges, bars, sum: AtomicU64::new(0) }
    }

    /// Adds one value.
    pub fn add(&self, value: u64) {
        self.bars[place(self.edges, value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// How it stands now.
    pub fn read(&self) -> Histogram {
        let bars = self.bars.iter().map(|bar| bar.load(Ordering::Relaxed)).collect();
        Histogram { edges: self.edges, bars, sum: self.sum.load(Ordering::Relaxed) }
    }
}

fn place(edges: &[u64], value: u64) -> usize {
    edges.partition_point(|edge| *edge < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_its_edge_and_beyond_the_last_only_in_the_whole() {
        let (mut own, shared) = (Histogram::new(COUNTS), SharedHistogram::new(COUNTS));
        for value in [0, 1, 2, 3, 10_000, 10_001] {
            own.add(value);
            shared.add(value);
        }
        assert_eq!(own, shared.read());
        assert_eq!((own.count(), own.sum()), (6, 20_007));
        let rising: Vec<_> = own.rising().collect();
        assert_eq!(rising[..3], [(1, 2), (2, 3), (5, 4)]);
        assert_eq!(rising.last(), Some(&(10_000, 5)));
    }

    #[test]
    fn durations_are_told_apart_from_a_tenth_of_a_millisecond_to_a_minute() {
        assert!(DURATIONS_US.is_sorted());
        assert_eq!((DURATIONS_US[0], DURATIONS_US.last()), (100, Some(&60_000_000)));
    }
}
