//! The reaper: ends nodes that are gone.
//!
//! On a thread of its own. To end a node that held much can take longer than a lease lasts, and
//! whoever does it must go on renewing its own, or the next one takes it for dead as well.
//!
//! Absent on purpose: the decision who is gone. That is the keeper's, and holds for a moment only.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::clock::{Clock, Mono};
use crate::persistence::Views;
use crate::store::{Nodes, Peer, Standing, StoreError};

/// A node that is to be ended.
pub(in crate::engine) struct Gone {
    pub peer: Peer,
    /// When that was decided.
    pub at: Mono,
}

/// Ends one node after the other.
pub(in crate::engine) struct Reaper {
    nodes: Box<dyn Nodes>,
    clock: Arc<dyn Clock>,
    views: Arc<Views>,
    gone: Receiver<Gone>,
}

impl Reaper {
    /// An older decision is not carried out: the store may have been away since, and then every
    /// lease is over.
    const FRESH: Duration = Duration::from_secs(1);

    /// A reaper, and where it is told. One node waits at a time; those beyond are found again.
    pub fn new(
        nodes: Box<dyn Nodes>,
        clock: Arc<dyn Clock>,
        views: Arc<Views>,
    ) -> (Reaper, Sender<Gone>) {
        let (tell, gone) = bounded(1);
        (Reaper { nodes, clock, views, gone }, tell)
    }

    /// The channel whose messages are for [`Reaper::end`].
    pub fn gone(&self) -> &Receiver<Gone> {
        &self.gone
    }

    /// Ends a node. An error is the end of this one: others have its tasks.
    pub fn end(&mut self, gone: &Gone) -> Result<(), StoreError> {
        if self.clock.mono().since(gone.at) > Self::FRESH {
            return Ok(());
        }
        let Peer { incarnation, name, standing } = &gone.peer;
        let reaped = match self.nodes.reap(*incarnation) {
            Ok(Some(reaped)) => reaped,
            Ok(None) => return Ok(()),
            Err(error @ StoreError::Fenced(_)) => return Err(error),
            Err(error) => {
                log::warn!("failed to {error}; node {name} is ended later");
                return Ok(());
            }
        };
        let number = incarnation.0;
        match standing {
            Standing::Released => {
                log::info!(
                    "node {name} ({number}) has left; {} of its tasks are free",
                    reaped.freed
                );
            }
            _ => log::warn!(
                "node {name} ({number}) has not renewed its lease and is ended; {} of its tasks \
                 are free, {} wishes are carried out here",
                reaped.freed,
                reaped.wishes
            ),
        }
        self.views.claim_now();
        Ok(())
    }
}
