//! The live tasks: what the writer has in memory about each task it holds.
//!
//! A task here is either held (ours in the store too), or a visitor: a row nobody holds, or an
//! ended task, brought in for one command and gone again after it. Some leased rows stay longer,
//! so that the report of their end needs no look-up.
//!
//! Rule: a task is in at most one unit at a time. While its unit is under way it is `busy`, and
//! whatever else concerns it waits on it, in order. So what is here is always what is committed,
//! but for moves that time and cores make (due, taken), which are written with the next change.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::gathering::Place;
use super::kinds::KindId;
use super::lease::LeaseReport;
use super::{Command, Receipt, Report, Ticket};
use crate::domain::{Before, Epoch, Status, StatusKind, Task, TaskId};

/// One task in memory.
#[derive(Debug)]
pub(super) struct LiveTask {
    pub task: Task,
    /// What its row says.
    pub written: Before,
    pub home: Home,
    pub room: Room,
    /// In a unit that is not settled.
    pub busy: bool,
    pub doing: Doing,
    /// Tells a timer that is still meant from one that was set before.
    pub timer: u32,
    /// What waits for the unit to settle.
    pub waiting: VecDeque<Waiting>,
}

/// Where the task's row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Live and ours.
    Held,
    /// Live and nobody's; here for a command.
    Free,
    /// Ended; here for a command.
    Ended,
}

/// Which room the task takes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    None,
    /// In the window of its band, this many bytes.
    Window(usize),
    /// In the room of its type, this many bytes.
    Own(KindId, usize),
    /// Among the tasks that wait for their time.
    Due,
}

/// What is being done about the task.
#[derive(Debug, Clone)]
pub(super) enum Doing {
    Nothing,
    /// It waits for its turn among the suspects.
    Turn,
    /// Its ticket is in the lanes, or a core has taken it.
    Ticket(Arc<Ticket>),
    /// It only waits for the time its timer is set to; `timed_out`: that is its deadline.
    Sleep {
        timed_out: bool,
    },
    /// A worker outside leases it, and it stays in memory in case that reports here.
    Leased,
}

/// What waits for a busy task.
#[derive(Debug)]
pub(super) enum Waiting {
    Report(Report),
    Command(Command, Receipt),
    Lease(LeaseReport, Option<Place>),
    Timer,
}

impl LiveTask {
    pub fn new(task: Task, home: Home) -> LiveTask {
        LiveTask {
            written: Before { status: task.state.status.kind(), epoch: task.state.epoch },
            task,
            home,
            room: Room::None,
            busy: false,
            doing: Doing::Nothing,
            timer: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Whether a core has taken its ticket.
    pub fn is_taken(&self) -> bool {
        matches!(&self.doing, Doing::Ticket(ticket) if ticket.is_taken())
    }

    /// Whether it stays in memory because a worker leases it under this epoch.
    pub fn is_leased_under(&self, epoch: Epoch) -> bool {
        matches!(self.doing, Doing::Leased) && self.task.state.epoch == epoch
    }

    /// The status users see: a task whose ticket is taken runs, although nothing is written yet.
    pub fn seen(&self) -> Status {
        let state = &self.task.state;
        if state.status == Status::Queued && self.is_taken() {
            return Status::Running { epoch: state.epoch };
        }
        state.status
    }

    /// Whether its row does not yet say what time or a core made of it.
    pub fn is_unwritten(&self) -> bool {
        self.seen().kind() != self.written.status
    }

    pub fn kind(&self) -> StatusKind {
        self.seen().kind()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Live(HashMap<TaskId, Box<LiveTask>, RandomState>);

impl Live {
    pub fn get(&self, id: TaskId) -> Option<&LiveTask> {
        self.0.get(&id).map(|live| &**live)
    }

    pub fn get_mut(&mut self, id: TaskId) -> Option<&mut LiveTask> {
        self.0.get_mut(&id).map(|live| &mut **live)
    }

    /// Puts a task in; the caller knows that it is not there.
    pub fn insert(&mut self, live: LiveTask) -> &mut LiveTask {
        let id = live.task.id;
        self.0.entry(id).insert_entry(Box::new(live)).into_mut()
    }

    pub fn remove(&mut self, id: TaskId) -> Option<LiveTask> {
        self.0.remove(&id).map(|live| *live)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &LiveTask> {
        self.0.values().map(|live| &**live)
    }
}
