//! A gate with a backend, and a client that says exactly the bytes it is told to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use taskscheduler::api::gate::{BackendSource, Gate, GateConfig, GateHandle, GateLimits, Listen};
use taskscheduler::api::server::{Backend, BackendConfig, Handler};
use taskscheduler::clock::{Clock, ManualClock, SystemClock};
use taskscheduler::domain::TimeMs;
use tempfile::TempDir;
use tiny_http::{Header, Request, Response, StatusCode};

/// How long a test waits for what must come. Only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Limits for tests: deadlines are looked at often.
pub fn limits() -> GateLimits {
    GateLimits { tick: Duration::from_millis(10), ..GateLimits::default() }
}

/// A running gate.
pub struct House {
    pub handle: GateHandle,
    pub addr: SocketAddr,
    /// Requests to `/hold` or with `?hold`, which wait until the test answers them.
    pub held: Receiver<Request>,
    _dir: TempDir,
}

impl House {
    /// A gate with these limits before the echoing backend.
    pub fn open(limits: GateLimits) -> House {
        House::with_clock(limits, Arc::new(SystemClock::new()))
    }

    /// The same, with time in the test's hands.
    pub fn with_clock(limits: GateLimits, clock: Arc<dyn Clock>) -> House {
        let dir = tempfile::tempdir().unwrap();
        let (handler, held) = echoing();
        let backend = backend(&dir, handler);
        House::start(limits, clock, Box::new(backend), dir, held)
    }

    /// The same, with a clock that stands still: a deadline passes when the test says so, however
    /// busy the machine is.
    pub fn still(limits: GateLimits) -> (House, Arc<ManualClock>) {
        let (clock, ready) = (ManualClock::at(TimeMs::ZERO), limits.backends_min);
        let house = House::with_clock(limits, clock.clone());
        // Else a jump of the clock would end a probe under way, and nothing opens another
        // meanwhile.
        house.wait_until("backends", |house| house.handle.counters().backends() == ready);
        (house, clock)
    }

    /// A gate before a backend of the test's own.
    pub fn before(limits: GateLimits, backend: Box<dyn BackendSource>) -> House {
        let (_, held) = bounded(1);
        let clock = Arc::new(SystemClock::new());
        House::start(limits, clock, backend, tempfile::tempdir().unwrap(), held)
    }

    fn start(
        limits: GateLimits,
        clock: Arc<dyn Clock>,
        backend: Box<dyn BackendSource>,
        dir: TempDir,
        held: Receiver<Request>,
    ) -> House {
        let listen = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let gate = Gate::open(GateConfig { listen, limits }, clock, backend).unwrap();
        let Listen::Tcp(addr) = *gate.local_addr() else { panic!("not TCP") };
        House { handle: gate.start().unwrap(), addr, held, _dir: dir }
    }

    pub fn call(&self) -> Caller {
        Caller::to(self.addr)
    }

    /// Sends `bytes` on a connection of its own and takes one answer.
    pub fn ask(&self, bytes: &[u8]) -> Answer {
        let mut caller = self.call();
        caller.send(bytes);
        caller.answer()
    }

    /// A good client is served.
    pub fn assert_serves(&self) {
        assert_eq!(self.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    }

    /// Waits until `condition` holds.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&House) -> bool) {
        wait_until(what, || condition(self));
    }
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let clock = SystemClock::new();
    while !condition() {
        assert!(clock.mono().since(taskscheduler::clock::Mono(0)) < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// Threads of this process.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

pub fn backend(dir: &TempDir, handler: Handler) -> Backend {
    let config = BackendConfig {
        parent: dir.path().to_path_buf(),
        threads: 2,
        stop_budget: Duration::from_secs(1),
    };
    Backend::new(config, handler)
}

/// A handler for all tests: it gives back what it got, holds requests to `/hold`, and makes long
/// answers under `/long/N` (with their length) and `/stream/N` (without).
pub fn echoing() -> (Handler, Receiver<Request>) {
    let (hold, held) = bounded(1024);
    let handler = move |mut request: Request| {
        let path = request.url().to_owned();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (first, number) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let count: usize = number.parse().unwrap_or(0);
        let first = if path.ends_with("?hold") { "hold" } else { first };
        match first {
            "hold" => hold.send(request).unwrap(),
            "panic" => panic!("as the test asked"),
            // On threads of their own, as their clients may read slowly or not at all.
            "long" => drop(std::thread::spawn(move || reply(request, &vec![b'x'; count]))),
            "stream" => drop(std::thread::spawn(move || {
                let body = io::repeat(b'y').take(count as u64);
                let response = Response::new(StatusCode(200), vec![], body, None, None);
                request.respond(response).unwrap();
            })),
            "gone" => request.respond(Response::empty(StatusCode(204))).unwrap(),
            "heads" => {
                let heads: Vec<String> = request.headers().iter().map(Header::to_string).collect();
                reply(request, heads.join("\n").as_bytes());
            }
            "early" => reply(request, b"early"),
            _ => {
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body).unwrap();
                let line = format!("{} {} ", request.method(), request.url());
                reply(request, &[line.as_bytes(), &body].concat());
            }
        }
    };
    (Arc::new(handler), held)
}

pub fn reply(request: Request, body: &[u8]) {
    let response = Response::from_data(body).with_chunked_threshold(usize::MAX);
    request.respond(response).unwrap();
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn head_value(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The `code` of a problem document.
    pub fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        document["code"].as_str().unwrap().to_owned()
    }
}

/// A client.
pub struct Caller {
    pub stream: TcpStream,
    early: Vec<u8>,
}

impl Caller {
    pub fn to(addr: SocketAddr) -> Caller {
        Caller::over(TcpStream::connect(addr).unwrap())
    }

    pub fn over(stream: TcpStream) -> Caller {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Caller { stream, early: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads one whole answer.
    pub fn answer(&mut self) -> Answer {
        self.try_answer(false).unwrap()
    }

    /// Reads the answer to a HEAD request.
    pub fn bodiless_answer(&mut self) -> Answer {
        self.try_answer(true).unwrap()
    }

    pub fn try_answer(&mut self, bodiless: bool) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.early.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = String::from_utf8(self.early.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.head_value("Content-Length").map(|length| length.parse().unwrap());
        if bodiless || matches!(status, 100 | 204 | 304) {
            return Ok(answer);
        }
        answer.body = match (length, answer.head_value("Transfer-Encoding")) {
            (Some(length), None) => self.read_exactly(length)?,
            (None, Some("chunked")) => self.read_chunks()?,
            (None, None) => self.read_to_end()?,
            odd => panic!("framing {odd:?} in {}", answer.head),
        };
        Ok(answer)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16384];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.early.extend_from_slice(&bytes[..n]);
                Ok(())
            }
        }
    }

    fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.early.len() < length {
            self.read_more()?;
        }
        Ok(self.early.drain(..length).collect())
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.early.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.early.drain(..at + 2).collect();
                return Ok(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            self.read_more()?;
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.read_line()?, 16).unwrap();
            body.extend(self.read_exactly(size)?);
            assert_eq!(self.read_line()?, "");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut body = std::mem::take(&mut self.early);
        self.stream.read_to_end(&mut body)?;
        Ok(body)
    }

    /// The other side ends cleanly, with nothing more.
    pub fn assert_closed(&mut self) {
        assert_eq!(self.read_to_end().unwrap(), b"", "more bytes before the end");
    }

    /// The other side resets the connection at some point.
    pub fn assert_reset(&mut self) {
        let error = self.read_to_end().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    /// Closes with a reset instead of an end.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
