//! Tasks for the questions, in a small language: `Sample::new(7).band(High).free().insert()`.

use std::sync::Arc;

use crate::domain::{
    Band, Before, Change, ChangeKind, Epoch, FailureKind, Holding, Payload, RetryPolicy, Run, Spec,
    State, Status, StatusKind, Suspicion, Task, TaskId, TimeMs,
};
use crate::store::{Batch, Committed, Fate, Store, Unit};

/// The time at which most questions are asked: the middle of a minute.
pub(crate) const NOW: TimeMs = TimeMs(1_764_000_030_000);

pub(crate) fn id(number: u64) -> TaskId {
    TaskId::new(number).unwrap()
}

/// A task in the making.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    id: TaskId,
    spec: Spec,
    state: State,
    holding: Holding,
}

impl Sample {
    /// A queued task that the store's opener holds.
    pub(crate) fn new(number: u64) -> Sample {
        let spec = Spec {
            name: format!("task {number}").into(),
            task_type: "NOOP".into(),
            band: Band::Medium,
            payload: Some(Payload::text("a payload")),
            description: None,
            scheduled_for: None,
            timeout_s: 300,
            retry: RetryPolicy::default(),
            tags: None,
            unique_key: None,
            created_at: NOW,
        };
        let state = State {
            status: Status::Queued,
            epoch: Epoch(1),
            retries: 0,
            version: 1,
            updated_at: NOW,
            ready_at: NOW,
            run: None,
            last_error: None,
            result: None,
            completed_at: None,
            leased_until: None,
            worker: None,
            progress: None,
            cancel_requested: false,
            suspicion: Suspicion::None,
        };
        Sample { id: id(number), spec, state, holding: Holding::Held }
    }

    pub(crate) fn free(mut self) -> Sample {
        self.holding = Holding::Free;
        self
    }

    pub(crate) fn band(mut self, band: Band) -> Sample {
        self.spec.band = band;
        self
    }

    pub(crate) fn of_type(mut self, name: &str) -> Sample {
        self.spec.task_type = name.into();
        self
    }

    pub(crate) fn named(mut self, name: &str) -> Sample {
        self.spec.name = name.into();
        self
    }

    pub(crate) fn unique(mut self, key: &str) -> Sample {
        self.spec.unique_key = Some(key.into());
        self
    }

    pub(crate) fn ready_at(mut self, at: TimeMs) -> Sample {
        self.state.ready_at = at;
        self
    }

    pub(crate) fn status(mut self, status: Status) -> Sample {
        self.state.status = status;
        self
    }

    pub(crate) fn spec(mut self, change: impl FnOnce(&mut Spec)) -> Sample {
        change(&mut self.spec);
        self
    }

    pub(crate) fn state(mut self, change: impl FnOnce(&mut State)) -> Sample {
        change(&mut self.state);
        self
    }

    /// Something in every field.
    pub(crate) fn full(self) -> Sample {
        let text = |text: &str| Some(text.into());
        self.spec(|spec| {
            spec.payload = Some(Payload::json("{\"n\": [1.0, 1e400, \"\\u0000\"]}"));
            spec.description = text("what people note");
            spec.scheduled_for = Some(NOW.plus_ms(77));
            spec.timeout_s = 3600;
            spec.retry = RetryPolicy { retries_max: 10, delay_ms: 123, multiplier: 1.7 };
            spec.tags = text("{\"a\":\"b\"}");
        })
        .state(|state| {
            state.retries = 3;
            state.version = u32::MAX - 9;
            state.updated_at = NOW.plus_ms(5);
            state.ready_at = NOW.plus_ms(1);
            state.run = Some(Run { started_at: NOW.plus_ms(2), took_us: 1 << 40, waited_us: 17 });
            state.last_error = Some((FailureKind::Panic, "it fell over".into()));
            state.result = Some(Payload::text("half a result"));
            state.leased_until = Some(NOW.plus_ms(30_000));
            state.worker = Some("w-1".into());
            state.progress = Some(77);
            state.cancel_requested = true;
            state.suspicion = Suspicion::Loner { started: true, crashes: 2 };
        })
    }

    pub(crate) fn task(&self) -> Task {
        Task { id: self.id, spec: Arc::new(self.spec.clone()), state: self.state.clone() }
    }

    pub(crate) fn holding(&self) -> Holding {
        self.holding
    }

    pub(crate) fn insert(&self) -> Change {
        Change { task: self.task(), kind: ChangeKind::Insert(self.holding) }
    }
}

/// An insert as a unit.
pub(crate) fn insert(sample: &Sample) -> Unit {
    Unit { changes: vec![sample.insert()], key: None }
}

/// What a row says now, for a change that follows.
pub(crate) fn before(task: &Task) -> Before {
    Before { status: task.state.status.kind(), epoch: task.state.epoch }
}

/// The task, changed by `change`, as a unit.
pub(crate) fn update(task: &mut Task, holding: Holding, change: impl FnOnce(&mut State)) -> Unit {
    let before = before(task);
    change(&mut task.state);
    let change = Change { task: task.clone(), kind: ChangeKind::Update(before, holding) };
    Unit { changes: vec![change], key: None }
}

/// The task, ended with this status, as a unit.
pub(crate) fn finish(task: &mut Task, to: StatusKind, at: TimeMs) -> Unit {
    let before = before(task);
    task.state.status = match to {
        StatusKind::Failed => Status::Failed,
        StatusKind::Cancelled => Status::Cancelled,
        _ => Status::Completed,
    };
    task.state.completed_at = Some(at);
    task.state.version += 1;
    let change = Change { task: task.clone(), kind: ChangeKind::Finish(before) };
    Unit { changes: vec![change], key: None }
}

/// The task, queued again by a person, as a unit.
pub(crate) fn revive(task: &mut Task, holding: Holding) -> Unit {
    let before = before(task);
    task.state.status = Status::Queued;
    task.state.epoch = task.state.epoch.next();
    task.state.completed_at = None;
    let change = Change { task: task.clone(), kind: ChangeKind::Revive(before, holding) };
    Unit { changes: vec![change], key: None }
}

/// A batch of these units at `NOW`.
pub(crate) fn batch(units: Vec<Unit>) -> Batch {
    Batch { seq: 1, now: NOW, units, ..Batch::default() }
}

/// Commits units and tells their fates.
pub(crate) fn commit(store: &mut dyn Store, units: Vec<Unit>) -> Vec<Fate> {
    let committed: Committed = store.commit(&batch(units)).unwrap();
    committed.fates
}

/// Commits one unit and tells its fate.
pub(crate) fn fate(store: &mut dyn Store, unit: Unit) -> Fate {
    commit(store, vec![unit]).remove(0)
}

/// What is stored under these ids.
pub(crate) fn fetch(store: &mut dyn Store, ids: &[u64]) -> Vec<crate::store::Stored> {
    let fetch = ids.iter().map(|number| id(*number)).collect();
    store.commit(&Batch { fetch, ..batch(Vec::new()) }).unwrap().fetched
}
