//! Lending: which request gets which backend connection, and what happens when one is lost.

use std::io;

use mio::event::Event;

use super::class::Class;
use super::client::Phase;
use super::front::Front;
use super::pool::Use;
use super::refusal::{After, LOST, OUTCOME_UNKNOWN};
use super::slab::{Key, Side};

/// A request that nothing of was written may have been lent this often.
const TRIES_MAX: u8 = 3;
/// Requests above this size are not kept for a second sending that could never be.
const KEPT_REQUEST_BYTES_MAX: usize = 64 << 10;
/// All of the request has been given to the backend.
const ALL: usize = usize::MAX;

impl Front {
    /// A request is whole: gives it to a backend connection or puts it in line for one.
    pub(super) fn lend(&mut self, key: Key) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return };
        let class = client.head().map_or(Class::Ordinary, |head| head.class);
        client.sent = 0;
        if let Some(backend) = self.pool.take(class, &self.limits) {
            self.give(key, backend);
            return;
        }
        client.enter(Phase::Waiting, now);
        let turn = client.turn;
        self.line.of(class).push_back((key, turn));
        self.pool.grow(&self.registry, &self.limits, now);
    }

    /// Serves those in line as far as there are idle connections; opens another if not all were.
    pub(super) fn dispatch(&mut self) {
        for class in [Class::Health, Class::Report, Class::Ordinary] {
            while let Some(&(key, turn)) = self.line.of(class).front() {
                if self.is_waiting(key, turn) {
                    let Some(backend) = self.pool.take(class, &self.limits) else { break };
                    self.line.of(class).pop_front();
                    self.give(key, backend);
                } else {
                    self.line.of(class).pop_front();
                }
            }
        }
        if !self.line.is_empty() || self.pool.slab.len() < self.limits.backends_min {
            self.pool.grow(&self.registry, &self.limits, self.now);
        }
    }

    /// Drops places in line that nobody holds any more.
    pub(super) fn tidy_line(&mut self) {
        for class in [Class::Health, Class::Report, Class::Ordinary] {
            let mut places = std::mem::take(self.line.of(class));
            places.retain(|&(key, turn)| self.is_waiting(key, turn));
            *self.line.of(class) = places;
        }
    }

    fn is_waiting(&mut self, key: Key, turn: u64) -> bool {
        let client = self.clients.get_mut(key);
        client.is_some_and(|client| client.phase == Phase::Waiting && client.turn == turn)
    }

    fn give(&mut self, key: Key, backend_key: Key) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(backend) = self.pool.get_mut(backend_key) else { return };
        backend.usage = Use::Lent(key);
        backend.to_head = client.head().is_some_and(|head| head.verb == super::head::Verb::Head);
        client.backend = Some(backend_key);
        client.tries += 1;
        client.enter(Phase::Asked, now);
        self.send(key, backend_key);
    }

    /// Writes as much of the request as the backend connection takes.
    fn send(&mut self, key: Key, backend_key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(backend) = self.pool.get_mut(backend_key) else { return };
        let mut is_full = false;
        while let Some(bytes) =
            client.inbound.request().get(client.sent..).filter(|b| !b.is_empty())
        {
            match backend.stream.write(bytes) {
                Ok(n) if n > 0 => client.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_full = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return self.lose_backend(backend_key),
            }
        }
        if backend.wants_room != is_full {
            backend.wants_room = is_full;
            let token = backend_key.token(Side::Backend);
            if backend.stream.want_room(&self.registry, token, is_full).is_err() {
                return self.lose_backend(backend_key);
            }
        }
        let request_bytes = client.inbound.request().len();
        if client.sent != ALL && client.sent == request_bytes {
            client.sent = ALL;
            let repeatable = client.head().is_some_and(super::head::Head::is_repeatable);
            if !repeatable && request_bytes > KEPT_REQUEST_BYTES_MAX {
                client.inbound.forget_request();
                self.charge_client(key);
            }
        }
    }

    /// Whether the backend has been given all of the client's request.
    pub(super) fn is_sent(&mut self, key: Key) -> bool {
        self.clients.get_mut(key).is_some_and(|client| client.sent == ALL)
    }

    pub(super) fn on_backend_event(&mut self, key: Key, event: &Event) {
        let Some(backend) = self.pool.get_mut(key) else { return };
        backend.is_readable |= event.is_readable();
        backend.is_read_closed |= event.is_read_closed() || event.is_error();
        if event.is_writable()
            && backend.wants_room
            && let Use::Lent(client) = backend.usage
        {
            self.send(client, key);
        }
        self.read_backend(key);
    }

    /// A backend connection has ended or speaks nonsense.
    pub(super) fn lose_backend(&mut self, key: Key) {
        let Some(backend) = self.pool.get_mut(key) else { return };
        let had_head = backend.answer.head().is_some();
        match backend.usage {
            Use::Probing => {
                self.pool.probed(key, false, self.now);
                self.dispatch();
            }
            Use::Idle | Use::Orphaned => self.drop_backend(key),
            Use::Lent(client) if had_head => {
                // Before the backend goes: whether the client streamed is asked of the client.
                self.reset_client(client);
                self.drop_backend(key);
            }
            Use::Lent(client) => {
                self.drop_backend(key);
                self.try_again(client);
            }
        }
    }

    /// The backend was lost before it answered. What can have changed nothing is sent again.
    fn try_again(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.backend = None;
        let repeatable = client.head().is_some_and(super::head::Head::is_repeatable);
        let untouched = client.sent == 0 && client.tries < TRIES_MAX;
        if untouched || (repeatable && client.tries < 2) {
            self.lend(key);
        } else {
            self.refuse(key, if repeatable { LOST } else { OUTCOME_UNKNOWN }, After::Keep);
        }
    }

    /// Closes a backend connection; the handler behind it finds nobody to answer.
    pub(super) fn drop_backend(&mut self, key: Key) {
        if let Some(mut backend) = self.pool.remove(key) {
            // Giving back always succeeds.
            let _ = self.budget.recharge(&mut backend.charged, 0);
        }
    }

    /// Parts a client from its backend connection before the answer is complete. The connection
    /// stays busy until the answer has come: closing it would free our end only, and the thread
    /// behind it would be uncounted. Half a request or a long answer is cut off instead.
    pub(super) fn orphan_backend(&mut self, key: Key) {
        let is_sent = self.is_sent(key);
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(backend_key) = client.backend.take() else { return };
        let was_streaming = client.phase == Phase::Streaming;
        if was_streaming {
            self.pool.streams -= 1;
        }
        match self.pool.get_mut(backend_key) {
            Some(backend) if is_sent && !was_streaming && !backend.is_paused => {
                backend.usage = Use::Orphaned;
            }
            _ => self.drop_backend(backend_key),
        }
    }
}
