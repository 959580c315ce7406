//! The contract for programs: the OpenAPI document, and the page that shows it to people.
//!
//! Promise: every route, method and scope is in the document and nothing else is, which the tests
//! here hold against the routes; what each answers is held against it by the tests of the API,
//! which look at every answer they get. Absent on purpose: settings, which change limits.

#[cfg(test)]
mod tests;

use super::exchange::Exchange;
use super::reply::Reply;

/// The document.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`. It tells nothing that needs a token.
pub(crate) fn serve(exchange: Exchange) {
    exchange.answer(Reply::new(200, DOCUMENT.into()));
}
