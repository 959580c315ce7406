//! The client's side: reading requests, refusing, finishing, closing.

use std::io;
use std::sync::atomic::Ordering;

use super::client::{Flushed, Phase};
use super::front::Front;
use super::head::{Framing, Keeping, Verb};
use super::inbound::Fed;
use super::refusal::{After, NO_BUFFER, Occasion, Refusal};
use super::slab::{Key, Side};

/// Reads of one client before the others get their turn.
const READS_PER_TURN: usize = 8;
/// Bytes of a refused client that are thrown away before it is closed.
const DISCARDED_BYTES_MAX: u64 = 256 << 10;

impl Front {
    /// Reads until a request is whole or nothing more is there.
    pub(super) fn read_client(&mut self, key: Key) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut may_go_on = self.feed_early_bytes(key);
        for _ in 0..READS_PER_TURN {
            if !may_go_on {
                break;
            }
            may_go_on = self.read_once(key, &mut scratch);
        }
        self.scratch = scratch;
        if may_go_on {
            self.ready.push_back((key, Side::Client));
        }
    }

    /// Takes bytes that arrived together with the request before; false if that is all for now.
    fn feed_early_bytes(&mut self, key: Key) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        if client.phase != Phase::Idle || !client.inbound.has_rest() {
            return true;
        }
        let fed = client.inbound.feed_rest(&client.peer, &self.limits);
        self.after_feeding(key, fed)
    }

    fn read_once(&mut self, key: Key, scratch: &mut [u8]) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        if !client.is_readable && !client.is_read_closed {
            return false;
        }
        match client.stream.read(scratch) {
            Ok(0) => {
                self.remove_client(key);
                false
            }
            Ok(n) => {
                // A short read has emptied the socket; only a known end is still to be read.
                client.is_readable = n == scratch.len();
                client.window_bytes += n as u64;
                self.counters.received_bytes.fetch_add(n as u64, Ordering::Relaxed);
                let fed = client.inbound.feed(&scratch[..n], &client.peer, &self.limits);
                self.after_feeding(key, fed)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                client.is_readable = false;
                false
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                self.remove_client(key);
                false
            }
        }
    }

    /// Acts on what the bytes made; true if more may be read.
    fn after_feeding(&mut self, key: Key, fed: Result<Fed, Refusal>) -> bool {
        let fed = match fed {
            Ok(fed) => fed,
            Err(refusal) => {
                self.refuse(key, refusal, After::Close);
                return false;
            }
        };
        if !self.charge_client(key) {
            self.refuse(key, NO_BUFFER, After::Close);
            return false;
        }
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return false };
        match (fed, client.phase) {
            (Fed::InHead, Phase::Idle) => client.enter(Phase::Head, now),
            (Fed::InBody, Phase::Idle | Phase::Head) => {
                client.enter(Phase::Body, now);
                return self.admit_body(key);
            }
            (Fed::Whole, _) => {
                self.counters.requests.fetch_add(1, Ordering::Relaxed);
                self.lend(key);
                return false;
            }
            _ => {}
        }
        true
    }

    /// Decides about a body before it is read, and tells a client that waits to be told.
    fn admit_body(&mut self, key: Key) -> bool {
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return false };
        let Some(head) = client.inbound.head().copied() else { return false };
        let announced = match head.framing {
            Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
            Framing::Empty | Framing::Chunked => 0,
        };
        if !self.budget.has_room(announced) {
            self.refuse(key, NO_BUFFER, After::Close);
            return false;
        }
        if head.expects_continue && !client.inbound.has_body_bytes() {
            let told = client.write_or_keep(b"HTTP/1.1 100 Continue\r\n\r\n", now);
            if !matches!(told, Ok(Flushed::All)) {
                // A client that takes not even this from an empty socket is not worth a buffer.
                self.remove_client(key);
                return false;
            }
        }
        true
    }

    /// Brings a client's charge up to date; false if it holds more than there is room for.
    pub(super) fn charge_client(&mut self, key: Key) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return true };
        let held = client.held_bytes();
        self.budget.recharge(&mut client.charged, held)
    }

    /// Answers in place of the application.
    pub(super) fn refuse(&mut self, key: Key, refusal: Refusal, after: After) {
        let (now, wall) = (self.now, self.clock.now());
        let Some(client) = self.clients.get_mut(key) else { return };
        self.counters.count_refusal(refusal.status);
        if let Some(token) = client.token.take() {
            self.parked.lose(token);
        }
        let closes =
            after == After::Close || client.keeping() == Keeping::Close || self.ends_at.is_some();
        let after = if closes { After::Close } else { After::Keep };
        let bodiless = client.head().is_some_and(|head| head.verb == Verb::Head);
        let (path, request_id) =
            (client.inbound.path().map(str::to_owned), &self.request_ids.next());
        let occasion = Occasion { now: wall, request_id, path: path.as_deref() };
        refusal.render(&occasion, after, bodiless, &mut client.out);
        client.closes = closes;
        if closes {
            client.inbound.forget_all();
        }
        client.enter(Phase::Writing, now);
        self.flush_client(key);
    }

    /// Writes what it can and goes on when all is written.
    pub(super) fn flush_client(&mut self, key: Key) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.flush(now) {
            Err(_) => self.lose_client(key),
            Ok(flushed) => {
                let phase = client.phase;
                self.charge_client(key);
                self.want_room(key, flushed == Flushed::Some);
                if phase == Phase::Streaming {
                    self.balance(key);
                } else if flushed == Flushed::All {
                    self.finish(key);
                }
            }
        }
    }

    pub(super) fn want_room(&mut self, key: Key, wanted: bool) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.wants_room == wanted {
            return;
        }
        client.wants_room = wanted;
        if client.stream.want_room(&self.registry, key.token(Side::Client), wanted).is_err() {
            self.lose_client(key);
        }
    }

    /// The whole answer is written: the next request, or the end.
    pub(super) fn finish(&mut self, key: Key) {
        let now = self.now;
        let is_ending = self.ends_at.is_some();
        let Some(client) = self.clients.get_mut(key) else { return };
        client.token = None;
        if is_ending || client.keeping() == Keeping::Close {
            self.say_farewell(key);
            return;
        }
        client.inbound.next();
        client.sent = 0;
        client.tries = 0;
        client.turn += 1;
        client.enter(Phase::Idle, now);
        if client.inbound.has_rest() || client.is_readable || client.is_read_closed {
            self.ready.push_back((key, Side::Client));
        }
        self.charge_client(key);
    }

    /// Ends our side and throws away what still comes, so that the answer is not destroyed by the
    /// reset that closing with unread bytes would send.
    fn say_farewell(&mut self, key: Key) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return };
        client.inbound.forget_all();
        client.stream.finish();
        client.enter(Phase::Lingering, now);
        self.charge_client(key);
        self.ready.push_back((key, Side::Client));
    }

    /// Throws away what a refused client still sends.
    pub(super) fn discard(&mut self, key: Key) {
        for _ in 0..READS_PER_TURN {
            let Some(client) = self.clients.get_mut(key) else { return };
            match client.stream.read(&mut self.scratch) {
                Ok(0) => return self.remove_client(key),
                Ok(n) => {
                    client.window_bytes += n as u64;
                    if client.window_bytes > DISCARDED_BYTES_MAX {
                        return self.remove_client(key);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    client.is_readable = false;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.remove_client(key),
            }
        }
        self.ready.push_back((key, Side::Client));
    }

    /// Forgets a client and closes its socket. Its backend connection must be seen to already.
    pub(super) fn remove_client(&mut self, key: Key) {
        if let Some(mut client) = self.clients.remove(key) {
            // Giving back always succeeds.
            let _ = self.budget.recharge(&mut client.charged, 0);
            if let Some(token) = client.token {
                self.parked.lose(token);
            }
        }
    }

    /// A client is gone, or is given up, in whatever phase.
    pub(super) fn lose_client(&mut self, key: Key) {
        self.orphan_backend(key);
        self.remove_client(key);
    }

    /// Gives up a client in the middle of an answer, so that it cannot take the part for the whole.
    pub(super) fn reset_client(&mut self, key: Key) {
        if let Some(client) = self.clients.get_mut(key) {
            client.stream.reset_on_close();
            self.counters.resets.fetch_add(1, Ordering::Relaxed);
        }
        self.lose_client(key);
    }
}
