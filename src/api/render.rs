//! What the engine answered, as an answer to the client.

use std::collections::HashMap;

use super::ask::Ask;
use super::desk::Open;
use super::json::Json;
use super::problem::{self, Problem};
use super::reply::{Reply, ToGate, push_etag};
use super::settings::Compatibility;
use super::view::{lease, task};
use crate::domain::{Task, TaskId};
use crate::persistence::{
    Answer, LeaseReport, Met, Receipt, Refusal, Reported, Seen, WaitId, WorkerSeen,
};
use crate::store::LeaseCount;

/// What is to be done with a settled request.
pub(crate) enum Next {
    /// Send this.
    Reply(Reply),
    /// Nothing live has this id: look in the store.
    Find(TaskId),
    /// Show these tasks as they are now.
    FindAll {
        /// The tasks, in the order of the answer.
        ids: Vec<TaskId>,
        /// Whether any of them is new, or was when the key was first used.
        created: bool,
        /// What they were found by.
        met: Met,
    },
    /// Show these workers, with what they lease.
    Workers(Vec<WorkerSeen>),
}

/// Renders what the engine answered, into `spare`'s room.
pub(crate) fn settled(
    open: &Open,
    answer: Result<Answer, Refusal>,
    ask: Ask,
    spare: Vec<u8>,
) -> Next {
    let reply = match (answer, ask) {
        (Ok(Answer::Stored { tasks, created }), Ask::Submit { .. } | Ask::Batch { .. }) => {
            let tasks: Vec<_> = tasks.iter().map(|task| (task.id, Some(task))).collect();
            stored(open, &tasks, created, ask, spare)
        }
        (Ok(Answer::Known { ids, created, met }), Ask::Submit { .. } | Ask::Batch { .. }) => {
            return Next::FindAll { ids, created, met };
        }
        (Ok(Answer::NotLive), Ask::Show(id)) => return Next::Find(id),
        (Ok(Answer::Seen(seen)), Ask::Show(_)) => shown(open, &seen, spare),
        (Ok(Answer::Done(seen)), Ask::Cancel(_) | Ask::Retry(_) | Ask::Put) => {
            moved(open, 200, &seen, ask, spare)
        }
        (Ok(Answer::Asked(seen)), Ask::Cancel(_) | Ask::Retry(_) | Ask::Put) => {
            moved(open, 202, &seen, ask, spare)
        }
        (Ok(Answer::Leased { wait, tasks }), Ask::Lease) => leased(open, wait, &tasks, spare),
        (Ok(Answer::Waits(WaitId(wait))), Ask::Lease) => {
            Reply { to_gate: Some(ToGate::Park(wait)), ..Reply::empty(204) }
        }
        (Ok(Answer::Reported(fates)), Ask::Report) => {
            let mut json = Json::reusing(spare);
            lease::fates(&mut json, &open.echo, &fates, &open.view(false));
            Reply::new(200, json.into_bytes())
        }
        (Ok(Answer::Workers(seen)), Ask::Workers) => return Next::Workers(seen),
        (Ok(answer), ask) => {
            log::error!("the engine answered {answer:?} to {ask:?}");
            open.problem(&Problem::new(problem::INTERNAL, "the engine answered something else"))
        }
        (Err(refusal), ask) => refused(open, &refusal, ask),
    };
    Next::Reply(reply)
}

/// Renders leases. What finds no room in the answer is released.
fn leased(open: &Open, wait: WaitId, tasks: &[Task], spare: Vec<u8>) -> Reply {
    let engine = &open.desk.engine;
    let mut json = Json::reusing(spare);
    let written = lease::leases(&mut json, tasks, engine.signing_key(), &open.view(true));
    if written < tasks.len() {
        let release = |task: &Task| {
            let (id, epoch) = (task.id, task.state.epoch);
            LeaseReport { id, epoch, what: Reported::Released }
        };
        // Refused: the leases run out, which costs only time.
        engine.report(tasks[written..].iter().map(release).collect(), Receipt::new(|_| ()));
    }
    let to_gate = (written > 0).then_some(ToGate::Deliver(wait.0));
    Reply { to_gate, ..Reply::new(200, json.into_bytes()) }
}

/// Renders workers, and what the store says that they lease.
pub(crate) fn workers(open: &Open, seen: &[WorkerSeen], leased: &[LeaseCount]) -> Reply {
    let mut json = Json::default();
    lease::workers(&mut json, seen, leased, &open.view(false));
    Reply::new(200, json.into_bytes())
}

/// Renders one task as the store has it.
pub(crate) fn found(open: &Open, found: Option<Task>, ask: Ask) -> Reply {
    match found {
        Some(task) => shown_task(open, &task, None, Vec::new()),
        None => refused(open, &Refusal::NotFound, ask),
    }
}

/// Renders the tasks that a submit met, or that its idempotency key led to when it was first used.
/// A task that has been deleted since is shown by its id alone.
pub(crate) fn known(
    open: &Open,
    ids: &[TaskId],
    found: &[Task],
    (created, met): (bool, Met),
    ask: Ask,
) -> Reply {
    let found: HashMap<TaskId, &Task> = found.iter().map(|task| (task.id, task)).collect();
    // An id may stand here twice: two items of a batch with one unique key are one task.
    let tasks: Vec<_> = ids.iter().map(|id| (*id, found.get(id).copied())).collect();
    let reply = stored(open, &tasks, created, ask, Vec::new());
    Reply { replayed: met == Met::IdempotencyKey, ..reply }
}

fn stored(
    open: &Open,
    tasks: &[(TaskId, Option<&Task>)],
    created: bool,
    ask: Ask,
    spare: Vec<u8>,
) -> Reply {
    let mut json = Json::reusing(spare);
    let (Ask::Submit { payloads } | Ask::Batch { payloads }) = ask else {
        return Reply::empty(500);
    };
    let view = open.view(payloads);
    let write = |json: &mut Json, (id, task): &(TaskId, Option<&Task>)| match task {
        Some(task) => task::write(json, task, &view, None),
        None => drop(json.open().key("id").number(id.get()).close()),
    };
    if let (Ask::Submit { .. }, [only]) = (ask, tasks) {
        write(&mut json, only);
        let (location, etag) = (created.then_some(only.0), only.1.map(etag));
        let status = if created { 201 } else { 200 };
        return Reply { location, etag, ..Reply::new(status, json.into_bytes()) };
    }
    json.open_array();
    for task in tasks {
        write(&mut json, task);
    }
    json.close_array();
    Reply::new(201, json.into_bytes())
}

fn shown(open: &Open, seen: &Seen, spare: Vec<u8>) -> Reply {
    shown_task(open, &seen.task, Some(seen.waits_for_worker), spare)
}

fn shown_task(open: &Open, task: &Task, waits: Option<bool>, spare: Vec<u8>) -> Reply {
    let etag = etag(task);
    if open.heads("If-None-Match").any(|sent| names(sent, etag)) {
        return Reply { etag: Some(etag), ..Reply::empty(304) };
    }
    let mut json = Json::reusing(spare);
    task::write(&mut json, task, &open.view(true), waits);
    Reply { etag: Some(etag), ..Reply::new(200, json.into_bytes()) }
}

fn moved(open: &Open, status: u16, seen: &Seen, ask: Ask, spare: Vec<u8>) -> Reply {
    let task = &seen.task;
    let mut json = Json::reusing(spare);
    task::open(&mut json, task, &open.view(true), Some(seen.waits_for_worker));
    let message = match (ask, status) {
        (Ask::Cancel(_), 200) => "Task cancelled",
        (Ask::Cancel(_), _) => "Cancellation requested; the task ends once it has stopped",
        (Ask::Retry(_), 200) => "Task queued for retry",
        (Ask::Retry(_), _) => "Retry requested",
        _ => "",
    };
    if !message.is_empty() {
        json.key("message").text(message).key("taskId").text(&task.id.to_string());
    }
    json.close();
    Reply { etag: Some(etag(task)), ..Reply::new(status, json.into_bytes()) }
}

/// The problem answer, or what the Java system's clients know for a refused cancel or retry.
fn refused(open: &Open, refusal: &Refusal, ask: Ask) -> Reply {
    let java = open.desk.settings.compatibility == Compatibility::Java;
    let settled = matches!(refusal, Refusal::IllegalMove { .. } | Refusal::UniqueTaken(_));
    match ask {
        Ask::Cancel(id) | Ask::Retry(id) if java && settled => {
            let mut json = Json::default();
            json.open().key("error").text(&refusal.to_string());
            json.key("taskId").text(&id.to_string()).close();
            Reply::new(400, json.into_bytes())
        }
        _ => open.problem(&Problem::refused(refusal)),
    }
}

fn etag(task: &Task) -> (crate::domain::Epoch, u32) {
    (task.state.epoch, task.state.version)
}

/// Whether an `If-None-Match` names this state. Weak comparison, as that head asks for.
fn names(sent: &str, etag: (crate::domain::Epoch, u32)) -> bool {
    let mut ours = Vec::with_capacity(24);
    push_etag(&mut ours, etag);
    sent.split(',').map(str::trim).any(|tag| {
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == ours.as_slice()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;

    #[test]
    fn a_state_is_named_strongly_weakly_in_a_list_or_by_a_star() {
        for sent in ["\"3.7\"", "W/\"3.7\"", "\"1.1\", \"3.7\"", "*"] {
            assert!(names(sent, (Epoch(3), 7)), "{sent}");
        }
        for sent in ["", "3.7", "\"3.8\"", "\"3.7"] {
            assert!(!names(sent, (Epoch(3), 7)), "{sent}");
        }
    }
}
