//! Many durations in little room: count, sum, extremes, and a histogram for percentiles.

/// Durations in microseconds, summed up.
///
/// The histogram has four bars for each doubling, so a percentile is off by at most a fifth of its
/// value; two summaries can be added without loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many durations.
    pub count: u64,
    /// Their sum.
    pub sum_us: u64,
    /// The least; nought when there is none.
    pub min_us: u64,
    /// The greatest.
    pub max_us: u64,
    bars: Box<[u32; Summary::BARS]>,
}

impl Summary {
    /// Bars of the histogram: up to 2^32 us, a little over an hour; longer ones share the last.
    pub const BARS: usize = 128;

    /// Adds one duration.
    pub fn add(&mut self, us: u64) {
        self.min_us = if self.count == 0 { us } else { self.min_us.min(us) };
        self.max_us = self.max_us.max(us);
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        let bar = &mut self.bars[bar_of(us)];
        *bar = bar.saturating_add(1);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Summary) {
        if other.count == 0 {
            return;
        }
        self.min_us = if self.count == 0 { other.min_us } else { self.min_us.min(other.min_us) };
        self.max_us = self.max_us.max(other.max_us);
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        for (bar, more) in self.bars.iter_mut().zip(other.bars.iter()) {
            *bar = bar.saturating_add(*more);
        }
    }

    /// The mean; nought when there is none.
    pub fn mean_us(&self) -> u64 {
        self.sum_us.checked_div(self.count).unwrap_or(0)
    }

    /// The duration that `share` (0 to 1) of all do not exceed, from the histogram and never
    /// outside the extremes.
    pub fn percentile_us(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bar, &count) in self.bars.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return top_of(bar).clamp(self.min_us, self.max_us);
            }
        }
        self.max_us
    }

    /// The bars that hold something, as pairs of bar and count, in the form [`Summary::unpack`]
    /// reads.
    pub fn pack(&self) -> Vec<u8> {
        let held = self.bars.iter().enumerate().filter(|(_, count)| **count > 0);
        held.flat_map(|(bar, count)| std::iter::once(bar as u8).chain(count.to_le_bytes()))
            .collect()
    }

    /// A summary from its parts; bars that [`Summary::pack`] did not write are passed over.
    pub fn unpack(count: u64, sum_us: u64, min_us: u64, max_us: u64, packed: &[u8]) -> Summary {
        let mut summary = Summary { count, sum_us, min_us, max_us, ..Summary::default() };
        for pair in packed.chunks_exact(5) {
            if let Some(bar) = summary.bars.get_mut(usize::from(pair[0])) {
                *bar = u32::from_le_bytes([pair[1], pair[2], pair[3], pair[4]]);
            }
        }
        summary
    }
}

impl Default for Summary {
    fn default() -> Summary {
        let bars = Box::new([0; Summary::BARS]);
        Summary { count: 0, sum_us: 0, min_us: 0, max_us: 0, bars }
    }
}

/// The bar a duration falls into: its highest bit and the two below.
fn bar_of(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let high = 63 - us.leading_zeros() as usize;
    let quarter = (us >> (high - 2)) as usize & 3;
    ((high - 1) * 4 + quarter).min(Summary::BARS - 1)
}

/// The greatest duration that falls into a bar.
fn top_of(bar: usize) -> u64 {
    if bar < 4 {
        return bar as u64;
    }
    let (high, quarter) = (bar / 4 + 1, (bar % 4) as u64);
    ((4 + quarter + 1) << (high - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_duration_lies_in_its_bar(us in 0..1u64 << 32) {
            let bar = bar_of(us);
            prop_assert!(us <= top_of(bar));
            prop_assert!(bar == 0 || us > top_of(bar - 1));
        }

        #[test]
        fn a_percentile_is_off_by_at_most_a_quarter(
            all in prop::collection::vec(1..1u64 << 30, 1..200),
        ) {
            let mut summary = Summary::default();
            for us in &all {
                summary.add(*us);
            }
            let mut sorted = all;
            sorted.sort_unstable();
            let exact = sorted[(sorted.len() as f64 * 0.9).ceil() as usize - 1] as f64;
            let told = summary.percentile_us(0.9) as f64;
            prop_assert!(told >= exact * 0.99 && told <= exact * 1.25, "{told} for {exact}");
        }

        #[test]
        fn a_summary_survives_packing(all in prop::collection::vec(0..1u64 << 40, 0..200)) {
            let mut summary = Summary::default();
            for us in &all {
                summary.add(*us);
            }
            let Summary { count, sum_us, min_us, max_us, .. } = summary;
            let again = Summary::unpack(count, sum_us, min_us, max_us, &summary.pack());
            prop_assert_eq!(again, summary);
        }
    }
}
