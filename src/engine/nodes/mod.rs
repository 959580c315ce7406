//! One node among several: what runs beside the engine where the store is shared.

mod envoy;
mod keeper;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, select};

use envoy::Envoy;
pub(super) use envoy::{Errands, Summons};
use keeper::Keeper;
pub(super) use keeper::StartUntil;

use super::threads::{self, Fatal};
use crate::clock::Clock;
use crate::persistence::{Mailbox, Views};
use crate::store::redis::Teller;
use crate::store::{Store, StoreError};

/// How often the keeper looks whether something is due.
const ROUND: Duration = Duration::from_millis(100);

/// What a node needs beside its engine.
pub(super) struct Neighbours {
    keeper: Keeper,
    envoy: Envoy,
}

impl Neighbours {
    /// Takes this node's place among the others, and where errands to them are given; `None` where
    /// the store has one server only.
    pub fn join(
        store: &dyn Store,
        clock: &Arc<dyn Clock>,
        views: &Arc<Views>,
        start_until: StartUntil,
        mailbox: &Mailbox,
        teller: Option<Teller>,
    ) -> Result<Option<(Neighbours, Errands)>, StoreError> {
        let Some(nodes) = store.nodes()? else { return Ok(None) };
        let Some(inbox) = store.nodes()? else { return Ok(None) };
        let clock_of = || Arc::clone(clock);
        let mut keeper = Keeper::new(nodes, clock_of(), Arc::clone(views), start_until);
        keeper.step()?;
        let (errands, given) = Errands::new();
        let ends = (inbox, store.reader()?);
        let (views, mailbox) = (Arc::clone(views), mailbox.clone());
        let envoy = Envoy::new(ends, clock_of(), views, mailbox, given, teller);
        Ok(Some((Neighbours { keeper, envoy }, errands)))
    }

    /// What calls this node to its inbox.
    pub fn summons(&self) -> Summons {
        self.envoy.summons()
    }

    /// Starts the threads; they end when `stop` is closed.
    pub fn start(self, stop: &Receiver<()>, fatal: &Fatal) -> std::io::Result<()> {
        let Neighbours { mut keeper, mut envoy } = self;
        let over = stop.clone();
        threads::spawn("keeper", fatal, move || {
            while over.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                keeper.step().map_err(|error| error.to_string())?;
            }
            Ok(())
        })?;
        let over = stop.clone();
        threads::spawn("envoy", fatal, move || {
            while over.try_recv() == Err(TryRecvError::Empty) {
                let first = select! {
                    recv(envoy.errands()) -> errand => errand.ok(),
                    recv(envoy.rung()) -> _ => None,
                    recv(over) -> _ => break,
                    default(envoy.quiet_time()) => None,
                };
                envoy.step(first);
            }
            Ok(())
        })?;
        Ok(())
    }
}
