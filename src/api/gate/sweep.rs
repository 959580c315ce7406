//! Deadlines: looked at together, a few times a second, instead of a timer for each.
//!
//! A thousand connections are a thousand comparisons, which is less than one request costs; and a
//! request that is served in time never touches a timer.

use super::client::Phase;
use super::front::Front;
use super::parked::PARKED_MAX;
use super::refusal::{After, NO_ANSWER, NO_ANSWER_UNKNOWN, NO_BACKEND, SLOW_BODY, SLOW_HEAD};
use super::slab::Key;

impl Front {
    /// Ends what has taken too long and keeps the backend's connections in order.
    pub(super) fn sweep(&mut self) {
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        keys.extend(self.clients.iter().map(|(key, _)| key));
        for &key in &keys {
            self.look_at(key);
        }
        self.keys = keys;
        self.tidy_line();
        self.pool.check_probe(&self.limits, self.now);
        self.pool.shrink(&self.limits, self.now);
        self.dispatch();
    }

    fn look_at(&mut self, key: Key) {
        let (now, limits) = (self.now, &self.limits);
        let is_crowded = self.clients.len() * 4 > limits.connections_max * 3;
        let Some(client) = self.clients.get_mut(key) else { return };
        let age = now.since(client.since);
        match client.phase {
            Phase::Idle => {
                let allowed = if is_crowded { limits.idle_min } else { limits.idle_max };
                if age >= allowed {
                    self.remove_client(key);
                }
            }
            Phase::Head if age >= limits.head_deadline => {
                self.refuse(key, SLOW_HEAD, After::Close);
            }
            Phase::Body => {
                if client.is_slow(now, limits.body_window, limits.body_rate_min) {
                    self.refuse(key, SLOW_BODY, After::Close);
                }
            }
            Phase::Waiting if age >= limits.backend_wait => {
                self.refuse(key, NO_BACKEND, After::Keep);
            }
            Phase::Asked if age >= limits.answer_deadline => self.give_up_answer(key),
            Phase::Asked => self.look_for_stream(key),
            Phase::Streaming | Phase::Writing => self.look_at_taking(key),
            Phase::Lingering if age >= limits.linger => self.remove_client(key),
            Phase::Parked if age >= PARKED_MAX => self.resume(key),
            Phase::Head | Phase::Waiting | Phase::Lingering | Phase::Parked => {}
        }
    }

    fn give_up_answer(&mut self, key: Key) {
        self.orphan_backend(key);
        let Some(client) = self.clients.get_mut(key) else { return };
        let repeatable = client.head().is_some_and(super::head::Head::is_repeatable);
        self.refuse(key, if repeatable { NO_ANSWER } else { NO_ANSWER_UNKNOWN }, After::Keep);
    }

    /// A long answer that found no room to stream tries again.
    fn look_for_stream(&mut self, key: Key) {
        let Some(backend_key) = self.clients.get_mut(key).and_then(|client| client.backend) else {
            return;
        };
        if self.pool.get_mut(backend_key).is_some_and(|backend| backend.is_paused) {
            self.relay(key, backend_key);
        }
    }

    /// Gives up a client that takes its answer too slowly, or whose answer does not go on.
    fn look_at_taking(&mut self, key: Key) {
        let (now, limits) = (self.now, &self.limits);
        let Some(client) = self.clients.get_mut(key) else { return };
        let still = now.since(client.moved_at);
        let is_slow = client.is_slow(now, limits.answer_window, limits.answer_rate_min);
        let is_late = if client.unwritten() > 0 {
            is_slow || still >= limits.write_stall
        } else {
            still >= limits.answer_deadline
        };
        if is_late {
            self.reset_client(key);
        }
    }

    /// Closes the connections that wait for nothing; the others end with their answers.
    pub(super) fn close_idle(&mut self) {
        let keys: Vec<Key> = self.clients.iter().map(|(key, _)| key).collect();
        for key in keys {
            if self.clients.get_mut(key).is_some_and(|client| client.phase == Phase::Idle) {
                self.remove_client(key);
            }
        }
    }
}
