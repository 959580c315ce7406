//! The loop: waits for readiness, accepts, and passes events on. Everything the gate's thread has.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Registry, Token, Waker};

use crate::clock::{Clock, Mono};

use super::budget::Budget;
use super::client::{Client, Phase};
use super::counters::GateCounters;
use super::ending::{Ending, NOT_ASKED};
use super::limits::{GateLimits, raise_descriptors};
use super::line::Line;
use super::parked::{Parked, Wakes};
use super::pool::Pool;
use super::refusal::{After, NO_CONNECTION, Occasion, RequestIds};
use super::slab::{FIRST_TOKEN, Key, Side, Slab};
use super::stream::{Listener, Stream, is_starved};
use super::{BackendSource, GateConfig, Listen};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const _: () = assert!(FIRST_TOKEN > WAKER.0);

/// Clients accepted before the others get their turn.
const ACCEPTS_PER_TURN: usize = 64;
/// How long no client is accepted after the descriptors ran out.
const STARVED_PAUSE: Duration = Duration::from_millis(50);
/// Bytes read at once.
const SCRATCH_BYTES: usize = 64 << 10;

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Ran,
    Ended,
}

/// The gate's thread.
pub(super) struct Front {
    poll: Poll,
    events: Events,
    pub(super) registry: Registry,
    listener: Option<Listener>,
    /// Given up for a moment when no descriptor is left, so that a client can still be turned away.
    spare: Option<File>,
    has_arrivals: bool,
    accept_from: Mono,
    pub(super) clients: Slab<Client>,
    pub(super) pool: Pool,
    pub(super) line: Line,
    pub(super) parked: Parked,
    /// Connections that can go on without another event.
    pub(super) ready: VecDeque<(Key, Side)>,
    pub(super) scratch: Box<[u8]>,
    pub(super) keys: Vec<Key>,
    pub(super) budget: Budget,
    pub(super) limits: GateLimits,
    pub(super) counters: Arc<GateCounters>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) request_ids: RequestIds,
    pub(super) now: Mono,
    next_sweep: Mono,
    ending: Arc<Ending>,
    /// Set once the end was asked for: when waiting for requests in flight ends.
    pub(super) ends_at: Option<Mono>,
}

impl Front {
    pub(super) fn open(
        config: GateConfig,
        clock: Arc<dyn Clock>,
        backend: Box<dyn BackendSource>,
    ) -> io::Result<Front> {
        let limits = config.limits.within(raise_descriptors());
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let mut listener = Listener::bind(&config.listen)?;
        listener.register(&registry, LISTENER)?;
        let waker = Waker::new(&registry, WAKER)?;
        let now = clock.mono();
        Ok(Front {
            poll,
            events: Events::with_capacity(1024),
            registry,
            listener: Some(listener),
            spare: spare(),
            has_arrivals: true,
            accept_from: now,
            clients: Slab::new(),
            pool: Pool::new(backend)?,
            line: Line::default(),
            parked: Parked::new(),
            ready: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            keys: Vec::new(),
            budget: Budget::new(limits.buffer_bytes_max),
            limits,
            counters: Arc::new(GateCounters::default()),
            request_ids: RequestIds::new(clock.now()),
            clock,
            now,
            next_sweep: now,
            ending: Arc::new(Ending { waker, budget_us: AtomicU64::new(NOT_ASKED) }),
            ends_at: None,
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<Listen> {
        self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    pub(super) fn limits(&self) -> &GateLimits {
        &self.limits
    }

    pub(super) fn counters(&self) -> Arc<GateCounters> {
        Arc::clone(&self.counters)
    }

    pub(super) fn wakes(&self) -> Wakes {
        self.parked.wakes(&self.ending)
    }

    pub(super) fn ending(&self) -> Arc<Ending> {
        Arc::clone(&self.ending)
    }

    /// Steps until the end was asked for.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while self.step()? == Step::Ran {}
        Ok(())
    }

    /// Waits for events, or for the next look at the deadlines, and does what they call for.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let patience = self.patience();
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => self.now = self.clock.mono(),
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.on_event(event);
        }
        self.events = events;
        self.hear_wakes();
        self.accept();
        for _ in 0..self.ready.len() {
            match self.ready.pop_front() {
                Some((key, Side::Client)) => self.go_on(key),
                Some((key, Side::Backend)) => self.read_backend(key),
                None => break,
            }
        }
        if self.now >= self.next_sweep {
            self.next_sweep = self.now.plus(self.limits.tick);
            self.sweep();
        }
        self.publish();
        Ok(self.check_ending())
    }

    fn patience(&self) -> Duration {
        let may_accept = self.has_arrivals && self.accept_from <= self.now;
        if !self.ready.is_empty() || may_accept {
            return Duration::ZERO;
        }
        // At least a millisecond: the clock of a test may stand still beside the real one.
        self.next_sweep.since(self.now).clamp(Duration::from_millis(1), self.limits.tick)
    }

    fn on_event(&mut self, event: &Event) {
        match event.token() {
            LISTENER => self.has_arrivals = true,
            WAKER => {}
            token => match Key::of(token) {
                (key, Side::Client) => self.on_client_event(key, event),
                (key, Side::Backend) => self.on_backend_event(key, event),
            },
        }
    }

    fn on_client_event(&mut self, key: Key, event: &Event) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.is_readable |= event.is_readable();
        client.is_read_closed |= event.is_read_closed();
        if event.is_error() || event.is_write_closed() {
            self.lose_client(key);
        } else {
            self.go_on(key);
        }
    }

    /// Does what a client's phase calls for.
    pub(super) fn go_on(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.phase {
            Phase::Idle | Phase::Head | Phase::Body => self.read_client(key),
            Phase::Streaming | Phase::Writing => self.flush_client(key),
            Phase::Lingering => self.discard(key),
            // Whoever has said that it will send nothing more waits for nothing either.
            Phase::Parked if client.is_read_closed => self.lose_client(key),
            Phase::Waiting | Phase::Asked | Phase::Parked => {}
        }
    }

    fn accept(&mut self) {
        if !self.has_arrivals || self.accept_from > self.now {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.has_arrivals = false;
                    return;
                }
                Err(error) if is_starved(&error) => return self.survive_starvation(),
                // A client that has gone already, or a passing fault of the network.
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, mut stream: Stream, peer: String) {
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let is_full = self.clients.len() >= self.limits.connections_max && !self.evict_idle();
        // A few more are taken only to be told; beyond that they are just closed.
        let told_max = self.limits.connections_max + (self.limits.connections_max / 16).min(64);
        if is_full && self.clients.len() >= told_max {
            self.counters.count_refusal(503);
            return;
        }
        let (registry, now) = (&self.registry, self.now);
        let number = self.counters.accepted();
        let mut is_registered = true;
        let key = self.clients.insert_with(|key| {
            is_registered = stream.register(registry, key.token(Side::Client)).is_ok();
            Client::new(stream, peer, number, now)
        });
        if !is_registered {
            self.remove_client(key);
        } else if is_full {
            self.refuse(key, NO_CONNECTION, After::Close);
        }
    }

    /// Closes the connection that has been idle longest; false if none is idle.
    fn evict_idle(&mut self) -> bool {
        let idle = self
            .clients
            .iter()
            .filter(|(_, client)| matches!(client.phase, Phase::Idle | Phase::Lingering))
            .min_by_key(|(_, client)| {
                (client.phase != Phase::Lingering, client.since, client.number)
            })
            .map(|(key, _)| key);
        if let Some(key) = idle {
            self.counters.evicted.fetch_add(1, Ordering::Relaxed);
            self.remove_client(key);
        }
        idle.is_some()
    }

    /// No descriptor is left: the arrival is turned away with the spare one, the longest idle
    /// client makes room, and the next are left to the kernel for a moment instead of spinning.
    fn survive_starvation(&mut self) {
        self.spare = None;
        if let Some(Ok((mut stream, _))) = self.listener.as_ref().map(Listener::accept) {
            self.counters.accepted.fetch_add(1, Ordering::Relaxed);
            self.counters.count_refusal(NO_CONNECTION.status);
            let mut answer = Vec::new();
            let (now, request_id) = (self.clock.now(), &self.request_ids.next());
            let occasion = Occasion { now, request_id, path: None };
            NO_CONNECTION.render(&occasion, After::Close, false, &mut answer);
            // Best effort: the connection is closed either way.
            let _ = stream.write(&answer);
        }
        self.evict_idle();
        self.spare = spare();
        if self.accept_from < self.now {
            log::warn!("no descriptors are left; new clients wait");
        }
        self.accept_from = self.now.plus(STARVED_PAUSE);
    }

    fn publish(&self) {
        self.counters.parked.store(self.parked.len(), Ordering::Relaxed);
        self.counters.connections.store(self.clients.len(), Ordering::Relaxed);
        self.counters.backends.store(self.pool.served(), Ordering::Relaxed);
        self.counters.rebuilds.store(self.pool.rebuilds, Ordering::Relaxed);
        self.counters.buffered_bytes.store(self.budget.used(), Ordering::Relaxed);
    }

    fn check_ending(&mut self) -> Step {
        if self.ends_at.is_none() {
            let Some(budget) = self.ending.asked() else { return Step::Ran };
            self.ends_at = Some(self.now.plus(budget));
            self.listener = None;
            self.close_idle();
            self.resume_all();
        }
        let is_over = self.ends_at.is_some_and(|at| self.now >= at) || self.clients.len() == 0;
        if is_over { Step::Ended } else { Step::Ran }
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}
