//! The body of a submit, one task or a batch, read into checked submissions.

use std::borrow::Cow;

use rayon::prelude::*;

use super::near;
use super::object::{as_text, malformed};
use crate::api::json::{Kind, Scan, SyntaxError};
use crate::api::problem::{self, Fault, Problem};
use crate::api::settings::Compatibility;
use crate::api::time;
use crate::domain::{Draft, Limits, Payload, Submission};

/// The fields a task may be submitted with; a field's place is its bit among those seen.
pub(crate) const FIELDS: [&str; 12] = [
    "taskName",
    "taskType",
    "priority",
    "payload",
    "description",
    "scheduledTime",
    "executionTimeoutSeconds",
    "maxRetryAttempts",
    "retryDelayMs",
    "retryBackoffMultiplier",
    "tags",
    "uniqueKey",
];

/// Most unknown fields named for one task; who sends more has learned enough.
const UNKNOWN_TOLD_MAX: usize = 16;

/// From this many items on a batch is checked on all threads of the pool.
const PARALLEL_ITEMS_MIN: usize = 256;

/// The rules a body is read under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// What a submission may be at most.
    pub limits: &'a Limits,
    /// Whether unknown fields are passed over.
    pub compatibility: Compatibility,
    /// Most tasks in one batch.
    pub batch_tasks_max: usize,
}

/// How the items of a batch are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One JSON array.
    Array,
    /// One JSON object on each line.
    Lines,
}

/// Reads one task.
pub(crate) fn one(body: &[u8], rules: Rules<'_>) -> Result<Submission, Problem> {
    let text = as_text(body)?;
    let mut scan = Scan::new(text, 0);
    let item = Item::read(&mut scan, rules.compatibility)
        .and_then(|item| scan.end().map(|()| item))
        .map_err(|error| malformed(text, error))?;
    item.check(rules.limits).map_err(refused)
}

/// Reads a batch, all or nothing, on the threads of the pool this is called in.
pub(crate) fn many(
    body: &[u8],
    framing: Framing,
    rules: Rules<'_>,
) -> Result<Vec<Submission>, Problem> {
    let text = as_text(body)?;
    let items = match framing {
        Framing::Array => array_items(text, rules.batch_tasks_max)?,
        Framing::Lines => line_items(text, rules.batch_tasks_max)?,
    };
    // An item of an array is inside that already.
    let depth = u32::from(framing == Framing::Array);
    let read = |(index, item): (usize, &str)| -> Result<Submission, Vec<Fault>> {
        let mut scan = Scan::new(item, depth);
        let read = Item::read(&mut scan, rules.compatibility)
            .and_then(|item| scan.end().map(|()| item))
            .map_err(|error| vec![Fault::new("", format!("is not JSON: {}", error.what))])
            .and_then(|item| item.check(rules.limits));
        read.map_err(|mut faults| {
            for fault in &mut faults {
                fault.index = Some(index);
            }
            faults
        })
    };
    let read: Vec<Result<Submission, Vec<Fault>>> = if items.len() >= PARALLEL_ITEMS_MIN {
        items.par_iter().copied().enumerate().map(read).collect()
    } else {
        items.iter().copied().enumerate().map(read).collect()
    };
    let mut faults = Vec::new();
    let mut submissions = Vec::with_capacity(read.len());
    for item in read {
        match item {
            Ok(submission) => submissions.push(submission),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(submissions) } else { Err(refused(faults)) }
}

/// Payloads that are only too large are 413; anything else wrong makes it 400.
fn refused(faults: Vec<Fault>) -> Problem {
    let only_large = faults
        .iter()
        .all(|fault| fault.field == "payload" && fault.message.starts_with("must be at most"));
    let problem = Problem::invalid(faults);
    if only_large { Problem { kind: problem::TOO_LARGE, ..problem } } else { problem }
}

fn array_items(text: &str, max: usize) -> Result<Vec<&str>, Problem> {
    let mut scan = Scan::new(text, 0);
    let mut items = Vec::new();
    let mut surplus = false;
    let kind = scan.kind().map_err(|error| malformed(text, error))?;
    if kind != Kind::Array {
        let detail = "a batch is an array of tasks, or one task a line as application/x-ndjson";
        return Err(Problem::new(problem::INVALID, detail));
    }
    scan.array(|scan| {
        let item = scan.value()?;
        if items.len() < max {
            items.push(item);
        } else {
            surplus = true;
        }
        Ok(())
    })
    .and_then(|()| scan.end())
    .map_err(|error| malformed(text, error))?;
    if surplus { Err(too_many(max)) } else { Ok(items) }
}

fn line_items(text: &str, max: usize) -> Result<Vec<&str>, Problem> {
    let lines = text.split('\n').filter(|line| !line.trim_ascii().is_empty());
    let items: Vec<&str> = lines.take(max + 1).collect();
    if items.len() > max { Err(too_many(max)) } else { Ok(items) }
}

fn too_many(max: usize) -> Problem {
    Problem::new(problem::TOO_LARGE, format!("a batch holds at most {max} tasks"))
}

/// One task as it was sent, with what is wrong so far.
#[derive(Default)]
struct Item {
    draft: Draft,
    faults: Vec<Fault>,
    seen: u16,
    unknown: usize,
}

type Step<T> = Result<T, SyntaxError>;

impl Item {
    fn read(scan: &mut Scan<'_>, compatibility: Compatibility) -> Step<Item> {
        let mut item = Item::default();
        if scan.kind()? != Kind::Object {
            scan.value()?;
            item.faults.push(Fault::new("", "a task must be a JSON object"));
            return Ok(item);
        }
        scan.object(|scan, key| {
            let Some(place) = FIELDS.iter().position(|field| *field == key) else {
                item.unknown(&key, compatibility);
                return scan.value().map(drop);
            };
            let bit = 1 << place;
            if item.seen & bit != 0 {
                item.fault(FIELDS[place], "is given more than once");
                return scan.value().map(drop);
            }
            item.seen |= bit;
            if scan.kind()? == Kind::Null {
                return scan.value().map(drop);
            }
            item.field(FIELDS[place], scan)
        })?;
        Ok(item)
    }

    fn field(&mut self, name: &'static str, scan: &mut Scan<'_>) -> Step<()> {
        match name {
            "taskName" => self.draft.name = self.text(name, scan)?.map(Cow::into_owned),
            "taskType" => self.draft.task_type = self.text(name, scan)?.map(Cow::into_owned),
            "priority" => self.draft.priority = self.text(name, scan)?.map(Cow::into_owned),
            "description" => self.draft.description = self.text(name, scan)?.map(Cow::into_owned),
            "uniqueKey" => self.draft.unique_key = self.text(name, scan)?.map(Cow::into_owned),
            "payload" => {
                self.draft.payload = Some(match scan.kind()? {
                    Kind::Text => Payload::text(&scan.string()?),
                    _ => Payload::json(scan.value()?),
                });
            }
            "scheduledTime" => {
                if let Some(text) = self.text(name, scan)? {
                    self.draft.scheduled_for = time::parse(&text);
                    if self.draft.scheduled_for.is_none() {
                        self.fault(name, "must be a time like 2025-01-20T10:30:00Z");
                    }
                }
            }
            "executionTimeoutSeconds" => self.draft.timeout_s = self.integer(name, scan)?,
            "maxRetryAttempts" => self.draft.retries_max = self.integer(name, scan)?,
            "retryDelayMs" => self.draft.retry_delay_ms = self.integer(name, scan)?,
            "retryBackoffMultiplier" => {
                let is_number = scan.kind()? == Kind::Number;
                let raw = scan.value()?;
                if is_number {
                    self.draft.retry_multiplier = raw.parse().ok();
                } else {
                    self.fault(name, "must be a number");
                }
            }
            _ => self.tags(scan)?,
        }
        Ok(())
    }

    fn fault(&mut self, field: &'static str, message: &str) {
        self.faults.push(Fault::new(field, message));
    }

    fn unknown(&mut self, key: &str, compatibility: Compatibility) {
        self.unknown += 1;
        if compatibility == Compatibility::Java || self.unknown > UNKNOWN_TOLD_MAX {
            return;
        }
        let message = match near::nearest(key, &FIELDS) {
            Some(near) => format!("is not a field of a task; did you mean {near}?"),
            None => "is not a field of a task".into(),
        };
        let key: String = key.chars().take(100).collect();
        self.faults.push(Fault::new(key, message));
    }

    fn text<'a>(&mut self, name: &'static str, scan: &mut Scan<'a>) -> Step<Option<Cow<'a, str>>> {
        if scan.kind()? == Kind::Text {
            return scan.string().map(Some);
        }
        self.fault(name, "must be a string");
        scan.value().map(|_| None)
    }

    /// A whole number. One beyond 64 bits is brought to the nearest of them, so that the range
    /// check names the limits.
    fn integer(&mut self, name: &'static str, scan: &mut Scan<'_>) -> Step<Option<i64>> {
        let is_number = scan.kind()? == Kind::Number;
        let raw = scan.value()?;
        if !is_number || raw.contains(['.', 'e', 'E']) {
            self.fault(name, "must be a whole number");
            return Ok(None);
        }
        let beyond = if raw.starts_with('-') { i64::MIN } else { i64::MAX };
        Ok(Some(raw.parse().unwrap_or(beyond)))
    }

    fn tags(&mut self, scan: &mut Scan<'_>) -> Step<()> {
        const FIELD: &str = "tags";
        if scan.kind()? != Kind::Object {
            self.fault(FIELD, "must be an object of strings");
            return scan.value().map(drop);
        }
        let mut tags: Vec<(String, String)> = Vec::new();
        let (mut not_text, mut twice) = (false, false);
        scan.object(|scan, key| {
            if scan.kind()? != Kind::Text {
                not_text = true;
                return scan.value().map(drop);
            }
            let value = scan.string()?;
            // One more than are allowed is enough for the check to say so.
            if tags.len() <= 16 {
                twice |= tags.iter().any(|(known, _)| *known == key);
                tags.push((key.into_owned(), value.into_owned()));
            }
            Ok(())
        })?;
        if not_text {
            self.fault(FIELD, "must be an object of strings");
        }
        if twice {
            self.fault(FIELD, "has the same key more than once");
        }
        self.draft.tags_json = Some(tags_json(&tags));
        self.draft.tags = Some(tags);
        Ok(())
    }

    fn check(mut self, limits: &Limits) -> Result<Submission, Vec<Fault>> {
        if self.faults.iter().any(|fault| fault.field.is_empty()) {
            return Err(self.faults);
        }
        let checked = self.draft.check(limits);
        if self.faults.is_empty() && checked.is_ok() {
            return checked.map_err(|_| Vec::new());
        }
        for error in checked.err().into_iter().flatten() {
            // What has the wrong type was not looked at further and is not missing.
            if !self.faults.iter().any(|fault| fault.field == error.field) {
                self.faults.push(Fault::new(error.field, error.message));
            }
        }
        Err(self.faults)
    }
}

/// The tags as one compact JSON object, in the order sent.
fn tags_json(tags: &[(String, String)]) -> String {
    let mut json = crate::api::json::Json::default();
    json.open();
    for (key, value) in tags {
        json.key_text(key).text(value);
    }
    json.close();
    String::from_utf8(json.into_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
