//! Everything that is measured below the API, for one scrape.

use std::sync::Arc;

use super::{Engine, Vitals};
use crate::metrics::Histogram;
use crate::persistence::{Books, View};
use crate::queue::Counts;
use crate::store::Connections;

/// What has been measured up to now. Cores and writer are not asked: it is what they last showed.
#[derive(Debug, Clone)]
pub struct Measures {
    /// How the machine is.
    pub vitals: Vitals,
    /// How the writer's memory stands.
    pub view: View,
    /// What happened to tasks.
    pub books: Arc<Books>,
    /// What each engine core has done; a spare's work counts for its seat.
    pub cores: Vec<Counts>,
    /// How long questions to the store took, in microseconds.
    pub reads: Histogram,
    /// Questions that wait.
    pub reads_waiting: usize,
    /// The connections that readers share; `None` where they share none.
    pub connections: Option<Connections>,
}

impl Engine {
    /// All measures.
    pub fn measures(&self) -> Measures {
        Measures {
            vitals: self.vitals(),
            view: self.views.view(),
            books: self.views.books(),
            cores: self.lanes.board().counts(),
            reads: self.reads.took(),
            reads_waiting: self.reads.waiting(),
            connections: self.identity.connections.as_ref().map(|look| look()),
        }
    }
}
