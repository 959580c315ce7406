//! Reading small objects: known fields once each, everything wrong with them at once.

use std::borrow::Cow;

use super::near;
use crate::api::json::{Kind, Scan, SyntaxError};
use crate::api::problem::{self, Fault, Problem};
use crate::api::settings::Compatibility;

pub(crate) type Step<T> = Result<T, SyntaxError>;

/// What is wrong with a body so far, and where it is being read.
#[derive(Debug)]
pub(crate) struct Faults {
    all: Vec<Fault>,
    compatibility: Compatibility,
    /// The item that is being read.
    index: Option<usize>,
}

impl Faults {
    /// No more are told; who sends more has learned enough.
    const MAX: usize = 200;

    pub(crate) fn new(compatibility: Compatibility) -> Faults {
        Faults { all: Vec::new(), compatibility, index: None }
    }

    /// From now on faults are those of this item.
    pub(crate) fn at(&mut self, index: Option<usize>) {
        self.index = index;
    }

    pub(crate) fn add(&mut self, field: impl Into<Cow<'static, str>>, message: impl Into<String>) {
        if self.all.len() < Faults::MAX {
            self.all.push(Fault { index: self.index, ..Fault::new(field, message) });
        }
    }

    /// This field is missing, unless it was said already what is wrong with it.
    pub(crate) fn require(&mut self, field: &'static str) {
        let said = |fault: &Fault| fault.index == self.index && fault.field == field;
        if !self.all.iter().any(said) {
            self.add(field, "is required");
        }
    }

    /// What was read, unless something is wrong.
    pub(crate) fn finish<T>(self, read: T) -> Result<T, Problem> {
        if self.all.is_empty() { Ok(read) } else { Err(Problem::invalid(self.all)) }
    }

    /// Goes through an object of these fields; `each` reads the value of one that is not null.
    pub(crate) fn object<'a>(
        &mut self,
        scan: &mut Scan<'a>,
        known: &'static [&'static str],
        mut each: impl FnMut(&mut Faults, &'static str, &mut Scan<'a>) -> Step<()>,
    ) -> Step<()> {
        if scan.kind()? != Kind::Object {
            self.add("", "must be a JSON object");
            return scan.value().map(drop);
        }
        let mut seen = 0u32;
        scan.object(|scan, key| {
            let Some(place) = known.iter().position(|field| *field == key) else {
                self.unknown(&key, known);
                return scan.value().map(drop);
            };
            if seen & 1 << place != 0 {
                self.add(known[place], "is given more than once");
                return scan.value().map(drop);
            }
            seen |= 1 << place;
            if scan.kind()? == Kind::Null {
                return scan.value().map(drop);
            }
            each(self, known[place], scan)
        })
    }

    fn unknown(&mut self, key: &str, known: &[&'static str]) {
        if self.compatibility == Compatibility::Java {
            return;
        }
        let message = match near::nearest(key, known) {
            Some(near) => format!("is not a field here; did you mean {near}?"),
            None => "is not a field here".into(),
        };
        self.add(key.chars().take(100).collect::<String>(), message);
    }

    /// Goes through an array; too long ones and other values are faults.
    pub(crate) fn array<'a>(
        &mut self,
        name: &'static str,
        max: usize,
        scan: &mut Scan<'a>,
        mut each: impl FnMut(&mut Faults, usize, &mut Scan<'a>) -> Step<()>,
    ) -> Step<()> {
        if scan.kind()? != Kind::Array {
            self.add(name, "must be an array");
            return scan.value().map(drop);
        }
        let mut count = 0;
        scan.array(|scan| {
            count += 1;
            if count > max {
                return scan.value().map(drop);
            }
            each(self, count - 1, scan)
        })?;
        if count > max {
            self.add(name, format!("may have at most {max} items"));
        }
        Ok(())
    }

    /// A string of 1 to `max` characters that are no control characters.
    pub(crate) fn name(
        &mut self,
        field: &'static str,
        max: usize,
        scan: &mut Scan<'_>,
    ) -> Step<Option<String>> {
        let Some(text) = self.text(field, scan)? else { return Ok(None) };
        let sound = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !sound || text.chars().count() > max {
            self.add(field, format!("must have 1 to {max} visible characters"));
            return Ok(None);
        }
        Ok(Some(text.into_owned()))
    }

    pub(crate) fn text<'a>(
        &mut self,
        field: &'static str,
        scan: &mut Scan<'a>,
    ) -> Step<Option<Cow<'a, str>>> {
        if scan.kind()? == Kind::Text {
            return scan.string().map(Some);
        }
        self.add(field, "must be a string");
        scan.value().map(|_| None)
    }

    pub(crate) fn flag(&mut self, field: &'static str, scan: &mut Scan<'_>) -> Step<Option<bool>> {
        let is_flag = scan.kind()? == Kind::Flag;
        let raw = scan.value()?;
        if !is_flag {
            self.add(field, "must be true or false");
        }
        Ok(is_flag.then_some(raw == "true"))
    }

    /// A whole number within a range.
    pub(crate) fn integer(
        &mut self,
        field: &'static str,
        range: std::ops::RangeInclusive<u64>,
        scan: &mut Scan<'_>,
    ) -> Step<Option<u64>> {
        let is_number = scan.kind()? == Kind::Number;
        let raw = scan.value()?;
        let number = raw.parse::<u64>().ok().filter(|number| range.contains(number));
        if !is_number || number.is_none() {
            let (from, to) = (range.start(), range.end());
            self.add(field, format!("must be a whole number from {from} to {to}"));
        }
        Ok(number.filter(|_| is_number))
    }
}

/// The body as text; what stands before the first byte of JSON in some editors' files is dropped.
pub(crate) fn as_text(body: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("the body is not UTF-8 from byte {} on", error.valid_up_to());
        Problem::new(problem::MALFORMED, detail)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Where a text is not JSON.
pub(crate) fn malformed(text: &str, error: SyntaxError) -> Problem {
    let before = &text.as_bytes()[..error.at.min(text.len())];
    let lines = before.split(|byte| *byte == b'\n');
    let (line, column) = lines.fold((0, 0), |(count, _), line| (count + 1, line.len() + 1));
    let detail = format!("{} at line {line}, column {column}", error.what);
    Problem::new(problem::MALFORMED, detail)
}
