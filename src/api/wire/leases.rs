//! The bodies that workers send.

use std::sync::Arc;

use super::object::{Faults, Step, as_text, malformed};
use crate::api::json::{Kind, Scan};
use crate::api::problem::Problem;
use crate::api::settings::Compatibility;
use crate::domain::{Failure, FailureKind, Payload, RetryPolicy};
use crate::persistence::{LeaseAsk, LeaseTypes, Reported};

/// Most leases in one answer and in one report.
pub(crate) const LEASES_MAX: usize = 1000;
/// Most types a worker may name.
const TYPES_MAX: usize = 64;
const TYPE_CHARS_MAX: usize = 100;
const WORKER_CHARS_MAX: usize = 255;
const WAIT_MS_MAX: u64 = 30_000;
const LEASE_MS: std::ops::RangeInclusive<u64> = 1000..=3_600_000;
const LEASE_MS_DEFAULT: u64 = 30_000;

/// The fields of a wish for leases.
pub(crate) const ASK_FIELDS: &[&str] = &["workerId", "taskTypes", "maxTasks", "waitMs", "leaseMs"];
/// The fields of a report; who sends it is wanted of a heartbeat only.
pub(crate) const REPORT_FIELDS: &[&str] = &["workerId", "leases"];

/// Under which rules bodies are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whether unknown fields are passed over.
    pub compatibility: Compatibility,
    /// Longest result, in bytes.
    pub result_bytes_max: usize,
}

/// Which report a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    Heartbeat,
    Complete,
    Fail,
    Release,
}

/// One item of a report; the token is not looked at here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// What the worker shows.
    pub token: String,
    /// What it says.
    pub says: Says,
}

/// What a worker says about one lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Says {
    /// It is at work, this far in percent.
    Alive(Option<u8>),
    /// The attempt is over.
    Over(Reported),
}

/// Reads a wish for leases.
pub(crate) fn lease(body: &[u8], rules: Rules) -> Result<LeaseAsk, Problem> {
    let (mut faults, text) = (Faults::new(rules.compatibility), as_text(body)?);
    let (mut worker, mut types) = (None, Vec::new());
    let (mut tasks_max, mut wait_ms, mut lease_ms) = (None, None, None);
    let mut scan = Scan::new(text, 0);
    faults
        .object(&mut scan, ASK_FIELDS, |faults, field, scan| {
            match field {
                "workerId" => worker = faults.name(field, WORKER_CHARS_MAX, scan)?,
                "taskTypes" => types = type_names(faults, scan)?,
                "maxTasks" => tasks_max = faults.integer(field, 1..=LEASES_MAX as u64, scan)?,
                "waitMs" => wait_ms = faults.integer(field, 0..=WAIT_MS_MAX, scan)?,
                _ => lease_ms = faults.integer(field, LEASE_MS, scan)?,
            }
            Ok(())
        })
        .and_then(|()| scan.end())
        .map_err(|error| malformed(text, error))?;
    if worker.is_none() {
        faults.require("workerId");
    }
    let types = if types.is_empty() { LeaseTypes::EveryRemote } else { LeaseTypes::These(types) };
    faults.finish(LeaseAsk {
        worker: worker.unwrap_or_default().into(),
        types,
        tasks_max: tasks_max.unwrap_or(1) as u32,
        lease_ms: lease_ms.unwrap_or(LEASE_MS_DEFAULT),
        wait_ms: wait_ms.unwrap_or(0),
    })
}

fn type_names(faults: &mut Faults, scan: &mut Scan<'_>) -> Step<Vec<Arc<str>>> {
    let mut types: Vec<Arc<str>> = Vec::new();
    faults.array("taskTypes", TYPES_MAX, scan, |faults, _, scan| {
        if let Some(name) = faults.name("taskTypes", TYPE_CHARS_MAX, scan)?
            && !types.iter().any(|known| **known == *name)
        {
            types.push(name.into());
        }
        Ok(())
    })?;
    Ok(types)
}

/// Reads a report: who sends it, where that is told, and its items.
pub(crate) fn report(
    body: &[u8],
    report: Report,
    rules: Rules,
) -> Result<(Option<String>, Vec<Item>), Problem> {
    let (mut faults, text) = (Faults::new(rules.compatibility), as_text(body)?);
    let (mut worker, mut items) = (None, None);
    let mut scan = Scan::new(text, 0);
    faults
        .object(&mut scan, REPORT_FIELDS, |faults, field, scan| {
            if field == "workerId" {
                worker = faults.name(field, WORKER_CHARS_MAX, scan)?;
                return Ok(());
            }
            let mut list = Vec::new();
            faults.array(field, LEASES_MAX, scan, |faults, index, scan| {
                faults.at(Some(index));
                list.push(item(faults, report, rules, scan)?);
                faults.at(None);
                Ok(())
            })?;
            items = Some(list);
            Ok(())
        })
        .and_then(|()| scan.end())
        .map_err(|error| malformed(text, error))?;
    if items.is_none() {
        faults.require("leases");
    }
    if report == Report::Heartbeat && worker.is_none() {
        faults.require("workerId");
    }
    faults.finish((worker, items.unwrap_or_default()))
}

/// The fields of one item of a report.
pub(crate) fn item_fields(report: Report) -> &'static [&'static str] {
    match report {
        Report::Heartbeat => &["leaseToken", "progress"],
        Report::Complete => &["leaseToken", "result"],
        Report::Fail => &["leaseToken", "error", "retryable", "retryAfterMs"],
        Report::Release => &["leaseToken"],
    }
}

fn item(faults: &mut Faults, report: Report, rules: Rules, scan: &mut Scan<'_>) -> Step<Item> {
    let (mut token, mut progress, mut result) = (None, None, None);
    let (mut error, mut retryable, mut retry_after_ms) = (None, None, None);
    faults.object(scan, item_fields(report), |faults, field, scan| {
        match field {
            "leaseToken" => token = faults.text(field, scan)?.map(String::from),
            "progress" => progress = faults.integer(field, 0..=100, scan)?,
            "result" => result = read_result(faults, rules, scan)?,
            "error" => error = faults.text(field, scan)?.map(String::from),
            "retryable" => retryable = faults.flag(field, scan)?,
            _ => {
                let range = 0..=RetryPolicy::DELAY_MAX_MS;
                retry_after_ms = faults.integer(field, range, scan)?;
            }
        }
        Ok(())
    })?;
    if token.is_none() {
        faults.require("leaseToken");
    }
    let says = match report {
        Report::Heartbeat => Says::Alive(progress.map(|percent| percent as u8)),
        Report::Complete => Says::Over(Reported::Done(result)),
        Report::Release => Says::Over(Reported::Released),
        Report::Fail => {
            let again = retryable.unwrap_or(true);
            let kind = if again { FailureKind::Error } else { FailureKind::Permanent };
            let message = error.as_deref().unwrap_or("the worker gave no reason");
            let failure = Failure { retry_after_ms, ..Failure::new(kind, message) };
            Says::Over(Reported::Failed(failure))
        }
    };
    Ok(Item { token: token.unwrap_or_default(), says })
}

fn read_result(faults: &mut Faults, rules: Rules, scan: &mut Scan<'_>) -> Step<Option<Payload>> {
    let result = match scan.kind()? {
        Kind::Text => Payload::text(&scan.string()?),
        _ => Payload::json(scan.value()?),
    };
    if result.len() > rules.result_bytes_max {
        faults.add("result", format!("must be at most {} bytes", rules.result_bytes_max));
        return Ok(None);
    }
    Ok(Some(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { compatibility: Compatibility::Own, result_bytes_max: 10 };

    fn faults(problem: Problem) -> Vec<(Option<usize>, String)> {
        problem.faults.iter().map(|f| (f.index, f.field.to_string())).collect()
    }

    #[test]
    fn a_wish_has_defaults_for_all_but_its_worker() {
        let ask = lease(br#"{"workerId":"w","taskTypes":null}"#, RULES).unwrap();
        let expected = LeaseAsk {
            worker: "w".into(),
            types: LeaseTypes::EveryRemote,
            tasks_max: 1,
            lease_ms: 30_000,
            wait_ms: 0,
        };
        assert_eq!(ask, expected);
        let full = br#"{"workerId":"w","taskTypes":["A","B","A"],"maxTasks":1000,"waitMs":30000,
            "leaseMs":1000}"#;
        let ask = lease(full, RULES).unwrap();
        assert_eq!(ask.types, LeaseTypes::These(vec!["A".into(), "B".into()]));
        assert_eq!((ask.tasks_max, ask.wait_ms, ask.lease_ms), (1000, 30_000, 1000));
    }

    #[test]
    fn everything_wrong_with_a_body_is_told_at_once() {
        let body =
            br#"{"worker":"w","taskTypes":["",7],"maxTasks":0,"waitMs":30001,"leaseMs":1.5}"#;
        let told = faults(lease(body, RULES).unwrap_err());
        let fields = ["worker", "taskTypes", "taskTypes", "maxTasks", "waitMs", "leaseMs"];
        let expected = fields.iter().chain(&["workerId"]).map(|f| (None, (*f).to_owned()));
        assert_eq!(told, expected.collect::<Vec<_>>());
        let body =
            br#"{"leases":[{"leaseToken":"t","retryable":1},7,{"error":"e","retryAfterMs":-1}]}"#;
        let told = faults(report(body, Report::Fail, RULES).unwrap_err());
        let fields = [(0, "retryable"), (1, ""), (1, "leaseToken"), (2, "retryAfterMs")];
        let expected = fields.iter().chain(&[(2, "leaseToken")]);
        let expected = expected.map(|(index, field)| (Some(*index), (*field).to_owned()));
        assert_eq!(told, expected.collect::<Vec<_>>());
        for text in ["", "[]", "{\"leases\":[", "{} x"] {
            assert!(report(text.as_bytes(), Report::Release, RULES).is_err(), "{text}");
        }
        let many = format!("{{\"leases\":[{}]}}", vec!["{\"leaseToken\":\"t\"}"; 1001].join(","));
        assert!(report(many.as_bytes(), Report::Release, RULES).is_err());
    }

    #[test]
    fn results_and_failures_are_read_as_they_were_sent() {
        let read = |body: &str, kind| report(body.as_bytes(), kind, RULES).unwrap().1;
        let items = read(
            r#"{"leases":[{"leaseToken":"a","result":"r"},{"leaseToken":"b","result":{ "n":1}},
                {"leaseToken":"c","result":null}]}"#,
            Report::Complete,
        );
        let done = |result| Says::Over(Reported::Done(result));
        let says: Vec<_> = items.into_iter().map(|item| item.says).collect();
        let expected = [Some(Payload::text("r")), Some(Payload::json("{ \"n\":1}")), None];
        assert_eq!(says, expected.map(done));
        let items = read(
            r#"{"leases":[{"leaseToken":"a","error":"e","retryable":false,"retryAfterMs":7}]}"#,
            Report::Fail,
        );
        let Says::Over(Reported::Failed(failure)) = &items[0].says else { panic!("{items:?}") };
        assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Permanent, Some(7)));
        let long = r#"{"leases":[{"leaseToken":"a","result":"01234567890"}]}"#;
        assert!(report(long.as_bytes(), Report::Complete, RULES).is_err());
    }
}
