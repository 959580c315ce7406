//! One client connection: its socket, its request on the way in, its answer on the way out.

use std::io;
use std::time::Duration;

use crate::clock::Mono;

use super::head::{Head, Keeping};
use super::inbound::Inbound;
use super::slab::Key;
use super::stream::Stream;

/// Where a client stands. Each phase has one deadline, looked at by the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests.
    Idle,
    /// A head is arriving.
    Head,
    /// A body is arriving.
    Body,
    /// A whole request waits for a backend connection.
    Waiting,
    /// The application keeps the request waiting; it needs no backend connection for that.
    Parked,
    /// A backend connection has the request; nothing of the answer has gone to the client.
    Asked,
    /// A long answer goes through as it comes.
    Streaming,
    /// All of the answer is here; some of it has not been written yet.
    Writing,
    /// Refused; what the client still sends is thrown away for a moment, so that closing does not
    /// destroy the answer before it is read.
    Lingering,
}

/// One client.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) peer: String,
    /// How many were accepted before it; tells the older of two that came in one turn.
    pub(super) number: u64,
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: Mono,
    /// The kernel has said that there is something to read.
    pub(super) is_readable: bool,
    /// The client will send nothing more.
    pub(super) is_read_closed: bool,
    /// Whether the kernel was asked for word of room to write.
    pub(super) wants_room: bool,
    pub(super) inbound: Inbound,
    /// Bytes of the request the backend has been given.
    pub(super) sent: usize,
    /// Times the request has been given to a backend connection.
    pub(super) tries: u8,
    /// Raised with each request; tells stale places in the waiting line from good ones.
    pub(super) turn: u64,
    pub(super) backend: Option<Key>,
    /// What the application wants to hear of if this client is lost.
    pub(super) token: Option<u64>,
    /// Close once everything is written.
    pub(super) closes: bool,
    pub(super) out: Vec<u8>,
    pub(super) out_at: usize,
    /// The last time the client took a byte of its answer.
    pub(super) moved_at: Mono,
    /// Bytes moved since `window_at`, to judge a rate by.
    pub(super) window_bytes: u64,
    pub(super) window_at: Mono,
    /// Bytes charged to the shared budget.
    pub(super) charged: usize,
}

/// Whether all bytes could be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    All,
    Some,
}

impl Client {
    pub(super) fn new(stream: Stream, peer: String, number: u64, now: Mono) -> Client {
        Client {
            stream,
            peer,
            number,
            phase: Phase::Idle,
            since: now,
            is_readable: false,
            is_read_closed: false,
            wants_room: false,
            inbound: Inbound::default(),
            sent: 0,
            tries: 0,
            turn: 0,
            backend: None,
            token: None,
            closes: false,
            out: Vec::new(),
            out_at: 0,
            moved_at: now,
            window_bytes: 0,
            window_at: now,
            charged: 0,
        }
    }

    /// Enters a phase, from which on its deadline counts.
    pub(super) fn enter(&mut self, phase: Phase, now: Mono) {
        self.phase = phase;
        self.since = now;
        self.moved_at = now;
        self.window_at = now;
        self.window_bytes = 0;
    }

    pub(super) fn head(&self) -> Option<&Head> {
        self.inbound.head()
    }

    /// What the answer must say about this connection.
    pub(super) fn keeping(&self) -> Keeping {
        match self.head() {
            Some(head) if !self.closes => head.keeping,
            _ => Keeping::Close,
        }
    }

    /// Bytes not yet written.
    pub(super) fn unwritten(&self) -> usize {
        self.out.len() - self.out_at
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.inbound.held_bytes() + self.out.capacity()
    }

    /// Writes what it can of `out`.
    pub(super) fn flush(&mut self, now: Mono) -> io::Result<Flushed> {
        while self.out_at < self.out.len() {
            match self.stream.write(&self.out[self.out_at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.out_at += n;
                    self.note_moved(n, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drop_written();
                    return Ok(Flushed::Some);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.out_at = 0;
        if self.out.capacity() > 4096 {
            self.out = Vec::new();
        }
        Ok(Flushed::All)
    }

    /// Writes `bytes` past the buffer where nothing waits in it; what does not fit is kept.
    pub(super) fn write_or_keep(&mut self, bytes: &[u8], now: Mono) -> io::Result<Flushed> {
        let mut written = 0;
        while self.unwritten() == 0 && written < bytes.len() {
            match self.stream.write(&bytes[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    written += n;
                    self.note_moved(n, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if written == bytes.len() {
            return Ok(Flushed::All);
        }
        self.out.extend_from_slice(&bytes[written..]);
        Ok(Flushed::Some)
    }

    fn note_moved(&mut self, bytes: usize, now: Mono) {
        self.moved_at = now;
        self.window_bytes += bytes as u64;
    }

    /// Moves what is unwritten to the front once most of the buffer is behind it.
    fn drop_written(&mut self) {
        if self.out_at > self.out.len() / 2 {
            self.out.drain(..self.out_at);
            self.out_at = 0;
        }
    }

    /// Whether less than `rate` bytes a second moved in the window that ends now; begins the next.
    pub(super) fn is_slow(&mut self, now: Mono, window: Duration, rate: u64) -> bool {
        if now.since(self.window_at) < window {
            return false;
        }
        let wanted = rate * window.as_millis() as u64 / 1000;
        let slow = self.window_bytes < wanted;
        self.window_at = now;
        self.window_bytes = 0;
        slow
    }
}
