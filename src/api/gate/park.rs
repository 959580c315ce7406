//! Parking: a request that has to wait for the engine is kept here, and its backend connection is
//! free meanwhile, so that a thousand waiting clients hold a thousand sockets and no thread.
//!
//! The application answers such a request with [`super::PARK_HEAD`] and a token. Once it wakes the
//! token, or the longest wait is over, the same request goes to the backend once more, with the
//! token in [`super::RESUME_HEAD`]. An answer that means more than its client's patience carries
//! [`super::DELIVER_HEAD`]: if it cannot be delivered, or its client hangs up before, the
//! application is told.

use super::RESUME_HEAD;
use super::client::Phase;
use super::front::Front;
use super::parked::WORDS_MAX;
use super::slab::Key;

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
