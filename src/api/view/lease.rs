//! Leases and workers as JSON.

use std::collections::BTreeMap;

use super::{View, task};
use crate::api::json::Json;
use crate::api::time::write_time;
use crate::api::token::Echo;
use crate::domain::{LeaseToken, Task, TimeMs};
use crate::persistence::{LeaseFate, WorkerSeen};
use crate::store::LeaseCount;

/// No answer holds more, but for the one task that goes over it.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Writes leases, as many as an answer holds, and says how many that was.
pub(crate) fn leases(json: &mut Json, tasks: &[Task], key: &[u8; 16], view: &View<'_>) -> usize {
    json.open().key("leases").open_array();
    let mut written = 0;
    for leased in tasks {
        let mark = json.mark();
        json.open().key("leaseToken").text(&LeaseToken::of(leased).write(key));
        if let Some(ends) = leased.lease_ends() {
            write_time(json.key("expiresAt"), ends, view.style());
        }
        json.key("task");
        task::write(json, leased, view, Some(false));
        json.close();
        if written > 0 && json.len() > ANSWER_BYTES_MAX {
            json.back_to(mark);
            break;
        }
        written += 1;
    }
    json.close_array().close();
    written
}

/// Writes how the items of a report fared; those whose token was not ours are lost.
pub(crate) fn fates(json: &mut Json, echo: &[Echo], fates: &[LeaseFate], view: &View<'_>) {
    let mut fates = fates.iter();
    json.open().key("leases").open_array();
    for Echo { token, known } in echo {
        let fate = known.and_then(|_| fates.next()).unwrap_or(&LeaseFate::Lost);
        json.open().key("leaseToken").text(token);
        match fate {
            LeaseFate::Kept => drop(json.key("ok").flag(true)),
            LeaseFate::Lost => drop(json.key("lost").flag(true)),
            LeaseFate::Renewed(beaten) => {
                write_time(json.key("expiresAt"), beaten.ends, view.style());
                json.key("cancelRequested").flag(beaten.cancel_requested);
            }
        }
        json.close();
    }
    json.close_array().close();
}

/// Writes the workers this node has heard of, and those the store knows of, with what they lease.
pub(crate) fn workers(
    json: &mut Json,
    seen: &[WorkerSeen],
    leased: &[LeaseCount],
    view: &View<'_>,
) {
    #[derive(Default)]
    struct Worker<'a> {
        seen: Option<&'a WorkerSeen>,
        leases: Vec<&'a LeaseCount>,
    }
    let mut all: BTreeMap<&str, Worker<'_>> = BTreeMap::new();
    for worker in seen {
        all.entry(&worker.worker).or_default().seen = Some(worker);
    }
    for count in leased {
        all.entry(&count.worker).or_default().leases.push(count);
    }
    json.open().key("workers").open_array();
    for (name, worker) in all {
        json.open().key("workerId").text(name);
        if let Some(seen) = worker.seen {
            write_time(json.key("lastSeen"), seen.last_seen, view.style());
        }
        json.key("waiting").number(worker.seen.map_or(0, |seen| seen.waiting.into()));
        let first: Option<TimeMs> = worker.leases.iter().map(|count| count.until).min();
        json.key("leased").number(worker.leases.iter().map(|count| count.tasks).sum());
        if let Some(first) = first {
            write_time(json.key("firstExpiresAt"), first, view.style());
        }
        json.key("byType").open();
        for count in &worker.leases {
            json.key_text(&count.task_type).number(count.tasks);
        }
        json.close().close();
    }
    json.close_array().close();
}
