//! A cursor over JSON text that checks the grammar as it goes and hands out slices.

use std::borrow::Cow;

/// Nesting beyond this is refused, as every common reader does.
const DEPTH_MAX: u32 = 128;

/// Where a text is not JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// The byte.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// What sort of value begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Flag,
    Null,
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

type Step<T> = Result<T, SyntaxError>;

impl<'a> Scan<'a> {
    /// The start of `text`, which itself stands `depth` levels deep in what was sent.
    pub(crate) fn new(text: &'a str, depth: u32) -> Scan<'a> {
        Scan { text, at: 0, depth }
    }

    /// What sort of value comes next.
    pub(crate) fn kind(&mut self) -> Step<Kind> {
        self.blanks();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Flag),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => self.wrong("expected a value"),
            None => self.wrong("the text ends too early"),
        }
    }

    /// Goes through an object; `each` is called behind every key and must read the value.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Scan<'a>, Cow<'a, str>) -> Step<()>,
    ) -> Step<()> {
        self.enter(b'{')?;
        if self.leave_if(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            each(self, key)?;
            if self.next_or_leave(b'}')? {
                return Ok(());
            }
        }
    }

    /// Goes through an array; `each` is called before every item and must read it.
    pub(crate) fn array(&mut self, mut each: impl FnMut(&mut Scan<'a>) -> Step<()>) -> Step<()> {
        self.enter(b'[')?;
        if self.leave_if(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.next_or_leave(b']')? {
                return Ok(());
            }
        }
    }

    /// The text of a string, borrowed where nothing is escaped.
    pub(crate) fn string(&mut self) -> Step<Cow<'a, str>> {
        self.blanks();
        let open = self.at;
        if !self.pass_string()? {
            return Ok(Cow::Borrowed(&self.text[open + 1..self.at - 1]));
        }
        Ok(Cow::Owned(unescape(&self.text[open + 1..self.at - 1])))
    }

    /// The next value as it was sent, whatever it is, without the blanks around it.
    pub(crate) fn value(&mut self) -> Step<&'a str> {
        let base = self.depth;
        // One bit for each open level: whether it is an object. The depth is at most 128.
        let mut objects = 0u128;
        self.blanks();
        let start = self.at;
        'value: loop {
            match self.kind()? {
                Kind::Object => {
                    self.enter(b'{')?;
                    objects = objects << 1 | 1;
                    if !self.leave_if(b'}') {
                        self.key()?;
                        continue 'value;
                    }
                    objects >>= 1;
                }
                Kind::Array => {
                    self.enter(b'[')?;
                    objects <<= 1;
                    if !self.leave_if(b']') {
                        continue 'value;
                    }
                    objects >>= 1;
                }
                Kind::Text => drop(self.pass_string()?),
                Kind::Number => self.pass_number()?,
                Kind::Flag | Kind::Null => self.pass_word()?,
            }
            while self.depth > base {
                let in_object = objects & 1 == 1;
                if !self.next_or_leave(if in_object { b'}' } else { b']' })? {
                    if in_object {
                        self.key()?;
                    }
                    continue 'value;
                }
                objects >>= 1;
            }
            return Ok(&self.text[start..self.at]);
        }
    }

    /// Checks that nothing but blanks is left.
    pub(crate) fn end(&mut self) -> Step<()> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { self.wrong("text after the value") }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, what: &'static str) -> Step<T> {
        Err(SyntaxError { at: self.at, what })
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    fn enter(&mut self, open: u8) -> Step<()> {
        self.blanks();
        if self.byte() != Some(open) {
            return self.wrong("expected an object or an array");
        }
        if self.depth == DEPTH_MAX {
            return self.wrong("nested deeper than 128 levels");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn leave_if(&mut self, close: u8) -> bool {
        self.blanks();
        let closes = self.byte() == Some(close);
        if closes {
            self.at += 1;
            self.depth -= 1;
        }
        closes
    }

    /// Behind a value: `true` when the level ends here, `false` when another entry follows.
    fn next_or_leave(&mut self, close: u8) -> Step<bool> {
        if self.leave_if(close) {
            return Ok(true);
        }
        match self.byte() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => self.wrong("expected a comma or the end of the object or array"),
            None => self.wrong("the text ends too early"),
        }
    }

    fn key(&mut self) -> Step<Cow<'a, str>> {
        self.blanks();
        if self.byte() != Some(b'"') {
            return self.wrong("expected a key in double quotes");
        }
        let key = self.string()?;
        self.blanks();
        if self.byte() != Some(b':') {
            return self.wrong("expected a colon");
        }
        self.at += 1;
        Ok(key)
    }

    /// Passes a string and says whether anything in it is escaped.
    fn pass_string(&mut self) -> Step<bool> {
        if self.byte() != Some(b'"') {
            return self.wrong("expected a string");
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.pass_escape()?;
                }
                Some(0..0x20) => return self.wrong("a control character in a string"),
                Some(_) => self.at += 1,
                None => return self.wrong("the text ends too early"),
            }
        }
    }

    fn pass_escape(&mut self) -> Step<()> {
        let at = self.at;
        self.at += 2;
        match self.text.as_bytes().get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => self.pass_unicode(),
            _ => Err(SyntaxError { at, what: "an unknown escape in a string" }),
        }
    }

    /// Behind `\u`. Half a surrogate pair is refused: no reader could make a text of it.
    fn pass_unicode(&mut self) -> Step<()> {
        let at = self.at;
        let Some(unit) = hex4(self.text.as_bytes(), at) else {
            return Err(SyntaxError { at, what: "four hexadecimal digits are due" });
        };
        self.at += 4;
        let low = match unit {
            0xD800..=0xDBFF => {
                let follows = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                follows.then(|| hex4(self.text.as_bytes(), self.at + 2)).flatten()
            }
            0xDC00..=0xDFFF => None,
            _ => return Ok(()),
        };
        if !low.is_some_and(|low| (0xDC00..=0xDFFF).contains(&low)) {
            return Err(SyntaxError { at, what: "half a surrogate pair" });
        }
        self.at += 6;
        Ok(())
    }

    fn pass_number(&mut self) -> Step<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.pass_digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.pass_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.pass_digits()?;
        }
        match self.byte() {
            Some(b'0'..=b'9') => self.wrong("a number that starts with nought"),
            _ => Ok(()),
        }
    }

    fn pass_digits(&mut self) -> Step<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start { self.wrong("a digit is due") } else { Ok(()) }
    }

    fn pass_word(&mut self) -> Step<()> {
        let rest = &self.text.as_bytes()[self.at..];
        match ["true", "false", "null"].iter().find(|word| rest.starts_with(word.as_bytes())) {
            Some(word) => {
                self.at += word.len();
                Ok(())
            }
            None => self.wrong("expected a value"),
        }
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// The text of a string that [`Scan::pass_string`] found sound.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let mut code = hex4(rest.as_bytes(), 0).unwrap_or_default();
                rest = rest.get(4..).unwrap_or_default();
                if (0xD800..=0xDBFF).contains(&code) {
                    let low = hex4(rest.as_bytes(), 2).unwrap_or_default();
                    code = 0x10000 + ((code - 0xD800) << 10) + (low & 0x3FF);
                    rest = rest.get(6..).unwrap_or_default();
                }
                text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            itself => text.push(char::from(itself)),
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests;
