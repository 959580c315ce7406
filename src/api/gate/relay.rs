//! The way back: reading answers from the backend and handing them to clients.

use std::io::{self, Write as _};

use super::answer::{Ending, Told, read_answer, write_answer_head};
use super::client::{Flushed, Phase};
use super::front::Front;
use super::head::Keeping;
use super::pool::Use;
use super::refusal::{After, NO_STREAM};
use super::slab::{Key, Side};

/// Reads of one backend connection before the others get their turn.
const READS_PER_TURN: usize = 8;
/// Above this many bytes that a client has not taken, its backend connection is not read. It is
/// more than most long answers have, so that the thread that answers seldom waits for a client.
const UNTAKEN_HIGH: usize = 4 << 20;
/// The same while the shared memory is full.
const UNTAKEN_HIGH_FULL: usize = 128 << 10;
/// Below this many it is read again.
const UNTAKEN_LOW: usize = UNTAKEN_HIGH_FULL / 2;

impl Front {
    /// Reads what the backend has sent and passes it on.
    pub(super) fn read_backend(&mut self, key: Key) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut turns = 0;
        while self.read_backend_once(key, &mut scratch) {
            turns += 1;
            if turns == READS_PER_TURN {
                self.ready.push_back((key, Side::Backend));
                break;
            }
        }
        self.scratch = scratch;
    }

    fn read_backend_once(&mut self, key: Key, scratch: &mut [u8]) -> bool {
        let Some(backend) = self.pool.get_mut(key) else { return false };
        if backend.is_paused || !(backend.is_readable || backend.is_read_closed) {
            return false;
        }
        match backend.stream.read(scratch) {
            Ok(0) => {
                self.lose_backend(key);
                false
            }
            Ok(n) => {
                // A short read has emptied the socket; only a known end is still to be read.
                backend.is_readable = n == scratch.len();
                self.take_answer(key, &scratch[..n]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                backend.is_readable = false;
                false
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                self.lose_backend(key);
                false
            }
        }
    }

    fn take_answer(&mut self, key: Key, bytes: &[u8]) {
        let Some(backend) = self.pool.get_mut(key) else { return };
        let usage = backend.usage;
        if let Use::Lent(client) = usage
            && backend.answer.is_untouched()
            && self.pass_on(client, key, bytes)
        {
            return;
        }
        let Some(backend) = self.pool.get_mut(key) else { return };
        let to_head = backend.to_head;
        if backend.answer.feed(bytes, to_head).is_err() || usage == Use::Idle {
            return self.lose_backend(key);
        }
        match usage {
            Use::Probing => self.take_probe_answer(key),
            Use::Lent(client) => self.relay(client, key),
            Use::Idle | Use::Orphaned => self.take_orphan_answer(key),
        }
    }

    fn take_probe_answer(&mut self, key: Key) {
        let Some(backend) = self.pool.get_mut(key) else { return };
        if backend.answer.is_whole() {
            let is_served = backend.answer.head().is_some_and(|head| head.status == 204);
            self.pool.probed(key, is_served, self.now);
            self.dispatch();
        }
    }

    fn take_orphan_answer(&mut self, key: Key) {
        let max = self.limits.answer_whole_bytes_max as u64;
        let Some(backend) = self.pool.get_mut(key) else { return };
        if let Some(token) = backend.answer.take_token() {
            self.parked.lose(token);
        }
        if backend.answer.is_whole() {
            self.release(key);
        } else if backend.answer.body_bytes() > max {
            self.drop_backend(key);
        }
    }

    /// The usual case, without a copy: a whole short answer in one read, for a client that takes it
    /// as it is. False if it is not that case.
    fn pass_on(&mut self, key: Key, backend_key: Key, bytes: &[u8]) -> bool {
        let now = self.now;
        let (is_sent, is_ending) = (self.is_sent(key), self.ends_at.is_some());
        let Some(backend) = self.pool.get_mut(backend_key) else { return false };
        let to_head = backend.to_head;
        let Some(client) = self.clients.get_mut(key) else { return false };
        if !is_sent
            || is_ending
            || client.phase != Phase::Asked
            || client.keeping() != Keeping::Keep
        {
            return false;
        }
        let Ok(Some(head)) = read_answer(bytes, to_head) else { return false };
        let is_all = match head.ending {
            Ending::Bodiless => bytes.len() == head.bytes,
            Ending::Length(length) => bytes.len() as u64 == head.bytes as u64 + length,
            Ending::Chunked => false,
        };
        if !is_all || !head.is_plain {
            return false;
        }
        client.backend = None;
        client.enter(Phase::Writing, now);
        match client.write_or_keep(bytes, now) {
            Ok(Flushed::All) => self.finish(key),
            Ok(Flushed::Some) => {
                self.charge_client(key);
                self.want_room(key, true);
            }
            Err(_) => self.remove_client(key),
        }
        self.release(backend_key);
        true
    }

    /// Hands over what has come of an answer: all of it when it is whole, or as a stream when it is
    /// long.
    pub(super) fn relay(&mut self, key: Key, backend_key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(backend) = self.pool.get_mut(backend_key) else { return };
        if client.phase == Phase::Streaming {
            return self.pump(key, backend_key);
        }
        let held = backend.answer.held_bytes();
        let fits = self.budget.recharge(&mut backend.charged, held);
        if backend.answer.head().is_none() {
            return;
        }
        if backend.answer.is_whole() {
            self.deliver(key, backend_key);
        } else if !fits || backend.answer.body_bytes() > self.limits.answer_whole_bytes_max as u64 {
            self.begin_stream(key, backend_key);
        }
    }

    fn deliver(&mut self, key: Key, backend_key: Key) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(backend) = self.pool.get_mut(backend_key) else { return };
        let Some(head) = backend.answer.head().copied() else { return };
        if let Some(token) = head.park {
            client.backend = None;
            self.part(key, backend_key);
            return self.park(key, token);
        }
        client.token = head.deliver;
        client.closes |= self.ends_at.is_some();
        let told = match head.ending {
            Ending::Chunked => Told::Length(backend.answer.body().len()),
            Ending::Length(_) | Ending::Bodiless => Told::AsItIs,
        };
        let keeping = client.keeping();
        write_answer_head(backend.answer.raw_head(), head.status, told, keeping, &mut client.out);
        client.out.append(backend.answer.body());
        client.backend = None;
        client.enter(Phase::Writing, now);
        self.part(key, backend_key);
        self.flush_client(key);
    }

    fn begin_stream(&mut self, key: Key, backend_key: Key) {
        let now = self.now;
        let is_ending = self.ends_at.is_some();
        let is_full = self.pool.streams >= self.limits.streams_max();
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(backend) = self.pool.get_mut(backend_key) else { return };
        let Some((head, asked)) = backend.answer.head().copied().zip(client.head().copied()) else {
            return;
        };
        if is_full {
            if asked.is_repeatable() {
                client.backend = None;
                self.drop_backend(backend_key);
                self.refuse(key, NO_STREAM, After::Keep);
            } else {
                // It has been carried out, so it must be answered: the sweep looks for room.
                backend.is_paused = true;
            }
            return;
        }
        let told = match head.ending {
            Ending::Chunked if asked.is_http10 => Told::ByClosing,
            Ending::Chunked => Told::Chunked,
            Ending::Length(_) | Ending::Bodiless => Told::AsItIs,
        };
        client.token = head.deliver;
        client.closes |= is_ending || told == Told::ByClosing;
        let keeping = client.keeping();
        write_answer_head(backend.answer.raw_head(), head.status, told, keeping, &mut client.out);
        client.enter(Phase::Streaming, now);
        backend.is_paused = false;
        self.pool.streams += 1;
        self.ready.push_back((backend_key, Side::Backend));
        self.pump(key, backend_key);
    }

    /// Moves what has come of a long answer to its client.
    fn pump(&mut self, key: Key, backend_key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(backend) = self.pool.get_mut(backend_key) else { return };
        let is_chunked = backend.answer.head().is_some_and(|head| head.ending == Ending::Chunked)
            && client.head().is_some_and(|head| !head.is_http10);
        let is_whole = backend.answer.is_whole();
        let body = backend.answer.body();
        if is_chunked && !body.is_empty() {
            // Writing into a vector cannot fail.
            let _ = write!(client.out, "{:x}\r\n", body.len());
            client.out.append(body);
            client.out.extend_from_slice(b"\r\n");
        } else {
            client.out.append(body);
        }
        if is_whole {
            if is_chunked {
                client.out.extend_from_slice(b"0\r\n\r\n");
            }
            client.backend = None;
            client.phase = Phase::Writing;
            self.pool.streams -= 1;
            self.part(key, backend_key);
        }
        self.flush_client(key);
    }

    /// Reads from the backend no faster than the client takes.
    pub(super) fn balance(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let (untaken, backend_key) = (client.unwritten(), client.backend);
        let Some((backend_key, backend)) =
            backend_key.and_then(|at| self.pool.get_mut(at).map(|backend| (at, backend)))
        else {
            return;
        };
        let high =
            if self.budget.has_room(UNTAKEN_HIGH) { UNTAKEN_HIGH } else { UNTAKEN_HIGH_FULL };
        if untaken > high {
            backend.is_paused = true;
        } else if backend.is_paused && untaken < UNTAKEN_LOW {
            backend.is_paused = false;
            self.ready.push_back((backend_key, Side::Backend));
        }
    }

    /// The answer is complete: the backend connection is free, unless the request was answered
    /// before it was written. The rest of it will never be, and what follows would be taken for it.
    fn part(&mut self, key: Key, backend_key: Key) {
        if self.is_sent(key) {
            self.release(backend_key);
        } else {
            self.drop_backend(backend_key);
        }
    }

    /// Takes a backend connection back and gives it to the next in line.
    fn release(&mut self, key: Key) {
        self.pool.put_back(key, self.now);
        if let Some(backend) = self.pool.get_mut(key) {
            // Giving back always succeeds.
            let _ = self.budget.recharge(&mut backend.charged, 0);
        }
        self.dispatch();
    }
}
