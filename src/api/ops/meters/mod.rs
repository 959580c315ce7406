//! What is measured, in the text that Prometheus reads and in Spring Boot's JSON.
//!
//! Promise: a scrape costs those who are measured nothing; it reads what cores, writer and gate
//! have counted for themselves. How much it answers is bounded: so are the labels.

mod boot;
mod collect;
mod sheet;
#[cfg(test)]
mod tests;

use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;

use crate::api::exchange::Exchange;
use crate::api::problem::{self, Problem};
use crate::api::reply::{Media, Reply};
use crate::api::wire::params::Params;

/// `GET /actuator/prometheus` and `GET /metrics`
pub(crate) fn samples(exchange: Exchange) {
    match TextEncoder::new().encode_to_string(&measured(&exchange)) {
        Ok(text) => {
            let reply = Reply::new(200, text.into_bytes());
            exchange.answer(Reply { media: Media::Samples, ..reply });
        }
        Err(error) => {
            log::error!("failed to write the measures: {error}");
            let detail = "the measures could not be written";
            exchange.refuse(&Problem::new(problem::INTERNAL, detail));
        }
    }
}

/// `GET /actuator/metrics`
pub(crate) fn names(exchange: Exchange) {
    let reply = Reply::new(200, boot::names(&measured(&exchange)));
    exchange.answer(reply);
}

/// `GET /actuator/metrics/{name}`
pub(crate) fn one(exchange: Exchange) {
    let found = {
        let open = exchange.open();
        let name = open.path().rsplit('/').next().unwrap_or_default();
        Params::read(open.query())
            .and_then(|params| boot::filter(&params))
            .and_then(|filter| boot::one(&measured(&exchange), name, &filter))
    };
    match found {
        Ok(body) => exchange.answer(Reply::new(200, body)),
        Err(problem) => exchange.refuse(&problem),
    }
}

fn measured(exchange: &Exchange) -> Vec<MetricFamily> {
    let desk = &exchange.open().desk;
    let mut families = collect::collect(&desk.engine.measures(), &desk.traffic, &desk.settings);
    // A name without a row has nothing to say yet, and the encoder takes it for a mistake.
    families.retain(|family| !family.get_metric().is_empty());
    families
}
