//! The housekeeper: looks after what nobody else has time for.
//!
//! It watches the disk, and the age and the size of what is stored, each at its own pace. It
//! changes nothing itself: it tells the writer, or leaves chores for the persist thread. It may
//! wait for the store; whoever must not, as the watch over the cores, has a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::disk::{Disk, Reserve};
use super::prune::{Retention, SLICE, oldest, overdue, prune_slice};
use super::reads::{Question, Reads};
use crate::clock::{Clock, Mono};
use crate::domain::TimeMs;
use crate::persistence::{Chore, Views};
use crate::store::Reader;

/// What the housekeeper looks after.
pub struct Housekeeper {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the disk's state is told.
    pub views: Arc<Views>,
    /// Work for the persist thread.
    pub chores: Sender<Chore>,
    /// A path on the store's file system; `None` for a store without one.
    pub path: Option<PathBuf>,
    /// How much space is kept back.
    pub reserve: Reserve,
    /// How long ended tasks are kept.
    pub retention: Retention,
    /// Where the store's size is asked for.
    pub reads: Reads,
}

/// When something was last looked after.
#[derive(Debug, Default)]
struct Rounds {
    disk: Option<Mono>,
    prune: Option<Mono>,
    upkeep: Option<Mono>,
}

impl Housekeeper {
    const ROUND: Duration = Duration::from_millis(100);
    const DISK: Duration = Duration::from_secs(1);
    const PRUNE: Duration = Duration::from_secs(10);
    const UPKEEP: Duration = Duration::from_secs(1);
    /// Idempotency keys are kept for a day.
    const KEYS_MS: i64 = 86_400_000;

    /// Looks after everything until `stop` is closed.
    pub fn run(self, stop: &Receiver<()>) {
        let mut rounds = Rounds::default();
        while stop.recv_timeout(Self::ROUND) == Err(RecvTimeoutError::Timeout) {
            self.round(&mut rounds);
        }
    }

    fn round(&self, rounds: &mut Rounds) {
        let (now, mono) = (self.clock.now(), self.clock.mono());
        let due = |last: &mut Option<Mono>, every| {
            let due = last.is_none_or(|at| mono.since(at) >= every);
            if due {
                *last = Some(mono);
            }
            due
        };
        if due(&mut rounds.disk, Self::DISK) {
            self.look_at_disk();
        }
        if due(&mut rounds.prune, Self::PRUNE) && self.prune(now) {
            // There is more: go on with the next round rather than the next minute.
            rounds.prune = None;
        }
        if due(&mut rounds.upkeep, Self::UPKEEP) {
            let keys_before = TimeMs(now.0 - Self::KEYS_MS);
            let _ = self.chores.try_send(Chore::Upkeep { keys_before });
        }
    }

    fn look_at_disk(&self) {
        let Some(path) = &self.path else { return };
        match Disk::of(path) {
            Ok(disk) => self.views.set_disk_full(disk.is_full(&self.reserve)),
            Err(error) => log::warn!("failed to look at the disk of {}: {error}", path.display()),
        }
    }

    /// Deletes a slice of what is too old, and of the oldest where all of it is too much; `true`:
    /// there is more.
    fn prune(&self, now: TimeMs) -> bool {
        let delete =
            |ask| prune_slice(&self.chores, ask).is_ok_and(|deleted| deleted >= u64::from(SLICE));
        let full = overdue(&self.retention, now).map(delete);
        let too_much = self.is_too_much() && delete(oldest(now));
        too_much || full.contains(&true)
    }

    fn is_too_much(&self) -> bool {
        let Some(bytes_max) = self.retention.bytes_max else { return false };
        let (tell, told) = bounded(1);
        let ask = move |reader: &mut dyn Reader| drop(tell.send(reader.used_bytes()));
        if self.reads.ask(Question::new(ask)).is_err() {
            return false;
        }
        matches!(told.recv_timeout(Self::DISK), Ok(Ok(used)) if used > bytes_max)
    }
}
