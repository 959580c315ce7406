//! The backend behind the gate: tiny_http as it is, on a private Unix socket, and the threads that
//! take its requests.
//!
//! It answers the gate's probe itself, so a probe says that accepting, reading, taking and
//! answering all work. A handler may keep its request and answer from any thread later.
//!
//! Absent on purpose: limits, deadlines and checks of framing. All of them are the gate's, and
//! nobody else can reach the socket: it lies in a directory that only this user may enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tiny_http::{Request, Response, Server, StatusCode};

use super::gate::{BackendSource, PROBE_HEAD};

/// What is done with a request. It must not wait for the disk; it may pass the request on.
pub type Handler = Arc<dyn Fn(Request) + Send + Sync>;

/// How a backend is set up.
#[derive(Clone)]
pub struct BackendConfig {
    /// An existing directory, in which each server makes a private one for its socket. Its path
    /// must be short: a socket's path has at most 107 bytes.
    pub parent: PathBuf,
    /// Threads that run the handler; one or two are right.
    pub threads: usize,
    /// How long stopping waits for handlers that are still running.
    pub stop_budget: Duration,
}

/// A source of servers, at most one of which gets new requests.
pub struct Backend {
    config: BackendConfig,
    handler: Handler,
    made: u32,
    current: Option<Running>,
}

/// The name of a private directory begins so.
const DIR_PREFIX: &str = "gate-";
const SOCKET_NAME: &str = "backend.sock";

/// A retired server ends once it has been quiet for this long.
const QUIET_AFTER_RETIRING: Duration = Duration::from_secs(5);

impl Backend {
    /// A source that has not started anything yet; the gate asks for the first server.
    pub fn new(config: BackendConfig, handler: Handler) -> Backend {
        remove_stale(&config.parent);
        Backend { config, handler, made: 0, current: None }
    }
}

impl BackendSource for Backend {
    fn fresh(&mut self) -> io::Result<PathBuf> {
        self.made += 1;
        let running = Running::start(&self.config, self.made, &self.handler)?;
        let path = running.place.socket();
        if let Some(old) = self.current.replace(running) {
            old.retire();
        }
        Ok(path)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(current) = self.current.take() {
            current.stop(self.config.stop_budget);
        }
    }
}

/// One server and its threads.
struct Running {
    server: Arc<Server>,
    is_retired: Arc<AtomicBool>,
    threads: usize,
    /// Ends when the last thread does.
    ended: Receiver<()>,
    place: Arc<Place>,
}

impl Running {
    fn start(config: &BackendConfig, number: u32, handler: &Handler) -> io::Result<Running> {
        let place = Arc::new(Place::make(&config.parent, number)?);
        let listener = UnixListener::bind(place.socket())?;
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        let (sender, ended) = bounded(0);
        let threads = config.threads.max(1);
        let running =
            Running { server: Arc::new(server), is_retired: Arc::default(), threads, ended, place };
        for number in 0..threads {
            running.spawn(number, handler, &sender)?;
        }
        Ok(running)
    }

    fn spawn(&self, number: usize, handler: &Handler, alive: &Sender<()>) -> io::Result<()> {
        let (handler, alive) = (Arc::clone(handler), alive.clone());
        let (server, place) = (Arc::clone(&self.server), Arc::clone(&self.place));
        let is_retired = Arc::clone(&self.is_retired);
        std::thread::Builder::new().name(format!("api-{number}")).spawn(move || {
            take_requests(&server, &is_retired, &handler);
            // The server looks for its socket once more when it ends; only then may that go.
            drop(server);
            drop(place);
            drop(alive);
        })?;
        Ok(())
    }

    /// No new requests will come; those here are still served, and then it all ends by itself.
    fn retire(&self) {
        // Release, paired with the Acquire in `take_requests`; the queue's lock orders it too.
        self.is_retired.store(true, Ordering::Release);
        for _ in 0..self.threads {
            self.server.unblock();
        }
    }

    /// Ends the threads, waiting for running handlers no longer than `budget`.
    fn stop(self, budget: Duration) {
        for _ in 0..self.threads {
            self.server.unblock();
        }
        // Nothing is ever sent: this returns when all threads have ended or the time is over.
        let _ = self.ended.recv_timeout(budget);
    }
}

fn take_requests(server: &Server, is_retired: &AtomicBool, handler: &Handler) {
    // An error is the wish to end, or a failed accept, which the gate's next probe notices.
    while let Ok(request) = server.recv() {
        serve(request, handler);
    }
    if is_retired.load(Ordering::Acquire) {
        while let Ok(Some(request)) = server.recv_timeout(QUIET_AFTER_RETIRING) {
            serve(request, handler);
        }
    }
}

/// Runs the handler in a panic fence. A request lost in a panic is answered 500 by its drop.
fn serve(request: Request, handler: &Handler) {
    if request.headers().iter().any(|header| header.field.equiv(PROBE_HEAD)) {
        // A gate that has gone needs no answer.
        let _ = request.respond(Response::empty(StatusCode(204)));
        return;
    }
    if catch_unwind(AssertUnwindSafe(|| handler(request))).is_err() {
        log::error!("a request handler panicked; its request was answered 500");
    }
}

/// A directory only this user may enter, with the socket in it; removed when dropped.
struct Place(PathBuf);

impl Place {
    fn make(parent: &Path, number: u32) -> io::Result<Place> {
        let pid = std::process::id();
        for attempt in 0..1000 {
            let dir = parent.join(format!("{DIR_PREFIX}{pid}-{number}-{attempt}"));
            match DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => return Ok(Place(dir)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn socket(&self) -> PathBuf {
        self.0.join(SOCKET_NAME)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A left-over is removed at the next start.
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.0);
    }
}

/// Removes the directories of processes that were killed: those whose socket nobody listens on.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        // Not where a link leads: in the system's folder for temporary files anybody may make one.
        let is_ours = entry.file_name().to_string_lossy().starts_with(DIR_PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        let socket = entry.path().join(SOCKET_NAME);
        let is_dead = is_ours
            && UnixStream::connect(&socket)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if is_dead {
            // Best effort: what cannot be removed does no harm.
            let _ = fs::remove_file(&socket);
            let _ = fs::remove_dir(entry.path());
        }
    }
}
