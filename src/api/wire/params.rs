//! The parameters of a URL, read by name and type, with all that is wrong named at once.

use std::borrow::Cow;

use crate::api::problem::{self, Fault, Problem};
use crate::api::time;
use crate::domain::{Band, StatusKind, TimeMs};
use crate::store::{SortField, Sorting};

/// Most parameters looked at.
const PARAMS_MAX: usize = 64;

/// The names users sort by.
pub(crate) const SORTS: [(&str, SortField); 8] = [
    ("id", SortField::Id),
    ("createdAt", SortField::CreatedAt),
    ("updatedAt", SortField::UpdatedAt),
    ("priority", SortField::Priority),
    ("status", SortField::Status),
    ("taskName", SortField::TaskName),
    ("taskType", SortField::TaskType),
    ("nextExecutionTime", SortField::NextExecutionTime),
];

/// The parameters of one URL. One without a value counts as absent, one that is not asked for is
/// passed over.
#[derive(Debug, Default)]
pub(crate) struct Params<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    faults: Vec<Fault>,
}

impl<'a> Params<'a> {
    /// Reads the part of a URL behind the question mark.
    pub(crate) fn read(query: &'a str) -> Result<Params<'a>, Problem> {
        let mut params = Params::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                let detail = "the query has a wrong %-escape or is not UTF-8";
                return Err(Problem::new(problem::INVALID, detail));
            };
            if params.pairs.len() == PARAMS_MAX {
                let detail = format!("the query has more than {PARAMS_MAX} parameters");
                return Err(Problem::new(problem::INVALID, detail));
            }
            params.pairs.push((name, value));
        }
        Ok(params)
    }

    /// Ends the reading: `value`, unless something was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Problem> {
        if self.faults.is_empty() { Ok(value) } else { Err(Problem::invalid(self.faults)) }
    }

    /// Names something wrong.
    pub(crate) fn fault(&mut self, name: &'static str, message: impl Into<String>) {
        self.faults.push(Fault::new(name, message));
    }

    /// Whether a value is given under this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, value)| known == name && !value.is_empty())
    }

    /// Every value that is given under this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let given =
            self.pairs.iter().filter(move |(known, value)| known == name && !value.is_empty());
        given.map(|(_, value)| &**value)
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let mut values =
            self.pairs.iter().filter(|(known, value)| known == name && !value.is_empty());
        let value = values.next().map(|(_, value)| value.clone());
        if values.next().is_some() {
            self.fault(name, "is given more than once");
            return None;
        }
        value
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number(&mut self, name: &'static str, min: u64, max: u64) -> Option<u64> {
        let text = self.text(name)?;
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|n| plain && (min..=max).contains(n));
        if number.is_none() {
            self.fault(name, format!("must be a whole number from {min} to {max}"));
        }
        number
    }

    /// A status.
    pub(crate) fn status(&mut self) -> Option<StatusKind> {
        let parsed = StatusKind::parse(&self.text("status")?);
        parsed.map_err(|error| self.fault("status", error.to_string())).ok()
    }

    /// A priority.
    pub(crate) fn band(&mut self) -> Option<Band> {
        let parsed = Band::parse(&self.text("priority")?);
        parsed.map_err(|error| self.fault("priority", error.to_string())).ok()
    }

    /// A time.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<TimeMs> {
        let mut text = self.text(name)?.into_owned();
        // A plus that was not escaped arrives as a blank: 10:30:00+02:00.
        if let Some(sign) = text.len().checked_sub(6).filter(|at| text.as_bytes()[*at] == b' ') {
            text.replace_range(sign..=sign, "+");
        }
        let time = time::parse(&text);
        if time.is_none() {
            self.fault(name, "must be a time like 2025-01-20T10:30:00Z");
        }
        time
    }

    /// Whether `include` asks for payloads.
    pub(crate) fn payloads(&mut self) -> bool {
        match self.text("include").as_deref() {
            None => false,
            Some("payload") => true,
            Some(_) => {
                self.fault("include", "must be payload");
                false
            }
        }
    }

    /// An order; the newest first where none is asked for.
    pub(crate) fn sorting(&mut self) -> Option<Sorting> {
        let text = self.text("sort")?;
        let (name, direction) = text.split_once(',').unwrap_or((&text, "asc"));
        let field = SORTS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
        if field.is_none() {
            let known: Vec<_> = SORTS.iter().map(|(name, _)| *name).collect();
            self.fault("sort", format!("must name one of {}", known.join(", ")));
        }
        let descending = match direction {
            _ if direction.eq_ignore_ascii_case("asc") => false,
            _ if direction.eq_ignore_ascii_case("desc") => true,
            _ => {
                self.fault("sort", "must have the direction asc or desc");
                return None;
            }
        };
        field.map(|field| Sorting { field, descending })
    }
}

/// Undoes %-escapes and blanks written as plus.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(query: &str, ask: impl FnOnce(&mut Params<'_>)) -> Vec<String> {
        let mut params = Params::read(query).unwrap();
        ask(&mut params);
        let problem = params.finish(()).err();
        problem.into_iter().flat_map(|p| p.faults).map(|f| f.field.into_owned()).collect()
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let wrong = faults("status=DONE&priority=x&page=-1&size=0&sort=age,up&include=all", |p| {
            p.status();
            p.band();
            p.number("page", 0, 9);
            p.number("size", 1, 9);
            p.sorting();
            p.payloads();
        });
        assert_eq!(wrong, ["status", "priority", "page", "size", "sort", "sort", "include"]);
    }

    #[test]
    fn empty_and_unknown_parameters_are_passed_over() {
        let wrong = faults("status=&&page&colour=red&size=007", |p| {
            assert_eq!(p.status(), None);
            assert_eq!(p.number("page", 0, 9), None);
            assert_eq!(p.number("size", 1, 9), Some(7));
        });
        assert!(wrong.is_empty());
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        assert_eq!(faults("page=1&page=2", |p| assert_eq!(p.number("page", 0, 9), None)), ["page"]);
    }

    #[test]
    fn escapes_are_undone_and_a_zone_survives_its_plus() {
        let mut params =
            Params::read("taskType=a%20b%C3%A4+c&at=2025-01-20T12:30:00+02:00").unwrap();
        assert_eq!(params.text("taskType").as_deref(), Some("a bä c"));
        assert_eq!(params.time("at"), Some(TimeMs(1_737_369_000_000)));
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Params::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_direction_left_out_is_ascending() {
        let sorting = |query| Params::read(query).unwrap().sorting().map(|s| s.descending);
        assert_eq!(sorting("sort=id"), Some(false));
        assert_eq!(sorting("sort=id,DESC"), Some(true));
        assert_eq!(sorting("sort=id,"), None);
    }

    proptest! {
        #[test]
        fn no_query_upsets_the_reader(query in "[ -~é&=%+]{0,80}") {
            if let Ok(mut params) = Params::read(&query) {
                params.time("olderThan");
                params.sorting();
                let _ = params.finish(());
            }
        }
    }
}
