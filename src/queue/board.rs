//! x
use crate::domain::{Epoch, Run, TaskId, TimeMs};
/// x
#[derive(Debug)]
pub struct Board;
impl Board {
    /// x
    pub fn run_of(&self, _id: TaskId, _ready: TimeMs) -> Option<Run> {
        None
    }
    /// x
    pub fn ask_stop(&self, _id: TaskId, _epoch: Epoch) {}
}
