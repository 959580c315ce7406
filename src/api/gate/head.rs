//! Reads the head of a request and writes the one the backend gets instead.
//!
//! Promise: what is written has exactly one meaning. Its length is known, its version is 1.1, and
//! nothing a client says about this connection (or in the gate's own name) goes on to the backend.

use std::io::Write as _;

use httparse::{EMPTY_HEADER, Error, Header};

use super::class::Class;
use super::limits::{GateLimits, HEADERS_CAP};
use super::refusal::{
    LARGE_BODY, LARGE_HEAD, NO_LENGTH, ODD_CODING, ODD_EXPECTATION, ODD_VERSION, Refusal, bad,
};

/// Digits of a length that is written before it is known.
pub(super) const LENGTH_DIGITS: usize = 12;

/// What may be done again after a loss, and what its answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    /// As GET, but the answer has no body.
    Head,
    /// Anything that may change something.
    Other,
}

/// How a body's end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Empty,
    Length(u64),
    Chunked,
}

/// What a client expects of the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// HTTP/1.1 as usual.
    Keep,
    /// HTTP/1.0 with keep-alive: the answer must confirm it.
    KeepAndSay,
    Close,
}

/// What the gate needs to know of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) verb: Verb,
    pub(super) class: Class,
    pub(super) framing: Framing,
    pub(super) keeping: Keeping,
    pub(super) expects_continue: bool,
    pub(super) is_http10: bool,
}

impl Head {
    /// Whether the request may be sent a second time without asking the client.
    pub(super) fn is_repeatable(&self) -> bool {
        self.verb != Verb::Other
    }
}

/// Reads `raw`, a whole head, and writes the backend's head to `out`. A chunked body's length is
/// written as zeros, to be filled in by [`set_length`].
pub(super) fn read_head(
    raw: &[u8],
    peer: &str,
    limits: &GateLimits,
    out: &mut Vec<u8>,
) -> Result<Head, Refusal> {
    let mut places = [EMPTY_HEADER; HEADERS_CAP];
    let mut request = httparse::Request::new(&mut places[..limits.headers_max]);
    match request.parse(raw) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("the head ends early")),
        Err(error) => return Err(syntax(error, raw)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(bad("the first line is incomplete"));
    };
    let is_http10 = minor == 0;
    let facts = Facts::gather(request.headers, is_http10)?;
    let target = origin_form(target)?;
    let head = Head {
        verb: match method {
            "GET" => Verb::Get,
            "HEAD" => Verb::Head,
            _ => Verb::Other,
        },
        class: Class::of(method, target),
        framing: facts.framing(method, is_http10, limits)?,
        keeping: facts.keeping(is_http10),
        expects_continue: facts.expects_continue && !is_http10,
        is_http10,
    };
    write_head(method, target, request.headers, &facts, peer, head.framing, out);
    Ok(head)
}

/// Fills in the length of a body that was chunked, at the end of the head in `out`.
pub(super) fn set_length(out: &mut [u8], head_bytes: usize, length: usize) {
    let mut left = length;
    for digit in out[head_bytes - 4 - LENGTH_DIGITS..head_bytes - 4].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

fn syntax(error: Error, raw: &[u8]) -> Refusal {
    match error {
        Error::TooManyHeaders => LARGE_HEAD,
        Error::Version if names_http(raw) => ODD_VERSION,
        Error::Version => bad("the first line names no HTTP version"),
        Error::HeaderName => bad("a header name has a byte that is not allowed"),
        Error::HeaderValue => bad("a header value has a byte that is not allowed"),
        _ => bad("the head is malformed"),
    }
}

/// Whether the first line ends in something like `HTTP/2.0`.
fn names_http(raw: &[u8]) -> bool {
    let line = raw.split(|byte| *byte == b'\r').next().unwrap_or(raw);
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or(line);
    version.strip_prefix(b"HTTP/").is_some_and(|rest| {
        !rest.is_empty() && rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
    })
}

/// The path and query of a target; a full URL, as proxies get, loses its scheme and host.
fn origin_form(target: &str) -> Result<&str, Refusal> {
    if target.starts_with('/') || target == "*" {
        return Ok(target);
    }
    let full = target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = if full { &target[7..] } else { "" };
    match rest.find('/') {
        Some(at) if at > 0 => Ok(&rest[at..]),
        _ => Err(bad("the target is neither a path nor a full http URL")),
    }
}

/// What the header lines say together.
#[derive(Default)]
struct Facts<'a> {
    hosts: usize,
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    has_content_type: bool,
    expects_continue: bool,
    close: bool,
    keep_alive: bool,
    /// Header names that `Connection` declares to be about this connection only.
    nominated: Vec<&'a [u8]>,
}

impl<'a> Facts<'a> {
    fn gather(headers: &[Header<'a>], is_http10: bool) -> Result<Facts<'a>, Refusal> {
        let mut facts = Facts::default();
        for header in headers {
            facts.note(header)?;
        }
        match facts.hosts {
            0 if !is_http10 => Err(bad("the Host header is missing")),
            2.. => Err(bad("there is more than one Host header")),
            _ => Ok(facts),
        }
    }

    fn note(&mut self, header: &Header<'a>) -> Result<(), Refusal> {
        let (name, value) = (header.name, header.value);
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // Most headers are sorted out by the length of their names.
        match name.len() {
            4 if is("Host") => {
                self.hosts += 1;
                if !value.iter().all(|byte| is_host_byte(*byte)) {
                    return Err(bad("the Host header is malformed"));
                }
            }
            6 if is("Expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(ODD_EXPECTATION);
                }
                self.expects_continue = true;
            }
            10 if is("Connection") => self.note_connection(value),
            12 if is("Content-Type") => self.has_content_type = true,
            14 if is("Content-Length") => {
                const TWICE: Refusal = bad("there is more than one Content-Length header");
                note_once(&mut self.length, value, TWICE)?;
            }
            17 if is("Transfer-Encoding") => {
                const TWICE: Refusal = bad("there is more than one Transfer-Encoding header");
                note_once(&mut self.coding, value, TWICE)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &'a [u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if !token.eq_ignore_ascii_case(b"host") {
                self.nominated.push(token);
            }
        }
    }

    fn framing(&self, method: &str, http10: bool, limits: &GateLimits) -> Result<Framing, Refusal> {
        match (self.length, self.coding) {
            (Some(_), Some(_)) => {
                Err(bad("Content-Length and Transfer-Encoding exclude each other"))
            }
            (None, Some(_)) if http10 => Err(bad("HTTP/1.0 has no Transfer-Encoding")),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (None, Some(_)) => Err(ODD_CODING),
            (Some(digits), None) => match length(digits)? {
                0 => Ok(Framing::Empty),
                long if long > limits.body_bytes_max => Err(LARGE_BODY),
                fits => Ok(Framing::Length(fits)),
            },
            // Such a client ends its body by closing, and then could not be answered.
            (None, None) if http10 && self.has_content_type && method != "GET" => Err(NO_LENGTH),
            (None, None) => Ok(Framing::Empty),
        }
    }

    fn keeping(&self, is_http10: bool) -> Keeping {
        match (self.close, is_http10, self.keep_alive) {
            (true, ..) | (false, true, false) => Keeping::Close,
            (false, true, true) => Keeping::KeepAndSay,
            (false, false, _) => Keeping::Keep,
        }
    }
}

fn note_once<'a>(
    place: &mut Option<&'a [u8]>,
    value: &'a [u8],
    twice: Refusal,
) -> Result<(), Refusal> {
    if place.replace(value).is_some() { Err(twice) } else { Ok(()) }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]~%!$&'()*+;=".contains(&byte)
}

/// Digits and nothing else. Too many of them are a large body, not a malformed one.
fn length(digits: &[u8]) -> Result<u64, Refusal> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad("the Content-Length is not a number"));
    }
    let value = digits
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    value.ok_or(LARGE_BODY)
}

fn write_head(
    method: &str,
    target: &str,
    headers: &[Header<'_>],
    facts: &Facts<'_>,
    peer: &str,
    framing: Framing,
    out: &mut Vec<u8>,
) {
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for header in headers {
        let name = header.name;
        if stays_here(name)
            || facts.nominated.iter().any(|n| n.eq_ignore_ascii_case(name.as_bytes()))
        {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(header.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"X-Gate-Peer: ");
    out.extend_from_slice(peer.as_bytes());
    // Writing into a vector cannot fail.
    let _ = match framing {
        Framing::Empty => write!(out, "\r\n\r\n"),
        Framing::Length(length) => write!(out, "\r\nContent-Length: {length}\r\n\r\n"),
        Framing::Chunked => write!(out, "\r\nContent-Length: {:0LENGTH_DIGITS$}\r\n\r\n", 0),
    };
}

/// Headers about this connection or in the gate's own name.
fn stays_here(name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let about_connection = match name.len() {
        2 => is("TE"),
        6 => is("Expect"),
        7 => is("Trailer") || is("Upgrade"),
        10 => is("Connection") || is("Keep-Alive"),
        14 => is("Content-Length") || is("HTTP2-Settings"),
        16 => is("Proxy-Connection"),
        17 => is("Transfer-Encoding"),
        _ => false,
    };
    about_connection || name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("X-Gate-"))
}

#[cfg(test)]
mod tests;
