//! A TCP proxy that does to connections what networks do: it delays, cuts, resets, swallows.
//!
//! It passes bytes on unchanged until its [`Plan`] calls for a fault; the plan can be changed at
//! any time and holds for connections that are open already. Which fault a random plan picks
//! follows from its seed. Every fault is counted, so a test can say how many it injected.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// More connections than this at a time are refused.
const CONNECTIONS_MAX: usize = 256;
/// Bytes passed on at once.
const PIECE_BYTES: usize = 16 << 10;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Asking,
    /// From the server to the client.
    Answering,
}

/// What happens to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Every piece is held back for this long.
    Delay(Duration),
    /// After so many bytes this way, counted from when the plan was made, both ends are closed.
    CutAfter(Way, u64),
    /// Both ends are reset with the next piece.
    Reset,
    /// Nothing passes any more, and nobody is told.
    BlackHole,
    /// After so many bytes this way, nothing more is sent this way; the other way goes on.
    HalfClose(Way, u64),
    /// Once a question that contains these bytes has reached the server, its answer is withheld and
    /// the client's end is reset: the client cannot know whether it was carried out.
    LoseAnswerTo(Vec<u8>),
    /// The same, but nobody is told: nothing comes back any more, and the connection stays.
    SwallowAnswerTo(Vec<u8>),
}

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Everything passes.
    Through,
    /// Every connection meets this.
    All(Fault),
    /// So many connections meet this, then everything passes.
    Next(u32, Fault),
    /// One of `one_in` pieces meets one of these faults, as the seed has it.
    Random {
        /// Where the choices start.
        seed: u64,
        /// How rare a fault is, in pieces.
        one_in: u64,
        /// What can happen.
        faults: Vec<Fault>,
    },
}

/// The proxy; its connections end when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    course: Mutex<Course>,
    over: Condvar,
    injected: AtomicU64,
}

/// The plan and how far it has come.
struct Course {
    plan: Plan,
    /// Rises with each plan, so that a connection starts counting anew.
    number: u64,
    random: u64,
    links: Vec<Weak<Link>>,
    is_over: bool,
}

/// Both ends of one connection.
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// Nothing more is passed on to the client.
    is_mute: AtomicBool,
    /// The next answer ends the connection instead of reaching the client, which hears nothing
    /// before the server has acted.
    loses_answer: AtomicBool,
}

impl Proxy {
    /// A proxy in front of this server, which need not run yet.
    pub fn to(server: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let links = Vec::new();
        let course = Course { plan: Plan::Through, number: 0, random: 0, links, is_over: false };
        let (course, over) = (Mutex::new(course), Condvar::new());
        let shared = Arc::new(Shared { server, course, over, injected: AtomicU64::new(0) });
        let taker = Arc::clone(&shared);
        thread::Builder::new().name("proxy".into()).spawn(move || taker.accept(&listener))?;
        Ok(Proxy { address, shared })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens, to open connections too.
    pub fn plan(&self, plan: Plan) {
        let mut course = self.shared.course();
        if let Plan::Random { seed, .. } = plan {
            course.random = seed | 1;
        }
        course.plan = plan;
        course.number += 1;
        self.shared.over.notify_all();
    }

    /// Closes all open connections, as a server that is restarted does.
    pub fn close_all(&self) {
        let links = std::mem::take(&mut self.shared.course().links);
        for link in links.iter().filter_map(Weak::upgrade) {
            self.shared.injected.fetch_add(1, Ordering::Relaxed);
            link.close();
        }
    }

    /// How many faults were injected.
    pub fn injected(&self) -> u64 {
        self.shared.injected.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut course = self.shared.course();
        course.is_over = true;
        let links = std::mem::take(&mut course.links);
        drop(course);
        self.shared.over.notify_all();
        links.iter().filter_map(Weak::upgrade).for_each(|link| link.close());
        // The accepting thread looks at the flag with its next client.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming() {
            let mut course = self.course();
            if course.is_over {
                return;
            }
            course.links.retain(|link| link.strong_count() > 0);
            let is_full = course.links.len() >= CONNECTIONS_MAX;
            drop(course);
            // A server that is down looks like one that closes at once.
            let Ok(client) = client else { continue };
            if let (false, Ok(server)) = (is_full, TcpStream::connect(self.server)) {
                let _ = self.link(client, server);
            }
        }
    }

    fn link(self: &Arc<Shared>, client: TcpStream, server: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (is_mute, loses_answer) = (AtomicBool::new(false), AtomicBool::new(false));
        let link = Arc::new(Link { client, server, is_mute, loses_answer });
        self.course().links.push(Arc::downgrade(&link));
        for way in [Way::Asking, Way::Answering] {
            let (shared, link) = (Arc::clone(self), Arc::clone(&link));
            thread::Builder::new().name("proxy-way".into()).spawn(move || {
                shared.pass(&link, way);
            })?;
        }
        Ok(())
    }

    /// Passes one way's bytes on until the connection ends.
    fn pass(&self, link: &Link, way: Way) {
        let (mut from, mut to) = match way {
            Way::Asking => (&link.client, &link.server),
            Way::Answering => (&link.server, &link.client),
        };
        let mut piece = vec![0; PIECE_BYTES];
        let (mut number, mut passed) = (0, 0u64);
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(read) => &piece[..read],
            };
            let (fault, plan) = self.fault(way, read);
            if plan != number {
                (number, passed) = (plan, 0);
            }
            let allowed = self.suffer(fault.as_ref(), link, way, passed, read.len());
            let Some(allowed) = allowed else { return };
            passed += allowed as u64;
            if way == Way::Answering && link.loses_answer.load(Ordering::SeqCst) {
                return link.reset();
            }
            if way == Way::Answering && link.is_mute.load(Ordering::SeqCst) {
                continue;
            }
            if to.write_all(&read[..allowed]).is_err() {
                break;
            }
            match fault {
                Some(Fault::LoseAnswerTo(_)) => return,
                Some(Fault::CutAfter(..)) if allowed < read.len() => return link.close(),
                Some(Fault::HalfClose(..)) if allowed < read.len() => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                _ => {}
            }
        }
        // An end that one side chose is passed on as it is.
        let _ = to.shutdown(Shutdown::Write);
        if way == Way::Answering {
            link.close();
        }
    }

    /// Which fault the plan has for this piece, and the plan's number.
    fn fault(&self, way: Way, piece: &[u8]) -> (Option<Fault>, u64) {
        let mut course = self.course();
        let number = course.number;
        let meant = |fault: &Fault| match fault {
            Fault::LoseAnswerTo(bytes) | Fault::SwallowAnswerTo(bytes) => {
                way == Way::Asking && piece.windows(bytes.len().max(1)).any(|part| part == bytes)
            }
            Fault::CutAfter(of, _) | Fault::HalfClose(of, _) => *of == way,
            Fault::Delay(_) | Fault::Reset | Fault::BlackHole => true,
        };
        let fault = match &mut course.plan {
            Plan::Through => None,
            Plan::All(fault) => Some(fault.clone()),
            Plan::Next(0, _) => None,
            Plan::Next(left, fault) => {
                // Those that come after so many bytes are used up when they do.
                let late = matches!(fault, Fault::CutAfter(..) | Fault::HalfClose(..));
                *left -= u32::from(meant(fault) && !late);
                Some(fault.clone())
            }
            Plan::Random { one_in, faults, .. } => {
                let (one_in, faults) = (*one_in, faults.clone());
                let choice = course.next_random();
                let hit = choice.is_multiple_of(one_in.max(1)) && !faults.is_empty();
                hit.then(|| faults[(course.next_random() % faults.len() as u64) as usize].clone())
            }
        };
        (fault.filter(meant), number)
    }

    /// Lets a fault have its way before a piece is passed on. How many bytes may pass; `None`: the
    /// connection is over.
    fn suffer(
        &self,
        fault: Option<&Fault>,
        link: &Link,
        way: Way,
        passed: u64,
        bytes: usize,
    ) -> Option<usize> {
        let Some(fault) = fault else { return Some(bytes) };
        match fault {
            Fault::Delay(time) => {
                self.injected.fetch_add(1, Ordering::Relaxed);
                self.wait(Some(*time));
                Some(bytes)
            }
            Fault::CutAfter(_, after) | Fault::HalfClose(_, after) => {
                let left = after.saturating_sub(passed);
                if left < bytes as u64 {
                    self.injected.fetch_add(1, Ordering::Relaxed);
                    self.used_up();
                }
                Some(left.min(bytes as u64) as usize)
            }
            Fault::Reset => {
                self.injected.fetch_add(1, Ordering::Relaxed);
                link.reset();
                None
            }
            Fault::BlackHole => {
                self.injected.fetch_add(1, Ordering::Relaxed);
                // The bytes are gone; a change of plan ends the connection, since what follows
                // would make no sense.
                self.wait(None);
                link.reset();
                None
            }
            Fault::SwallowAnswerTo(_) => {
                self.injected.fetch_add(1, Ordering::Relaxed);
                link.is_mute.store(true, Ordering::SeqCst);
                Some(bytes)
            }
            Fault::LoseAnswerTo(_) => {
                debug_assert_eq!(way, Way::Asking);
                self.injected.fetch_add(1, Ordering::Relaxed);
                link.loses_answer.store(true, Ordering::SeqCst);
                Some(bytes)
            }
        }
    }

    /// A planned cut has happened; with [`Plan::Next`] one less is to come.
    fn used_up(&self) {
        if let Plan::Next(left, Fault::CutAfter(..) | Fault::HalfClose(..)) =
            &mut self.course().plan
        {
            *left = left.saturating_sub(1);
        }
    }

    /// Waits for this long, or without a limit, but no longer than the plan holds.
    fn wait(&self, at_most: Option<Duration>) {
        let course = self.course();
        let number = course.number;
        let holds = |course: &mut Course| course.number == number && !course.is_over;
        match at_most {
            Some(time) => drop(self.over.wait_timeout_while(course, time, holds)),
            None => drop(self.over.wait_while(course, holds)),
        }
    }
}

impl Course {
    /// The next number of a xorshift sequence.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Link {
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// Closes without a word: whoever sends next is told by a reset.
    fn reset(&self) {
        for end in [&self.client, &self.server] {
            let _ = rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO));
        }
        self.close();
    }
}
