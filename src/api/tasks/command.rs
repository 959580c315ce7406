//! Requests about one task.

use crate::api::ask::Ask;
use crate::api::exchange::Exchange;
use crate::api::problem::{Fault, Problem};
use crate::api::wire::params::Params;
use crate::domain::{StatusKind, TaskId};
use crate::persistence::Command;

/// `GET /api/v1/tasks/{id}`
pub(crate) fn show(exchange: Exchange, id: TaskId) {
    let engine = exchange.open().desk.engine.clone();
    engine.look(id, exchange.receipt(Ask::Show(id)));
}

/// `POST /api/v1/tasks/{id}/cancel`
pub(crate) fn cancel(exchange: Exchange, id: TaskId) {
    order(exchange, id, Command::Cancel, Ask::Cancel(id));
}

/// `POST /api/v1/tasks/{id}/retry`
pub(crate) fn retry(exchange: Exchange, id: TaskId) {
    order(exchange, id, Command::Retry, Ask::Retry(id));
}

/// `PUT /api/v1/tasks/{id}/status`
pub(crate) fn put(exchange: Exchange, id: TaskId) {
    match status(exchange.open().query()) {
        Ok(status) => order(exchange, id, Command::Put(status), Ask::Put),
        Err(problem) => exchange.refuse(&problem),
    }
}

fn order(exchange: Exchange, id: TaskId, command: Command, ask: Ask) {
    let engine = exchange.open().desk.engine.clone();
    engine.command(id, command, exchange.receipt(ask));
}

fn status(query: &str) -> Result<StatusKind, Problem> {
    let mut params = Params::read(query)?;
    let status = params.status();
    params
        .finish(status)?
        .ok_or_else(|| Problem::invalid(vec![Fault::new("status", "is required")]))
}
