//! The batch that is being collected, and the one that is under way.
//!
//! Beside each unit stands what is to be done once its fate is known. A unit and its sequel are
//! never separated.

use std::collections::{BTreeMap, HashSet};

use super::gathering::{Gatherings, Place};
use super::lease::{LeaseReport, WaitId};
use super::{Command, Receipt, Refusal};
use crate::clock::Mono;
use crate::domain::{Change, TaskId};
use crate::store::{Beat, ClaimAsk, ExpiredAsk, KeyClaim, Unit};

/// What is to be done once a unit's fate is known.
#[derive(Debug)]
pub(super) enum Sequel {
    /// Answer a submit.
    Submitted { receipt: Receipt },
    /// Answer a command that changed the task. `again` is what is to be done once more if the row
    /// was moved by another node meanwhile.
    Commanded { receipt: Receipt, then: Then, again: Option<Command> },
    /// A leased attempt ended; like [`Sequel::Ended`], and the worker is answered, if it was one
    /// who told.
    Reported(Option<Place>),
    /// An attempt ended; if the store cannot hold what it left, that is another outcome.
    Ended,
    /// Only the row was behind.
    Late,
    /// Nothing but taking it over into memory.
    Quiet,
}

/// What follows a command's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The command is done.
    Done,
    /// The running attempt is asked to stop, and the task changes when it has.
    AskStop,
    /// The running attempt is asked to stop, but the task has moved on already.
    LeaveBehind,
}

/// What waits for a row to be looked up.
#[derive(Debug)]
pub(super) enum Wish {
    Command(Command, Receipt),
    Lease(LeaseReport, Option<Place>),
}

/// Units and wishes for one transaction.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub units: Vec<Unit>,
    pub sequels: Vec<Sequel>,
    pub claims: Vec<ClaimAsk>,
    /// Commands and reports that wait for a row to be looked up; earlier tasks come first.
    pub wanted: BTreeMap<TaskId, Vec<Wish>>,
    /// Leases to renew.
    pub beats: Vec<(Beat, Place)>,
    /// Leases that ran out, to be taken back.
    pub expired: Option<ExpiredAsk>,
    pub ids_wanted: u32,
    /// Idempotency keys in `units`.
    pub keys: HashSet<[u8; 32]>,
    /// How many changes `units` have together.
    pub changes: usize,
    /// About how many bytes.
    pub bytes: usize,
    /// Since when the oldest request in here waits.
    pub since: Option<Mono>,
}

impl Pending {
    /// No batch has more changes, but for the one unit that goes over it.
    pub const CHANGES_MAX: usize = 8192;
    /// No batch has more bytes, but for the one unit that goes over it.
    pub const BYTES_MAX: usize = 16 << 20;

    /// Adds a unit of one change.
    pub fn push(&mut self, change: Change, sequel: Sequel) {
        self.push_all(vec![change], None, sequel);
    }

    /// Adds a unit.
    pub fn push_all(&mut self, changes: Vec<Change>, key: Option<KeyClaim>, sequel: Sequel) {
        self.changes += changes.len();
        self.bytes += changes.iter().map(weight).sum::<usize>();
        self.keys.extend(key.map(|claim| claim.key));
        self.units.push(Unit { changes, key });
        self.sequels.push(sequel);
    }

    /// Whether more units should wait for the next batch.
    pub fn is_full(&self) -> bool {
        self.changes >= Pending::CHANGES_MAX || self.bytes >= Pending::BYTES_MAX
    }

    /// Whether there is nothing to ask of the store.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
            && self.claims.is_empty()
            && self.wanted.is_empty()
            && self.beats.is_empty()
            && self.expired.is_none()
            && self.ids_wanted == 0
    }
}

/// About how many bytes a change keeps in memory.
pub(super) fn weight(change: &Change) -> usize {
    let result = change.task.state.result.as_ref().map_or(0, crate::domain::Payload::len);
    change.task.spec.weight() + result
}

/// A batch that the persist thread has, or had without saying what became of it.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub batch: std::sync::Arc<crate::store::Batch>,
    pub sequels: Vec<Sequel>,
    pub wanted: BTreeMap<TaskId, Vec<Wish>>,
    /// Whom the last of the batch's claims are for; those before them are this node's own.
    pub lessees: Vec<WaitId>,
    pub beats: Vec<Place>,
    pub keys: HashSet<[u8; 32]>,
    /// When it was sent first.
    pub since: Mono,
    /// When the persist thread got it; `None`: it gave it back in doubt.
    pub sent_at: Option<Mono>,
    /// Whether it was sent again, so that what it asked for beside its units may be lost.
    pub again: bool,
    /// Whether the requests in it were told that nobody knows yet.
    pub told: bool,
}

impl UnderWay {
    /// Tells whoever waits for it that nobody knows yet whether it is stored. What was only to be
    /// looked up is surely not done.
    pub fn tell_doubt(&mut self, gatherings: &mut Gatherings) {
        self.told = true;
        for sequel in &mut self.sequels {
            if let Sequel::Submitted { receipt } | Sequel::Commanded { receipt, .. } = sequel {
                receipt.answer_early(Err(Refusal::InDoubt));
            }
            if let Sequel::Reported(place) = sequel {
                gatherings.refuse(*place, &Refusal::InDoubt);
            }
        }
        for place in &self.beats {
            gatherings.refuse(Some(*place), &Refusal::InDoubt);
        }
        for wish in std::mem::take(&mut self.wanted).into_values().flatten() {
            match wish {
                Wish::Command(_, receipt) => receipt.settle(Err(Refusal::StoreDown)),
                Wish::Lease(_, place) => gatherings.refuse(place, &Refusal::StoreDown),
            }
        }
    }
}
