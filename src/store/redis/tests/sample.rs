//! Ended tasks.

use std::sync::Arc;

use crate::domain::{
    Band, Epoch, FailureKind, Payload, RetryPolicy, Run, Spec, State, Status, Suspicion, Task,
    TaskId, TimeMs,
};

pub(crate) fn id(number: u64) -> TaskId {
    TaskId::new(number).unwrap()
}

/// A completed task, ended now by the real clock.
pub(crate) fn ended(number: u64) -> Task {
    ended_at(number, crate::clock::Clock::now(&crate::clock::SystemClock::new()))
}

pub(crate) fn ended_at(number: u64, now: TimeMs) -> Task {
    let spec = Spec {
        name: format!("task {number}").into(),
        task_type: "NOOP".into(),
        band: Band::Medium,
        payload: Some(Payload::json("{\"a\":1}")),
        description: None,
        scheduled_for: None,
        timeout_s: 300,
        retry: RetryPolicy::default(),
        tags: None,
        unique_key: None,
        created_at: now,
    };
    let state = State {
        status: Status::Completed,
        epoch: Epoch(1),
        retries: 0,
        version: 3,
        updated_at: now,
        ready_at: now,
        run: Some(Run { started_at: now, took_us: 10, waited_us: 20 }),
        last_error: None,
        result: Some(Payload::text("done")),
        completed_at: Some(now),
        leased_until: None,
        worker: None,
        progress: None,
        cancel_requested: false,
        suspicion: Suspicion::None,
    };
    Task { id: id(number), spec: Arc::new(spec), state }
}

/// One of very many tasks, each with other parts present.
pub(crate) fn seed_of(seed: u64) -> Task {
    let mut task = ended(1 + seed % TaskId::MAX);
    let bit = |n: u32| seed >> n & 1 == 1;
    let text = |n: u32| format!("ä{}", "x".repeat((seed >> n & 63) as usize));
    let time = TimeMs((seed >> 7) as i64 >> 20);
    let spec = Arc::get_mut(&mut task.spec).unwrap();
    spec.band = Band::ALL[(seed % 5) as usize];
    spec.name = text(1).into();
    spec.payload = bit(2).then(|| Payload::text(&text(3)));
    spec.description = bit(4).then(|| text(5).into());
    spec.scheduled_for = bit(6).then_some(time);
    spec.tags = bit(7).then(|| "{\"a\":\"b\"}".into());
    spec.unique_key = bit(8).then(|| text(9).into());
    let state = &mut task.state;
    state.status = [Status::Completed, Status::Failed, Status::Cancelled][(seed % 3) as usize];
    state.epoch = Epoch(seed >> 11);
    state.run = bit(12).then_some(Run { started_at: time, took_us: seed, waited_us: 1 });
    let kind = FailureKind::ALL[(seed % 7) as usize];
    state.last_error = bit(13).then(|| (kind, text(14).into()));
    state.result = bit(15).then(|| Payload::json("[1]"));
    state.cancel_requested = bit(16);
    state.worker = bit(17).then(|| text(18).into());
    state.progress = bit(19).then_some(7);
    task
}
