//! The smallest client that can tell *refused* from *unknown*.
//!
//! One connection, one request at a time, kept alive. What matters to a ledger is how a request
//! ended: with an answer, surely unsent, or with nobody knowing.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer of a live server takes; shorter than a test's patience.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub head: Vec<(String, String)>,
    pub body: String,
    /// The body where it is packed, which is no text.
    pub packed: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.code, self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.head.iter().find(same).map(|(_, value)| value.as_str())
    }
}

/// A request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// No connection: the server never saw it.
    Unsent,
    /// Sent, at least in part: the server may have done it.
    Unknown,
}

#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    line: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client { address, line: None }
    }

    pub fn get(&mut self, path: &str) -> Result<Answer, Broken> {
        self.send("GET", path, &[], "")
    }

    pub fn post(&mut self, path: &str, body: &str) -> Result<Answer, Broken> {
        self.send("POST", path, &[("Content-Type", "application/json")], body)
    }

    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        heads: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, Broken> {
        if self.line.is_none() {
            self.line = Some(connect(self.address).ok_or(Broken::Unsent)?);
        }
        let line = self.line.as_mut().expect("connected above");
        let mut request = vec![format!("{method} {path} HTTP/1.1")];
        if !heads.iter().any(|(name, _)| *name == "Host") {
            request.push(format!("Host: {}", self.address));
        }
        request.extend(heads.iter().map(|(name, value)| format!("{name}: {value}")));
        if method != "GET" {
            request.push(format!("Content-Length: {}", body.len()));
        }
        let request = format!("{}\r\n\r\n{body}", request.join("\r\n"));
        let answered = line.get_mut().write_all(request.as_bytes()).and_then(|()| read(line));
        let stays = |answer: &Answer| {
            !answer.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
        };
        if !answered.as_ref().is_ok_and(stays) {
            self.line = None;
        }
        answered.map_err(|_| Broken::Unknown)
    }
}

fn connect(address: SocketAddr) -> Option<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_WAIT).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(ANSWER_WAIT)).ok()?;
    stream.set_write_timeout(Some(ANSWER_WAIT)).ok()?;
    Some(BufReader::new(stream))
}

fn read(line: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let bad = |what: &str| std::io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let status = read_line(line)?;
    let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.ok_or_else(|| bad("no status code"))?;
    let mut head = Vec::new();
    loop {
        let text = read_line(line)?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').ok_or_else(|| bad("no colon"))?;
        head.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut answer = Answer { code, head, body: String::new(), packed: Vec::new() };
    let mut body = Vec::new();
    if answer.header("Transfer-Encoding").is_some() {
        read_chunks(line, &mut body)?;
    } else if let Some(length) = answer.header("Content-Length") {
        let length: usize = length.parse().map_err(|_| bad("an odd length"))?;
        body.resize(length, 0);
        line.read_exact(&mut body)?;
    }
    if answer.header("Content-Encoding").is_some() {
        answer.packed = body;
        return Ok(answer);
    }
    answer.body = String::from_utf8(body).map_err(|_| bad("no UTF-8"))?;
    Ok(answer)
}

fn read_chunks(line: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let size = usize::from_str_radix(&read_line(line)?, 16)
            .map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "an odd chunk size"))?;
        let start = body.len();
        body.resize(start + size, 0);
        line.read_exact(&mut body[start..])?;
        read_line(line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// A line without its end; the end of the stream is an error here.
fn read_line(line: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    if line.read_line(&mut text)? == 0 || !text.ends_with('\n') {
        return Err(std::io::Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
