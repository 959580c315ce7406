//! The backend's answer: where it ends, and what its head becomes for the client.

use std::io::Write as _;

use super::chunked::Chunked;
use super::head::Keeping;
use super::{DELIVER_HEAD, PARK_HEAD};

/// Bytes a backend's head may have; it is our own and small.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is none, whatever the head says.
    Bodiless,
    Length(u64),
    Chunked,
}

/// The head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    /// Bytes up to and with the empty line.
    pub(super) bytes: usize,
    pub(super) ending: Ending,
    /// Whether it may go to a client that keeps its connection as it is.
    pub(super) is_plain: bool,
    /// The request is to be kept under this token.
    pub(super) park: Option<u64>,
    /// The application wants to hear of the loss of this answer.
    pub(super) deliver: Option<u64>,
}

/// The backend sent something that is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// Reads the head at the start of `bytes`, if it is complete. `to_head` says that the question was
/// HEAD.
pub(super) fn read_answer(bytes: &[u8], to_head: bool) -> Result<Option<AnswerHead>, NoAnswer> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(NoAnswer) } else { Ok(None) };
    };
    let status = bytes
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok()?.parse::<u16>().ok())
        .filter(|status| (200..=599).contains(status))
        .ok_or(NoAnswer)?;
    let mut head = AnswerHead {
        status,
        bytes: end + 4,
        ending: Ending::Bodiless,
        is_plain: true,
        park: None,
        deliver: None,
    };
    let (mut length, mut chunked) = (None, false);
    for line in lines(&bytes[..end]) {
        let (name, value) = split(line)?;
        if name.eq_ignore_ascii_case(b"Content-Length") {
            let digits = std::str::from_utf8(value).map_err(|_| NoAnswer)?;
            length = Some(digits.parse().map_err(|_| NoAnswer)?);
        } else if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
            chunked = true;
        } else if is_internal(name) {
            head.is_plain = false;
            let number = || std::str::from_utf8(value).ok()?.parse().ok();
            if name.eq_ignore_ascii_case(PARK_HEAD.as_bytes()) {
                head.park = number();
            } else if name.eq_ignore_ascii_case(DELIVER_HEAD.as_bytes()) {
                head.deliver = number();
            }
        }
    }
    head.is_plain &= !chunked && status != 204;
    if !(to_head || matches!(status, 204 | 304)) {
        head.ending = match (length, chunked) {
            (_, true) => Ending::Chunked,
            (Some(length), false) => Ending::Length(length),
            (None, false) => return Err(NoAnswer),
        };
    }
    Ok(Some(head))
}

/// How the client will know where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The head as it is says it; a bodiless answer may even announce a length.
    AsItIs,
    Length(usize),
    Chunked,
    /// By the end of the connection.
    ByClosing,
}

/// Writes the client's head in place of `raw`.
pub(super) fn write_answer_head(
    raw: &[u8],
    status: u16,
    told: Told,
    keeping: Keeping,
    out: &mut Vec<u8>,
) {
    let first = raw.iter().position(|byte| *byte == b'\r').unwrap_or(raw.len());
    out.extend_from_slice(&raw[..first]);
    out.extend_from_slice(b"\r\n");
    for line in lines(&raw[..raw.len().saturating_sub(4)]) {
        let name = split(line).map_or(line, |(name, _)| name);
        let frames = name.eq_ignore_ascii_case(b"Content-Length")
            || name.eq_ignore_ascii_case(b"Transfer-Encoding");
        if is_internal(name) || (frames && (told != Told::AsItIs || status == 204)) {
            continue;
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    // Writing into a vector cannot fail.
    let _ = match told {
        Told::AsItIs | Told::ByClosing => Ok(()),
        Told::Length(length) => write!(out, "Content-Length: {length}\r\n"),
        Told::Chunked => write!(out, "Transfer-Encoding: chunked\r\n"),
    };
    out.extend_from_slice(match keeping {
        Keeping::Keep => b"\r\n",
        Keeping::KeepAndSay => b"Connection: keep-alive\r\n\r\n",
        Keeping::Close => b"Connection: close\r\n\r\n",
    });
}

/// The header lines of a head without its last two line ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn split(line: &[u8]) -> Result<(&[u8], &[u8]), NoAnswer> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(NoAnswer)?;
    Ok((&line[..colon], line[colon + 1..].trim_ascii()))
}

fn is_internal(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Connection")
        || name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"X-Gate-"))
}

/// An answer as it arrives.
#[derive(Default)]
pub(super) struct Outbound {
    raw: Vec<u8>,
    head: Option<AnswerHead>,
    body: Vec<u8>,
    ended: Option<BodyEnd>,
}

enum BodyEnd {
    Length { left: u64 },
    Chunked(Chunked),
}

impl Outbound {
    pub(super) fn head(&self) -> Option<&AnswerHead> {
        self.head.as_ref()
    }

    /// The token the application wants to hear of, once.
    pub(super) fn take_token(&mut self) -> Option<u64> {
        let head = self.head.as_mut()?;
        head.park.take().or(head.deliver.take())
    }

    /// Nothing of the answer has arrived yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.head.is_none() && self.raw.is_empty()
    }

    /// The whole answer has arrived.
    pub(super) fn is_whole(&self) -> bool {
        self.head.is_some() && self.ended.is_none()
    }

    /// The head as the backend sent it.
    pub(super) fn raw_head(&self) -> &[u8] {
        &self.raw
    }

    /// The decoded body as far as it has arrived and was not taken away.
    pub(super) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }

    /// Bytes of body known to be needed: those here, or those announced.
    pub(super) fn body_bytes(&self) -> u64 {
        match self.head.map(|head| head.ending) {
            Some(Ending::Length(length)) => length,
            _ => self.body.len() as u64,
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.raw.capacity() + self.body.capacity()
    }

    /// Makes ready for the next answer.
    pub(super) fn next(&mut self) {
        self.raw.clear();
        self.body.clear();
        if self.held_bytes() > 2 * 4096 {
            (self.raw, self.body) = (Vec::new(), Vec::new());
        }
        self.head = None;
        self.ended = None;
    }

    /// Takes bytes that have arrived; more than one answer is an error.
    pub(super) fn feed(&mut self, bytes: &[u8], to_head: bool) -> Result<(), NoAnswer> {
        if self.head.is_some() {
            return self.feed_body(bytes);
        }
        self.raw.extend_from_slice(bytes);
        let Some(head) = read_answer(&self.raw, to_head)? else {
            return Ok(());
        };
        self.head = Some(head);
        self.ended = match head.ending {
            Ending::Bodiless | Ending::Length(0) => None,
            Ending::Length(left) => Some(BodyEnd::Length { left }),
            Ending::Chunked => Some(BodyEnd::Chunked(Chunked::new(u64::MAX >> 4))),
        };
        let body = self.raw.split_off(head.bytes);
        self.feed_body(&body)
    }

    fn feed_body(&mut self, bytes: &[u8]) -> Result<(), NoAnswer> {
        let used = match &mut self.ended {
            None => 0,
            Some(BodyEnd::Length { left }) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                self.body.extend_from_slice(&bytes[..take]);
                *left -= take as u64;
                if *left == 0 {
                    self.ended = None;
                }
                take
            }
            Some(BodyEnd::Chunked(chunks)) => {
                let used = chunks.decode(bytes, &mut self.body).map_err(|_| NoAnswer)?;
                if chunks.is_done() {
                    self.ended = None;
                }
                used
            }
        };
        if used == bytes.len() { Ok(()) } else { Err(NoAnswer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], piece: usize) -> Result<Outbound, NoAnswer> {
        let mut outbound = Outbound::default();
        for part in bytes.chunks(piece) {
            outbound.feed(part, false)?;
        }
        Ok(outbound)
    }

    #[test]
    fn an_answer_is_whole_however_it_was_cut() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            for piece in 1..=bytes.len() {
                let mut outbound = whole(bytes, piece).unwrap();
                assert!(outbound.is_whole());
                assert_eq!(outbound.body(), b"abc");
            }
            assert!(!whole(&bytes[..bytes.len() - 1], 7).unwrap().is_whole());
        }
    }

    #[test]
    fn bodiless_answers_end_with_their_head() {
        for (raw, to_head) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true),
        ] {
            let head = read_answer(raw.as_bytes(), to_head).unwrap().unwrap();
            assert_eq!(head.ending, Ending::Bodiless, "{raw}");
        }
    }

    #[test]
    fn what_is_no_answer_is_noticed() {
        for raw in [
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        ] {
            assert_eq!(read_answer(raw.as_bytes(), false), Err(NoAnswer), "{raw}");
        }
        assert!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", 99).is_err());
    }

    #[test]
    fn the_clients_head_says_how_the_body_ends_and_hides_what_is_ours() {
        let raw =
            b"HTTP/1.1 200 OK\r\nX-Gate-Park: 1\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n";
        let mut out = Vec::new();
        write_answer_head(raw, 200, Told::Length(5), Keeping::Close, &mut out);
        let expected = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert!(!read_answer(raw, false).unwrap().unwrap().is_plain);
    }
}
