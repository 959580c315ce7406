//! The nodes of the memory store: as much of each rule as a test with two nodes can tell apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::MemoryDisk;
use super::table::Table;
use crate::domain::{Command, TaskId, TimeMs};
use crate::store::{Incarnation, NodeId, Nodes, Peer, Reaped, Standing, StoreError, Wish, WishId};

/// How long a lease lasts.
pub(super) const LEASE: Duration = Duration::from_secs(12);
/// How long an answer waits for its asker.
const ANSWERS_KEPT_MS: u64 = 60_000;

/// The nodes and their inboxes.
#[derive(Debug, Default)]
pub(super) struct Register {
    nodes: BTreeMap<Incarnation, Node>,
    wishes: BTreeMap<WishId, Posted>,
    wishes_posted: u64,
}

/// One life of a node.
#[derive(Debug)]
struct Node {
    id: NodeId,
    name: Box<str>,
    /// Which of its writing sides may write.
    writer: u64,
    state: State,
    leased_until: TimeMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Alive,
    Released,
    Ended,
}

#[derive(Debug)]
struct Posted {
    wish: Wish,
    answer: Option<(TimeMs, Box<str>)>,
}

impl Register {
    /// A new life of a node.
    pub(super) fn join(&mut self, id: NodeId, name: &str, now: TimeMs) -> Incarnation {
        let own = Incarnation(self.nodes.len() as u64 + 1);
        let (state, leased_until) = (State::Alive, after(now, LEASE));
        self.nodes.insert(own, Node { id, name: name.into(), writer: 0, state, leased_until });
        own
    }

    /// A new writing side of the same life; the one before is fenced from now on.
    pub(super) fn raise_writer(&mut self, own: Incarnation, to: u64) -> Result<(), StoreError> {
        let node = self.alive(own)?;
        if node.writer >= to {
            return Err(StoreError::Fenced("a later writing side has its place".into()));
        }
        node.writer = to;
        Ok(())
    }

    /// Whether this writing side may still write.
    pub(super) fn check(&mut self, own: Incarnation, writer: u64) -> Result<(), StoreError> {
        if self.alive(own)?.writer == writer {
            return Ok(());
        }
        Err(StoreError::Fenced("another writing side has taken its place".into()))
    }

    fn alive(&mut self, own: Incarnation) -> Result<&mut Node, StoreError> {
        let node = self.nodes.get_mut(&own).filter(|node| node.state != State::Ended);
        node.ok_or_else(|| StoreError::Fenced("another node has ended it".into()))
    }

    pub(super) fn release(&mut self, own: Incarnation) {
        if let Some(node) = self.nodes.get_mut(&own) {
            node.state = State::Released;
        }
    }

    /// The former lives of this node that have not been ended, which they are now, and whether
    /// each had given back what it held.
    pub(super) fn end_former(&mut self, own: Incarnation) -> BTreeMap<Incarnation, bool> {
        let Some(id) = self.nodes.get(&own).map(|node| node.id) else { return BTreeMap::new() };
        let former = |(at, node): &(&Incarnation, &mut Node)| {
            node.id == id && **at != own && node.state != State::Ended
        };
        let mut ended = BTreeMap::new();
        for (at, node) in self.nodes.iter_mut().filter(former) {
            ended.insert(*at, node.state == State::Released);
            node.state = State::Ended;
        }
        for posted in self.wishes.values_mut() {
            if ended.contains_key(&posted.wish.holder) {
                posted.wish.holder = own;
            }
        }
        ended
    }

    fn peers(&self, now: TimeMs) -> Vec<Peer> {
        let standing = |node: &Node| match node.state {
            State::Alive if node.leased_until <= now => Some(Standing::Overdue),
            State::Alive => {
                let left = node.leased_until.since_ms(now);
                Some(Standing::Alive(Duration::from_millis(left)))
            }
            State::Released => Some(Standing::Released),
            State::Ended => None,
        };
        let peer = |(at, node): (&Incarnation, &Node)| {
            let (incarnation, name) = (*at, node.name.clone());
            Some(Peer { incarnation, name, standing: standing(node)? })
        };
        self.nodes.iter().filter_map(peer).collect()
    }

    /// Ends a node and moves its inbox. The tasks that were to be cancelled, and whether the node
    /// had given its rows back; `None` if it cannot be ended.
    fn end(
        &mut self,
        node: Incarnation,
        by: Incarnation,
        now: TimeMs,
    ) -> Option<(BTreeSet<TaskId>, bool, u64)> {
        let row = self.nodes.get_mut(&node)?;
        let released = row.state == State::Released;
        if row.state == State::Ended || (!released && row.leased_until > now) {
            return None;
        }
        row.state = State::Ended;
        let left = |posted: &&mut Posted| posted.wish.holder == node && posted.answer.is_none();
        let (mut cancelled, mut moved) = (BTreeSet::new(), 0);
        for posted in self.wishes.values_mut().filter(left) {
            posted.wish.holder = by;
            moved += 1;
            if posted.wish.command == Command::Cancel {
                cancelled.insert(posted.wish.task);
            }
        }
        Some((cancelled, released, moved))
    }
}

fn after(now: TimeMs, time: Duration) -> TimeMs {
    now.plus_ms(time.as_millis() as u64)
}

/// The side of the memory store on which nodes know of each other.
pub(super) struct MemoryNodes {
    pub(super) disk: MemoryDisk,
    pub(super) own: Incarnation,
}

impl MemoryNodes {
    fn on<T>(
        &self,
        call: impl FnOnce(&mut Table, TimeMs) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut content = self.disk.content();
        content.reach(self.own)?;
        let now = content.now();
        call(&mut content.table, now)
    }
}

impl Nodes for MemoryNodes {
    fn own(&self) -> Incarnation {
        self.own
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    fn renew(&mut self) -> Result<Option<TimeMs>, StoreError> {
        let own = self.own;
        let now = self.on(|table, now| {
            table.register.alive(own)?.leased_until = after(now, LEASE);
            Ok(now)
        })?;
        Ok(Some(now).filter(|now| *now > TimeMs::ZERO))
    }

    fn peers(&mut self) -> Result<Vec<Peer>, StoreError> {
        self.on(|table, now| Ok(table.register.peers(now)))
    }

    fn reap(&mut self, node: Incarnation) -> Result<Option<Reaped>, StoreError> {
        let own = self.own;
        self.on(|table, now| {
            table.register.alive(own)?;
            let Some((cancelled, released, wishes)) = table.register.end(node, own, now) else {
                return Ok(None);
            };
            let freed = table.free_rows_of(node, released, &cancelled, now);
            Ok(Some(Reaped { freed, wishes }))
        })
    }

    fn post(&mut self, wishes: &[Wish]) -> Result<Vec<WishId>, StoreError> {
        let own = self.own;
        self.on(|table, _| {
            let register = &mut table.register;
            let mut ids = Vec::with_capacity(wishes.len());
            for wish in wishes {
                let lives = register.nodes.get(&wish.holder);
                let lives = lives.is_some_and(|node| node.state != State::Ended);
                let holder = if lives { wish.holder } else { own };
                register.wishes_posted += 1;
                let id = WishId(register.wishes_posted);
                let wish = Wish { holder, ..*wish };
                register.wishes.insert(id, Posted { wish, answer: None });
                ids.push(id);
            }
            Ok(ids)
        })
    }

    fn inbox(&mut self, limit: u32) -> Result<Vec<(WishId, Wish)>, StoreError> {
        let own = self.own;
        self.on(|table, _| {
            let waits = |posted: &Posted| posted.wish.holder == own && posted.answer.is_none();
            let wishes = table.register.wishes.iter().filter(|(_, posted)| waits(posted));
            Ok(wishes.take(limit as usize).map(|(id, posted)| (*id, posted.wish)).collect())
        })
    }

    fn answer(&mut self, answers: &[(WishId, Box<str>)]) -> Result<(), StoreError> {
        self.on(|table, now| {
            for (id, words) in answers {
                if let Some(posted) = table.register.wishes.get_mut(id) {
                    posted.answer = Some((now, words.clone()));
                }
            }
            Ok(())
        })
    }

    fn pass_on(&mut self, wish: WishId, holder: Incarnation) -> Result<(), StoreError> {
        self.on(|table, _| {
            if let Some(posted) = table.register.wishes.get_mut(&wish) {
                posted.wish.holder = holder;
            }
            Ok(())
        })
    }

    fn take_answers(&mut self, wishes: &[WishId]) -> Result<Vec<(WishId, Box<str>)>, StoreError> {
        self.on(|table, _| {
            let register = &mut table.register.wishes;
            let is_answered =
                |id: &&WishId| register.get(id).is_some_and(|posted| posted.answer.is_some());
            let answered: Vec<WishId> = wishes.iter().filter(is_answered).copied().collect();
            let take = |id| Some((id, register.remove(&id)?.answer?.1));
            Ok(answered.into_iter().filter_map(take).collect())
        })
    }

    fn tidy(&mut self) -> Result<(), StoreError> {
        self.on(|table, now| {
            table.register.wishes.retain(|_, posted| {
                let since = posted.answer.as_ref().map_or(now, |(at, _)| *at);
                now.since_ms(since) < ANSWERS_KEPT_MS
            });
            Ok(())
        })
    }
}
