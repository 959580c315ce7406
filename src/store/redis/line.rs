//! One connection to a Redis, every exchange of which ends in time.
//!
//! The client library's own connections limit each read of the socket, so a server that sends one
//! byte at a time holds them for ever, and one that announces a huge answer fills the memory. Here
//! a whole exchange has one deadline and one budget of bytes, below TLS, so that its handshake is
//! bounded as well.
//!
//! Promise: after an exchange that failed half-way the line is broken and never used again, so no
//! answer is ever taken for that of another question.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ConnectionLike, Parser, Pipeline, RedisResult, Value};

use super::address::Tls;
use crate::clock::{Clock, Mono};

/// No exchange brings more bytes than this.
const BYTES_MAX: usize = 8 << 20;

/// A connection.
pub struct Line {
    stream: Stream,
    parser: Parser,
    /// How long an exchange may take.
    pub(super) patience: Duration,
    broken: bool,
    /// Which run of the server it leads to.
    pub(super) run: Arc<str>,
    /// How many failures there were before it was made.
    pub(super) after_failures: u64,
}

enum Stream {
    Plain(Bounded),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, Bounded>>),
}

/// A socket with a deadline and a budget.
struct Bounded {
    socket: TcpStream,
    clock: Arc<dyn Clock>,
    deadline: Mono,
    left: usize,
}

impl Line {
    /// Connects; an exchange on it may take `patience`, and so may this.
    pub(super) fn dial(
        (host, port): &(String, u16),
        tls: Option<&Tls>,
        clock: &Arc<dyn Clock>,
        patience: Duration,
    ) -> io::Result<Line> {
        let from = clock.mono();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (host.as_str(), *port).to_socket_addrs()? {
            let left = patience.saturating_sub(clock.mono().since(from));
            if left.is_zero() {
                return Err(out_of_time());
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    let bounded = Bounded {
                        socket,
                        clock: Arc::clone(clock),
                        deadline: from.plus(patience),
                        left: BYTES_MAX,
                    };
                    return Line::over(bounded, host, tls, patience);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn over(
        bounded: Bounded,
        host: &str,
        tls: Option<&Tls>,
        patience: Duration,
    ) -> io::Result<Line> {
        let stream = match tls {
            None => Stream::Plain(bounded),
            Some(Tls(config)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name =
                    rustls::pki_types::ServerName::try_from(host).map_err(io::Error::other)?;
                let connection = rustls::ClientConnection::new(Arc::clone(config), name)
                    .map_err(io::Error::other)?;
                Stream::Tls(Box::new(rustls::StreamOwned::new(connection, bounded)))
            }
        };
        let (parser, run) = (Parser::new(), Arc::from(""));
        Ok(Line { stream, parser, patience, broken: false, run, after_failures: 0 })
    }

    /// Whether it must not be used again.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Lets nobody use it again.
    pub(super) fn give_up(&mut self) {
        self.broken = true;
    }

    /// Sends without waiting for an answer.
    pub(super) fn send(&mut self, command: &Cmd) -> io::Result<()> {
        self.begin(self.patience);
        let sent = self.stream.write_all(&command.get_packed_command());
        let sent = sent.and_then(|()| self.stream.flush());
        self.broken |= sent.is_err();
        sent
    }

    /// Waits for something the server says by itself, at most this long. A time that passes in
    /// silence breaks nothing: what has come of a message so far is kept.
    pub(super) fn hear(&mut self, at_most: Duration) -> RedisResult<Option<Value>> {
        self.begin(at_most);
        match self.parser.parse_value(&mut self.stream) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_timeout() => Ok(None),
            Err(error) => {
                self.broken = true;
                Err(error)
            }
        }
    }

    fn begin(&mut self, patience: Duration) {
        let bounded = self.stream.bounded();
        bounded.deadline = bounded.clock.mono().plus(patience);
        bounded.left = BYTES_MAX;
    }

    /// Sends, and takes this many answers.
    fn exchange(&mut self, sent: &[u8], answers: usize) -> RedisResult<Vec<Value>> {
        if self.broken {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        self.begin(self.patience);
        // Whatever ends this early leaves the line in the middle of something.
        self.broken = true;
        self.stream.write_all(sent)?;
        self.stream.flush()?;
        let mut values = Vec::with_capacity(answers.min(1024));
        for _ in 0..answers {
            values.push(self.parser.parse_value(&mut self.stream)?);
        }
        self.broken = false;
        Ok(values)
    }
}

impl ConnectionLike for Line {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        let mut values = self.exchange(command, 1)?;
        Ok(values.pop().unwrap_or(Value::Nil))
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut values = self.exchange(commands, offset + count)?;
        Ok(values.split_off(offset))
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").query::<String>(self).is_ok_and(|pong| pong == "PONG")
    }

    fn is_open(&self) -> bool {
        !self.broken
    }
}

/// Runs commands in one exchange; the first refusal of one is the error.
pub(super) fn run(line: &mut Line, commands: &Pipeline) -> RedisResult<Vec<Value>> {
    let answers = line.exchange(&commands.get_packed_pipeline(), commands.len())?;
    answers.into_iter().map(Value::extract_error).collect()
}

impl Stream {
    fn bounded(&mut self) -> &mut Bounded {
        match self {
            Stream::Plain(bounded) => bounded,
            Stream::Tls(tls) => &mut tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(bounded) => bounded.read(into),
            Stream::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(bounded) => bounded.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(bounded) => bounded.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

impl Bounded {
    /// The time that is left, never nought, which would mean for ever.
    fn time_left(&self) -> io::Result<Duration> {
        let now = self.clock.mono();
        if now >= self.deadline { Err(out_of_time()) } else { Ok(self.deadline.since(now)) }
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the answer is too long"));
        }
        self.socket.set_read_timeout(Some(self.time_left()?))?;
        let most = into.len().min(self.left);
        let read = self.socket.read(&mut into[..most])?;
        self.left -= read;
        Ok(read)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.time_left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn out_of_time() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
