//! The load: one thread, many kept-alive connections, every answer timed.
//!
//! A closed load sends the next request of a connection when its last one is answered. A paced
//! load sends by the clock, whatever the server does: if no connection is free the request waits
//! here and its wait counts, so a server that stalls cannot hide it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use taskscheduler::clock::{Clock, Mono, SystemClock};

/// More broken connections than this end the run: there is nothing left to measure.
const BROKEN_MAX: u64 = 1_000;
/// The longest answer that is still counted.
const ANSWER_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As fast as the answers come.
    Closed,
    /// So many requests a second.
    PerSecond(u32),
}

#[derive(Debug, Clone, Copy)]
pub enum Until {
    Passed(Duration),
    Sent(u64),
}

/// How a load went.
pub struct Answers {
    /// Microseconds of the 2xx answers.
    pub times_us: Histogram<u64>,
    /// Answers by status, without the 2xx.
    pub refused: BTreeMap<u16, u64>,
    pub broken: u64,
    pub elapsed: Duration,
}

impl Answers {
    pub fn per_second(&self) -> f64 {
        self.times_us.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn ms(&self, quantile: f64) -> f64 {
        self.times_us.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub fn mean_ms(&self) -> f64 {
        self.times_us.mean() / 1000.0
    }

    pub fn errors(&self) -> u64 {
        self.broken + self.refused.values().sum::<u64>()
    }
}

/// Writes the request with this number.
pub type Render<'a> = &'a mut dyn FnMut(u64, &mut Vec<u8>);

pub struct Load<'a> {
    pub address: SocketAddr,
    pub connections: usize,
    pub pace: Pace,
    pub until: Until,
    pub render: Render<'a>,
}

struct Line {
    stream: TcpStream,
    output: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    /// When the request under way was due; none while the line is free.
    asked: Option<Mono>,
}

struct Run<'a> {
    load: Load<'a>,
    clock: SystemClock,
    began: Mono,
    poll: Poll,
    lines: Vec<Line>,
    free: Vec<usize>,
    sent: u64,
    under_way: usize,
    answers: Answers,
}

impl Load<'_> {
    pub fn run(self) -> Answers {
        let poll = Poll::new().expect("a readiness queue");
        let clock = SystemClock::new();
        let answers = Answers {
            times_us: Histogram::new_with_max(ANSWER_MAX.as_micros() as u64, 3).expect("bounds"),
            refused: BTreeMap::new(),
            broken: 0,
            elapsed: Duration::ZERO,
        };
        let connections = self.connections;
        let mut run = Run {
            load: self,
            began: clock.mono(),
            clock,
            poll,
            lines: Vec::new(),
            free: (0..connections).collect(),
            sent: 0,
            under_way: 0,
            answers,
        };
        for n in 0..connections {
            let line = run.open(n);
            run.lines.push(line);
        }
        run.began = run.clock.mono();
        run.drive();
        run.answers
    }
}

impl Run<'_> {
    fn open(&mut self, n: usize) -> Line {
        let stream = std::net::TcpStream::connect(self.load.address).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_nonblocking(true).expect("a socket option");
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(n), interest).expect("a registration");
        Line { stream, output: Vec::new(), written: 0, input: Vec::new(), asked: None }
    }

    fn drive(&mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let wait = self.send_due();
            let is_over = self.wait_for_next().is_none();
            if (is_over && self.under_way == 0) || self.answers.broken > BROKEN_MAX {
                break;
            }
            self.poll.poll(&mut events, wait).expect("readiness");
            for event in &events {
                let n = event.token().0;
                if event.is_writable() {
                    self.write(n);
                }
                if event.is_readable() {
                    self.read(n);
                }
            }
        }
        self.answers.elapsed = self.clock.mono().since(self.began);
    }

    /// How long until the next request is due; none when there are no more.
    fn wait_for_next(&self) -> Option<Duration> {
        let passed = self.clock.mono().since(self.began);
        let more = match self.load.until {
            Until::Passed(limit) => passed < limit,
            Until::Sent(count) => self.sent < count,
        };
        let due = match self.load.pace {
            Pace::Closed => Duration::ZERO,
            Pace::PerSecond(rate) => {
                Duration::from_secs_f64(self.sent as f64 / f64::from(rate.max(1)))
            }
        };
        more.then(|| due.saturating_sub(passed))
    }

    /// Sends what is due on free lines; returns how long the readiness queue may wait.
    fn send_due(&mut self) -> Option<Duration> {
        loop {
            let wait = self.wait_for_next()?;
            if !wait.is_zero() {
                return Some(wait);
            }
            let n = self.free.pop()?;
            let now = self.clock.mono();
            let line = &mut self.lines[n];
            line.output.clear();
            line.written = 0;
            (self.load.render)(self.sent, &mut line.output);
            line.asked = Some(match self.load.pace {
                Pace::Closed => now,
                // The timer of the readiness queue is a millisecond coarse. That is this client's
                // doing, so only what is late beyond it counts.
                Pace::PerSecond(rate) => {
                    let due = Duration::from_secs_f64(self.sent as f64 / f64::from(rate.max(1)));
                    let due = self.began.plus(due + Duration::from_millis(2));
                    due.min(now)
                }
            });
            self.sent += 1;
            self.under_way += 1;
            self.write(n);
        }
    }

    fn write(&mut self, n: usize) {
        let line = &mut self.lines[n];
        while line.written < line.output.len() {
            match line.stream.write(&line.output[line.written..]) {
                Ok(count) => line.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.replace(n),
            }
        }
    }

    fn read(&mut self, n: usize) {
        let mut part = [0; 16 * 1024];
        loop {
            let line = &mut self.lines[n];
            match line.stream.read(&mut part) {
                Ok(0) => return self.replace(n),
                Ok(count) => {
                    line.input.extend_from_slice(&part[..count]);
                    if let Some(code) = take_answer(&mut line.input) {
                        self.settle(n, code);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.replace(n),
            }
        }
    }

    fn settle(&mut self, n: usize, code: u16) {
        let now = self.clock.mono();
        let Some(asked) = self.lines[n].asked.take() else { return };
        if (200..300).contains(&code) {
            self.answers.times_us.saturating_record(now.since(asked).as_micros() as u64);
        } else {
            *self.answers.refused.entry(code).or_default() += 1;
        }
        self.under_way -= 1;
        self.free.push(n);
        if matches!(self.load.pace, Pace::Closed) {
            // Without waiting for the other lines' events.
            self.send_due();
        }
    }

    /// The connection broke: counted if a request was under way, and opened anew.
    fn replace(&mut self, n: usize) {
        let line = self.open(n);
        let old = std::mem::replace(&mut self.lines[n], line);
        if old.asked.is_some() {
            self.answers.broken += 1;
            self.under_way -= 1;
            self.free.push(n);
        }
    }
}

/// Takes one whole answer off the front; none while a part is missing. The server sends lengths
/// for everything that the load asks for.
fn take_answer(input: &mut Vec<u8>) -> Option<u16> {
    let mut heads = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut heads);
    let parsed = answer.parse(input).expect("a well-formed answer");
    let httparse::Status::Complete(head) = parsed else { return None };
    let code = answer.code.expect("a status");
    let is_length = |head: &&httparse::Header| head.name.eq_ignore_ascii_case("content-length");
    let length = answer.headers.iter().find(is_length).map_or(0, |head| {
        let text = std::str::from_utf8(head.value).expect("a length");
        text.trim().parse::<usize>().expect("a length")
    });
    if input.len() < head + length {
        return None;
    }
    input.drain(..head + length);
    Some(code)
}
