//! The ledger: what was asked of the server, how that ended, and whether the server kept to it.
//!
//! It lives outside the server, so it survives every kill. An entry is one task by its name, which
//! only this test gives, so a task found later can be matched even if its answer was lost.

use std::collections::HashMap;

use serde_json::Value;

/// How a submit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// 2xx with this id: it must exist, once, and end.
    Acknowledged(u64),
    /// Surely not accepted: it must not exist.
    Refused,
    /// Nobody knows: it may exist, once.
    Unknown,
}

/// What is known about a cancel that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    NotAsked,
    /// 200: it is CANCELLED now and for ever.
    Done,
    /// 202, 409 or no answer: any end is right.
    Open,
}

/// How often an attempt of this task may fail by its own doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries(pub u32);

#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub task_type: &'static str,
    pub fate: Fate,
    pub cancel: Cancel,
    pub retries: Retries,
    /// A terminal status that somebody was shown.
    pub seen_ended: Option<String>,
    /// How many kills there had been when it was sent.
    pub kills_before: u64,
    /// The number of the request it was sent with: its entries stand or fall together.
    pub request: u64,
}

/// A task as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub id: u64,
    pub name: String,
    pub status: String,
    pub epoch: u64,
    pub retries: u64,
    /// What went wrong last, if anything did.
    pub error: Option<String>,
}

impl Found {
    pub fn from_json(task: &Value) -> Found {
        let number = |key: &str| task[key].as_u64();
        Found {
            id: number("id").unwrap_or_else(|| panic!("no id in {task}")),
            name: task["taskName"].as_str().expect("a taskName").to_owned(),
            status: task["status"].as_str().expect("a status").to_owned(),
            epoch: number("epoch").unwrap_or(0),
            retries: number("currentRetryCount").unwrap_or(0),
            error: task["lastErrorMessage"].as_str().map(str::to_owned),
        }
    }

    pub fn ended(&self) -> bool {
        is_terminal(&self.status)
    }
}

pub fn is_terminal(status: &str) -> bool {
    matches!(status, "COMPLETED" | "FAILED" | "CANCELLED")
}

/// What the server did other than it had said; empty is right.
pub fn breaches(entries: &[Entry], found: &[Found], kills: u64) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut by_name: HashMap<&str, Vec<&Found>> = HashMap::new();
    let mut names_of_ids: HashMap<u64, &str> = HashMap::new();
    for task in found {
        by_name.entry(&task.name).or_default().push(task);
        if let Some(other) = names_of_ids.insert(task.id, &task.name) {
            breaches.push(format!("id {} is both {other} and {}", task.id, task.name));
        }
    }
    let mut requests: HashMap<u64, [usize; 2]> = HashMap::new();
    for entry in entries {
        let tasks = by_name.remove(entry.name.as_str()).unwrap_or_default();
        requests.entry(entry.request).or_default()[usize::from(!tasks.is_empty())] += 1;
        if tasks.len() > 1 {
            breaches.push(format!("{} exists {} times", entry.name, tasks.len()));
        }
        match (entry.fate, tasks.first()) {
            (Fate::Acknowledged(id), None) => {
                breaches.push(format!("{} was acknowledged as {id} and is lost", entry.name));
            }
            (Fate::Acknowledged(id), Some(task)) if task.id != id => {
                breaches.push(format!("{} is {} and was {id}", entry.name, task.id));
            }
            (Fate::Refused, Some(task)) => {
                breaches.push(format!("{} was refused and is {}", entry.name, task.id));
            }
            _ => {}
        }
        if let Some(task) = tasks.first() {
            breaches.extend(end_breach(entry, task));
            breaches.extend(claim_breach(entry, task, kills));
        }
    }
    for [absent, present] in requests.into_values() {
        if absent > 0 && present > 0 {
            breaches.push(format!("of one batch {present} exist and {absent} do not"));
        }
    }
    breaches.extend(by_name.into_keys().map(|name| format!("{name} was never sent")));
    breaches
}

fn end_breach(entry: &Entry, task: &Found) -> Option<String> {
    let name = &entry.name;
    if !task.ended() {
        return Some(format!("{name} has not ended: {}", task.status));
    }
    if entry.seen_ended.as_ref().is_some_and(|seen| *seen != task.status) {
        return Some(format!("{name} was shown {:?} and is {}", entry.seen_ended, task.status));
    }
    let cancelled = task.status == "CANCELLED";
    match entry.cancel {
        Cancel::Done if !cancelled => Some(format!("{name} was cancelled and is {}", task.status)),
        Cancel::NotAsked if task.status != "COMPLETED" && !is_unlucky(entry, task) => {
            let kind = entry.task_type;
            Some(format!("{name}, a {kind}, should have completed: {task:?}"))
        }
        _ => None,
    }
}

/// A task that takes its time can be hit in so many lives that it looks like their cause. That
/// needs a crash that makes it suspect, one that sets it apart, and three while it runs alone.
pub fn is_unlucky(entry: &Entry, task: &Found) -> bool {
    let blamed = task.error.as_ref().is_some_and(|error| error.contains("crashed"));
    entry.task_type == "SLEEP" && task.status == "FAILED" && blamed && task.epoch > 5
}

/// Each claim raises the epoch; claims come from the first start, own failures and crashes. Taking
/// a task away from the core that runs it raises it too.
fn claim_breach(entry: &Entry, task: &Found, kills: u64) -> Option<String> {
    let cancels = u64::from(entry.cancel != Cancel::NotAsked);
    let bound = 1 + u64::from(entry.retries.0) + (kills - entry.kills_before) + cancels;
    (task.epoch > bound).then(|| {
        let Found { epoch, status, retries, .. } = task;
        let name = &entry.name;
        format!("{name} has epoch {epoch} over {bound}: {status}, {retries} retries, {entry:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, fate: Fate) -> Entry {
        Entry {
            name: name.to_owned(),
            task_type: "NOOP",
            fate,
            cancel: Cancel::NotAsked,
            retries: Retries(0),
            seen_ended: None,
            kills_before: 0,
            request: name.len() as u64,
        }
    }

    fn task(id: u64, name: &str, status: &str) -> Found {
        let (name, status) = (name.to_owned(), status.to_owned());
        Found { id, name, status, epoch: 1, retries: 0, error: None }
    }

    fn one(entry: Entry, found: &[Found]) -> usize {
        breaches(&[entry], found, 1).len()
    }

    #[test]
    fn the_ledger_sees_every_breach_it_is_there_for() {
        let acked = entry("a", Fate::Acknowledged(1));
        let good = [task(1, "a", "COMPLETED")];
        assert_eq!(one(acked.clone(), &good), 0);
        assert_eq!(one(acked.clone(), &[]), 1, "lost");
        assert_eq!(one(acked.clone(), &[task(2, "a", "COMPLETED")]), 1, "another id");
        assert_eq!(one(acked.clone(), &[task(1, "a", "RUNNING")]), 1, "not ended");
        assert_eq!(one(acked.clone(), &[task(1, "a", "FAILED")]), 1, "the wrong end");
        let twice = [task(1, "a", "COMPLETED"), task(2, "a", "COMPLETED")];
        assert_eq!(one(acked.clone(), &twice), 1, "twice");
        let shared = [task(1, "a", "COMPLETED"), task(1, "b", "COMPLETED")];
        assert_eq!(one(acked.clone(), &shared), 2, "an id used again, and a stranger");
        let shown = Entry { seen_ended: Some("FAILED".into()), ..acked.clone() };
        assert_eq!(one(shown, &good), 1, "a second terminal status");
        let cancelled = Entry { cancel: Cancel::Done, ..acked.clone() };
        assert_eq!(one(cancelled, &good), 1, "cancelled, and yet completed");
        let blamed = Found { epoch: 6, error: Some("crashed 3 times".into()), ..good[0].clone() };
        let blamed = Found { status: "FAILED".into(), ..blamed };
        let sleeper = Entry { task_type: "SLEEP", ..acked.clone() };
        let early = [Found { epoch: 5, ..blamed.clone() }];
        let blamed = [blamed];
        let ends = |entry: &Entry, found: &[Found]| end_breach(entry, &found[0]).is_some();
        assert!(!ends(&sleeper, &blamed), "bad luck");
        assert!(ends(&acked, &blamed), "no time to be hit");
        assert!(ends(&sleeper, &early), "blamed too early");
        let many = Found { epoch: 3, ..good[0].clone() };
        assert_eq!(one(acked, &[many]), 1, "more claims than crashes explain");
        assert_eq!(one(entry("a", Fate::Refused), &good), 1, "refused, and yet there");
        assert_eq!(one(entry("a", Fate::Unknown), &good), 0);
        assert_eq!(one(entry("a", Fate::Unknown), &[]), 0);
        let half = [entry("a", Fate::Unknown), entry("b", Fate::Unknown)];
        assert_eq!(breaches(&half, &good, 1).len(), 1, "half a batch");
    }
}
