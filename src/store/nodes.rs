//! Several servers on one store: who lives, who has died, and what they ask of each other.
//!
//! A node is a server with its data directory; each of its lives is an [`Incarnation`]. A living
//! incarnation has a lease by the store's clock and renews it again and again. Everything it writes
//! is refused once the store no longer counts it among the living ([`StoreError::Fenced`]), so a
//! node that was believed dead and wakes up can change nothing.
//!
//! Whoever finds a lease that is over ends that node for good: its sessions, its right to write,
//! and its hold on its rows, which become free. Its rows may only be touched by that.
//!
//! A task that a node holds is changed by that node alone. Others leave a [`Wish`] in its inbox.
//!
//! Absent on purpose: threads, and the decision when to renew and whom to end.

use std::time::Duration;

use super::StoreError;
use crate::domain::{Command, TaskId, TimeMs};

/// One life of a node, numbered by the store. Later lives have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// Who a node is over all its lives: a random number that stays in its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

/// What a store knows of a node that has not been ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Which life it is.
    pub incarnation: Incarnation,
    /// What people call it. Two nodes may have the same name.
    pub name: Box<str>,
    /// How it stands.
    pub standing: Standing,
}

/// How a node stands that has not been ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It lives, and its lease lasts for so long.
    Alive(Duration),
    /// It has not renewed its lease in time.
    Overdue,
    /// It has given back what it holds and is gone, but its rows still carry its number.
    Released,
}

/// What became of the rows of a node that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Rows that are free now.
    pub freed: u64,
    /// Wishes that are now in the inbox of the node that did this.
    pub wishes: u64,
}

/// The number of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WishId(pub u64);

/// What somebody wants of a task that another node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The node that holds it.
    pub holder: Incarnation,
    /// The task.
    pub task: TaskId,
    /// What is wanted.
    pub command: Command,
}

/// The side of a store on which nodes know of each other; owned by one thread.
///
/// Each call is a transaction of its own.
pub trait Nodes: Send {
    /// This life of this node.
    fn own(&self) -> Incarnation;

    /// How long a lease lasts from its renewal.
    fn lease(&self) -> Duration;

    /// Renews the lease of this node, also one that is over already, unless the node was ended.
    /// Tells the store's time, where it has a clock of its own.
    fn renew(&mut self) -> Result<Option<TimeMs>, StoreError>;

    /// All nodes that have not been ended, this one included.
    fn peers(&mut self) -> Result<Vec<Peer>, StoreError>;

    /// Ends a node that is overdue or released, for good: first its sessions, then in one
    /// transaction its right to write and its hold on its rows. The rows of one that was overdue
    /// become suspects. `None`: it is alive after all, or somebody else has ended it.
    fn reap(&mut self, node: Incarnation) -> Result<Option<Reaped>, StoreError>;

    /// Leaves wishes with the nodes that hold their tasks, or with this node if one of them has
    /// been ended. Says what the wishes are called, in order.
    fn post(&mut self, wishes: &[Wish]) -> Result<Vec<WishId>, StoreError>;

    /// The oldest wishes in this node's inbox that nobody has answered.
    fn inbox(&mut self, limit: u32) -> Result<Vec<(WishId, Wish)>, StoreError>;

    /// Answers wishes; whoever asked understands the words.
    fn answer(&mut self, answers: &[(WishId, Box<str>)]) -> Result<(), StoreError>;

    /// Hands a wish on to the node that holds its task now.
    fn pass_on(&mut self, wish: WishId, holder: Incarnation) -> Result<(), StoreError>;

    /// Takes the answers that have come to these wishes.
    fn take_answers(&mut self, wishes: &[WishId]) -> Result<Vec<(WishId, Box<str>)>, StoreError>;

    /// Forgets answers that nobody has taken for a minute.
    fn tidy(&mut self) -> Result<(), StoreError>;
}
