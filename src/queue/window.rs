//! The window: how many tickets may be in memory, in tasks and in bytes.
//!
//! Each band has room of its own, so a flood of one band never takes the place of another; tasks
//! that wait for their time have room of their own again. What finds no room waits in the store.

use crate::domain::{Band, BandMap};

/// How much may be in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSizes {
    /// Ready tasks, all bands together.
    pub tasks_max: usize,
    /// Their weight in bytes, all bands together.
    pub bytes_max: usize,
    /// Tasks that wait for their time.
    pub due_max: usize,
}

impl Default for WindowSizes {
    fn default() -> WindowSizes {
        WindowSizes { tasks_max: 100_000, bytes_max: 256 << 20, due_max: 20_000 }
    }
}

/// What is taken of the room there is.
#[derive(Debug)]
pub struct Window {
    sizes: WindowSizes,
    tasks: BandMap<usize>,
    bytes: BandMap<usize>,
    due: usize,
    /// How many ready tasks each band may have now.
    limits: BandMap<usize>,
}

impl Window {
    /// An empty window.
    pub fn new(sizes: WindowSizes) -> Window {
        let (tasks, bytes) = (BandMap::default(), BandMap::default());
        let mut window = Window { sizes, tasks, bytes, due: 0, limits: BandMap::default() };
        window.limits = BandMap([window.capacity(); 5]);
        window
    }

    /// How many ready tasks one band may have at most.
    pub fn capacity(&self) -> usize {
        (self.sizes.tasks_max / Band::ALL.len()).max(1)
    }

    /// Takes room for a ready task if there is some.
    pub fn try_admit(&mut self, band: Band, weight: usize) -> bool {
        let fits = self.room(band) > 0;
        if fits {
            self.admit(band, weight);
        }
        fits
    }

    /// Takes room for a ready task even if there is none: it is in memory already.
    pub fn admit(&mut self, band: Band, weight: usize) {
        self.tasks[band] += 1;
        self.bytes[band] += weight;
    }

    /// Gives back the room of a ready task.
    pub fn leave(&mut self, band: Band, weight: usize) {
        self.tasks[band] = self.tasks[band].saturating_sub(1);
        self.bytes[band] = self.bytes[band].saturating_sub(weight);
    }

    /// How many more ready tasks the band has room for; nought when its bytes are used up.
    pub fn room(&self, band: Band) -> usize {
        if self.bytes[band] >= self.sizes.bytes_max / Band::ALL.len() {
            return 0;
        }
        self.limits[band].saturating_sub(self.tasks[band])
    }

    /// How many ready tasks the band may have now.
    pub fn limit(&self, band: Band) -> usize {
        self.limits[band]
    }

    /// Lets the band have so many ready tasks from now on, as far as its capacity allows. What is
    /// there beyond that stays.
    pub fn set_limit(&mut self, band: Band, tasks: usize) {
        self.limits[band] = tasks.min(self.capacity());
    }

    /// How many more bytes the band has room for.
    pub fn room_bytes(&self, band: Band) -> usize {
        (self.sizes.bytes_max / Band::ALL.len()).saturating_sub(self.bytes[band])
    }

    /// How many ready tasks the band has.
    pub fn held(&self, band: Band) -> usize {
        self.tasks[band]
    }

    /// Takes room for a task that waits for its time, if there is some.
    pub fn try_admit_due(&mut self) -> bool {
        let fits = self.due < self.sizes.due_max;
        self.due += usize::from(fits);
        fits
    }

    /// The same even if there is none.
    pub fn admit_due(&mut self) {
        self.due += 1;
    }

    /// Gives back the room of a task that waited for its time.
    pub fn leave_due(&mut self) {
        self.due = self.due.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_band_leaves_room_for_the_others() {
        let sizes = WindowSizes { tasks_max: 50, ..WindowSizes::default() };
        let mut window = Window::new(sizes);
        let admitted = (0..100).filter(|_| window.try_admit(Band::Low, 1)).count();
        assert_eq!(admitted, 10);
        assert!(window.try_admit(Band::Critical, 1));
        window.leave(Band::Low, 1);
        assert!(window.try_admit(Band::Low, 1));
    }

    #[test]
    fn a_limit_closes_a_band_early_and_keeps_within_the_capacity() {
        let mut window = Window::new(WindowSizes { tasks_max: 50, ..WindowSizes::default() });
        window.set_limit(Band::High, 2);
        assert_eq!((0..9).filter(|_| window.try_admit(Band::High, 1)).count(), 2);
        assert!(window.try_admit(Band::Low, 1));
        window.set_limit(Band::High, 1000);
        assert_eq!(window.room(Band::High), 8);
    }

    #[test]
    fn bytes_close_the_window_too() {
        let sizes = WindowSizes { bytes_max: 500, ..WindowSizes::default() };
        let mut window = Window::new(sizes);
        assert!(window.try_admit(Band::Medium, 100));
        assert!(!window.try_admit(Band::Medium, 1));
        assert_eq!(window.room(Band::Medium), 0);
    }
}
