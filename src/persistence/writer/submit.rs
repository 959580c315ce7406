//! Submits: checked requests become tasks with an id, and find their place.

use std::sync::Arc;

use super::Writer;
use crate::domain::{
    Change, ChangeKind, Epoch, Holding, Spec, State, Status, Submission, Suspicion, Task, TaskId,
    TimeMs,
};
use crate::persistence::pending::Sequel;
use crate::persistence::{Order, Receipt, Refusal, Way};

impl Writer {
    /// Tasks due later than this are not kept in memory until they are nearly due.
    const HORIZON_MS: u64 = 600_000;

    pub(super) fn submit(&mut self, order: Order, receipt: Receipt, now: TimeMs) {
        if self.views.disk_is_full() {
            return receipt.settle(Err(Refusal::NoSpace));
        }
        if let Some(claim) = &order.key {
            let way = self.under_way.as_ref();
            if self.pending.keys.contains(&claim.key)
                || way.is_some_and(|way| way.keys.contains(&claim.key))
            {
                return receipt.settle(Err(Refusal::KeyInFlight));
            }
        }
        if order.items.len() as u64 > self.ids_left() {
            return receipt.settle(Err(Refusal::Busy));
        }
        let mut types = Vec::with_capacity(order.items.len());
        types.extend(order.items.iter().map_while(|item| self.kinds.intern(item.task_type())));
        if types.len() < order.items.len() {
            for name in &types {
                self.kinds.dropped(name);
            }
            return receipt.settle(Err(Refusal::TooManyTypes { limit: self.kinds.limit() }));
        }
        let items = order.items.into_iter().zip(types);
        let changes = items.map(|(item, name)| self.insert(item, name, now)).collect();
        self.pending.push_all(changes, order.key, Sequel::Submitted { receipt });
    }

    fn insert(&mut self, item: Submission, task_type: Arc<str>, now: TimeMs) -> Change {
        let id = self.next_id();
        let status = match item.scheduled_for() {
            Some(due) if due > now => Status::Scheduled { due },
            _ => Status::Queued,
        };
        let spec = Arc::new(item.into_spec(task_type, now));
        let holding = self.hold(&spec, status, now);
        let epoch = if holding == Holding::Held { Epoch(1) } else { Epoch(0) };
        let state = State {
            status,
            epoch,
            retries: 0,
            version: 1,
            updated_at: now,
            ready_at: status.due().unwrap_or(now),
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
        Change { task: Task { id, spec, state }, kind: ChangeKind::Insert(holding) }
    }

    fn next_id(&mut self) -> TaskId {
        let number = self.ids.start;
        self.ids.start += 1;
        TaskId::new(number).expect("ids start at one, and has_ids() left enough of them")
    }

    /// Decides whether this node holds a task with this status, and makes room for it if so.
    pub(super) fn hold(&mut self, spec: &Spec, status: Status, now: TimeMs) -> Holding {
        let (band, seq) = (spec.band, self.seq + 1);
        if matches!(status, Status::Running { .. }) {
            return Holding::Held;
        }
        if self.kinds.way(&spec.task_type) == Way::Worker {
            self.tell_lessees(&spec.task_type, status, now);
            // Nobody here could start it.
            return Holding::Free;
        }
        if let Some((_, own)) = self.kinds.own(&spec.task_type) {
            // A type that may have little room keeps none of it for what is not due soon.
            let soon = match status {
                Status::Queued => true,
                Status::Scheduled { due } | Status::Retrying { due } => {
                    due.since_ms(now) <= Self::AHEAD_MS
                }
                _ => false,
            };
            let held = soon && own.try_admit(band, spec.weight());
            if soon && !held {
                own.backlog.leave_out(band, seq);
            }
            return if held { Holding::Held } else { Holding::Free };
        }
        let held = match status {
            Status::Queued => {
                let waits = self.backlog.waits(band);
                let admitted = !waits && self.window.try_admit(band, spec.weight());
                if !admitted {
                    self.backlog.leave_out(band, seq);
                }
                admitted
            }
            Status::Scheduled { due } | Status::Retrying { due } => {
                due.since_ms(now) <= Self::HORIZON_MS && self.window.try_admit_due()
            }
            _ => false,
        };
        if held { Holding::Held } else { Holding::Free }
    }
}
