//! A wait that grows with each failure in a row.

use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::cli::output::note;

/// How many failures in a row there were.
#[derive(Debug, Default)]
pub struct Pause(u32);

impl Pause {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Waits, unless `over` is closed, and says what for, but not again and again.
    pub fn after(&mut self, problem: &str, over: &Receiver<()>) {
        if self.0 == 0 {
            note(&format!("taskscheduler: {problem}; trying again"));
        }
        let wait = self.next();
        let _ = over.recv_timeout(wait);
    }

    fn next(&mut self) -> Duration {
        let wait = Self::FIRST.saturating_mul(1 << self.0.min(10)).min(Self::LONGEST);
        self.0 = self.0.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_longest() {
        let mut pause = Pause::default();
        let waits: Vec<u128> = (0..8).map(|_| pause.next().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }
}
