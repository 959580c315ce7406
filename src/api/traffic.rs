//! What has been answered: how many requests of which route, and how long they took.
//!
//! Adding is two additions to counters of that route, method and status; nothing is looked up and
//! nothing is locked. How many there can be is fixed: paths that lead nowhere share one name.

use std::sync::OnceLock;

use tiny_http::Method;

use super::reply::STATUSES;
use crate::metrics::{DURATIONS_US, Histogram, SharedHistogram};

/// A route's template, by its place in [`super::route::TEMPLATES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(pub u8);

impl Place {
    /// That of all paths that lead nowhere.
    pub(crate) const NOWHERE: Place = Place(0);
}

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "OTHER"];

/// All that was answered.
pub(crate) struct Traffic {
    templates: &'static [&'static str],
    cells: Box<[OnceLock<SharedHistogram>]>,
}

/// How many requests of one kind were answered, and how long it took.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub method: &'static str,
    pub template: &'static str,
    pub status: u16,
    pub took: Histogram,
}

impl Traffic {
    /// Nothing yet.
    pub(crate) fn new(templates: &'static [&'static str]) -> Traffic {
        let cells = templates.len() * METHODS.len() * STATUSES.len();
        Traffic { templates, cells: (0..cells).map(|_| OnceLock::new()).collect() }
    }

    /// Counts an answer.
    pub(crate) fn add(&self, place: Place, method: &Method, status: u16, took_us: u64) {
        let Some(status) = STATUSES.iter().position(|(known, _)| *known == status) else { return };
        let method = METHODS.iter().position(|known| *known == method.as_str());
        let method = method.unwrap_or(METHODS.len() - 1);
        let row = usize::from(place.0) * METHODS.len() + method;
        if let Some(cell) = self.cells.get(row * STATUSES.len() + status) {
            cell.get_or_init(|| SharedHistogram::new(DURATIONS_US)).add(took_us);
        }
    }

    /// All that was answered.
    pub(crate) fn read(&self) -> impl Iterator<Item = Answered> {
        self.cells.iter().enumerate().filter_map(|(at, cell)| {
            let (row, status) = (at / STATUSES.len(), at % STATUSES.len());
            Some(Answered {
                method: METHODS[row % METHODS.len()],
                template: self.templates[row / METHODS.len()],
                status: STATUSES[status].0,
                took: cell.get()?.read(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_its_route_method_and_status() {
        let traffic = Traffic::new(&["UNKNOWN", "/a/{id}"]);
        traffic.add(Place(1), &Method::Get, 200, 150);
        traffic.add(Place(1), &Method::Get, 200, 10);
        traffic.add(Place(0), &Method::Trace, 405, 1);
        traffic.add(Place(1), &Method::Get, 299, 1);
        let told = |answered: Answered| {
            (answered.method, answered.template, answered.status, answered.took.count())
        };
        let all: Vec<_> = traffic.read().map(told).collect();
        assert_eq!(all, [("OTHER", "UNKNOWN", 405, 1), ("GET", "/a/{id}", 200, 2)]);
    }
}
