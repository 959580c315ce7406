//! Submitting tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sha2::{Digest, Sha256};

use crate::api::accept;
use crate::api::ask::Ask;
use crate::api::desk::Open;
use crate::api::exchange::Exchange;
use crate::api::problem::{self, Fault, Problem};
use crate::api::reply::Reply;
use crate::api::wire::params::Params;
use crate::api::wire::submit::{self, Framing, Rules};
use crate::persistence::Order;
use crate::store::KeyClaim;

/// Bodies from here on are read and checked on the parse pool, so that they hold up nobody.
const LARGE_BYTES_MIN: usize = 32 << 10;

/// What one task may take beside its payload: the other fields at their longest, escaped.
const ENVELOPE_BYTES_MAX: usize = 128 << 10;

/// `POST /api/v1/tasks`
pub(crate) fn one(exchange: Exchange) {
    let limits = &exchange.open().desk.settings.limits;
    // A character may be sent as six, and the body of a batch is never the smaller one.
    let most = limits.payload_bytes_max.saturating_mul(6) + ENVELOPE_BYTES_MAX;
    let most = most.min(exchange.open().desk.settings.body_bytes_max);
    aside_if_large(exchange, move |exchange| {
        take(exchange, most, |open, body, framing, payloads| {
            if framing == Framing::Lines {
                let detail = "one task is application/json; a batch goes to /api/v1/tasks/batch";
                return Err(Problem::new(problem::MEDIA, detail));
            }
            let submission = submit::one(body, open.rules())?;
            Ok((vec![submission], Ask::Submit { payloads }))
        });
    });
}

/// `POST /api/v1/tasks/batch`
pub(crate) fn batch(exchange: Exchange) {
    let most = exchange.open().desk.settings.body_bytes_max;
    aside_if_large(exchange, move |exchange| {
        take(exchange, most, |open, body, framing, payloads| {
            Ok((submit::many(body, framing, open.rules())?, Ask::Batch { payloads }))
        });
    });
}

type Read = (Vec<crate::domain::Submission>, Ask);

fn take(
    mut exchange: Exchange,
    bytes_max: usize,
    read: impl FnOnce(&Open, &[u8], Framing, bool) -> Result<Read, Problem>,
) {
    let checked = prepare(&mut exchange, bytes_max, read);
    match checked {
        Err(problem) => exchange.refuse(&problem),
        Ok((order, _)) if order.items.is_empty() => {
            exchange.answer(Reply::new(201, b"[]".to_vec()));
        }
        Ok((order, ask)) => {
            let engine = exchange.open().desk.engine.clone();
            engine.submit(order, exchange.receipt(ask));
        }
    }
}

fn prepare(
    exchange: &mut Exchange,
    bytes_max: usize,
    read: impl FnOnce(&Open, &[u8], Framing, bool) -> Result<Read, Problem>,
) -> Result<(Order, Ask), Problem> {
    let framing = accept::framing(exchange.open().head("Content-Type"))?;
    let mut params = Params::read(exchange.open().query())?;
    let payloads = params.payloads();
    params.finish(())?;
    let key = key(exchange.open())?;
    let body = exchange.body(bytes_max)?;
    let (items, ask) = read(exchange.open(), &body, framing, payloads)?;
    let key = key.map(|key| KeyClaim { key, body: Sha256::digest(&body).into() });
    Ok((Order { items, key }, ask))
}

/// The digest of the idempotency key, if one was sent.
fn key(open: &Open) -> Result<Option<[u8; 32]>, Problem> {
    const HEAD: &str = "Idempotency-Key";
    let mut keys = open.heads(HEAD);
    let Some(key) = keys.next() else { return Ok(None) };
    let sound = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if keys.next().is_some() || !sound {
        let message = "must be one of 1 to 255 visible characters, given once";
        return Err(Problem::invalid(vec![Fault::new(HEAD, message)]));
    }
    Ok(Some(Sha256::digest(key).into()))
}

/// Does the work here, or on the parse pool where the body is large.
pub(crate) fn aside_if_large(exchange: Exchange, work: impl FnOnce(Exchange) + Send + 'static) {
    let length = exchange.open().request.body_length();
    if length.is_some_and(|length| length < LARGE_BYTES_MIN) {
        return work(exchange);
    }
    let pool = exchange.open().desk.settings.parse_pool.clone();
    // At most as many wait here as requests may be under way. A panic in the pool would end the
    // process; caught, the exchange answers for itself.
    pool.spawn(move || {
        if catch_unwind(AssertUnwindSafe(|| work(exchange))).is_err() {
            log::error!("checking a body panicked");
        }
    });
}

impl Open {
    fn rules(&self) -> Rules<'_> {
        let settings = &self.desk.settings;
        Rules {
            limits: &settings.limits,
            compatibility: settings.compatibility,
            batch_tasks_max: settings.batch_tasks_max,
        }
    }
}
