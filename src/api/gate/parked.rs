//! What the gate knows of parked requests, and the words that wake them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use foldhash::quality::RandomState;

use super::ending::Ending;
use super::slab::Key;

/// Told the token of what was not delivered. Runs on the gate's thread and must not wait.
pub type Lost = Arc<dyn Fn(u64) + Send + Sync>;

/// No request is kept longer, whatever the application does.
pub(super) const PARKED_MAX: Duration = Duration::from_secs(40);
/// Words that wait to be heard; one that finds no room is found out when the wait is over.
pub(super) const WORDS_MAX: usize = 16_384;
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
    pub(super) heard: Receiver<u64>,
    words: Sender<u64>,
    pub(super) lost: Lost,
    pub(super) places: HashMap<u64, Key, RandomState>,
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
    pub(super) fn take_early(&mut self, token: u64) -> bool {
        self.early.remove(&token)
    }

    pub(super) fn keep_early(&mut self, token: u64) {
        if self.early_order.len() >= EARLY_MAX
            && let Some(oldest) = self.early_order.pop_front()
        {
            self.early.remove(&oldest);
        }
        self.early_order.push_back(token);
        self.early.insert(token);
    }
}
