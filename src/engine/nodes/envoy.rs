//! The envoy between this node and the others.
//!
//! A command on a task that another node holds is left in that node's inbox as a wish; the wish is
//! stored before anybody hears of it. If the answer comes within a second the client gets it, if
//! not it gets to know that the wish stands. In the other direction the envoy looks through this
//! node's own inbox, hands what is there to the writer as if a client had asked, and stores what
//! the writer answers. A wish that finds its task with yet another node is passed on.
//!
//! Absent on purpose: threads and waiting. [`Envoy::step`] does what is due.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::words;
use crate::clock::{Clock, Mono};
use crate::domain::{Command, TaskId};
use crate::persistence::{Answer, Bell, Mailbox, Message, Receipt, Refusal, Seen, Views};
use crate::store::redis::{Notice, Teller};
use crate::store::{Incarnation, Nodes, Reader, StoreError, Wish, WishId};

/// A command on a task that another node holds.
pub(in crate::engine) struct Errand {
    pub wish: Wish,
    pub receipt: Receipt,
}

/// Where errands are given.
#[derive(Clone)]
pub(in crate::engine) struct Errands(Sender<Errand>);

impl Errands {
    /// How many errands may wait to be taken up.
    const WAITING_MAX: usize = 1024;

    pub fn new() -> (Errands, Receiver<Errand>) {
        let (give, given) = bounded(Self::WAITING_MAX);
        (Errands(give), given)
    }

    /// A receipt for a command, which follows the task to the node that holds it.
    pub fn follow(&self, task: TaskId, command: Command, receipt: Receipt) -> Receipt {
        let errands = self.0.clone();
        Receipt::new(move |answer| match answer {
            Err(Refusal::HeldElsewhere(holder)) => {
                let wish = Wish { holder, task, command };
                let given = errands.try_send(Errand { wish, receipt });
                if let Err(TrySendError::Full(errand) | TrySendError::Disconnected(errand)) = given
                {
                    errand.receipt.settle(Err(Refusal::Busy));
                }
            }
            answer => receipt.settle(answer),
        })
    }
}

/// A wish of this node's clients that is not answered.
struct Open {
    task: TaskId,
    receipt: Receipt,
    since: Mono,
}

type Heard = (WishId, Result<Answer, Refusal>);

/// Carries wishes to and fro.
pub(in crate::engine) struct Envoy {
    nodes: Box<dyn Nodes>,
    reader: Box<dyn Reader>,
    clock: Arc<dyn Clock>,
    views: Arc<Views>,
    mailbox: Mailbox,
    errands: Receiver<Errand>,
    open: HashMap<WishId, Open>,
    /// Wishes in the inbox that the writer has been told of.
    under_way: HashSet<WishId>,
    hear: Sender<Heard>,
    heard: Receiver<Heard>,
    looked_at: Option<Mono>,
    /// Rings when there is something to do before the time has come to look.
    bell: Bell,
    rung: Receiver<()>,
    /// Tells others at once that there is a wish for them, where there is a way to.
    teller: Option<Teller>,
}

/// Calls the envoy to the inbox.
#[derive(Clone)]
pub(in crate::engine) struct Summons {
    own: Incarnation,
    views: Arc<Views>,
    bell: Bell,
}

impl Summons {
    /// Somebody says that there is a wish for this node.
    pub fn hear(&self, node: Incarnation) {
        if node == self.own {
            self.views.look_into_inbox();
            self.bell.ring();
        }
    }
}

impl Envoy {
    /// How often the inbox is looked through while there are other nodes.
    const LOOK: Duration = Duration::from_millis(100);
    /// How often it is while there are none that this node knows of.
    const LOOK_ALONE: Duration = Duration::from_secs(1);
    /// How long a client waits for the holder's answer.
    const PATIENCE: Duration = Duration::from_secs(1);
    /// How many wishes are carried out at a time.
    const TOGETHER_MAX: usize = 256;

    pub fn new(
        (nodes, reader): (Box<dyn Nodes>, Box<dyn Reader>),
        clock: Arc<dyn Clock>,
        views: Arc<Views>,
        mailbox: Mailbox,
        errands: Receiver<Errand>,
        teller: Option<Teller>,
    ) -> Envoy {
        let (hear, heard) = bounded(Self::TOGETHER_MAX);
        let (bell, rung) = Bell::new();
        Envoy {
            nodes,
            reader,
            clock,
            views,
            mailbox,
            errands,
            open: HashMap::new(),
            under_way: HashSet::new(),
            hear,
            heard,
            looked_at: None,
            bell,
            rung,
            teller,
        }
    }

    /// What calls it before its time.
    pub fn summons(&self) -> Summons {
        let (views, bell) = (Arc::clone(&self.views), self.bell.clone());
        Summons { own: self.nodes.own(), views, bell }
    }

    /// Rings when a step is worth it at once.
    pub fn rung(&self) -> &Receiver<()> {
        &self.rung
    }

    /// The channel whose messages are worth a step at once.
    pub fn errands(&self) -> &Receiver<Errand> {
        &self.errands
    }

    /// How long nothing is due, if no errand is given.
    pub fn quiet_time(&self) -> Duration {
        let waits = !self.open.is_empty() || !self.under_way.is_empty();
        if waits { Self::LOOK / 10 } else { Self::LOOK }
    }

    /// Does what is due; `first` is an errand that was taken from the channel already.
    pub fn step(&mut self, first: Option<Errand>) {
        let now = self.clock.mono();
        let more = Self::TOGETHER_MAX.saturating_sub(self.open.len());
        let errands: Vec<Errand> =
            first.into_iter().chain(self.errands.try_iter().take(more)).collect();
        self.post(errands, now);
        self.look_through_inbox(now);
        self.store_answers();
        self.take_answers();
        self.lose_patience(now);
    }

    /// Stores what clients want of other nodes' tasks.
    fn post(&mut self, errands: Vec<Errand>, now: Mono) {
        if errands.is_empty() {
            return;
        }
        let wishes: Vec<Wish> = errands.iter().map(|errand| errand.wish).collect();
        let ids = match self.nodes.post(&wishes) {
            Ok(ids) => ids,
            Err(error) => {
                log::warn!("failed to {error}; {} wishes were not left", errands.len());
                let unknown = matches!(error, StoreError::Unknown(_));
                let why = if unknown { Refusal::InDoubt } else { Refusal::StoreDown };
                for errand in errands {
                    errand.receipt.settle(Err(why.clone()));
                }
                return;
            }
        };
        let holders: HashSet<Incarnation> = wishes.iter().map(|wish| wish.holder).collect();
        self.tell(holders.into_iter().map(Notice::Wish).collect());
        for (id, Errand { wish, receipt }) in ids.into_iter().zip(errands) {
            self.open.insert(id, Open { task: wish.task, receipt, since: now });
        }
    }

    fn tell(&self, notices: Vec<Notice>) {
        if let Some(teller) = &self.teller {
            teller.tell(notices);
        }
    }

    /// Hands new wishes to the writer.
    fn look_through_inbox(&mut self, now: Mono) {
        let every = if self.views.nodes() > 1 { Self::LOOK } else { Self::LOOK_ALONE };
        let is_due = self.looked_at.is_none_or(|at| now.since(at) >= every);
        if !is_due && !self.views.take_look_into_inbox() {
            return;
        }
        self.looked_at = Some(now);
        // A store that cannot be reached is somebody else's story; the wishes are still there then.
        let Ok(wishes) = self.nodes.inbox(Self::TOGETHER_MAX as u32) else { return };
        for (id, wish) in wishes {
            let is_new = self.under_way.len() < Self::TOGETHER_MAX && self.under_way.insert(id);
            if !is_new {
                continue;
            }
            let (hear, bell) = (self.hear.clone(), self.bell.clone());
            // As many fit in as are under way at most.
            let receipt = Receipt::new(move |answer| {
                drop(hear.try_send((id, answer)));
                bell.ring();
            });
            if self.mailbox.post(Message::Do(wish.task, wish.command, receipt)).is_err() {
                // The next ones would fare no better, and each takes a place among the answers.
                self.under_way.remove(&id);
                break;
            }
        }
    }

    /// Stores what the writer made of the wishes.
    fn store_answers(&mut self) {
        let mut answers = Vec::new();
        for (id, answer) in self.heard.try_iter() {
            self.under_way.remove(&id);
            match answer {
                Err(Refusal::HeldElsewhere(holder)) => {
                    pass_on(&mut *self.nodes, id, holder);
                    self.tell(vec![Notice::Wish(holder)]);
                }
                // It stays where it is, and is tried again.
                Err(error) if is_passing(&error) => {}
                answer => answers.push((id, words::of(&answer))),
            }
        }
        if answers.is_empty() {
            return;
        }
        if let Err(error) = self.nodes.answer(&answers) {
            // They stay in the inbox. Carried out again they are refused, or do nothing.
            log::warn!("failed to {error}; {} wishes are answered later", answers.len());
        }
    }

    /// Brings answers to this node's clients.
    fn take_answers(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let ids: Vec<WishId> = self.open.keys().copied().collect();
        let Ok(answers) = self.nodes.take_answers(&ids) else { return };
        for (id, text) in answers {
            let Some(open) = self.open.remove(&id) else { continue };
            let answer = match words::read(&text) {
                Ok(done) => self.see(open.task).map(|seen| match done {
                    words::Done::Now => Answer::Done(seen),
                    words::Done::Asked => Answer::Asked(seen),
                }),
                Err(refusal) => Err(refusal),
            };
            open.receipt.settle(answer);
        }
    }

    /// Tells clients whose wish nobody has answered that it stands.
    fn lose_patience(&mut self, now: Mono) {
        let late = |open: &Open| now.since(open.since) >= Self::PATIENCE;
        let ids: Vec<WishId> =
            self.open.iter().filter(|(_, open)| late(open)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(open) = self.open.remove(&id) else { continue };
            let answer = self.see(open.task).map(Answer::Asked);
            open.receipt.settle(answer);
        }
    }

    /// The task as it is stored. Where that cannot be said, neither can what became of the wish.
    fn see(&mut self, task: TaskId) -> Result<Seen, Refusal> {
        match self.reader.find(task) {
            Ok(Some(task)) => Ok(Seen { task, waits_for_worker: false }),
            Ok(None) => Err(Refusal::NotFound),
            Err(_) => Err(Refusal::InDoubt),
        }
    }
}

fn pass_on(nodes: &mut dyn Nodes, wish: WishId, holder: Incarnation) {
    if let Err(error) = nodes.pass_on(wish, holder) {
        log::warn!("failed to {error}; a wish is passed on later");
    }
}

/// Whether a refusal says nothing about the task.
fn is_passing(refusal: &Refusal) -> bool {
    use Refusal::{Busy, InDoubt, Stopping, StoreDown, Unknown};
    matches!(refusal, Busy | InDoubt | StoreDown | Stopping | Unknown)
}
