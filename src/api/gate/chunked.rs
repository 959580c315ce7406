//! The chunked coding, decoded as bytes arrive.
//!
//! Strict: every line ends with CR LF, sizes are plain hexadecimal, and neither a size line nor
//! the trailer may be long. Extensions and trailers are read and thrown away.

/// Bytes of one size line with its extension.
const LINE_BYTES_MAX: usize = 256;
/// Bytes of all trailer lines.
const TRAILER_BYTES_MAX: usize = 4096;

/// Why a chunked body cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkError {
    /// Not the chunked coding.
    Malformed,
    /// More data than allowed.
    TooLarge,
}

/// Where in the coding the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size { digits: u8 },
    Extension,
    SizeLf,
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerLine,
    TrailerLf,
    LastLf,
    Done,
}

/// The state of decoding one body.
#[derive(Debug, Clone)]
pub(super) struct Chunked {
    at: At,
    size: u64,
    line: usize,
    room: u64,
}

impl Chunked {
    /// A decoder that gives up after `bytes_max` bytes of data.
    pub(super) fn new(bytes_max: u64) -> Chunked {
        Chunked { at: At::Size { digits: 0 }, size: 0, line: 0, room: bytes_max }
    }

    /// Whether the last byte of the body has been seen.
    pub(super) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Whether any byte of the body has been seen.
    pub(super) fn has_begun(&self) -> bool {
        self.at != At::Size { digits: 0 }
    }

    /// Appends the data in `bytes` to `out` and says how many bytes belonged to this body.
    pub(super) fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkError> {
        let mut used = 0;
        while used < bytes.len() && self.at != At::Done {
            if let At::Data { left } = self.at {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - used);
                out.extend_from_slice(&bytes[used..used + take]);
                used += take;
                let left = left - take as u64;
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
            } else {
                self.step(bytes[used])?;
                used += 1;
            }
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.at = match (self.at, byte) {
            (At::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.add_digit(byte, digits)?
            }
            (At::Size { digits: 1.. }, b';') => self.long_line(At::Extension, LINE_BYTES_MAX)?,
            (At::Extension, b'\t' | b' '..=b'~') => {
                self.long_line(At::Extension, LINE_BYTES_MAX)?
            }
            (At::Size { digits: 1.. } | At::Extension, b'\r') => At::SizeLf,
            (At::SizeLf, b'\n') => self.begin_data(),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size { digits: 0 },
            (At::TrailerStart, b'\r') => At::LastLf,
            (At::LastLf, b'\n') => At::Done,
            (At::TrailerStart, b'!'..=b'~') | (At::TrailerLine, b'\t' | b' '..=b'~') => {
                self.long_line(At::TrailerLine, TRAILER_BYTES_MAX)?
            }
            (At::TrailerLine, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            _ => return Err(ChunkError::Malformed),
        };
        Ok(())
    }

    /// Fifteen digits are far above any allowed size and cannot overflow.
    fn add_digit(&mut self, byte: u8, digits: u8) -> Result<At, ChunkError> {
        if digits == 0 {
            self.size = 0;
            self.line = 0;
        }
        if digits == 15 {
            return Err(ChunkError::Malformed);
        }
        let value = (byte as char).to_digit(16).map_or(0, u64::from);
        self.size = self.size << 4 | value;
        if self.size > self.room {
            return Err(ChunkError::TooLarge);
        }
        Ok(At::Size { digits: digits + 1 })
    }

    fn begin_data(&mut self) -> At {
        self.line = 0;
        self.room -= self.size;
        if self.size == 0 { At::TrailerStart } else { At::Data { left: self.size } }
    }

    fn long_line(&mut self, next: At, max: usize) -> Result<At, ChunkError> {
        self.line += 1;
        if self.line > max { Err(ChunkError::Malformed) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes `bytes` in pieces of `piece` and says what came out and what was left.
    fn decode(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize), ChunkError> {
        let mut decoder = Chunked::new(1000);
        let (mut out, mut used) = (Vec::new(), 0);
        for part in bytes.chunks(piece) {
            used += decoder.decode(part, &mut out)?;
        }
        assert!(decoder.is_done(), "unfinished: {decoder:?}");
        Ok((out, bytes.len() - used))
    }

    #[test]
    fn data_comes_out_however_the_bytes_were_cut() {
        let coded = b"4;a=b\r\nWiki\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nrest";
        for piece in 1..=coded.len() {
            assert_eq!(decode(coded, piece), Ok((b"Wiki0123456789".to_vec(), 4)), "{piece}");
        }
    }

    #[test]
    fn what_is_not_plain_chunked_coding_is_refused() {
        for bad in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+4\r\n",
            " 4\r\n",
            "0x4\r\n",
            "4\n",
            "4 \r\n",
            ";a\r\n",
            "4\r\nWikiX",
            "4\r\nWiki\n",
            "1\r\na\r\n\r\n",
            "4;\0\r\n",
            "0\r\n\n",
            "0\r\n x\r\n",
            "0\r\nX\0\r\n",
            "4\rX",
            "0000000000000001\r\n",
        ] {
            let mut out = Vec::new();
            let result = Chunked::new(1000).decode(bad.as_bytes(), &mut out);
            assert_eq!(result, Err(ChunkError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn sizes_beyond_the_room_are_refused_before_their_data() {
        for bad in ["3E9\r\n", "fffffffffffffff\r\n"] {
            let result = Chunked::new(1000).decode(bad.as_bytes(), &mut Vec::new());
            assert_eq!(result, Err(ChunkError::TooLarge), "{bad:?}");
        }
        let mut decoder = Chunked::new(5);
        let both = decoder.decode(b"3\r\nabc\r\n3\r\n", &mut Vec::new());
        assert_eq!(both, Err(ChunkError::TooLarge));
    }

    #[test]
    fn long_size_lines_and_trailers_are_refused() {
        let line = format!("1;{}", "x".repeat(300));
        let trailer = format!("0\r\n{}", "X: 1\r\n".repeat(2000));
        for bad in [line, trailer] {
            let result = Chunked::new(1000).decode(bad.as_bytes(), &mut Vec::new());
            assert_eq!(result, Err(ChunkError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut out = Vec::new();
            let _ = Chunked::new(100).decode(&bytes, &mut out);
            prop_assert!(out.len() <= 100);
        }
    }
}
