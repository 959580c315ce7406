//! Parking: a request that has to wait for the engine is kept here, and its backend connection is
//! free meanwhile, so that a thousand waiting clients hold a thousand sockets and no thread.
//!
//! The application answers such a request with [`PARK_HEAD`] and a token. Once it wakes the token,
//! or the longest wait is over, the same request goes to the backend once more, with the token in
//! [`RESUME_HEAD`]. An answer that means more than its client's patience carries [`DELIVER_HEAD`]:
//! if it cannot be delivered, or its client hangs up before, the application is told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use foldhash::quality::RandomState;

use super::RESUME_HEAD;
use super::client::Phase;
use super::front::{Ending, Front};
use super::slab::Key;

/// Told the token of what was not delivered. Runs on the gate's thread and must not wait.
pub type Lost = Arc<dyn Fn(u64) + Send + Sync>;

/// No request is kept longer, whatever the application does.
pub(super) const PARKED_MAX: Duration = Duration::from_secs(40);
/// Words that wait to be heard; one that finds no room is found out when the wait is over.
const WORDS_MAX: usize = 16_384;
/// Tokens that were woken before their request was parked are kept in mind, so many of them.
const EARLY_MAX: usize = 4096;

/// Wakes parked requests.
#[derive(Clone)]
pub struct Wakes {
    words: Sender<u64>,
    ending: Arc<Ending>,
}

impl Wakes {
    /// Wakes the request that is parked under this token, or will be in a moment.
    pub fn wake(&self, token: u64) {
        // Full: the request goes on when its longest wait is over.
        if self.words.try_send(token).is_ok() {
            self.ending.ring();
        }
    }
}

impl fmt::Debug for Wakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wakes")
    }
}

/// What the gate knows of parked requests.
pub(super) struct Parked {
    heard: Receiver<u64>,
    words: Sender<u64>,
    pub(super) lost: Lost,
    places: HashMap<u64, Key, RandomState>,
    early: HashSet<u64, RandomState>,
    early_order: VecDeque<u64>,
}

impl Parked {
    pub(super) fn new() -> Parked {
        let (words, heard) = bounded(WORDS_MAX);
        Parked {
            heard,
            words,
            lost: Arc::new(|_| ()),
            places: HashMap::default(),
            early: HashSet::default(),
            early_order: VecDeque::new(),
        }
    }

    pub(super) fn wakes(&self, ending: &Arc<Ending>) -> Wakes {
        Wakes { words: self.words.clone(), ending: Arc::clone(ending) }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Tells the application that what stands under this token reaches nobody.
    pub(super) fn lose(&mut self, token: u64) {
        self.places.remove(&token);
        (self.lost)(token);
    }

    /// Whether the token was woken before its request was parked.
    fn take_early(&mut self, token: u64) -> bool {
        self.early.remove(&token)
    }

    fn keep_early(&mut self, token: u64) {
        if self.early_order.len() >= EARLY_MAX
            && let Some(oldest) = self.early_order.pop_front()
        {
            self.early.remove(&oldest);
        }
        self.early_order.push_back(token);
        self.early.insert(token);
    }
}

impl Front {
    /// The answer asks for its request to be kept.
    pub(super) fn park(&mut self, key: Key, token: u64) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return self.parked.lose(token) };
        client.token = Some(token);
        client.enter(Phase::Parked, now);
        if client.is_read_closed {
            return self.lose_client(key);
        }
        if self.parked.take_early(token) || self.ends_at.is_some() {
            return self.resume(key);
        }
        self.parked.places.insert(token, key);
    }

    /// A parked request goes to the backend once more.
    pub(super) fn resume(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(token) = client.token.filter(|_| client.phase == Phase::Parked) else { return };
        self.parked.places.remove(&token);
        client.inbound.resume_with(RESUME_HEAD, token);
        client.tries = 0;
        self.charge_client(key);
        self.lend(key);
    }

    /// Resumes the requests that were woken.
    pub(super) fn hear_wakes(&mut self) {
        for _ in 0..WORDS_MAX {
            let Ok(token) = self.parked.heard.try_recv() else { return };
            match self.parked.places.get(&token).copied() {
                Some(key) => self.resume(key),
                None => self.parked.keep_early(token),
            }
        }
    }

    /// Resumes all: the gate ends.
    pub(super) fn resume_all(&mut self) {
        let keys: Vec<Key> = self.parked.places.values().copied().collect();
        for key in keys {
            self.resume(key);
        }
    }
}
