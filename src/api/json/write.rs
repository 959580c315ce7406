//! JSON written into one growing buffer.

use std::io::Write;

/// A JSON text under construction. Commas set themselves; that every key gets one value and every
/// level is closed is the caller's part.
#[derive(Debug, Default)]
pub(crate) struct Json {
    buffer: Vec<u8>,
    comma: bool,
}

/// A place in a text under construction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    length: usize,
    comma: bool,
}

impl Json {
    /// An empty text that goes on using `buffer`'s room.
    pub(crate) fn reusing(mut buffer: Vec<u8>) -> Json {
        buffer.clear();
        Json { buffer, comma: false }
    }

    /// How long the text is so far.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// This place, to come back to.
    pub(crate) fn mark(&self) -> Mark {
        Mark { length: self.buffer.len(), comma: self.comma }
    }

    /// Forgets everything after a place.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.buffer.truncate(mark.length);
        self.comma = mark.comma;
    }

    /// The text.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }

    /// Opens an object.
    pub(crate) fn open(&mut self) -> &mut Json {
        self.level(b'{')
    }

    /// Closes an object.
    pub(crate) fn close(&mut self) -> &mut Json {
        self.end(b'}')
    }

    /// Opens an array.
    pub(crate) fn open_array(&mut self) -> &mut Json {
        self.level(b'[')
    }

    /// Closes an array.
    pub(crate) fn close_array(&mut self) -> &mut Json {
        self.end(b']')
    }

    /// A key of our own, which needs no escapes.
    pub(crate) fn key(&mut self, key: &'static str) -> &mut Json {
        self.separate();
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(b"\":");
        self.comma = false;
        self
    }

    /// A key that came from outside.
    pub(crate) fn key_text(&mut self, key: &str) -> &mut Json {
        self.text(key);
        self.buffer.push(b':');
        self.comma = false;
        self
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str) -> &mut Json {
        self.separate();
        self.buffer.push(b'"');
        let bytes = text.as_bytes();
        let mut done = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.buffer.extend_from_slice(&bytes[done..at]);
            self.escape(byte);
            done = at + 1;
        }
        self.buffer.extend_from_slice(&bytes[done..]);
        self.buffer.push(b'"');
        self
    }

    /// A whole number.
    pub(crate) fn number(&mut self, number: u64) -> &mut Json {
        self.separate();
        push_number(&mut self.buffer, number);
        self
    }

    /// A fraction; what JSON has no number for becomes nought.
    pub(crate) fn fraction(&mut self, number: f64) -> &mut Json {
        self.separate();
        let number = if number.is_finite() { number } else { 0.0 };
        // Writing to a Vec cannot fail.
        let _ = write!(self.buffer, "{number}");
        self
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, flag: bool) -> &mut Json {
        self.raw(if flag { "true" } else { "false" })
    }

    /// `null`.
    pub(crate) fn null(&mut self) -> &mut Json {
        self.raw("null")
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) -> &mut Json {
        self.separate();
        self.buffer.extend_from_slice(json.as_bytes());
        self
    }

    /// A string that `write` appends and that needs no escapes.
    pub(crate) fn plain(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Json {
        self.separate();
        self.buffer.push(b'"');
        write(&mut self.buffer);
        self.buffer.push(b'"');
        self
    }

    fn separate(&mut self) {
        if self.comma {
            self.buffer.push(b',');
        }
        self.comma = true;
    }

    fn level(&mut self, open: u8) -> &mut Json {
        self.separate();
        self.buffer.push(open);
        self.comma = false;
        self
    }

    fn end(&mut self, close: u8) -> &mut Json {
        self.buffer.push(close);
        self.comma = true;
        self
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.buffer.extend_from_slice(b"\\\""),
            b'\\' => self.buffer.extend_from_slice(b"\\\\"),
            b'\n' => self.buffer.extend_from_slice(b"\\n"),
            b'\r' => self.buffer.extend_from_slice(b"\\r"),
            b'\t' => self.buffer.extend_from_slice(b"\\t"),
            _ => {
                let _ = write!(self.buffer, "\\u{byte:04x}");
            }
        }
    }
}

/// Appends the decimal digits of `number`.
pub(crate) fn push_number(buffer: &mut Vec<u8>, mut number: u64) {
    // 2^64 has 20 digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut json = Json::default();
        json.open().key("a").open_array().number(1).open().close().null().close_array();
        json.key("b").flag(true).key_text("c\"").fraction(0.5).key("d").fraction(f64::NAN).close();
        assert_eq!(json.into_bytes(), br#"{"a":[1,{},null],"b":true,"c\"":0.5,"d":0}"#);
    }

    proptest! {
        #[test]
        fn every_text_is_read_back(text in ".*", number: u64) {
            let mut json = Json::default();
            json.open_array().text(&text).number(number).close_array();
            let read: (String, u64) = serde_json::from_slice(&json.into_bytes()).unwrap();
            prop_assert_eq!(read, (text, number));
        }
    }
}
