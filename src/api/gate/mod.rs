//! The gate: the front door of the API. It owns the port and nothing else ever reaches tiny_http.
//!
//! One thread with a readiness loop reads whole requests under limits and deadlines, refuses what
//! is badly framed, and lends each complete request one connection of the backend, one request at
//! a time. The answer is streamed back; the client's own speed never holds a thread.
//!
//! Promise: one hostile client cannot stop, grow or block the server, and good ones are served
//! meanwhile. Each backend connection is opened alone and used only after it answered a probe.
//! Absent on purpose: routes (but for the few that may use the reserved connections), JSON, TLS,
//! and any wait other than the readiness loop's.

mod answer;
mod budget;
mod chunked;
mod class;
mod client;
mod counters;
mod ending;
mod exchange;
mod front;
mod head;
mod inbound;
mod limits;
mod line;
mod park;
mod parked;
mod pool;
mod reading;
mod refusal;
mod relay;
mod scan;
mod slab;
mod stream;
mod sweep;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use counters::{GateCounters, OWN_STATUSES};
pub use limits::GateLimits;
pub use parked::{Lost, Wakes};

use crate::clock::Clock;
use ending::Ending;
use front::Front;

/// The head line by which the gate asks a new backend connection whether it is served.
pub const PROBE_HEAD: &str = "X-Gate-Probe";

/// The head line that tells the backend the client's address; clients cannot send it.
pub const PEER_HEAD: &str = "X-Gate-Peer";

/// The head of an answer that asks for its request to be kept under this token.
pub const PARK_HEAD: &str = "X-Gate-Park";
/// The head of an answer whose loss the application wants to hear of, by this token.
pub const DELIVER_HEAD: &str = "X-Gate-Deliver";
/// The head of a request that was parked under this token; clients cannot send it.
pub const RESUME_HEAD: &str = "X-Gate-Resume";

/// Where the gate listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket, for a proxy on the same host.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(addr) => write!(f, "{addr}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a gate needs to know.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// Where to listen.
    pub listen: Listen,
    /// What to allow.
    pub limits: GateLimits,
}

/// Makes backends: servers on a private Unix socket that answer a request with [`PROBE_HEAD`] by
/// 204 themselves.
pub trait BackendSource: Send {
    /// Starts a backend on a socket of its own and says where it listens. One made before gets no
    /// new requests, but may still answer those it has.
    fn fresh(&mut self) -> io::Result<PathBuf>;
}

/// A gate whose port is bound but that serves nobody yet.
pub struct Gate {
    front: Front,
    addr: Listen,
}

impl Gate {
    /// Binds the port, so that a busy one is an error now, and starts the first backend. Raises the
    /// soft limit of descriptors to the hard one and takes fewer connections if that is low.
    pub fn open(
        config: GateConfig,
        clock: Arc<dyn Clock>,
        backend: Box<dyn BackendSource>,
    ) -> io::Result<Gate> {
        let front = Front::open(config, clock, backend)?;
        let addr = front.local_addr()?;
        Ok(Gate { front, addr })
    }

    /// Where the gate listens; with a port of 0 in the configuration, the port it got.
    pub fn local_addr(&self) -> &Listen {
        &self.addr
    }

    /// The limits in force, after the descriptors were counted.
    pub fn limits(&self) -> &GateLimits {
        self.front.limits()
    }

    /// What it does; it goes on being counted there.
    pub fn counters(&self) -> Arc<GateCounters> {
        self.front.counters()
    }

    /// What wakes requests that the application asked to be parked.
    pub fn wakes(&self) -> Wakes {
        self.front.wakes()
    }

    /// From now on `lost` is told of parked requests whose client is gone, and of answers with
    /// [`DELIVER_HEAD`] that could not be delivered.
    pub fn on_lost(&mut self, lost: Lost) {
        self.front.parked.lost = lost;
    }

    /// Starts the thread `gate`.
    pub fn start(self) -> io::Result<GateHandle> {
        let (counters, ending) = (self.front.counters(), self.front.ending());
        let mut front = self.front;
        let thread = std::thread::Builder::new().name(String::from("gate")).spawn(move || {
            let outcome = front.run();
            if let Err(error) = &outcome {
                log::error!("the gate failed: {error}");
            }
            outcome
        })?;
        Ok(GateHandle { counters, ending, thread: Some(thread), addr: self.addr })
    }
}

/// A running gate. Dropped without [`GateHandle::stop`], it stops without waiting for anybody.
pub struct GateHandle {
    counters: Arc<GateCounters>,
    ending: Arc<Ending>,
    thread: Option<JoinHandle<io::Result<()>>>,
    addr: Listen,
}

impl GateHandle {
    /// Where the gate listens.
    pub fn local_addr(&self) -> &Listen {
        &self.addr
    }

    /// What the gate has done so far.
    pub fn counters(&self) -> &Arc<GateCounters> {
        &self.counters
    }

    /// Whether the thread still runs; if not and nobody asked it to stop, the server is dead.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Closes the port, lets requests in flight finish for at most `budget`, and ends the thread.
    pub fn stop(mut self, budget: Duration) -> io::Result<()> {
        self.end(budget)
    }

    fn end(&mut self, budget: Duration) -> io::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.ending.ask(budget)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the gate's thread panicked")))
    }
}

impl Drop for GateHandle {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.end(Duration::ZERO);
    }
}
