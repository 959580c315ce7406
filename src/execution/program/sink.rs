//! What is kept of what a program writes: all of it up to a bound, or the end of it.

use crate::domain::Failure;

/// The standard output: the result, so all of it or nothing.
#[derive(Debug)]
pub(super) struct Output {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Output {
    pub fn new(bytes_max: usize) -> Output {
        Output { bytes: Vec::new(), bytes_max }
    }

    /// `false`: there is more than may be.
    pub fn take(&mut self, more: &[u8]) -> bool {
        let fits = self.bytes.len() + more.len() <= self.bytes_max;
        if fits {
            self.bytes.extend_from_slice(more);
        }
        fits
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// The standard error: its end, which says why.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    /// What is kept leaves room for what happened before it.
    const BYTES_MAX: usize = Failure::MESSAGE_MAX - 256;

    pub fn take(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        let over = self.bytes.len().saturating_sub(Self::BYTES_MAX);
        self.bytes.drain(..over);
        self.is_cut |= over > 0;
    }

    /// As text; what was cut off is shown as such.
    pub fn text(&self) -> String {
        let start = if self.is_cut {
            // Behind the rest of a character that was cut.
            self.bytes.iter().take(4).take_while(|byte| **byte & 0xc0 == 0x80).count()
        } else {
            0
        };
        let text = String::from_utf8_lossy(&self.bytes[start..]);
        if self.is_cut { format!("...{text}") } else { text.into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_whole_or_not_at_all_and_errors_by_their_end() {
        let mut output = Output::new(4);
        assert!(output.take(b"abc") && !output.take(b"de") && output.take(b"\n"));
        assert_eq!(output.bytes(), b"abc\n");
        let mut tail = Tail::default();
        tail.take(b"first");
        assert_eq!(tail.text(), "first");
        tail.take("\u{e4}".repeat(3000).as_bytes());
        let text = tail.text();
        assert!(text.starts_with("...\u{e4}") && text.ends_with('\u{e4}'));
        assert!(text.len() <= Failure::MESSAGE_MAX - 200);
    }
}
