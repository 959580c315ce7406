//! x
use super::{Board, Ticket};
use std::sync::Arc;
/// x
#[derive(Debug)]
pub struct Entrance<W> {
    board: Board,
    w: std::marker::PhantomData<fn(W)>,
}
impl<W> Entrance<W> {
    /// x
    pub fn push(&self, _t: Arc<Ticket<W>>) {}
    /// x
    pub fn wake(&self, _n: usize) {}
    /// x
    pub fn board(&self) -> &Board {
        &self.board
    }
}
