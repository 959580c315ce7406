//! Who waits for tasks, and of which types there may be some.
//!
//! A row that becomes ready is met by the worker that waits longest for its type, and by no more
//! claims than there may be rows: how many is counted where this node made them free, and is
//! otherwise found out by one claim that asks for all waiting workers.
//!
//! Absent on purpose: the store, and tasks themselves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::Receipt;
use super::lease::{LeaseAsk, LeaseTypes, WaitId};
use super::view::Asked;
use crate::clock::Mono;
use crate::domain::TimeMs;

/// One wish for tasks.
#[derive(Debug)]
pub(super) struct Lessee {
    pub ask: LeaseAsk,
    /// When the waiting ends.
    pub until: Mono,
    /// The right to the first answer; without it the wish waits and is collected later.
    pub receipt: Option<Receipt>,
    /// A claim for it is under way.
    claiming: bool,
}

impl Lessee {
    /// Whether a claim for it is under way.
    pub fn is_claiming(&self) -> bool {
        self.claiming
    }
}

/// What is known about the free rows of a type that are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nothing: one claim shall find out.
    Unknown,
    /// That claim is under way.
    Asked,
    /// There are at most so many.
    AtMost(u64),
    /// A claim came back full.
    Many,
}

#[derive(Debug, Clone, Copy)]
struct Rows {
    known: Known,
    /// The batch in which a row was last made free.
    more_in: u64,
}

impl Rows {
    /// Whether a claim is worth its while.
    fn may_be_there(&self) -> bool {
        !matches!(self.known, Known::Asked | Known::AtMost(0))
    }
}

const NO_IDEA: Rows = Rows { known: Known::Unknown, more_in: 0 };

/// All wishes.
#[derive(Debug, Default)]
pub(super) struct Lessees {
    last: u64,
    all: BTreeMap<WaitId, Lessee>,
    /// Those for whom no claim is under way, by the types they name.
    idle: HashMap<Arc<str>, BTreeSet<WaitId>, RandomState>,
    /// The same, for those that take every type.
    idle_for_any: BTreeSet<WaitId>,
    rows: HashMap<Arc<str>, Rows, RandomState>,
    /// Types that somebody waits for and that may have rows.
    lively: BTreeSet<Arc<str>>,
    /// When rows become ready that wait for a time.
    ripe: BinaryHeap<Reverse<(TimeMs, Arc<str>)>>,
    ends: BTreeSet<(Mono, WaitId)>,
    /// Idle ones that have not had a first answer.
    unanswered: BTreeSet<WaitId>,
    /// When each type was last asked for by name, and all of them together.
    asked: HashMap<Arc<str>, Mono, RandomState>,
    asked_for_any: Option<Mono>,
}

impl Lessees {
    /// No more wishes wait at a time.
    pub const MAX: usize = 4096;
    /// A type is served while somebody has asked for it within this time.
    const SERVED: Duration = Duration::from_mins(1);
    /// No more types than this are said to be served.
    const ASKED_MAX: usize = 4096;
    /// No more times are kept in mind; rows beyond them are found by looking now and then.
    const RIPE_MAX: usize = 65_536;

    /// A new wish. `remote`: all types that no executor here runs. Gives the receipt back when
    /// there are too many.
    pub fn enter(
        &mut self,
        ask: LeaseAsk,
        now: Mono,
        receipt: Receipt,
        remote: &[Arc<str>],
    ) -> Result<WaitId, Receipt> {
        if self.all.len() >= Self::MAX {
            return Err(receipt);
        }
        self.last += 1;
        let id = WaitId(self.last);
        let until = now.plus(Duration::from_millis(ask.wait_ms));
        self.note_asked(&ask.types, now);
        let must_know = ask.wait_ms == 0;
        let types = match &ask.types {
            LeaseTypes::These(types) => types.as_slice(),
            LeaseTypes::EveryRemote => remote,
        };
        for name in types {
            let rows = self.rows.get_mut(name);
            let known = rows.as_ref().map_or(Known::Unknown, |rows| rows.known);
            match known {
                Known::AtMost(0) => {}
                Known::Asked if !must_know => {}
                Known::Asked => {
                    if let Some(rows) = rows {
                        rows.known = Known::Unknown;
                    }
                    self.lively.insert(Arc::clone(name));
                }
                Known::Unknown | Known::AtMost(_) | Known::Many => {
                    self.lively.insert(Arc::clone(name));
                }
            }
        }
        self.all.insert(id, Lessee { ask, until, receipt: Some(receipt), claiming: false });
        self.ends.insert((until, id));
        self.unanswered.insert(id);
        self.index(id);
        Ok(id)
    }

    /// The wish, if it is still there.
    pub fn get_mut(&mut self, id: WaitId) -> Option<&mut Lessee> {
        self.all.get_mut(&id)
    }

    /// Ends a wish.
    pub fn remove(&mut self, id: WaitId) -> Option<Lessee> {
        self.unindex(id);
        self.unanswered.remove(&id);
        let lessee = self.all.remove(&id)?;
        self.ends.remove(&(lessee.until, id));
        if let LeaseTypes::These(types) = &lessee.ask.types {
            for name in types {
                self.forget_if_unnamed(name);
            }
        }
        Some(lessee)
    }

    /// A row of this type was made free in batch `seq`, and is ready.
    pub fn note(&mut self, name: &Arc<str>, seq: u64) {
        let rows = self.rows.entry(Arc::clone(name)).or_insert(NO_IDEA);
        rows.more_in = seq;
        if let Known::AtMost(count) = &mut rows.known {
            *count = count.saturating_add(1);
        }
        if rows.known != Known::Asked && self.is_waited_for(name) {
            self.lively.insert(Arc::clone(name));
        }
    }

    /// A free row of this type becomes ready at `due`.
    pub fn note_due(&mut self, name: &Arc<str>, due: TimeMs) {
        if self.ripe.len() < Self::RIPE_MAX {
            self.ripe.push(Reverse((due, Arc::clone(name))));
        }
    }

    /// Takes notice of the rows whose time has come.
    pub fn ripen(&mut self, now: TimeMs, seq: u64) {
        while self.ripe.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            if let Some(Reverse((_, name))) = self.ripe.pop() {
                self.note(&name, seq);
            }
        }
    }

    /// When the next row becomes ready that somebody could wait for.
    pub fn next_ripe(&self) -> Option<TimeMs> {
        self.ripe.peek().filter(|_| !self.all.is_empty()).map(|Reverse((due, _))| *due)
    }

    /// Somebody else may have made rows free: every type that is waited for is asked for again.
    pub fn look_again(&mut self, remote: &[Arc<str>]) {
        let mut names: Vec<Arc<str>> = self.idle.keys().cloned().collect();
        if !self.idle_for_any.is_empty() {
            names.extend(remote.iter().cloned());
        }
        for name in names {
            let rows = self.rows.entry(Arc::clone(&name)).or_insert(NO_IDEA);
            if let Known::AtMost(0) = rows.known {
                rows.known = Known::Unknown;
            }
            if rows.known != Known::Asked {
                self.lively.insert(name);
            }
        }
    }

    /// The wish that a claim is to be made for next, and its types. `remote` is sorted.
    pub fn next_claim(&mut self, remote: &Arc<[Arc<str>]>) -> Option<(WaitId, Arc<[Arc<str>]>)> {
        loop {
            let name = self.lively.first()?.clone();
            let named = self.idle.get(&name).and_then(BTreeSet::first);
            // Whoever takes every remote type asks for no other: what was marked as asked for would
            // never come back.
            let for_any = self.idle_for_any.first();
            let for_any = for_any.filter(|_| remote.binary_search(&name).is_ok());
            let first = named.into_iter().chain(for_any).min().copied();
            let rows = self.rows.entry(Arc::clone(&name)).or_insert(NO_IDEA);
            let Some(id) = first.filter(|_| rows.may_be_there()) else {
                self.lively.remove(&name);
                continue;
            };
            let lessee = self.all.get_mut(&id)?;
            lessee.claiming = true;
            match &mut rows.known {
                known @ Known::Unknown => *known = Known::Asked,
                Known::AtMost(count) => {
                    *count = count.saturating_sub(lessee.ask.tasks_max.into());
                }
                Known::Asked | Known::Many => {}
            }
            let types = match &lessee.ask.types {
                LeaseTypes::These(types) => types.as_slice().into(),
                LeaseTypes::EveryRemote => Arc::clone(remote),
            };
            self.unindex(id);
            return Some((id, types));
        }
    }

    /// How the claim for a wish came back: full or not, or (`None`) not at all.
    pub fn came_back(&mut self, id: WaitId, types: &[Arc<str>], has_more: Option<bool>, seq: u64) {
        if let Some(lessee) = self.all.get_mut(&id) {
            lessee.claiming = false;
            self.index(id);
        }
        for name in types {
            let rows = self.rows.entry(Arc::clone(name)).or_insert(NO_IDEA);
            rows.known = match has_more {
                Some(true) => Known::Many,
                None if rows.known == Known::Asked => Known::Unknown,
                Some(false) if rows.more_in <= seq => Known::AtMost(0),
                // What was made free since that batch was sent has not been looked for.
                Some(false) if rows.known == Known::Asked => Known::Unknown,
                Some(false) | None => rows.known,
            };
            if rows.may_be_there() && self.is_waited_for(name) {
                self.lively.insert(Arc::clone(name));
            }
        }
        if self.idle_for_any.contains(&id) {
            // Types that have become known since the claim was sent.
            let there = self.rows.iter().filter(|(_, rows)| rows.may_be_there());
            self.lively.extend(there.map(|(name, _)| Arc::clone(name)));
        }
        for name in types {
            self.forget_if_unnamed(name);
        }
    }

    /// A wish without a first answer for which no claim will be made now. One that does not wait
    /// has its answer only when nothing is being found out any more.
    pub fn next_unanswered(&mut self) -> Option<WaitId> {
        if self.unanswered.is_empty() {
            return None;
        }
        let asked = |rows: &Rows| rows.known == Known::Asked;
        let any_asked = self.rows.values().any(asked);
        let hopeless = |id: &WaitId| {
            let Some(lessee) = self.all.get(id) else { return true };
            let waits = lessee.ask.wait_ms > 0;
            match &lessee.ask.types {
                LeaseTypes::These(types) => !types.iter().any(|name| {
                    let is_asked = !waits && self.rows.get(name).is_some_and(asked);
                    is_asked || self.lively.contains(name)
                }),
                LeaseTypes::EveryRemote => self.lively.is_empty() && (waits || !any_asked),
            }
        };
        let id = self.unanswered.iter().copied().find(hopeless)?;
        self.unanswered.remove(&id);
        Some(id)
    }

    /// The types that were asked for lately, or for which somebody waits.
    pub fn asked(&mut self, now: Mono) -> Asked {
        let lately = |at: &Mono| now.since(*at) < Self::SERVED;
        self.asked.retain(|_, at| lately(at));
        let any = !self.idle_for_any.is_empty() || self.asked_for_any.as_ref().is_some_and(lately);
        Asked { any, types: self.asked.keys().cloned().collect() }
    }

    fn note_asked(&mut self, types: &LeaseTypes, now: Mono) {
        match types {
            LeaseTypes::EveryRemote => self.asked_for_any = Some(now),
            LeaseTypes::These(types) => {
                for name in types {
                    if self.asked.len() < Self::ASKED_MAX || self.asked.contains_key(name) {
                        self.asked.insert(Arc::clone(name), now);
                    }
                }
            }
        }
    }

    /// Any without a first answer.
    pub fn any_unanswered(&self) -> Option<WaitId> {
        self.unanswered.first().copied()
    }

    /// One that has waited until now, and for whom no claim is under way.
    pub fn next_ended(&self, now: Mono) -> Option<WaitId> {
        let ended = self.ends.iter().take_while(|(until, _)| *until <= now);
        let waits = |lessee: &Lessee| !lessee.claiming && lessee.receipt.is_none();
        ended.map(|(_, id)| *id).find(|id| self.all.get(id).is_some_and(waits))
    }

    /// Any idle one.
    pub fn next_idle(&self) -> Option<WaitId> {
        self.all.keys().copied().find(|id| !self.is_claiming(*id))
    }

    /// Whether somebody waits for this type.
    pub fn is_waited_for(&self, name: &str) -> bool {
        !self.idle_for_any.is_empty() || self.idle.contains_key(name)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    fn is_claiming(&self, id: WaitId) -> bool {
        self.all.get(&id).is_some_and(Lessee::is_claiming)
    }

    fn index(&mut self, id: WaitId) {
        let Some(lessee) = self.all.get(&id) else { return };
        match &lessee.ask.types {
            LeaseTypes::EveryRemote => drop(self.idle_for_any.insert(id)),
            LeaseTypes::These(types) => {
                for name in types {
                    self.idle.entry(Arc::clone(name)).or_default().insert(id);
                }
            }
        }
        if lessee.receipt.is_some() {
            self.unanswered.insert(id);
        }
    }

    fn unindex(&mut self, id: WaitId) {
        self.unanswered.remove(&id);
        self.idle_for_any.remove(&id);
        let Some(LeaseTypes::These(types)) = self.all.get(&id).map(|lessee| &lessee.ask.types)
        else {
            return;
        };
        for name in types {
            if let Some(waiting) = self.idle.get_mut(name) {
                waiting.remove(&id);
                if waiting.is_empty() {
                    self.idle.remove(name);
                }
            }
        }
    }

    /// What is known of a type goes when nobody names it and nothing is known to be there, so that
    /// workers cannot fill memory with names.
    fn forget_if_unnamed(&mut self, name: &Arc<str>) {
        let empty = |rows: &Rows| matches!(rows.known, Known::AtMost(0) | Known::Unknown);
        if !self.is_waited_for(name) && self.rows.get(name).is_some_and(empty) {
            self.rows.remove(name);
            self.lively.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
