//! The router: takes a complete request, finds what it asks for and hands it on.
//!
//! Promise: [`Router::handle`] never waits for the engine or the disk, and never panics; a panic
//! inside is logged and answered 500. Absent on purpose: sockets and framing, which are the gate's.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::accept;
use super::access::Scope;
use super::desk::Desk;
use super::docs;
use super::exchange::Exchange;
use super::guard;
use super::leases::requests;
use super::ops::{actuator, health, loggers, meters, metrics, statistics};
use super::problem::{self, Problem};
use super::replier::{Replier, Step};
use super::route::{Route, TEMPLATES};
use super::settings::ApiSettings;
use super::tasks::{cleanup, command, list, submit};
use super::traffic::Traffic;
use super::ui;
use crate::engine::Engine;
use crate::persistence::WaitId;

/// Answers requests. Clones share everything; the replier ends with the last of them and of the
/// requests under way.
#[derive(Clone)]
pub struct Router {
    desk: Arc<Desk>,
}

impl Router {
    /// A router before `engine`. Starts the thread `replier`.
    ///
    /// # Panics
    /// Where no thread can be started: there is no serving without it.
    pub fn new(engine: Arc<Engine>, settings: ApiSettings) -> Router {
        let (replies, jobs) = crossbeam_channel::bounded(settings.in_flight_max);
        let mut replier = Replier::new(jobs, settings.in_flight_max);
        std::thread::Builder::new()
            .name("replier".into())
            .spawn(move || while replier.step() == Step::Answered {})
            .expect("the replier's thread starts");
        let node = engine.vitals().node;
        let (under_way, request_ids) = Default::default();
        let traffic = Traffic::new(TEMPLATES);
        let desk = Desk { engine, settings, node, replies, under_way, request_ids, traffic };
        Router { desk: Arc::new(desk) }
    }

    /// Takes a complete request. Its answer may come later, from another thread.
    pub fn handle(&self, request: tiny_http::Request) {
        let exchange = Exchange::begin(&self.desk, request);
        if self.desk.is_full() {
            let detail = "the server is at its limit of requests under way";
            exchange.refuse_here(&Problem::new(problem::BUSY, detail));
            return;
        }
        // Unwinding drops the exchange, which answers for itself.
        if catch_unwind(AssertUnwindSafe(|| dispatch(exchange))).is_err() {
            log::error!("handling a request panicked");
        }
    }

    /// What stands under this token of an answer reaches nobody: its client is gone.
    pub fn lost(&self, token: u64) {
        self.desk.engine.withdraw(WaitId(token));
    }

    /// How many requests are under way. At the end, when nothing new comes in, it falls to nought.
    pub fn under_way(&self) -> usize {
        self.desk.under_way.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("under_way", &self.under_way()).finish()
    }
}

fn dispatch(mut exchange: Exchange) {
    let found = Route::find(exchange.open().request.method(), exchange.open().path());
    if let Ok(route) = found {
        exchange.takes(route.place());
    }
    let route = {
        let open = exchange.open();
        // Whether there is such a path is told only to those who may come in.
        let needs = found.as_ref().map_or(Some(Scope::Read), |route| route.needs());
        guard::admit(open, needs).and(found).and_then(|route| {
            if route.is_json() {
                accept::json(open.heads("Accept"))?;
            }
            Ok(route)
        })
    };
    match route {
        Err(problem) => exchange.refuse(&problem),
        Ok(Route::Submit) => submit::one(exchange),
        Ok(Route::SubmitBatch) => submit::batch(exchange),
        Ok(Route::Show(id)) => command::show(exchange, id),
        Ok(Route::List) => list::list(exchange),
        Ok(Route::Scheduled) => list::scheduled(exchange),
        Ok(Route::PutStatus(id)) => command::put(exchange, id),
        Ok(Route::Cancel(id)) => command::cancel(exchange, id),
        Ok(Route::Retry(id)) => command::retry(exchange, id),
        Ok(Route::Cleanup) => cleanup::cleanup(exchange),
        Ok(Route::Lease) => requests::lease(exchange),
        Ok(Route::Report(report)) => requests::report(exchange, report),
        Ok(Route::Workers) => requests::workers(exchange),
        Ok(Route::Statistics) => statistics::statistics(exchange),
        Ok(Route::Metrics) => metrics::metrics(exchange),
        Ok(Route::ServiceHealth) => health::service(exchange),
        Ok(Route::Health(detail)) => health::components(exchange, detail),
        Ok(Route::Liveness) => health::liveness(exchange),
        Ok(Route::Readiness) => health::readiness(exchange),
        Ok(Route::Document) => docs::serve(exchange),
        Ok(Route::Page(asset)) => ui::serve(exchange, asset),
        Ok(Route::Links) => actuator::links(exchange),
        Ok(Route::About) => actuator::about(exchange),
        Ok(Route::Samples) => meters::samples(exchange),
        Ok(Route::Meters) => meters::names(exchange),
        Ok(Route::Meter) => meters::one(exchange),
        Ok(Route::Loggers) => loggers::all(exchange),
        Ok(Route::Logger) => loggers::one(exchange),
        Ok(Route::SetLogger) => loggers::set(exchange),
        Ok(Route::Allowed(allow)) => {
            let reply = guard::options(exchange.open(), allow);
            exchange.answer(reply);
        }
    }
}
