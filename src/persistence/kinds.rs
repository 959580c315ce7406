//! Task types: one shared text for each, how it is run, and how much room it has in memory.
//!
//! Types that cores run share the rooms of the bands. Those that the pool runs, and those with a
//! limit, have a room of their own, whose size says how many tasks of the type are worth having in
//! memory now; it may be nought. What finds no room waits in the store and delays only its own
//! type. Types that only workers outside run have no room at all.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::Slot;
use super::backlog::Backlog;
use super::newcomers::{Left, Newcomers};
use crate::domain::{Band, BandMap};
use crate::store::{Bands, ClaimAsk, Claimed};

/// Who runs the tasks of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The cores, by this handler.
    Cores(Slot),
    /// The pool, by this handler; its tickets stand in this line.
    Pool(Slot, usize),
    /// Somebody outside this process, who has to ask for them.
    Worker,
}

/// A type that is run in this process.
#[derive(Debug, Clone)]
pub struct Served {
    /// The type.
    pub name: Arc<str>,
    /// At most so many of its tasks are in memory at a time; `None`: as many as there is room for.
    pub limit: Option<usize>,
    /// Its line at the pool, which then says how many of its tasks are worth having in memory.
    pub line: Option<usize>,
}

/// One of the types, by its place in [`Kinds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KindId(u32);

/// The task types this store has seen.
#[derive(Debug)]
pub(super) struct Kinds {
    places: HashMap<Arc<str>, KindId, RandomState>,
    kinds: Vec<Kind>,
    /// The types that share the bands' rooms.
    shared: Arc<[Arc<str>]>,
    /// The types that have had room of their own.
    roomy: Vec<KindId>,
    /// The types the pool runs, with their lines.
    lines: Vec<(KindId, usize)>,
    /// The types that are in no store yet: their submits may still be refused.
    newcomers: Newcomers,
    /// Places of types that came to nothing, for the next ones.
    vacant: Vec<KindId>,
    /// The types that only workers outside run, where they have been listed since the last new one.
    remote: Option<Arc<[Arc<str>]>>,
    /// No type takes more bytes of room of its own.
    own_bytes_max: usize,
    limit: usize,
}

#[derive(Debug)]
struct Kind {
    name: Arc<str>,
    way: Way,
    own: Option<OwnRoom>,
}

/// The room of one type.
#[derive(Debug)]
pub(super) struct OwnRoom {
    capacity: usize,
    bytes_max: usize,
    held: BandMap<usize>,
    bytes: usize,
    pub backlog: Backlog,
}

impl OwnRoom {
    fn new(capacity: usize, bytes_max: usize) -> OwnRoom {
        let (held, bytes, backlog) = (BandMap::default(), 0, Backlog::unknown());
        OwnRoom { capacity, bytes_max, held, bytes, backlog }
    }

    /// How many more tasks of this band there is room for. Lower bands do not count: what is urgent
    /// is in memory, where it goes first, however much of the rest came before.
    fn room(&self, band: Band) -> usize {
        if self.bytes >= self.bytes_max {
            return 0;
        }
        let before: usize = Band::ALL[..=band.rank()].iter().map(|&band| self.held[band]).sum();
        self.capacity.saturating_sub(before)
    }

    /// Takes room for a task if there is some and none of its band waits in the store.
    pub fn try_admit(&mut self, band: Band, weight: usize) -> bool {
        let fits = !self.backlog.waits(band) && self.room(band) > 0;
        if fits {
            self.admit(band, weight);
        }
        fits
    }

    /// Takes room even if there is none: the task is in memory already.
    pub fn admit(&mut self, band: Band, weight: usize) {
        self.held[band] += 1;
        self.bytes += weight;
    }

    fn leave(&mut self, band: Band, weight: usize) {
        self.held[band] = self.held[band].saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(weight);
    }

    /// Which rows to claim: what there is room for over all bands, or else of the highest band that
    /// waits and has room. `blindly`: also if nothing is known to wait.
    fn wish(&self, blindly: bool) -> Option<(Bands, usize)> {
        let wanted = |band: Band| blindly || self.backlog.waits(band);
        let room = self.room(Band::Bulk);
        if room > 0 {
            return Band::ALL.into_iter().any(wanted).then_some((Bands::All, room));
        }
        let urgent = |band: &Band| wanted(*band) && self.room(*band) > 0;
        let band = Band::ALL.into_iter().find(urgent)?;
        Some((Bands::One(band), self.room(band)))
    }
}

impl Kinds {
    /// The types that are run here, by slot, and those the store knows; at most `limit` different
    /// ones, but never fewer than these. `bytes_max`: most bytes in memory of all types together.
    pub fn new(served: &[Served], stored: Vec<Arc<str>>, bytes_max: usize, limit: usize) -> Kinds {
        let mut kinds = Kinds {
            places: HashMap::default(),
            kinds: Vec::new(),
            shared: Arc::new([]),
            roomy: Vec::new(),
            lines: Vec::new(),
            newcomers: Newcomers::default(),
            vacant: Vec::new(),
            remote: None,
            own_bytes_max: bytes_max / 8,
            limit,
        };
        for (slot, served) in served.iter().enumerate() {
            let slot = Slot(slot as u16);
            let way = served.line.map_or(Way::Cores(slot), |line| Way::Pool(slot, line));
            let id = kinds.add(Arc::clone(&served.name), way);
            if let Some(line) = served.line {
                kinds.lines.push((id, line));
            } else if let Some(capacity) = served.limit {
                kinds.set_capacity(id, capacity);
            }
        }
        let shares = |kind: &&Kind| kind.own.is_none();
        kinds.shared = kinds.kinds.iter().filter(shares).map(|kind| kind.name.clone()).collect();
        for name in stored {
            kinds.learn(name);
        }
        kinds
    }

    /// Takes up a type that is in the store, whoever brought it there.
    pub fn learn(&mut self, name: Arc<str>) {
        self.newcomers.stored(&name);
        if self.of(&name).is_none() {
            self.add(name, Way::Worker);
        }
    }

    fn add(&mut self, name: Arc<str>, way: Way) -> KindId {
        let own = matches!(way, Way::Pool(..)).then(|| OwnRoom::new(0, self.own_bytes_max));
        self.remote = None;
        let kind = Kind { name: Arc::clone(&name), way, own };
        let id = self.vacant.pop().unwrap_or(KindId(self.kinds.len() as u32));
        match self.kinds.get_mut(id.0 as usize) {
            Some(place) => *place = kind,
            None => self.kinds.push(kind),
        }
        self.places.insert(name, id);
        id
    }

    /// The shared text of a submitted task's type, taken up if it is new; `None` when there are
    /// too many. [`Kinds::stored`] or [`Kinds::dropped`] follows for each.
    pub fn intern(&mut self, name: &str) -> Option<Arc<str>> {
        if let Some((known, _)) = self.places.get_key_value(name) {
            self.newcomers.named_again(known);
            return Some(Arc::clone(known));
        }
        if self.places.len() >= self.limit {
            return None;
        }
        let name: Arc<str> = name.into();
        self.add(Arc::clone(&name), Way::Worker);
        self.newcomers.came(&name);
        Some(name)
    }

    /// A task of this type is stored, so the type stays.
    pub fn stored(&mut self, name: &str) {
        self.newcomers.stored(name);
    }

    /// A task of this type is not stored. A type that no other task names is forgotten: who is
    /// refused shall use up none of those that there may be.
    pub fn dropped(&mut self, name: &str) {
        if self.newcomers.dropped(name) == Left::Nothing
            && let Some(id) = self.places.remove(name)
        {
            self.roomy.retain(|roomy| *roomy != id);
            self.vacant.push(id);
            self.remote = None;
        }
    }

    /// The type of this name, if it has been seen.
    pub fn of(&self, name: &str) -> Option<KindId> {
        self.places.get(name).copied()
    }

    /// Who runs a type.
    pub fn way(&self, name: &str) -> Way {
        self.of(name).map_or(Way::Worker, |id| self.kinds[id.0 as usize].way)
    }

    /// All types that only workers outside run.
    pub fn remote(&mut self) -> Arc<[Arc<str>]> {
        let kinds = &self.kinds;
        let places = &self.places;
        let list = || {
            let here = |kind: &&Kind| kind.way == Way::Worker && places.contains_key(&kind.name);
            let names = kinds.iter().filter(here).map(|kind| Arc::clone(&kind.name));
            let mut names: Vec<Arc<str>> = names.collect();
            names.sort_unstable();
            names.into()
        };
        Arc::clone(self.remote.get_or_insert_with(list))
    }

    /// The room of a type that has one of its own.
    pub fn own(&mut self, name: &str) -> Option<(KindId, &mut OwnRoom)> {
        let id = self.of(name)?;
        Some((id, self.kinds[id.0 as usize].own.as_mut()?))
    }

    /// The type's own room, if it has one.
    pub fn own_id(&self, name: &str) -> Option<KindId> {
        self.of(name).filter(|id| self.kinds[id.0 as usize].own.is_some())
    }

    /// Says how many tasks of a type are worth having in memory from now on.
    pub fn set_capacity(&mut self, id: KindId, capacity: usize) {
        let bytes_max = self.own_bytes_max;
        let own = &mut self.kinds[id.0 as usize].own;
        own.get_or_insert_with(|| OwnRoom::new(0, bytes_max)).capacity = capacity;
        if capacity > 0 && !self.roomy.contains(&id) {
            self.roomy.push(id);
        }
    }

    /// Whether the pool runs any type.
    pub fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Says for each line of the pool how many tasks are worth having in memory from now on.
    pub fn set_line_capacities(&mut self, capacities: &[usize]) {
        for place in 0..self.lines.len() {
            let (id, line) = self.lines[place];
            self.set_capacity(id, capacities.get(line).copied().unwrap_or(0));
        }
    }

    /// Gives back room of its own.
    pub fn leave(&mut self, id: KindId, band: Band, weight: usize) {
        if let Some(own) = &mut self.kinds[id.0 as usize].own {
            own.leave(band, weight);
        }
    }

    /// What the types with room of their own would like to claim; `blindly`: also where nothing is
    /// known to wait.
    pub fn wishes(&self, blindly: bool) -> impl Iterator<Item = Wish> {
        self.roomy.iter().filter_map(move |id| {
            let kind = &self.kinds[id.0 as usize];
            let own = kind.own.as_ref()?;
            let (bands, limit) = own.wish(blindly)?;
            let bytes_max = own.bytes_max.saturating_sub(own.bytes);
            Some(Wish { types: Arc::new([kind.name.clone()]), bands, limit, bytes_max })
        })
    }

    /// Notes what a claim of one type came back with. `false`: the claim was not of such a type.
    pub fn claimed(&mut self, ask: &ClaimAsk, claimed: &Claimed, seq: u64) -> bool {
        let [name] = &*ask.types else { return false };
        let Some((_, own)) = self.own(name) else { return false };
        own.backlog.claimed(ask, claimed, seq);
        true
    }

    /// What was left out in an earlier batch is left out in the one with this number.
    pub fn leave_out_again(&mut self, seq: u64) {
        let rooms = self.kinds.iter_mut().filter_map(|kind| kind.own.as_mut());
        rooms.for_each(|own| own.backlog.leave_out_again(seq));
    }

    /// How many tasks of each band are in rooms of their types.
    pub fn held(&self) -> BandMap<usize> {
        let rooms = || self.roomy.iter().filter_map(|id| self.kinds[id.0 as usize].own.as_ref());
        BandMap::from_fn(|band| rooms().map(|own| own.held[band]).sum())
    }

    /// The types that share the bands' rooms.
    pub fn shared(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.shared)
    }

    /// How many different types there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// A wish to claim rows of one type.
#[derive(Debug)]
pub(super) struct Wish {
    pub types: Arc<[Arc<str>]>,
    pub bands: Bands,
    pub limit: usize,
    pub bytes_max: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(capacity: usize) -> OwnRoom {
        let mut room = OwnRoom::new(capacity, 1000);
        room.backlog = Backlog::unknown();
        let ask = |bands| ClaimAsk {
            bands,
            limit: 1,
            bytes_max: 1,
            due_by: crate::domain::TimeMs::ZERO,
            types: Arc::new([]),
            taker: crate::store::Taker::Node,
        };
        room.backlog.claimed(&ask(Bands::All), &Claimed::default(), 1);
        room
    }

    #[test]
    fn what_is_urgent_finds_room_however_much_of_the_rest_came_before() {
        let mut room = room(2);
        assert!(room.try_admit(Band::Low, 1) && room.try_admit(Band::Low, 1));
        assert!(!room.try_admit(Band::Low, 1) && !room.try_admit(Band::Bulk, 1));
        assert!(room.try_admit(Band::High, 1));
        room.backlog.leave_out(Band::Low, 2);
        room.backlog.leave_out(Band::Critical, 2);
        assert_eq!(room.wish(false), Some((Bands::One(Band::Critical), 2)));
    }

    #[test]
    fn bytes_close_a_room_too_and_one_without_capacity_takes_nothing() {
        let mut full = room(5);
        assert!(full.try_admit(Band::High, 1000) && !full.try_admit(Band::High, 1));
        assert_eq!(full.wish(true), None);
        let mut closed = room(0);
        assert!(!closed.try_admit(Band::Critical, 1));
        assert_eq!(closed.wish(true), None);
    }

    #[test]
    fn types_that_are_run_here_are_known_before_those_of_the_store() {
        let served = |name: &str, limit| Served { name: name.into(), limit, line: None };
        let here = [served("NOOP", None), served("SLEEP", Some(7))];
        let stored = vec!["NOOP".into(), "FAR".into()];
        let mut kinds = Kinds::new(&here, stored, 8000, 1);
        assert_eq!(kinds.way("SLEEP"), Way::Cores(Slot(1)));
        assert_eq!((kinds.way("FAR"), kinds.way("NEW")), (Way::Worker, Way::Worker));
        assert_eq!(kinds.shared().iter().map(|name| &**name).collect::<Vec<_>>(), ["NOOP"]);
        assert!(kinds.own_id("NOOP").is_none() && kinds.own_id("SLEEP").is_some());
        assert_eq!(kinds.remote().iter().map(|name| &**name).collect::<Vec<_>>(), ["FAR"]);
        assert_eq!((kinds.intern("NEW"), kinds.intern("FAR").as_deref()), (None, Some("FAR")));
        assert!(kinds.own_id("FAR").is_none(), "memory has room for what nobody here can start");
        let wishes: Vec<_> = kinds.wishes(false).map(|wish| wish.limit).collect();
        assert_eq!(wishes, [7]);
        // Another node's types are known whatever the limit is.
        kinds.learn("ELSEWHERE".into());
        assert_eq!(
            kinds.remote().iter().map(|name| &**name).collect::<Vec<_>>(),
            ["ELSEWHERE", "FAR"]
        );
    }
}
