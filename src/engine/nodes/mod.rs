//! One node among several: what runs beside the engine where the store is shared.

mod envoy;
mod keeper;
mod reaper;
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
use reaper::Reaper;

use super::threads::{self, Fatal};
use crate::clock::{Clock, StoreClock};
use crate::persistence::{Mailbox, Views};
use crate::store::redis::Teller;
use crate::store::{Store, StoreError};

/// How often the keeper looks whether something is due.
const ROUND: Duration = Duration::from_millis(100);

/// What a node needs beside its engine.
pub(super) struct Neighbours {
    keeper: Keeper,
    reaper: Reaper,
    envoy: Envoy,
}

/// A place among others, where errands to them are given, and the clock all of them go by.
type Joined = (Neighbours, (Errands, Arc<StoreClock>));

impl Neighbours {
    /// Takes this node's place among the others; `None` where the store has one server only.
    pub fn join(
        store: &dyn Store,
        clock: &Arc<dyn Clock>,
        views: &Arc<Views>,
        start_until: StartUntil,
        mailbox: &Mailbox,
        teller: Option<Teller>,
    ) -> Result<Option<Joined>, StoreError> {
        let Some(nodes) = store.nodes()? else { return Ok(None) };
        let Some(others) = store.nodes()? else { return Ok(None) };
        let Some(inbox) = store.nodes()? else { return Ok(None) };
        let store_clock = Arc::new(StoreClock::over(Arc::clone(clock)));
        let clock_of = || Arc::clone(clock);
        let (reaper, gone) = Reaper::new(others, clock_of(), Arc::clone(views));
        let clock = Arc::clone(&store_clock);
        let mut keeper = Keeper::new(nodes, clock, Arc::clone(views), start_until, gone);
        keeper.step()?;
        let (errands, given) = Errands::new();
        let ends = (inbox, store.reader()?);
        let (views, mailbox) = (Arc::clone(views), mailbox.clone());
        let envoy = Envoy::new(ends, clock_of(), views, mailbox, given, teller);
        Ok(Some((Neighbours { keeper, reaper, envoy }, (errands, store_clock))))
    }

    /// What calls this node to its inbox.
    pub fn summons(&self) -> Summons {
        self.envoy.summons()
    }

    /// Starts the threads; they end when `stop` is closed.
    pub fn start(self, stop: &Receiver<()>, fatal: &Fatal) -> std::io::Result<()> {
        let Neighbours { mut keeper, mut reaper, mut envoy } = self;
        let over = stop.clone();
        threads::spawn("keeper", fatal, move || {
            while over.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                keeper.step().map_err(|error| error.to_string())?;
            }
            Ok(())
        })?;
        let over = stop.clone();
        threads::spawn("reaper", fatal, move || {
            loop {
                let gone = select! {
                    recv(reaper.gone()) -> gone => gone,
                    recv(over) -> _ => break,
                };
                // The keeper ends when this does.
                let Ok(gone) = gone else { break };
                reaper.end(&gone).map_err(|error| error.to_string())?;
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
