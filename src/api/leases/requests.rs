//! What workers ask: tasks to lease, and reports about those they have.

use crate::api::accept;
use crate::api::ask::Ask;
use crate::api::desk::Open;
use crate::api::exchange::Exchange;
use crate::api::problem::{self, Fault, Problem};
use crate::api::tasks::submit::aside_if_large;
use crate::api::token::Echo;
use crate::api::wire::leases::{self, Report, Rules, Says};
use crate::api::wire::submit::Framing;
use crate::domain::LeaseToken;
use crate::persistence::{LeaseAsk, LeaseBeat, LeaseReport, LeaseTypes, WaitId};

/// A wish for leases may have to be kept by the gate, so it is short.
const WISH_BYTES_MAX: usize = 32 << 10;

/// `POST /api/v1/leases`
pub(crate) fn lease(mut exchange: Exchange) {
    let engine = exchange.open().desk.engine.clone();
    let parked = exchange.open().head(crate::api::gate::RESUME_HEAD);
    if let Some(wait) = parked.and_then(|token| token.parse().ok()) {
        return engine.collect(WaitId(wait), exchange.receipt(Ask::Lease));
    }
    match wish(&mut exchange) {
        Ok(ask) => engine.lease(ask, exchange.receipt(Ask::Lease)),
        Err(problem) => exchange.refuse(&problem),
    }
}

fn wish(exchange: &mut Exchange) -> Result<LeaseAsk, Problem> {
    let body = json_body(exchange, WISH_BYTES_MAX)?;
    let open = exchange.open();
    let ask = leases::lease(&body, rules(open))?;
    if let LeaseTypes::These(types) = &ask.types {
        let executor_of = &open.desk.settings.executor_of;
        let here = |name: &&std::sync::Arc<str>| {
            executor_of(name).is_some_and(|executor| executor != "remote")
        };
        let faults = types
            .iter()
            .filter(here)
            .map(|name| Fault::new("taskTypes", format!("{name} is run by the server itself")));
        let faults: Vec<Fault> = faults.collect();
        if !faults.is_empty() {
            return Err(Problem::invalid(faults));
        }
    }
    Ok(ask)
}

/// `POST /api/v1/leases/heartbeat`, `/complete`, `/fail` and `/release`
pub(crate) fn report(exchange: Exchange, report: Report) {
    aside_if_large(exchange, move |mut exchange| match read(&mut exchange, report) {
        Ok(said) => hand_on(exchange, said),
        Err(problem) => exchange.refuse(&problem),
    });
}

/// What a report says about leases whose tokens are ours.
enum Said {
    Alive(std::sync::Arc<str>, Vec<LeaseBeat>),
    Over(Vec<LeaseReport>),
}

fn read(exchange: &mut Exchange, report: Report) -> Result<Said, Problem> {
    let most = exchange.open().desk.settings.body_bytes_max;
    let body = json_body(exchange, most)?;
    let (worker, items) = leases::report(&body, report, rules(exchange.open()))?;
    let key = *exchange.open().desk.engine.signing_key();
    let (mut beats, mut reports, mut echo) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        let token = LeaseToken::read(&item.token, &key);
        echo.push(Echo { token: item.token, known: token });
        let Some(LeaseToken { id, epoch, lease_ms }) = token else { continue };
        match item.says {
            Says::Alive(progress) => beats.push(LeaseBeat { id, epoch, lease_ms, progress }),
            Says::Over(what) => reports.push(LeaseReport { id, epoch, what }),
        }
    }
    exchange.repeat(echo);
    Ok(match report {
        Report::Heartbeat => Said::Alive(worker.unwrap_or_default().into(), beats),
        Report::Complete | Report::Fail | Report::Release => Said::Over(reports),
    })
}

fn hand_on(exchange: Exchange, said: Said) {
    let engine = exchange.open().desk.engine.clone();
    let receipt = exchange.receipt(Ask::Report);
    match said {
        Said::Alive(worker, beats) => engine.beat(worker, beats, receipt),
        Said::Over(reports) => engine.report(reports, receipt),
    }
}

/// `GET /api/v1/workers`
pub(crate) fn workers(exchange: Exchange) {
    let engine = exchange.open().desk.engine.clone();
    engine.workers(exchange.receipt(Ask::Workers));
}

fn json_body(exchange: &mut Exchange, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    if accept::framing(exchange.open().head("Content-Type"))? == Framing::Lines {
        return Err(Problem::new(problem::MEDIA, "send application/json"));
    }
    exchange.body(bytes_max)
}

fn rules(open: &Open) -> Rules {
    let settings = &open.desk.settings;
    Rules {
        compatibility: settings.compatibility,
        result_bytes_max: settings.limits.payload_bytes_max,
    }
}
