//! Which measure has which name. `tuning/metrics.md` lists them for people; a test holds the two
//! against each other.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;

use super::sheet::{Sheet, Unit};
use crate::api::gate::GateCounters;
use crate::api::ops::slots::waiting;
use crate::api::settings::ApiSettings;
use crate::api::traffic::Traffic;
use crate::domain::{Band, BreakerState, FailureKind};
use crate::engine::{Measures, Phase, SlotVitals};
use crate::persistence::{Books, Row};
use crate::store::Connections;
use crate::store::redis::Level2Vitals;

/// Everything, as of now.
pub(super) fn collect(
    measures: &Measures,
    traffic: &Traffic,
    settings: &ApiSettings,
) -> Vec<MetricFamily> {
    let mut sheet = Sheet::default();
    tasks(&mut sheet, &measures.books);
    times(&mut sheet, &measures.books);
    queue(&mut sheet, measures);
    cores(&mut sheet, measures);
    slots(&mut sheet, &measures.vitals.slots);
    store(&mut sheet, measures);
    if let Some(level2) = &measures.vitals.level2 {
        redis(&mut sheet, level2);
    }
    if let Some(gate) = &settings.gate {
        front(&mut sheet, gate);
    }
    requests(&mut sheet, traffic);
    node(&mut sheet, measures, settings);
    sheet.extend(PROCESS.collect());
    sheet.into_families()
}

/// Reads the process's own figures when it is asked for them.
static PROCESS: LazyLock<ProcessCollector> = LazyLock::new(ProcessCollector::for_self);

fn tasks(sheet: &mut Sheet, books: &Books) {
    let all = || {
        let rows = books.named().flat_map(|(name, place)| {
            Band::ALL.map(|band| (name, band.name(), &books.rows[place][band]))
        });
        rows.filter(|(.., row)| **row != Row::default())
    };
    let mut plain = |name, help, value: fn(&Row) -> u64| {
        let mut rows = sheet.counter(name, help);
        for (task_type, band, row) in all() {
            rows.count(&[("band", band), ("type", task_type)], value(row));
        }
    };
    plain("taskscheduler_tasks_submitted_total", "Tasks stored.", |row| row.submitted);
    plain("taskscheduler_tasks_started_total", "Attempts started.", |row| row.started);
    plain("taskscheduler_tasks_revived_total", "Ended tasks queued again.", |row| row.revived);
    let mut rows = sheet.counter("taskscheduler_tasks_finished_total", "Tasks ended.");
    for (task_type, band, row) in all() {
        for (outcome, count) in
            [("completed", row.completed), ("failed", row.failed), ("cancelled", row.cancelled)]
        {
            let labels = [("outcome", outcome), ("band", band), ("type", task_type)];
            rows.count(&labels, count);
        }
    }
    let mut rows =
        sheet.counter("taskscheduler_tasks_retried_total", "Attempts that will be repeated.");
    for (task_type, band, row) in all() {
        for (kind, count) in FailureKind::ALL.into_iter().zip(row.retried) {
            if count > 0 {
                let labels = [("outcome", kind.name()), ("band", band), ("type", task_type)];
                rows.count(&labels, count);
            }
        }
    }
    sheet
        .counter("taskscheduler_tasks_poisoned_total", "Tasks that brought servers down, ended.")
        .count(&[], books.poisoned);
    let mut rows =
        sheet.counter("taskscheduler_type_run_seconds_total", "Time in attempts of a type.");
    for (name, place) in books.named() {
        rows.row(&[("type", name)], books.type_run_us[place] as f64 / 1e6);
    }
}

fn times(sheet: &mut Sheet, books: &Books) {
    let tables = [
        ("taskscheduler_task_wait_seconds", "Ready until started.", &books.wait),
        ("taskscheduler_task_run_seconds", "One attempt.", &books.run),
        (
            "taskscheduler_task_end_to_end_seconds",
            "From the submit, or the time asked for, to the end of a completed task.",
            &books.end_to_end,
        ),
    ];
    for (name, help, table) in tables {
        let mut rows = sheet.histogram(name, help);
        for band in Band::ALL {
            rows.bars(&[("band", band.name())], &table[band.rank()], Unit::Micros);
        }
    }
    sheet.histogram("taskscheduler_batch_tasks", "Changes of tasks in one batch.").bars(
        &[],
        &books.batch_tasks,
        Unit::Things,
    );
    sheet
        .histogram("taskscheduler_commit_seconds", "From handing a batch over to its answer.")
        .bars(&[], &books.commit, Unit::Micros);
}

fn queue(sheet: &mut Sheet, measures: &Measures) {
    let (view, vitals) = (&measures.view, &measures.vitals);
    let mut rows = sheet.gauge("taskscheduler_queue_depth", "Ready or running tasks in memory.");
    for (band, depth) in view.depth.iter() {
        rows.count(&[("band", band.name())], *depth as u64);
    }
    let mut rows =
        sheet.gauge("taskscheduler_queue_oldest_seconds", "Longest wait of a ready task.");
    for (band, ms) in view.oldest_ms.iter() {
        rows.row(&[("band", band.name())], *ms as f64 / 1000.0);
    }
    let mut rows =
        sheet.counter("taskscheduler_stale_total", "Reports and changes of an older claim.");
    rows.count(&[("what", "report")], view.stale_reports);
    rows.count(&[("what", "change")], view.stale_changes);
    for (name, help, value) in [
        ("taskscheduler_tasks_in_memory", "Tasks this node holds.", view.held as u64),
        ("taskscheduler_tasks_sleeping", "Attempts that only wait.", view.sleeping as u64),
        ("taskscheduler_mailbox_messages", "Requests waiting for the writer.", vitals.mailbox),
        ("taskscheduler_mailbox_capacity", "Most that may wait.", vitals.mailbox_max),
    ] {
        sheet.gauge(name, help).count(&[], value);
    }
}

fn cores(sheet: &mut Sheet, measures: &Measures) {
    let count = measures.vitals.cores.len();
    sheet.gauge("taskscheduler_cores", "Engine cores.").count(&[], count as u64);
    // The seats behind those of the cores are for threads that take over from a stuck one.
    let used = |seat: &usize| *seat < count || measures.cores[*seat].taken > 0;
    let seats: Vec<usize> = (0..measures.cores.len()).filter(used).collect();
    let mut column = |name, help, value: &dyn Fn(usize) -> f64| {
        let mut rows = sheet.counter(name, help);
        for seat in &seats {
            rows.row(&[("core", &seat.to_string())], value(*seat));
        }
    };
    let of = |seat: usize| &measures.cores[seat];
    column("taskscheduler_core_busy_seconds_total", "Time inside handlers.", &|seat| {
        of(seat).busy_us as f64 / 1e6
    });
    column("taskscheduler_core_executed_total", "Tickets taken.", &|seat| of(seat).taken as f64);
    column("taskscheduler_core_stolen_total", "Tickets taken from another core.", &|seat| {
        of(seat).stolen as f64
    });
    column("taskscheduler_core_parked_total", "Times it went to sleep.", &|seat| {
        of(seat).parked as f64
    });
}

fn slots(sheet: &mut Sheet, slots: &SlotVitals) {
    if slots.lines.is_empty() {
        return;
    }
    let waiting = slots.lines.iter().map(waiting).sum();
    for (name, help, value) in [
        ("taskscheduler_pool_threads", "Threads for what blocks.", slots.crew.threads as u64),
        ("taskscheduler_pool_busy", "Of these, in an attempt.", slots.crew.running as u64),
        ("taskscheduler_pool_stuck", "Threads in given-up attempts.", slots.crew.stuck as u64),
        ("taskscheduler_pool_queued", "Attempts that wait in memory.", waiting),
    ] {
        sheet.gauge(name, help).count(&[], value);
    }
    let help = "Where a breaker stands: 0 closed, 1 half-open, 2 open.";
    let mut rows = sheet.gauge("taskscheduler_breaker_state", help);
    for breaker in &slots.breakers {
        let state = match breaker.state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen { .. } => 1,
            BreakerState::Open { .. } => 2,
        };
        rows.count(&[("type", &breaker.name)], state);
    }
    let mut rows = sheet.counter("taskscheduler_breaker_opened_total", "Times a breaker opened.");
    for breaker in &slots.breakers {
        rows.count(&[("type", &breaker.name)], breaker.opened);
    }
}

fn store(sheet: &mut Sheet, measures: &Measures) {
    let (vitals, books) = (&measures.vitals, &measures.books);
    let up = u64::from(vitals.store.is_up);
    sheet.gauge("taskscheduler_store_up", "Whether the store answers.").count(&[], up);
    sheet
        .counter("taskscheduler_store_errors_total", "Batches that did not get through.")
        .count(&[], books.commit_errors);
    sheet
        .counter("taskscheduler_store_read_errors_total", "Questions the store did not answer.")
        .count(&[], vitals.reads.failed);
    sheet.histogram("taskscheduler_store_read_seconds", "One question on a read thread.").bars(
        &[],
        &measures.reads,
        Unit::Micros,
    );
    sheet
        .gauge("taskscheduler_store_reads_waiting", "Questions waiting for a read thread.")
        .count(&[], measures.reads_waiting as u64);
    let mut rows = sheet.counter("taskscheduler_task_reads_total", "Reads of one task.");
    let reads = &vitals.reads;
    for (level, count) in [("memory", reads.memory), ("redis", reads.redis), ("store", reads.store)]
    {
        rows.count(&[("level", level)], count);
    }
    if let Some(Connections { busy, idle }) = measures.connections {
        let help = "Connections to PostgreSQL that readers share.";
        let mut rows = sheet.gauge("taskscheduler_store_connections", help);
        rows.count(&[("state", "busy")], busy.into());
        rows.count(&[("state", "idle")], idle.into());
    }
    let Some(disk) = vitals.disk else { return };
    for (name, help, bytes) in [
        ("taskscheduler_disk_free_bytes", "Free space where the store is.", disk.free_bytes),
        ("taskscheduler_disk_total_bytes", "All space where the store is.", disk.total_bytes),
        ("taskscheduler_disk_reserve_bytes", "With less free, none is taken.", disk.limit_bytes),
    ] {
        sheet.gauge(name, help).count(&[], bytes);
    }
}

fn redis(sheet: &mut Sheet, level2: &Level2Vitals) {
    let up = u64::from(level2.is_up);
    sheet.gauge("taskscheduler_redis_up", "Whether Redis answers.").count(&[], up);
    sheet.histogram("taskscheduler_redis_seconds", "One exchange with Redis.").bars(
        &[],
        &level2.took,
        Unit::Micros,
    );
    sheet
        .counter("taskscheduler_redis_errors_total", "Failed exchanges and connections.")
        .count(&[], level2.counted.failures);
    let counted = &level2.counted;
    let name = "taskscheduler_redis_hints_total";
    let mut rows = sheet.counter(name, "Ids of free tasks, put, taken, and claimed by them.");
    rows.count(&[("what", "put")], counted.hints_put);
    rows.count(&[("what", "taken")], counted.hints_taken);
    rows.count(&[("what", "claimed")], counted.hints_claimed);
    let name = "taskscheduler_redis_notices_total";
    let mut rows = sheet.counter(name, "Notices between nodes.");
    rows.count(&[("way", "sent")], counted.notices_sent);
    rows.count(&[("way", "heard")], counted.notices_heard);
    let mut rows = sheet.gauge("taskscheduler_redis_connections", "Connections to Redis.");
    let busy = level2.connections.saturating_sub(level2.idle);
    rows.count(&[("state", "busy")], busy.into());
    rows.count(&[("state", "idle")], level2.idle.into());
}

fn front(sheet: &mut Sheet, gate: &GateCounters) {
    for (name, help, value) in [
        ("taskscheduler_gate_connections", "Client connections.", gate.connections()),
        ("taskscheduler_gate_backends", "Connections to tiny_http.", gate.backends()),
        ("taskscheduler_gate_buffered_bytes", "Bytes in buffers.", gate.buffered_bytes()),
    ] {
        sheet.gauge(name, help).count(&[], value as u64);
    }
    for (name, help, value) in [
        ("taskscheduler_gate_accepted_total", "Connections accepted.", gate.accepted()),
        ("taskscheduler_gate_requests_total", "Complete, valid requests.", gate.requests()),
        ("taskscheduler_gate_received_bytes_total", "Bytes read.", gate.received_bytes()),
        ("taskscheduler_gate_evicted_total", "Idle connections closed for new.", gate.evicted()),
        ("taskscheduler_gate_resets_total", "Connections reset in an answer.", gate.resets()),
        ("taskscheduler_gate_rebuilds_total", "Times the backend was rebuilt.", gate.rebuilds()),
    ] {
        sheet.counter(name, help).count(&[], value);
    }
    let mut rows = sheet.counter("taskscheduler_gate_refusals_total", "The gate's own answers.");
    for (status, count) in gate.refusals() {
        rows.count(&[("status", &status.to_string())], count);
    }
}

fn requests(sheet: &mut Sheet, traffic: &Traffic) {
    let mut rows = sheet.histogram("http_server_requests_seconds", "Requests answered.");
    for answered in traffic.read() {
        let labels = [
            ("method", answered.method),
            ("uri", answered.template),
            ("status", &*answered.status.to_string()),
            ("outcome", outcome(answered.status)),
        ];
        rows.bars(&labels, &answered.took, Unit::Micros);
    }
}

/// Micrometer's word for a class of statuses.
fn outcome(status: u16) -> &'static str {
    match status / 100 {
        1 => "INFORMATIONAL",
        2 => "SUCCESS",
        3 => "REDIRECTION",
        4 => "CLIENT_ERROR",
        _ => "SERVER_ERROR",
    }
}

fn node(sheet: &mut Sheet, measures: &Measures, settings: &ApiSettings) {
    let vitals = &measures.vitals;
    let serving = u64::from(vitals.phase == Phase::Serving);
    sheet.gauge("taskscheduler_serving", "Whether requests are taken.").count(&[], serving);
    sheet.gauge("taskscheduler_nodes", "Nodes alive.").count(&[], vitals.nodes.into());
    sheet
        .counter("taskscheduler_log_dropped_lines_total", "Log lines dropped.")
        // Relaxed: a number that stands alone.
        .count(&[], settings.lines_dropped.load(Ordering::Relaxed));
    sheet
        .gauge("taskscheduler_build_info", "The version that runs.")
        .count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
}
