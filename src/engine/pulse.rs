//! Whether the machine moves on: what a supervisor's watchdog is fed with.
//!
//! Two looks some time apart tell it. Only what must move is judged: the writer makes rounds even
//! when it is idle, and cores take tickets while there are some. A store that does not answer is
//! no reason to be killed, because a restart would not mend it and what is kept in memory counts.

use std::fmt;

/// One look at what moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulse {
    /// Rounds of the writer so far.
    pub rounds: u64,
    /// Tickets that have left the lanes so far.
    pub taken: u64,
    /// Tickets in the lanes.
    pub waiting: usize,
    /// Cores inside a handler.
    pub running: usize,
    /// Whether cores are to take tickets: the store takes what they report, and nobody has asked
    /// for the end.
    pub cores_owe: bool,
}

/// Who stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// The writer has made no round.
    Writer,
    /// Tickets wait, no core runs anything, and none was taken.
    Cores,
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standstill::Writer => "the writer stands still",
            Standstill::Cores => "tasks wait and no core takes them",
        })
    }
}

impl Pulse {
    /// Who has not moved since `before`, though it should have.
    pub fn standstill_since(&self, before: &Pulse) -> Option<Standstill> {
        let idle = |look: &Pulse| look.waiting > 0 && look.running == 0 && look.cores_owe;
        if self.rounds == before.rounds {
            Some(Standstill::Writer)
        } else if self.taken == before.taken && idle(before) && idle(self) {
            Some(Standstill::Cores)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Pulse = Pulse { rounds: 7, taken: 40, waiting: 3, running: 0, cores_owe: true };

    fn standstill(now: Pulse) -> Option<Standstill> {
        now.standstill_since(&BEFORE)
    }

    #[test]
    fn a_writer_without_a_round_stands_still_whatever_the_cores_do() {
        assert_eq!(standstill(Pulse { taken: 41, ..BEFORE }), Some(Standstill::Writer));
    }

    #[test]
    fn cores_stand_still_only_if_they_could_take_something_and_none_does() {
        let now = Pulse { rounds: 8, ..BEFORE };
        assert_eq!(standstill(now), Some(Standstill::Cores));
        for moving in [
            Pulse { taken: 41, ..now },
            Pulse { waiting: 0, ..now },
            Pulse { running: 1, ..now },
            Pulse { cores_owe: false, ..now },
        ] {
            assert_eq!(standstill(moving), None, "{moving:?}");
        }
    }

    #[test]
    fn what_came_in_just_now_was_not_owed_before() {
        let before = Pulse { waiting: 0, ..BEFORE };
        let now = Pulse { rounds: 8, ..BEFORE };
        assert_eq!(now.standstill_since(&before), None);
    }
}
