//! The memory all buffers share.
//!
//! Large holders (more than 64 KiB each) may use three quarters of it, so that a few clients with
//! large bodies cannot keep the many with small ones out. Bytes are charged when they have
//! arrived, not when they were announced: an announcement costs a client nothing.

/// Above this many bytes a holder counts as large.
const SMALL: usize = 64 << 10;

/// How much of the shared memory is in use.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    used: usize,
    large: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Budget {
        Budget { max, used: 0, large: 0 }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether `more` bytes for one holder would fit now.
    pub(super) fn has_room(&self, more: usize) -> bool {
        let large = more <= SMALL || self.large + more <= self.max / 4 * 3;
        large && self.used + more <= self.max
    }

    /// Notes that a holder charged with `charged` now holds `held`; false if that is too much.
    /// The charge stands either way, so whoever is told false lets go and charges again.
    pub(super) fn recharge(&mut self, charged: &mut usize, held: usize) -> bool {
        if *charged == held {
            return true;
        }
        let grows = held > *charged;
        self.used = self.used - *charged + held;
        self.large = self.large - large(*charged) + large(held);
        *charged = held;
        !grows || (self.used <= self.max && (held <= SMALL || self.large <= self.max / 4 * 3))
    }
}

fn large(held: usize) -> usize {
    if held > SMALL { held } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_holders_leave_a_quarter_to_small_ones() {
        let mut budget = Budget::new(1 << 20);
        let (mut first, mut second, mut small) = (0, 0, 0);
        assert!(budget.recharge(&mut first, 700 << 10));
        assert!(!budget.recharge(&mut second, 100 << 10));
        assert!(budget.recharge(&mut second, 0));
        assert!(budget.recharge(&mut small, 60 << 10));
        assert!(!budget.has_room(100 << 10));
        assert!(budget.recharge(&mut first, 0));
        assert!(budget.has_room(100 << 10));
        assert_eq!(budget.used(), 60 << 10);
    }

    #[test]
    fn the_whole_is_never_exceeded_by_small_ones_either() {
        let mut budget = Budget::new(128 << 10);
        let (mut first, mut second, mut third) = (0, 0, 0);
        assert!(budget.recharge(&mut first, 64 << 10));
        assert!(budget.recharge(&mut second, 64 << 10));
        assert!(!budget.recharge(&mut third, 1));
    }
}
