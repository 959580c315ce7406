//! How many tasks there are of each sort, and how the engine is doing now.

use std::collections::BTreeMap;

use super::slots;
use crate::api::exchange::Exchange;
use crate::api::json::Json;
use crate::api::reply::Reply;
use crate::domain::{BandMap, StatusKind, TimeMs};
use crate::engine::Vitals;
use crate::store::{Bucket, Count, Reader, StoreError};

/// Rates that need more than a minute are taken over so many.
const RATE_MINUTES: i64 = 60;

/// What the store knows.
struct Stored {
    counts: Vec<Count>,
    buckets: Vec<Bucket>,
    oldest_free: Option<TimeMs>,
}

/// `GET /api/v1/tasks/statistics`
pub(crate) fn statistics(exchange: Exchange) {
    let now = exchange.open().desk.settings.clock.now();
    exchange.read(
        move |reader| read(reader, now),
        move |open, stored| {
            let vitals = open.desk.engine.vitals();
            Reply::new(200, write(&stored, &vitals, now))
        },
    );
}

fn read(reader: &mut dyn Reader, now: TimeMs) -> Result<Stored, StoreError> {
    let minute = now.minute();
    Ok(Stored {
        counts: reader.counts()?,
        buckets: reader.buckets(minute - RATE_MINUTES..minute)?,
        oldest_free: reader.oldest_free(now)?,
    })
}

fn write(stored: &Stored, vitals: &Vitals, now: TimeMs) -> Vec<u8> {
    let mut json = Json::default();
    json.open();
    write_counts(&mut json, &stored.counts);
    let oldest = stored.oldest_free.into_iter().chain(vitals.oldest_ready_at).min();
    json.key("oldestQueuedAgeMs").number(oldest.map_or(0, |ready| now.since_ms(ready)));
    let ended = |bucket: &Bucket| bucket.completed + bucket.failed;
    let last = stored.buckets.iter().find(|bucket| bucket.minute == now.minute() - 1);
    json.key("tasksPerMinute").number(last.map_or(0, ended));
    let retried: u64 = stored.buckets.iter().map(|bucket| bucket.retried).sum();
    let ended: u64 = stored.buckets.iter().map(ended).sum();
    json.key("retryRate").fraction(share(retried, retried + ended));
    json.key("priorityBound").number(vitals.priority_bound);
    write_cores(&mut json, vitals);
    slots::write(json.key("pool"), &vitals.slots);
    slots::write_breakers(json.key("circuitBreakers"), &vitals.slots);
    json.key("node").text(&vitals.node).key("nodes").number(vitals.nodes.into());
    json.close();
    json.into_bytes()
}

fn write_counts(json: &mut Json, counts: &[Count]) {
    let total = |wanted: &dyn Fn(&Count) -> bool| -> u64 {
        counts.iter().filter(|count| wanted(count)).map(|count| count.tasks).sum()
    };
    json.key("totalTasks").number(total(&|_| true));
    for status in StatusKind::ALL {
        let key = match status {
            StatusKind::Pending => "pendingTasks",
            StatusKind::Scheduled => "scheduledTasks",
            StatusKind::Queued => "queuedTasks",
            StatusKind::Running => "runningTasks",
            StatusKind::Retrying => "retryingTasks",
            StatusKind::Paused => "pausedTasks",
            StatusKind::Completed => "completedTasks",
            StatusKind::Failed => "failedTasks",
            StatusKind::Cancelled => "cancelledTasks",
        };
        json.key(key).number(total(&|count| count.status == status));
    }
    let by_band = BandMap::from_fn(|band| total(&|count| count.band == band));
    let queued = |count: &Count| count.status == StatusKind::Queued;
    let depth = BandMap::from_fn(|band| total(&|count| queued(count) && count.band == band));
    for (key, map) in [("byPriority", by_band), ("queueDepth", depth)] {
        json.key(key).open();
        for (band, tasks) in map.iter() {
            json.key(band.name()).number(*tasks);
        }
        json.close();
    }
    let mut by_type = BTreeMap::<&str, u64>::new();
    for count in counts {
        *by_type.entry(&count.task_type).or_default() += count.tasks;
    }
    json.key("byType").open();
    for (task_type, tasks) in by_type.iter().filter(|(_, tasks)| **tasks > 0) {
        json.key_text(task_type).number(*tasks);
    }
    json.close();
}

fn write_cores(json: &mut Json, vitals: &Vitals) {
    json.key("cores").open_array();
    for (index, core) in vitals.cores.iter().enumerate() {
        json.open().key("core").number(index as u64);
        if let Some(cpu) = core.cpu {
            json.key("cpu").number(cpu as u64);
        }
        // Four digits are more than a share measured over seconds is worth.
        json.key("busyShare").fraction((core.busy_share * 10_000.0).round() / 10_000.0);
        json.key("executed").number(core.executed).key("stolen").number(core.stolen);
        json.key("parked").number(core.parked).close();
    }
    json.close_array();
}

/// `part` of `whole`, to four digits; nought of nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Band;

    #[test]
    fn counts_add_up_by_status_priority_and_type() {
        let count = |status, band, task_type: &str, tasks| Count {
            status,
            band,
            task_type: task_type.into(),
            tasks,
        };
        let counts = [
            count(StatusKind::Queued, Band::High, "A", 3),
            count(StatusKind::Queued, Band::Bulk, "B", 4),
            count(StatusKind::Completed, Band::High, "A", 5),
            count(StatusKind::Failed, Band::Low, "gone", 0),
        ];
        let mut json = Json::default();
        write_counts(json.open(), &counts);
        json.close();
        let told: serde_json::Value = serde_json::from_slice(&json.into_bytes()).unwrap();
        assert_eq!((&told["totalTasks"], &told["queuedTasks"]), (&12.into(), &7.into()));
        assert_eq!(told["byPriority"]["HIGH"], 8);
        assert_eq!(told["queueDepth"]["HIGH"], 3);
        assert_eq!(told["byType"], serde_json::json!({"A": 8, "B": 4}));
    }

    #[test]
    fn a_share_of_nothing_is_nought() {
        assert!(share(0, 0).abs() < f64::EPSILON);
        assert!((share(1, 3) - 0.3333).abs() < 1e-9);
    }
}
